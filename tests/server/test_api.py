"""The HTTP API: its tasks, jobs and sounds, its limits, and who may use it."""

import base64
import io
import json
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import soundfile
from support.endless import endless_work
from support.http_server import Client, serving
from support.json_page import parsed

from specmaskgit_cli import load
from specmaskgit_cli.cli import run
from specmaskgit_cli.options import options_of
from specmaskgit_cli.server import app as server
from specmaskgit_cli.server import bodies, jobs, sounds
from specmaskgit_cli.sounds.record import read_record
from specmaskgit_cli.tasks import TASKS

QUICK = {"prompt": "dog bark", "seconds": 1.0, "steps": 2}


@pytest.fixture(scope="module")
def pipe(trained):
    return load(str(trained[1]), "onnx", threads=1)


@pytest.fixture(scope="module")
def client(pipe):
    with serving(pipe) as client:
        yield client


@pytest.fixture(scope="module")
def noise(client):
    """An uploaded second of noise at 8 kHz."""
    status, about = client.upload(np.random.default_rng(0).standard_normal(8000) * 0.1, 8000)
    assert status == 201 and about["seconds"] == 1
    return about["id"]


def test_a_sound_is_made_told_of_and_downloaded(client, tmp_path):
    status, job = client.post("generate", **QUICK, seed=7, num=2)
    assert status == 202
    told = client.wait(job)
    first, second = told["sounds"]
    assert told["progress"] == 1 and first["seconds"] == 1 and first["task"] == "generate"
    assert (first["options"]["seed"], second["options"]["seed"]) == (7, 8)
    assert client("GET", f"/v1/sounds/{first['id']}/about")[2] == first
    status, headers, data = client("GET", f"/v1/sounds/{first['id']}")
    assert status == 200 and headers["content-type"] == "audio/wav" and headers["accept-ranges"] == "bytes"
    (tmp_path / "a.wav").write_bytes(data)
    record = read_record(tmp_path / "a.wav")
    assert record.task.name == "generate" and record.options.prompt == "dog bark" and record.options.seed == 7
    assert client("GET", f"/v1/sounds/{first['id']}/image")[2].startswith(b"\x89PNG")
    again = client.wait(client.post("generate", **first["options"])[1])["sounds"][0]
    assert client("GET", f"/v1/sounds/{again['id']}")[2] == data


def test_a_request_is_answered_with_its_sound(client):
    status, headers, data = client("POST", "/v1/generate", {**QUICK, "seed": 7})
    assert (status, headers["content-type"], headers["x-smg-seed"]) == (200, "audio/wav", "7")
    samples, rate = soundfile.read(io.BytesIO(data))
    assert len(samples) == rate == client("GET", "/v1/models")[2]["models"][0]["rate"]
    assert client("GET", headers["content-location"])[2] == data
    query = "/v1/generate?prompt=dog%20bark&seconds=1&steps=2&seed=7"
    assert client("POST", query)[2] == data
    job = client("POST", query, headers={"Accept": "application/json"})[2]
    assert job["state"] == "done" and client("GET", job["sounds"][0]["url"])[2] == data
    assert len(client("POST", "/v1/generate", {**QUICK, "num": 2})[2]["sounds"]) == 2


@pytest.mark.parametrize(
    ("accept", "options", "media", "kind"),
    [
        ("audio/flac;q=0.5, audio/mpeg", {}, "audio/mpeg", "MP3"),
        ("*/*", {"format": "flac", "bits": "24"}, "audio/flac", "FLAC"),
        ('audio/ogg; codecs="opus"', {}, "audio/ogg; codecs=opus", "OGG"),
        ("text/html", {"format": "ogg", "rate": 16000, "channels": 2, "trim": True}, "audio/ogg", "OGG"),
    ],
)
def test_sounds_come_in_the_format_that_is_asked_for(client, accept, options, media, kind):
    status, headers, data = client("POST", "/v1/generate", {**QUICK, **options}, {"Accept": accept})
    assert (status, headers["content-type"]) == (200, media)
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert file.format == kind and file.samplerate == options.get("rate", file.samplerate)
        assert file.channels == options.get("channels", 1)


def test_a_sound_to_edit_comes_as_body_in_base64_or_by_its_id(client, noise):
    data = client("GET", f"/v1/sounds/{noise}")[2]
    options = {"amount": 0.5, "steps": 2, "seed": 1}
    made = client("POST", "/v1/vary", options | {"input": {"sound": noise}})[2]
    assert client("POST", "/v1/vary", options | {"input": {"data": base64.b64encode(data).decode()}})[0] == 200
    status, headers, _ = client("POST", "/v1/vary?amount=0.5&steps=2&seed=1", data)
    about = client("GET", headers["content-location"] + "/about")[2]
    assert status == 200 and about["options"]["amount"] == 0.5 and about["options"]["input"]["sound"] != noise
    assert client("POST", "/v1/vary", about["options"] | {"input": {"sound": noise}})[2] == made
    again = client("POST", "/v1/inpaint?boxes=0.2-0.4;0.6-0.8&steps=2", data)
    assert again[0] == 200 and len(client("GET", again[1]["content-location"] + "/about")[2]["options"]["boxes"]) == 2
    assert client("POST", "/v1/vary?steps=2&steps=3", data)[2]["error"]["field"] == "steps"


def test_an_edit_that_finds_nothing_to_do_has_no_sound(client):
    full = client.upload(np.random.default_rng(0).standard_normal(22050) * 0.1)[1]
    status, _, body = client("POST", "/v1/extend", {"input": {"sound": full["id"]}})
    assert (status, body) == (204, b"")


def test_only_open_folders_are_read(pipe, tmp_path):
    (tmp_path / "open").mkdir()
    for name in ("open/in.wav", "secret.wav"):
        soundfile.write(tmp_path / name, np.random.default_rng(0).standard_normal(8000) * 0.1, 8000)
    (tmp_path / "open" / "link.wav").symlink_to(tmp_path / "secret.wav")
    with serving(pipe, [tmp_path / "open"]) as client:
        for name in ("in.wav", str(tmp_path / "open" / "in.wav"), "../open/in.wav"):
            status, headers, _ = client("POST", "/v1/vary", {"input": name, "steps": 2})
            assert status == 200
            assert client("GET", headers["content-location"] + "/about")[2]["options"]["input"] == name
        for name in ("../secret.wav", str(tmp_path / "secret.wav"), "link.wav", "/etc/passwd", "/etc/none"):
            assert client("POST", "/v1/vary", {"input": name})[0] == 403
        for name in ("none.wav", ".", "a\0b"):
            assert client("POST", "/v1/vary", {"input": name})[2]["error"]["type"] == "not_found"


def test_a_job_tells_of_its_progress(client):
    job = client.post("generate", **QUICK)[1]
    status, headers, told = client("GET", f"/v1/jobs/{job['id']}/events")
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    events = [dict(line.split(": ", 1) for line in each.splitlines()) for each in told.decode().strip().split("\n\n")]
    assert [each["event"] for each in events].count("end") == 1 and events[-1]["event"] == "end"
    ended = json.loads(events[-1]["data"])
    assert ended == client("GET", f"/v1/jobs/{job['id']}")[2] and ended["state"] == "done"
    states = [json.loads(each["data"])["progress"] for each in events]
    assert states == sorted(states) and states[-1] == 1


def test_the_description_is_made_from_the_options(client):
    found = client("GET", "/v1/openapi.json")[2]
    assert found["openapi"] == "3.1.0"
    assert [path for path, each in found["paths"].items() if each.get("post", {}).get("tags")] == [
        f"/v1/{t}" for t in TASKS
    ]
    routes = {route.path for route in server.make_app(client.service).routes if route.path.startswith("/v1/")}
    assert routes - {"/v1/openapi.json", "/v1/{task}"} == set(found["paths"]) - {f"/v1/{task}" for task in TASKS}
    schemas = found["components"]["schemas"]
    for task in TASKS:
        kind = TASKS[task].options
        assert set(options_of(kind)) <= set(schemas[task]["properties"])
        assert not (set(kind.without) - set(options_of(kind))) & set(schemas[task]["properties"])
    steps = schemas["vary"]["properties"]["steps"]
    assert (steps["minimum"], steps["maximum"], steps["default"], steps["x-group"]) == (1, 64, 2, "Sampling")
    told = client.wait(client.post("generate", **QUICK)[1])
    jsonschema.validate(told, {"$ref": "#/components/schemas/Job", "components": found["components"]})
    jsonschema.validate(told["sounds"][0]["options"], schemas["generate"])


def test_health_and_model(client, pipe):
    assert client("GET", "/v1/health")[2].keys() == {"status", "version", "waiting"}
    (model,) = client("GET", "/v1/models")[2]["models"]
    assert model["hash"] == pipe.checkpoint.hash and len(model["band_edges"]) == pipe.config.mel.n_mels + 1


def test_a_token_is_asked_for(pipe):
    with serving(pipe, token="open sesame".replace(" ", "-")) as client:
        for header in (None, "Bearer wrong-one", "Basic open-sesame", "Bearer", "Bearer \xff"):
            status, headers, body = client("GET", "/v1/models", headers=header and {"Authorization": header})
            assert (status, body["error"]["type"], headers["www-authenticate"]) == (401, "unauthorized", "Bearer")
        assert client("GET", "/v1/health")[0] == 200 and client("GET", "/")[0] == 401
        assert client("GET", "/v1/models", headers={"Authorization": "Bearer open-sesame"})[0] == 200
        assert client("GET", "/?token=wrong-one")[0] == 401 and client("GET", "/v1/models?token=open-sesame")[0] == 401
        status, headers, _ = client("GET", "/?token=open-sesame")
        assert (status, headers["location"]) == (303, "/")
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "sesame" not in cookie
        assert client("GET", "/", headers={"Cookie": cookie.partition(";")[0]})[0] == 200
        assert client("GET", "/", headers={"Cookie": cookie.partition("=")[0] + "=0"})[0] == 401


def test_named_hosts_are_let_in(pipe):
    with serving(pipe, names=("Sounds.Example",)) as client:
        assert client("GET", "/v1/health", headers={"Host": "sounds.example:80"})[0] == 200
        assert client("GET", "/v1/health", headers={"Host": "other.example"})[2]["error"]["type"] == "misdirected"


def test_twenty_requests_at_once_are_all_answered(client):
    answers = []

    def ask(seed):
        answers.append(client("POST", "/v1/generate", {**QUICK, "seconds": 0.5, "seed": seed})[:2])

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [status for status, _ in answers] == [200] * 20
    assert {headers["x-smg-seed"] for _, headers in answers} == {str(seed) for seed in range(20)}


def test_what_takes_too_long_is_given_up(pipe, monkeypatch):
    entered, go = threading.Event(), threading.Event()

    def make(options, progress):
        entered.set()
        while not go.wait(0.02):
            progress(1, 2)
        return []

    monkeypatch.setattr(pipe, "make", make)
    with serving(pipe, deadline=30) as client:
        status, _, body = client("POST", "/v1/generate", {**QUICK, "deadline": 0.2})
        assert (status, body["error"]["type"]) == (503, "deadline")
        job = client.post("generate", **QUICK)[1]
        assert entered.wait(30)
        status, _, body = client("POST", "/v1/generate", {**QUICK, "deadline": 0.2})  # while it waits for the other
        assert (status, body["error"]["type"]) == (503, "deadline")
        assert client("DELETE", f"/v1/jobs/{job['id']}")[0] == 204
        assert client.wait(job)["state"] == "stopped"


def test_a_client_that_goes_away_stops_its_work(pipe, monkeypatch):
    entered, left = endless_work(pipe, monkeypatch)
    with serving(pipe) as client:
        connection = client.begin("POST", "/v1/generate", QUICK)
        assert entered.wait(30) and not left.is_set()
        connection.close()
        assert left.wait(30)


def test_an_edit_names_its_source_and_hides_where_it_lies(client, noise):
    box = {"start": 0.3, "end": 0.6, "low": 500, "high": None}
    (made,) = client.wait(client.post("inpaint", noise, boxes=[box], steps=2)[1])["sounds"]
    assert made["options"]["input"] == {"sound": noise} and made["options"]["boxes"] == [box]
    _, silent = client.upload(np.zeros(8000), 8000)
    error = client.wait(client.post("extend", silent["id"])[1])["error"]
    assert (
        error["type"] == "invalid"
        and error["message"].startswith("the sound is silent")
        and "/" not in error["message"]
    )


@pytest.mark.parametrize(
    ("task", "options", "status", "part", "field"),
    [
        ("generate", {**QUICK, "seconds": 121}, 400, "up to 120", "seconds"),
        ("generate", {**QUICK, "num": 11}, 400, "up to 10", "num"),
        ("generate", {**QUICK, "steps": "many"}, 400, "whole number", "steps"),
        ("generate", {**QUICK, "guidance": float("nan")}, 400, "use a number from 0 to 30", "guidance"),
        ("generate", {"prompt": " "}, 400, "prompt is empty", "prompt"),
        ("generate", {"prompt": "a" * 30_000}, 400, "use up to 2000", "prompt"),
        ("generate", {"prompt": "a", "like": "/etc/passwd"}, 403, "no folder is open", "like"),
        ("generate", {**QUICK, "step": 1}, 400, "did you mean steps", "step"),
        ("generate", {**QUICK, "format": "aac"}, 400, "use wav, flac", "format"),
        ("generate", {**QUICK, "format": "mp3", "bits": "24"}, 400, "mp3 has no such samples", None),
        ("generate", {**QUICK, "lufs": 3}, 400, "-50 to -5", "lufs"),
        ("vary", {"input": "/etc/passwd"}, 403, "no folder is open", "input"),
        ("vary", {}, 400, "needs input", "input"),
        ("vary", {"input": {"sound": "../../etc/passwd"}}, 404, "no such sound", "input"),
        ("vary", {"input": {"sound": ["x"]}}, 404, "no such sound", "input"),
        ("vary", {"input": {"data": "?"}}, 400, "not base64", "input"),
        ("vary", {"input": {"data": "AAAA"}}, 400, "not a sound file", "input"),
        ("vary", {"input": ["x"]}, 400, "neither a path", "input"),
        ("vary", {"input": {"sound": "x"}, "normalize": False}, 400, "no option", "normalize"),
        ("hum", {}, 404, "there are generate", "task"),
    ],
)
def test_bad_requests_are_one_line(client, task, options, status, part, field):
    for path, body in ((f"/v1/{task}", options), ("/v1/jobs", {"task": task, "options": options})):
        got, _, answer = client("POST", path, body)
        error = answer["error"]
        assert (got, error["field"]) == (status, field) and part in error["message"] and "\n" not in error["message"]


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        (b"[" * 60_000, 400, "not a JSON object"),
        (b"{" + b" " * 70_000 + b"x", 400, "not a JSON object"),
        (b"x", 400, "not a JSON object"),
        (b"", 400, "a task and its options"),
        ({"task": ["vary"], "options": {}}, 400, "a task and its options"),
        ({"task": "generate", "options": []}, 400, "a task and its options"),
        ({"task": "generate", "options": {}, "source": None}, 400, "nothing else"),
    ],
)
def test_jobs_that_are_none_are_refused(client, body, status, part):
    got, _, answer = client("POST", "/v1/jobs", body)
    assert got == status and part in answer["error"]["message"]


def test_boxes_are_checked(client, noise):
    assert "swap" in client.post("inpaint", noise, boxes=[{"start": 1, "end": 0.5}])[1]["error"]["message"]
    assert "up to 16" in client.post("inpaint", noise, boxes=[{"start": 0, "end": 1}] * 17)[1]["error"]["message"]
    assert client.post("inpaint", noise)[0] == 400


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static//etc/passwd",
        "/v1/sounds/..%2f..%2fetc%2fpasswd/about",
        "/../pyproject.toml",
    ],
)
def test_no_other_file_can_be_reached(client, path):
    assert client("GET", path)[0] == 404


def test_the_page_is_whole_and_loads_nothing_from_elsewhere(client):
    _, headers, page = client("GET", "/")
    assert "default-src 'self'" in headers["content-security-policy"] and headers["x-content-type-options"] == "nosniff"
    for link in re.findall(r'(?:src|href)="([^"]*)"', page.decode()):
        assert client("GET", link)[0] == 200
    for file in server.STATIC.iterdir():
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", file.read_text())


def test_only_the_page_itself_can_make_requests(client):
    here = f"127.0.0.1:{client.port}"
    for host in ("evil.example", f"evil.example:{client.port}", "localhost.evil.example", "[::1", ""):
        assert client("GET", "/", headers={"Host": host})[0] == 421
    for host in (here, "localhost", "[::1]:7860"):
        assert client("GET", "/", headers={"Host": host})[0] == 200
    job = {"task": "generate", "options": QUICK}
    for origin in ("http://evil.example", "null", "http://localhost:1"):
        assert client("POST", "/v1/jobs", job, {"Origin": origin})[0] == 403
    assert client("POST", "/v1/jobs", {}, {"Origin": f"http://{here}"})[0] == 400


def test_uploads_are_limited_and_checked(client, monkeypatch):
    monkeypatch.setattr(bodies, "MAX_UPLOAD_BYTES", 100_000)
    assert client.upload(np.zeros(60_000))[0] == 413
    status, body = client.upload(np.zeros(8000 * 301), 8000, "FLAC")
    assert status == 400 and "lasts 301 s" in body["error"]["message"]
    monkeypatch.setattr(sounds, "MAX_SAMPLES", 1000)
    assert client.upload(np.zeros((300, 4)))[0] == 400
    status, _, body = client("POST", "/v1/sounds", b"\x00../not a sound")
    assert status == 400 and body["error"]["message"].startswith("the file: not a sound file")
    assert client("POST", "/v1/sounds", b"")[0] == 400


def test_what_would_take_all_memory_is_refused(client):
    """A small upload of many channels or a high rate is as large as any other once it goes on for a minute."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (50_000, 1024))
    for rate, channels, words in ((10_000_000, 1, "10000000 Hz"), (1, 1, "1 Hz"), (22050, 1024, "1024 channels")):
        status, body = client.upload(noise[:2000, :channels], rate)
        assert status == 400 and words in body["error"]["message"]
    for rate, channels in ((768_000, 1), (22050, 32)):
        status, about = client.upload(noise[:, :channels], rate)
        assert status == 201
        for options in ({"seconds": 60}, {"seconds": 6, "num": 10}):
            status, body = client.post("continue", about["id"], **options)
            assert status == 400 and "would take more than 32 million samples" in body["error"]["message"]
    status, body = client.post("vary", about["id"], num=10)  # at the model's rate, which is no more here
    assert status == 202 and client.wait(body)["state"] == "done"


def test_old_sounds_make_room(pipe, monkeypatch):
    kept = sounds.Sounds(pipe.config.mel)
    monkeypatch.setattr(sounds, "MAX_FOLDER_BYTES", 100_000)
    ids = []
    for _ in range(3):
        path = kept.new_path()
        soundfile.write(path, np.zeros(22050), 22050, format="WAV")
        ids.append(kept.keep_upload(path).about["id"])
    folder = path.parent
    assert kept.get(ids[0]) is None and kept.get(ids[2]) and len(list(folder.iterdir())) == 2
    kept.close()
    assert not folder.exists()


def test_jobs_wait_their_turn_and_can_be_stopped(pipe, monkeypatch):
    go, at_once = threading.Event(), []

    def make(options, progress):
        at_once.append(options.prompt)
        assert go.wait(30)
        progress(1, 2)
        return []

    monkeypatch.setattr(pipe, "make", make)
    monkeypatch.setattr(jobs, "MAX_WAITING", 3)
    with serving(pipe) as client:
        first, second, third = (client.post("generate", prompt=name)[1] for name in "abc")
        assert [job["ahead"] for job in (first, second, third)] == [0, 1, 2]
        status, refused = client.post("generate", prompt="d")
        assert status == 503 and "waiting" in refused["error"]["message"]
        assert client("DELETE", f"/v1/jobs/{second['id']}")[0] == 204 and at_once == ["a"]
        go.set()
        assert client.wait(third)["state"] == "done" and at_once == ["a", "c"]
        assert client.wait(second)["error"]["type"] == "stopped"
        assert client("GET", "/v1/jobs/0")[0] == 404


def test_no_client_takes_the_whole_queue(pipe, monkeypatch):
    go = threading.Event()
    monkeypatch.setattr(pipe, "make", lambda options, progress: [] if go.wait(30) else None)
    monkeypatch.setattr(jobs, "MAX_OF_CLIENT", 2)
    with serving(pipe) as client:
        made = [client.post("generate", prompt=name) for name in "abc"]
        assert [status for status, _ in made] == [202, 202, 429]
        assert "2 jobs of yours" in made[2][1]["error"]["message"]
        go.set()
        assert client.wait(made[1][1])["state"] == "done"
        assert client.post("generate", prompt="d")[0] == 202


@pytest.mark.parametrize(
    "task, options, fits",
    [
        ("generate", {"prompt": "a", "seconds": 120, "num": 10}, True),
        ("generate", {"prompt": "a", "seconds": 120, "steps": 64, "num": 10}, False),
        ("generate", {"prompt": "a", "seconds": 120, "candidates": 8, "num": 10, "steps": 4}, False),
        ("vary", {"num": 10, "steps": 64}, True),
        ("inpaint", {"boxes": [{"start": 0, "end": 1}], "num": 10, "steps": 64}, True),
        ("continue", {"seconds": 120, "steps": 64, "num": 3}, False),
        ("loop", {"join": 8, "steps": 64, "num": 10}, True),
    ],
)
def test_the_work_of_a_job_is_bounded(pipe, monkeypatch, task, options, fits):
    monkeypatch.setattr(pipe, "make", lambda options, progress: [])
    with serving(pipe) as client:
        sound = client.upload(np.random.default_rng(0).standard_normal(8000) * 0.1, 8000)[1]
        source = None if task == "generate" else sound["id"]
        status, told = client.post(task, source, **options)
        assert status == (202 if fits else 400)
        assert fits or "more than one request may ask for" in told["error"]["message"]


@pytest.mark.parametrize("number", ["SIGTERM", "SIGHUP"])
def test_the_command_serves_and_cleans_up(trained, tmp_path, number):
    command = [sys.executable, "-m", "specmaskgit_cli", "serve", "--port", "0", "--host", "0.0.0.0", "--threads", "1"]
    environment = {"SMG_MODEL": str(trained[1]), "TMPDIR": str(tmp_path), "PATH": "", "HOME": str(tmp_path)}
    root = Path(__file__).parents[2]
    with subprocess.Popen([*command, "--json"], cwd=root, env=environment, stdout=-1, stderr=-1, text=True) as process:
        try:
            told = parsed("".join(iter(process.stdout.readline, "}\n")) + "}")
            client = Client(int(re.search(r":(\d+)/", told["url"])[1]))
            assert client.upload(np.zeros(8000))[0] == 401
            client.headers["Authorization"] = f"Bearer {told['token']}"
            assert client.upload(np.zeros(8000))[0] == 201
            assert len(list(tmp_path.glob("smg-server-*/*"))) == 1
        finally:
            process.send_signal(getattr(signal, number))
        assert process.stderr.read() == ""
    assert not list(tmp_path.glob("smg-server-*"))


def test_what_the_command_cannot_do_is_one_line(capsys, monkeypatch, client):
    for arguments, words in (
        (["--port", str(client.port)], f"port {client.port}"),
        (["--allow", "/none/such"], "/none/such, which is no directory"),
        (["--port", "0", "--token", "short"], "too weak"),
    ):
        assert run(["serve", *arguments]) != 0
        assert words in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert run(["ui"]) == 1
    assert "pip install '.[server]'" in capsys.readouterr().err
