"""The real sounds and the prompts that a model is measured on."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio.files import resample, to_mono
from ..audio.levels import crossfade, normalize_peak
from ..audio.samples import decode
from ..config.settings import MelConfig
from ..data.canvas import STEADY_DEVIATION
from ..data.clips import caption_from_name, find_sources, iterate_clips, split_sources
from ..errors import SmgError
from ..spectrogram.mel import log_mel
from ..synthesis.prompts import INPUT_PEAK_DB

PAUSE_SECONDS = 0.5  # at most, between repetitions of a short event
FADE_SECONDS = 0.1  # between those of a short steady sound


@dataclass(frozen=True)
class Prompt:
    """A text to generate from, and the classes of an external tagger that would be right for it, separated by |."""

    text: str
    expected: str = ""


@dataclass(frozen=True)
class Clip:
    """A real sound: mono [seconds * rate] at the models' rate, and the words of its label."""

    key: str
    label: str
    expected: str
    wave: np.ndarray


def read_prompts(path: Path) -> list[Prompt]:
    """The rows of a CSV file with a column `prompt` and, for a judge, `expected`.

    Raises:
        SmgError: the file cannot be read, or has no such column or no prompt.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SmgError(f"--prompts {path}: not a readable CSV file ({error})") from None
    if not rows or "prompt" not in rows[0]:
        raise SmgError(f"--prompts {path}: no column `prompt`; its first line has to name the columns")
    prompts = [Prompt(row["prompt"].strip(), (row.get("expected") or "").strip()) for row in rows if row["prompt"]]
    if not all(prompt.text for prompt in prompts) or not prompts:
        raise SmgError(f"--prompts {path}: a row without a prompt; give each a text")
    return prompts


def list_clips(data: list[Path], training: bool = False) -> list[tuple[str, str, str]]:
    """(key, label, expected classes) of all clips: those of shards named val* if there are any, else all; or, for
    `training`, those of the other shards if there are any, else all.

    Raises:
        SmgError: no sound is there.
    """
    found = [(key, _label(key, info), str(info.get("expected") or "")) for key, _, info in _iterate(data, training)]
    if not found:
        raise SmgError(f"{', '.join(map(str, data))}: no sound file; name a folder of sounds or shards with --data")
    return found


def read_clips(
    data: list[Path], keys: list[str], seconds: float, cfg: MelConfig, training: bool = False
) -> dict[str, np.ndarray]:
    """Waveforms of the clips of these keys of `list_clips`, each `seconds` long as by `arrange`; unreadable and silent
    ones are left out."""
    wanted, waves = set(keys), {}
    for key, audio, _ in _iterate(data, training):
        if key not in wanted:
            continue
        try:
            samples, rate = decode(audio, cfg.sample_rate)
        except SmgError:
            continue
        wave = resample(to_mono(samples), rate, cfg.sample_rate)
        if np.isfinite(wave).all() and wave.any():
            waves[key] = arrange(wave, seconds, cfg)
    return waves


def arrange(wave: np.ndarray, seconds: float, cfg: MelConfig) -> np.ndarray:
    """A sound [n] made `seconds` long the way the models were trained: the loudest part of a longer one; a shorter one
    carried on with crossfades if it is steady, and repeated with pauses if it is an event. Peak at the models' level.
    """
    size = round(seconds * cfg.sample_rate)
    if len(wave) >= size:
        energy = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
        start = int(np.argmax(energy[size:] - energy[:-size]))
        start -= start % cfg.hop_length  # the frames of the mel stay those of the whole clip
        return normalize_peak(wave[start : start + size], INPUT_PEAK_DB)
    level = log_mel(wave, cfg).max(axis=0)[2:-2]
    steady = len(level) > 8 and float(level.std()) < STEADY_DEVIATION
    overlap = min(round(FADE_SECONDS * cfg.sample_rate), len(wave) // 3) if steady else 0
    pause = 0 if steady else round(min(PAUSE_SECONDS, seconds / 8) * cfg.sample_rate)
    out = wave
    while len(out) < size:
        out = crossfade(np.pad(out, (0, pause)), wave, overlap, "linear")
    return normalize_peak(out[:size], INPUT_PEAK_DB)


def choose(count: int, clips: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two disjoint sets of equal size out of `count` indices, each of `clips` or half of what there is.

    Raises:
        SmgError: too few for two sets of two.
    """
    size = min(clips, count // 2)
    if size < 2:
        raise SmgError(f"only {count} clips to measure on; 4 are needed at least, and numbers mean little below 64")
    order = rng.permutation(count)
    return order[:size], order[size : 2 * size]


def _iterate(data: list[Path], training: bool) -> Iterator[tuple[str, bytes | Path, dict]]:
    others, validation = split_sources(find_sources(data))
    for source in (others or validation) if training else (validation or others):
        for key, audio, info in iterate_clips(source):
            yield f"{source.stem}/{key}", audio, info


def _label(key: str, info: dict) -> str:
    return str(info.get("label") or info.get("caption") or caption_from_name(Path(key).stem)).replace("_", " ").strip()
