"""`smg models`: which models there are, what they say about themselves, and whether they are whole."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from ..errors import SmgError

Model = Annotated[
    str | None,
    typer.Argument(help="default, a directory, or owner/name on the Hub.", metavar="[MODEL]", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Report as JSON.")]


app = typer.Typer(help="List, show and verify models.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models on this computer."""
    from ..checkpoint import registry

    try:
        found = [(registry.DEFAULT, registry.shipped())]
    except SmgError:
        found = []
    found += registry.cached()
    if as_json:
        print(json.dumps({"models": [{"name": name, "directory": str(path)} for name, path in found]}, indent=2))
        return
    for name, path in found:
        print(f"{name}  {path}")


@app.command()
def show(model: Model = None, as_json: AsJson = False) -> None:
    """Show the model card and the sounds a model knows."""
    from ..checkpoint import card, resolve
    from ..config import to_dict

    checkpoint = resolve(model)
    text, sounds = card.read_card(checkpoint), card.known_sounds(checkpoint)
    if as_json:
        document = {
            "directory": str(checkpoint.directory),
            "hash": checkpoint.hash,
            "config": to_dict(checkpoint.config),
            "known_sounds": sounds,
            "card": text,
        }
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return
    config = checkpoint.config
    print(f"{config.name} {config.version}  {checkpoint.hash}  {checkpoint.directory}")
    if text:
        print(f"\n{text}")
    if sounds:
        print(f"\nKnown sounds ({len(sounds)}): {', '.join(sounds)}")


@app.command()
def verify(model: Model = None, as_json: AsJson = False) -> None:
    """Check every file of a model against its checksum."""
    from ..checkpoint import load_checkpoint, registry
    from ..checkpoint.layout import inspect_files

    directory = registry.find(model)
    states = inspect_files(directory)
    if as_json:
        print(json.dumps({"directory": str(directory), "files": states}, indent=2))
    else:
        for name, state in states.items():
            print(f"{state:<10}  {name}")
    bad = [name for name, state in states.items() if state not in ("ok", "not listed")]
    if bad:
        raise SmgError(f"{directory}: {len(bad)} of {len(states)} files damaged; pull or pack it again")
    load_checkpoint(directory)  # whole, and understood by this version
