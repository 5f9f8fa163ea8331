"""What goes wrong between this computer and the Hub: cut, hanging and parallel transfers, full disks."""

from __future__ import annotations

import hashlib
import shutil
import signal
import time
from pathlib import Path

from support.hub_fixtures import BIG, NAME, error, offline, partial, process
from support.hub_server import Fault

from specmaskgit_cli.checkpoint.hub import names as hub_module
from specmaskgit_cli.checkpoint.hub.names import HubName
from specmaskgit_cli.checkpoint.layout import inspect_files

pytest_plugins = ["support.hub_fixtures"]


def test_a_cut_transfer_goes_on_by_itself(hub):
    hub.faults[BIG] = Fault(cut=700_000, times=1)
    found = hub_module.pull(NAME)
    assert set(inspect_files(found).values()) == {"ok"}
    first, second = [h.get("range") for h in hub.asked("GET", f"/cdn/{NAME.repo}/{hub.commit}/{BIG}")]
    assert first is None
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= 700_000


def test_a_transfer_that_stays_cut_is_resumed_by_the_next_run(hub, home):
    hub.faults[BIG] = Fault(cut=700_000)
    pinned = HubName(NAME.repo, hub.commit)
    assert "what has arrived is kept" in error(lambda: hub_module.pull(pinned))
    assert hub_module.snapshot(pinned) is None
    size = partial(home).stat().st_size
    assert 0 < size <= 700_000
    hub.faults.clear()
    hub.requests.clear()
    hub_module.pull(pinned)
    assert [h.get("range") for h in hub.asked("GET", f"/cdn/{NAME.repo}/{hub.commit}/{BIG}")] == [f"bytes={size}-"]
    assert not hub.asked("GET", "config.json")  # was there, whole
    assert not list((home / "hub").rglob("*.incomplete"))


def arrived(home) -> int:
    """Bytes of the interrupted transfer; the server may wait before the client has made its file."""
    return sum(path.stat().st_size for path in (home / "hub").glob("*/blobs/*.smg.incomplete"))


def test_a_killed_process_is_resumed_by_another(hub, home):
    hub.faults[BIG] = Fault(hang=1_000_000, times=1)
    child = process("models", "pull", str(NAME), hub=hub, home=home)
    assert hub.waiting.wait(300)
    deadline = time.monotonic() + 300
    while arrived(home) < 500_000 and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    size = partial(home).stat().st_size
    assert 500_000 <= size <= 1_000_000
    hub.requests.clear()
    found = hub_module.pull(NAME)
    assert set(inspect_files(found).values()) == {"ok"}
    assert [h.get("range") for h in hub.asked("GET", f"/cdn/{NAME.repo}/{hub.commit}/{BIG}")] == [f"bytes={size}-"]


def test_a_server_that_sends_all_when_asked_for_the_rest(hub, home):
    hub.faults[BIG] = Fault(cut=700_000)
    error()
    hub.faults[BIG] = Fault(whole=True)
    assert set(inspect_files(hub_module.pull(NAME)).values()) == {"ok"}


def test_a_part_that_is_none_of_it(hub, home):
    hub.faults[BIG] = Fault(cut=700_000)
    error()
    hub.faults.clear()
    path = partial(home)
    path.write_bytes(bytes(path.stat().st_size))
    assert f"{BIG} is not what SHA256SUMS says" in error()
    assert hub_module.pull(NAME).name == hub.commit
    assert set(inspect_files(hub_module.pull(NAME)).values()) == {"ok"}


def test_a_server_that_hangs_or_is_gone(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 1)
    hub.faults[BIG] = Fault(hang=0)
    started = time.monotonic()
    assert "cannot be reached, or the connection broke" in error()
    assert 3 <= time.monotonic() - started < 120  # three attempts, not for ever
    hub.__exit__()
    assert "cannot be reached, or the connection broke" in error()


def test_offline(hub, monkeypatch):
    offline(monkeypatch)
    assert "HF_HUB_OFFLINE is set" in error()


def test_a_full_disk(hub, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    message = error()
    assert "too full for model 'some-body/model.v2'" in message
    assert "HF_HOME" in message
    assert not hub.asked("GET", "/cdn/")


def test_a_disk_that_fills_up(hub, monkeypatch):
    from io import FileIO

    class Full(FileIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    real, blob = Path.open, hashlib.sha256(hub.repos[NAME.repo].commits[hub.commit][BIG]).hexdigest()

    def open_(path, mode="r", *args, **options):
        return Full(path, "wb") if blob in path.name and mode == "wb" else real(path, mode, *args, **options)

    monkeypatch.setattr(Path, "open", open_)
    assert "too full" in error()


def test_a_cache_that_cannot_be_written(hub, home):
    home.mkdir(exist_ok=True)
    (home / "hub").write_text("a file where the cache should be")
    assert "model 'some-body/model.v2'" in error()


def test_two_processes_pull_at_once(hub, home):
    hub.faults[BIG] = Fault(pause=500_000, times=1)
    children = [process("models", "pull", str(NAME), hub=hub, home=home)]
    assert hub.waiting.wait(300)
    children.append(process("models", "pull", str(NAME), hub=hub, home=home))
    time.sleep(2)  # time enough, mostly, to begin a transfer of its own, were it not to wait
    hub.resumed.set()
    results = [child.communicate(timeout=300) for child in children]
    assert [child.returncode for child in children] == [0, 0], results
    assert results[0] == results[1]
    assert results[0][1] == ""
    assert len(hub.asked("GET", f"/cdn/{NAME.repo}/{hub.commit}/{BIG}")) == 1
