"""`smg models` and --model with the Hub: pull, list, remove, push, and a sound."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile
from support.hub_fixtures import BIG, NAME, error, offline, partial, smg
from support.hub_server import Fault
from support.json_page import parsed

from specmaskgit_cli.checkpoint import load_checkpoint, registry, resolve, write_sums
from specmaskgit_cli.checkpoint.hub import names as hub_module
from specmaskgit_cli.checkpoint.hub.names import HubName
from specmaskgit_cli.checkpoint.layout import SUMS, inspect_files

pytest_plugins = ["support.hub_fixtures"]


def test_pull_show_verify_list_remove(hub, capsys, monkeypatch):
    status, out, err = smg(capsys, "models", "pull", str(NAME))
    assert (status, err) == (0, "")
    directory = Path(out.split()[-1])
    assert out == f"{NAME.repo}@{hub.commit}  {directory}\n"
    status, out, _ = smg(capsys, "models", "pull", f"{NAME}@main", "--json")
    document = {"model": NAME.repo, "commit": hub.commit, "hash": load_checkpoint(directory).hash}
    assert parsed(out).items() >= (document | {"directory": str(directory)}).items()
    assert smg(capsys, "models", "pull", str(NAME), "--quiet") == (0, "", "")
    offline(monkeypatch)
    assert f"{NAME.repo}@{hub.commit}  {directory}\n" in smg(capsys, "models", "list")[1]
    assert parsed(smg(capsys, "models", "show", str(NAME), "--json")[1])["commit"] == hub.commit
    assert smg(capsys, "models", "verify", str(NAME))[0] == 0
    status, out, _ = smg(capsys, "models", "remove", str(NAME))
    assert (status, out) == (0, f"removed {NAME}, 2.0 MB\n")
    assert not directory.exists()
    assert registry.cached() == []
    status, out, err = smg(capsys, "models", "remove", str(NAME))
    assert (status, out) == (1, "")
    assert err == f"smg: error: model {str(NAME)!r} is not downloaded; smg models list shows what is\n"


def test_remove_one_revision(hub, directory, capsys):
    old = hub_module.pull(NAME)
    (directory / "README.md").write_text("other")
    write_sums(directory)
    hub.publish(NAME.repo, directory)
    new = hub_module.pull(NAME)
    assert hub_module.remove(HubName(NAME.repo, old.name)) < 100_000  # the big file is still needed
    assert not old.exists()
    assert set(inspect_files(new).values()) == {"ok"}
    assert "is not downloaded" in error(lambda: hub_module.remove(HubName(NAME.repo, old.name)))
    assert "is not downloaded" in error(lambda: hub_module.remove(HubName(NAME.repo, "v9")))
    assert hub_module.remove(HubName(NAME.repo, "main")) > 2_000_000
    assert hub_module.snapshot(NAME) is None


def test_remove_what_an_interrupted_pull_has_left(hub, home):
    hub.faults[BIG] = Fault(cut=700_000)
    error()
    size = partial(home).stat().st_size
    assert hub_module.remove(NAME) >= size
    assert not NAME.folder.exists()


def test_remove_keeps_what_is_not_the_hubs(capsys, directory):
    status, _, err = smg(capsys, "models", "remove", "default")
    assert status == 1
    assert "part of the program" in err
    status, _, err = smg(capsys, "models", "remove", str(directory))
    assert status == 2
    assert "not a name on the Hub" in err
    assert directory.is_dir()


def test_push_and_pull_back(hub, directory, capsys, monkeypatch, home):
    monkeypatch.setenv("HF_TOKEN", hub.token)
    (directory / "unlisted.txt").write_text("mine")
    status, out, err = smg(capsys, "models", "push", str(directory), "me/new", "--private", "--message", "First")
    assert (status, err) == (0, "")
    repo = hub.repos["me/new"]
    assert out == f"me/new@{repo.refs['main']}\n"
    assert repo.private
    assert repo.messages == ["First"]
    pushed = repo.commits[repo.refs["main"]]
    assert set(pushed) == {SUMS, "config.json", "README.md", "onnx/generator.onnx", "onnx/same.onnx", BIG}
    found = resolve("me/new")
    assert found.path(BIG).read_bytes() == (directory / BIG).read_bytes()
    card = found.path("README.md").read_text()
    assert card.endswith("# Tiny\n")
    for line in ("license: mit", "library_name: specmaskgit-cli", "pipeline_tag: text-to-audio", "- mine"):
        assert line in card
    # A card that says it all goes up as it is, and so the same checkpoint comes back.
    status, out, _ = smg(capsys, "models", "push", str(found.directory), "me/new", "--json")
    assert parsed(out)["model"] == "me/new"
    assert len(repo.messages) == 2
    assert resolve(f"me/new@{json.loads(out)['commit']}").hash == found.hash


def test_push_writes_a_card_where_there_is_none(hub, directory, monkeypatch):
    from specmaskgit_cli.checkpoint.hub.upload import push

    monkeypatch.setenv("HF_TOKEN", hub.token)
    (directory / "README.md").unlink()
    write_sums(directory)
    commit = push(directory, HubName("me/bare"))
    assert "license: other" in hub.repos["me/bare"].commits[commit]["README.md"].decode()
    assert set(inspect_files(hub_module.pull(HubName("me/bare"))).values()) == {"ok"}


def test_push_refuses(hub, directory, monkeypatch):
    from specmaskgit_cli.checkpoint.hub.upload import push

    name = HubName("me/new")
    assert "set HF_TOKEN to a token with write access" in error(lambda: push(directory, name))
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert "leave @v1 out" in error(lambda: push(directory, HubName("me/new", "v1")))
    offline(monkeypatch)
    assert "HF_HUB_OFFLINE" in error(lambda: push(directory, name))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    hub.faults["upload"] = Fault(status=403, method="PUT")
    assert "'me/new'" in error(lambda: push(directory, name))
    hub.faults.clear()
    (directory / "README.md").write_text("---\n{: [\n---\n")
    write_sums(directory)
    assert "not YAML" in error(lambda: push(directory, name))
    (directory / BIG).write_bytes(b"damaged")
    assert f"{BIG} is changed; only a whole checkpoint is pushed" in error(lambda: push(directory, name))
    (directory / "code.py").write_text("")
    write_sums(directory)
    assert "code.py" in error(lambda: push(directory, name))
    assert hub.repos.get("me/new") is None or not hub.repos["me/new"].commits


def test_a_sound_from_a_model_on_the_hub(hub, tmp_path, capsys):
    commit = hub.publish("some-body/sounds", registry.shipped())
    sound = tmp_path / "out.wav"
    options = ["--seconds", "0.5", "--steps", "2", "--guidance", "0", "--seed", "1", "--json"]
    status, out, err = smg(capsys, "generate", "rain", "-o", str(sound), "--model", "some-body/sounds", *options)
    assert status == 0, err
    report = json.loads(out)
    assert report["model_commit"] == commit
    status, out, _ = smg(capsys, "generate", "rain", "-o", str(tmp_path / "same.wav"), *options)
    assert status == 0
    assert json.loads(out)["model_commit"] is None
    assert json.loads(out)["model_hash"] == report["model_hash"]
    samples, same = soundfile.read(sound)[0], soundfile.read(tmp_path / "same.wav")[0]
    assert np.array_equal(samples, same)
    assert np.abs(samples).max() > 0.1
