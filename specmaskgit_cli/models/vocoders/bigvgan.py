"""BigVGAN generator: HiFi-GAN with periodic activations that are applied at twice the rate, so that they do not alias.

Sources: BigVGAN (arXiv 2206.04658, github.com/NVIDIA/BigVGAN), Snake (arXiv 2006.08195), alias-free resampling
(arXiv 2106.12423, as in github.com/junjun3518/alias-free-torch).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config.settings import MelConfig, VocoderConfig
from ...errors import SmgError
from .base import Vocoder, check_upsampling, same_conv

ACTIVATIONS = ("snake", "snakebeta")
TAPS = 12  # of the low-pass filter, at twice the rate
CUTOFF, HALF_WIDTH = 0.25, 0.3  # of its pass band and its transition, in cycles a sample
TINY = 1e-9  # keeps the division by a Snake's magnitude finite


def low_pass() -> Tensor:
    """The sinc filter under a Kaiser window that goes before and after each activation, float32 [TAPS], of sum 1."""
    half = TAPS // 2
    attenuation = 2.285 * (half - 1) * math.pi * 4 * HALF_WIDTH + 7.95
    beta = 0.1102 * (attenuation - 8.7)  # Kaiser's rule for filters of more than 50 dB, as this one is
    window = torch.kaiser_window(TAPS, periodic=False, beta=beta, dtype=torch.float64)
    taps = window * torch.sinc(2 * CUTOFF * (torch.arange(TAPS, dtype=torch.float64) - half + 0.5))
    return (taps / taps.sum()).float()


class _Snake(nn.Module):
    """x + sin(alpha x)^2 / beta, with a frequency alpha for each channel and a magnitude, which is 1 / alpha for Snake
    and free for SnakeBeta. [B, channels, samples]."""

    def __init__(self, channels: int, config: VocoderConfig):
        super().__init__()
        first = torch.zeros(channels) if config.snake_logscale else torch.ones(channels)
        self.logscale = config.snake_logscale
        self.alpha = nn.Parameter(first.clone())
        if config.activation == "snakebeta":
            self.beta = nn.Parameter(first.clone())

    def forward(self, x: Tensor) -> Tensor:
        alpha = self.alpha[:, None]
        beta = self.beta[:, None] if hasattr(self, "beta") else alpha
        if self.logscale:
            alpha, beta = alpha.exp(), beta.exp()
        return x + (x * alpha).sin() ** 2 / (beta + TINY)


class _AliasFree(nn.Module):
    """A Snake at twice the rate, between two low-pass filters: the harmonics it makes above the band are cut off."""

    def __init__(self, channels: int, config: VocoderConfig):
        super().__init__()
        self.act = _Snake(channels, config)
        self.register_buffer("filter", low_pass(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels, taps = x.shape[1], self.filter.expand(x.shape[1], 1, -1)
        edge = TAPS // 2 - 1
        x = F.conv_transpose1d(F.pad(x, (edge, edge), mode="replicate"), 2 * taps, stride=2, groups=channels)
        x = self.act(x[..., 3 * edge : -3 * edge])
        return F.conv1d(F.pad(x, (edge, edge + 1), mode="replicate"), taps, stride=2, groups=channels)


class _AMPBlock1(nn.Module):
    """Pairs of convolutions, dilated and not, each behind an activation."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...], config: VocoderConfig):
        super().__init__()
        self.convs1 = nn.ModuleList(same_conv(channels, kernel, dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(same_conv(channels, kernel, 1) for _ in dilations)
        self.activations = nn.ModuleList(_AliasFree(channels, config) for _ in range(2 * len(dilations)))

    def forward(self, x: Tensor) -> Tensor:
        acts = self.activations
        for first, second, before, between in zip(self.convs1, self.convs2, acts[::2], acts[1::2], strict=True):
            x = x + second(between(first(before(x))))
        return x


class _AMPBlock2(nn.Module):
    """Dilated convolutions, each behind an activation."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...], config: VocoderConfig):
        super().__init__()
        self.convs = nn.ModuleList(same_conv(channels, kernel, dilation) for dilation in dilations)
        self.activations = nn.ModuleList(_AliasFree(channels, config) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for conv, activation in zip(self.convs, self.activations, strict=True):
            x = x + conv(activation(x))
        return x


class BigVGAN(Vocoder):
    """BigVGAN generator of version 1 or 2 with the parameter names of the public checkpoints, weight normalisation
    folded into the weights and the filters, which are the same in all of them, left out."""

    def __init__(self, config: VocoderConfig, mel: MelConfig):
        super().__init__()
        check_upsampling(config, mel)
        if config.activation not in ACTIVATIONS:
            raise SmgError(f"vocoder: activation is {config.activation!r}, expected one of {', '.join(ACTIVATIONS)}")
        rates, kernels = config.upsample_rates, config.upsample_kernel_sizes
        channels = [config.upsample_initial_channel // 2**i for i in range(len(rates) + 1)]
        shapes = list(zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True))
        block = {"1": _AMPBlock1, "2": _AMPBlock2}[config.resblock]
        self.tanh = config.use_tanh_at_final
        self.conv_pre = nn.Conv1d(mel.n_mels, channels[0], 7, padding=3)
        self.ups = nn.ModuleList(
            nn.ModuleList(
                [nn.ConvTranspose1d(channels[i], channels[i + 1], kernel, rate, padding=(kernel - rate) // 2)]
            )
            for i, (rate, kernel) in enumerate(zip(rates, kernels, strict=True))
        )
        self.resblocks = nn.ModuleList(block(width, *shape, config) for width in channels[1:] for shape in shapes)
        self.activation_post = _AliasFree(channels[-1], config)
        self.conv_post = nn.Conv1d(channels[-1], 1, 7, padding=3, bias=config.use_bias_at_final)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.conv_pre(mel)
        parallel = len(self.resblocks) // len(self.ups)
        for i, (up,) in enumerate(self.ups):
            x = up(x)
            x = sum(block(x) for block in self.resblocks[i * parallel : (i + 1) * parallel]) / parallel
        x = self.conv_post(self.activation_post(x))[:, 0]
        return x.tanh() if self.tanh else x.clamp(-1, 1)
