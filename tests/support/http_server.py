"""The HTTP server for tests, and requests to it."""

import http.client
import io
import json
import threading
import time
from contextlib import contextmanager

import soundfile
import uvicorn

from specmaskgit_cli.server.app import make_app
from specmaskgit_cli.server.connections import Connection
from specmaskgit_cli.server.jobs import DEADLINE_SECONDS
from specmaskgit_cli.server.service import Service


class Client:
    """Requests to a server at a port, sent exactly as given."""

    def __init__(self, port: int, service: Service | None = None):
        self.port, self.service = port, service
        self.headers: dict[str, str] = {}  # of every request

    def begin(self, method, path, body=None, headers=None):
        """The connection of a request whose answer is not read yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = json.dumps(body) if isinstance(body, (dict, list)) else body
        connection.request(method, path, body, self.headers | (headers or {}))
        return connection

    def __call__(self, method, path, body=None, headers=None):
        """Status, headers and body, which is decoded where it is JSON."""
        connection = self.begin(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        kind = answer.headers.get("content-type", "")
        return answer.status, answer.headers, json.loads(content) if kind == "application/json" else content

    def post(self, task, source=None, **options):
        """Queue a job; `source`: id of the sound to edit."""
        read = {} if source is None else {"input": {"sound": source}}
        return self("POST", "/v1/jobs", {"task": task, "options": options | read})[::2]

    def wait(self, job):
        """The job as it is when it has ended."""
        for _ in range(6000):
            told = self("GET", f"/v1/jobs/{job['id']}")[2]
            if told["state"] in ("done", "failed", "stopped"):
                return told
            time.sleep(0.02)
        raise AssertionError(f"still {told}")

    def upload(self, samples, rate=22050, format="WAV"):
        data = io.BytesIO()
        soundfile.write(data, samples, rate, format=format)
        return self("POST", "/v1/sounds", data.getvalue())[::2]


@contextmanager
def serving(pipe, folders=(), deadline=DEADLINE_SECONDS, agents=None, **guard):
    """`agents`: makes of the service an MCP server."""
    service = Service(pipe, folders, deadline)
    app = make_app(service, agents=agents and agents(service), **guard)
    config = uvicorn.Config(app, port=0, log_level="warning", ws="none", http=Connection)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        while not running.started:
            time.sleep(0.02)
        yield Client(running.servers[0].sockets[0].getsockname()[1], service)
    finally:
        running.should_exit = True
        thread.join()
