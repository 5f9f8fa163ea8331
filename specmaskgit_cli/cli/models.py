"""`smg models`: which models there are, what they say about themselves, whether they are whole, and the Hub."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import SmgError, UsageError
from ..terminal import say
from . import common, complete
from .parameters import Commands
from .progress import progress_bar
from .report import print_json

Model = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]",
        help="default, a directory, or owner/name on the Hub.",
        show_default=False,
        autocompletion=complete.models,
    ),
]
Name = Annotated[
    str,
    typer.Argument(
        metavar="OWNER/NAME[@REVISION]", help="A model on the Hub.", show_default=False, autocompletion=complete.models
    ),
]

app = Commands(help="List, show, verify, pull, push and remove models.")


@app.command("list")
def list_models(as_json: common.AsJson = False) -> None:
    """List the models on this computer."""
    from ..checkpoint import registry

    found = registry.local()
    if as_json:
        print_json("models list", {"models": [{"name": name, "directory": str(path)} for name, path in found]})
        return
    for name, path in found:
        say(f"{name}  {path}")


@app.command()
def show(model: Model = None, as_json: common.AsJson = False, quiet: common.ReportOnly = False) -> None:
    """Show the model card and the sounds a model knows."""
    from ..checkpoint import card, resolve
    from ..config.settings import to_dict

    with progress_bar("downloading", quiet) as progress:
        checkpoint = resolve(model, progress)
    text, sounds = card.read_card(checkpoint), card.known_sounds(checkpoint)
    if as_json:
        document = {
            "directory": str(checkpoint.directory),
            "hash": checkpoint.hash,
            "commit": checkpoint.commit,
            "config": to_dict(checkpoint.config),
            "known_sounds": sounds,
            "card": text,
        }
        print_json("models show", document)
        return
    config = checkpoint.config
    say(f"{config.name} {config.version}  {checkpoint.hash}  {checkpoint.directory}")
    if text:
        say(f"\n{text}", lines=True)
    if sounds:
        say()
        say(f"Known sounds ({len(sounds)}): {', '.join(sounds)}")


@app.command()
def verify(model: Model = None, as_json: common.AsJson = False, quiet: common.Quiet = False) -> None:
    """Check every file of a model against its checksum."""
    from ..checkpoint import load_checkpoint, registry
    from ..checkpoint.layout import inspect_files

    with progress_bar("downloading", quiet) as progress:
        directory = registry.find(model, progress)
    states = inspect_files(directory)
    if as_json:
        print_json("models verify", {"directory": str(directory), "files": states})
    elif not quiet:
        for name, state in states.items():
            say(f"{state:<10}  {name}")
    bad = [name for name, state in states.items() if state not in ("ok", "not listed")]
    if bad:
        raise SmgError(f"{directory}: {len(bad)} of {len(states)} files damaged; pull or pack it again")
    load_checkpoint(directory)  # whole, and understood by this version


@app.command()
def pull(name: Name, as_json: common.AsJson = False, quiet: common.Quiet = False) -> None:
    """Download a model from the Hub, or bring it up to date, and check every file."""
    from ..checkpoint import load_checkpoint
    from ..checkpoint.hub import names as hub

    model = _hub_name(name)
    with progress_bar("downloading", quiet) as progress:
        directory = hub.pull(model, progress)
    checkpoint = load_checkpoint(directory)  # understood by this version
    if as_json:
        document = {"model": model.repo, "commit": checkpoint.commit, "hash": checkpoint.hash}
        print_json("models pull", document | {"directory": str(directory)})
    elif not quiet:
        say(f"{model.repo}@{checkpoint.commit}  {directory}")


@app.command()
def push(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A checkpoint directory.", show_default=False)],
    name: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Where on the Hub.", show_default=False)],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    message: Annotated[str | None, typer.Option(metavar="TEXT", help="What has changed.")] = None,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Upload a checkpoint to the Hub, with its model card."""
    from ..checkpoint.hub import upload as publish

    model = _hub_name(name)
    commit = publish.push(directory, model, private, message, show_progress=not quiet and sys.stderr.isatty())
    if as_json:
        print_json("models push", {"model": model.repo, "commit": commit})
    elif not quiet:
        say(f"{model.repo}@{commit}")


@app.command()
def remove(name: Name, as_json: common.AsJson = False, quiet: common.Quiet = False) -> None:
    """Delete a downloaded model from this computer; with @REVISION only that one."""
    from ..checkpoint import registry
    from ..checkpoint.hub import names as hub

    if name == registry.DEFAULT:
        raise SmgError(f"the {name!r} model is part of the program and is not removed; uninstall the program for that")
    model = _hub_name(name)
    freed = hub.remove(model)
    if as_json:
        print_json("models remove", {"model": str(model), "bytes": freed})
    elif not quiet:
        say(f"removed {model}, {freed / 1e6:.1f} MB")


def _hub_name(name: str):
    from ..checkpoint.hub.names import HubName

    if model := HubName.parse(name):
        return model
    raise UsageError(f"{name!r} is not a name on the Hub; use owner/name or owner/name@revision")
