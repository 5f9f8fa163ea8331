"""`smg replay`: a sound made again from what its file tells."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from ..errors import SmgError
from ..terminal import say
from . import common
from .output_files import OutputFiles
from .run_tasks import Session, make_sounds

LONGEST = 60.0  # seconds: a file may come from anyone, and ask for weeks of work


def replay(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Sound file; it is only read.", show_default=False)],
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="File to write; FILE.replay.wav or the like if not given.")
    ] = None,
    input: Annotated[
        str | None, typer.Option(metavar="FILE", help="Where the edited sound, or the one of --like, lies now.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Make it even if that takes longer than a minute.")] = False,
    no_metadata: common.NoMetadata = False,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Found by its hash if not given.")] = None,
    vocoder: common.Vocoder = None,
    backend: Annotated[str, typer.Option(help="onnx or torch; auto is the one the file was made with.")] = "auto",
    device: common.Device = "cpu",
    threads: common.Threads = None,
    image: common.Image = None,
    play: common.Play = False,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Make a sound again, sample by sample, from the metadata of its file.

    Example: smg replay dog.wav -o again.wav
    """
    from ..sounds.record import read_record

    if (record := read_record(file)) is None:
        raise SmgError(f"{file} does not tell how it was made; only files that smg wrote can be replayed")
    path = Path(file)
    warnings = []
    options = _with_input(record, input, warnings)
    model, vocoder = _models(record.origin, model, vocoder, warnings)
    backend = _backend(record.origin, backend, warnings)
    if record.origin.version != __version__:
        warnings.append(f"it was made by smg {record.origin.version!r}, and this is {__version__}")
    for warning in warnings if not quiet else ():
        say(f"smg: warning: {file}: {warning}; the sound may differ", error=True)
    output = output or str(path.with_name(f"{path.stem}.replay{path.suffix}"))
    session = Session(
        model=model, vocoder=vocoder, backend=backend, device=device, threads=threads, play=play, as_json=as_json,
        quiet=quiet,
    )  # fmt: skip
    files = OutputFiles.in_turn([options], output, image)
    made = replace(record.output, metadata=not no_metadata)
    longest = None if yes else LONGEST
    make_sounds("replay", [options], files, made, session, label="replaying", original=file, longest=longest)


def _with_input(record, named: str | None, warnings: list[str]):
    """The options, and in them the file to read: the one recorded if it is as it was, or the one that was named."""
    from ..sounds.record import sha256

    if record.input is None:
        if named is not None:
            raise SmgError("this sound was made without another one; leave out --input")
        return record.options
    if named is None and record.input.replace("\\", "/").startswith("//"):
        # Looking at a share would tell its server that the file was opened, and on Windows by whom.
        raise SmgError(f"its input {record.input!r} lies on the network; name it with --input")
    path = named or record.input
    if (found := sha256(path)) is None:
        raise SmgError(f"its input {path!r} is gone or cannot be read; name it with --input")
    if found != record.origin.input_sha256:
        if named is None:
            raise SmgError(f"its input {path!r} has changed since; name one with --input")
        warnings.append(f"its input was another than {path!r}")
    return record.options.with_source(path)


def _models(origin, model: str | None, vocoder: str | None, warnings: list[str]) -> tuple[str | None, str | None]:
    """What to open model and vocoder by; None is the usual model, or the model's own vocoder.

    A file may come from anyone: no name and no directory that it tells is opened or downloaded. Its hashes alone are
    looked for, among the models of this computer.
    """
    from ..checkpoint.registry import find
    from ..config.settings import GRIFFIN_LIM

    if model is None and _hash(find(None)) != origin.model_hash:
        model = _local(origin.model_hash)
    if (found := _hash(find(model))) != origin.model_hash:
        warnings.append(
            f"it was made with model {origin.model!r} ({origin.model_hash!r}) from {origin.source!r}, and this is "
            f"{found}; --model names another"
        )
    if vocoder is None and origin.vocoder is not None:
        vocoder = GRIFFIN_LIM if origin.vocoder == GRIFFIN_LIM else _local(origin.vocoder_hash)
    if vocoder == GRIFFIN_LIM or vocoder is None:
        same = vocoder == origin.vocoder
    else:
        same = _hash(find(vocoder)) == origin.vocoder_hash
    if not same:
        warnings.append(f"it was made with the vocoder of {origin.vocoder or 'the model itself'!r}")
    return model, vocoder


def _local(wanted: str | None) -> str | None:
    """The directory of a model with a hash: the usual one, the shipped one, or one that was downloaded; else None."""
    from ..checkpoint.registry import find, local

    known = [find(None), *(directory for _, directory in local())]
    return next((str(directory) for directory in known if wanted is not None and _hash(directory) == wanted), None)


def _hash(directory) -> str | None:
    from ..checkpoint import load_checkpoint

    if not os.path.isdir(directory):
        return None
    try:
        return load_checkpoint(directory).hash
    except SmgError:
        return None


def _backend(origin, backend: str, warnings: list[str]) -> str:
    from importlib.util import find_spec

    if backend == "auto":
        backend = "torch" if origin.backend == "torch" and find_spec("torch") else "onnx"
    if backend != origin.backend:
        warnings.append(f"it was made with backend {origin.backend!r}, and this is {backend}")
    return backend
