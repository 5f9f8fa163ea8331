"""`smg convert`: published models into this program's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import SmgError
from ..terminal import say
from . import common
from .report import print_json


def convert(
    source: Annotated[str, typer.Argument(help="A directory, a file of weights, or owner/name on the Hub.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Directory to make.")],
    int8: Annotated[bool, typer.Option(help="Quantise a text encoder: a quarter of the size.")] = True,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Convert a published vocoder, text encoder or CLAP for use with this program.

    HiFi-GAN and BigVGAN generators of the same mels go with --vocoder and into `smg train pack`; a CLAP without fusion
    or a sentence encoder of the MiniLM kind is for training a model, with --embedder and --text-encoder.

    Example: smg convert nvidia/bigvgan_base_22khz_80band -o bigvgan
    """
    try:
        import onnxscript  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        raise SmgError("converting needs PyTorch: pip install '.[torch]' in a checkout of smg") from None
    from ..convert import convert as run

    found = run(source, output, int8)
    if as_json:
        print_json("convert", {"directory": str(output), "weights": str(found.weights), "kind": found.kind})
    elif not quiet:
        say(f"{found.weights} is a {found.kind}", error=True)
        say(output)
