"""Spectrograms as PNG images, written with the standard library alone."""

from __future__ import annotations

import os
import struct
import zlib

import numpy as np

from ..config import MelConfig
from .files import atomic_path
from .mel import normalize

MIN_PIXELS = 240  # of either side
SHEET_GAP = 4  # pixels between the spectrograms of a sheet
SHEET_ZOOM = 2  # pixels a band is high there
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
        temporary.write_bytes(_png(pixels, _palette()))


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
        temporary.write_bytes(_png(pixels, _palette()))


def _shades(mel: np.ndarray, cfg: MelConfig) -> np.ndarray:
    """uint8 of the shape of the mel, the highest band first."""
    return np.round((normalize(mel, cfg) + 1) * 127.5).astype(np.uint8)[::-1]


def _palette() -> np.ndarray:
    """uint8 [256, 3], dark to bright."""
    anchors = np.frombuffer(_MAGMA, np.uint8).reshape(-1, 3)
    places = np.linspace(0, len(anchors) - 1, 256)
    channels = [np.interp(places, np.arange(len(anchors)), channel) for channel in anchors.T]
    return np.round(np.stack(channels, axis=1)).astype(np.uint8)


def _png(pixels: np.ndarray, palette: np.ndarray) -> bytes:
    """An 8-bit palette image from uint8 [height, width] (PNG specification, W3C, sections 5 and 11)."""
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    rows = np.pad(pixels, ((0, 0), (1, 0)))  # before each row, the number of its filter: 0, none
    chunks = [(b"IHDR", header), (b"PLTE", palette.tobytes()), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
