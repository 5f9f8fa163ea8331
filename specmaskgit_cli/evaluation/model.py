"""A model measured part by part on real sounds: vocoder, tokenizer, generator."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..audio.levels import normalize_peak
from ..conditioning.condition import Condition
from ..data.clips import open_cache
from ..data.sources import find_sources, split_sources
from ..decoding.settings import DecodeSettings
from ..pipeline import Pipeline
from ..spectrogram.mel import log_mel
from ..synthesis.prompts import INPUT_PEAK_DB
from . import recognition
from .copying import TrainingClips, summarise
from .distances import frechet, jackknife, kernel_distance
from .embedders import Embedder, OwnEmbedder, open_embedder
from .judge import judge
from .material import EvaluationOptions, Group, Material, gather
from .novelty import diversity, each_nearest, nearest_training
from .synthesis import copy_synthesis, generate, mel_error, round_trip
from .tables import Table, measured

SHEET_ROWS = 24
COLUMNS = {
    "fad": "FAD",
    "kad": "KAD",
    "text_audio": "text audio",
    "text_audio_embedder": "text audio, embedder",
    "hit1": "hit@1",
    "hit5": "hit@5",
    "mel_l1": "mel L1",
    "mel_l1_before_vocoder": "L1 of codes",
    "judge_hit1": "judge hit@1",
    "judge_hit5": "judge hit@5",
    "judge_probability": "judge p",
    "seconds_a_clip": "s a clip",
    "core_seconds_a_clip": "core s",
}

Progress = Callable[[int, int], None]


def evaluate_model(
    pipe: Pipeline, data: list[Path], options: EvaluationOptions, settings: DecodeSettings,
    training: list[Path] | None = None, progress: Progress | None = None, report: Callable[[str], None] = print,
) -> tuple[dict, list[list[np.ndarray | None]]]:  # fmt: skip
    """All measurements of a model.

    Args:
        settings: how to decode.
        training: what the model was trained on; None takes the shards of `data` that are not named val*, where others
            are. Without any, the nearest training clips are left out.
        progress: called with (done, to do).
        report: told what was left out of the data, and how the decoding of the training clips goes.

    Returns:
        The results as plain JSON types, and a sheet of mels: real, copy synthesis, round trip, and the seeds.

    Raises:
        SmgError: data, prompts, embedder or judge that cannot be used.
    """
    embedder = open_embedder(options.embedder, pipe)
    own = embedder if isinstance(embedder, OwnEmbedder) else OwnEmbedder(pipe)
    material, recogniser = gather(pipe, data, options, report)
    training_sources, validation = split_sources(find_sources(training or data))
    whole = training or data
    cache = open_cache(whole, pipe.config.mel, report=report, hold_out=frozenset(options.sources))[0] if training or (
        validation and training_sources) else None  # fmt: skip
    tick = _counter(
        progress,
        len(material.subjects) + options.seeds * len(material.prompts) + (len(cache.clips) if cache else 0),
    )

    groups = synthesise(pipe, material, options, settings, tick)
    reference = np.stack([embedder.embed(clip.wave, pipe.config.mel.sample_rate) for clip in material.reference])
    for group in groups.values():
        measure_group(group, reference, embedder, own, recogniser, pipe.config.mel.sample_rate)
    if options.judge:
        judged = {name: group.judged() for name, group in groups.items()}
        for name, row in judge(options.judge, judged, pipe.config.mel.sample_rate).items():
            groups[name].row |= row
    known = TrainingClips(cache, options.seconds, own, tick) if cache else None
    document = {
        "clips": len(material.subjects),
        "prompts": len(material.prompts),
        "clips_of_the_prompts_kinds": material.of_kind,
        "known_sounds": len(recogniser.names),
        "embedder": embedder.name,
        "groups": {name: group.row for name, group in groups.items()},
        "diversity": diversity(groups, material, known),
        "nearest_training": None,
        "clips_measured": [{"key": clip.key, "label": clip.label} for clip in material.subjects],
        "prompts_measured": [prompt.text for prompt in material.prompts],
    }
    if known:
        found = nearest_training(pipe, groups, known, own, options)
        document["nearest_training"] = {"clips": len(cache.clips)} | summarise(found)
        document["nearest_of_each"] = each_nearest(groups["generated"], found["generated"])
    return document, _sheet(groups, options.prompts is None, pipe.config.mel)


def tables(document: dict) -> list[Table]:
    """The results of `evaluate_model`, with the header that names model, seconds and seeds, as tables."""
    rows = document["groups"]
    columns = [column for column in COLUMNS if any(column in row for row in rows.values())]
    title = f"{document['model']}: {document['clips']} clips, {document['prompts']} prompts x {document['seeds']} of "
    title += f"{document['seconds']:g} s; distances by {document['embedder']}, to as many other real clips"
    cells = [[name, *(measured(row, column) for column in columns)] for name, row in rows.items()]
    out = [Table(title, ["sounds", *(COLUMNS[column] for column in columns)], cells)]
    span = document["diversity"]
    cells = [["seeds of a prompt", span["between_seeds"]], ["real clips of a label", span["between_real_of_a_label"]]]
    out.append(Table("Diversity", ["mean cosine distance between", ""], [*cells, ["ratio", span["ratio"]]]))
    if near := document["nearest_training"]:
        cells = [[name, *(near[name][k] for k in ("cosine", "distance", "suspicious"))]
                 for name in ("real", "generated", "copies")]  # fmt: skip
        title = f"Nearest of {near['clips']} training clips; suspicious below {near['threshold']['distance']:.3f} nats"
        out.append(Table(title, ["sounds", "cosine", "distance", "suspicious"], cells))
    return out


def synthesise(
    pipe: Pipeline, material: Material, options: EvaluationOptions, settings: DecodeSettings, tick: Callable[[], None]
) -> dict[str, Group]:
    """The sounds of all groups; their rows hold what is measured against the very sound that was put in."""
    waves = [clip.wave for clip in material.subjects]
    labels, expected = [clip.label for clip in material.subjects], [clip.expected for clip in material.subjects]
    copies, trips, errors = [], [], defaultdict(list)
    for wave in waves:
        copy, (mel, trip) = copy_synthesis(pipe, wave), round_trip(pipe, wave)
        copies.append(normalize_peak(copy, INPUT_PEAK_DB))
        trips.append(normalize_peak(trip, INPUT_PEAK_DB))
        errors["copy synthesis"].append(mel_error(pipe, wave, copy))
        errors["round trip"].append(mel_error(pipe, wave, trip))
        errors["codes"].append(mel_error(pipe, wave, mel))
        tick()
    groups = {
        "real": Group([waves], labels, expected),
        "copy synthesis": Group([copies], labels, expected),
        "round trip": Group([trips], labels, expected),
        "generated": Group([], [p.text for p in material.prompts], [p.expected for p in material.prompts]),
    }
    for name in ("copy synthesis", "round trip"):
        groups[name].row["mel_l1"] = float(np.mean(errors[name]))
    groups["round trip"].row["mel_l1_before_vocoder"] = float(np.mean(errors["codes"]))
    wanted = [Condition(one[None]) for one in pipe.runtime.embed_text(groups["generated"].texts)]
    warm_up(pipe, wanted, options)
    groups["generated"].takes, cost = generate_takes(pipe, wanted, options, settings, tick)
    groups["generated"].row |= cost
    return groups


def warm_up(pipe: Pipeline, wanted: list[Condition], options: EvaluationOptions) -> None:
    """Load what is not loaded yet, so that the first sound is not the slowest."""
    generate(pipe, wanted[0], options.seconds, DecodeSettings(steps=1), options.seed)


def generate_takes(
    pipe: Pipeline, wanted: list[Condition], options: EvaluationOptions, settings: DecodeSettings,
    tick: Callable[[], None] = lambda: None, style_share: float = 1.0,
) -> tuple[list[list[np.ndarray]], dict[str, float]]:  # fmt: skip
    """Sounds for all that is wanted, as often as there are seeds, each with a seed of its own; and the mean cost of
    one. `style_share` as of `Engine.generate`."""
    takes, costs = [], []
    for take in range(options.seeds):
        sounds = []
        for index, condition in enumerate(wanted):
            seed = options.seed + take * len(wanted) + index
            wave, cost = generate(pipe, condition, options.seconds, settings, seed, style_share)
            sounds.append(wave)
            costs.append((cost.seconds, cost.core_seconds))
            tick()
        takes.append(sounds)
    seconds, core_seconds = np.mean(costs, axis=0).tolist()
    return takes, {"seconds_a_clip": seconds, "core_seconds_a_clip": core_seconds}


def measure_group(
    group: Group, reference: np.ndarray | None, embedder: Embedder, own: OwnEmbedder,
    recogniser: recognition.Recogniser, rate: int,
) -> None:  # fmt: skip
    """Add to a group's row its distances to the reference [n, D], text-audio score and zero-shot recognition.

    Distances are means over the takes, each cut to the size of the reference. Their errors are those of the choice of
    texts or clips, with the reference as it is.
    """
    group.own = np.stack([[own.embed(wave, rate) for wave in take] for take in group.takes])
    vectors = group.own
    if embedder is not own:
        vectors = np.stack([[embedder.embed(wave, rate) for wave in take] for take in group.takes])
    if reference is not None:
        takes = vectors[:, _spread(vectors.shape[1], len(reference))]
        for name, distance in (("fad", frechet), ("kad", kernel_distance)):
            group.row |= _distance(name, distance, reference, takes)
    texts = own.embed_text(group.texts)
    group.row["text_audio"] = float((group.own * texts).sum(axis=-1).mean())
    if embedder is not own and hasattr(embedder, "embed_text"):
        group.row["text_audio_embedder"] = float((vectors * embedder.embed_text(group.texts)).sum(axis=-1).mean())
    kinds = recogniser.kinds(group.texts, texts)
    group.row |= recognition.measure(np.concatenate([recogniser.ranks(take, kinds) for take in group.own]))


def _distance(name: str, distance: Callable, reference: np.ndarray, takes: np.ndarray) -> dict[str, float]:
    """Mean distance of takes [takes, n, D] to the reference, and its standard error where there are enough."""

    def value(kept: np.ndarray) -> float:
        return float(np.mean([distance(reference, take[kept]) for take in takes]))

    error = jackknife(value, takes.shape[1])
    row = {name: value(np.arange(takes.shape[1]))}
    return row if error is None else row | {f"{name}_error": error}


def _sheet(groups: dict[str, Group], paired: bool, cfg) -> list[list[np.ndarray | None]]:
    """Rows of mels; prompts that are not the clips' own have rows of their own below them."""
    made = [[log_mel(take[i], cfg) for take in groups["generated"].takes[:4]] for i in range(
        min(SHEET_ROWS, len(groups["generated"].texts)))]  # fmt: skip
    names = ("real", "copy synthesis", "round trip")
    count = min(SHEET_ROWS, len(groups["real"].texts))
    rows = [[log_mel(groups[name].takes[0][i], cfg) for name in names] for i in range(count)]
    if paired:
        return [row + more for row, more in zip(rows, made, strict=True)]
    return rows + [[None] * len(names) + more for more in made]


def _spread(count: int, size: int) -> np.ndarray:
    """`size` of `count` indices, evenly spread; all of them where there are not more."""
    return np.arange(count) if count <= size else np.linspace(0, count - 1, size).round().astype(int)


def _counter(progress: Progress | None, total: int) -> Callable[[], None]:
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress:
            progress(done, total)

    return tick
