"""What the tests of the Hub share: a small checkpoint on a small Hub, and ways to ask for it.

PYTEST_DONT_REWRITE (it is imported before it is a plugin)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from support.hub_server import FakeHub

from specmaskgit_cli.checkpoint import write_sums
from specmaskgit_cli.checkpoint.hub import names as hub_module
from specmaskgit_cli.checkpoint.hub import transfer
from specmaskgit_cli.checkpoint.hub.names import HubName
from specmaskgit_cli.cli import run
from specmaskgit_cli.config.presets import PRESETS
from specmaskgit_cli.config.settings import to_dict
from specmaskgit_cli.errors import SmgError

NAME = HubName("some-body/model.v2")
BIG = "generator.safetensors"
BIG_BYTES = 2_000_000


@pytest.fixture
def directory(tmp_path):
    """A checkpoint of a few files, one of them of two megabytes."""
    path = tmp_path / "model"
    (path / "onnx").mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(to_dict(PRESETS["tiny"])))
    (path / "README.md").write_text("---\nlicense: mit\ntags: [mine]\n---\n\n# Tiny\n")
    (path / "onnx" / "generator.onnx").write_bytes(bytes(range(256)))
    (path / "onnx" / "same.onnx").write_bytes(bytes(range(256)))  # one blob for two names
    numbers = np.random.default_rng(0).integers(0, 256, BIG_BYTES, np.uint8)
    save_file({"numbers": numbers}, path / BIG)
    write_sums(path)
    return path


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def hub(directory, home, monkeypatch):
    """A Hub with that checkpoint, which this process takes for the real one."""
    from huggingface_hub import constants

    with FakeHub() as server:
        for name, value in {
            "ENDPOINT": server.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_OFFLINE": False,
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_TOKEN_PATH": str(home / "token"),
            "HF_HUB_DOWNLOAD_TIMEOUT": 60,
            "HF_HUB_ETAG_TIMEOUT": 60,
            "HF_HUB_DISABLE_XET": True,
        }.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(transfer, "PAUSE", 0.01)
        monkeypatch.setitem(sys.modules, "hf_xet", None)  # nothing may need it
        server.publish(NAME.repo, directory)
        server.commit = server.repos[NAME.repo].refs["main"]
        yield server


def process(*args, hub, home):
    """`smg` in a process of its own, with that Hub."""
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    environment |= {"HF_HUB_DOWNLOAD_TIMEOUT": "60", "HF_HUB_ETAG_TIMEOUT": "60"}
    environment.pop("HF_TOKEN", None)
    command = [sys.executable, "-c", "from specmaskgit_cli.cli import main; main()", *args]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def error(action=None) -> str:
    """The message of a pull, or of something else, that has to fail in one line."""
    with pytest.raises(SmgError) as caught:
        action() if action else hub_module.pull(NAME)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def offline(monkeypatch):
    """As with HF_HUB_OFFLINE=1."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def partial(home) -> Path:
    """The file that an interrupted transfer has left."""
    return next((home / "hub").glob("*/blobs/*.smg.incomplete"))


def smg(capsys, *args):
    """Run a command in this process: exit status, standard output, standard error."""
    status = run(list(args))
    out, err = capsys.readouterr()
    return status, out, err
