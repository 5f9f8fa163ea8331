"""What holds for every mask, schedule and sound file, tried on many: drawn by hypothesis, always the same ones."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("hypothesis")
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from support.drawn import examples

from specmaskgit_cli.audio.encoding import FORMATS
from specmaskgit_cli.audio.files import read_audio, resample, write_audio
from specmaskgit_cli.audio.metadata import read_comment
from specmaskgit_cli.bounds import MIN_RATE
from specmaskgit_cli.decoding.core import decode
from specmaskgit_cli.decoding.orders import best, halton_order, raster_order
from specmaskgit_cli.decoding.samplers import keep_top_p, log_softmax
from specmaskgit_cli.decoding.schedules import Cosine
from specmaskgit_cli.decoding.settings import ORDERS, SAMPLERS, SCHEDULES, DecodeSettings
from specmaskgit_cli.errors import SmgError

# Decoding


@examples(300)
@given(st.integers(0, 5000), st.integers(1, 256))
def test_counts(masked, steps):
    plan = Cosine().counts(masked, steps, np.random.default_rng())
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
    item = np.repeat(np.arange(len(sizes)), sizes)
    score = np.array(data.draw(st.lists(st.integers(-3, 3), min_size=len(item), max_size=len(item))), float)
    quota = np.array([data.draw(st.integers(0, size)) for size in sizes])
    taken = best(score, item, quota)
    assert (np.diff(taken) > 0).all()
    for index, count in enumerate(quota):
        mine = taken[item[taken] == index]
        assert len(mine) == count
        left = np.setdiff1d(np.flatnonzero(item == index), mine)
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

    guidance = 0.0

    def __init__(self, cells: int, levels: int, codes: int):
        rng = np.random.default_rng(3)
        self.place = rng.normal(size=(cells, 4)).astype(np.float32)
        self.out = rng.normal(size=(levels, 4, codes)).astype(np.float32)
        self.cells = cells

    def hidden(self, tokens, mask, condition, dropped, cells):
        seen = tokens.reshape(len(tokens), self.cells, -1).sum(-1) % 5 * ~mask.reshape(len(mask), -1)
        wish = np.where(dropped[:, None], 0, condition[:, :4])
        states = np.tanh(self.place[None] + seen.mean(1)[:, None, None] + wish[:, None]).astype(np.float32)
        return np.take_along_axis(states, cells[..., None], 1)

    def logits(self, hidden, codes, level, against, scale):
        rows = hidden + codes[:, :level].sum(1, keepdims=True) % 3
        logits = np.stack([row @ self.out[level] for row in rows.astype(np.float32)])
        own = logits[: len(scale)]
        return own + scale[:, None] * (own - logits[against])


@examples(120)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 9), st.integers(1, 3)),
    st.builds(
        DecodeSettings, steps=st.integers(1, 20), guidance=st.sampled_from([0.0, 0.5, 5.0]),
        temperature=st.floats(0.05, 5), top_p=st.floats(1e-3, 1), order=st.sampled_from(ORDERS),
        schedule=st.sampled_from(SCHEDULES), sampler=st.sampled_from(SAMPLERS),
        onset=st.floats(0, 1), guided=st.floats(0, 1),
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
        np.float32, st.tuples(st.integers(1, 8), st.integers(1, 700)), elements=st.floats(-1, 1, width=32),
        fill=st.just(np.float32(0.25)),
    ),
    # FLAC says rates above 65,535 Hz in tens only.
    st.integers(MIN_RATE, 65535) | st.integers(6554, 65535).map(lambda tens: 10 * tens),
    st.sampled_from([("wav", "FLOAT"), ("wav", "PCM_24"), ("wav", "PCM_16"), ("flac", "PCM_24"), ("flac", "PCM_16")]),
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
