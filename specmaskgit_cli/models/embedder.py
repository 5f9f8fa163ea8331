"""Audio tower: mel-spectrogram to the joint text-audio space, trained contrastively as CLAP (arXiv 2206.04769)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config.settings import EmbedderConfig, MelConfig
from .layers import gelu

STEM = 4  # both strides of the first convolution
TEMPORAL_BLOCKS = 2
FRAME_SECONDS = 0.0116  # what the tower calls a frame: the mean of as many of the mel as last about so long


class _Block(nn.Module):
    """ConvNeXt block (arXiv 2201.03545), channels last, with a free kernel shape and MLP expansion."""

    def __init__(self, width: int, kernel: tuple[int, int], expansion: int):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, kernel, padding=(kernel[0] // 2, kernel[1] // 2), groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, expansion * width)
        self.down = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + self.scale * self.down(gelu(self.up(self.norm(y))))


class _Downsample(nn.Module):
    """LayerNorm, then a 2x2 convolution of stride 2, channels last."""

    def __init__(self, width: int, out_width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv2d(width, out_width, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.norm(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class AudioTower(nn.Module):
    """`layers` - 1 stages on a time-frequency grid, each of half the size and twice the width of the one before, then
    one stage over time alone in which a column holds all frequencies, then attentive statistics pooling.

    Pooling weights start out following loudness, so that silence around a sound hardly moves its embedding.
    """

    def __init__(self, config: EmbedderConfig, mel: MelConfig):
        super().__init__()
        stages = max(1, config.layers - 1)
        widths = [config.width * 2**stage for stage in range(stages)]
        self.stride = STEM * 2 ** (stages - 1)
        self.pool = mel.frames(FRAME_SECONDS)
        self.bands = -(-mel.n_mels // self.stride) * self.stride
        self.scale_min, self.scale_max = mel.scale_min, mel.scale_max
        self.stem = nn.Conv2d(1, widths[0], STEM, stride=STEM)
        # Convolutions cannot tell low from high; this can.
        self.frequency = nn.Parameter(0.02 * torch.randn(self.bands // STEM, 1, widths[0]))
        self.stem_norm = nn.LayerNorm(widths[0])
        self.stages = nn.ModuleList(_Block(width, (5, 5), expansion=2) for width in widths)
        self.downsamples = nn.ModuleList(map(_Downsample, widths[:-1], widths[1:]))
        width = widths[-1]
        self.merge_norm = nn.LayerNorm(width)
        self.merge = nn.Linear(self.bands // self.stride * width, width)
        self.temporal = nn.Sequential(*(_Block(width, (1, 7), expansion=3) for _ in range(TEMPORAL_BLOCKS)))
        self.norm = nn.LayerNorm(width)
        self.attention = nn.Linear(width, width)
        self.loudness_gain = nn.Parameter(torch.tensor(4.0))
        self.head_norm = nn.LayerNorm(2 * width)
        self.head = nn.Linear(2 * width, config.dim)
        nn.init.zeros_(self.attention.weight)

    def forward(self, mel: Tensor) -> Tensor:
        """mel: natural-log [B, n_mels, frames], any number of frames from 1. Returns unit-length [B, dim]."""
        x = ((mel - self.scale_min) / (self.scale_max - self.scale_min) * 2 - 1).clamp(-1, 1)
        x = F.pad(x, (0, -x.shape[2] % (self.stride * self.pool), 0, self.bands - x.shape[1]), value=-1.0)
        if self.pool > 1:
            x = x.unflatten(2, (-1, self.pool)).mean(3)
        loudness = x.mean(1).unflatten(1, (-1, self.stride)).amax(2)  # [B, columns]
        loudness = loudness - loudness.amax(1, keepdim=True)

        x = self.stem_norm(self.stem(x[:, None]).permute(0, 2, 3, 1) + self.frequency)
        x = self.stages[0](x)
        for downsample, stage in zip(self.downsamples, self.stages[1:], strict=True):
            x = stage(downsample(x))
        x = self.merge(self.merge_norm(x).permute(0, 2, 1, 3).flatten(2))  # [B, columns, width]
        x = self.norm(self.temporal(x[:, None])[:, 0])

        weights = (self.attention(x) + self.loudness_gain * loudness[..., None]).softmax(1)
        mean = (weights * x).sum(1)
        deviation = ((weights * (x - mean[:, None]) ** 2).sum(1) + 1e-5).sqrt()
        return F.normalize(self.head(self.head_norm(torch.cat([mean, deviation], -1))), dim=-1)
