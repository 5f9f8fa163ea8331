"""The web page served for tests, and requests to it."""

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


class Client:
    """Requests to a server at a port, sent exactly as given."""

    def __init__(self, port: int):
        self.port = port

    def __call__(self, method, path, body=None, headers=None):
        """Status, headers and body, which is decoded where it is JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = json.dumps(body) if isinstance(body, (dict, list)) else body
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        kind = answer.headers.get("content-type", "")
        return answer.status, answer.headers, json.loads(content) if kind == "application/json" else content

    def post(self, task, source=None, **options):
        return self("POST", "/api/jobs", {"task": task, "source": source, "options": options})[::2]

    def wait(self, job):
        """The job as it is when it has ended."""
        for _ in range(6000):
            told = self("GET", f"/api/jobs/{job['id']}")[2]
            if told["state"] in ("done", "failed"):
                return told
            time.sleep(0.05)
        raise AssertionError(f"still {told}")

    def upload(self, samples, rate=22050, format="WAV"):
        data = io.BytesIO()
        soundfile.write(data, samples, rate, format=format)
        return self("POST", "/api/sounds", data.getvalue())[::2]


@contextmanager
def serving(pipe):
    config = uvicorn.Config(make_app(pipe), port=0, log_level="warning", ws="none", http=Connection)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        while not running.started:
            time.sleep(0.02)
        yield Client(running.servers[0].sockets[0].getsockname()[1])
    finally:
        running.should_exit = True
        thread.join()
