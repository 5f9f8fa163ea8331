"""One network, many ways to draw from it: quality and time against the settings of the decoding."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from ..decoding import DecodeSettings
from ..errors import SmgError, UsageError
from ..pipeline import Pipeline
from .clips import read_prompts
from .embedders import OwnEmbedder, open_embedder
from .judge import judge
from .material import EvaluationOptions, gather
from .model import Group, generate_takes, measure_group
from .recognition import Recogniser
from .tables import Table, write_report

DEFAULT = DecodeSettings()
DIFFUSION_STEPS = 100  # of VQ-Diffusion (arXiv 2111.14822)
COLUMNS = {
    "judge_hit1": "judge hit@1",
    "judge_hit5": "judge hit@5",
    "hit1": "hit@1",
    "hit5": "hit@5",
    "fad": "FAD",
    "kad": "KAD",
    "text_audio": "text audio",
    "seconds_a_clip": "s a clip",
}


def sweeps(cells: int) -> dict[str, list[tuple[str, DecodeSettings]]]:
    """The settings of each sweep, with the names of their rows; `cells`: tokens of a whole grid.

    What is decoded at a constant guidance has the mean of the ramp.
    """
    flat = replace(DEFAULT, guidance=DEFAULT.guidance * (1 + DEFAULT.onset) / 2, onset=1.0, guided=1.0)
    return {
        "steps": [(f"{n} steps", replace(DEFAULT, steps=n)) for n in (4, 8, 12, 16, 24)],
        "guidance": [(f"guidance {g:g}", replace(DEFAULT, guidance=g)) for g in (0.0, 1.0, 2.0, 4.0, 6.0)],
        "temperature": [(f"temperature {t:g}", replace(DEFAULT, temperature=t)) for t in (0.7, 0.85, 1.0, 1.15, 1.3)],
        "order": [(f"{order} order", replace(DEFAULT, order=order)) for order in ("confidence", "halton", "random")],
        "strategy": [
            ("masked, parallel", DEFAULT),
            ("autoregressive", replace(flat, steps=cells, order="raster")),
            ("absorbing diffusion", replace(flat, steps=DIFFUSION_STEPS, order="random", schedule="linear")),
        ],
    }


def evaluate_sampling(
    pipe: Pipeline, data: list[Path] | None, options: EvaluationOptions, names: list[str] | None = None,
    resume: Path | None = None, progress: Callable[[int, int], None] | None = None,
) -> dict:  # fmt: skip
    """A row for each setting of the sweeps: the same prompts and seeds through the same network.

    Args:
        data: real clips, for the distances and, without prompts of their own, the prompts.
        names: of the sweeps to run; None runs all.
        resume: a JSON file to which each row is written as soon as it is there, and from which those of an earlier run
            with the same options are taken.
        progress: called with (settings done, settings in all).

    Raises:
        SmgError: neither data nor prompts, an unknown sweep, or a file to resume from that is of other options.
    """
    if not data and not options.prompts:
        raise UsageError("nothing to generate from; give --prompts or --data")
    known = sweeps(pipe.config.rows * pipe.config.generator.max_columns)
    if unknown := [name for name in names or () if name not in known]:
        raise UsageError(f"--sweep is {unknown[0]!r}; use {', '.join(known)}")
    document = {
        "model": pipe.config.name,
        "model_hash": pipe.checkpoint.hash,
        "options": {name: str(v) if isinstance(v, Path) else v for name, v in asdict(options).items()}
        | {"data": [str(path) for path in data or ()]},
        "rows": {},
    }
    _take_up(document, resume)
    measure = _Measurement(pipe, data, options)
    document |= measure.facts
    plan = {settings: None for name in names or known for _, settings in known[name]}
    for done, settings in enumerate(plan):
        key = json.dumps(asdict(settings), sort_keys=True)
        if key not in document["rows"]:
            document["rows"][key] = measure(settings)
            if resume:
                write_report(resume, document)
        if progress:
            progress(done + 1, len(plan))
    rows = {
        name: [{"name": row, "settings": asdict(s)} | document["rows"][json.dumps(asdict(s), sort_keys=True)]
               for row, s in known[name]]
        for name in names or known
    }  # fmt: skip
    document["sweeps"] = rows
    if resume:
        write_report(resume, document)
    return document


def tables(document: dict) -> list[Table]:
    """A table for each sweep, of the columns that were measured."""
    out = []
    for name, rows in document["sweeps"].items():
        columns = [column for column in COLUMNS if any(column in row for row in rows)]
        cells = [[row["name"], *(row.get(column) for column in columns)] for row in rows]
        if document["real"]:
            cells.append(["real clips", *(document["real"].get(column) for column in columns)])
        title = f"{name}: {document['prompts']} prompts x {document['options']['seeds']} of "
        title += f"{document['options']['seconds']:g} s, embedder {document['options']['embedder']}"
        out.append(Table(title, [name, *(COLUMNS[column] for column in columns)], cells))
    return out


class _Measurement:
    """What does not change from setting to setting, and the measurement of one."""

    def __init__(self, pipe: Pipeline, data: list[Path] | None, options: EvaluationOptions):
        self.pipe, self.options, self.rate = pipe, options, pipe.config.mel.sample_rate
        self.embedder = open_embedder(options.embedder, pipe)
        self.own = self.embedder if isinstance(self.embedder, OwnEmbedder) else OwnEmbedder(pipe)
        self.reference, real = None, None
        if data:
            material, self.recogniser = gather(pipe, data, options)
            self.prompts = material.prompts
            self.reference = np.stack([self.embedder.embed(clip.wave, self.rate) for clip in material.reference])
            clips = material.subjects
            real = Group([[c.wave for c in clips]], [c.label for c in clips], [c.expected for c in clips])
            self._measure(real)
        else:
            self.prompts = read_prompts(options.prompts)[: options.clips]
            self.recogniser = Recogniser(pipe, [prompt.text for prompt in self.prompts])
        self.facts = {"prompts": len(self.prompts), "real": real and real.row}

    def __call__(self, settings: DecodeSettings) -> dict[str, float]:
        takes, seconds = generate_takes(self.pipe, self.prompts, self.options, settings)
        group = Group(takes, [p.text for p in self.prompts], [p.expected for p in self.prompts])
        self._measure(group)
        return group.row | {"seconds_a_clip": seconds}

    def _measure(self, group: Group) -> None:
        measure_group(group, self.reference, self.embedder, self.own, self.recogniser, self.rate)
        if self.options.judge:
            group.row |= judge(self.options.judge, {"all": group.judged()}, self.rate).get("all", {})


def _take_up(document: dict, path: Path | None) -> None:
    """Take the rows of an earlier run of the same measurement."""
    if path is None or not path.exists():
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        same = all(before[name] == document[name] for name in ("model_hash", "options"))
        rows = before["rows"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SmgError(f"{path}: not a report of this command ({error!r}); name another with -o") from None
    if not same:
        raise SmgError(f"{path} holds a measurement of another model or with other options; name another with -o")
    document["rows"] = rows
