"""Checkpoints of a preset's size with random weights: what a model of that size costs, before anyone has trained it.

`python -m specmaskgit_cli.benchmark.untrained paper DIRECTORY` writes one.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from ..checkpoint import resolve
from ..checkpoint.building import new_checkpoint
from ..checkpoint.layout import Checkpoint, write_config
from ..config.presets import PRESETS
from ..config.settings import EnvelopeConfig
from ..errors import UsageError
from ..models.parts import NETWORKS, TEXT_FILES


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

    from ..export.graphs import as_stored, share, write_network

    config, dim = PRESETS[preset], text.config.embedder.dim
    config = replace(
        config, name=f"untrained {preset}", embedder=replace(config.embedder, dim=dim),
        generator=replace(config.generator, condition_dim=dim, style_dims=0),
        envelope=EnvelopeConfig(),
    )  # fmt: skip
    torch.manual_seed(0)
    with new_checkpoint(output) as folder:
        models = {}
        for section, network in NETWORKS.items():
            if network.present(config):
                models[section] = as_stored(network.build(config))
                share(network, models)
                write_network(network, models[section], config, folder, extra=False)
        (folder / "text").mkdir()
        for file in TEXT_FILES:
            (folder / file).write_bytes(text.path(file).read_bytes())
        write_config(config, folder)


if __name__ == "__main__":
    write_untrained(sys.argv[1], resolve(None), Path(sys.argv[2]))
