"""`smg train`: one command a stage, over one shared loop."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from ..errors import SmgError

app = typer.Typer(
    help="Train a model on your own sounds, one stage a command.", no_args_is_help=True, rich_markup_mode=None
)

Data = Annotated[
    list[Path], typer.Option("--data", help="Folder of audio, .tar shard, or folder of shards. Repeatable.")
]
Run = Annotated[Path, typer.Option("-o", "--output", help="Run directory. An existing run is continued.")]
Minutes = Annotated[float, typer.Option(help="Time budget, earlier parts of the run included.")]
Steps = Annotated[int | None, typer.Option(help="Stop after so many steps, if sooner.")]
Batch = Annotated[int, typer.Option(help="Examples a step.")]
Preset = Annotated[str, typer.Option(help="Size of the models: small, paper or tiny.")]
Seed = Annotated[int, typer.Option(help="Seed of every random choice.")]
Device = Annotated[str, typer.Option(help="Where to train: cpu, cuda, cuda:1, mps.")]
Precision = Annotated[str, typer.Option(help="fp32 or bf16.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; all that are available if not given.")]
Text = Annotated[
    Path | None,
    typer.Option("--text-encoder", help="Directory with the text encoder's files; the shipped model's if not given."),
]


@app.command()
def tokenizer(
    data: Data, output: Run, minutes: Minutes = 60, steps: Steps = None, batch: Batch = 48, preset: Preset = "small",
    refine: Annotated[
        Path | None, typer.Option(help="Finished tokenizer run: train its decoder further, its codes unchanged.")
    ] = None,
    levels: Annotated[
        int | None, typer.Option(help="Residual codes a patch; with --refine, more than it had adds some.")
    ] = None,
    seed: Seed = 0, device: Device = "cpu", precision: Precision = "fp32", threads: Threads = None,
) -> None:  # fmt: skip
    """Train the spectrogram tokenizer: mel patches to codes and back. The first stage."""
    options = _options(minutes, steps, batch, seed, device, precision, threads)
    from ..training.loop import load_run, run_config
    from ..training.tokenizer import RefineStage, TokenizerStage, new_tokenizer

    config = run_config(refine) if refine else _preset(preset)
    had = config.tokenizer.levels
    if levels is not None:
        if levels < (had if refine else 1):
            raise SmgError(f"--levels {levels}: must be at least {had if refine else 1}")
        config = dataclasses.replace(config, tokenizer=dataclasses.replace(config.tokenizer, levels=levels))
    config, train, val = _open(data, config)
    if refine:
        source = load_run(refine, new_tokenizer(run_config(refine)))
        _train(RefineStage(config, options, train, val, source), output)
    else:
        _train(TokenizerStage(config, options, train, val), output)


@app.command()
def generator(
    data: Data, output: Run,
    tokenizer: Annotated[Path, typer.Option(help="Run directory of the trained tokenizer.")],
    embedder: Annotated[
        Path | None, typer.Option(help="Run directory of an embedder: some examples are then conditioned on audio.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Size; that of the tokenizer's run if not given.")] = None,
    minutes: Minutes = 120, steps: Steps = None, batch: Batch = 32, seed: Seed = 0, device: Device = "cpu",
    precision: Precision = "fp32", threads: Threads = None, text_encoder: Text = None,
) -> None:  # fmt: skip
    """Train the masked generator on the codes of a trained tokenizer."""
    options = _options(minutes, steps, batch, seed, device, precision, threads)
    from ..models.embedder import AudioTower
    from ..training.embedder import TrainableEmbedder
    from ..training.generator import GeneratorStage
    from ..training.loop import load_run, run_config
    from ..training.tokenizer import new_tokenizer

    config, train, val = _open(data, run_config(tokenizer))
    if preset:
        config = dataclasses.replace(config, generator=_preset(preset).generator)
    embed_text = _text_encoder(text_encoder, config)
    config = _with_condition(config, embed_text.dim)
    codes = load_run(tokenizer, new_tokenizer(config)).tokenizer
    embed_audio = None
    if embedder:
        tower = TrainableEmbedder(AudioTower(run_config(embedder).embedder, config.mel))
        embed_audio = load_run(embedder, tower).tower.to(device).requires_grad_(False)
    _train(GeneratorStage(config, options, train, val, codes, embed_text, embed_audio), output)


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
) -> None:  # fmt: skip
    """Adapt a finished model to a folder of your sounds; the result is a model like any other.

    Example: smg train finetune my-sounds -o my-model, then smg generate "dog barking" --model my-model -o dog.wav
    """
    if not 0 < lr <= 1:
        raise SmgError(f"--lr {lr}: must be above 0, up to 1")
    options = _options(minutes, steps, batch, seed, device, precision, threads)
    options = dataclasses.replace(
        options, muon_lr=options.muon_lr * lr, adam_lr=options.adam_lr * lr, warmup=20, decay=0.7, ema=0.99
    )
    from ..checkpoint import resolve
    from ..training.finetune import FinetuneOptions
    from ..training.finetune import finetune as adapt

    tuning = FinetuneOptions(rehearsal, keep)
    results = adapt(resolve(model), folder, output, options, tuning, report=_report)
    for key, value in results["after"].items():
        _report(f"{key:<14} {results['before'][key]:8.3f} -> {value:.3f}")
    typer.echo(str(output))


@app.command()
def embedder(
    data: Data, output: Run, minutes: Minutes = 30, steps: Steps = None, batch: Batch = 32, preset: Preset = "small",
    seed: Seed = 0, device: Device = "cpu", precision: Precision = "fp32", threads: Threads = None,
    text_encoder: Text = None,
) -> None:  # fmt: skip
    """Train the audio side of the joint text-audio space, for --like and for ranking candidates."""
    options = _options(minutes, steps, batch, seed, device, precision, threads)
    from ..training.embedder import EmbedderStage

    config, train, val = _open(data, _preset(preset))
    embed_text = _text_encoder(text_encoder, config)
    config = _with_condition(config, embed_text.dim)
    _train(EmbedderStage(config, options, train, val, embed_text), output)


@app.command()
def vocoder(
    data: Data, output: Run, minutes: Minutes = 60, steps: Steps = None, batch: Batch = 16, preset: Preset = "small",
    seed: Seed = 0, device: Device = "cpu", precision: Precision = "fp32", threads: Threads = None,
    adversarial: Annotated[bool, typer.Option(help="Let discriminators join in after the first part.")] = True,
) -> None:  # fmt: skip
    """Train a Vocos-type vocoder: mel to waveform."""
    options = _options(minutes, steps, batch, seed, device, precision, threads)
    from ..training.vocoder import VocoderStage

    config, train, val = _open(data, _preset(preset))
    config = dataclasses.replace(config, vocoder=dataclasses.replace(config.vocoder, kind="vocos"))
    _train(VocoderStage(config, options, train, val, adversarial), output)


@app.command()
def pack(
    runs: Annotated[list[Path], typer.Argument(help="Run directories: tokenizer, generator, embedder, vocoder.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Checkpoint directory to make.")],
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="The training data, for the list of known sounds and credits.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the checkpoint.")] = "custom",
    version: Annotated[str, typer.Option(help="Version of the checkpoint.")] = "1",
    license: Annotated[str, typer.Option(help="License of the weights, an SPDX identifier.")] = "",
    training_data: Annotated[str, typer.Option(help="One line about the training data.")] = "",
    notes: Annotated[
        Path | None, typer.Option(help="Markdown to put into the model card, such as measured results.")
    ] = None,
    text_encoder: Text = None,
) -> None:
    """Assemble a checkpoint directory from one run of each stage."""
    _require_torch()
    from ..training.card import credits, model_card
    from ..training.loop import run_config
    from ..training.pack import pack as assemble

    clips = []
    if data:
        from ..training.data import open_cache

        clips = open_cache(data, run_config(runs[0]).mel, report=_report)[0].clips
    if notes and not notes.is_file():
        raise SmgError(f"--notes {notes}: no such file")
    if not runs:
        raise SmgError("name the run directories to pack")
    text = notes.read_text(encoding="utf-8") if notes else ""
    documents = {"README.md": model_card(name, license, training_data, runs, clips, text)}
    if clips:
        documents["CREDITS.md"] = credits(clips)
    assemble(
        runs, _text_files(text_encoder), output, name=name, version=version, license=license,
        training_data=training_data, clips=clips, documents=documents, report=_report,
    )  # fmt: skip
    typer.echo(str(output))


def _options(minutes, steps, batch, seed, device, precision, threads):
    """Check the shared options and make the loop's.

    Raises:
        SmgError: torch is missing or a value is out of range.
    """
    if not minutes > 0:
        raise SmgError(f"--minutes {minutes}: must be more than 0")
    if batch < 1:
        raise SmgError(f"--batch {batch}: must be at least 1")
    if steps is not None and steps < 1:
        raise SmgError(f"--steps {steps}: must be at least 1")
    if precision not in ("fp32", "bf16"):
        raise SmgError(f"--precision {precision}: must be fp32 or bf16")
    _require_torch()
    import torch

    from ..runtime.threads import allowed_threads
    from ..training.loop import TrainOptions

    torch.set_num_threads(threads or allowed_threads())
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):
        raise SmgError(f"--device {device}: not available on this machine") from None
    return TrainOptions(minutes=minutes, steps=steps, batch=batch, seed=seed, device=device, precision=precision)


def _require_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise SmgError("training needs PyTorch: pip install 'specmaskgit-cli[torch]'") from None


def _preset(name: str):
    from ..config import PRESETS

    if name not in PRESETS:
        raise SmgError(f"--preset {name}: choose from {', '.join(PRESETS)}")
    return PRESETS[name]


def _open(data: list[Path], config):
    """(configuration, training clips, validation clips)."""
    from ..training.data import open_cache

    train, val = open_cache(data, config.mel, report=_report)
    _report(f"{len(train.clips)} clips to train on, {len(val.clips)} to validate on")
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


def _train(stage, output: Path) -> None:
    from ..training.loop import train

    train(stage, output, report=_report)


def _report(text: str) -> None:
    typer.echo(text, err=True)
