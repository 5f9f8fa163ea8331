"""The web page: its HTTP interface with its limits, and each task done once in a real browser."""

import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.json_page import parsed
from support.page_server import Client, serving

pytest.importorskip("starlette")
uvicorn = pytest.importorskip("uvicorn")

from specmaskgit_cli import load  # noqa: E402
from specmaskgit_cli.cli import run  # noqa: E402
from specmaskgit_cli.options import options_of  # noqa: E402
from specmaskgit_cli.server import app as server  # noqa: E402
from specmaskgit_cli.server import jobs, sounds  # noqa: E402
from specmaskgit_cli.sounds.record import read_record  # noqa: E402
from specmaskgit_cli.tasks import TASKS  # noqa: E402

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
    assert client("GET", f"/api/sounds/{first['id']}")[2] == first
    status, headers, data = client("GET", f"/api/sounds/{first['id']}/audio")
    assert status == 200 and headers["content-type"] == "audio/wav" and headers["accept-ranges"] == "bytes"
    (tmp_path / "a.wav").write_bytes(data)
    record = read_record(tmp_path / "a.wav")
    assert record.task.name == "generate" and record.options.prompt == "dog bark" and record.options.seed == 7
    assert client("GET", f"/api/sounds/{first['id']}/image")[2].startswith(b"\x89PNG")
    again = client.wait(client.post("generate", **{**first["options"], "num": 1})[1])["sounds"][0]
    assert client("GET", f"/api/sounds/{again['id']}/audio")[2] == data


def test_the_form_is_made_from_the_options(client):
    tasks = client("GET", "/api/about")[2]["tasks"]
    assert list(tasks) == list(TASKS)
    for task, options in tasks.items():
        assert options.keys() == options_of(TASKS[task].options).keys() - {"input", "like", "like_weight"}
    steps, order = tasks["vary"]["steps"], tasks["vary"]["order"]
    assert (steps["kind"], steps["low"], steps["high"], steps["default"]) == ("Whole", 1, 64, 2)
    assert order["words"][0] == order["default"] == "confidence" and order["group"] == "Sampling"


def test_an_edit_names_its_source_and_hides_where_it_lies(client, noise):
    box = {"start": 0.3, "end": 0.6, "low": 500, "high": None}
    (made,) = client.wait(client.post("inpaint", noise, boxes=[box], steps=2)[1])["sounds"]
    assert made["source"] == noise and made["options"]["boxes"] == [box] and "input" not in made["options"]
    _, silent = client.upload(np.zeros(8000), 8000)
    error = client.wait(client.post("extend", silent["id"])[1])["error"]
    assert error.startswith("the sound is silent") and "/" not in error


@pytest.mark.parametrize(
    ("request_", "status", "part"),
    [
        ({"task": "generate", "options": {**QUICK, "seconds": 121}}, 400, "up to 120"),
        ({"task": "generate", "options": {**QUICK, "num": 11}}, 400, "up to 10"),
        ({"task": "generate", "options": {**QUICK, "steps": "many"}}, 400, "whole number"),
        ({"task": "generate", "options": {**QUICK, "guidance": float("nan")}}, 400, "guidance"),
        ({"task": "generate", "options": {"prompt": " "}}, 400, "prompt is empty"),
        ({"task": "generate", "options": {"prompt": "a" * 30_000}}, 400, "use up to 2000"),
        ({"task": "generate", "options": {"prompt": "a", "like": "/etc/passwd"}}, 400, "nothing else"),
        ({"task": "vary", "options": {"input": "/etc/passwd"}}, 400, "nothing else"),
        ({"task": "vary", "options": {}}, 400, "generate or upload a sound first"),
        ({"task": "vary", "options": {}, "source": "../../etc/passwd"}, 404, "no such sound"),
        ({"task": "vary", "options": {}, "source": ["x"]}, 404, "no such sound"),
        ({"task": ["vary"], "options": {}}, 400, "unknown task"),
        ({"task": "generate", "options": {**QUICK, "volume": 1}}, 400, "volume"),
        ({"task": "generate", "options": []}, 400, "nothing else"),
        (b"[" * 60_000, 400, "not a JSON object"),
        (b"x" * 70_000, 413, "more than"),
    ],
)
def test_bad_requests_are_one_line(client, request_, status, part):
    got, _, body = client("POST", "/api/jobs", request_)
    assert got == status and part in body["error"] and "\n" not in body["error"]


def test_boxes_are_checked(client, noise):
    assert "swap" in client.post("inpaint", noise, boxes=[{"start": 1, "end": 0.5}])[1]["error"]
    assert "up to 16" in client.post("inpaint", noise, boxes=[{"start": 0, "end": 1}] * 17)[1]["error"]
    assert client.post("inpaint", noise)[0] == 400


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        "/static//etc/passwd",
        "/api/sounds/..%2f..%2fetc%2fpasswd/audio",
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
        assert client("POST", "/api/jobs", job, {"Origin": origin})[0] == 403
    assert client("POST", "/api/jobs", {}, {"Origin": f"http://{here}"})[0] == 400


def test_uploads_are_limited_and_checked(client, monkeypatch):
    monkeypatch.setattr(server, "MAX_UPLOAD_BYTES", 100_000)
    assert client.upload(np.zeros(60_000))[0] == 413
    status, body = client.upload(np.zeros(8000 * 301), 8000, "FLAC")
    assert status == 400 and "lasts 301 s" in body["error"]
    monkeypatch.setattr(sounds, "MAX_SAMPLES", 1000)
    assert client.upload(np.zeros((300, 4)))[0] == 400
    status, _, body = client("POST", "/api/sounds", b"\x00../not a sound")
    assert status == 400 and body["error"].startswith("the file: not a sound file")
    assert client("POST", "/api/sounds", b"")[0] == 400


def test_what_would_take_all_memory_is_refused(client):
    """A small upload of many channels or a high rate is as large as any other once it goes on for a minute."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (50_000, 1024))
    for rate, channels, words in ((10_000_000, 1, "10000000 Hz"), (1, 1, "1 Hz"), (22050, 1024, "1024 channels")):
        status, body = client.upload(noise[:2000, :channels], rate)
        assert status == 400 and words in body["error"]
    for rate, channels in ((768_000, 1), (22050, 32)):
        status, about = client.upload(noise[:, :channels], rate)
        assert status == 201
        for options in ({"seconds": 60}, {"seconds": 6, "num": 10}):
            status, body = client.post("continue", about["id"], **options)
            assert status == 400 and "would take more than 32 million samples" in body["error"]
    status, body = client.post("vary", about["id"], num=10)  # at the model's rate, which is no more here
    assert status == 202 and client.wait(body)["state"] == "done"


def test_old_sounds_make_room(pipe, monkeypatch):
    kept = sounds.Sounds(pipe.config.mel)
    monkeypatch.setattr(sounds, "MAX_FOLDER_BYTES", 100_000)
    ids = []
    for _ in range(3):
        path = kept.new_path()
        soundfile.write(path, np.zeros(22050), 22050, format="WAV")
        ids.append(kept.keep_upload(path)["id"])
    folder = path.parent
    assert kept.get(ids[0]) is None and kept.get(ids[2]) and len(list(folder.iterdir())) == 4
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
        assert status == 503 and "waiting" in refused["error"]
        assert client("DELETE", f"/api/jobs/{second['id']}")[0] == 204 and at_once == ["a"]
        go.set()
        assert client.wait(third)["state"] == "done" and at_once == ["a", "c"]
        assert client.wait(second)["error"] == "stopped"
        assert client("GET", "/api/jobs/0")[0] == 404


def test_no_client_takes_the_whole_queue(pipe, monkeypatch):
    go = threading.Event()
    monkeypatch.setattr(pipe, "make", lambda options, progress: [] if go.wait(30) else None)
    monkeypatch.setattr(jobs, "MAX_OF_CLIENT", 2)
    with serving(pipe) as client:
        made = [client.post("generate", prompt=name) for name in "abc"]
        assert [status for status, _ in made] == [202, 202, 503]
        assert "2 jobs of yours" in made[2][1]["error"]
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
        assert fits or "more than this page makes at once" in told["error"]


def test_the_command_serves_warns_and_cleans_up(trained, tmp_path):
    command = [sys.executable, "-m", "specmaskgit_cli", "ui", "--port", "0", "--no-browser", "--host", "0.0.0.0"]
    environment = {"SMG_MODEL": str(trained[1]), "TMPDIR": str(tmp_path), "PATH": "", "HOME": str(tmp_path)}
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [*command, "--threads", "1", "--json"], cwd=root, env=environment, stdout=-1, stderr=-1, text=True
    ) as process:
        try:
            said = "".join(iter(process.stdout.readline, "}\n")) + "}"
            port = int(re.search(r":(\d+)/", parsed(said)["url"])[1])
            assert Client(port).upload(np.zeros(8000))[0] == 201
            assert len(list(tmp_path.glob("smg-ui-*/*"))) == 2
        finally:
            process.send_signal(signal.SIGTERM)
        assert "without a password" in process.stderr.read()
    assert not list(tmp_path.glob("smg-ui-*"))


def test_what_the_command_cannot_do_is_one_line(capsys, monkeypatch, client):
    assert run(["ui", "--port", str(client.port), "--no-browser"]) == 1
    assert f"port {client.port}" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert run(["ui"]) == 1
    assert "pip install 'specmaskgit-cli[ui]'" in capsys.readouterr().err


def test_each_task_in_a_browser(pipe, tmp_path):
    api = pytest.importorskip("playwright.sync_api")
    if (chromium := shutil.which("chromium") or shutil.which("chromium-browser")) is None:
        pytest.skip("no Chromium")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
                 "--disable-sync", "--no-first-run", "--use-fake-device-for-media-stream",
                 "--use-fake-ui-for-media-stream"]  # fmt: skip
    soundfile.write(tmp_path / "low.wav", np.random.default_rng(0).standard_normal(8000) * 0.1, 8000)
    with serving(pipe) as client, api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=arguments)
        page = browser.new_page(viewport={"width": 360, "height": 800})
        problems = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("requestfailed", lambda request: problems.append(request.url))
        page.set_default_timeout(30_000)
        page.goto(f"http://127.0.0.1:{client.port}/")
        items = page.locator("#history li")

        def run(task):
            count = items.count()
            page.get_by_role("radio", name=task.title()).check()
            page.locator("#go").click()
            api.expect(items).to_have_count(count + 1, timeout=30_000)
            assert items.first.locator(".meta").inner_text().startswith(task)

        page.get_by_label("Steps").last.fill("2")
        page.get_by_label("Seconds").last.fill("1")
        page.get_by_label("Variety").last.fill("0.45")
        page.get_by_label("Prompt").fill("dog bark")
        page.get_by_label("Prompt").press("Enter")
        items.first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        items.first.locator(".choose").click()
        api.expect(page.locator("#playhead")).to_be_visible()
        assert page.evaluate("audio.duration") == pytest.approx(1, abs=0.01)
        shown = page.locator("#settings").inner_text()
        options = client("GET", f"/api/sounds/{items.first.get_attribute('data-id')}")[2]["options"]
        assert options["variety"] == 0.45 and options["steps"] == 2

        picture = page.locator("#picture")
        picture.scroll_into_view_if_needed()
        area = picture.bounding_box()
        page.mouse.move(area["x"] + area["width"] * 0.25, area["y"] + area["height"] * 0.4)
        page.mouse.down()
        page.mouse.move(area["x"] + area["width"] * 0.75, area["y"] + area["height"], steps=4)
        page.mouse.up()
        assert page.locator("input[value=inpaint]").is_checked() and page.locator("#selection").is_visible()
        run("inpaint")
        (box,) = client("GET", f"/api/sounds/{items.first.get_attribute('data-id')}")[2]["options"]["boxes"]
        assert box["start"] == pytest.approx(0.25, abs=0.02) and box["end"] == pytest.approx(0.75, abs=0.02)
        assert box["low"] is None and 1500 < box["high"] < 3500

        page.locator("#file").set_input_files(tmp_path / "low.wav")
        page.get_by_role("heading", name="uploaded sound").wait_for()
        run("extend")
        run("continue")
        run("vary")
        page.get_by_role("button", name="Record").click()
        page.get_by_role("button", name="End recording").wait_for()
        page.wait_for_timeout(1000)  # the microphone of the test beeps once a second
        page.get_by_role("button", name="End recording").click()
        page.get_by_role("heading", name="uploaded sound").wait_for()
        recorded = client("GET", f"/api/sounds/{items.first.get_attribute('data-id')}")[2]
        assert recorded["task"] == "upload" and 0.5 < recorded["seconds"] < 5 and recorded["channels"] == 1
        page.locator("input[value=sketch]").check(force=True)
        assert page.get_by_label("Follow when it is loud").is_visible()
        page.get_by_label("Prompt").fill("rain")
        run("sketch")
        run("loop")
        assert page.evaluate("audio.loop")

        page.reload()
        api.expect(items).to_have_count(9)
        items.last.get_by_role("button", name="Load settings").click()
        assert page.get_by_label("Prompt").input_value() == "dog bark"
        run("generate")
        again = page.locator("#settings").inner_text()
        assert re.sub(r"made in\s+.* s", "", again) == re.sub(r"made in\s+.* s", "", shown)
        with page.expect_download() as download:
            page.locator("#download").click()
        assert re.fullmatch(r"dog-bark-generate-\d+\.wav", download.value.suggested_filename)
        assert read_record(download.value.path()).options.prompt == "dog bark"
        page.get_by_label("Seconds").last.fill("1000")
        page.locator("#go").click()
        api.expect(page.locator("#error")).to_have_text("seconds is 1000; this page takes up to 120")
        browser.close()
    assert not problems
