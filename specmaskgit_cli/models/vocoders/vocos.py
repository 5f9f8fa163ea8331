"""Vocos: frames to magnitudes and phases, then the inverse STFT (arXiv 2306.00814, github.com/gemelo-ai/vocos)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config.settings import MelConfig, VocoderConfig
from ...spectrogram.mel import mel_filterbank
from .base import Vocoder

MAX_LOG_MAGNITUDE = 7.0  # above the largest bin of a full-scale signal


class Vocos(Vocoder):
    """The generator of Vocos, with magnitudes predicted as a residual over what the mel itself says about them.

    The pseudo-inverse of the filterbank gives a first log-magnitude, smooth over the bins of a band and empty above
    f_max; the network corrects it and predicts phases, and the inverse STFT gives the waveform.
    """

    def __init__(self, config: VocoderConfig, mel: MelConfig):
        super().__init__()
        width = config.width
        self.mel = mel
        self.embed = nn.Conv1d(mel.n_mels, width, 7, padding=3)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.Sequential(*(_ConvNeXtBlock1d(width, 1 / config.layers) for _ in range(config.layers)))
        self.final_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, mel.n_fft + 2)
        self.istft = InverseSTFT(mel.n_fft, mel.hop_length)
        inverse = torch.linalg.pinv(torch.tensor(mel_filterbank(mel), dtype=torch.float64)).float()
        self.register_buffer("inverse_filterbank", inverse)  # [bins, n_mels]
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, mel: Tensor) -> Tensor:
        cfg = self.mel
        x = self.embed((mel - cfg.scale_min) / (cfg.scale_max - cfg.scale_min) * 2 - 1)
        x = self.blocks(self.norm(x.transpose(1, 2)).transpose(1, 2))
        residual, phase = self.head(self.final_norm(x.transpose(1, 2))).transpose(1, 2).chunk(2, 1)
        floor = (self.inverse_filterbank @ mel.exp()).clamp(min=cfg.log_clamp)
        magnitude = (floor.log() + residual).clamp(max=MAX_LOG_MAGNITUDE).exp()
        return self.istft(magnitude * phase.cos(), magnitude * phase.sin())


class _ConvNeXtBlock1d(nn.Module):
    """The block of Vocos: depthwise convolution over time, LayerNorm, pointwise MLP, layer scale. [B, width, F]."""

    def __init__(self, width: int, scale: float, kernel: int = 7, expansion: int = 3):
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, expansion * width)
        self.down = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).transpose(1, 2))
        return x + (self.scale * self.down(F.gelu(self.up(y)))).transpose(1, 2)


class InverseSTFT(nn.Module):
    """Inverse of the front end's STFT: frame i centred at sample (i + 1/2) * hop_length, Hann window at both ends.

    One transposed convolution does the inverse real DFT and the overlap-add, so that it exports to ONNX. The basis is
    computed at each call, not stored: a graph that holds it would be larger by megabytes.
    """

    def __init__(self, n_fft: int, hop_length: int):
        super().__init__()
        self.n_fft, self.hop_length = n_fft, hop_length
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("cosine", torch.cos(torch.arange(n_fft) * (2 * math.pi / n_fft)), persistent=False)

    def forward(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Both parts [B, n_fft // 2 + 1, frames]. Returns [B, frames * hop_length]."""
        n = torch.arange(self.n_fft, device=real.device)
        bins = torch.arange(self.n_fft // 2 + 1, device=real.device)[:, None]
        weight = torch.where((bins == 0) | (bins == self.n_fft // 2), 1.0, 2.0) / self.n_fft * self.window
        cosine = self.cosine[bins * n % self.n_fft] * weight
        sine = self.cosine[(bins * n + self.n_fft // 4) % self.n_fft] * weight  # -sin
        spectrum, basis = torch.cat([real, imaginary], 1), torch.cat([cosine, sine])[:, None]
        margin = (self.n_fft - self.hop_length) // 2
        signal = F.conv_transpose1d(spectrum, basis, stride=self.hop_length, padding=margin)
        ones = torch.ones_like(real[:1, :1])
        envelope = F.conv_transpose1d(ones, (self.window**2)[None, None], stride=self.hop_length, padding=margin)
        return (signal / envelope)[:, 0]
