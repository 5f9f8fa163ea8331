"""The envelope of a sound's missing bands, estimated from those that are known."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config.settings import EnvelopeConfig
from .layers import gelu

SPREAD = 3.5  # nats: levels are about so far apart
ROUGHNESS = 0.7, 0.15  # mean and deviation of how rough bands are, about
DILATIONS = 1, 2, 4  # of the blocks in turn, in steps


class _Block(nn.Module):
    """ConvNeXt block (arXiv 2201.03545) over time, which also hears mean and deviation of the whole sound."""

    def __init__(self, config: EnvelopeConfig, dilation: int):
        super().__init__()
        width, reach = config.width, config.kernel // 2 * dilation
        self.depthwise = nn.Conv1d(width, width, config.kernel, padding=reach, dilation=dilation, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 3 * width)
        self.down = nn.Linear(3 * width, width)
        self.whole = nn.Linear(2 * width, width)
        self.drop = nn.Dropout(config.dropout)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.whole.weight)

    def forward(self, x: Tensor, heard: Tensor) -> Tensor:
        y = self.norm(self.depthwise((x * heard).transpose(1, 2)).transpose(1, 2))
        count = heard.sum(1, keepdim=True)
        mean = (y * heard).sum(1, keepdim=True) / count
        deviation = (((y - mean).square() * heard).sum(1, keepdim=True) / count + 1e-3).sqrt()
        whole = self.whole(torch.cat([mean, deviation], -1))
        return x + self.down(self.drop(gelu(self.up(y)))) + whole


class EnvelopeEstimator(nn.Module):
    """Convolutions over time on all known bands at once. What is known is a mask, so that one model serves any cut-off.

    Levels go in and out relative to the mean of the known ones.
    """

    def __init__(self, config: EnvelopeConfig):
        super().__init__()
        self.bands = config.bands
        self.enter = nn.Linear(3 * config.bands + 1, config.width)
        self.blocks = nn.ModuleList(_Block(config, DILATIONS[i % len(DILATIONS)]) for i in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.leave = nn.Linear(config.width, config.bands)

    def forward(self, found: Tensor, known: Tensor, heard: Tensor) -> Tensor:
        """
        Args:
            found: [B, steps, 2 * bands], as `envelope.envelope` gives it; what is not known does not matter.
            known: bool [B, bands].
            heard: bool [B, steps], false past the end of a sound; one at least is true.

        Returns:
            [B, steps, bands]: levels in nats, of all bands; those that are known have no meaning.
        """
        level, roughness = found[..., : self.bands], found[..., self.bands :]
        known, heard = known[:, None].to(found.dtype), heard[..., None].to(found.dtype)
        total = (level * known * heard).sum((1, 2), keepdim=True)
        mean = total / (known.sum(2, keepdim=True).clamp(min=1) * heard.sum(1, keepdim=True))
        every = torch.ones_like(level[..., :1])
        seen = [
            (level - mean) * known / SPREAD, (roughness - ROUGHNESS[0]) * known / ROUGHNESS[1],
            known * every, mean * every / (3 * SPREAD),
        ]  # fmt: skip
        x = self.enter(torch.cat(seen, -1))
        for block in self.blocks:
            x = block(x, heard)
        return mean + SPREAD * (self.leave(self.norm(x)).to(found.dtype) - 1)
