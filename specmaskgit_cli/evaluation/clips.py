"""The real sounds and the prompts that a model is measured on."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio.files import resample, to_mono
from ..audio.levels import crossfade, normalize_peak
from ..config.settings import MelConfig
from ..data.canvas import STEADY_DEVIATION
from ..data.contents import Member, read_sound
from ..data.descriptions import label_of, texts_of
from ..data.remarks import Remarks
from ..data.sources import find_sources, iterate_clips, split_sources
from ..data.tables import find_column, read_table
from ..errors import SmgError, UsageError
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
    """The rows of a table, CSV or JSON Lines, with a column `prompt` and, for a judge, `expected`.

    Raises:
        SmgError: the file cannot be read, or has no such column or a row without a prompt.
    """
    rows = read_table(path)
    find_column(rows, ["prompt"], path)
    prompts = []
    for row in rows:
        texts = texts_of(row.cells.get("prompt"), f"{row.place}, column prompt")
        if len(texts) != 1:
            raise UsageError(f"{row.place} has {len(texts) or 'no'} prompts; give it one text")
        prompts.append(Prompt(texts[0], label_of(row.cells.get("expected"), f"{row.place}, column expected")))
    return prompts


def list_clips(
    data: list[Path], training: bool = False, remarks: Remarks | None = None, sources: Collection[str] = ()
) -> list[tuple[str, str, str]]:
    """(key, label, expected classes) of all clips of `iterate`.

    Raises:
        SmgError: no sound is there.
    """
    clips = iterate(data, training, remarks, sources)
    found = [(key, _label(info), str(info.get("expected") or "")) for key, _, info in clips]
    if not found:
        which = "no sound of these sources" if sources and not training else "no sound file"
        raise SmgError(f"{', '.join(map(str, data))}: {which}; name a folder of sounds or shards with --data")
    return found


def read_clips(
    data: list[Path], keys: list[str], seconds: float, cfg: MelConfig, training: bool = False,
    remarks: Remarks | None = None, sources: Collection[str] = (),
) -> dict[str, np.ndarray]:  # fmt: skip
    """Waveforms of the clips of these keys of `list_clips`, each `seconds` long as by `arrange`; unreadable and silent
    ones are left out, and so said in the remarks."""
    remarks = Remarks() if remarks is None else remarks
    wanted, waves = set(keys), {}
    for key, audio, _ in iterate(data, training, sources=sources):
        if key not in wanted:
            continue
        try:
            samples, rate = read_sound(audio, cfg.sample_rate)
        except SmgError as error:
            remarks.leave_out(key, str(error))
            continue
        wave = resample(to_mono(samples), rate, cfg.sample_rate)
        if wave.any():
            waves[key] = arrange(wave, seconds, cfg)
        else:
            remarks.leave_out(key, "is silent")
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


def iterate(
    data: list[Path], training: bool = False, remarks: Remarks | None = None, sources: Collection[str] = ()
) -> Iterator[tuple[str, Path | Member, dict]]:
    """(key, audio, what is known) of the clips to measure on: those of shards named val* if there are any, else all;
    or, for `training`, those of the other shards if there are any, else all.

    Args:
        sources: values of `source` in the clips' JSON that the model was not trained on: only such clips are measured
            on, of whatever shard, and only others are for training.
    """
    others, validation = split_sources(find_sources(data))
    chosen = (others or validation) if training else (validation or others)
    for shard in others + validation if sources and not training else chosen:
        for key, audio, info in iterate_clips(shard, remarks):
            if not sources or (info.get("source") in sources) is not training:
                yield f"{shard.stem}/{key}", audio, info


def _label(info: dict) -> str:
    return info.get("label", info["caption"]).replace("_", " ").strip()
