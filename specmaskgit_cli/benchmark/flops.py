"""The generator's floating-point operations, counted from its settings, a multiplication and an addition as two."""

from __future__ import annotations

from ..config import CheckpointConfig


def matrices(config: CheckpointConfig) -> list[tuple[int, int]]:
    """(inputs, outputs) of the matrices that every token passes in a layer: attention in and out, and the MLP."""
    width = config.generator.width
    hidden = int(width * config.generator.mlp_ratio)
    return [(width, 3 * width), (width, width), (width, hidden), (hidden, width)]


def generator_flops(config: CheckpointConfig, batch: int, columns: int) -> float:
    """Of one pass over a batch of grids, without norms and activations, which are no products."""
    generator, tokens = config.generator, config.rows * columns
    width = generator.width
    layer = tokens * sum(inputs * outputs for inputs, outputs in matrices(config))
    layer += 2 * tokens * tokens * width  # queries with keys, weights with values
    layer += 4 * width * width if generator.modulation else 0
    first = tokens * config.tokenizer.codebook_dim * width + (generator.condition_dim + width) * width
    return 2.0 * batch * (generator.layers * layer + first)
