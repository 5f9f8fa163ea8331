"""Shapes and sizes of the torch models, and agreement of the two runtimes."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from specmaskgit_cli.checkpoint.layout import load_checkpoint  # noqa: E402
from specmaskgit_cli.conditioning.condition import Condition  # noqa: E402
from specmaskgit_cli.config.presets import PRESETS  # noqa: E402
from specmaskgit_cli.config.settings import CheckpointConfig, from_dict, to_dict  # noqa: E402
from specmaskgit_cli.decoding.core import decode  # noqa: E402
from specmaskgit_cli.decoding.settings import DecodeSettings  # noqa: E402
from specmaskgit_cli.models.generator import Generator  # noqa: E402
from specmaskgit_cli.models.tokenizer import Tokenizer  # noqa: E402
from specmaskgit_cli.pipeline import load  # noqa: E402
from specmaskgit_cli.runtime import open_runtime  # noqa: E402
from specmaskgit_cli.training.energy import energy_score, texture_score  # noqa: E402

TINY = PRESETS["tiny"]


@pytest.mark.parametrize("columns", [1, 5, 53])
def test_tokenizer_shapes(columns):
    torch.manual_seed(0)
    model = Tokenizer(TINY.tokenizer, TINY.mel)
    mel = torch.randn(2, 80, 16 * columns) - 4
    tokens = model.encode(mel)
    assert tokens.shape == (2, 5, columns, 2) and tokens.dtype == torch.int64
    assert model.decode(tokens, torch.randn_like(mel)).shape == mel.shape


def test_the_decoder_draws_texture_from_its_noise_only():
    torch.manual_seed(0)
    model = Tokenizer(TINY.tokenizer, TINY.mel).eval()
    tokens = torch.randint(0, 64, (1, 5, 3, 2))
    noise = torch.randn(2, 1, 80, 48)
    assert torch.equal(model.decode(tokens, noise[0]), model.decode(tokens, noise[0]))
    assert not torch.equal(model.decode(tokens, noise[0]), model.decode(tokens, noise[1]))


def test_residual_codes_refine_each_other():
    torch.manual_seed(0)
    quantizer = Tokenizer(TINY.tokenizer, TINY.mel).quantizer
    z = torch.randn(500, 8) * 0.1
    codes = quantizer.codes(z)
    first = (z - quantizer.codebooks[0][codes[:, 0]]).square().mean()
    both = (z - quantizer.lookup(codes)).square().mean()
    assert both < first < z.square().mean() * 1.5


def test_masked_values_are_not_looked_at_and_the_condition_is():
    torch.manual_seed(0)
    model = Generator(TINY.generator, TINY.tokenizer, 5).eval()
    torch.nn.init.normal_(model.blocks[0].modulate.weight, std=0.1)
    tokens, other = (torch.randint(0, 64, (1, 5, 4, 2)) for _ in range(2))
    mask = torch.rand(1, 5, 4) < 0.5
    other = torch.where(mask[..., None], other, tokens)
    a, b = torch.nn.functional.normalize(torch.randn(2, 1, TINY.generator.condition_size), dim=-1)
    keep = torch.tensor([False])
    assert torch.equal(model.hidden(tokens, mask, a, keep), model.hidden(other, mask, a, keep))
    assert not torch.allclose(model.hidden(tokens, mask, a, keep), model.hidden(tokens, mask, b, keep))
    drop = torch.tensor([True])
    assert torch.equal(model.hidden(tokens, mask, a, drop), model.hidden(tokens, mask, b, drop))


def test_states_of_some_cells_are_those_of_all():
    torch.manual_seed(0)
    model = Generator(TINY.generator, TINY.tokenizer, 5).eval()
    torch.nn.init.normal_(model.blocks[-1].modulate.weight, std=0.1)
    tokens, condition = torch.randint(0, 64, (2, 5, 4, 2)), torch.randn(2, TINY.generator.condition_size)
    given = tokens, torch.rand(2, 5, 4) < 0.5, condition, torch.tensor([False, True])
    cells = torch.tensor([[3, 19, 0], [7, 7, 12]])
    wanted = torch.stack([states[at] for states, at in zip(model.hidden(*given), cells, strict=True)])
    torch.testing.assert_close(model.hidden(*given, cells), wanted)


def test_guidance_before_the_last_product_is_guidance_after_it():
    torch.manual_seed(0)
    model = Generator(TINY.generator, TINY.tokenizer, 5).eval()
    torch.nn.init.normal_(model.head.bias)
    hidden, codes, level = torch.randn(5, 32), torch.randint(0, 64, (5, 2)), torch.tensor(1)
    against, scale = torch.tensor([3, 4, 0]), torch.tensor([2.0, 0.5, 0.0])
    plain = model.logits(hidden, codes, level)
    wanted = plain[:3] + scale[:, None] * (plain[:3] - plain[against])
    torch.testing.assert_close(model.guided_logits(hidden, codes, level, against, scale), wanted)


def test_a_level_sees_the_codes_above_it_only():
    torch.manual_seed(0)
    model = Generator(TINY.generator, TINY.tokenizer, 5).eval()
    hidden, codes = torch.randn(3, 32), torch.randint(0, 64, (3, 2))
    changed = codes.clone()
    changed[:, 1] = (changed[:, 1] + 1) % 64
    for level in (0, 1):
        at = torch.tensor(level)
        assert torch.equal(model.logits(hidden, codes, at), model.logits(hidden, changed, at))
    changed[:, 0] = (changed[:, 0] + 1) % 64
    assert torch.equal(model.logits(hidden, codes, torch.tensor(0)), model.logits(hidden, changed, torch.tensor(0)))
    assert not torch.allclose(
        model.logits(hidden, codes, torch.tensor(1)), model.logits(hidden, changed, torch.tensor(1))
    )


def test_the_paper_preset_has_the_size_of_the_paper():
    config = PRESETS["paper"]
    assert (config.rows, config.generator.max_columns, config.tokenizer.codebook_size) == (5, 53, 1024)
    assert (config.generator.layers, config.generator.width, config.generator.heads) == (24, 768, 8)
    with torch.device("meta"):
        model = Generator(config.generator, config.tokenizer, config.rows)
    assert 165e6 < sum(p.numel() for p in model.parameters()) < 180e6


@pytest.mark.parametrize("name", PRESETS)
def test_a_config_survives_json(name):
    assert from_dict(CheckpointConfig, to_dict(PRESETS[name])) == PRESETS[name]


def test_energy_score_prefers_draws_of_the_right_roughness():
    torch.manual_seed(0)
    real = torch.randn(64, 80, 32)
    scores = {scale: float(energy_score(real, *(scale * torch.randn(2, 64, 80, 32)))) for scale in (0.0, 0.5, 1.0, 2.0)}
    assert min(scores, key=scores.get) == 1.0


def test_energy_score_prefers_draws_of_the_right_arrangement():
    torch.manual_seed(0)

    def drops(count):  # short events over many bands, each at its own time
        return torch.randn(count, 80, 96) * 0.1 + (torch.rand(count, 1, 96) < 0.1) * torch.rand(count, 80, 1)

    real, draws = drops(32), drops(64)
    shuffled = torch.stack([band[:, torch.randperm(96)] for band in draws.unbind(1)], 1)  # alike in every band
    late = draws.roll(1, 0)
    scores = [
        float(energy_score(real, *pair) + texture_score(real, *pair, weight=2.0))
        for pair in (drawn.split(32) for drawn in (draws, shuffled, late))
    ]
    assert scores[0] < 0.5 * scores[1] and scores[0] == pytest.approx(scores[2], rel=0.15)


@pytest.fixture(scope="module")
def runtimes(trained):
    checkpoint = load_checkpoint(trained[1])
    return open_runtime(checkpoint, "onnx"), open_runtime(checkpoint, "torch")


def test_runtimes_agree_on_every_model(runtimes):
    onnx, torch_runtime = runtimes
    rng = np.random.default_rng(0)
    mel = rng.standard_normal((2, 80, 64)).astype(np.float32) - 4
    noise = rng.standard_normal((2, 80, 64)).astype(np.float32)
    tokens, books = onnx.encode(mel), onnx.weights("generator")["codebooks"]
    coded = [books[np.arange(2), found].sum(3) for found in (tokens, torch_runtime.encode(mel))]
    assert (np.abs(coded[0] - coded[1]).max(3) < 1e-5).mean() > 0.99  # of equal codewords either may be chosen
    generator = onnx.config.generator
    style = rng.standard_normal((1, generator.style_dims)).astype(np.float32)
    contour = rng.random((4, generator.contour_size), np.float32)
    embeddings = onnx.embed_text(["dog barking", "rain"])
    condition = np.concatenate([Condition(one[None], style, contour).pack(generator) for one in embeddings])
    condition = onnx.with_guidance(condition, np.float32([0, 1.5]))
    mask, dropped = rng.random((2, 5, 4)) < 0.5, np.array([False, True])
    cells = np.stack([rng.permutation(20)[:7] for _ in range(2)])
    pairs = {
        "decode": [r.decode_tokens(tokens, noise) for r in runtimes],
        "embed_audio": [r.embed_audio(mel) for r in runtimes],
        "vocode": [r.run("vocoder", mel=mel) for r in runtimes],
        "hidden": [r.hidden(tokens, mask, condition, dropped, cells) for r in runtimes],
    }
    hidden, codes = pairs["hidden"][0].reshape(14, -1), tokens.reshape(40, -1)[:14]
    for level in range(2):
        against, scale = rng.integers(0, 14, 9), rng.uniform(0, 4, 9).astype(np.float32)
        pairs[f"logits {level}"] = [r.logits(hidden, codes, level, against, scale) for r in runtimes]
    for name, (a, b) in pairs.items():
        assert np.linalg.norm(a - b) < 1e-3 * np.linalg.norm(b), name


def test_graphs_of_earlier_versions_give_all_and_what_is_asked_for_is_taken_from_it(trained, monkeypatch):
    runtime = open_runtime(load_checkpoint(trained[1]), "onnx")
    rng = np.random.default_rng(0)
    tokens, mask, cells = rng.integers(0, 64, (2, 5, 4, 2)), rng.random((2, 5, 4)) < 0.5, np.array([[7, 3], [0, 19]])
    condition = rng.standard_normal((2, runtime.config.generator.condition_size), dtype=np.float32)
    given = tokens, mask, condition, np.array([False, True])
    hidden, codes = rng.standard_normal((4, 32), dtype=np.float32), rng.integers(0, 64, (4, 2))
    guidance = np.array([2, 3]), np.float32([1.5, 0])
    wanted = runtime.hidden(*given, cells), runtime.logits(hidden, codes, 1, *guidance)
    every = {
        "generator": runtime.hidden(*given, np.tile(np.arange(20), (2, 1))),
        "head": runtime.logits(hidden, codes, 1, np.arange(4), np.zeros(4, np.float32)),
    }
    monkeypatch.setattr(runtime, "_takes", lambda graph, name: False)
    monkeypatch.setattr(runtime, "_run", lambda graph, shape, inputs: every[graph].reshape(shape))
    np.testing.assert_allclose(runtime.hidden(*given, cells), wanted[0], atol=1e-5)
    np.testing.assert_allclose(runtime.logits(hidden, codes, 1, *guidance), wanted[1], atol=1e-5)


def test_runtimes_draw_the_same_tokens(runtimes):
    tokens, mask = np.zeros((1, 5, 20, 2), np.int64), np.ones((1, 5, 20), bool)
    condition = Condition(runtimes[0].embed_text(["dog barking"])).pack(runtimes[0].config.generator)
    drawn = [decode(r, tokens, mask, condition, DecodeSettings(), [np.random.default_rng(4)]) for r in runtimes]
    assert np.array_equal(*drawn)


def test_a_vocoder_can_be_borrowed(trained):
    own, plain = (load(str(trained[1]), vocoder=v).generate("rain", seconds=1, seed=2) for v in (None, "griffin-lim"))
    assert np.array_equal(own.mel, plain.mel)
    assert not np.allclose(own.samples, plain.samples)
