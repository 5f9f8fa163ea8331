"""What changes over the decoding steps: how many cells are decided, and the scales that ramp up or down."""

from __future__ import annotations

import numpy as np


class Schedule:
    """Decides how many of the masked cells of a grid are decided at each step."""

    def counts(self, masked: int, steps: int, rng: np.random.Generator) -> np.ndarray:
        """Number of cells to decide at each step.

        Args:
            masked: cells to decide in all, 0 or more.
            steps: steps asked for, 1 or more.
            rng: for schedules that leave the numbers to chance.

        Returns:
            int64 [n], n at most `steps`, each 0 or more, summing to `masked`.
        """
        raise NotImplementedError


class Cosine(Schedule):
    """Few cells at first, many at the end (MaskGIT, arXiv 2202.04200, section 3.3).

    The schedule spans the masked cells only, so a small edit and a whole clip are decoded with the same care. Fewer
    cells than steps leave fewer steps, of one cell each. The counts are at least 1 and never fall.
    """

    def counts(self, masked: int, steps: int, rng: np.random.Generator) -> np.ndarray:
        steps = min(steps, masked)
        done = np.arange(1, steps + 1)
        remaining = np.floor(masked * np.cos(np.pi / 2 * done / max(steps, 1))).astype(np.int64)
        previous = masked
        for index in range(steps):
            # At least one cell now, and at least one left for every later step.
            previous = remaining[index] = min(previous - 1, max(remaining[index], steps - 1 - index))
        # Rounding can make a step one smaller than the one before it. Sorted, none is.
        return np.sort(-np.diff(remaining, prepend=masked))


class Ancestral(Schedule):
    """The reverse process of absorbing-state diffusion (D3PM, arXiv 2107.03006).

    Each masked cell is decided with the probability 1 / (steps left), so its step is uniform over all.
    """

    def counts(self, masked: int, steps: int, rng: np.random.Generator) -> np.ndarray:
        return rng.multinomial(masked, np.full(steps, 1 / steps))


SCHEDULES: dict[str, type[Schedule]] = {"cosine": Cosine, "ancestral": Ancestral}


def ramp_up(step: int, steps: int, scale: float) -> float:
    """`scale` * progress: 0 at the first of `steps` steps, `scale` at the last; a single step is the last."""
    return scale * step / (steps - 1) if steps > 1 else scale


def guidance_ramp(step: int, steps: int, scale: float, onset: float = 0.0, guided: float = 1.0) -> float:
    """Guidance at a step: linear from `onset` * `scale` to `scale`, and none after the share `guided` of the steps.

    SpecMaskGIT (arXiv 2406.17672, section 3.3) starts at 0: early steps, where little is decided, stay diverse, and
    late ones follow the condition. Zero costs no second pass, and in the last steps, where most is settled, guidance
    changes little (Kynkäänniemi et al., arXiv 2404.07724). With an onset of 1 there is no ramp.
    """
    if steps == 1:
        return scale
    return ramp_up(step, steps, scale * (1 - onset)) + onset * scale if step < guided * steps else 0.0


def noise_ramp(step: int, steps: int, scale: float) -> float:
    """Scale of the Gumbel noise on the confidence at a step: linear from `scale` to 0, as in MaskGIT."""
    return scale - ramp_up(step, steps, scale)
