"""Waveforms and spectrograms as images; PNG is written with the standard library alone."""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..audio.files import atomic_path
from ..audio.levels import peak_of
from ..config.settings import MelConfig
from .mel import band_edges, log_mel, normalize

if TYPE_CHECKING:
    from ..options import Box

MIN_PIXELS = 240  # of either side
SHEET_GAP = 4  # pixels between the spectrograms of a sheet
SHEET_ZOOM = 2  # pixels a band is high there
MAX_WIDTH = 4096  # pixels of a picture whose width was not asked for
MARK = 255  # in a picture with marks, the palette's entry for them; the loudest is one below
WAVE = 190  # the palette's entry for a waveform
_MARK_COLOUR = (0, 255, 255)  # which is not in the colour map
_CHANNELS = 8  # of a sound that are looked at
# The colour map "magma" of S. van der Walt and N. Smith (CC0), at nine evenly spaced points.
_MAGMA = bytes.fromhex("000004 1d1147 51127c 822681 b63679 e65164 fb8861 fec287 fcfdbf")


def save_spectrogram(path: str | os.PathLike, mel: np.ndarray, cfg: MelConfig) -> None:
    """Write a log-mel [n_mels, frames] as a PNG: time to the right, low frequencies at the bottom, loud is bright.

    Colours span scale_min to scale_max nats. One frame is one pixel wide and a band some pixels high; small images
    are enlarged to 240 pixels.

    Raises:
        SmgError: the path cannot be written.
    """
    shades = _shades(mel, cfg)
    down, across = (-(-MIN_PIXELS // side) for side in shades.shape)
    pixels = shades.repeat(down, axis=0).repeat(across, axis=1)
    with atomic_path(path) as temporary:
        temporary.write_bytes(png(pixels, palette()))


def save_sheet(path: str | os.PathLike, rows: list[list[np.ndarray | None]], cfg: MelConfig) -> None:
    """Write many log-mels [n_mels, frames] as one PNG, a row below another; None leaves its place dark.

    Raises:
        SmgError: the path cannot be written.
    """
    across = max(len(row) for row in rows)
    height = cfg.n_mels * SHEET_ZOOM
    width = max(mel.shape[1] for row in rows for mel in row if mel is not None)
    step_down, step_across = height + SHEET_GAP, width + SHEET_GAP
    pixels = np.full((len(rows) * step_down - SHEET_GAP, across * step_across - SHEET_GAP), 255, np.uint8)
    for down, row in enumerate(rows):
        for right, mel in enumerate(row + [None] * (across - len(row))):
            place = np.zeros((height, width), np.uint8)
            if mel is not None:
                place[:, : mel.shape[1]] = _shades(mel, cfg).repeat(SHEET_ZOOM, axis=0)
            top, left = down * step_down, right * step_across
            pixels[top : top + height, left : left + width] = place
    with atomic_path(path) as temporary:
        temporary.write_bytes(png(pixels, palette()))


def view_config(rate: int) -> MelConfig:
    """A spectrogram of all that a sound at `rate` holds: up to half of it, in windows about as long as the models'."""
    usual = MelConfig()
    octaves = min(6, max(-2, round(math.log2(rate / usual.sample_rate))))
    size, louder = round(usual.n_fft * 2.0**octaves), octaves * math.log(2)
    return MelConfig(
        sample_rate=rate, n_fft=size, hop_length=size // 4, f_max=rate / 2,
        scale_min=usual.scale_min + louder, scale_max=usual.scale_max + louder,
    )  # fmt: skip


def view(
    samples: np.ndarray, rate: int, width: int | None, height: int, wave_height: int, boxes: Sequence[Box] = (),
    line: int = 2,
) -> np.ndarray:  # fmt: skip
    """A picture of a sound: its waveform above its spectrogram, in which boxes are outlined.

    Args:
        samples: float32 [n] or [channels, n].
        width: pixels; None is one a frame, within limits.
        height: of the spectrogram, and wave_height of the waveform, which may be 0.
        line: width of the outlines.

    Returns:
        uint8 [wave_height + height, width], entries of `palette(bool(boxes))`.
    """
    samples = np.atleast_2d(samples)[:_CHANNELS]
    cfg = view_config(rate)
    width = width or min(MAX_WIDTH, max(MIN_PIXELS, samples.shape[1] // cfg.hop_length))
    # By power: channels that cancel each other are seen, and short sounds do not vanish in a narrow picture.
    power = sum(np.exp(2 * log_mel(channel, cfg)) for channel in samples) / len(samples)
    power = _resized(_resized(power, width).T, height).T
    shades = _shades(0.5 * np.log(power), cfg)
    if boxes:
        shades = np.minimum(shades, MARK - 1)
        _outline(shades, boxes, samples.shape[1] / rate, cfg, line)
    return np.concatenate([_waveform(samples, width, wave_height), shades])


def save_view(path: str | os.PathLike, pixels: np.ndarray, marked: bool) -> None:
    """Write what `view` returns as PNG.

    Raises:
        SmgError: the path cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_bytes(png(pixels, palette(marked)))


def _waveform(samples: np.ndarray, width: int, height: int) -> np.ndarray:
    """uint8 [height, width]: in each column from the lowest to the highest sample, as high as the peak."""
    pixels = np.zeros((height, width), np.uint8)
    if not height:
        return pixels
    starts = _starts(samples.shape[1], width)
    peak = peak_of(samples) or 1.0
    # -1 to 1 as rows from the lowest to the highest.
    low, high = (
        (1 - reduce.reduceat(ends, starts) / peak) / 2 * (height - 1)
        for reduce, ends in ((np.minimum, samples.min(axis=0)), (np.maximum, samples.max(axis=0)))
    )
    rows = np.arange(height)[:, None]
    pixels[(rows >= np.round(high)) & (rows <= np.round(low))] = WAVE
    return pixels


def _outline(pixels: np.ndarray, boxes: Sequence[Box], seconds: float, cfg: MelConfig, line: int) -> None:
    """Draw the borders of boxes into a spectrogram [height, width] that lasts `seconds`, as far as they lie in it."""
    height, width = pixels.shape
    edges = band_edges(cfg)
    for box in boxes:
        if box.start >= seconds or (box.low or 0) >= cfg.f_max:
            continue
        left = min(int(box.start / seconds * width), width - 1)
        right = max(left + 1, min(math.ceil((seconds if box.end is None else box.end) / seconds * width), width))
        low, high = (
            np.interp(hz, edges, np.linspace(0, height, len(edges)))
            for hz in (box.low or 0, cfg.f_max if box.high is None else box.high)
        )
        bottom = max(1, height - int(low))
        top = min(bottom - 1, height - math.ceil(high))
        inside = pixels[top + line : bottom - line, left + line : right - line].copy()
        pixels[top:bottom, left:right] = MARK
        if inside.size:
            pixels[top + line : bottom - line, left + line : right - line] = inside


def _resized(values: np.ndarray, size: int) -> np.ndarray:
    """The last axis as `size` means, or repeated where there are fewer values."""
    starts = _starts(values.shape[-1], size)
    counts = np.maximum(1, np.diff(starts, append=values.shape[-1]))
    return np.add.reduceat(values, starts, axis=-1, dtype=np.float64) / counts


def _starts(count: int, size: int) -> np.ndarray:
    """Where each of `size` parts of `count` values begins, int [size]; a part holds at least the value there."""
    return np.arange(size) * count // size


def _shades(mel: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """uint8 of the shape of the mel, the highest band first."""
    return np.round((normalize(mel, cfg) + 1) * 127.5).astype(np.uint8)[::-1]


def palette(marked: bool = False) -> np.ndarray:
    """uint8 [256, 3], dark to bright; where `marked`, the last is the colour of outlines."""
    anchors = np.frombuffer(_MAGMA, np.uint8).reshape(-1, 3)
    places = np.linspace(0, len(anchors) - 1, 256)
    channels = [np.interp(places, np.arange(len(anchors)), channel) for channel in anchors.T]
    colours = np.round(np.stack(channels, axis=1)).astype(np.uint8)
    if marked:
        colours[MARK] = _MARK_COLOUR
    return colours


def png(pixels: np.ndarray, palette: np.ndarray) -> bytes:
    """An 8-bit palette image from uint8 [height, width] (PNG specification, W3C, sections 5 and 11)."""
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    rows = np.pad(pixels, ((0, 0), (1, 0)))  # before each row, the number of its filter: 0, none
    chunks = [(b"IHDR", header), (b"PLTE", palette.tobytes()), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
