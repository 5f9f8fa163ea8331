"""One network, many ways to draw from it: quality and time against the settings of the decoding."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..audio.levels import normalize_peak
from ..conditioning.condition import Condition
from ..errors import SmgError, UsageError
from ..options import GenerateOptions
from ..pipeline import Pipeline
from ..runtime import Runtime
from ..spectrogram.mel import log_mel
from ..synthesis.prompts import INPUT_PEAK_DB
from .clips import read_prompts
from .distances import mean_pairwise
from .embedders import OwnEmbedder, open_embedder
from .judge import judge
from .material import EvaluationOptions, Group, gather, likenesses
from .model import generate_takes, measure_group, warm_up
from .recognition import Recogniser
from .sweeps import BOTH, TEXT, Way, sweeps
from .synthesis import generate
from .tables import Table, earlier, measured, write_report

LIKE_WEIGHT = GenerateOptions.like_weight
REPEATED = 4  # with one seed a prompt, every so many prompts are made once more to see how diverse seeds are
COLUMNS = {
    "passes": "passes",
    "core_seconds_a_clip": "core s",
    "rtf": "RTF",
    "judge_hit5": "judge hit@5",
    "judge_probability": "judge p",
    "hit5": "hit@5",
    "fad": "FAD",
    "kad": "KAD",
    "text_audio": "text audio",
    "diversity": "diversity",
}


def evaluate_sampling(
    pipe: Pipeline, data: list[Path] | None, options: EvaluationOptions, names: list[str] | None = None,
    resume: Path | None = None, progress: Callable[[int, int], None] | None = None, others: Sequence[Pipeline] = (),
    report: Callable[[str], None] = print,
) -> dict:  # fmt: skip
    """A row for each way of the sweeps: the same prompts and seeds, through the same network where it is not another.

    Args:
        data: real clips, for the distances, as sounds to resemble and, without prompts of their own, for the prompts.
        names: of the sweeps to run; None runs all.
        resume: a JSON file to which each row is written as soon as it is there, and from which those of an earlier run
            with the same options are taken.
        progress: called with (rows done, rows in all).
        others: models to compare with, by the embedder and the known sounds of `pipe`.
        report: told what was left out of the data.

    Raises:
        SmgError: neither data nor prompts, an unknown sweep, a file to resume from that is of other options, or another
            model with another sample rate.
    """
    if not data and not options.prompts:
        raise UsageError("nothing to generate from; give --prompts or --data")
    models = {f"{other.config.name} {other.checkpoint.hash[:8]}": other for other in others}
    known = sweeps(pipe.config.rows * pipe.config.generator.max_columns, bool(data), tuple(models))
    if unknown := [name for name in names or () if name not in known]:
        raise UsageError(f"--sweep is {unknown[0]!r}; use {', '.join(known)}")
    for name, other in models.items():
        rate, wanted = other.config.mel.sample_rate, pipe.config.mel.sample_rate
        if rate != wanted:
            raise SmgError(f"--against {name}: its sounds have {rate} Hz, not {wanted}; compare models of one rate")
    document = header(pipe, data, options) | {"rows": {}}
    if before := earlier(resume, document, "rows"):
        document["rows"] = before["rows"]
    measure = _Measurement(pipe, data, options, models, report)
    document |= measure.facts
    plan = {way: None for name in names or known for _, way in known[name]}
    for done, way in enumerate(plan):
        if _key(way) not in document["rows"]:
            document["rows"][_key(way)] = measure(way)
            if resume:
                write_report(resume, document)
        if progress:
            progress(done + 1, len(plan))
    document["sweeps"] = {
        name: [{"name": row} | asdict(way) | document["rows"][_key(way)] for row, way in known[name]]
        for name in names or known
    }
    if resume:
        write_report(resume, document)
    return document


def header(pipe: Pipeline, data: list[Path] | None, options: EvaluationOptions) -> dict:
    """What tells measurements apart: the model and the options."""
    given = asdict(options) | {"sources": list(options.sources), "data": [str(path) for path in data or ()]}
    return {
        "model": pipe.config.name,
        "model_hash": pipe.checkpoint.hash,
        "options": {name: str(value) if isinstance(value, Path) else value for name, value in given.items()},
    }


def tables(document: dict) -> list[Table]:
    """A table for each sweep, of the columns that were measured."""
    out = []
    for name, rows in document["sweeps"].items():
        title = f"{name}: {document['prompts']} prompts x {document['options']['seeds']} of "
        title += f"{document['options']['seconds']:g} s, embedder {document['options']['embedder']}"
        named = [(row["name"], row) for row in rows]
        out.append(table(title, name, named + ([("real clips", document["real"])] if document["real"] else [])))
    return out


def table(title: str, first: str, rows: list[tuple[str, dict]]) -> Table:
    """Rows with their names as a table of the columns that were measured; `first` names the first column."""
    columns = [column for column in COLUMNS if any(column in row for _, row in rows)]
    cells = [[name, *(measured(row, column) for column in columns)] for name, row in rows]
    return Table(title, [first, *(COLUMNS[column] for column in columns)], cells)


class _Measurement:
    """What does not change from way to way, and the measurement of one."""

    def __init__(
        self, pipe: Pipeline, data: list[Path] | None, options: EvaluationOptions, others: dict[str, Pipeline],
        report: Callable[[str], None],
    ):  # fmt: skip
        self.options, self.rate = options, pipe.config.mel.sample_rate
        self.models: dict[str | None, Pipeline] = {None: pipe, **others}
        self.passes = {name: _Passes(model.runtime) for name, model in self.models.items()}
        self.warm: set[str | None] = set()
        self.embedder = open_embedder(options.embedder, pipe)
        self.own = self.embedder if isinstance(self.embedder, OwnEmbedder) else OwnEmbedder(pipe)
        self.reference, real = None, None
        if data:
            material, self.recogniser = gather(pipe, data, options, report)
            self.prompts = material.prompts
            self.reference = np.stack([self.embedder.embed(clip.wave, self.rate) for clip in material.reference])
            clips = material.subjects
            real = Group([[c.wave for c in clips]], [c.label for c in clips], [c.expected for c in clips])
            self._measure(real)
            vectors = [*real.own[0], *(self.own.embed(clip.wave, self.rate) for clip in material.reference)]
            real.row |= self._of_a_kind([clip.label for clip in clips + material.reference], vectors)
            self.likes = likenesses(pipe, data, self.prompts, options)
        else:
            self.prompts = read_prompts(options.prompts)[: options.clips]
            self.recogniser = Recogniser(pipe, [prompt.text for prompt in self.prompts])
        self.facts = {"prompts": len(self.prompts), "real": real and real.row}

    def __call__(self, way: Way) -> dict[str, float]:
        pipe = self.models[way.model]
        wanted = self._wanted(pipe, way.condition)
        if way.model not in self.warm:
            warm_up(pipe, wanted, self.options)
            self.warm.add(way.model)
        before = self.passes[way.model].count
        takes, cost = generate_takes(pipe, wanted, self.options, way.settings, style_share=_style_share(way))
        passes = (self.passes[way.model].count - before) / (len(takes) * len(wanted))
        group = Group(takes, [p.text for p in self.prompts], [p.expected for p in self.prompts])
        self._measure(group)
        made = {"diversity": self._diversity(pipe, wanted, way, group), "passes": round(passes)}
        return group.row | cost | made | {"rtf": cost["core_seconds_a_clip"] / self.options.seconds}

    def _wanted(self, pipe: Pipeline, kind: str) -> list[Condition]:
        """What to go for, as `smg generate` has it for a prompt, --like, and both."""
        prompts, texts = pipe.engine.prompts, pipe.runtime.embed_text([prompt.text for prompt in self.prompts])
        if kind == TEXT:
            return [Condition(text[None]) for text in texts]
        own, wanted = OwnEmbedder(pipe), []
        for text, wave in zip(texts, self.likes, strict=True):
            style = prompts.style_of(log_mel(normalize_peak(wave, INPUT_PEAK_DB), pipe.config.mel))
            sound = Condition(own.embed(wave, self.rate)[None], style)
            wanted.append(prompts.between(text[None] if kind == BOTH else None, sound, LIKE_WEIGHT))
        return wanted

    def _measure(self, group: Group) -> None:
        measure_group(group, self.reference, self.embedder, self.own, self.recogniser, self.rate)
        if self.options.judge:
            group.row |= judge(self.options.judge, {"all": group.judged()}, self.rate).get("all", {})

    def _diversity(self, pipe: Pipeline, wanted: list[Condition], way: Way, group: Group) -> float:
        """Mean cosine distance between the seeds of a prompt."""
        if len(group.own) > 1:
            return float(np.mean([mean_pairwise(group.own[:, i]) for i in range(len(wanted))]))
        found = []
        for i in range(0, len(wanted), REPEATED):
            seed = self.options.seed + len(wanted) + i  # that of a second take
            wave, _ = generate(pipe, wanted[i], self.options.seconds, way.settings, seed, _style_share(way))
            found.append(mean_pairwise(np.stack([group.own[0, i], self.own.embed(wave, self.rate)])))
        return float(np.mean(found))

    def _of_a_kind(self, labels: list[str], vectors: list[np.ndarray]) -> dict[str, float]:
        """The same between different real clips of one kind, where there are such."""
        members = defaultdict(list)
        kinds = self.recogniser.kinds(labels, self.own.embed_text(labels))
        for kind, vector in zip(kinds.tolist(), vectors, strict=True):
            members[kind].append(vector)
        found = [mean_pairwise(np.stack(group)) for group in members.values() if len(group) > 1]
        return {"diversity": float(np.mean(found))} if found else {}


class _Passes:
    """Counts the passes through a runtime's generator: the rows of its batches."""

    def __init__(self, runtime: Runtime):
        self.count = 0
        runtime.observers.append(self._observe)

    def _observe(self, name: str, inputs: Mapping[str, np.ndarray]) -> AbstractContextManager:
        if name == "generator":
            self.count += len(inputs["tokens"])
        return nullcontext()


def _style_share(way: Way) -> float:
    """Share of the style of a sound to resemble, as `smg generate` has it."""
    return LIKE_WEIGHT if way.condition == BOTH else 1.0


def _key(way: Way) -> str:
    """Names a row of the report."""
    return json.dumps(asdict(way), sort_keys=True)
