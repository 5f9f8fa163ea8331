"""The web page, with each task done once in a real browser."""

import re
import shutil

import numpy as np
import pytest
import soundfile
from support.http_server import serving

from specmaskgit_cli import load
from specmaskgit_cli.sounds.record import read_record


@pytest.fixture(scope="module")
def pipe(trained):
    return load(str(trained[1]), "onnx", threads=1)


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
        options = client("GET", f"/v1/sounds/{items.first.get_attribute('data-id')}/about")[2]["options"]
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
        (box,) = client("GET", f"/v1/sounds/{items.first.get_attribute('data-id')}/about")[2]["options"]["boxes"]
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
        recorded = client("GET", f"/v1/sounds/{items.first.get_attribute('data-id')}/about")[2]
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
        api.expect(page.locator("#error")).to_have_text("seconds is 1000; one request may ask for up to 120")
        browser.close()
    assert not [each for each in problems if not each.endswith("/events")]  # which the page itself closes
