"""Without a home directory, as in containers for a user that the system does not know: it works, or a line says why."""

import os

import huggingface_hub.constants  # which looks for the home directory when it is imported
import pytest

from specmaskgit_cli.checkpoint import registry
from specmaskgit_cli.cli import run
from specmaskgit_cli.data.clips import cache_folder
from specmaskgit_cli.errors import SmgError


@pytest.fixture
def homeless(monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("SMG_CACHE", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # what it does where it knows no home


def test_models_are_listed_and_found(homeless, monkeypatch, capsys):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", "~/.cache/huggingface/hub")
    assert run(["models", "list"]) == 0
    assert "default" in capsys.readouterr().out
    assert run(["models", "pull", "a/b"]) == 1
    assert "set HF_HOME" in capsys.readouterr().err and not os.path.exists("~")


@pytest.mark.parametrize("option", ["--model", "--vocoder"])
def test_a_tilde_that_stands_for_nothing_is_said(homeless, capsys, option, tmp_path):
    assert run(["generate", "rain", "-o", str(tmp_path / "x.wav"), option, "~/m"]) == 1
    error = capsys.readouterr().err
    assert "~/m: there is no home directory" in error and error.count("\n") == 1
    with pytest.raises(SmgError, match="SMG_CACHE"):
        cache_folder()


def test_a_home_of_nobody(capsys, tmp_path):
    with pytest.raises(SmgError, match="whole path"):
        registry.expanded("~nobody-of-that-name/m")


def test_certificates_that_are_not_there_are_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent.pem")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    huggingface_hub.close_session()  # one that is open has read its certificates
    assert run(["models", "pull", "a/b"]) == 1
    assert "SSL_CERT_FILE is '/nonexistent.pem'" in capsys.readouterr().err
