"""Where the band of a sound ends: brick walls, gentle slopes, and the shelf that lossy coders leave."""

from __future__ import annotations

import numpy as np

N_FFT = 2048
MAX_FRAMES = 2000  # of a long sound, spread over it evenly
LOWEST = 1000.0  # Hz; a sound that ends below is taken to be low, not cut off
WALL_DB = 20.0  # drop over a third of an octave that no natural sound shows
FILLED_DB = 30.0  # by which the octave below a wall may be quieter than what ends there
SLOPE_DB = 25.0  # below the line through the lower band, at the highest frequency
KNEE_DB = 3.0
LINES_DB = 15.0  # deviation from a line of a lower band that consists of tones alone
EMPTY_DB = 100.0  # below the loudest, where a spectrum shows no more than the leakage of a tone
STEEPEST = -12.0  # dB an octave that passes for natural


def find_cutoff(samples: np.ndarray, rate: int) -> float | None:
    """The frequency in Hz above which samples [channels, n] have nothing, or None if they reach half the rate.

    The mean spectrum is searched for a drop of 20 dB within a third of an octave that it does not recover from; the
    cut-off is where it is 3 dB down. Without one, for a knee: the frequency from which the spectrum stays more than
    3 dB below the line through its lower band and ends 25 dB below it.
    """
    hz, level = spectrum(samples, rate)
    top = hz[-1]
    grid = np.geomspace(100, top, 600)
    curve = np.interp(grid, hz, level)
    step = round(np.log(2 ** (1 / 6)) / np.log(grid[1] / grid[0]))  # points in a sixth of an octave
    inside = np.arange(step, len(grid) - step)
    inside = inside[grid[inside] >= LOWEST]
    # What comes back above is not cut off: compare with the loudest of all that lies higher.
    above = np.maximum.accumulate(curve[::-1])[::-1]
    drop = curve[inside - step] - above[inside + step]
    if len(inside) and drop.max() >= WALL_DB:
        edge = inside[drop >= max(WALL_DB, drop.max() - 6)][0] - step
        below = (grid >= grid[edge] / 2) & (grid <= grid[edge])
        # A lone whistle has nothing above it either, but nothing below it as well.
        if np.median(curve[below]) > above[edge] - FILLED_DB:
            found = float(grid[edge + np.flatnonzero(above[edge:] < above[edge] - KNEE_DB)[0]])
            if found >= LOWEST:
                return found
    return _knee(grid, curve) or (rate / 2 * 0.97 if rate < 16000 else None)


def _knee(grid: np.ndarray, curve: np.ndarray) -> float | None:
    octaves = np.log2(grid)
    low = (grid >= 200) & (grid <= 2000)
    if np.median(curve[low]) < curve.max() - EMPTY_DB:
        return None
    slope, offset = np.polyfit(octaves[low], curve[low], 1)
    if np.std(curve[low] - slope * octaves[low] - offset) > LINES_DB:
        return None
    slope = float(np.clip(slope, STEEPEST, 0))
    line = np.median(curve[low] - slope * octaves[low]) + slope * octaves
    deficit = line - curve
    if deficit[-1] < SLOPE_DB:
        return None
    within = np.flatnonzero(deficit < KNEE_DB)
    found = float(grid[min(within[-1] + 1, len(grid) - 1)]) if len(within) else LOWEST
    return found if found >= LOWEST else None


def spectrum(samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in Hz up to 98 % of half the rate, and the mean power there in dB, smoothed over 60 Hz."""
    size = N_FFT if rate >= 16000 else N_FFT // 2
    hann = np.hanning(size + 1)[:-1]
    last = max(0, samples.shape[1] - size)
    starts = np.unique(np.linspace(0, last, min(MAX_FRAMES, 1 + last // (size // 2))).astype(int))
    power = np.zeros(size // 2 + 1)
    for start in starts:
        frame = samples[:, start : start + size]
        frame = np.pad(frame, ((0, 0), (0, size - frame.shape[1]))) * hann
        power += (np.abs(np.fft.rfft(frame)) ** 2).sum(axis=0)
    hz = np.fft.rfftfreq(size, 1 / rate)
    width = max(1, round(60 / hz[1]))
    level = 10 * np.log10(np.convolve(power / len(starts), np.ones(width) / width, mode="same") + 1e-14)
    kept = (hz > 0) & (hz < 0.49 * rate)
    return hz[kept], level[kept]
