"""What goes wrong around the page: clients that go away or stay silent, full disks, and pages of other sites."""

import os
import shutil
import socket
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from support.http_server import serving

from specmaskgit_cli import load
from specmaskgit_cli.server import bodies, connections, sounds

NOISE = np.random.default_rng(0).standard_normal(8000) * 0.1


@pytest.fixture(scope="module")
def pipe(trained):
    return load(str(trained[1]), "onnx", threads=1)


@pytest.fixture
def folder(monkeypatch):
    """Where the sounds of the servers that a test starts lie."""
    made = []
    usual = sounds.tempfile.TemporaryDirectory

    def remembered(*args, **options):
        made.append(usual(*args, **options))
        return made[-1]

    monkeypatch.setattr(sounds.tempfile, "TemporaryDirectory", remembered)
    return lambda: Path(made[-1].name)


def half_upload(client, length=100_000) -> socket.socket:
    """A connection that has sent the head of an upload and its first bytes."""
    connection = socket.create_connection(("127.0.0.1", client.port))
    head = f"POST /v1/sounds HTTP/1.1\r\nHost: 127.0.0.1:{client.port}\r\nContent-Length: {length}\r\n\r\n"
    connection.sendall(head.encode() + b"RIFF")
    return connection


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_clients_that_go_away_leave_nothing(pipe, folder, capsys):
    with serving(pipe) as client:
        connection = half_upload(client)
        until(lambda: list(folder().iterdir()))
        connection.close()
        until(lambda: not list(folder().iterdir()))
        assert client.upload(NOISE, 8000)[0] == 201
    assert "Traceback" not in capsys.readouterr().err


def test_uploads_that_do_not_arrive_make_room(pipe, folder, monkeypatch):
    monkeypatch.setattr(bodies, "MAX_ARRIVING", 2)
    monkeypatch.setattr(bodies, "PAUSE_SECONDS", 3.0)
    monkeypatch.setattr(bodies, "PLACE_SECONDS", 0.1)
    with serving(pipe) as client:
        waiting = [half_upload(client) for _ in range(2)]
        until(lambda: len(list(folder().iterdir())) == 2)
        status, told = client.upload(NOISE, 8000)
        assert status == 503 and "2 sounds are arriving" in told["error"]["message"]
        for connection in waiting:
            connection.settimeout(20)
            assert connection.recv(100).startswith(b"HTTP/1.1 408 ")
            connection.close()
        assert client.upload(NOISE, 8000)[0] == 201


def test_a_request_that_goes_on_for_ever_ends(pipe, monkeypatch):
    monkeypatch.setattr(bodies, "BODY_SECONDS", 1.0)
    with serving(pipe) as client, half_upload(client) as connection:
        connection.settimeout(0.1)
        answer = b""
        deadline = time.monotonic() + 20
        while not answer and time.monotonic() < deadline:
            connection.sendall(b"\0")
            try:
                answer = connection.recv(100)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_connections_that_ask_for_nothing_are_closed(pipe, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    with serving(pipe) as client:
        for said in (b"", b"GET / HTTP/1.1\r\nHost: "):
            with socket.create_connection(("127.0.0.1", client.port)) as connection:
                connection.sendall(said)
                connection.settimeout(20)
                assert connection.recv(100) == b""


def test_a_folder_that_cannot_be_used_is_said(pipe, folder, monkeypatch):
    with serving(pipe) as client:
        source = client.upload(NOISE, 8000)[1]["id"]
        made = client.wait(client.post("generate", prompt="a", seconds=0.5, steps=1)[1])["sounds"][0]["id"]
        shutil.rmtree(folder())
        status, told = client.upload(NOISE, 8000)
        assert status == 507 and "No such file" in told["error"]["message"]
        assert client("GET", f"/v1/sounds/{made}")[0] == 404
        assert client("GET", f"/v1/sounds/{made}/image")[0] == 404
        for job in (client.post("generate", prompt="a", seconds=0.5, steps=1), client.post("vary", source, steps=1)):
            error = client.wait(job[1])["error"]["message"]
            assert error and str(folder()) not in error and "bug" not in error


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_other_sites_are_told_nothing(pipe, site):
    with serving(pipe) as client:
        here = f"127.0.0.1:{client.port}"
        for path in ("/static/icon.svg", "/v1/models"):
            assert client("GET", path, headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"})[0] == 403
            assert client("GET", path, headers={"Sec-Fetch-Site": "same-origin"})[0] == 200
        assert client("POST", "/v1/jobs", {}, {"Sec-Fetch-Site": site})[0] == 403
        assert client("GET", "/", headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"})[0] == 403
        status, headers, _ = client("GET", "/", headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"})
        assert status == 200 and headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert client("POST", "/v1/jobs", {}, {"Origin": f"x://{here}"})[0] == 403
        assert client("POST", "/v1/jobs", {}, {"Origin": f"https://{here}"})[0] == 400  # behind a proxy


def test_full_disks_are_said(pipe, folder, monkeypatch):
    class Full:
        def write(self, block):
            raise OSError(28, os.strerror(28))

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            pass

    with serving(pipe) as client:
        usual = Path.open
        monkeypatch.setattr(
            Path, "open", lambda self, *a, **k: Full() if "smg-server-" in str(self) else usual(self, *a, **k)
        )
        status, told = client.upload(NOISE, 8000)
        assert status == 507 and "No space left" in told["error"]["message"]
