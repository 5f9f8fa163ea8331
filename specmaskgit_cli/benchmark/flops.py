"""The generator's floating-point operations, counted from its settings, a multiplication and an addition as two."""

from __future__ import annotations

from ..config.settings import CheckpointConfig


def matrices(config: CheckpointConfig) -> list[tuple[int, int]]:
    """(inputs, outputs) of the matrices that every token passes in a layer: attention in and out, and the MLP."""
    width = config.generator.width
    hidden = int(width * config.generator.mlp_ratio)
    return [(width, 3 * width), (width, width), (width, hidden), (hidden, width)]


def generator_flops(config: CheckpointConfig, batch: int, columns: int, cells: int | None = None) -> float:
    """Of one pass over a batch of grids, without norms and activations, which are no products.

    `cells`: those of each grid whose states are asked for, which the last layer works on alone; None: all.
    """
    generator, tokens = config.generator, config.rows * columns
    width, cells = generator.width, tokens if cells is None else cells

    def layer(asking: int) -> int:
        products = tokens * 2 * width * width  # keys and values are of all
        products += asking * (sum(inputs * outputs for inputs, outputs in matrices(config)) - 2 * width * width)
        products += 2 * asking * tokens * width  # queries with keys, weights with values
        return products + (4 * width * width if generator.modulation else 0)

    first = tokens * config.tokenizer.codebook_dim * width + (generator.condition_size + width) * width
    return 2.0 * batch * ((generator.layers - 1) * layer(tokens) + layer(cells) + first)
