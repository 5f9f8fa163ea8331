"""Features of sounds: the generator's hidden states over tokens that are all known, or in part hidden from it."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field

import numpy as np

from ..audio.files import atomic_path, read_mono
from ..audio.levels import normalize_peak
from ..config.settings import CheckpointConfig
from ..errors import UsageError
from ..runtime import Runtime
from ..spectrogram.mel import log_mel
from ..synthesis.engine import MIN_COLUMNS
from ..synthesis.prompts import INPUT_PEAK_DB


@dataclass(frozen=True)
class EmbedOptions:
    """What to look at.

    Attributes:
        layers: 0 is before the first layer, n after the n-th; None takes all.
        masked: share of the tokens hidden from the model, which then has to make up for them.
        seed: of which tokens.

    Raises:
        UsageError: a value out of range.
    """

    layers: tuple[int, ...] | None = None
    masked: float = 0.0
    seed: int = 0

    def __post_init__(self):
        if not 0 <= self.masked < 1:
            raise UsageError(f"masked is {self.masked}; use a share from 0 to below 1")
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}; use 0 or more")

    def chosen(self, config: CheckpointConfig) -> tuple[int, ...]:
        """The layers of a model. Raises UsageError where it has none of that number."""
        count = config.generator.layers
        layers = tuple(range(count + 1)) if self.layers is None else self.layers
        for layer in layers:
            if not 0 <= layer <= count:
                raise UsageError(f"layer is {layer}; this model has 0 to {count}")
        return layers


@dataclass(frozen=True)
class Embedding:
    """Features of one sound; `layers` below counts those that were asked for.

    Attributes:
        frames: float32 [columns, layers, width], mean over the rows of the token grid.
        mean, deviation: over the columns, float32 [layers, rows, width], rows from low to high frequency.
        layers: their numbers.
        seconds_per_frame: what a column covers.
    """

    frames: np.ndarray = field(repr=False)
    mean: np.ndarray = field(repr=False)
    deviation: np.ndarray = field(repr=False)
    layers: tuple[int, ...]
    seconds_per_frame: float

    @property
    def clip(self) -> np.ndarray:
        """Mean over the whole sound, float32 [layers, width]."""
        return self.mean.mean(1)

    @property
    def summary(self) -> np.ndarray:
        """Mean and deviation of every row, float32 [layers, 2 * rows * width]: what a classifier does best with."""
        count = len(self.layers)
        return np.concatenate([self.mean.reshape(count, -1), self.deviation.reshape(count, -1)], 1)


def embed_file(runtime: Runtime, path: str | os.PathLike, options: EmbedOptions) -> Embedding:
    """Features of a sound file of any rate, channels and length.

    Raises:
        SmgError: the file cannot be read, a layer the model lacks, or a checkpoint without the graph for them.
    """
    options.chosen(runtime.config)
    return embed_wave(runtime, read_mono(path, runtime.config.mel.sample_rate), options)


def embed_wave(runtime: Runtime, wave: np.ndarray, options: EmbedOptions) -> Embedding:
    """Features of a mono waveform [n] at the model's rate, brought to the level of the training sounds.

    Long sounds are seen in windows of the model's size. Columns of which less than half is sound are left out.

    Raises:
        SmgError: a layer the model lacks, or a checkpoint without the graph for them.
    """
    config, layers = runtime.config, options.chosen(runtime.config)
    samples, patch = config.column_samples, config.tokenizer.patch_frames
    columns = max(MIN_COLUMNS, math.ceil(len(wave) / samples))
    kept = max(1, round(len(wave) / samples))
    padded = np.pad(normalize_peak(wave, INPUT_PEAK_DB), (0, columns * samples - len(wave)))
    mel, rng = log_mel(padded, config.mel), np.random.default_rng(options.seed)
    parts, sums = [], np.zeros((2, len(layers), config.rows, config.generator.width))
    for low, high, new in windows(columns, config.generator.max_columns):
        states = _states(runtime, mel[:, low * patch : high * patch], options.masked, rng)[list(layers)]
        states = states[:, :, new - low : max(new - low, kept - low)]  # [layers, rows, columns, width]
        parts.append(states.mean(1).swapaxes(0, 1))
        sums += states.sum(2, dtype=np.float64), np.square(states, dtype=np.float64).sum(2)
    mean, square = sums / kept
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    return Embedding(
        np.concatenate(parts), mean.astype(np.float32), deviation.astype(np.float32), layers,
        samples / config.mel.sample_rate,
    )  # fmt: skip


def windows(columns: int, size: int) -> list[tuple[int, int, int]]:
    """(first column, end, first that is new): all of `size` columns where there are as many, the last ending with
    the sound."""
    return [(max(0, min(low, columns - size)), min(low + size, columns), low) for low in range(0, columns, size)]


def _states(runtime: Runtime, mel: np.ndarray, masked: float, rng: np.random.Generator) -> np.ndarray:
    """Hidden states of one window's mel [n_mels, frames] without a condition: [layers + 1, rows, columns, width]."""
    tokens = runtime.encode(mel[None])
    mask = rng.random(tokens.shape[:3]) < masked
    none = np.zeros((1, runtime.config.generator.condition_size), np.float32)
    states = runtime.features(tokens, mask, none, np.array([True]))[0]
    return states.reshape(len(states), *tokens.shape[1:3], -1)


def save_embeddings(path: str | os.PathLike, files: list[str], embeddings: list[Embedding], about: dict) -> None:
    """Write an .npz, complete or not at all: clip [files, layers, width], frames_0 [columns, layers, width] and so on
    for each file, their names, the layers, seconds_per_frame, and what `about` holds.

    Raises:
        SmgError: the file cannot be written.
    """
    arrays = {f"frames_{i}": embedding.frames for i, embedding in enumerate(embeddings)}
    arrays["clip"] = np.stack([embedding.clip for embedding in embeddings])
    arrays["files"] = np.array(files)
    arrays["layers"] = np.array(embeddings[0].layers)
    arrays["layer_names"] = np.array([f"layer {n}" if n else "input" for n in embeddings[0].layers])
    arrays["seconds_per_frame"] = np.array(embeddings[0].seconds_per_frame)
    arrays |= {name: np.array(value) for name, value in about.items()}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)
