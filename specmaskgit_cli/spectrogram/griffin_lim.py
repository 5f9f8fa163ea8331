"""Mel to waveform without a network: non-negative inversion of the bands, then fast Griffin-Lim."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..config.settings import MelConfig
from ..threads import one_blas_thread
from .mel import frame, mel_filterbank, pad, window
from .replication import fill

INVERSION_STEPS = 8
BLOCK_FRAMES = 128  # worked on at once: a core's cache holds them
_TINY = np.float32(1e-8)


@dataclass(frozen=True)
class Known:
    """What of a waveform is given, so that the rest is found in phase with it.

    Attributes:
        waveform: [frames * hop_length].
        fresh: bool [n_mels, frames], the cells of its mel that are to be found.
        free: bool [frames * hop_length], the samples that may change.
    """

    waveform: np.ndarray
    fresh: np.ndarray
    free: np.ndarray

    def cut(self, start: int, stop: int, hop: int) -> Known:
        """The part from frame `start` to `stop`."""
        samples = slice(start * hop, stop * hop)
        return Known(self.waveform[samples], self.fresh[:, start:stop], self.free[samples])


@one_blas_thread()
def griffin_lim(
    mel: np.ndarray,
    cfg: MelConfig,
    iterations: int = 4,
    momentum: float = 0.99,
    *,
    rng: np.random.Generator,
    known: Known | None = None,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """A waveform whose log-mel is close to `mel`, aligned with it frame by frame.

    Fast Griffin-Lim of Perraudin, Balazs and Søndergaard, "A fast Griffin-Lim algorithm" (WASPAA 2013), from random
    phases. Memory grows by about 40 kB a frame: give long mels in pieces. Where nothing is known, the texture below the
    highest frequency of the bands goes on above it (`fill`).

    Args:
        mel: natural-log mel [n_mels, frames].
        rng: draws the initial phases.
        known: spectrum and samples imposed in each iteration, which leaves no seam between them and what is new.
        start: a waveform [frames * hop_length] to take magnitudes and first phases from, in place of `mel` and `rng`:
            that of another vocoder, to be brought in phase with `known`.

    Returns:
        float32 [frames * hop_length].
    """
    bins, hann = _inversion(cfg)[0].shape[1], window(cfg.n_fft)
    if start is None:
        target = magnitudes(mel, cfg)
        angle = rng.random(target.shape, dtype=np.float32) * np.float32(2 * np.pi)
        spectrum = _complex(target * np.cos(angle), target * np.sin(angle))
    else:
        spectrum = stft(start, cfg)[:, :bins]
        target = np.abs(spectrum)
    if not len(target):
        return np.zeros(0, np.float32)
    if known is not None:
        given, kept = stft(known.waveform, cfg)[:, :bins], ~fresh_bins(known.fresh, cfg)
        np.copyto(spectrum, given, where=kept)
        np.copyto(target, np.abs(given), where=kept)
    previous = np.empty_like(spectrum)
    for iteration in range(iterations + 1):
        last = iteration == iterations
        waveform = istft(fill(spectrum, cfg) if last and known is None else spectrum, cfg)
        if known is not None:
            np.copyto(waveform, known.waveform, where=~known.free)
        if last:
            break
        frames = _framed(waveform, cfg)
        for rows in _blocks(len(frames)):
            consistent = np.fft.rfft(frames[rows] * hann)[:, :bins].astype(np.complex64, copy=False)
            turned = consistent.copy()
            if iteration:
                turned += np.float32(momentum) * (consistent - previous[rows])
            previous[rows] = consistent
            size = np.sqrt(turned.real**2 + turned.imag**2)  # np.abs guards against overflow and takes thrice as long
            turned *= target[rows] / np.maximum(size, _TINY)
            if known is not None:
                np.copyto(turned, given[rows], where=kept[rows])
            spectrum[rows] = turned
    return waveform


def fresh_bins(fresh: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """Cells of a mel, bool [n_mels, frames], to the bins of the spectrum that any of them covers: [frames, bins].

    The bins below the first band (the mean of the signal) are among them in the frames that are fresh throughout.
    """
    bands = _inversion(cfg)[0]
    covered = fresh.T.astype(np.float32) @ bands > 0
    return covered | (fresh.all(axis=0, keepdims=True).T & ~bands.any(axis=0))


def magnitudes(mel: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """Non-negative linear magnitudes whose mel is close to exp(mel).

    The pseudo-inverse, clipped to be positive, is refined by the multiplicative updates of Lee and Seung (2001) for
    the Kullback-Leibler divergence, x <- x * A'(m / Ax) / A'1: in log-mel, a few come as close as ten times as many for
    the squared error, which spends its steps on the loud bands.

    Returns:
        float32 [frames, bins], only the bins up to the last one that any band covers.
    """
    bands, inverse = _inversion(cfg)
    shares = bands / np.maximum(bands.sum(axis=0), _TINY)
    found = np.empty((mel.shape[1], bands.shape[1]), np.float32)
    for rows in _blocks(len(found)):
        wanted = np.exp(np.asarray(mel[:, rows], np.float32).T)
        estimate = np.maximum(wanted @ inverse, _TINY)
        for _ in range(INVERSION_STEPS):
            ratio = estimate @ bands.T
            np.divide(wanted, np.maximum(ratio, _TINY, out=ratio), out=ratio)
            estimate *= ratio @ shares
        found[rows] = estimate
    return found


@lru_cache(maxsize=8)
def _inversion(cfg: MelConfig) -> tuple[np.ndarray, np.ndarray]:
    """The filter bank [n_mels, bins] without the bins above its last band, and its pseudo-inverse transposed."""
    bands = mel_filterbank(cfg)
    bands = bands[:, : np.flatnonzero(bands.any(axis=0))[-1] + 1]
    with one_blas_thread():  # it is kept: sounds should not depend on who asked first
        inverse = np.linalg.pinv(bands)
    return np.ascontiguousarray(bands), np.ascontiguousarray(inverse.T)


def stft(samples: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """[frames * hop_length] to [frames, n_fft // 2 + 1], framed as log_mel frames."""
    return np.fft.rfft(_framed(samples, cfg) * window(cfg.n_fft)).astype(np.complex64, copy=False)


def istft(spectrum: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """[frames, bins] to [frames * hop_length]: the least-squares inverse of `stft`; bins not given are zero."""
    frames, hann = np.empty((len(spectrum), cfg.n_fft), np.float32), window(cfg.n_fft)
    for rows in _blocks(len(frames)):
        np.multiply(np.fft.irfft(spectrum[rows], n=cfg.n_fft), hann, out=frames[rows], casting="same_kind")
    return _overlap_add(frames, cfg) / _window_power(cfg, len(frames))


def _framed(samples: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """[frames * hop_length] to a view [frames, n_fft]."""
    return frame(pad(samples, cfg), cfg)[: len(samples) // cfg.hop_length]


def _blocks(frames: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK_FRAMES) for start in range(0, frames, BLOCK_FRAMES))


def _overlap_add(frames: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """Sum [frames, n_fft], each hop_length after the one before, and cut the margins: [frames * hop_length]."""
    hop, count = cfg.hop_length, len(frames)
    out = np.zeros((count + -(-cfg.n_fft // hop), hop), np.float32)
    for part in range(0, cfg.n_fft, hop):
        width = min(hop, cfg.n_fft - part)
        out[part // hop : part // hop + count, :width] += frames[:, part : part + width]
    margin = (cfg.n_fft - hop) // 2
    return out.reshape(-1)[margin : margin + count * hop]


@lru_cache(maxsize=2)
def _window_power(cfg: MelConfig, frames: int) -> np.ndarray:
    return _overlap_add(np.broadcast_to(window(cfg.n_fft) ** 2, (frames, cfg.n_fft)), cfg)


def _complex(real: np.ndarray, imaginary: np.ndarray) -> np.ndarray:
    out = np.empty(real.shape, np.complex64)
    out.real, out.imag = real, imaginary
    return out
