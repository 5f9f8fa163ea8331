"""A small Hugging Face Hub on this computer: the file and commit protocol of huggingface_hub, with faults on demand."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

LARGE = (".safetensors", ".onnx", ".bin")  # stored as large files: by redirection, from another host


@dataclass
class Fault:
    """What goes wrong with a file.

    Attributes:
        status: answer with this status instead of the file.
        cut: close the connection after so many bytes.
        hang: send nothing more after so many bytes.
        pause: after so many bytes, wait until the test sets `resumed`.
        wrong: send other bytes, as many.
        whole: ignore Range requests.
        method: the requests it concerns.
        times: how often.
    """

    status: int | None = None
    cut: int | None = None
    hang: int | None = None
    pause: int | None = None
    wrong: bool = False
    whole: bool = False
    method: str = "GET"
    times: int = 1_000_000


@dataclass
class Repo:
    """A model repository: its commits (name to bytes), its branches, and who may read it."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: bool = False
    messages: list[str] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        text = repr([branch, len(self.commits), sorted((n, hashlib.sha1(b).hexdigest()) for n, b in files.items())])
        sha = hashlib.sha1(text.encode()).hexdigest()
        self.commits[sha], self.refs[branch] = files, sha
        return sha


class FakeHub:
    """The server. `with FakeHub() as hub:`, then hub.url is its HF_ENDPOINT."""

    token = "hf_right"

    def __init__(self):
        self.repos: dict[str, Repo] = {}
        self.faults: dict[str, Fault] = {}  # by file name
        self.large: dict[str, bytes] = {}  # uploaded, by SHA-256
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.waiting = threading.Event()  # a transfer hangs now
        self.resumed = threading.Event()
        self.stopped = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.cdn = f"http://localhost:{self.port}"  # another host, as far as HTTP is concerned

    def __enter__(self) -> FakeHub:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def publish(self, name: str, directory: Path, branch: str = "main") -> str:
        """A directory as a commit of a repository; the commit."""
        files = {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}
        return self.repos.setdefault(name, Repo()).commit(files, branch)

    def asked(self, method: str, part: str) -> list[dict[str, str]]:
        """The headers of the requests so far whose address contains `part`."""
        return [headers for m, path, headers in self.requests if m == method and part in path]

    def fault(self, name: str, method: str) -> Fault | None:
        found = self.faults.get(name)
        if found is None or found.method != method or found.times < 1:
            return None
        found.times -= 1
        return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._route()

    def do_HEAD(self):
        self._route()

    def do_POST(self):
        self._route()

    def do_PUT(self):
        self._route()

    def _route(self) -> None:
        path = unquote(self.path.split("?")[0])
        self.hub.requests.append((self.command, path, {k.lower(): v for k, v in self.headers.items()}))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for pattern, handle in _ROUTES:
            if match := re.fullmatch(pattern, path):
                return handle(self, body, **match.groupdict())
        self._answer(404)

    def _answer(self, status: int, value: object = None, **headers: str) -> None:
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        for key, text in headers.items():
            self.send_header(key.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _repo(self, name: str, writing: bool = False) -> Repo | None:
        """The repository, or None once the refusal is sent."""
        token, repo = self.headers.get("Authorization", "").removeprefix("Bearer "), self.hub.repos.get(name)
        if token and token != self.hub.token:
            message = "Invalid credentials in Authorization header"
            return self._answer(401, {"error": message}, X_Error_Message=message)
        if repo is None or (not token and (repo.private or writing)):
            return self._answer(404 if token else 401, {"error": "no"}, X_Error_Code="RepoNotFound")
        if repo.gated and not token:
            return self._answer(401, {"error": "gated"}, X_Error_Code="GatedRepo")
        return repo

    def resolve(self, _, name: str, revision: str, file: str) -> None:
        repo = self._repo(name)
        if repo is None:
            return None
        commit = revision if revision in repo.commits else repo.refs.get(revision)
        if commit is None:
            return self._answer(404, X_Error_Code="RevisionNotFound")
        content = repo.commits[commit].get(file)
        if content is None:
            return self._answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        sha = hashlib.sha256(content).hexdigest()
        if not file.endswith(LARGE):
            etag = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            return self._send(file, content, X_Repo_Commit=commit, ETag=f'"{etag}"')
        fault = self.hub.fault(file, self.command) if self.command == "HEAD" else None
        if fault:
            return self._answer(fault.status)
        size = str(len(content))
        return self._answer(
            302, X_Repo_Commit=commit, X_Linked_Etag=f'"{sha}"', X_Linked_Size=size,
            Location=f"{self.hub.cdn}/cdn/{name}/{commit}/{file}",
        )  # fmt: skip

    def content(self, _, name: str, commit: str, file: str) -> None:
        self._send(file, self.hub.repos[name].commits[commit][file], ETag='"cdn"')

    def _send(self, file: str, content: bytes, **headers: str) -> None:
        fault = self.hub.fault(file, self.command) or Fault()
        if fault.status:
            return self._answer(fault.status)
        start, size = 0, len(content)
        if (asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))) and not fault.whole:
            start = int(asked[1])
            if start >= size:
                return self._answer(416)
            headers["Content_Range"] = f"bytes {start}-{size - 1}/{size}"
        if fault.wrong:
            content = bytes(byte ^ 1 for byte in content)
        self.send_response(206 if "Content_Range" in headers else 200)
        for key, text in headers.items():
            self.send_header(key.replace("_", "-"), text)
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        if self.command == "HEAD":
            return None
        until = next((n for n in (fault.cut, fault.hang, fault.pause) if n is not None), size)
        self.wfile.write(content[start : max(until, start)])
        if fault.hang is not None:
            self.hub.waiting.set()
            self.hub.stopped.wait(60)
        if fault.pause is not None:
            self.hub.waiting.set()
            self.hub.resumed.wait(60)
            self.wfile.write(content[max(until, start) :])
            return None
        if until < size:
            self.close_connection = True
        return None

    def info(self, _, name: str, revision: str | None = None) -> None:
        if repo := self._repo(name):
            sha = repo.refs.get(revision or "main", revision)
            files = [{"rfilename": file} for file in repo.commits.get(sha, {})]
            self._answer(200, {"id": name, "modelId": name, "sha": sha, "private": repo.private, "siblings": files})

    def tree(self, _, name: str, revision: str) -> None:
        if repo := self._repo(name):
            files = repo.commits.get(repo.refs.get(revision, revision))
            if files is None:
                return self._answer(404, X_Error_Code="RevisionNotFound")
            found = [{"type": "file", "path": file, "size": len(body), "oid": ""} for file, body in files.items()]
            self._answer(200, found)

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        if self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return self._answer(401, {"error": "log in"})
        url = {"url": f"{self.hub.url}/{name}"}
        if name in self.hub.repos:
            return self._answer(409, url)
        private = asked.get("private") or asked.get("visibility") == "private"
        self.hub.repos[name] = Repo(private=bool(private))
        return self._answer(200, url)

    def preupload(self, body: bytes, name: str) -> None:
        repo = self._repo(name, writing=True)
        if repo is None:
            return
        files = [
            {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(LARGE) else "regular", "shouldIgnore": False}
            for f in json.loads(body)["files"]
        ]
        self._answer(200, {"files": files})

    def batch(self, body: bytes, name: str) -> None:
        if self._repo(name, writing=True) is None:
            return
        objects = [
            {"oid": o["oid"], "size": o["size"], "actions": {"upload": {"href": f"{self.hub.cdn}/large/{o['oid']}"}}}
            for o in json.loads(body)["objects"]
        ]
        self._answer(200, {"transfer": "basic", "objects": objects})

    def store(self, body: bytes, oid: str) -> None:
        fault = self.hub.fault("upload", "PUT")
        if fault:
            return self._answer(fault.status)
        self.hub.large[oid] = body
        return self._answer(200)

    def commit(self, body: bytes, name: str) -> None:
        repo = self._repo(name, writing=True)
        if repo is None:
            return
        files = dict(repo.commits.get(repo.refs.get("main"), {}))
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                repo.messages.append(value["summary"])
            elif item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
        sha = repo.commit(files)
        self._answer(200, {"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{name}/commit/{sha}"})

    def yaml(self, _) -> None:
        self._answer(200, {"errors": [], "warnings": []})


_MODEL = r"(?P<name>[^/]+/[^/]+)"
_ROUTES = [
    (rf"/api/models/{_MODEL}", _Handler.info),
    (rf"/api/models/{_MODEL}/revision/(?P<revision>.+)", _Handler.info),
    (rf"/api/models/{_MODEL}/tree/(?P<revision>.+)", _Handler.tree),
    (rf"/api/models/{_MODEL}/preupload/main", _Handler.preupload),
    (rf"/api/models/{_MODEL}/commit/main", _Handler.commit),
    (r"/api/repos/create", _Handler.create),
    (r"/api/validate-yaml", _Handler.yaml),
    (r"/large/(?P<oid>\w+)", _Handler.store),
    (rf"/cdn/{_MODEL}/(?P<commit>\w+)/(?P<file>.+)", _Handler.content),
    (r"/(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch", _Handler.batch),
    (rf"/{_MODEL}/resolve/(?P<revision>[^/]+)/(?P<file>.+)", _Handler.resolve),
]
