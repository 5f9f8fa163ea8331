"""Building blocks shared by the torch models. Grids are channels-last: [B, rows, columns, width]."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

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
        with full_precision(x):
            y = self.depthwise(x.permute(0, 3, 1, 2).to(self.depthwise.weight.dtype)).permute(0, 2, 3, 1)
        y = self.down(gelu(self.up(self.norm(y))))
        return x + self.scale * y


def full_precision(x: Tensor) -> AbstractContextManager:
    """Out of mixed precision on a CPU, where depthwise convolutions and attention are slower in bfloat16."""
    if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return nullcontext()
    return without_autocast("cpu")


def without_autocast(device: str) -> AbstractContextManager:
    """Out of mixed precision on a type of device, for what needs all digits, such as distances to codes."""
    return torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()


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


def patchify(image: Tensor, patch: tuple[int, int]) -> Tensor:
    """[B, rows*bands, columns*frames] -> [B, rows, columns, bands*frames], in patches of (bands, frames)."""
    b, height, width = image.shape
    bands, frames = patch
    grid = image.reshape(b, height // bands, bands, width // frames, frames)
    return grid.permute(0, 1, 3, 2, 4).flatten(3)


def unpatchify(grid: Tensor, patch: tuple[int, int]) -> Tensor:
    """[B, rows, columns, bands*frames] -> [B, rows*bands, columns*frames], the inverse of `patchify`."""
    b, rows, columns, _ = grid.shape
    bands, frames = patch
    grid = grid.reshape(b, rows, columns, bands, frames).permute(0, 1, 3, 2, 4)
    return grid.reshape(b, rows * bands, columns * frames)


def to_cells(images: Tensor, cell: tuple[int, int]) -> Tensor:
    """[B, n, height, width] -> [B, n*bands*frames, height/bands, width/frames]: the pixels of cells as channels, as
    `F.pixel_unshuffle` gives them for square ones."""
    b, n, height, width = images.shape
    bands, frames = cell
    cells = images.reshape(b, n, height // bands, bands, width // frames, frames)
    return cells.permute(0, 1, 3, 5, 2, 4).reshape(b, n * bands * frames, height // bands, width // frames)


def from_cells(cells: Tensor, cell: tuple[int, int]) -> Tensor:
    """[B, bands*frames, high, wide] -> [B, high*bands, wide*frames], the inverse of `to_cells` of one image."""
    b, _, high, wide = cells.shape
    bands, frames = cell
    images = cells.reshape(b, bands, frames, high, wide).permute(0, 3, 1, 4, 2)
    return images.reshape(b, high * bands, wide * frames)
