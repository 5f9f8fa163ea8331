"""Where a sound is between its channels: measured in one that is there, given to one that was made in mono.

A channel is a share of the mono sum, and what is unrelated to that. Both are measured octave by octave and moment by
moment; what is unrelated is made of noise that has the spectrum of the mono sum (parametric stereo, after Breebaart et
al., "Parametric coding of stereo audio", 2005).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

WINDOW_SECONDS = 0.046  # of the transform, about
MOMENT_SECONDS = 0.2
NEAR_MOMENTS = 1.5  # standard deviation of the weights of the moments around one
FAR = 1e-3  # weight of the sound as a whole beside the moments around one
LOWEST_BINS = 4  # the lowest octave has at least so many
ALIKE = 1e-6  # share of the power, below which what is unrelated is rounding
MOST = 4.0  # of a channel against the mono sum
_BLOCK = 128  # frames of all channels that are worked on at once
_AROUND = np.array([0.25, 0.5, 0.25])  # of the frames, and in turn of the bins, in the level of a cell


@dataclass(frozen=True)
class Frames:
    """A transform whose frames overlap by half: windows that are the root of a Hann window, before it and after."""

    size: int

    @classmethod
    def at(cls, rate: int) -> Frames:
        """For sounds at a rate in Hz: a power of two nearest to WINDOW_SECONDS."""
        return cls(1 << max(4, round(np.log2(WINDOW_SECONDS * rate))))

    @property
    def hop(self) -> int:
        return self.size // 2

    @property
    def window(self) -> np.ndarray:
        return np.sin(np.pi * (np.arange(self.size) + 0.5) / self.size).astype(np.float32)

    def count(self, length: int) -> int:
        """Frames that cover so many samples twice; the first begins a hop before them."""
        return -(-length // self.hop) + 1

    def spectra(self, x: np.ndarray, start: int, stop: int) -> np.ndarray:
        """Frames start to stop of x [channels, n], silent before and after: complex [channels, frames, bins]."""
        first, last = (start - 1) * self.hop, (stop + 1) * self.hop
        inside = x[:, max(0, first) : max(0, last)]
        inside = np.pad(inside, ((0, 0), (max(0, -first), max(0, last - max(first, 0) - inside.shape[1]))))
        framed = np.lib.stride_tricks.sliding_window_view(inside, self.size, axis=1)[:, :: self.hop]
        return np.fft.rfft(framed[:, : stop - start] * self.window)

    def blocks(self, length: int, channels: int) -> Iterator[tuple[int, int]]:
        """Ranges of frames, from first to last, so many as are worked on at once."""
        count, size = self.count(length), max(1, _BLOCK // channels)
        return ((start, min(start + size, count)) for start in range(0, count, size))

    def sounds(self, length: int, channels: int, spectra: Callable[[int, int], np.ndarray]) -> np.ndarray:
        """The sound float32 [channels, length] whose frames start to stop `spectra` gives, [channels, frames, bins]."""
        out = np.zeros((channels, self.count(length) + 1, self.hop), np.float32)
        for start, stop in self.blocks(length, channels):
            frames = np.fft.irfft(spectra(start, stop), self.size) * self.window
            out[:, start:stop] += frames[..., : self.hop]
            out[:, start + 1 : stop + 1] += frames[..., self.hop :]
        return out.reshape(channels, -1)[:, self.hop : self.hop + length]


def noise_like(x: np.ndarray, frames: Frames, start: int, stop: int, rng: np.random.Generator, count: int):
    """Spectra complex [count, frames, bins] of unrelated noises that are as loud in each cell as the sound x [n]."""
    low, high = max(0, start - 1), min(frames.count(len(x)), stop + 1)
    power = np.square(np.abs(frames.spectra(x[None], low, high)[0]))
    power = np.pad(power, ((start - low == 0, high - stop == 0), (1, 1)), mode="edge")
    for axis in (0, 1):
        length = power.shape[axis] - 2
        power = sum(w * power.take(range(at, at + length), axis) for at, w in enumerate(_AROUND))
    # The window before the transform halves the power, and that after it would halve it again.
    level = np.sqrt(power).astype(np.float32)
    draws = rng.standard_normal((2, count, *level.shape), dtype=np.float32)
    return (draws[0] + 1j * draws[1]) * level


@dataclass(frozen=True)
class SpatialImage:
    """Where a sound is: for each moment and octave what every channel has of the mono sum, and of what else.

    Attributes:
        gains: [moments, octaves, channels], relative to the mono sum.
        others: [moments, octaves, channels, channels], of as many unrelated noises as loud as the mono sum.
        edges: where octaves end, in Hz.
    """

    gains: np.ndarray
    others: np.ndarray
    edges: np.ndarray
    rate: int

    def render(self, mono: np.ndarray, rng: np.random.Generator, offset: int = 0) -> np.ndarray:
        """A mono sound [n] there: float32 [channels, n]. It begins `offset` samples after what was measured."""
        channels = self.gains.shape[2]
        if channels == 1:
            return mono[None]
        frames = Frames.at(self.rate)
        hz = np.fft.rfftfreq(frames.size, 1 / self.rate)
        # An octave's share of each bin falls from its centre to those of its neighbours.
        centres, shares = np.log2(self.edges) - 0.5, np.eye(len(self.edges), dtype=np.float32)
        weights = [np.interp(np.log2(hz + 1), centres, share).astype(np.float32) for share in shares]
        given = np.concatenate([self.gains[..., None], self.others], axis=3).astype(np.float32)
        if not self.others.any():
            given = given[..., :1]

        def spectra(start: int, stop: int) -> np.ndarray:
            at = (offset + np.arange(start, stop) * frames.hop) / (MOMENT_SECONDS * self.rate) - 0.5
            sources = frames.spectra(mono[None], start, stop)
            if given.shape[3] > 1:
                sources = np.concatenate([sources, noise_like(mono, frames, start, stop, rng, channels)])
            sources, now = np.moveaxis(sources, 0, 1), _between(given, at)  # [frames, sources, bins]
            found = np.zeros((stop - start, channels, sources.shape[2]), np.complex64)
            for octave, weight in enumerate(weights):
                inside = np.flatnonzero(weight)
                part = slice(inside[0], inside[-1] + 1)
                found[..., part] += (now[:, octave] @ sources[..., part]) * weight[part]
            return np.moveaxis(found, 1, 0)

        return frames.sounds(len(mono), channels, spectra)


def spatial_image(
    samples: np.ndarray, mix: np.ndarray, rate: int, known: np.ndarray | None = None, top: float | None = None
) -> SpatialImage:
    """Where a sound is.

    Args:
        samples: [channels, n].
        mix: share of each channel in the mono sum, [channels].
        known: bool [n], the samples to go by; all of them by default. What is between and beyond them is where they
            are, the nearest most of all.
        top: the frequency in Hz up to which they say something; what lies above is where the octave below it is.
    """
    channels = len(samples)
    edges = _edges(Frames.at(rate), rate, top)
    if channels == 1:
        return SpatialImage(np.ones((1, 1, 1)), np.zeros((1, 1, 1, 1)), edges, rate)
    weight, power = _covariances(samples, rate, known, edges)
    whole = power.sum(axis=0) / max(weight.sum(), 1e-9)
    near = (_smooth(power) + FAR * whole) / (_smooth(weight) + FAR)[:, None, None, None]
    near += 1e-6 * whole.mean(axis=0)  # in octaves of which nothing is heard
    with_mono = near @ mix
    mono = np.maximum(with_mono @ mix, 1e-30)[..., None]
    gains = with_mono / mono if whole.any() else np.ones(with_mono.shape)
    rest = near / mono[..., None] - gains[..., :, None] * gains[..., None, :]
    sizes, directions = np.linalg.eigh(rest)
    sizes = np.where(sizes > ALIKE * np.square(gains).sum(axis=2, keepdims=True), np.minimum(sizes, MOST**2), 0)
    others = (directions * np.sqrt(sizes)[..., None, :]) @ np.swapaxes(directions, -1, -2)
    return SpatialImage(np.clip(gains, -MOST, MOST), others, edges, rate)


def _edges(frames: Frames, rate: int, top: float | None) -> np.ndarray:
    """Where octaves end, in Hz, the highest at `top`; the lowest begins with 0."""
    top = min(top or rate / 2, rate / 2)
    count = max(1, int(np.log2(top * frames.size / rate / LOWEST_BINS)))
    return top / 2.0 ** np.arange(count)[::-1]


def _covariances(
    samples: np.ndarray, rate: int, known: np.ndarray | None, edges: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """For each moment the number of known frames, [moments], and the sum of their covariances by octaves, [moments,
    octaves, channels, channels]."""
    frames, length = Frames.at(rate), samples.shape[1]
    hz = np.fft.rfftfreq(frames.size, 1 / rate)
    bins = [int(np.sum(hz < edge)) for edge in (0, *edges)]
    moments = 1 + int(length / (MOMENT_SECONDS * rate))
    weight, power = np.zeros(moments), np.zeros((moments, len(edges), len(samples), len(samples)))
    unknown = np.zeros(1, int) if known is None else np.concatenate([[0], np.cumsum(~known)])
    for start, stop in frames.blocks(length, len(samples)):
        found = np.moveaxis(frames.spectra(samples, start, stop), 1, 0)  # [frames, channels, bins]
        at = np.arange(start, stop) * frames.hop
        ends = (np.clip(at + side, 0, length) for side in (-frames.hop, frames.hop))
        first, last = (unknown[end] if known is not None else 0 * end for end in ends)
        use = (first == last).astype(float)
        moment = np.minimum((at / (MOMENT_SECONDS * rate)).astype(int), moments - 1)
        np.add.at(weight, moment, use)
        for octave, (low, high) in enumerate(pairwise(bins)):
            parts = np.concatenate([found.real[..., low:high], found.imag[..., low:high]], axis=2, dtype=np.float64)
            np.add.at(power[:, octave], moment, (parts @ np.swapaxes(parts, 1, 2)) * use[:, None, None])
    return weight, power


def _smooth(values: np.ndarray) -> np.ndarray:
    """Sums over the moments [moments, ...] around each, weighted by a Gaussian of their distance."""
    reach = int(4 * NEAR_MOMENTS)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / NEAR_MOMENTS) ** 2)
    padded = np.pad(values, [(reach, reach), *[(0, 0)] * (values.ndim - 1)])
    return sum(w * padded[shift : shift + len(values)] for shift, w in enumerate(weights))


def _between(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values [moments, ...] at places between moments [frames], by linear interpolation: [frames, ...]."""
    at = np.clip(at, 0, len(values) - 1)
    low = np.minimum(at.astype(int), max(0, len(values) - 2))
    share = (at - low).reshape(-1, *[1] * (values.ndim - 1)).astype(values.dtype)
    return values[low] * (1 - share) + values[np.minimum(low + 1, len(values) - 1)] * share
