"""`smg convert`: published models into this program's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import SmgError

app = typer.Typer(
    help="Convert published models into the layout of a checkpoint.", no_args_is_help=True, rich_markup_mode=None
)

Source = Annotated[Path, typer.Argument(help="What to convert.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="Directory to write.")]


@app.command()
def hifigan(source: Source, output: Output) -> None:
    """A HiFi-GAN generator (generator*.pth.tar, config.json beside it), for use with --vocoder."""
    _require_torch()
    from ..export.hifigan import convert_hifigan

    convert_hifigan(source, output)
    typer.echo(str(output))


@app.command()
def text_encoder(
    source: Source,
    output: Output,
    int8: Annotated[bool, typer.Option(help="Quantise: a quarter of the size.")] = True,
) -> None:
    """A sentence encoder of the MiniLM kind (model.safetensors, config.json, tokenizer.json), for training."""
    _require_torch()
    from ..export.text import convert_text_encoder

    convert_text_encoder(source, output, int8)
    typer.echo(str(output))


def _require_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError:
        raise SmgError("converting needs PyTorch: pip install 'specmaskgit-cli[torch]'") from None
