"""The contour of a sound: how loud and how bright it is, moment by moment, whatever it is of.

A text says nothing of when things happen, and a small model that has to find a rhythm and the sounds in it at once
finds neither well. Told the contour, it only has to fill it: that of a sketch, a voice or taps on a table, as in
Sketch2Sound (arXiv 2412.08550), or that of a known sound which the text may mean.
"""

from __future__ import annotations

import numpy as np

from ..config.settings import MelConfig

RANGE = 6.0  # nats below the loudest moment, at and beyond which a moment counts as silent
BRIGHTNESS = 0.9  # octaves that a brightness of 1 lies above the mean of the sound
LIMIT = 2.0  # of the brightness, to both sides


def follow(mel: np.ndarray, cfg: MelConfig, patch: int, steps: int) -> np.ndarray:
    """The contours of natural-log mels [B, n_mels, frames]: float32 [B, frames / patch, 2 * steps].

    A column of `patch` frames is split into `steps` moments. First comes the loudness of each, 1 for the loudest of the
    sound and 0 for RANGE below; then its brightness, the centroid of its bands minus the centroid of the whole sound.
    """
    batch, bands, frames = mel.shape
    split = np.exp(mel.astype(np.float32)).reshape(batch, bands, frames // patch, steps, patch // steps)
    level = 0.5 * np.log(np.square(split).sum(axis=1).mean(axis=-1) + 1e-12)  # [B, columns, steps]
    loudness = np.clip(1 + (level - level.max(axis=(1, 2), keepdims=True)) / RANGE, 0, 1)
    spectrum = split.sum(axis=-1)  # [B, bands, columns, steps]
    total = spectrum.sum(axis=1)
    centroid = np.einsum("b,nbcs->ncs", np.arange(bands, dtype=np.float32), spectrum) / np.maximum(total, 1e-12)
    weight = total * (loudness > 0)
    mean = (weight * centroid).sum(axis=(1, 2), keepdims=True) / np.maximum(
        weight.sum(axis=(1, 2), keepdims=True), 1e-12
    )
    brightness = np.clip((centroid - mean) / cfg.bands(BRIGHTNESS), -LIMIT, LIMIT) * (loudness > 0)
    return np.concatenate([loudness, brightness], axis=2).astype(np.float32)


def smoothed(contour: np.ndarray, width: int) -> np.ndarray:
    """A contour [columns, 2 * steps] averaged over so many moments, an odd number."""
    columns, steps = contour.shape[0], contour.shape[1] // 2
    lines = contour.reshape(columns, 2, steps).transpose(1, 0, 2).reshape(2, -1)
    padded = np.pad(lines, ((0, 0), (width // 2, width // 2)), mode="edge")
    lines = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1).mean(axis=-1)
    return lines.reshape(2, columns, steps).transpose(1, 0, 2).reshape(columns, -1).astype(np.float32)


def flagged(contour: np.ndarray, loudness: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """A contour [columns, 2 * steps] as a generator takes it, [columns, 2 * steps + 2]: with two flags that say in
    which columns, bool [columns] each, its loudness and its brightness are given; elsewhere they are zeros."""
    steps = contour.shape[1] // 2
    given = np.concatenate([np.tile(loudness[:, None], steps), np.tile(brightness[:, None], steps)], axis=1)
    return np.concatenate([contour * given, loudness[:, None], brightness[:, None]], axis=1).astype(np.float32)


def loudness_of(contour: np.ndarray) -> float:
    """The loudness of a contour [columns, contour_size] as a whole: that of its mean power, on the same scale."""
    steps = contour.shape[1] // 2 - 1
    return float(1 + np.log(np.mean(np.exp(2 * RANGE * (contour[:, :steps] - 1)))) / (2 * RANGE))


def louder(contour: np.ndarray, by: float) -> np.ndarray:
    """A contour [columns, contour_size] with its moments louder; silent ones stay so, and none goes beyond 1."""
    steps, made = contour.shape[1] // 2 - 1, contour.copy()
    loudness = made[:, :steps]
    loudness[loudness > 0] = np.clip(loudness[loudness > 0] + by, 0, 1)
    return made


def to_bytes(contour: np.ndarray) -> np.ndarray:
    """Contours [..., 2 * steps] as uint8 of the same shape."""
    loudness, brightness = np.split(contour, 2, axis=-1)
    scaled = np.concatenate([loudness, (brightness + LIMIT) / (2 * LIMIT)], axis=-1)
    return np.round(255 * np.clip(scaled, 0, 1)).astype(np.uint8)


def from_bytes(stored: np.ndarray) -> np.ndarray:
    """Contours float32 [..., 2 * steps] of what `to_bytes` gives."""
    loudness, brightness = np.split(stored.astype(np.float32) / 255, 2, axis=-1)
    return np.concatenate([loudness, 2 * LIMIT * brightness - LIMIT], axis=-1)
