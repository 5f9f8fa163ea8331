"""HiFi-GAN generator: transposed convolutions up to the sample rate (arXiv 2010.05646, github.com/jik876/hifi-gan)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ...config.settings import MelConfig, VocoderConfig
from .base import Vocoder, check_upsampling, same_conv

SLOPE = 0.1  # of the leaky ReLUs


class HiFiGAN(Vocoder):
    """HiFi-GAN generator (V1, V2 and V3 differ in the config only) with the parameter names of the public checkpoints,
    weight normalisation folded into the weights."""

    def __init__(self, config: VocoderConfig, mel: MelConfig):
        super().__init__()
        check_upsampling(config, mel)
        rates, kernels = config.upsample_rates, config.upsample_kernel_sizes
        blocks = {"1": _ResBlock1, "2": _ResBlock2}
        channels = [config.upsample_initial_channel // 2**i for i in range(len(rates) + 1)]
        shapes = list(zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True))
        self.conv_pre = nn.Conv1d(mel.n_mels, channels[0], 7, padding=3)
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(channels[i], channels[i + 1], kernel, rate, padding=(kernel - rate) // 2)
            for i, (rate, kernel) in enumerate(zip(rates, kernels, strict=True))
        )
        block = blocks[config.resblock]
        self.resblocks = nn.ModuleList(block(width, *shape) for width in channels[1:] for shape in shapes)
        self.conv_post = nn.Conv1d(channels[-1], 1, 7, padding=3)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.conv_pre(mel)
        parallel = len(self.resblocks) // len(self.ups)
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            x = sum(block(x) for block in self.resblocks[i * parallel : (i + 1) * parallel]) / parallel
        return self.conv_post(F.leaky_relu(x)).tanh()[:, 0]  # torch's default slope here, as published


class _ResBlock1(nn.Module):
    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]):
        super().__init__()
        self.convs1 = nn.ModuleList(same_conv(channels, kernel, dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(same_conv(channels, kernel, 1) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = x + second(F.leaky_relu(first(F.leaky_relu(x, SLOPE)), SLOPE))
        return x


class _ResBlock2(nn.Module):
    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]):
        super().__init__()
        self.convs = nn.ModuleList(same_conv(channels, kernel, dilation) for dilation in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = x + conv(F.leaky_relu(x, SLOPE))
        return x
