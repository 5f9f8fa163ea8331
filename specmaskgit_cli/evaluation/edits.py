"""How well edits do on real clips: against the original, and against what can be had without a model."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import numpy as np

from ..audio.files import resample, to_mono
from ..audio.levels import normalize_peak
from ..data.contents import read_sound
from ..data.remarks import Remarks
from ..decoding.settings import STEPS
from ..errors import SmgError
from ..options import Box, ContinueOptions, ExtendOptions, InpaintOptions, LoopOptions
from ..pipeline import Pipeline
from ..tasks.cutoff import find_cutoff
from ..tasks.source import Source
from .agreement import agreement
from .baselines import HOP, N_FFT, brick_wall, interpolated, log_power, mirrored, sloped_noise, true_mel
from .clips import iterate

CUTOFF, ABOVE = 4200.0, 4300.0  # Hz
GAP_SECONDS = 1.0
CONTINUE_SECONDS = 4.0
STEP_SECONDS = 0.25  # of sound on both sides of a join, whose levels are compared
MIN_SECONDS = 4.0
FULL = 0.95  # of the model's band, that a clip has to fill to be extended
# Of the power, for distances beside the paper's, whose floor is not told: at which they depend on it.
FLOORS = np.linspace(-8, 2, 41)  # log10
PAPER_BEFORE = 1.82  # distance of the authors' low-passed demo clips from their originals

Measured = tuple[dict[str, float | np.ndarray], dict[str, np.ndarray]]  # values, and sounds for a judge


def clips(
    data: list[Path], count: int, pipe: Pipeline, remarks: Remarks, sources: Collection[str] = ()
) -> Iterator[tuple[str, np.ndarray]]:
    """(caption, mono waveform [n] at the models' rate, peak -1 dBFS) of the first `count` clips of `clips.iterate`.

    A clip is cut to the window of the model; clips below 4 s and silent ones are left out, those
    that cannot be decoded with a remark.

    Raises:
        SmgError: there is no such clip.
    """
    config = pipe.config
    longest = config.generator.max_columns * config.column_samples
    found = 0
    for key, audio, info in iterate(data, remarks=remarks, sources=sources):
        try:
            samples, rate = read_sound(audio, config.mel.sample_rate)
        except SmgError as error:
            remarks.leave_out(key, str(error))
            continue
        wave = resample(to_mono(samples), rate, config.mel.sample_rate)[:longest]
        if len(wave) < MIN_SECONDS * config.mel.sample_rate or not wave.any():
            continue
        yield info["caption"], normalize_peak(wave)
        found += 1
        if found == count:
            return
    if not found:
        raise SmgError(f"{', '.join(map(str, data))}: no sound of {MIN_SECONDS:g} s or more; name other --data")


def evaluate_edits(
    pipe: Pipeline, data: list[Path], count: int = 32, steps: int = STEPS, prompts: bool = False, seed: int = 0,
    progress: Callable[[int], None] | None = None, judge: str | None = None, report: Callable[[str], None] = print,
    sources: Collection[str] = (),
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Means over clips of all measurements, by task and name.

    Args:
        prompts: go by the clips' captions instead of the embedding of what stays.
        progress: called with the number of clips done.
        judge: command of an external tagger; see `agreement`.
        report: told what was left out of the data.
        sources: of the clips, see `clips.iterate`; empty for all.

    Raises:
        SmgError: there is no such clip, or the tagger fails.
    """
    rows: dict[str, dict[str, list[float | np.ndarray]]] = {}
    sounds: dict[str, list[dict[str, np.ndarray]]] = {}
    remarks = Remarks()
    for index, (caption, wave) in enumerate(clips(data, count, pipe, remarks, sources)):
        common = {"seed": seed + index, "steps": steps, "prompt": caption if prompts and caption.strip() else None}
        for task, measure in MEASUREMENTS.items():
            values, versions = measure(pipe, wave, common)
            for name, value in values.items():
                rows.setdefault(task, {}).setdefault(name, []).append(value)
            if versions:
                sounds.setdefault(task, []).append(versions)
        if progress:
            progress(index + 1)
    for line in remarks.lines():
        report(line)
    means = {
        task: {name: np.mean(values, axis=0) for name, values in row.items()} | {"clips": len(row["seconds"])}
        for task, row in rows.items()
    }
    if "extend" in means:
        means["extend"] = _matched(means["extend"])
    means = {task: {name: float(value) for name, value in row.items()} for task, row in means.items()}
    for task, heard in sounds.items() if judge else ():
        means[task] |= agreement(judge, heard, pipe.config.mel.sample_rate)
    return {"clips": {"count": index + 1}} | means


def measure_extension(pipe: Pipeline, wave: np.ndarray, common: dict) -> Measured:
    """Log-spectral distances over all frequencies, over those above the cut-off, and over the model's band: of the
    low-passed clip, the extended one, what a vocoder makes of its spectrogram without low-frequency replacement, two
    extensions without a model, and one from the true spectrogram. Nothing for a clip that ends low by itself."""
    rate, top = pipe.config.mel.sample_rate, pipe.config.mel.f_max
    own = find_cutoff(wave[None], rate)
    if own is not None and own < FULL * top:
        return {}, {}
    low = brick_wall(wave, rate, CUTOFF)
    sound, seconds = _timed(pipe, low, ExtendOptions("clip", cutoff=CUTOFF, **common))
    made = sound.samples[0]
    vocoded = pipe.engine.vocode(sound.mel, np.random.default_rng(0))[: len(wave)]
    vocoded *= np.sqrt(np.mean(made**2) / max(np.mean(vocoded**2), 1e-12))
    versions = {
        "before": low,
        "extended": made,
        "without_lfr": np.pad(vocoded, (0, len(wave) - len(vocoded))),
        "mirrored": mirrored(low, rate, CUTOFF),
        "sloped_noise": sloped_noise(low, rate, CUTOFF),
        "true_mel": true_mel(pipe, wave, low, CUTOFF),
    }
    model = _bins(rate, 0, top)
    spans = {"": _bins(rate, 0, np.inf), "_above": _bins(rate, ABOVE, np.inf)}
    original, out = log_power(wave), {}
    for name, version in versions.items():
        power = log_power(version)
        out[f"{name}_model_band"] = power_distance(original[:, model], power[:, model])
        for suffix, bins in spans.items():
            one, two = original[:, bins], power[:, bins]
            out[name + suffix] = power_distance(one, two)
            out[f"matched_{name}{suffix}"] = np.array([power_distance(one, two, floor) for floor in FLOORS])
    return out | {"seconds": seconds}, {"original": wave, "before": low, "extended": made}


def _matched(row: dict[str, float | np.ndarray]) -> dict[str, float]:
    """With the distances at the floor at which the low-passed clips are as far from the originals as the authors'."""
    curves = {name: value for name, value in row.items() if np.ndim(value)}
    floor = np.interp(-PAPER_BEFORE, -curves["matched_before"], FLOORS)  # what is compared falls as the floor rises
    values = {name: np.interp(floor, FLOORS, curve) for name, curve in curves.items()}
    return {name: value for name, value in row.items() if not np.ndim(value)} | values | {"matched_floor": 10**floor}


def measure_inpainting(pipe: Pipeline, wave: np.ndarray, common: dict) -> Measured:
    """A gap of a second in the middle: log-spectral distance there, and the greatest change outside of it."""
    cfg = pipe.config.mel
    rate, middle = cfg.sample_rate, len(wave) / 2 / cfg.sample_rate
    start, end = middle - GAP_SECONDS / 2, middle + GAP_SECONDS / 2
    gap = slice(round(start * rate), round(end * rate))
    silent = wave.copy()
    silent[gap] = 0
    sound, seconds = _timed(pipe, silent, InpaintOptions("clip", boxes=(Box(start, end),), **common))
    made = sound.samples[0]
    outside = np.ones(len(wave), bool)
    outside[gap] = False
    versions = {"inpainted": made, "silence": silent, "interpolated": interpolated(silent, gap, pipe)}
    out = {name: lsd(wave[gap], version[gap], rate, 0, cfg.f_max) for name, version in versions.items()}
    levels = 20 * np.log10(_rms(made[gap]) / _rms(wave[gap]))
    return out | {
        "greatest_change_outside": float(np.abs(made - wave)[outside].max()),
        "level_error_db": abs(float(levels)),
        "seconds": seconds,
    }, {"original": wave, "silence": silent, "inpainted": made, "interpolated": versions["interpolated"]}


def measure_continuation(pipe: Pipeline, wave: np.ndarray, common: dict) -> Measured:
    """Level step at the join in dB, beside that of the original going on; the clip's second half is taken away."""
    rate = pipe.config.mel.sample_rate
    half = wave[: len(wave) // 2]
    options = ContinueOptions("clip", seconds=CONTINUE_SECONDS, **common)
    sound, seconds = _timed(pipe, half, options)
    made = sound.samples[0]
    return {
        "step_db": _step(made, len(half), rate),
        "step_db_original": _step(wave, len(half), rate),
        "changed_samples": float(np.count_nonzero(made[: len(half)] != half)),
        "seconds": seconds,
    }, {}


def measure_loop(pipe: Pipeline, wave: np.ndarray, common: dict) -> Measured:
    """Change of the spectrum and of the waveform over the join, relative to the median within the sound; 1 is none."""
    sound, seconds = _timed(pipe, wave, LoopOptions("clip", **common))
    made = sound.samples[0]
    spectral, sample = seam_ratio(made)
    before, before_sample = seam_ratio(wave)
    return {
        "spectral_ratio": spectral,
        "spectral_ratio_before": before,
        "sample_ratio": sample,
        "sample_ratio_before": before_sample,
        "seconds": seconds,
    }, {}


MEASUREMENTS = {
    "extend": measure_extension,
    "inpaint": measure_inpainting,
    "continue": measure_continuation,
    "loop": measure_loop,
}


def lsd(reference: np.ndarray, other: np.ndarray, rate: int, low: float = 0, high: float = np.inf) -> float:
    """Log-spectral distance of [n] and [n]: root mean square over bins of log10 power (n_fft 2048, hop 512, Hann), mean
    over frames; from `low` to `high` Hz."""
    bins = _bins(rate, low, high)
    return power_distance(log_power(reference)[:, bins], log_power(other)[:, bins])


def _bins(rate: int, low: float, high: float) -> np.ndarray:
    """Bool [N_FFT // 2 + 1], those from `low` to `high` Hz."""
    hz = np.arange(N_FFT // 2 + 1) * rate / N_FFT
    return (hz >= low) & (hz <= high)


def power_distance(one: np.ndarray, two: np.ndarray, floor: float = -np.inf) -> float:
    """Of log10 power [frames, bins]. `floor`: where it is to be higher than that of all."""
    difference = np.maximum(one, floor) - np.maximum(two, floor)
    return float(np.sqrt((difference**2).mean(axis=1)).mean())


def seam_ratio(wave: np.ndarray) -> tuple[float, float]:
    """What changes where the end of [n] meets its beginning, relative to ordinary neighbours: (log spectrum over a
    hop, the greatest of those over the join against the median of the greatest of as many elsewhere; waveform over a
    sample against the 99th percentile)."""
    turned = np.roll(wave, len(wave) // 2)
    flux = np.sqrt((np.diff(log_power(turned), axis=0) ** 2).mean(axis=1))
    over = N_FFT // HOP + 1  # pairs of neighbouring frames, of which one at least reaches over a place
    greatest = np.lib.stride_tricks.sliding_window_view(np.pad(flux, (0, max(0, over - len(flux)))), over).max(axis=1)
    first = min(max(0, (len(wave) // 2 - N_FFT) // HOP), len(greatest) - 1)
    jumps = np.abs(np.diff(wave))
    return (
        float(greatest[first] / max(np.median(greatest), 1e-9)),
        float(abs(wave[0] - wave[-1]) / max(np.quantile(jumps, 0.99), 1e-9)),
    )


def _timed(pipe: Pipeline, wave: np.ndarray, options):
    started = time.perf_counter()
    (sound,) = pipe.make(options, source=Source(wave[None], pipe.config.mel.sample_rate))
    return sound, time.perf_counter() - started


def _rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave), dtype=np.float64)) + 1e-6)


def _step(wave: np.ndarray, at: int, rate: int) -> float:
    size = round(STEP_SECONDS * rate)
    return abs(20 * float(np.log10(_rms(wave[at : at + size]) / _rms(wave[at - size : at]))))
