"""What holds for every input, tried on many: drawn by hypothesis, always the same ones."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from specmaskgit_cli.audio.files import FORMATS, read_audio, resample, write_audio
from specmaskgit_cli.audio.metadata import read_comment
from specmaskgit_cli.cli import _run
from specmaskgit_cli.cli.inpaint import _box
from specmaskgit_cli.config import CheckpointConfig, check_config, from_dict, to_dict
from specmaskgit_cli.decoding import DecodeSettings, decode
from specmaskgit_cli.decoding.sampling import ORDERS, best, halton_order, keep_top_p, log_softmax, raster_order
from specmaskgit_cli.decoding.schedule import SCHEDULES, counts
from specmaskgit_cli.errors import SmgError, UsageError
from specmaskgit_cli.options import (
    TASKS,
    Box,
    ContinueOptions,
    GenerateOptions,
    InpaintOptions,
    OutputOptions,
    VaryOptions,
)
from specmaskgit_cli.record import Origin, Record, read_record


def examples(count: int):
    """`count` examples, without a clock or a database to make them differ."""
    unhurried = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]
    return settings(max_examples=count, derandomize=True, deadline=None, database=None, suppress_health_check=unhurried)


NUMBERS = st.one_of(
    st.integers(-3, 300), st.integers(-(2**70), 2**70), st.floats(), st.sampled_from([10**400, 2**32, -0.0, 1e-320])
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8), st.sampled_from(["\udcff", "halton", "24"]))
JSON = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=6), v, max_size=3), max_leaves=6
)


# Decoding


@examples(300)
@given(st.integers(0, 5000), st.integers(1, 256), st.sampled_from(SCHEDULES))
def test_counts(masked, steps, schedule):
    plan = counts(masked, steps, schedule)
    assert len(plan) == min(masked, steps) and plan.sum() == masked
    assert (plan >= 1).all() and (np.diff(plan) >= 0).all()


@examples(60)
@given(st.integers(1, 24), st.integers(1, 90))
def test_orders_visit_every_cell_once(rows, columns):
    for order in (halton_order, raster_order):
        np.testing.assert_array_equal(np.sort(order(rows, columns)), np.arange(rows * columns))


@examples(150)
@given(st.data())
def test_best_takes_no_less_than_it_leaves(data):
    sizes = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=5))
    owner = np.repeat(np.arange(len(sizes)), sizes)
    score = np.array(data.draw(st.lists(st.integers(-3, 3), min_size=len(owner), max_size=len(owner))), float)
    keep = np.array([data.draw(st.integers(0, size)) for size in sizes])
    taken = best(score, owner, keep)
    assert (np.diff(taken) > 0).all()
    for item, count in enumerate(keep):
        mine = taken[owner[taken] == item]
        assert len(mine) == count
        left = np.setdiff1d(np.flatnonzero(owner == item), mine)
        assert not len(mine) or not len(left) or score[mine].min() >= score[left].max()


@examples(150)
@given(
    arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 30)), elements=st.floats(-40, 40, width=32)),
    st.floats(1e-6, 1),
)
def test_top_p_keeps_enough_and_no_more(logits, top_p):
    kept = np.isfinite(keep_top_p(logits, top_p))
    shares = np.exp(log_softmax(logits.astype(np.float64)))
    for row, mask, likely in zip(logits, kept, shares, strict=True):
        assert mask[np.argmax(row)]
        assert likely[mask].sum() >= min(top_p, 1) - 1e-4
        assert mask.sum() == 1 or likely[mask].sum() - likely[mask].min() < top_p + 1e-4
        assert not (~mask).any() or row[mask].min() >= row[~mask].max()


class Predictor:
    """Logits that depend on the cell, the mask, the condition and the codes before."""

    def __init__(self, cells: int, levels: int, codes: int):
        rng = np.random.default_rng(3)
        self.place = rng.normal(size=(cells, 4)).astype(np.float32)
        self.out = rng.normal(size=(levels, 4, codes)).astype(np.float32)
        self.cells = cells

    def hidden(self, tokens, mask, condition, dropped):
        seen = tokens.reshape(len(tokens), self.cells, -1).sum(-1) % 5 * ~mask.reshape(len(mask), -1)
        wish = np.where(dropped[:, None], 0, condition[:, :4])
        return np.tanh(self.place[None] + seen.mean(1)[:, None, None] + wish[:, None]).astype(np.float32)

    def logits(self, hidden, codes, level):
        rows = hidden + codes[:, :level].sum(1, keepdims=True) % 3
        return np.stack([row @ self.out[level] for row in rows.astype(np.float32)])


@examples(120)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 9), st.integers(1, 3)),
    st.builds(
        DecodeSettings, steps=st.integers(1, 20), guidance=st.sampled_from([0.0, 0.5, 5.0]),
        temperature=st.floats(0.05, 5), top_p=st.floats(1e-3, 1), order=st.sampled_from(ORDERS),
        schedule=st.sampled_from(SCHEDULES), onset=st.floats(0, 1), guided=st.floats(0, 1),
    ),
    st.integers(0, 2**32 - 1), st.floats(0, 1), st.booleans(),
)  # fmt: skip
def test_decoding_fills_the_mask_and_nothing_else(shape, how, seed, share, negative):
    batch, rows, columns, levels = shape
    rng = np.random.default_rng(seed)
    tokens, mask = rng.integers(0, 7, shape), rng.random(shape[:3]) < share
    condition, against = rng.normal(size=(2, batch, 4)).astype(np.float32)
    predictor = Predictor(rows * columns, levels, 7)

    def run(items):
        rngs = [np.random.default_rng([seed, item]) for item in items]
        return decode(
            predictor, tokens[items], mask[items], condition[items], how, rngs, against[items] if negative else None
        )

    before = tokens.copy()
    made = run(list(range(batch)))
    np.testing.assert_array_equal(tokens, before)
    assert made.shape == shape and made.min() >= 0 and made.max() < 7
    np.testing.assert_array_equal(made[~mask], tokens[~mask])
    for item in range(batch):
        np.testing.assert_array_equal(run([item])[0], made[item])


# Sounds


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@examples(80)
@given(
    arrays.arrays(
        np.float32, st.tuples(st.integers(1, 700), st.integers(1, 8)), elements=st.floats(-1, 1, width=32),
        fill=st.just(np.float32(0.25)),
    ),
    st.integers(1, 655350), st.sampled_from([("wav", "FLOAT"), ("wav", "PCM_24"), ("wav", "PCM_16"),
                                             ("flac", "PCM_24"), ("flac", "PCM_16")]),
)  # fmt: skip
def test_what_is_written_is_read(folder, wave, rate, kind):
    extension, subtype = kind
    path = folder / f"a.{extension}"
    write_audio(path, wave, rate, subtype=subtype)
    audio = read_audio(path)
    assert (audio.rate, audio.subtype, audio.samples.shape) == (rate, subtype, wave.shape)
    bits = {"FLOAT": 30, "PCM_24": 22, "PCM_16": 14}[subtype]
    np.testing.assert_allclose(audio.samples, wave, atol=2.0**-bits)


@pytest.fixture(scope="module")
def heads(folder):
    """The beginnings of real files, to which anything can be appended."""
    found = [b""]
    for extension in FORMATS:
        write_audio(folder / f"head.{extension}", np.sin(np.arange(3000) / 9), 22050, metadata={"comment": "x" * 50})
        found.append((folder / f"head.{extension}").read_bytes())
    return found


@examples(250)
@given(st.integers(0, len(FORMATS)), st.floats(0, 1), st.binary(max_size=200))
@example(0, 0.0, b"RIFF\0\0\0\0WAVEfmt ")
def test_any_bytes_are_a_sound_or_refused(folder, heads, which, share, tail):
    path = folder / "any.bin"
    path.write_bytes(heads[which][: int(share * len(heads[which]))] + tail)
    try:
        audio = read_audio(path)
        assert audio.samples.ndim == 2 and audio.samples.size and np.isfinite(audio.samples).all()
        assert audio.samples.dtype == np.float32 and audio.rate > 0
    except SmgError as error:
        assert str(path) in str(error)
    try:
        assert isinstance(read_comment(path), str)
    except SmgError as error:
        assert str(path) in str(error)


@examples(150)
@given(st.binary(max_size=300))
def test_any_riff_chunks(folder, data):
    path = folder / "riff.wav"
    path.write_bytes(b"RIFF\0\0\0\0WAVE" + data)
    assert isinstance(read_comment(path), str)
    path.write_bytes(b"RIFF\0\0\0\0WAVELIST" + len(data).to_bytes(4, "little") + b"INFOICMT" + data)
    assert isinstance(read_comment(path), str)


@examples(60)
@given(st.integers(1, 4000), st.sampled_from([8000, 22050, 44100, 48000]), st.sampled_from([8000, 22050, 96000]))
def test_resampling_keeps_the_length_in_seconds(length, rate, wanted):
    made = resample(np.ones(length, np.float32), rate, wanted)
    assert abs(len(made) - length * wanted / rate) <= 1 and np.isfinite(made).all()


# Options


RIGHT = {"prompt": "rain", "input": "rain.wav", "boxes": (Box(0.0, 1.0),), "start": 1.0, "end": 2.0}
VALUES = JSON | st.sampled_from([1, 2, 0.5, "rain.wav", "halton", 44100, "24", (Box(0.0, 1.0), 1)])


def any_options(kind):
    """Keyword arguments for a class of options: right ones, of which up to three are replaced by any values."""
    names = sorted(kind.__dataclass_fields__)
    right = {name: value for name, value in RIGHT.items() if name in names}
    return st.dictionaries(st.sampled_from(names), VALUES, max_size=3).map(lambda values: right | values)


@pytest.mark.parametrize("kind", [*TASKS.values(), OutputOptions, Box])
def test_any_values_are_options_or_a_usage_error(kind):
    @examples(150)
    @given(any_options(kind))
    def check(values):
        try:
            options = kind(**values)
        except UsageError as error:
            assert len(str(error)) < 3000
            return
        for name in kind.__dataclass_fields__:
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
        box = _box(text)
    except UsageError:
        return
    assert 0 <= box.start < box.end <= 1e6 and (box.low or 0) < (math.inf if box.high is None else box.high)


@examples(100)
@given(st.lists(st.floats(0, 1e6), min_size=4, max_size=4, unique=True), st.booleans())
def test_a_box_is_read_as_written(numbers, band):
    start, end = sorted(numbers[:2])
    low, high = sorted(numbers[2:])
    assume(high > 0 and end > start)
    text = f"{start!r}:{end!r}" + (f":{low!r}:{high!r}" if band else "")
    assert _box(text) == (Box(start, end, low, high) if band else Box(start, end))


WORDS = st.one_of(
    st.sampled_from(["nan", "inf", "-1", "0", "1e400", "", "-", "a.wav", "a.png", "/", ".", "0.5:1", "x" * 300]),
    st.integers(-(2**40), 2**40).map(str), st.text(max_size=6).filter(lambda text: "\0" not in text),
)  # fmt: skip
FLAGS = ["--seed", "--num", "--steps", "--guidance", "--temperature", "--top-p", "--order", "--negative", "--lufs",
         "--bits", "--rate", "--channels", "--threads", "--image", "--json", "--quiet", "--no-metadata", "--seconds",
         "--box", "--start", "--end", "--like", "--prompt", "--amount", "--join", "--cutoff", "-o", "--no"]  # fmt: skip


@examples(60)
@given(
    st.sampled_from(["generate", "inpaint", "extend", "continue", "vary", "loop", "info", "replay"]),
    st.lists(st.tuples(st.sampled_from(FLAGS), WORDS).map(list) | WORDS.map(lambda word: [word]), max_size=4),
    st.booleans(),
)
def test_any_command_line_is_one_line_at_most(tmp_path, monkeypatch, capsys, command, words, output):
    def unloaded(*args):
        raise SmgError("no model here")

    monkeypatch.setattr("specmaskgit_cli.pipeline.load", unloaded)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    code = _run([command, *(word for part in words for word in part), *(["-o", "out.wav"] if output else [])])
    lines = capsys.readouterr().err.splitlines()
    assert code in (1, 2) and len(lines) == 1, lines
    assert lines[0].startswith("smg: error: ") and "this is a bug" not in lines[0]
    assert not list(tmp_path.iterdir())


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
