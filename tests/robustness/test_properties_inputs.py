"""What holds for all that people and files tell `smg`: options, command lines, tables of jobs, records, settings."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import assume, given
from hypothesis import strategies as st
from support.drawn import JSON, examples

from specmaskgit_cli.audio.encoding import FORMATS
from specmaskgit_cli.audio.files import write_audio
from specmaskgit_cli.batch.jobs import make_jobs
from specmaskgit_cli.batch.table import read_rows
from specmaskgit_cli.cli import run
from specmaskgit_cli.config.limits import check_config
from specmaskgit_cli.config.settings import CheckpointConfig, from_dict, to_dict
from specmaskgit_cli.errors import SmgError, UsageError
from specmaskgit_cli.options import (
    Box,
    ContinueOptions,
    GenerateOptions,
    InpaintOptions,
    OutputOptions,
    VaryOptions,
)
from specmaskgit_cli.sounds.record import Origin, Record, read_record
from specmaskgit_cli.tasks import TASKS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


# Options


RIGHT = {"prompt": "rain", "input": "rain.wav", "boxes": (Box(0.0, 1.0),), "start": 1.0, "end": 2.0}
VALUES = JSON | st.sampled_from([1, 2, 0.5, "rain.wav", "halton", 44100, "24", (Box(0.0, 1.0), 1)])


def any_options(kind):
    """Keyword arguments for a class of options: right ones, of which up to three are replaced by any values."""
    names = sorted(f.name for f in dataclasses.fields(kind))
    right = {name: value for name, value in RIGHT.items() if name in names}
    return st.dictionaries(st.sampled_from(names), VALUES, max_size=3).map(lambda values: right | values)


@pytest.mark.parametrize("kind", [*(task.options for task in TASKS.values()), OutputOptions, Box])
def test_any_values_are_options_or_a_usage_error(kind):
    @examples(150)
    @given(any_options(kind))
    def check(values):
        try:
            options = kind(**values)
        except UsageError as error:
            assert len(str(error)) < 3000
            return
        for name in (f.name for f in dataclasses.fields(kind)):
            value = getattr(options, name)
            assert not isinstance(value, float) or math.isfinite(value)
        json.dumps(dataclasses.asdict(options), allow_nan=False)
        assert replace(options) == options

    check()


NUMBER_TEXT = st.text("0123456789.e-+_:nainf \u0663", max_size=14) | st.text(max_size=10)


@examples(250)
@given(st.lists(NUMBER_TEXT, max_size=5).map(":".join))
def test_any_box(text):
    try:
        box = Box.parse(text)
    except UsageError:
        return
    end, high = (math.inf if value is None else value for value in (box.end, box.high))
    assert 0 <= box.start < end and 0 <= (box.low or 0) < high and box.start <= 1e6


@examples(100)
@given(st.lists(st.floats(0, 1e6), min_size=4, max_size=4, unique=True), st.booleans())
def test_a_box_is_read_as_written(numbers, band):
    start, end = sorted(numbers[:2])
    low, high = sorted(numbers[2:])
    assume(high > 0 and end > start)
    text = f"{start!r}:{end!r}" + (f":{low!r}:{high!r}" if band else "")
    assert Box.parse(text) == (Box(start, end, low, high) if band else Box(start, end))


WORDS = st.one_of(
    st.sampled_from(["nan", "inf", "-1", "0", "1e400", "", "-", "a.wav", "a.png", "/", ".", "0.5:1", "x" * 300]),
    st.integers(-(2**40), 2**40).map(str), st.text(max_size=6).filter(lambda text: "\0" not in text),
)  # fmt: skip
FLAGS = ["--seed", "--num", "--steps", "--guidance", "--temperature", "--top-p", "--order", "--negative", "--lufs",
         "--bits", "--rate", "--channels", "--threads", "--image", "--json", "--quiet", "--no-metadata", "--seconds",
         "--box", "--start", "--end", "--like", "--prompt", "--amount", "--join", "--cutoff", "--loudness-only", "-o",
         "--no"]  # fmt: skip


@examples(80)
@given(
    st.sampled_from(["generate", "inpaint", "extend", "continue", "vary", "sketch", "loop", "info", "replay"]),
    st.lists(st.tuples(st.sampled_from(FLAGS), WORDS).map(list) | WORDS.map(lambda word: [word]), max_size=4),
    st.booleans(),
    st.binary(max_size=8),
)
def test_any_command_line_is_one_line_at_most(tmp_path, monkeypatch, capsys, command, words, output, stdin):
    def unloaded(*args):
        raise SmgError("no model here")

    monkeypatch.setattr("specmaskgit_cli.pipeline.load", unloaded)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    code = run([command, *(word for part in words for word in part), *(["-o", "out.wav"] if output else [])])
    lines = capsys.readouterr().err.splitlines()
    # One line, or of several files one for each and a last one.
    assert code in (1, 2) and (len(lines) == 1 or "failed; the others" in lines[-1]), lines
    assert all(line.startswith("smg: error: ") and "this is a bug" not in line for line in lines)
    assert not list(tmp_path.iterdir())


# Tables of jobs

COLUMNS = [
    "task",
    "prompt",
    "seconds",
    "seed",
    "num",
    "n",
    "input",
    "like",
    "boxes",
    "cutoff",
    "amount",
    "join",
    "before",
    "loop",
    "output",
    "bits",
    "rate",
    "trim",
    "normalize",
    "metadata",
    "steps",
    "order",
    "x",
    "",
]
CELLS = JSON | st.sampled_from([
    "generate", "vary", "rain", "in.wav", "1", "0.5", "3.0", "yes", "0.1:0.2;1:2:3:4", "a/b.wav", "../b", "b.xyz",
    "-1", "nan", "1e400", '"', ";", "a\nb", "=1+1", "x" * 300,
])  # fmt: skip


def checked(path: Path):
    """The jobs of a table, or None where it is refused in one line that names it."""
    try:
        jobs = make_jobs(read_rows(str(path)), path.parent)
    except SmgError as error:
        assert str(error).startswith(str(path)), error
        return None
    names = [name for job in jobs for name in job.names]
    assert len({name.casefold() for name in names}) == len(names)
    assert all(".." not in Path(name).parts and not Path(name).is_absolute() for name in names)
    origin = {"model_hash": "0" * 12}
    assert len({job.key(origin) for job in jobs}) == len(jobs) and all(job.options.seed is not None for job in jobs)
    assert [job.key(origin) for job in make_jobs(read_rows(str(path)), path.parent)] == [j.key(origin) for j in jobs]
    return jobs


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    write_audio(folder / "in.wav", np.full(2000, 0.1), 8000)
    return folder


@examples(300)
@given(st.lists(st.dictionaries(st.sampled_from(COLUMNS), CELLS, max_size=4), min_size=1, max_size=3), st.booleans())
def test_any_cells_are_jobs_or_refused(tables, rows, lines):
    rows = [{"prompt": "rain"} | row if index else row for index, row in enumerate(rows)]
    path = tables / ("jobs.jsonl" if lines else "jobs.csv")
    if lines:
        text = "\n".join(json.dumps(row) for row in rows)
    else:
        columns = sorted({name for row in rows for name in row})
        cells = [columns, *([str(row.get(name, "")) for name in columns] for row in rows)]
        written = io.StringIO()
        csv.writer(written).writerows(cells)
        text = written.getvalue()
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    checked(path)


@examples(150)
@given(st.sampled_from([b"", b"prompt\n", b"prompt;seconds\n", b'{"prompt": "rain"}\n']), st.binary(max_size=60))
def test_any_bytes_are_jobs_or_refused(tables, head, tail):
    for name in ("any.csv", "any.jsonl"):
        (tables / name).write_bytes(head + tail)
        checked(tables / name)


@examples(60)
@given(
    st.text(min_size=1, max_size=30), st.floats(0.2, 3600), st.integers(0, 2**32 - 2), st.floats(0, 30),
    st.sampled_from([None, 8000, 44100]), st.booleans(),
)  # fmt: skip
def test_a_table_is_read_as_written(tables, prompt, seconds, seed, guidance, rate, loop):
    assume(prompt.strip() and "\0" not in prompt)
    row = {"prompt": prompt, "seconds": seconds, "seed": seed, "guidance": guidance, "loop": loop, "rate": rate}
    (tables / "told.jsonl").write_text(json.dumps(row))
    with open(tables / "told.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, row)
        table.writeheader()
        table.writerow(row)
    for name in ("told.jsonl", "told.csv"):
        (job,) = checked(tables / name)
        wanted = GenerateOptions(prompt=prompt, seconds=seconds, seed=seed, guidance=guidance, loop=loop)
        assert job.options == wanted and job.output == OutputOptions(rate=rate)


# What files and checkpoints tell

ORIGIN = Origin(model="m", model_hash="0" * 12, source="default", backend="onnx", input_sha256="1" * 64)
RECORDS = [
    Record(GenerateOptions(prompt="rain", seed=1), OutputOptions(), replace(ORIGIN, input_sha256=None)),
    Record(InpaintOptions("/a.wav", (Box(1.0, 2.0, 300),), seed=2), OutputOptions(bits="24"), ORIGIN),
    Record(VaryOptions("/a.wav", seed=3, amount=0.25), OutputOptions(rate=48000, lufs=-20), ORIGIN),
    Record(ContinueOptions("/a.wav", seed=4, before=True), OutputOptions(channels=2), ORIGIN),
]


def altered(document, data):
    """The document with another value somewhere in it."""
    document = json.loads(json.dumps(document))
    node = document
    while True:
        keys = sorted(node) if isinstance(node, dict) else range(len(node))
        key = data.draw(st.sampled_from(keys))
        if not (isinstance(node[key], (dict, list)) and node[key] and data.draw(st.booleans())):
            break
        node = node[key]
    if data.draw(st.integers(0, 4)) == 0:
        del node[key]
    else:
        node[key] = data.draw(JSON)
    return document


@examples(300)
@given(st.data())
def test_any_document_is_a_record_or_refused(folder, data):
    document = data.draw(st.sampled_from(RECORDS)).to_dict()
    document = data.draw(JSON) if data.draw(st.integers(0, 9)) == 0 else altered(document, data)
    line = json.dumps(document)
    if data.draw(st.integers(0, 4)) == 0:
        at = data.draw(st.integers(0, len(line)))
        line = line[:at] + data.draw(st.text(max_size=5).filter(str.isprintable)) + line[at + 1 :]
    path = folder / "record.wav"
    write_audio(path, np.zeros(10), 8000, metadata={"comment": f"a sound\n{line}"})
    try:
        record = read_record(path)
    except SmgError as error:
        assert str(error).startswith(str(path)) and "damaged" in str(error)
        return
    if record is not None:
        again = json.loads(record.tags()["comment"].split("\n")[1])
        assert again == json.loads(json.dumps(record.to_dict()))


@examples(40)
@given(
    st.sampled_from(sorted(FORMATS)), st.text(min_size=1, max_size=60), st.integers(0, 2**32 - 1), st.floats(0.2, 3600),
    st.floats(0, 30), st.builds(OutputOptions, trim=st.booleans(), lufs=st.none() | st.floats(-50, -5)),
)  # fmt: skip
def test_a_record_survives_every_format(folder, extension, prompt, seed, seconds, guidance, output):
    assume(prompt.strip() and prompt.isprintable())
    options = GenerateOptions(prompt=prompt, seed=seed, seconds=seconds, guidance=guidance)
    record = Record(options, output, replace(ORIGIN, input_sha256=None))
    path = folder / f"told.{extension}"
    write_audio(path, np.zeros(2000), 48000, metadata=record.tags())
    assert read_record(path) == record


@examples(250)
@given(st.data())
def test_any_settings_are_a_configuration_or_refused(data):
    document = altered(to_dict(CheckpointConfig()), data)
    try:
        config = from_dict(CheckpointConfig, document, "config.json")
        check_config(config, "config.json")
    except SmgError as error:
        assert str(error).startswith("config.json")
        return
    assert config.rows >= 1 and config.column_samples >= 1
