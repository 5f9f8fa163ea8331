"""What `smg doctor` finds in a sound installation and in a damaged one."""

import json
import os
import shutil

from support.json_page import parsed

from specmaskgit_cli.cli import doctor, run


def test_all_is_well(capsys):
    assert run(["doctor", "--json", "--threads", "1"]) == 0
    found = parsed(capsys.readouterr().out)
    assert found["problems"] == []
    assert all(found["packages"][name] for name in doctor.CORE)
    assert found["model"]["name"] == "default" and found["speed"]["times_real_time"] > 0
    assert run(["doctor", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert "everything smg needs is here" in out and found["model"]["hash"] in out


def test_whose_command_is_found_first(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no smg in the PATH" in doctor._command()
    script = tmp_path / ("smg.bat" if os.name == "nt" else "smg")
    script.write_text("#!/bin/sh\nfrom somewhere_else import main\n")
    script.chmod(0o755)
    assert doctor._command() == f"{shutil.which('smg')} is of another program; type specmaskgit"
    script.write_text("#!/bin/sh\nfrom specmaskgit_cli.cli import main\n")
    assert doctor._command() == shutil.which("smg")


def test_a_damaged_model_and_a_missing_package_are_told(tmp_path, capsys, monkeypatch):
    from specmaskgit_cli.checkpoint.registry import shipped

    copy = tmp_path / "model"
    shutil.copytree(shipped(), copy)
    file = copy / "onnx" / "generator.onnx"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(doctor, "CORE", (*doctor.CORE, "no-such-distribution"))
    monkeypatch.setattr(doctor, "_packages", lambda: dict.fromkeys(doctor.CORE) | {"numpy": "1"})
    assert run(["doctor", "--model", str(copy), "--json"]) == 1
    captured = capsys.readouterr()
    problems = " ".join(json.loads(captured.out)["problems"])
    assert "no-such-distribution is not installed" in problems and "generator.onnx" in problems
    assert captured.err.startswith("smg: error:") and captured.err.count("\n") == 1
