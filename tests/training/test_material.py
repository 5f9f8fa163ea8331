"""Canvases, crops and masks that training draws from tensors."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from specmaskgit_cli.conditioning.contour import follow, to_bytes  # noqa: E402
from specmaskgit_cli.config.presets import PRESETS  # noqa: E402
from specmaskgit_cli.data.canvas_batches import draw_canvases  # noqa: E402
from specmaskgit_cli.data.clips import open_cache  # noqa: E402
from specmaskgit_cli.models.tokenizer import Tokenizer  # noqa: E402
from specmaskgit_cli.training.crops import Crops  # noqa: E402
from specmaskgit_cli.training.masks import Masks  # noqa: E402
from specmaskgit_cli.training.material import Material, prepare  # noqa: E402
from specmaskgit_cli.training.optim import orthogonalize  # noqa: E402

CONFIG = PRESETS["tiny"]


@pytest.fixture
def clips(sound_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("SMG_CACHE", str(tmp_path / "cache"))
    return open_cache([sound_folder], CONFIG.mel, report=lambda _: None)[0]


@pytest.fixture(scope="module")
def tokenizer():
    torch.manual_seed(0)
    return Tokenizer(CONFIG.tokenizer, CONFIG.mel).eval().requires_grad_(False)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_canvases_are_the_same_however_many_are_drawn(clips):
    few, many = (list(draw_canvases(clips, CONFIG, count, 6)) for count in (3, 70))
    assert [len(batch.mel) for batch in many] == [64, 6] and many[0].mel.dtype == np.float16
    np.testing.assert_array_equal(few[0].mel, many[0].mel[:3])
    assert many[0].mel.shape[1:] == (80, 96) and not np.array_equal(many[0].mel[0], many[0].mel[1])
    mel, steps = many[0].mel[:2].astype(np.float32), CONFIG.generator.contour_steps
    contours = to_bytes(follow(mel, CONFIG.mel, CONFIG.tokenizer.patch_frames, steps))
    # The mel is stored in half precision, the contour is taken before that.
    assert np.abs(contours.astype(int) - many[0].contours[:2]).max() <= 2


def test_canvases_drawn_by_several_processes_are_the_same(clips):
    alone, together = (list(draw_canvases(clips, CONFIG, 70, 6, workers=workers)) for workers in (1, 2))
    for one, other in zip(alone, together, strict=True):
        for name in ("mel", "statistics", "contours", "clips"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_material_is_encoded_once(clips, tokenizer, tmp_path, monkeypatch):
    made = prepare(clips, CONFIG, tokenizer, 5, 6)
    assert made.tokens.shape == (5, 5, 6, CONFIG.tokenizer.levels) and made.tokens.dtype == torch.int16
    drawn = next(draw_canvases(clips, CONFIG, 5, 6))
    expected = tokenizer.encode(torch.from_numpy(drawn.mel).float())
    assert torch.equal(made.tokens.long(), expected) and len(made) == 5 and made.columns == 6
    monkeypatch.setattr(Material, "encode", None)
    again = prepare(clips, CONFIG, tokenizer, 5, 6)
    assert torch.equal(again.tokens, made.tokens) and torch.equal(again.clips, made.clips)
    other = Tokenizer(CONFIG.tokenizer, CONFIG.mel)  # of other weights
    with pytest.raises(TypeError):
        prepare(clips, CONFIG, other, 5, 6)


def test_crops_are_what_lies_in_the_sounds():
    mel = dataclasses.replace(CONFIG.mel, n_mels=4, scale_min=-5.0)
    sounds = [np.full((length, 4), level, np.float16) for level, length in ((1.0, 30), (2.0, 3), (3.0, 8))]
    crops = Crops(sounds, mel, 8, "cpu")
    drawn = crops.draw(500, generator(), augmented=False)
    assert drawn.shape == (500, 4, 8)
    assert set(drawn.unique().tolist()) == {1.0, 2.0, 3.0, -5.0}
    first = drawn[:, 0, 0]
    assert (first != -5).all()  # every crop begins within a sound
    short = drawn[first == 2.0][0, 0]
    assert short.tolist() == [2.0] * 3 + [-5.0] * 5  # and what is too short is followed by a gap
    shares = torch.stack([(first == level).float().mean() for level in (1.0, 2.0, 3.0)])
    expected = torch.tensor([30.0, 3.0, 8.0]).sqrt()
    assert (shares - expected / expected.sum()).abs().max() < 0.07
    assert torch.equal(drawn, crops.draw(500, generator(), augmented=False))
    read = Crops(sounds, mel, 8, "cpu", most=0)
    assert read.all is None and torch.equal(read.draw(500, generator(), augmented=False), drawn)
    augmented = crops.draw(500, generator())
    assert (augmented >= -5).all() and len(augmented.unique()) > 100
    noise = crops.draw_noise(50, generator())
    assert noise.shape == (50, 4, 8) and abs(float(noise.mean())) < 0.2


def test_masks_hide_as_many_cells_as_they_say():
    masks = Masks.draw(2000, (5, 6), generator(), "cpu")
    cells = masks.cells
    assert torch.equal(cells.flatten(1).sum(1), masks.counts) and masks.counts.min() >= 1
    assert 0.15 < float((masks.counts == 30).float().mean()) < 0.3  # whole masks, and cosines near 1
    assert abs(float(cells.float().mean()) - (0.15 + 0.85 * 2 / np.pi)) < 0.03
    places, counted = masks.some(0.25)
    assert torch.equal(counted.sum(1), (masks.counts * 0.25).long().clamp(min=1))
    assert cells.flatten(1).gather(1, places)[counted].all()
    half = masks[3:7]
    assert torch.equal(half.cells, cells[3:7])
    assert Masks.whole(2, (5, 6), torch.device("cpu")).cells.all()


def test_matrices_are_orthogonalised_together_as_alone():
    torch.manual_seed(0)
    for shape in ((3, 16, 40), (3, 40, 16)):
        matrices = torch.randn(shape)
        together = orthogonalize(matrices)
        for one, alone in zip(together, matrices, strict=True):
            torch.testing.assert_close(one, orthogonalize(alone[None])[0], rtol=1e-4, atol=1e-5)
        singular = torch.linalg.svdvals(together)
        assert (singular > 0.5).all() and (singular < 1.5).all()
