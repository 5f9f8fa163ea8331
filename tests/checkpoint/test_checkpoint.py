"""Checkpoint directories: what is accepted, and how damage is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import specmaskgit_cli
from specmaskgit_cli.checkpoint import load_checkpoint, load_tensors, registry, resolve, write_sums
from specmaskgit_cli.checkpoint.card import known_sounds, read_card
from specmaskgit_cli.checkpoint.layout import inspect_files
from specmaskgit_cli.config.presets import PRESETS
from specmaskgit_cli.config.settings import to_dict
from specmaskgit_cli.errors import SmgError

SOUNDS = ["dog barking", "rain"]


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "model"
    (path / "onnx").mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(to_dict(PRESETS["tiny"])))
    (path / "README.md").write_text("---\nlicense: cc-by-sa-4.0\n---\n\n# Tiny\n\n---\n\nA model card.\n")
    (path / "known_sounds.json").write_text(json.dumps(SOUNDS))
    (path / "onnx" / "generator.onnx").write_bytes(bytes(range(256)))
    save_file({"half": np.ones((2, 3), np.float16), "index": np.arange(3)}, path / "generator.safetensors")
    (path / ".gitattributes").write_text("hidden")
    write_sums(path)
    return path


def set_config(directory, **values):
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    write_sums(directory)


def test_loads_what_was_written(directory):
    checkpoint = load_checkpoint(directory)
    assert checkpoint.config == PRESETS["tiny"]
    assert checkpoint.path("onnx/generator.onnx").read_bytes() == bytes(range(256))
    tensors = checkpoint.tensors("generator.safetensors")
    assert tensors["half"].dtype == np.float32
    assert tensors["half"].shape == (2, 3)
    assert tensors["index"].tolist() == [0, 1, 2]
    assert set(inspect_files(directory).values()) == {"ok"}
    assert "onnx/generator.onnx" in checkpoint
    assert ".gitattributes" not in checkpoint


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="needs coreutils")
def test_sums_are_those_of_coreutils(directory):
    assert subprocess.run(["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"], cwd=directory).returncode == 0


def test_card_and_known_sounds(directory):
    checkpoint = load_checkpoint(directory)
    assert read_card(checkpoint) == "# Tiny\n\n---\n\nA model card."
    assert known_sounds(checkpoint) == SOUNDS


def test_hash_names_the_contents(directory, tmp_path):
    copy = shutil.copytree(directory, tmp_path / "copy")
    assert load_checkpoint(copy).hash == load_checkpoint(directory).hash
    set_config(copy, name="other")
    assert load_checkpoint(copy).hash != load_checkpoint(directory).hash


@pytest.mark.parametrize("name", ["onnx/generator.onnx", "generator.safetensors"])
@pytest.mark.parametrize("position", [0, 100, -1])
def test_a_flipped_bit_is_refused_on_use(directory, name, position):
    data = bytearray((directory / name).read_bytes())
    data[position] ^= 1
    (directory / name).write_bytes(data)
    checkpoint = load_checkpoint(directory)
    with pytest.raises(SmgError, match=f"{name} is changed; pull or pack it again"):
        checkpoint.path(name)
    assert [state for state in inspect_files(directory).items() if state[1] != "ok"] == [(name, "changed")]


def test_a_changed_config_is_refused_at_once(directory):
    path = directory / "config.json"
    path.write_text(path.read_text().replace("tiny", "tinY"))
    with pytest.raises(SmgError, match=r"config.json is changed"):
        load_checkpoint(directory)


def test_a_truncated_file_is_refused(directory):
    path = directory / "generator.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SmgError, match="generator.safetensors is changed"):
        load_checkpoint(directory).tensors("generator.safetensors")
    with pytest.raises(SmgError, match="not a readable safetensors file"):
        load_tensors(path)


@pytest.mark.parametrize("name", ["onnx/generator.onnx", "README.md", "config.json"])
def test_a_missing_file_is_refused_at_once(directory, name):
    (directory / name).unlink()
    with pytest.raises(SmgError, match=f"{name} is missing"):
        load_checkpoint(directory)
    assert inspect_files(directory)[name] == "missing"


def test_a_file_that_never_was_is_named(directory):
    with pytest.raises(SmgError, match=r"has no onnx/vocoder.onnx"):
        load_checkpoint(directory).path("onnx/vocoder.onnx")


def test_no_sums_no_checkpoint(directory, tmp_path):
    (directory / "SHA256SUMS").unlink()
    with pytest.raises(SmgError, match="not a checkpoint"):
        load_checkpoint(directory)
    with pytest.raises(SmgError, match="no such directory"):
        load_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "C:\\x", ""])
def test_sums_cannot_reach_outside(directory, name):
    with (directory / "SHA256SUMS").open("a") as file:
        file.write(f"{'0' * 64}  {name}\n")
    with pytest.raises(SmgError, match="line 6 is not a SHA-256 sum"):
        load_checkpoint(directory)


def test_unknown_setting(directory):
    set_config(directory, flavour=3)
    with pytest.raises(SmgError, match="unknown setting 'flavour'"):
        load_checkpoint(directory)


def test_newer_format_is_named_before_its_unknown_settings(directory):
    set_config(directory, format_version=99, flavour=3)
    with pytest.raises(SmgError, match="checkpoint format 99.*update smg"):
        load_checkpoint(directory)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"mel": 3}'])
def test_config_that_is_no_config(directory, text):
    (directory / "config.json").write_text(text)
    write_sums(directory)
    with pytest.raises(SmgError, match=r"config.json"):
        load_checkpoint(directory)


def test_resolve_takes_a_directory_or_the_environment(directory, monkeypatch):
    assert resolve(str(directory)).config.name == "tiny"
    monkeypatch.setenv("SMG_MODEL", str(directory))
    assert resolve().directory == directory


def test_unknown_models_are_one_line(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("nothing", "./nothing/here/at-all", "no body/model"):
        with pytest.raises(SmgError, match="unknown model") as caught:
            registry.find(name)
        assert "'default'" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_every_package_is_installed():
    root = Path(__file__).parents[2]
    if not (root / "pyproject.toml").is_file():
        pytest.skip("not a source checkout")
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {".".join(path.parent.relative_to(root).parts) for path in (root / "specmaskgit_cli").rglob("*.py")}
    assert set(settings["packages"]) == found | {"specmaskgit_cli.weights"}


def test_every_file_beside_the_code_is_installed():
    """Wherever the tests run, also from a wheel: the lists and pages that the code opens are there."""
    package = Path(specmaskgit_cli.__file__).parent
    for name in ("data/synonyms.json", "evaluation/held_out_sources.txt", "py.typed", "server/static/index.html"):
        assert (package / name).is_file(), name
    assert (resolve().directory / "onnx" / "text_encoder.onnx").is_file()
