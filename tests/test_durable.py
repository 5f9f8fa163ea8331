"""Files that are replaced keep their rights, and are on the disk before they have their names."""

import os
import stat

import numpy as np
import pytest

from specmaskgit_cli import durable
from specmaskgit_cli.audio.files import atomic_path, write_audio
from specmaskgit_cli.batch.results import Results
from specmaskgit_cli.errors import SmgError

TONE = np.sin(np.arange(2000) / 9).astype(np.float32)


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_files_follow_the_umask_and_old_ones_keep_their_mode(tmp_path):
    path = tmp_path / "a.wav"
    before = os.umask(0o027)
    try:
        write_audio(path, TONE, 8000)
        assert mode(path) == 0o640
        for kept in (0o600, 0o664):
            path.chmod(kept)
            write_audio(path, TONE, 8000)
            assert mode(path) == kept
        made = tmp_path / "made"
        made.touch(0o600)
        durable.usual_rights(made)
        assert mode(made) == 0o640 and [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    finally:
        os.umask(before)


def test_owners_stay(tmp_path, monkeypatch):
    path, given = tmp_path / "a.wav", []
    write_audio(path, TONE, 8000)
    monkeypatch.setattr(os, "chown", lambda file, *ids: given.append(ids))
    write_audio(path, TONE, 8000)
    assert given == [(-1, path.stat().st_gid), (path.stat().st_uid, -1)]

    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refused)
    write_audio(path, TONE, 8000)  # by who may not give files away


def test_files_are_synced_before_and_directories_after_they_are_named(tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(durable, "sync", lambda path: done.append(("sync", path.name)))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append(("replace", b.name)), replace(a, b)))
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_bytes(b"x")
    assert done == [("sync", temporary.name), ("replace", "a"), ("sync", tmp_path.name)]
    done.clear()
    (tmp_path / "new" / "onnx").mkdir(parents=True)
    (tmp_path / "new" / "onnx" / "x.onnx").write_bytes(b"x")
    durable.put(tmp_path / "new", tmp_path / "model")
    synced = [("sync", name) for name in ("x.onnx", "onnx", "new")]
    assert done == [*synced, ("replace", "model"), ("sync", tmp_path.name)]


def test_batch_results_are_synced(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync

    def counted(number):
        synced.append(os.readlink(f"/proc/self/fd/{number}"))
        fsync(number)

    monkeypatch.setattr(os, "fsync", counted)
    with Results(tmp_path / "out") as results:
        results.write("a.wav", b"x")
        results.append({"key": "k", "status": "done", "files": []})
    assert [os.path.basename(name) for name in synced] == ["part", "out", "results.jsonl"]


def test_a_disk_that_fails_is_an_error_and_the_old_file_stays(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")

    def fails(number):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(SmgError, match="Input/output error"):
        write_audio(path, TONE, 8000)
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a.wav"]


def test_file_systems_without_sync_are_used_all_the_same(tmp_path, monkeypatch):
    def cannot(number):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", cannot)
    write_audio(tmp_path / "a.wav", TONE, 8000)
    assert (tmp_path / "a.wav").stat().st_size > 4000
