"""`smg evaluate`: measurements of a model on your own sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..decoding.settings import GUIDANCE, STEPS
from ..errors import UsageError
from ..terminal import say
from . import common
from .parameters import Commands
from .progress import progress_bar
from .report import print_json
from .train_options import sources_of

app = Commands(help="Measure a model on your own sounds.")

Data = Annotated[
    list[Path], typer.Option("--data", help="Folder of audio, .tar shard, or folder of shards.", show_default=False)
]
Prompts = Annotated[
    Path | None, typer.Option(metavar="CSV", help="Prompts: columns prompt and, for a judge, expected.")
]
Clips = Annotated[int, typer.Option(help="Real clips and prompts, at most.")]
Seeds = Annotated[int, typer.Option(help="Sounds a prompt.")]
Seconds = Annotated[float, typer.Option(help="Length of all sounds.")]
Seed = Annotated[int, typer.Option(help="Of the choice of clips and of the first sound.")]
Embedder = Annotated[str, typer.Option(metavar="own|clap|NAME", help="What the distances are measured with.")]
Judge = Annotated[str | None, typer.Option(metavar="CMD", help="Command of an external tagger.")]
Against = Annotated[list[str] | None, typer.Option(metavar="NAME", help="Another model to compare with. Repeatable.")]
Sweep = Annotated[
    list[str] | None,
    typer.Option(help="steps, strategy, condition, order, guidance, temperature or model; all by default."),
]
Sources = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Measure on the clips of these sources alone, one a line, which the model was trained without.",
    ),
]
Report = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Also write the report as JSON.")]


@app.callback()
def evaluate() -> None:
    """Measure a model on your own sounds."""


@app.command()
def edits(
    data: Annotated[list[Path], typer.Option("--data", help="Folder of audio, .tar shard, or folder of shards.")],
    clips: Annotated[int, typer.Option(min=1, help="How many clips.")] = 32,
    steps: Annotated[int, typer.Option(min=1, max=256, help="Decoding steps.")] = STEPS,
    prompts: Annotated[bool, typer.Option("--prompts", help="Go by the clips' captions.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first clip.")] = 0,
    judge: Judge = None,
    sources: Sources = None,
    model: common.Model = None,
    vocoder: common.Vocoder = None,
    backend: common.Backend = "auto",
    device: common.Device = "cpu",
    threads: common.Threads = None,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Measure extension, inpainting, continuation and loops against the originals and simple baselines.

    Shards named val* are used if there are any, else all that is given.
    """
    pipe = _load(model, backend, device, threads, vocoder, quiet)
    from ..evaluation.edits import evaluate_edits

    with progress_bar("evaluating", quiet) as progress:
        each = progress and (lambda done: progress(done, clips))
        results = evaluate_edits(
            pipe, data, clips, steps, prompts, seed, each, judge, _told(quiet), sources_of(sources, "--sources")
        )
    if as_json:
        document = {"model": pipe.config.name, "model_hash": pipe.checkpoint.hash, "steps": steps} | results
        print_json("evaluate edits", document)
        return
    for task, row in results.items():
        for name, value in row.items():
            say(f"{task:<10} {name:<26} {value:10.4g}")


@app.command("model")
def evaluate_model_command(
    data: Data,
    training: Annotated[
        list[Path] | None, typer.Option(help="What the model was trained on, if not the other shards of --data.")
    ] = None,
    clips: Clips = 64,
    seeds: Seeds = 2,
    seconds: Seconds = 4.0,
    seed: Seed = 0,
    prompts: Prompts = None,
    embedder: Embedder = "own",
    judge: Judge = None,
    sources: Sources = None,
    steps: common.Steps = STEPS,
    guidance: common.Guidance = GUIDANCE,
    sheet: Annotated[Path | None, typer.Option(metavar="PNG", help="Also draw the spectrograms side by side.")] = None,
    output: Report = None,
    model: common.Model = None,
    vocoder: common.Vocoder = None,
    backend: common.Backend = "auto",
    device: common.Device = "cpu",
    threads: common.Threads = None,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Measure vocoder, tokenizer and generator against real sounds, and whether training clips are copied.

    Shards named val* are used if there are any, else all that is given.
    """
    from ..audio.files import check_writable
    from ..decoding.settings import DecodeSettings
    from ..evaluation.material import EvaluationOptions
    from ..options import GenerateOptions

    options = EvaluationOptions(
        clips=clips, seeds=seeds, seconds=seconds, seed=seed, prompts=prompts, embedder=embedder, judge=judge,
        sources=tuple(sorted(sources_of(sources, "--sources"))),
    )  # fmt: skip
    GenerateOptions(prompt="-", steps=steps, guidance=guidance)  # checks them
    for file in filter(None, (sheet, output)):
        check_writable(file)
    if sheet and sheet.suffix.lower() != ".png":
        raise UsageError(f"--sheet is {str(sheet)!r}; end the name in .png")
    pipe = _load(model, backend, device, threads, vocoder, quiet)
    from ..evaluation.model import evaluate_model, tables

    with progress_bar("evaluating", quiet) as progress:
        settings = DecodeSettings(steps=steps, guidance=guidance)
        results, mels = evaluate_model(pipe, data, options, settings, training, progress, _told(quiet))
    header = {"model": pipe.config.name, "model_hash": pipe.checkpoint.hash, "seconds": seconds, "seeds": seeds}
    document = header | {"steps": steps, "guidance": guidance} | results
    if sheet:
        from ..spectrogram.image import save_sheet

        save_sheet(sheet, mels, pipe.config.mel)
    _hand_over("evaluate model", document, tables(document), output, as_json)


@app.command("sampling")
def sampling_command(
    data: Annotated[list[Path] | None, typer.Option("--data", help="Real sounds, for the distances.")] = None,
    prompts: Prompts = None,
    sweep: Sweep = None,
    against: Against = None,
    clips: Clips = 64,
    seeds: Seeds = 1,
    seconds: Seconds = 4.0,
    seed: Seed = 0,
    embedder: Embedder = "own",
    judge: Judge = None,
    sources: Sources = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Report as JSON; go on from one there.")
    ] = None,
    model: common.Model = None,
    vocoder: common.Vocoder = None,
    backend: common.Backend = "auto",
    device: common.Device = "cpu",
    threads: common.Threads = None,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Measure quality and time against steps, guidance, temperature, order, and other ways to decode.

    Also against sounds to resemble, and other models.
    """
    from ..audio.files import check_writable
    from ..evaluation.material import EvaluationOptions

    options = EvaluationOptions(
        clips=clips, seeds=seeds, seconds=seconds, seed=seed, prompts=prompts, embedder=embedder, judge=judge,
        sources=tuple(sorted(sources_of(sources, "--sources"))),
    )  # fmt: skip
    if output:
        check_writable(output)
    pipe, *others = (_load(name, backend, device, threads, vocoder, quiet) for name in (model, *(against or ())))
    from ..evaluation.sampling import evaluate_sampling, tables
    from ..evaluation.tables import markdown

    with progress_bar("evaluating", quiet) as progress:
        document = evaluate_sampling(pipe, data, options, sweep, output, progress, others, _told(quiet))
    if as_markdown and not as_json:
        say("\n\n".join(map(markdown, tables(document))), lines=True)
        return
    _hand_over("evaluate sampling", document, tables(document), None, as_json)


@app.command("paper")
def paper_command(
    data: Data,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of the page; go on from one there.")
    ],
    prompts: Prompts = None,
    sweep: Sweep = None,
    against: Against = None,
    clips: Clips = 64,
    seeds: Seeds = 1,
    seconds: Seconds = 4.0,
    seed: Seed = 0,
    embedder: Embedder = "own",
    judge: Judge = None,
    sources: Sources = None,
    model: common.Model = None,
    vocoder: common.Vocoder = None,
    backend: common.Backend = "auto",
    device: common.Device = "cpu",
    threads: common.Threads = None,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Measure what the paper claims, all of `model` and `sampling`, and write it as one page, results.md.

    Beside it: model.json, sampling.json and a contact sheet, sheet.png.
    """
    from ..evaluation.material import EvaluationOptions

    options = EvaluationOptions(
        clips=clips, seeds=seeds, seconds=seconds, seed=seed, prompts=prompts, embedder=embedder, judge=judge,
        sources=tuple(sorted(sources_of(sources, "--sources"))),
    )  # fmt: skip
    if output.exists() and not output.is_dir():
        raise UsageError(f"-o {output} is a file; name a folder")
    pipe, *others = (_load(name, backend, device, threads, vocoder, quiet) for name in (model, *(against or ())))
    from ..evaluation.paper import evaluate_paper
    from ..evaluation.tables import show

    with progress_bar("evaluating", quiet) as progress:
        found = evaluate_paper(pipe, data, options, output, others, sweep, _told(quiet), progress)
    if as_json:
        print_json("evaluate paper", {"directory": str(output), "tables": [vars(table) for table in found]})
    else:
        show(found)


def _load(model, backend, device, threads, vocoder, quiet):
    from ..pipeline import load

    with progress_bar("downloading", quiet) as progress:
        return load(model, backend, device, threads, vocoder, progress)


def _told(quiet: bool):
    """What says on standard error how far the work is."""
    return lambda line: None if quiet else say("smg:", line, error=True)


def _hand_over(command: str, document: dict, tables: list, output: Path | None, as_json: bool) -> None:
    """Write the report to its file, and print it as JSON or as tables."""
    from ..evaluation.tables import show, write_report

    if output:
        write_report(output, document)
    if as_json:
        print_json(command, document)
    else:
        show(tables)
