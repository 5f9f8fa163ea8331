"""`smg train`: one command a stage, over one shared loop."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ..errors import SmgError
from . import common
from .report import print_json
from .train_options import (
    Accumulate,
    Batch,
    Data,
    Device,
    Minutes,
    Precision,
    Preset,
    Run,
    Seed,
    Steps,
    Text,
    Threads,
    Workers,
    require_torch,
    told_unless,
    train_options,
)

app = typer.Typer(
    help="Train a model on your own sounds, one stage a command.", no_args_is_help=True, rich_markup_mode=None
)


@app.command()
def tokenizer(
    data: Data, output: Run, minutes: Minutes = 60, steps: Steps = None, batch: Batch = 48, preset: Preset = "small",
    refine: Annotated[
        Path | None, typer.Option(help="Finished tokenizer run: train its decoder further, its codes unchanged.")
    ] = None,
    levels: Annotated[
        int | None, typer.Option(help="Residual codes a patch; with --refine, more than it had adds some.")
    ] = None,
    texture_layers: Annotated[
        int | None,
        typer.Option(help="Layers that shape the decoder's noise; with --refine, more than it had adds some."),
    ] = None,
    seed: Seed = 0, device: Device = "cpu", precision: Precision = "fp32", threads: Threads = None,
    accumulate: Accumulate = 1, workers: Workers = 0,
    as_json: common.AsJson = False, quiet: common.Quiet = False,
) -> None:  # fmt: skip
    """Train the spectrogram tokenizer: mel patches to codes and back. The first stage."""
    options = train_options(minutes, steps, batch, seed, device, precision, threads, accumulate, workers)
    from ..training.loop import load_run, run_config
    from ..training.tokenizer import RefineStage, TokenizerStage, new_tokenizer

    config = run_config(refine) if refine else _preset(preset)
    least = config.tokenizer if refine else dataclasses.replace(config.tokenizer, levels=1, texture_layers=0)
    for name, given in {"levels": levels, "texture_layers": texture_layers}.items():
        if given is None:
            continue
        if given < getattr(least, name):
            raise SmgError(f"--{name.replace('_', '-')} {given}: must be at least {getattr(least, name)}")
        config = dataclasses.replace(config, tokenizer=dataclasses.replace(config.tokenizer, **{name: given}))
    config, train, val = _open(data, config, options, quiet=quiet)
    if refine:
        source = load_run(refine, new_tokenizer(run_config(refine)))
        _train(RefineStage(config, options, train, val, source), output, as_json, quiet)
    else:
        _train(TokenizerStage(config, options, train, val), output, as_json, quiet)


@app.command()
def generator(
    data: Data, output: Run,
    tokenizer: Annotated[Path, typer.Option(help="Run directory of the trained tokenizer.")],
    embedder: Annotated[
        Path | None,
        typer.Option(help="Run directory of an embedder, or a checkpoint that has one, such as a converted CLAP."),
    ] = None,
    condition: Annotated[
        str | None,
        typer.Option(
            help="What examples are conditioned on: text, audio (their own sound, as in the paper), or both in turn. "
            "both where there is an --embedder, text where there is none."
        ),
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Size; that of the tokenizer's run if not given.")] = None,
    refine: Annotated[
        Path | None,
        typer.Option(
            help="Finished generator run: train it further, at half the rates, and teach it to give in one pass what "
            "guidance makes of two."
        ),
    ] = None,
    minutes: Minutes = 120, steps: Steps = None, batch: Batch = 32, seed: Seed = 0, device: Device = "cpu",
    precision: Precision = "fp32", threads: Threads = None, text_encoder: Text = None,
    accumulate: Accumulate = 1, workers: Workers = 0,
    as_json: common.AsJson = False, quiet: common.Quiet = False,
) -> None:  # fmt: skip
    """Train the masked generator on the codes of a trained tokenizer."""
    condition = condition or ("both" if embedder else "text")
    if condition not in ("text", "audio", "both"):
        raise SmgError(f"--condition {condition}: choose text, audio or both")
    if condition != "text" and not embedder:
        raise SmgError(f"--condition {condition}: needs an --embedder to hear the examples with")
    if preset and refine:
        raise SmgError("--preset and --refine: a run that goes on keeps its size; leave one out")
    options = train_options(minutes, steps, batch, seed, device, precision, threads, accumulate, workers)
    from ..training.borrowed import clap_among
    from ..training.embedder import load_tower
    from ..training.generator import GeneratorStage
    from ..training.guided import continued
    from ..training.loop import load_run, run_config
    from ..training.tokenizer import new_tokenizer

    config, train, val = _open(data, run_config(tokenizer), options, quiet=quiet)
    if preset:
        config = dataclasses.replace(config, generator=_preset(preset).generator)
    embed_text = _text_encoder(text_encoder or clap_among([embedder]), config)
    config, model, teacher = _with_condition(config, embed_text.dim), None, None
    if refine:
        config, model, teacher = continued(refine, config)
        options = dataclasses.replace(options, muon_lr=options.muon_lr / 2, adam_lr=options.adam_lr / 2)
    codes = load_run(tokenizer, new_tokenizer(config)).tokenizer
    tower = load_tower(embedder, config).to(options.device) if condition != "text" else None
    stage = GeneratorStage(config, options, train, val, codes, embed_text, tower, condition, model, teacher)
    _train(stage, output, as_json, quiet)


@app.command()
def finetune(
    folder: Annotated[Path, typer.Argument(help="Folder of your sounds, or shards.", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", help="Checkpoint directory to make.")],
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model to adapt: default, a directory, owner/name.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="Time budget.")] = 15, steps: Steps = None,
    batch: Batch = 24,
    lr: Annotated[float, typer.Option(help="Learning rate, as a share of that of training from scratch.")] = 0.1,
    rehearsal: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of a batch that keeps up what the model knows.")
    ] = 0.4,
    keep: Annotated[float, typer.Option(help="Weight of what it knows against what is new.")] = 1.0,
    seed: Seed = 0, device: Device = "cpu", precision: Precision = "fp32", threads: Threads = None,
    as_json: common.AsJson = False, quiet: common.Quiet = False,
) -> None:  # fmt: skip
    """Adapt a finished model to a folder of your sounds; the result is a model like any other.

    Example: smg train finetune my-sounds -o my-model, then smg generate "dog barking" --model my-model -o dog.wav
    """
    if not 0 < lr <= 1:
        raise SmgError(f"--lr {lr}: must be above 0, up to 1")
    options = train_options(minutes, steps, batch, seed, device, precision, threads)
    options = dataclasses.replace(
        options, muon_lr=options.muon_lr * lr, adam_lr=options.adam_lr * lr, warmup=20, decay=0.7, ema=0.99
    )
    from ..checkpoint import resolve
    from ..training import distributed
    from ..training.finetune import FinetuneOptions
    from ..training.finetune import finetune as adapt

    if distributed.size() > 1:
        raise SmgError("smg train finetune works in one process; start it without torchrun")
    tuning = FinetuneOptions(rehearsal, keep)
    told = told_unless(quiet)
    results = adapt(resolve(model), folder, output, options, tuning, report=told)
    for key, value in results["after"].items():
        told(f"{key:<14} {results['before'][key]:8.3f} -> {value:.3f}")
    if as_json:
        print_json("train finetune", {"directory": str(output)} | results)
    elif not quiet:
        typer.echo(str(output))


@app.command()
def embedder(
    data: Data, output: Run, minutes: Minutes = 30, steps: Steps = None, batch: Batch = 32, preset: Preset = "small",
    seed: Seed = 0, device: Device = "cpu", precision: Precision = "fp32", threads: Threads = None,
    text_encoder: Text = None, workers: Workers = 0,
    as_json: common.AsJson = False, quiet: common.Quiet = False,
) -> None:  # fmt: skip
    """Train the audio side of the joint text-audio space, for --like and for ranking candidates."""
    options = train_options(minutes, steps, batch, seed, device, precision, threads, workers=workers)
    from ..training.embedder import EmbedderStage

    config, train, val = _open(data, _preset(preset), options, quiet=quiet)
    embed_text = _text_encoder(text_encoder, config)
    config = _with_condition(config, embed_text.dim)
    _train(EmbedderStage(config, options, train, val, embed_text), output, as_json, quiet)


@app.command()
def vocoder(
    data: Data, output: Run, minutes: Minutes = 60, steps: Steps = None, batch: Batch = 16, preset: Preset = "small",
    seed: Seed = 0, device: Device = "cpu", precision: Precision = "fp32", threads: Threads = None,
    adversarial: Annotated[bool, typer.Option(help="Let discriminators join in after the first part.")] = True,
    accumulate: Accumulate = 1, workers: Workers = 0,
    as_json: common.AsJson = False, quiet: common.Quiet = False,
) -> None:  # fmt: skip
    """Train a Vocos-type vocoder: mel to waveform."""
    options = train_options(minutes, steps, batch, seed, device, precision, threads, accumulate, workers)
    from ..training.vocoder import VocoderStage

    config, train, val = _open(data, _preset(preset), options, waves=True, quiet=quiet)
    config = dataclasses.replace(config, vocoder=dataclasses.replace(config.vocoder, kind="vocos"))
    _train(VocoderStage(config, options, train, val, adversarial), output, as_json, quiet)


@app.command()
def pack(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run directories: tokenizer, generator, embedder, vocoder; the last two may be converted."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Checkpoint directory to make.")],
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="The training data, for known sounds, their styles and credits.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the checkpoint.")] = "custom",
    version: Annotated[str, typer.Option(help="Version of the checkpoint.")] = "1",
    license: Annotated[str, typer.Option(help="License of the weights, an SPDX identifier.")] = "",
    training_data: Annotated[str, typer.Option(help="One line about the training data.")] = "",
    notes: Annotated[
        Path | None, typer.Option(help="Markdown to put into the model card, such as measured results.")
    ] = None,
    text_encoder: Text = None,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Assemble a checkpoint directory from one run of each stage."""
    require_torch()
    from ..training.borrowed import clap_among
    from ..training.card import credits, model_card
    from ..training.loop import run_config
    from ..training.pack import pack as assemble

    cache, clips = None, []
    if data:
        from ..training.data import open_cache

        cache = open_cache(data, run_config(runs[0]).mel, report=told_unless(quiet), waves=False)[0]
        clips = cache.clips
    if notes and not notes.is_file():
        raise SmgError(f"--notes {notes}: no such file")
    if not runs:
        raise SmgError("name the run directories to pack")
    text = notes.read_text(encoding="utf-8") if notes else ""
    documents = {"README.md": model_card(name, license, training_data, runs, clips, text)}
    if clips:
        documents["CREDITS.md"] = credits(clips)
    assemble(
        runs, _text_files(text_encoder or clap_among(runs)), output, name=name, version=version, license=license,
        training_data=training_data, clips=cache, documents=documents, report=told_unless(quiet),
    )  # fmt: skip
    if as_json:
        from ..checkpoint import load_checkpoint

        checkpoint = load_checkpoint(output)
        print_json("train pack", {"directory": str(output), "model": name, "model_hash": checkpoint.hash})
    elif not quiet:
        typer.echo(str(output))


def _preset(name: str):
    from ..config import PRESETS

    if name not in PRESETS:
        raise SmgError(f"--preset {name}: choose from {', '.join(PRESETS)}")
    return PRESETS[name]


def _open(data: list[Path], config, options, waves: bool = False, quiet: bool = False):
    """(configuration, training clips, validation clips)."""
    from ..training.data import open_cache

    told = told_unless(quiet)
    train, val = open_cache(data, config.mel, report=told, waves=waves, workers=options.workers)
    told(f"{len(train.clips)} clips to train on, {len(val.clips)} to validate on")
    return config, train, val


def _text_files(given: Path | None) -> Path:
    from ..checkpoint.registry import shipped

    return given or shipped()


def _text_encoder(given: Path | None, config):
    from ..runtime.text import TextEncoder

    files = _text_files(given)
    return TextEncoder(
        files / "onnx" / "text_encoder.onnx", files / "text" / "tokenizer.json", config.embedder.max_text_tokens
    )


def _with_condition(config, dim: int):
    """The configuration with the dimension of the text encoder that is really there."""
    embedder = dataclasses.replace(config.embedder, dim=dim)
    return dataclasses.replace(
        config, embedder=embedder, generator=dataclasses.replace(config.generator, condition_dim=dim)
    )


def _train(stage, output: Path, as_json: bool, quiet: bool) -> None:
    from ..training import distributed
    from ..training.loop import train

    metrics = train(stage, output, report=told_unless(quiet))
    if as_json and not distributed.rank():
        print_json(f"train {stage.name}", {"directory": str(output), "metrics": metrics})
    distributed.leave()
