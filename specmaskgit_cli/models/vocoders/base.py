"""What the networks from mel to waveform share: their interface, and the parts of the upsampling ones."""

from __future__ import annotations

import math

from torch import Tensor, nn

from ...config.settings import MelConfig, VocoderConfig
from ...errors import SmgError


class Vocoder(nn.Module):
    """Base class: forward(mel) maps natural-log mel [B, n_mels, frames] to a waveform [B, frames * hop_length]."""

    def forward(self, mel: Tensor) -> Tensor:
        raise NotImplementedError


def check_upsampling(config: VocoderConfig, mel: MelConfig) -> None:
    """Raise SmgError unless a generator of HiFi-GAN's shape makes `mel.hop_length` samples of a frame."""
    rates, kernels = config.upsample_rates, config.upsample_kernel_sizes
    if math.prod(rates) != mel.hop_length:
        raise SmgError(f"vocoder: upsample_rates {rates} do not multiply to hop_length {mel.hop_length}")
    if len(kernels) != len(rates) or any(k < u or (k - u) % 2 for k, u in zip(kernels, rates, strict=False)):
        raise SmgError(f"vocoder: upsample_kernel_sizes {kernels} do not fit upsample_rates {rates}")
    if config.upsample_initial_channel < 2 ** len(rates):
        raise SmgError(f"vocoder: upsample_initial_channel {config.upsample_initial_channel} is too few to halve it")
    if config.resblock not in ("1", "2"):
        raise SmgError(f"vocoder: resblock is {config.resblock!r}, expected '1' or '2'")
    if len(config.resblock_kernel_sizes) != len(config.resblock_dilation_sizes):
        raise SmgError("vocoder: resblock_kernel_sizes and resblock_dilation_sizes differ in length")


def same_conv(channels: int, kernel: int, dilation: int) -> nn.Conv1d:
    """A convolution of odd kernel that keeps the length."""
    return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2)
