"""Spectrogram tokenizer: mel patches to residual codes and back (after SpecVQGAN, Iashin & Rahtu 2021).

What it shares with SpecVQGAN is the grid and the discrete bottleneck. What differs, to be cheap on a CPU: the patch
is cut linearly and all layers run on the rows x columns grid; a patch has several residual codes (Zeghidour et al.
2021) instead of one; and texture that the codes cannot carry is drawn instead of blurred: the decoder is given the
log-mel of white noise and is trained with an energy score (Gneiting & Raftery 2007), a proper scoring rule that needs
no discriminator. With equal noise the decoder is deterministic.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config.settings import MelConfig, TokenizerConfig
from .layers import ConvNeXtBlock, from_cells, patchify, to_cells, unpatchify


class ResidualQuantizer(nn.Module):
    """Residual vector quantiser; the codebooks [levels, size, dim] are buffers, fitted by moving averages."""

    def __init__(self, config: TokenizerConfig):
        super().__init__()
        shape = (config.levels, config.codebook_size, config.codebook_dim)
        self.register_buffer("codebooks", torch.randn(shape) * 0.1)

    def codes(self, z: Tensor) -> Tensor:
        """Latents [..., dim] to codes [..., levels], nearest first, each level coding what the former left."""
        residual = z.reshape(-1, z.shape[-1])
        indices = []
        for codebook in self.codebooks:
            score = residual @ codebook.T - 0.5 * codebook.square().sum(1)
            index = score.argmax(1)
            residual = residual - codebook[index]
            indices.append(index)
        return torch.stack(indices, 1).reshape(*z.shape[:-1], -1)

    def lookup(self, codes: Tensor) -> Tensor:
        """Codes [..., levels] to the sum of their vectors [..., dim]."""
        return sum(F.embedding(codes[..., k], self.codebooks[k]) for k in range(codes.shape[-1]))


class Tokenizer(nn.Module):
    """Mel <-> codes. Mels are natural-log [B, n_mels, frames], frames a multiple of `patch_frames`."""

    def __init__(self, config: TokenizerConfig, mel: MelConfig):
        super().__init__()
        self.config, self.mel = config, mel
        self.patch = config.patch_bands, config.patch_frames
        self.cell = config.cell_bands, config.cell_frames
        rows, pixels, width = mel.n_mels // config.patch_bands, math.prod(self.patch), config.width
        self.patch_in = nn.Linear(pixels, width)
        self.row_in = nn.Parameter(torch.zeros(rows, 1, width))
        self.encoder = nn.ModuleList(ConvNeXtBlock(width, config.kernel) for _ in range(config.encoder_layers))
        self.norm_in = nn.LayerNorm(width)
        self.to_latent = nn.Linear(width, config.codebook_dim)
        self.quantizer = ResidualQuantizer(config)
        self.from_latent = nn.Linear(config.codebook_dim, width)
        self.row_out = nn.Parameter(torch.zeros(rows, 1, width))
        self.decoder = nn.ModuleList(ConvNeXtBlock(width, config.kernel) for _ in range(config.decoder_layers))
        self.norm_out = nn.LayerNorm(width)
        self.patch_out = nn.Linear(width, 2 * pixels)  # mean and log-deviation of every pixel
        channels = config.texture_channels
        # Cells of some pixels as channels: the same reach at a fraction of the cost of convolving pixels.
        inside = math.prod(self.cell)
        self.texture = nn.Sequential(
            nn.Conv2d(3 * inside, channels, 3, padding=1), nn.GELU("tanh"), nn.Conv2d(channels, inside, 3, padding=1)
        )
        nn.init.zeros_(self.texture[-1].weight)
        nn.init.zeros_(self.texture[-1].bias)
        self.grain = nn.ModuleList(
            ConvNeXtBlock(channels, config.kernel, scale=0.02) for _ in range(config.texture_layers)
        )
        if config.texture_layers:
            self.cells_out = nn.Linear(width, channels * (pixels // inside))
            nn.init.zeros_(self.cells_out.weight)
            nn.init.zeros_(self.cells_out.bias)
        with torch.no_grad():
            self.patch_out.weight[pixels:] *= 0.1
            self.patch_out.bias[pixels:] = -3.0

    def normalize(self, mel: Tensor) -> Tensor:
        """Nats to [-1, 1], clipped."""
        low, high = self.mel.scale_min, self.mel.scale_max
        return ((mel - low) * (2 / (high - low)) - 1).clamp(-1, 1)

    def denormalize(self, x: Tensor) -> Tensor:
        low, high = self.mel.scale_min, self.mel.scale_max
        return (x.clamp(-1, 1) + 1) * ((high - low) / 2) + low

    def latent(self, x: Tensor) -> Tensor:
        """Normalised mel [B, n_mels, frames] to latents [B, rows, columns, dim]; layer-normed so their scale is set."""
        h = self.patch_in(patchify(x, self.patch)) + self.row_in
        for block in self.encoder:
            h = block(h)
        z = self.to_latent(self.norm_in(h))
        return F.layer_norm(z, z.shape[-1:])

    def distribution(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Latents to mean and deviation images, each [B, n_mels, frames], normalised scale, and to what shapes the
        texture of cells: [B, n_mels / cell_bands, frames / cell_frames, texture_channels]; None without such layers."""
        h = self.from_latent(z) + self.row_out
        for block in self.decoder:
            h = block(h)
        h = self.norm_out(h)
        mean, log_deviation = (unpatchify(t, self.patch) for t in self.patch_out(h).chunk(2, -1))
        return mean, log_deviation.clamp(-8, 1).exp(), self._shape(h) if self.grain else None

    def _shape(self, h: Tensor) -> Tensor:
        high, wide = (patch // cell for patch, cell in zip(self.patch, self.cell, strict=True))
        cells = self.cells_out(h).unflatten(3, (high, wide, -1))  # [B, rows, columns, high, wide, channels]
        return cells.transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def render(self, mean: Tensor, deviation: Tensor, shape: Tensor | None, noise: Tensor) -> Tensor:
        """A draw of the mel for given noise [B, n_mels, frames]; the convolutions shape it across patch borders."""
        x = mean + deviation * noise
        cells = to_cells(torch.stack([mean, x, deviation * noise], 1), self.cell)
        cells = self.texture[:2](cells.contiguous(memory_format=torch.channels_last))
        if shape is not None:
            cells = cells.permute(0, 2, 3, 1) + shape
            for block in self.grain:
                cells = block(cells)
            cells = cells.permute(0, 3, 1, 2)
        return x + from_cells(self.texture[2](cells), self.cell)

    def encode(self, mel: Tensor) -> Tensor:
        """Natural-log mel [B, n_mels, frames] to codes [B, rows, columns, levels]."""
        return self.quantizer.codes(self.latent(self.normalize(mel)))

    def decode(self, codes: Tensor, noise: Tensor) -> Tensor:
        """Codes [B, rows, columns, levels] and noise [B, n_mels, frames] to natural-log mel [B, n_mels, frames]."""
        return self.denormalize(self.render(*self.distribution(self.quantizer.lookup(codes)), noise))
