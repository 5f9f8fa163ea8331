"""The claims of the paper (arXiv 2406.17672) in our own harness: all measurements of a model, as one page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from ..data.sources import find_sources, split_sources
from ..decoding.settings import STEPS
from ..pipeline import Pipeline
from ..spectrogram.image import save_sheet
from .material import EvaluationOptions
from .model import evaluate_model
from .model import tables as model_tables
from .sampling import COLUMNS, evaluate_sampling, header, table
from .sweeps import DEFAULT, Way, in_steps
from .tables import Table, earlier, markdown, write_report

PAGE, MODEL, SAMPLING, SHEET = "results.md", "model.json", "sampling.json", "sheet.png"
DEFAULT_ROW = "default"
# What is asked, and the row that is compared with the default one.
QUESTIONS = (
    *(
        (f"{said} steps ({count} for {STEPS})", in_steps(count))
        for said, count in (
            ("half of the", STEPS // 2),
            ("twice as many", 2 * STEPS),
            ("eight times as many", 8 * STEPS),
        )
    ),
    ("one token a step, in time (autoregressive)", "autoregressive"),
    ("absorbing diffusion, 100 steps", "absorbing diffusion"),
    ("random positions, not the surest", "random order"),
    ("positions by a Halton sequence", "halton order"),
    ("no guidance", "guidance 0"),
    ("a sound to resemble, without the text", "by sound"),
    ("a sound to resemble, beside the text", "by text and sound"),
)
JUDGED = (("judge_hit5", 1), ("hit5", 1), ("kad", -1))  # and whether more is better
SURE = 2.0  # standard errors that a difference must exceed to be called one

_INTRODUCTION = """# Results

Made by the command below; do not edit by hand. [evaluation.md](evaluation.md) tells what each number is.

    {command}

Model: {model} {version} ({hash}). {prompts} prompts x {seeds}, {seconds:g} s each, beside {clips} real clips; reference
of the distances: as many other real clips. Embedder of FAD and KAD: {embedder}. "±" is one standard error of the choice
of prompts or clips. "core s" is processor time for a clip, "RTF" the same for a second of sound, "passes" the rows that
went through the network for a clip.
"""


def evaluate_paper(
    pipe: Pipeline, data: list[Path], options: EvaluationOptions, folder: Path, others: Sequence[Pipeline] = (),
    names: list[str] | None = None, report: Callable[[str], None] = print,
    progress: Callable[[int, int], None] | None = None,
) -> list[Table]:  # fmt: skip
    """Measure the parts of a model and all sweeps, and write reports, contact sheet and page into a folder.

    What an interrupted run with the same options left there is not measured again.

    Args:
        others: models to compare with.
        names: of the sweeps to run; None runs all.
        report: told what is under way.
        progress: called with (rows done, rows in all) of the sweeps.

    Returns:
        The tables of the page.

    Raises:
        SmgError: as `evaluate_model` and `evaluate_sampling`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document = header(pipe, data, options) | {"seconds": options.seconds, "seeds": options.seeds}
    parts = earlier(folder / MODEL, document, "groups")
    if parts is None:
        report("measuring vocoder, tokenizer and generator")
        # Of the validation shards alone, so that the search for copies of training clips, which is long, is left out.
        validation = split_sources(find_sources(data))[1]
        results, mels = evaluate_model(pipe, validation or data, options, DEFAULT, None, progress, report)
        parts = document | results
        save_sheet(folder / SHEET, mels, pipe.config.mel)
        write_report(folder / MODEL, parts)
    report("measuring ways to sample")
    sampling = evaluate_sampling(pipe, data, options, names, folder / SAMPLING, progress, others, report)
    rows = _rows(parts, sampling)
    found = [
        model_tables(parts)[0],
        table("Ways to sample; each differs from the default row in what its name says", "sounds", list(rows.items())),
        _answers(rows),
    ]
    text = _introduction(pipe, parts, sampling, names) + "".join(f"\n{markdown(each)}\n" for each in found)
    (folder / PAGE).write_text(text, encoding="utf-8")
    return found


def _rows(parts: dict, sampling: dict) -> dict[str, dict]:
    """All rows by name, each way once: real sounds, what the parts of the model leave of them, then the sweeps."""
    rows = {"real clips": sampling["real"]}
    rows |= {name: parts["groups"][name] for name in ("copy synthesis", "round trip")}
    for sweep in sampling["sweeps"].values():
        for row in sweep:
            rows[row["name"]] = row
    usual = [name for name, row in rows.items() if _is_default(row)]
    return {name: row for name, row in rows.items() if "settings" not in row} | {DEFAULT_ROW: rows[usual[0]]} | {
        name: row for name, row in rows.items() if "settings" in row and name not in usual
    }  # fmt: skip


def _is_default(row: dict) -> bool:
    way = Way()
    return row.get("settings") == vars(way.settings) and row["condition"] == way.condition and row["model"] is None


def _answers(rows: dict[str, dict]) -> Table:
    """What is asked, with the differences to the default row, and whether they are beyond their errors."""
    usual = rows[DEFAULT_ROW]
    names = [(name, sign) for name, sign in JUDGED if f"{name}_error" in usual]
    cells = []
    others = [(name, name) for name, row in rows.items() if row.get("model") is not None]
    for question, name in (*QUESTIONS, *others):
        if name not in rows:  # of a sweep that was not asked for
            continue
        row, said = rows[name], []
        line = [question, f"{row['core_seconds_a_clip'] / usual['core_seconds_a_clip']:.2f} x"]
        for key, sign in names:
            difference = row[key] - usual[key]
            error = math.hypot(row[f"{key}_error"], usual[f"{key}_error"])
            line.append(f"{difference:+.3f} ± {error:.3f}")
            if abs(difference) > SURE * error:
                said.append(f"{COLUMNS[key]} {'better' if difference * sign > 0 else 'worse'}")
        cells.append([*line, ", ".join(said) or "no difference seen"])
    title = f"Against the default row; seen is what exceeds {SURE:g} standard errors, as 1 in 20 does by chance"
    return Table(title, ["instead", "time", *(COLUMNS[key] for key, _ in names), "seen"], cells)


def _introduction(pipe: Pipeline, parts: dict, sampling: dict, names: list[str] | None) -> str:
    options = sampling["options"]
    command = "smg evaluate paper --data shards"
    if options["prompts"]:
        path = Path(options["prompts"])
        command += f" --prompts {path.name if path.is_absolute() else path}"
    if options["judge"]:
        command += ' --judge "CMD"'
    command += f" --clips {options['clips']} --seeds {options['seeds']} --seconds {options['seconds']:g}"
    command += "".join(f" --sweep {name}" for name in names or ())
    seeds = f"{options['seeds']} seed{'s' * (options['seeds'] > 1)}"
    return _INTRODUCTION.format(
        command=f"{command} -o results", model=pipe.config.name, version=pipe.config.version,
        hash=pipe.checkpoint.hash[:12], prompts=sampling["prompts"], seeds=seeds, seconds=options["seconds"],
        clips=parts["clips"], embedder=options["embedder"],
    )  # fmt: skip
