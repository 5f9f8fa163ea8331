"""The energy score of two draws of a mel, over local features and statistics of texture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch.nn.functional as F
from torch import Tensor

HEIGHTS, WIDTHS = (1, 4, 16), (1, 2, 4)  # bands and frames of the blocks whose differences make up a texture
WINDOW = 16, 48  # bands and frames over which they are summed up


def energy_score(x: Tensor, first: Tensor, second: Tensor, wide: int = 1) -> Tensor:
    """Energy score (Gneiting & Raftery 2007) of two draws against x, all [B, n_mels, frames], summed over features.

    Each feature is scored by E|x - y| - E|y - y'| / 2, which is least when draws of that feature are distributed as the
    data: so edges are as rough, and means over a neighbourhood as certain, as they are in real spectrograms.

    Args:
        wide: frames in 12 ms, the unit of the times below.
    """
    return sum(map(_crps, *(_features(image, wide) for image in (x, first, second))))


def texture_score(x: Tensor, first: Tensor, second: Tensor, wide: int = 1, weight: float = 1.0) -> Tensor:
    """The energy score of statistics of texture; arguments as of `energy_score`.

    Features of single places say little about what a texture is made of, as any of its draws is far from any other
    there; statistics over a window, which are much alike in all of them, say it with little noise.
    """
    pooled = (F.avg_pool2d(image, (1, wide)) for image in (x, first, second))
    return weight * sum(map(_crps, *map(_statistics, pooled)))


def _crps(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    return (0.5 * ((x - first).abs() + (x - second).abs()) - 0.5 * (first - second).abs()).mean()


def _features(x: Tensor, wide: int) -> Iterator[Tensor]:
    """The pixels, their differences in time and frequency, means and contrasts of a neighbourhood."""
    yield x
    yield x[:, :, 1:] - x[:, :, :-1]
    yield x[:, 1:] - x[:, :-1]
    yield F.avg_pool2d(x, (2, 4 * wide))
    yield F.avg_pool2d(x, (8, 2 * wide))
    yield F.avg_pool2d(x, (16, 16 * wide), (8, 4 * wide))  # what the codes of a patch tell with little doubt
    yield _rms(x, (4, 4 * wide))
    yield _rms(x, (16, 8 * wide))


def _statistics(x: Tensor) -> Iterator[Tensor]:
    """How large the differences of neighbouring blocks of several sizes are in a window, risen and fallen apart."""
    for height in (*HEIGHTS, x.shape[1]):
        stride = max(1, height // 2)
        for width in WIDTHS:
            means = F.avg_pool2d(x, (height, width), (stride, 1))
            risen = means[:, :, width:] - means[:, :, :-width]
            found = [risen]
            if means.shape[1] > 2:
                step = min(height, 2)  # rows of blocks from one to the next that it shares nothing with
                found += [means[:, step:] - means[:, :-step], risen[:, step:] - risen[:, :-step]]
            for difference in found:
                window = min(max(1, WINDOW[0] // stride), difference.shape[1]), min(WINDOW[1], difference.shape[2])
                for rectified in (difference.clamp(min=0), (-difference).clamp(min=0)):
                    yield _rms(rectified, window, [max(1, n // 2) for n in window])


def _rms(x: Tensor, window: Sequence[int], stride: Sequence[int] | None = None) -> Tensor:
    return (F.avg_pool2d(x.square(), window, stride) + 1e-6).sqrt()
