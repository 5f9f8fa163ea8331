"""Models from the Hub, against a small Hub on this computer: what arrives and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from support.hub_fixtures import BIG, NAME, error, offline
from support.hub_server import Fault

from specmaskgit_cli.checkpoint import load_checkpoint, resolve, write_sums
from specmaskgit_cli.checkpoint.hub import names as hub_module
from specmaskgit_cli.checkpoint.hub.names import HubName
from specmaskgit_cli.checkpoint.layout import SUMS, inspect_files
from specmaskgit_cli.config.presets import PRESETS
from specmaskgit_cli.config.settings import to_dict

pytest_plugins = ["support.hub_fixtures"]


# names


@pytest.mark.parametrize(
    "text, repo, revision",
    [
        ("some-body/model.v2", "some-body/model.v2", None),
        ("a/b@v1.0", "a/b", "v1.0"),
        ("a/b@refs/pr/1", "a/b", "refs/pr/1"),
    ],
)
def test_names(text, repo, revision):
    assert HubName.parse(text) == HubName(repo, revision)
    assert str(HubName.parse(text)) == text


@pytest.mark.parametrize("text", ["a", "./a", "../a", "a/b/c", "a/b@", "a/b@../x", "a/b@/etc", "a/b@v1/../..", "a b/c"])
def test_names_that_are_none(text):
    assert HubName.parse(text) is None


# what arrives


def test_a_model_is_downloaded_on_first_use_and_pinned(hub, directory, monkeypatch):
    checkpoint = resolve(str(NAME))
    assert checkpoint.commit == hub.commit
    assert checkpoint.directory.name == hub.commit
    assert checkpoint.hash == load_checkpoint(directory).hash
    assert set(inspect_files(checkpoint.directory).values()) == {"ok"}
    assert load_checkpoint(directory).commit is None

    (directory / "config.json").write_text(json.dumps(to_dict(PRESETS["tiny"]) | {"name": "newer"}))
    write_sums(directory)
    newer = hub.publish(NAME.repo, directory)
    hub.requests.clear()
    offline(monkeypatch)
    assert resolve(str(NAME)).commit == hub.commit  # neither asked nor changed
    assert hub.requests == []
    monkeypatch.undo()
    assert newer != hub.commit


def test_pull_brings_a_model_up_to_date_and_keeps_the_old_one(hub, directory):
    hub_module.pull(NAME)
    (directory / "README.md").write_text("other")
    write_sums(directory)
    newer = hub.publish(NAME.repo, directory)
    hub.requests.clear()
    assert hub_module.pull(NAME).name == newer
    assert not hub.asked("GET", BIG)  # its bytes are there
    assert resolve(str(NAME)).commit == newer
    assert resolve(f"{NAME}@{hub.commit}").commit == hub.commit


def test_branches_and_commits(hub, directory):
    (directory / "README.md").write_text("a branch")
    write_sums(directory)
    branch = hub.publish(NAME.repo, directory, branch="v2")
    assert resolve(f"{NAME}@v2").commit == branch
    assert resolve(f"{NAME}@{branch}").commit == branch
    assert resolve(str(NAME)).commit == hub.commit
    assert resolve(f"{NAME}@{hub.commit}").commit == hub.commit


def test_only_listed_files_are_downloaded(hub, directory):
    for name in ("model.bin", "setup.py", "notes.txt", ".gitattributes"):
        (directory / name).write_text("not listed")
    hub.publish(NAME.repo, directory)
    found = hub_module.pull(NAME)
    names = {p.relative_to(found).as_posix() for p in found.rglob("*") if p.is_file()}
    assert names == {SUMS, "config.json", "README.md", "onnx/generator.onnx", "onnx/same.onnx", BIG}
    assert not any(part in path for _, path, _ in hub.requests for part in ("model.bin", "setup.py", "notes"))


def test_the_token_goes_to_the_hub_alone(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", hub.token)
    hub_module.pull(NAME)
    assert all(h.get("authorization") == f"Bearer {hub.token}" for h in hub.asked("GET", "/resolve/"))
    assert [h.get("authorization") for h in hub.asked("GET", "/cdn/")] == [None] * 2  # of three files, two are the same


def test_progress_counts_bytes(hub, directory):
    seen = []
    hub_module.pull(NAME, lambda done, total: seen.append((done, total)))
    total = sum(p.stat().st_size for p in directory.rglob("*") if p.is_file() and p.name not in (SUMS, "same.onnx"))
    assert {t for _, t in seen} == {total}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == total
    assert len(seen) > 5


def test_a_damaged_file_in_the_cache_is_fetched_again(hub):
    found = hub_module.pull(NAME)
    for name in (BIG, "config.json", SUMS):
        (found / name).resolve().write_bytes(b"damaged")
    hub_module.pull(NAME)
    assert set(inspect_files(found).values()) == {"ok"}


def test_a_missing_file_in_the_cache_is_fetched_again(hub):
    found = hub_module.pull(NAME)
    (found / BIG).unlink()
    assert "pull or pack it again" in error(lambda: resolve(str(NAME)))
    hub_module.pull(NAME)
    assert resolve(str(NAME)).commit == hub.commit


def test_without_links_there_are_copies(hub, monkeypatch):
    def refuse(*_):
        raise OSError("this file system has no links")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    monkeypatch.setattr(os, "link", refuse)
    found = hub_module.pull(NAME)
    assert not any(p.is_symlink() for p in found.rglob("*"))
    assert set(inspect_files(found).values()) == {"ok"}


# what is refused


@pytest.mark.parametrize("name", ["model.bin", "model.pt", "model.py", "tokenizer.pkl", "onnx/run", ".hidden/a.json"])
def test_code_and_pickles_are_refused_though_listed(hub, directory, name):
    (directory / name).parent.mkdir(exist_ok=True)
    (directory / name).write_bytes(b"print('no')")
    digest = hashlib.sha256(b"print('no')").hexdigest()
    with (directory / SUMS).open("a") as file:
        file.write(f"{digest}  {name}\n")
    hub.publish(NAME.repo, directory)
    assert name in error()
    assert not hub.asked("GET", name)
    assert not hub.asked("HEAD", name)
    assert hub_module.snapshot(NAME) is None


@pytest.mark.parametrize("name", ["../outside.json", "/tmp/outside.json", "a/../../outside.json"])
def test_names_that_leave_the_directory_are_refused(hub, directory, home, name):
    with (directory / SUMS).open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    hub.publish(NAME.repo, directory)
    assert "is not a SHA-256 sum of a file in the checkpoint" in error()
    assert not list(home.rglob("outside.json"))


@pytest.mark.parametrize("name", [BIG, "config.json"])
def test_wrong_bytes_are_refused(hub, name, home):
    hub.faults[name] = Fault(wrong=True, times=1)
    assert f"{name} is not what SHA256SUMS says" in error()
    assert hub_module.snapshot(NAME) is None
    assert not list((home / "hub").rglob("*.incomplete"))
    assert hub_module.pull(NAME).name == hub.commit  # it was on its way


def test_a_large_file_that_is_another_is_known_before_it_is_sent(hub, directory):
    save_file({"numbers": np.zeros(3)}, directory / BIG)  # not what the sums say
    hub.publish(NAME.repo, directory)
    assert f"{BIG} is not what SHA256SUMS says" in error()
    assert not hub.asked("GET", BIG)


def test_a_file_that_is_missing_there(hub, directory):
    (directory / BIG).unlink()
    hub.publish(NAME.repo, directory)
    message = error()
    assert f"it has no {BIG}" in message
    assert "@revision" in message


@pytest.mark.parametrize("contents", [b"\xff\xfe\x00", b"nonsense\n", b"0" * (1 << 20) + b"0"])
def test_sums_that_are_none(hub, directory, contents):
    (directory / SUMS).write_bytes(contents)
    hub.publish(NAME.repo, directory)
    assert SUMS in error()


def test_a_repository_that_is_no_checkpoint(hub, directory):
    (directory / SUMS).unlink()
    hub.publish(NAME.repo, directory)
    assert f"it has no {SUMS}" in error()


def test_a_server_that_is_no_hub(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/api/models/{repo_id}")
    assert "does not answer like a Hub; check HF_ENDPOINT" in error()


# who may


def test_unknown_names(hub):
    assert "no directory and no Hub model is called 'no/body'" in error(lambda: resolve("no/body"))
    assert "no such revision" in error(lambda: resolve(f"{NAME}@v9"))


def test_private_gated_and_wrong_tokens(hub, monkeypatch):
    repo = hub.repos[NAME.repo]
    repo.private = True
    assert "set HF_TOKEN if it is private" in error()
    repo.private, repo.gated = False, True
    assert "is gated on the Hub; ask for access" in error()
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "does not accept your token" in error()
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert hub_module.pull(NAME).name == hub.commit


@pytest.mark.parametrize(
    "status, words", [(403, "refuses access"), (429, "too many requests"), (503, "out of order "), (418, "418")],
)  # fmt: skip
@pytest.mark.parametrize("method, name", [("HEAD", SUMS), ("GET", BIG)])
def test_statuses(hub, status, words, method, name):
    hub.faults[name] = Fault(status=status, method=method)
    assert words in error()
