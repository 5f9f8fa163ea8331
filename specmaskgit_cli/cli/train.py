"""`smg train`: one command a stage, over one shared loop."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ..errors import SmgError
from . import common
from .campaign import bundle, campaign, import_
from .finetune import finetune
from .pack import pack
from .parameters import Commands
from .report import print_json
from .train_options import (
    Accumulate,
    Batch,
    Canvases,
    Data,
    Device,
    HoldOut,
    Minutes,
    Precision,
    Preset,
    Run,
    SaveMinutes,
    Seed,
    Steps,
    Text,
    Threads,
    ValidateMinutes,
    Workers,
    sources_of,
    text_files,
    told_unless,
    train_options,
)

app = Commands(help="Train a model on your own sounds, one stage a command.")


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
    hold_out: HoldOut = None, save_minutes: SaveMinutes = 3.0, validate_minutes: ValidateMinutes = 5.0,
    as_json: common.AsJson = False, quiet: common.Quiet = False,
) -> None:  # fmt: skip
    """Train the spectrogram tokenizer: mel patches to codes and back. The first stage."""
    options = train_options(
        minutes, steps, batch, seed, device, precision, threads, accumulate, workers, save_minutes, validate_minutes
    )
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
    config, train, val = _open(data, config, options, hold_out, quiet=quiet)
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
            help="Finished generator run: train it further, at half the rates."
        ),
    ] = None,
    one_pass: Annotated[
        bool,
        typer.Option("--one-pass", help="With --refine: teach it to give in one pass what guidance makes of two."),
    ] = False,
    minutes: Minutes = 120, steps: Steps = None, batch: Batch = 32, seed: Seed = 0, device: Device = "cpu",
    precision: Precision = "fp32", threads: Threads = None, text_encoder: Text = None,
    accumulate: Accumulate = 1, workers: Workers = 0, canvases: Canvases = None,
    hold_out: HoldOut = None, save_minutes: SaveMinutes = 3.0, validate_minutes: ValidateMinutes = 5.0,
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
    if one_pass and not refine:
        raise SmgError("--one-pass: names no run to learn from; give it with --refine")
    options = train_options(
        minutes, steps, batch, seed, device, precision, threads, accumulate, workers, save_minutes, validate_minutes
    )
    from ..training.converted import clap_among
    from ..training.embedder import load_tower
    from ..training.generator import GeneratorStage
    from ..training.guided import continued, taught
    from ..training.loop import load_run, run_config
    from ..training.tokenizer import new_tokenizer

    config, train, val = _open(data, run_config(tokenizer), options, hold_out, quiet=quiet)
    if preset:
        config = dataclasses.replace(config, generator=_preset(preset).generator)
    embed_text = _text_encoder(text_encoder or clap_among([embedder]), config)
    config, model, teacher = _with_condition(config, embed_text.dim), None, None
    if refine:
        config, model = continued(refine, config)
        if one_pass:
            teacher = model.eval().requires_grad_(False)
            config, model = taught(config, teacher)
        options = dataclasses.replace(options, muon_lr=options.muon_lr / 2, adam_lr=options.adam_lr / 2)
    codes = load_run(tokenizer, new_tokenizer(config)).tokenizer
    tower = load_tower(embedder, config).to(options.device) if condition != "text" else None
    stage = GeneratorStage(config, options, train, val, codes, embed_text, tower, condition, model, teacher, canvases)
    _train(stage, output, as_json, quiet)


@app.command()
def embedder(
    data: Data, output: Run, minutes: Minutes = 30, steps: Steps = None, batch: Batch = 32, preset: Preset = "small",
    seed: Seed = 0, device: Device = "cpu", precision: Precision = "fp32", threads: Threads = None,
    text_encoder: Text = None, workers: Workers = 0,
    hold_out: HoldOut = None, save_minutes: SaveMinutes = 3.0, validate_minutes: ValidateMinutes = 5.0,
    as_json: common.AsJson = False, quiet: common.Quiet = False,
) -> None:  # fmt: skip
    """Train the audio side of the joint text-audio space, for --like and for ranking candidates."""
    options = train_options(
        minutes, steps, batch, seed, device, precision, threads, 1, workers, save_minutes, validate_minutes
    )
    from ..training.embedder import EmbedderStage

    config, train, val = _open(data, _preset(preset), options, hold_out, quiet=quiet)
    embed_text = _text_encoder(text_encoder, config)
    config = _with_condition(config, embed_text.dim)
    _train(EmbedderStage(config, options, train, val, embed_text), output, as_json, quiet)


@app.command()
def vocoder(
    data: Data, output: Run, minutes: Minutes = 60, steps: Steps = None, batch: Batch = 16, preset: Preset = "small",
    seed: Seed = 0, device: Device = "cpu", precision: Precision = "fp32", threads: Threads = None,
    adversarial: Annotated[bool, typer.Option(help="Let discriminators join in after the first part.")] = True,
    accumulate: Accumulate = 1, workers: Workers = 0,
    hold_out: HoldOut = None, save_minutes: SaveMinutes = 3.0, validate_minutes: ValidateMinutes = 5.0,
    as_json: common.AsJson = False, quiet: common.Quiet = False,
) -> None:  # fmt: skip
    """Train a Vocos-type vocoder: mel to waveform."""
    options = train_options(
        minutes, steps, batch, seed, device, precision, threads, accumulate, workers, save_minutes, validate_minutes
    )
    from ..training.vocoder import VocoderStage

    config, train, val = _open(data, _preset(preset), options, hold_out, waves=True, quiet=quiet)
    config = dataclasses.replace(config, vocoder=dataclasses.replace(config.vocoder, kind="vocos"))
    _train(VocoderStage(config, options, train, val, adversarial), output, as_json, quiet)


@app.command()
def envelope(
    data: Data, output: Run, minutes: Minutes = 30, steps: Steps = None, batch: Batch = 16, preset: Preset = "small",
    seed: Seed = 0, device: Device = "cpu", precision: Precision = "fp32", threads: Threads = None,
    accumulate: Accumulate = 1, workers: Workers = 0,
    hold_out: HoldOut = None, save_minutes: SaveMinutes = 3.0, validate_minutes: ValidateMinutes = 5.0,
    as_json: common.AsJson = False, quiet: common.Quiet = False,
) -> None:  # fmt: skip
    """Train what estimates the level of missing high frequencies, for `smg extend`."""
    options = train_options(
        minutes, steps, batch, seed, device, precision, threads, accumulate, workers, save_minutes, validate_minutes
    )
    from ..training.envelope import EnvelopeStage

    config, train, val = _open(data, _preset(preset), options, hold_out, waves=True, quiet=quiet)
    _train(EnvelopeStage(config, options, train, val), output, as_json, quiet)


app.command()(bundle)
app.command()(campaign)
app.command("import")(import_)
app.command()(finetune)
app.command()(pack)


def _preset(name: str):
    from ..config.presets import PRESETS

    if name not in PRESETS:
        raise SmgError(f"--preset {name}: choose from {', '.join(PRESETS)}")
    return PRESETS[name]


def _open(data: list[Path], config, options, hold_out: Path | None, waves: bool = False, quiet: bool = False):
    """(configuration, training clips, validation clips)."""
    from ..data.clips import open_cache

    told = told_unless(quiet)
    held = sources_of(hold_out)
    train, val = open_cache(data, config.mel, report=told, waves=waves, workers=options.workers, hold_out=held)
    told(f"{len(train.clips)} clips to train on, {len(val.clips)} to validate on")
    return config, train, val


def _text_encoder(given: Path | None, config):
    if given and given.suffix == ".safetensors":
        from ..data.bundle import PackedTexts

        return PackedTexts(given)
    from ..runtime.text import TextEncoder

    files = text_files(given)
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
    from .. import distributed
    from ..training.loop import train

    metrics = train(stage, output, report=told_unless(quiet))
    if as_json and not distributed.rank():
        print_json(f"train {stage.name}", {"directory": str(output), "metrics": metrics})
    distributed.leave()
