"""Training runs to a checkpoint directory."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file as save_arrays
from torch import nn

from ..checkpoint.building import check_free, new_checkpoint
from ..checkpoint.layout import write_config
from ..config.limits import check_config
from ..config.settings import CheckpointConfig, differing
from ..data.captions import paraphrases
from ..data.clips import ClipCache
from ..durable import usual_rights
from ..errors import SmgError
from ..export.graphs import as_stored, share, write_network
from ..models.parts import NETWORKS, TEXT_FILES
from ..runtime.text import TextEncoder
from .bank import make_bank, write_bank
from .converted import copy_part, is_converted, part_of
from .generator import projection
from .loop import load_run, run_config


def pack(
    runs: list[Path], text_files: Path, output: Path, *, name: str = "custom", version: str = "1", license: str = "",
    training_data: str = "", clips: ClipCache | None = None, documents: dict[str, str] | None = None, report=print,
) -> None:  # fmt: skip
    """Write a checkpoint directory from one run of each stage.

    Args:
        runs: run directories, in any order, of which some may be converted; tokenizer and generator are needed. Without
            a vocoder the checkpoint uses Griffin-Lim, without an envelope or an embedder it has none.
        text_files: directory with onnx/text_encoder.onnx and text/tokenizer.json.
        clips: training clips, from which the list of known sounds and their styles are made.
        documents: texts to write beside the model by file name, such as the model card README.md.

    Raises:
        SmgError: a needed run is missing, two runs are of one stage, they do not fit each other, or the output exists.
    """
    check_free(output)
    found = _by_stage(runs)
    config = _merge_configs(found, name, version, license, training_data)
    with new_checkpoint(output) as building:
        _write(building, config, found, text_files, clips, report)
        for file, text in (documents or {}).items():
            (building / file).write_text(text, encoding="utf-8")


def _by_stage(runs: list[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for run in runs:
        if is_converted(run):
            stage, _ = part_of(run)
        else:
            run_config(run)
            stage = json.loads((run / "options.json").read_text())["stage"]
        if stage in found:
            raise SmgError(f"{run} and {found[stage]}: both are of the stage {stage}; name one")
        found[stage] = run
    for stage, network in NETWORKS.items():
        if network.needed and stage not in found:
            raise SmgError(f"a checkpoint needs a {stage} run; add its directory")
    return found


def _merge_configs(found: dict[str, Path], name, version, license, training_data) -> CheckpointConfig:
    configs = {stage: run_config(run) for stage, run in found.items()}
    base, tokenizer = configs["generator"], configs["tokenizer"].tokenizer
    base = replace(base, tokenizer=replace(base.tokenizer, texture_layers=tokenizer.texture_layers))  # may be refined
    if tokenizer != base.tokenizer or configs["tokenizer"].mel != base.mel:
        raise SmgError(f"{found['generator']}: was trained on another tokenizer than {found['tokenizer']}")
    for stage, network in NETWORKS.items():
        if network.needed:
            continue
        if stage not in configs:
            base = replace(base, **{stage: network.without(getattr(base, stage))})
            continue
        own_front_end = stage == "embedder" and configs[stage].embedder.kind == "clap"
        if not own_front_end and (other := differing(configs[stage].mel, base.mel)):
            raise SmgError(f"{found[stage]}: was made for other mels than {found['generator']}: {other}")
        base = replace(base, **{stage: getattr(configs[stage], stage)})
    merged = replace(base, name=name, version=version, license=license, training_data=training_data)
    check_config(merged, "the parts do not fit each other")
    return merged


def _write(folder: Path, config: CheckpointConfig, found, text_files: Path, clips, report) -> None:
    models: dict[str, nn.Module] = {}
    for stage, network in NETWORKS.items():
        if stage in found and is_converted(found[stage]):
            copy_part(found[stage], folder)
            report(f"{stage} copied")
        elif stage in found:
            models[stage] = as_stored(load_run(found[stage], network.build(config), network.trained_as))
            share(network, models)
            write_network(network, models[stage], config, folder)
            report(f"{stage} packed")
    (folder / "text").mkdir()
    for file in TEXT_FILES:
        shutil.copy(text_files / file, folder / file)
    if clips:
        files = (folder / file for file in TEXT_FILES)
        names, embeddings = known_sounds(clips.clips, TextEncoder(*files, config.embedder.max_text_tokens))
        write_known_sounds(folder, names, embeddings)
        if styles := projection(models["generator"]):
            embed_audio = on_arrays(models["embedder"]) if "embedder" in models else None
            bank = make_bank(clips, config, styles, labels_of(clips.clips), embeddings, embed_audio)
            write_bank(folder, bank)
            report(f"{len(bank.sounds)} styles packed")
    write_config(config, folder)


def on_arrays(tower: nn.Module):
    """An audio tower as a function of arrays."""

    def embed_audio(mel: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return tower(torch.from_numpy(mel)).numpy()

    return embed_audio


def labels_of(clips) -> list[str]:
    """Labels, most frequent first."""
    return [label for label, _ in Counter(clip.label for clip in clips).most_common()]


def known_sounds(clips, embed_text) -> tuple[list[str], np.ndarray]:
    """Names of `labels_of` clips, and the mean embedding of each one's wordings [labels, D]."""
    captions: dict[str, Counter] = {}
    for clip in clips:
        captions.setdefault(clip.label, Counter())[clip.caption] += 1
    labels, means = labels_of(clips), []
    for label in labels:
        wordings = [w for caption, _ in captions[label].most_common(3) for w in paraphrases(caption, label, 6)]
        mean = embed_text(wordings).mean(0)
        means.append(mean / np.linalg.norm(mean))
    return [label.replace("_", " ") for label in labels], np.stack(means)


def write_known_sounds(folder: Path, names: list[str], embeddings: np.ndarray) -> None:
    """known_sounds.json and known_sounds.safetensors of a checkpoint."""
    (folder / "known_sounds.json").write_text(json.dumps(names, indent=0) + "\n", encoding="utf-8")
    path = folder / "known_sounds.safetensors"
    save_arrays({"embeddings": embeddings.astype(np.float16)}, path)
    usual_rights(path)
