"""Models are measured on clips of sources that they were trained without."""

import io
import json
import tarfile

import numpy as np
import pytest
import soundfile

from specmaskgit_cli.cli import run
from specmaskgit_cli.data.remarks import Remarks
from specmaskgit_cli.errors import SmgError
from specmaskgit_cli.evaluation import edits
from specmaskgit_cli.evaluation.clips import list_clips
from specmaskgit_cli.pipeline import load

SOURCES = {"train-0": ("field", "studio"), "val-0": ("studio", "field")}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Two shards with a clip of each source, 5 s long."""
    folder, rng = tmp_path_factory.mktemp("shards"), np.random.default_rng(0)
    for shard, sources in SOURCES.items():
        with tarfile.open(folder / f"{shard}.tar", "w") as tar:
            for source in sources:
                sound = io.BytesIO()
                soundfile.write(sound, rng.uniform(-0.5, 0.5, 8000 * 5), 8000, format="WAV")
                document = json.dumps({"caption": f"rain of the {source}", "source": source}).encode()
                for name, data in ((f"{source}.wav", sound.getvalue()), (f"{source}.json", document)):
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return folder


def test_clips_of_some_sources_alone(shards):
    field = frozenset({"field"})
    keys = [key for key, *_ in list_clips([shards], sources=field)]
    assert sorted(keys) == ["train-0/field", "val-0/field"]
    assert [key for key, *_ in list_clips([shards], training=True, sources=field)] == ["train-0/studio"]
    assert sorted(key for key, *_ in list_clips([shards])) == ["val-0/field", "val-0/studio"]
    with pytest.raises(SmgError, match="no sound of these sources"):
        list_clips([shards], sources=frozenset({"elsewhere"}))


def test_edits_are_measured_on_them(shards, trained):
    pipe = load(str(trained[1]), threads=1)
    captions = [caption for caption, _ in edits.clips([shards], 9, pipe, Remarks(), frozenset({"field"}))]
    assert captions == ["rain of the field"] * 2


def test_a_list_of_sources_that_cannot_be_read_is_one_line(shards, tmp_path, capsys):
    given = ["--sources", str(tmp_path / "none.txt"), "-q"]
    assert run(["evaluate", "model", "--data", str(shards), *given]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "--sources" in line and "none.txt" in line
