"""Checkpoints of a preset's size with random weights: what a model of that size costs, before anyone has trained it.

`python -m specmaskgit_cli.benchmark.untrained paper DIRECTORY` writes one.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from ..checkpoint import resolve
from ..checkpoint.layout import Checkpoint, write_config
from ..config.settings import PRESETS, EnvelopeConfig
from ..errors import UsageError


def write_untrained(preset: str, text: Checkpoint, output: Path) -> None:
    """Write a checkpoint of random weights, with the text encoder of another. It needs torch, and takes a minute or
    two a hundred million parameters.

    Raises:
        UsageError: no such preset.
        SmgError: something is at `output`.
    """
    if preset not in PRESETS:
        raise UsageError(f"unknown preset {preset!r}; use one of {', '.join(PRESETS)}")
    import torch

    from ..export.graphs import as_stored, export_generator, export_tokenizer, export_vocoder, save_half
    from ..models.generator import Generator
    from ..models.vocoders import build_vocoder
    from ..training.pack import new_checkpoint
    from ..training.tokenizer import new_tokenizer

    config, dim = PRESETS[preset], text.config.embedder.dim
    config = replace(
        config, name=f"untrained {preset}", embedder=replace(config.embedder, dim=dim),
        generator=replace(config.generator, condition_dim=dim, style_dims=0),
        envelope=EnvelopeConfig(),
    )  # fmt: skip
    torch.manual_seed(0)
    with new_checkpoint(output) as folder:
        tokenizer = as_stored(new_tokenizer(config).tokenizer)
        save_half(tokenizer, folder / "tokenizer.safetensors")
        export_tokenizer(tokenizer, config, folder / "onnx")
        generator = as_stored(Generator(config.generator, config.tokenizer, config.rows))
        generator.codebooks.copy_(tokenizer.quantizer.codebooks)
        save_half(generator, folder / "generator.safetensors", skip={"codebooks"})
        export_generator(generator, config, folder / "onnx", features=False)
        if config.vocoder.kind != "griffin-lim":
            vocoder = as_stored(build_vocoder(config.vocoder, config.mel))
            save_half(vocoder, folder / "vocoder.safetensors")
            export_vocoder(vocoder, config, folder / "onnx")
        (folder / "text").mkdir()
        for file in ("onnx/text_encoder.onnx", "text/tokenizer.json"):
            (folder / file).write_bytes(text.path(file).read_bytes())
        write_config(config, folder)


if __name__ == "__main__":
    write_untrained(sys.argv[1], resolve(None), Path(sys.argv[2]))
