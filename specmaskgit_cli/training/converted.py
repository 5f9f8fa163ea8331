"""Parts of a model that are not trained here but converted: vocoders and CLAPs, as `smg convert` writes them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checkpoint.layout import SUMS, Checkpoint, load_checkpoint
from ..config.settings import CheckpointConfig
from ..errors import SmgError
from ..models.parts import NETWORKS, parts_of
from ..runtime.onnx import OnnxRuntime
from ..threads import allowed_threads


class ClapTower(nn.Module):
    """The audio side of a converted CLAP in the place of an audio tower; on ONNX Runtime, whatever the device."""

    def __init__(self, directory: Path, config: CheckpointConfig):
        """`config`: of the generator that is to be trained, whose mels it hears."""
        super().__init__()
        checkpoint = load_checkpoint(directory)
        self.fingerprint = checkpoint.hash
        checkpoint = replace(checkpoint, config=replace(checkpoint.config, mel=config.mel))
        self.runtime = OnnxRuntime(checkpoint, allowed_threads())

    def forward(self, mel: Tensor) -> Tensor:
        """Natural-log mel [B, n_mels, frames] to unit vectors [B, dim]."""
        return torch.from_numpy(self.runtime.embed_audio(mel.float().cpu().numpy())).to(mel.device)


def is_converted(directory: Path) -> bool:
    """Whether a directory is a checkpoint, not a training run."""
    return (directory / SUMS).is_file()


def clap_among(directories: Iterable[Path | None]) -> Path | None:
    """The first of the directories that is a checkpoint with a CLAP, whose text encoder goes with it."""
    found = (path for path in directories if path and is_converted(path))
    return next((path for path in found if load_checkpoint(path).config.embedder.kind == "clap"), None)


def part_of(directory: Path) -> tuple[str, Checkpoint]:
    """The stage that a converted part takes the place of, and its checkpoint.

    Raises:
        SmgError: it is no converted vocoder or CLAP.
    """
    checkpoint = load_checkpoint(directory)
    stages = [stage for stage, network in NETWORKS.items() if network.weights in checkpoint]
    if len(stages) != 1 or NETWORKS[stages[0]].needed:
        raise SmgError(f"{directory}: neither a training run nor a converted vocoder or CLAP; name such a directory")
    return stages[0], checkpoint


def copy_part(directory: Path, folder: Path) -> None:
    """Copy a converted part's files, each checked, into a checkpoint that is being made."""
    stage, checkpoint = part_of(directory)
    network = NETWORKS[stage]
    for file in (network.weights, *(file for part in parts_of(network) for file in (part.file, part.names))):
        shutil.copyfile(checkpoint.path(file), folder / file)
