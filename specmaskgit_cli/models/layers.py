"""Building blocks shared by the torch models. Grids are channels-last: [B, rows, columns, width]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvNeXtBlock(nn.Module):
    """ConvNeXt block (Liu et al. 2022) on a grid: depthwise convolution, LayerNorm, pointwise MLP, layer scale."""

    def __init__(self, width: int, kernel: int, scale: float = 0.1):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        y = self.down(gelu(self.up(self.norm(y))))
        return x + self.scale * y


def gelu(x: Tensor) -> Tensor:
    """GELU in its tanh approximation."""
    return fused("FastGelu", (x,), x.shape) if torch.compiler.is_exporting() else F.gelu(x, approximate="tanh")


def fused(operator: str, inputs: tuple[Tensor, ...], shape, **attributes) -> Tensor:
    """An operator that ONNX Runtime has beyond the standard, for exported graphs; `export.standard` spells it out."""
    return torch.onnx.ops.symbolic(
        f"com.microsoft::{operator}", inputs, attributes, dtype=inputs[0].dtype, shape=shape, version=1
    )


def pick(x: Tensor, cells: Tensor) -> Tensor:
    """Of x [B, n, width] the rows `cells` int64 [B, m]: [B, m, width]."""
    starts = torch.arange(x.shape[0], device=x.device)[:, None] * x.shape[1]
    return x.flatten(0, 1)[cells + starts]


def patchify(image: Tensor, patch: int) -> Tensor:
    """[B, rows*patch, columns*patch] -> [B, rows, columns, patch*patch]."""
    b, height, width = image.shape
    grid = image.reshape(b, height // patch, patch, width // patch, patch)
    return grid.permute(0, 1, 3, 2, 4).flatten(3)


def unpatchify(grid: Tensor, patch: int) -> Tensor:
    """[B, rows, columns, patch*patch] -> [B, rows*patch, columns*patch]."""
    b, rows, columns, _ = grid.shape
    grid = grid.reshape(b, rows, columns, patch, patch).permute(0, 1, 3, 2, 4)
    return grid.reshape(b, rows * patch, columns * patch)
