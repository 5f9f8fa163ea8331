"""`smg generate`: a prompt to sound files."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from ..errors import SmgError, UsageError
from ..options import GenerateOptions
from .progress import progress_bar


def generate(
    output: Annotated[
        str, typer.Option("--output", "-o", help="File to write: .wav, .flac, .ogg, .opus, .mp3; - is standard output.")
    ],
    prompt: Annotated[str | None, typer.Argument(metavar="PROMPT", help="What to hear.", show_default=False)] = None,
    seconds: Annotated[float, typer.Option("--seconds", "-s", help="Length of the sound.")] = 10.0,
    seed: Annotated[int | None, typer.Option(help="Same seed, same sound; drawn if not given.")] = None,
    num: Annotated[int, typer.Option("--num", "-n", help="Sounds to make, with seeds counting up.")] = 1,
    steps: Annotated[int, typer.Option(help="Decoding steps.")] = 16,
    guidance: Annotated[float, typer.Option(help="How closely to follow the prompt; 0 is fastest.")] = 3.0,
    temperature: Annotated[float, typer.Option(help="Variety of the sampling.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Share of the probability to sample from.")] = 1.0,
    order: Annotated[str, typer.Option(help="Decoding order: confidence, halton or random.")] = "confidence",
    negative: Annotated[str | None, typer.Option(metavar="TEXT", help="What not to hear.")] = None,
    like: Annotated[str | None, typer.Option(metavar="FILE", help="A sound to resemble.")] = None,
    like_weight: Annotated[float, typer.Option(help="Share of --like when there is a prompt too.")] = 0.5,
    candidates: Annotated[int, typer.Option(help="Sounds to make for each one kept, the best match.")] = 1,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="default, a directory, or owner/name on the Hub.")
    ] = None,
    vocoder: Annotated[
        str | None, typer.Option(metavar="NAME", help="griffin-lim, or a model whose vocoder to use.")
    ] = None,
    backend: Annotated[str, typer.Option(help="auto, onnx or torch.")] = "auto",
    device: Annotated[str, typer.Option(help="Where torch runs, such as cpu or cuda.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="CPU threads; all that are available if not given.")] = None,
    image: Annotated[str | None, typer.Option(metavar="FILE", help="Also draw the spectrogram as PNG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Report as JSON on standard output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")] = False,
) -> None:
    """Make a sound from a text.

    Example: smg generate "dog barking" -o out.wav
    """
    started = time.perf_counter()
    options = GenerateOptions(
        prompt=prompt, seconds=seconds, seed=seed, num=num, steps=steps, guidance=guidance, temperature=temperature,
        top_p=top_p, order=order, negative=negative, like=like, like_weight=like_weight, candidates=candidates,
    )  # fmt: skip
    if as_json and output == "-":
        raise UsageError("--json and -o - both need standard output; give the sound a file name")
    files = numbered(output, num)
    images = numbered(image, num) if image else [None] * num
    _check_targets(files, images, like)

    from ..pipeline import load

    pipe = load(model, backend, device, threads, vocoder)
    loaded = time.perf_counter()
    with progress_bar("generating", quiet) as progress:
        sounds = pipe.generate_many(options, progress)
    for sound, file, picture in zip(sounds, files, images, strict=True):
        sound.save(file, image=picture)

    for warning in dict.fromkeys(warning for sound in sounds for warning in sound.warnings):
        if not quiet:
            print("smg: warning:", warning, file=sys.stderr)
    reports = [_report(*pair) for pair in zip(sounds, files, images, strict=True)]
    if as_json:
        checkpoint = pipe.checkpoint
        document = {
            "model": checkpoint.config.name,
            "model_hash": checkpoint.hash,
            "backend": pipe.runtime.backend,
            "load_seconds": round(loaded - started, 3),
            "total_seconds": round(time.perf_counter() - started, 3),
            "sounds": reports,
        }
        print(json.dumps(document, indent=2, ensure_ascii=False))
    elif not quiet:
        for report in reports:
            print(_line(report), file=sys.stderr if output == "-" else sys.stdout)


def numbered(name: str, num: int) -> list[str]:
    """File names for `num` results: `name` itself for one, else out.wav -> out-1.wav, out-2.wav...

    Raises:
        UsageError: several results cannot share standard output.
    """
    if num == 1:
        return [name]
    if name == "-":
        raise UsageError(f"-o - holds one sound, not {num}; give a file name")
    path = Path(name)
    return [str(path.with_name(f"{path.stem}-{index}{path.suffix}")) for index in range(1, num + 1)]


def _check_targets(files: list[str], images: list[str | None], like: str | None) -> None:
    """Refuse before any work what could not be written, or would replace what is still needed."""
    from ..audio.files import check_output, check_writable

    pictures = [name for name in images if name]
    for name in files:
        check_output(name)
    for name in pictures:
        if Path(name).suffix.lower() != ".png":
            raise UsageError(f"--image is {name!r}; end the name in .png")
        check_writable(name)
    for name in [*files, *pictures]:
        if like and name != "-" and Path(name).resolve() == Path(like).resolve():
            raise SmgError(f"{name} is the --like sound itself; choose another output")


def _report(sound, file: str, picture: str | None) -> dict:
    options = sound.options.to_dict()
    del options["num"]
    seconds = len(sound.samples) / sound.rate
    return options | {
        "file": file,
        "image": picture,
        "seconds": round(seconds, 6),
        "sample_rate": sound.rate,
        "seed": sound.seed,
        "score": None if sound.score is None else round(float(sound.score), 4),
        "seconds_taken": round(sound.seconds_taken, 3),
        "real_time_factor": round(sound.seconds_taken / seconds, 4),
        "warnings": list(sound.warnings),
    }


def _line(report: dict) -> str:
    speed = 1 / max(report["real_time_factor"], 1e-4)
    score = "" if report["score"] is None else f"  score {report['score']:.3f}"
    return (
        f"{report['file']}  {report['seconds']:.2f} s  seed {report['seed']}  "
        f"{report['seconds_taken']:.2f} s ({speed:.3g}x real time){score}"
    )
