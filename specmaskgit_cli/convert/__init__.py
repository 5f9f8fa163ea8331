"""Published models into this program's layout: vocoders, text encoders and joint text-audio embedders."""

from __future__ import annotations

from pathlib import Path

from ..checkpoint.building import check_free, new_checkpoint
from .source import Source, open_source


def convert(source: str, output: Path, int8: bool = True) -> Source:
    """Convert a model to a checkpoint directory that has that part alone.

    Args:
        source: a file, a directory or "owner/name[@revision]", as `open_source` has it.
        int8: quantise a text encoder.

    Raises:
        SmgError: no such model, not one that can be converted or fits this program's mels, or the output exists.
    """
    check_free(output)
    found = open_source(source)
    with new_checkpoint(output) as folder:
        if found.kind == "clap":
            from .clap import convert_clap

            convert_clap(found, folder, int8)
        elif found.kind == "text-encoder":
            from .text import convert_text_encoder

            convert_text_encoder(found, folder, int8)
        else:
            from .vocoder import convert_vocoder

            convert_vocoder(found, folder)
    return found
