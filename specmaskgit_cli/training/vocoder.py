"""Training of the vocoder: spectral losses, then multi-resolution spectrogram discriminators beside them.

Sources: Vocos (arXiv 2306.00814) for the losses, UnivNet (arXiv 2106.07889) for the discriminators.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from ..config.settings import CheckpointConfig
from ..data.clips import ClipCache, Weighted
from ..models.vocoders import build_vocoder
from ..models.vocoders.base import Vocoder
from ..spectrogram.mel import log_mel, mel_filterbank
from .loop import Stage, TrainOptions

FRAMES = 48  # of a crop: about half a second
RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))  # (n_fft, hop) of spectral losses and discriminators
ADVERSARIAL_FROM = 0.4  # of the way, by time or steps: before, the spectral losses do better alone
MEL_WEIGHT, STFT_WEIGHT, FEATURE_WEIGHT = 5.0, 1.0, 1.0


class VocoderStage(Stage):
    """Trains `config.vocoder` on crops of waveforms and their own mels.

    Args:
        adversarial: whether discriminators join in after the first part of the run.
    """

    name = "vocoder"

    def __init__(
        self,
        config: CheckpointConfig,
        options: TrainOptions,
        train: ClipCache,
        val: ClipCache,
        adversarial: bool = True,
    ):
        super().__init__(config, options)
        self.train_set, self.val_set, self.adversarial = train, val, adversarial
        self.settings = {"adversarial": adversarial}
        self.model = TrainableVocoder(build_vocoder(config.vocoder, config.mel), adversarial)
        self.lengths = Weighted(np.sqrt([c.frames for c in train.clips]))
        rngs = (np.random.default_rng(i) for i in range(4))
        self.validation = [self._batch(val, [rng] * options.batch) for rng in rngs]

    def _batch(self, clips: ClipCache, rngs: list, lengths: Weighted | None = None) -> tuple[Tensor, Tensor]:
        """(waveforms [B, samples], mels [B, n_mels, frames]) at varied levels, one for each generator."""
        hop = self.config.mel.hop_length
        waves = np.zeros((len(rngs), FRAMES * hop), np.float32)
        for wave, rng in zip(waves, rngs, strict=True):
            source = clips.clip_wave(clips.clips[lengths.draw(rng) if lengths else rng.integers(len(clips.clips))])
            start = rng.integers(0, max(1, len(source) - len(wave) + 1))
            piece = source[start : start + len(wave)]
            wave[: len(piece)] = piece * 10 ** rng.uniform(-0.75, 0.0)
        return torch.from_numpy(waves), torch.from_numpy(log_mel(waves, self.config.mel))

    def draw(self, part):
        return self._batch(self.train_set, part.rngs(self.options.batch), self.lengths)

    def loss(self, part, drawn):
        wave, mel = (t.to(self.device) for t in drawn)
        made = self.model.vocoder(mel)
        mel_loss, stft_loss = self._mel_distance(made, wave), stft_distance(made, wave)
        loss = MEL_WEIGHT * mel_loss + STFT_WEIGHT * stft_loss
        logs = {"mel": float(mel_loss.detach()), "stft": float(stft_loss.detach())}
        if self.adversarial and self.progress > ADVERSARIAL_FROM:
            generator_loss, discriminator_loss = self.model.adversarial_losses(made, wave)
            loss = loss + generator_loss + discriminator_loss
            logs["discriminator"] = float(discriminator_loss.detach())
        share = part.share(self.options.batch)
        return share * loss, {key: share * value for key, value in logs.items()}

    def _mel_distance(self, made: Tensor, wave: Tensor) -> Tensor:
        return (self._log_mel(made) - self._log_mel(wave)).abs().mean()

    def _log_mel(self, wave: Tensor) -> Tensor:
        bands = torch.tensor(mel_filterbank(self.config.mel), device=wave.device)
        size = magnitude(wave, self.config.mel.n_fft, self.config.mel.hop_length)
        return (bands @ size).clamp(min=1e-4).log()

    def validate(self):
        batches = ((wave.to(self.device), mel.to(self.device)) for wave, mel in self.validation)
        pairs = [(self.model.vocoder(mel), wave) for wave, mel in batches]
        return {
            "mel": float(np.mean([float(self._mel_distance(*p)) for p in pairs])),
            "stft": float(np.mean([float(stft_distance(*p)) for p in pairs])),
        }


class TrainableVocoder(nn.Module):
    """A vocoder with the discriminators that judge it."""

    def __init__(self, vocoder: Vocoder, adversarial: bool):
        super().__init__()
        self.vocoder = vocoder
        self.judges = nn.ModuleList(SpectrogramDiscriminator(*r) for r in RESOLUTIONS) if adversarial else None

    def adversarial_losses(self, made: Tensor, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Hinge losses of the vocoder (with feature matching) and of the discriminators.

        Both are minimised in one step: the vocoder's is computed through detached copies of the discriminators'
        weights, the discriminators' on a detached waveform, so that neither reaches the other's parameters.
        """
        for_vocoder = for_judges = made.new_zeros(())
        for judge in self.judges:
            frozen = {name: p.detach() for name, p in judge.named_parameters()}
            with torch.no_grad():
                wanted = judge(wave)
            got = functional_call(judge, frozen, (made,))
            matching = sum(F.l1_loss(a, b) for a, b in zip(got[:-1], wanted[:-1], strict=True)) / len(wanted)
            for_vocoder = for_vocoder + F.relu(1 - got[-1]).mean() + FEATURE_WEIGHT * matching
            for_judges = for_judges + F.relu(1 - judge(wave)[-1]).mean() + F.relu(1 + judge(made.detach())[-1]).mean()
        return for_vocoder / len(self.judges), for_judges / len(self.judges)


class SpectrogramDiscriminator(nn.Module):
    """Strided convolutions over one log-magnitude spectrogram; returns all features, the verdict map last."""

    def __init__(self, n_fft: int, hop: int, width: int = 24):
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        shapes = [(1, width), (width, width), (width, width), (width, width)]
        self.convs = nn.ModuleList(
            nn.utils.parametrizations.weight_norm(nn.Conv2d(a, b, (7, 3), stride=(2, 1), padding=(3, 1)))
            for a, b in shapes
        )
        self.out = nn.utils.parametrizations.weight_norm(nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, wave: Tensor) -> list[Tensor]:
        x = magnitude(wave, self.n_fft, self.hop).clamp(min=1e-4).log()[:, None] / 5
        features = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.1)
            features.append(x)
        return [*features, self.out(x)]


def magnitude(wave: Tensor, n_fft: int, hop: int) -> Tensor:
    """STFT magnitudes [B, n_fft / 2 + 1, frames], Hann window, reflected margins."""
    window = torch.hann_window(n_fft, device=wave.device)
    spectrum = torch.stft(wave, n_fft, hop, window=window, return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt()


def stft_distance(made: Tensor, wave: Tensor) -> Tensor:
    """Spectral convergence and log-magnitude L1, averaged over resolutions (Parallel WaveGAN, arXiv 1910.11480)."""
    total = made.new_zeros(())
    for resolution in RESOLUTIONS:
        a, b = magnitude(made, *resolution), magnitude(wave, *resolution)
        convergence = (a - b).flatten(1).norm(dim=1) / b.flatten(1).norm(dim=1).clamp(min=1e-2)
        total = total + convergence.mean() + (a.clamp(min=1e-4).log() - b.clamp(min=1e-4).log()).abs().mean()
    return total / len(RESOLUTIONS)
