"""Weights of training runs in few, small files, for machines that give back little.

Matrices of the generator are kept in 8 bits with a scale for each row, everything else in half precision; statistics
that only training needs are left out where they can be computed again.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..durable import put, usual_rights
from ..errors import SmgError

PART_BYTES = 15_500_000  # of a file, at most
SCALE = "|scale"  # after the name of a matrix in 8 bits
EIGHT_BITS = ("generator",)  # stages whose matrices are
DERIVED = ("sums",)  # of a tokenizer: codebooks times counts
DOCUMENTS = ("config.json", "options.json", "metrics.jsonl")


def export_run(run: Path, folder: Path) -> list[Path]:
    """Write the averaged weights of a run and its documents as STAGE.1.safetensors, STAGE.2.safetensors, ...

    Each file appears under its name when it is whole. Returns the files.

    Raises:
        SmgError: the run has saved nothing yet.
    """
    if not (run / "model.safetensors").exists():
        raise SmgError(f"{run}: no model.safetensors; has this run saved yet?")
    documents = {name: (run / name).read_text() for name in DOCUMENTS if (run / name).exists()}
    stage = json.loads(documents["options.json"])["stage"]
    tensors = _packed(load_file(run / "model.safetensors"), stage in EIGHT_BITS)
    parts: list[dict[str, Tensor]] = [{}]
    room = PART_BYTES
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        if size > room and parts[-1]:
            parts.append({})
            room = PART_BYTES
        parts[-1][name] = tensor
        room -= size
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index, part in enumerate(parts, 1):
        path = folder / f"{stage}.{index}.safetensors"
        building = folder / f".{path.name}"
        save_file(part, building, {"of": str(len(parts)), **(documents if index == 1 else {})})
        usual_rights(building)
        put(building, path)
        files.append(path)
    return files


def import_runs(folder: Path, runs: Path) -> dict[str, Path]:
    """Make run directories of all that `export_run` wrote into a folder: {stage: directory}.

    They can be packed, refined and evaluated like any finished run, but not resumed in the middle.

    Raises:
        SmgError: a file is missing, or there is none.
    """
    found: dict[str, dict[int, Path]] = {}
    for path in folder.glob("*.safetensors"):
        if match := re.fullmatch(r"([a-z]+)\.(\d+)\.safetensors", path.name):
            found.setdefault(match[1], {})[int(match[2])] = path
    if not found:
        raise SmgError(f"{folder}: holds no exported run, such as tokenizer.1.safetensors")
    made = {}
    for stage, files in found.items():
        if 1 not in files:
            raise SmgError(f"{folder}: {stage}.1.safetensors is missing")
        with safe_open(files[1], "pt") as first:
            about = first.metadata()
        missing = [i for i in range(1, int(about["of"]) + 1) if i not in files]
        if missing:
            raise SmgError(f"{folder}: {stage}.{missing[0]}.safetensors is missing")
        tensors = {}
        for index in range(1, int(about["of"]) + 1):
            tensors |= load_file(files[index])
        run = runs / stage
        run.mkdir(parents=True, exist_ok=True)
        for name in DOCUMENTS:
            if name in about:
                (run / name).write_text(about[name])
        save_file(_unpacked(tensors), run / "model.safetensors")
        usual_rights(run / "model.safetensors")
        made[stage] = run
    return made


def _packed(tensors: dict[str, Tensor], eight_bits: bool) -> dict[str, Tensor]:
    packed = {}
    for name, tensor in tensors.items():
        if name in DERIVED:
            continue
        if eight_bits and tensor.ndim == 2 and tensor.is_floating_point() and min(tensor.shape) > 1:
            scale = tensor.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
            packed[name] = (tensor / scale).round().to(torch.int8)
            packed[name + SCALE] = scale
        else:
            packed[name] = tensor.half() if tensor.is_floating_point() else tensor
    return {name: tensor.contiguous() for name, tensor in packed.items()}


def _unpacked(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    made = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE):
            continue
        scale = tensors.get(name + SCALE)
        if scale is not None:
            made[name] = tensor.float() * scale
        else:
            made[name] = tensor.float() if tensor.is_floating_point() else tensor
    if "counts" in made:
        made["sums"] = made["tokenizer.quantizer.codebooks"] * made["counts"][..., None]
    return {name: tensor.contiguous() for name, tensor in made.items()}
