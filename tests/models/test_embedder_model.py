import pytest

torch = pytest.importorskip("torch")

from specmaskgit_cli.config.presets import PRESETS  # noqa: E402
from specmaskgit_cli.config.settings import EmbedderConfig, MelConfig  # noqa: E402
from specmaskgit_cli.models.embedder import AudioTower  # noqa: E402


@pytest.fixture(scope="module")
def tower():
    torch.manual_seed(0)
    return AudioTower(EmbedderConfig(dim=24, width=8, layers=3), MelConfig()).eval()


@pytest.mark.parametrize("frames", [16, 17, 86, 347])
def test_any_length_gives_a_unit_vector(tower, frames):
    out = tower(torch.randn(3, 80, frames) - 4)
    assert out.shape == (3, 24)
    torch.testing.assert_close(out.norm(dim=-1), torch.ones(3))


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_run(preset):
    config = PRESETS[preset]
    assert AudioTower(config.embedder, config.mel)(torch.zeros(1, 80, 32)).shape == (1, config.embedder.dim)


def test_small_preset_is_small():
    config = PRESETS["small"]
    assert 1.5e6 < sum(p.numel() for p in AudioTower(config.embedder, config.mel).parameters()) < 2.5e6


def test_batch_does_not_change_an_embedding(tower):
    mel = torch.randn(4, 80, 40) - 4
    torch.testing.assert_close(tower(mel)[2:3], tower(mel[2:3]), atol=1e-6, rtol=0)


def test_what_the_front_end_clips_is_not_seen(tower):
    mel = torch.full((1, 80, 32), -9.5)
    torch.testing.assert_close(tower(mel), tower(mel - 2))


def test_trailing_silence_moves_an_embedding_less_than_another_sound(tower):
    sound, other = torch.randn(2, 1, 80, 64)
    silence = torch.full((1, 80, 64), -9.5)
    alone = tower(sound)
    padded, mixed = tower(torch.cat([sound, silence], 2)), tower(torch.cat([sound, other - 3], 2))
    assert (alone * padded).sum() > (alone * mixed).sum()


def test_gradient_reaches_every_parameter(tower):
    tower(torch.randn(2, 80, 48) - 4)[:, 0].sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in tower.parameters())
