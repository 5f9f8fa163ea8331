"""What the commands that make sounds have in common: their options, the checks of their targets and their report."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..errors import SmgError, UsageError
from .player import play as play_file
from .progress import progress_bar

Input = Annotated[str, typer.Argument(metavar="IN", help="Sound file to edit; it is only read.", show_default=False)]
Output = Annotated[
    str, typer.Option("--output", "-o", help="File to write: .wav, .flac, .ogg, .opus, .mp3; - is standard output.")
]
Prompt = Annotated[
    str | None, typer.Option(metavar="TEXT", help="What the new part should be; by default what fits the sound.")
]
Seed = Annotated[int | None, typer.Option(help="Same seed, same sound; drawn if not given.")]
Num = Annotated[int, typer.Option("--num", "-n", help="Sounds to make, with seeds counting up.")]
Steps = Annotated[int, typer.Option(help="Decoding steps.")]
Guidance = Annotated[float, typer.Option(help="How closely to follow the prompt; 0 is fastest.")]
Temperature = Annotated[float, typer.Option(help="Variety of the sampling.")]
TopP = Annotated[float, typer.Option(help="Share of the probability to sample from.")]
Order = Annotated[str, typer.Option(help="Decoding order: confidence, halton, random or raster.")]
Negative = Annotated[str | None, typer.Option(metavar="TEXT", help="What not to hear.")]
Model = Annotated[str | None, typer.Option(metavar="NAME", help="default, a directory, or owner/name on the Hub.")]
Vocoder = Annotated[str | None, typer.Option(metavar="NAME", help="griffin-lim, or a model whose vocoder to use.")]
Backend = Annotated[str, typer.Option(help="auto, onnx or torch.")]
Device = Annotated[str, typer.Option(help="Where torch runs, such as cpu or cuda.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; all that are available if not given.")]
Lufs = Annotated[
    float | None, typer.Option(metavar="LUFS", help="Loudness to bring it to, such as -16; peaks stay below -1 dBTP.")
]
NoNormalize = Annotated[bool, typer.Option("--no-normalize", help="Keep the level the model gave it.")]
Trim = Annotated[bool, typer.Option("--trim", help="Cut the silence at both ends.")]
Bits = Annotated[str | None, typer.Option(metavar="16|24|32f", help="How to store samples in WAV and FLAC.")]
Rate = Annotated[int | None, typer.Option(metavar="HZ", help="Resample, such as to 44100 or 48000.")]
Channels = Annotated[int | None, typer.Option(metavar="1|2", help="Mix to mono, or make two channels of one.")]
NoMetadata = Annotated[bool, typer.Option("--no-metadata", help="Do not store in the file how it was made.")]
Image = Annotated[str | None, typer.Option(metavar="FILE", help="Also draw the spectrogram as PNG.")]
Play = Annotated[bool, typer.Option("--play", help="Then play it, with the first player found.")]
AsJson = Annotated[bool, typer.Option("--json", help="Report as JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")]


def make_sounds(
    options,
    output: str,
    *,
    finish,
    model: str | None,
    vocoder: str | None,
    backend: str,
    device: str,
    threads: int | None,
    image: str | None,
    play: bool,
    as_json: bool,
    quiet: bool,
    label: str,
    nothing: str = "",
    original: str | None = None,
) -> None:
    """Run a task from its options to its files and its report.

    Args:
        options: a SamplingOptions; its type says which task it is.
        finish: an OutputOptions.
        play: whether to play the files once all are written.
        label: of the progress bar.
        nothing: what to say where the task finds nothing to do.
        original: a file that should come out the same; the report says whether it did.

    Raises:
        SmgError: a file that cannot be written or would replace one that is read, or what the task itself raises.
    """
    from ..options import EditOptions
    from ..record import check_size

    started = time.perf_counter()
    if as_json and output == "-":
        raise UsageError("--json and -o - both need standard output; give the sound a file name")
    if play and output == "-":
        raise UsageError("--play needs a file to play; give the sound a file name instead of -")
    files = numbered(output, options.num)
    images = numbered(image, options.num) if image else [None] * options.num
    edits = isinstance(options, EditOptions)
    read = {"input sound": options.input} if edits else {"--like sound": options.like}
    _check_targets(files, images, read | {"replayed sound": original}, finish)
    finish.check(options)
    if finish.metadata:
        check_size(options)

    from ..pipeline import load

    with progress_bar("downloading", quiet) as progress:
        pipe = load(model, backend, device, threads, vocoder, progress)
    loaded = time.perf_counter()
    with progress_bar(label, quiet) as progress:
        sounds = (pipe.edit_many if edits else pipe.generate_many)(options, progress)
    # An edit may find nothing to do, and then writes nothing.
    made = [
        (sound.save(file, picture, finish), file, picture)
        for sound, file, picture in zip(sounds, files, images, strict=False)
    ]

    for warning in dict.fromkeys(warning for sound, *_ in made for warning in sound.warnings):
        if not quiet:
            print("smg: warning:", warning, file=sys.stderr)
    if not sounds and not quiet:
        print(f"smg: {nothing}", file=sys.stderr)
    reports = [_report(*result, original) for result in made]
    if as_json:
        checkpoint = pipe.checkpoint
        document = {
            "model": checkpoint.config.name,
            "model_hash": checkpoint.hash,
            "model_commit": checkpoint.commit,
            "backend": pipe.runtime.backend,
            "load_seconds": round(loaded - started, 3),
            "total_seconds": round(time.perf_counter() - started, 3),
            "sounds": reports,
        }
        print(json.dumps(document, indent=2, ensure_ascii=False))
    elif not quiet:
        for report in reports:
            print(_line(report), file=sys.stderr if output == "-" else sys.stdout)
    for _, file, _ in made if play else ():
        play_file(file)


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


def _check_targets(files: Sequence[str], images: Sequence[str | None], read: dict[str, str | None], finish) -> None:
    """Refuse before any work what could not be written, or would replace what is still needed."""
    from ..audio.files import check_output, check_writable

    pictures = [name for name in images if name]
    for name in files:
        check_output(name, bits=finish.bits, rate=finish.rate)
    for name in pictures:
        if Path(name).suffix.lower() != ".png":
            raise UsageError(f"--image is {name!r}; end the name in .png")
        check_writable(name)
    for name in [*files, *pictures]:
        for what, path in read.items():
            if path and name != "-" and same_file(name, path):
                raise SmgError(f"{name} is the {what} itself; choose another output")


def same_file(name: str, path: str) -> bool:
    if Path(name).exists() and Path(path).exists():
        return Path(name).samefile(path)
    return Path(name).resolve() == Path(path).resolve()


def _report(sound, file: str, picture: str | None, original: str | None) -> dict:
    from ..audio.files import same_samples

    options = sound.options.to_dict()
    del options["num"]
    seconds = len(sound.samples) / sound.rate
    identical = {} if original is None else {"identical": same_samples(file, original)}
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
        **identical,
    }


def _line(report: dict) -> str:
    speed = 1 / max(report["real_time_factor"], 1e-4)
    score = "" if report["score"] is None else f"  score {report['score']:.3f}"
    same = {True: "  identical", False: "  not identical"}.get(report.get("identical"), "")
    return (
        f"{report['file']}  {report['seconds']:.2f} s  seed {report['seed']}  "
        f"{report['seconds_taken']:.2f} s ({speed:.3g}x real time){score}{same}"
    )
