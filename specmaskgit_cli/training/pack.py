"""Training runs to a checkpoint directory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file as save_arrays

from ..checkpoint.layout import write_config, write_sums
from ..config.limits import check_config
from ..config.settings import CheckpointConfig, EnvelopeConfig, differing
from ..data.captions import paraphrases
from ..data.clips import ClipCache
from ..errors import SmgError
from ..export.graphs import (
    as_stored,
    export_audio_encoder,
    export_envelope,
    export_generator,
    export_tokenizer,
    export_vocoder,
    save_half,
)
from ..models.embedder import AudioTower
from ..models.envelope import EnvelopeEstimator
from ..models.generator import Generator
from ..models.vocoders import build_vocoder
from ..runtime.text import TextEncoder
from .bank import make_bank, write_bank
from .converted import copy_part, is_converted, part_of
from .generator import projection
from .loop import load_run, run_config
from .tokenizer import new_tokenizer


def pack(
    runs: list[Path], text_files: Path, output: Path, *, name: str = "custom", version: str = "1", license: str = "",
    training_data: str = "", clips: ClipCache | None = None, documents: dict[str, str] | None = None, report=print,
) -> None:  # fmt: skip
    """Write a checkpoint directory from one run of each stage.

    Args:
        runs: run directories, in any order; tokenizer and generator are needed, a vocoder is optional (without one
            the checkpoint uses Griffin-Lim), so are an embedder, which may be converted as well, and an envelope.
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


def check_free(output: Path) -> None:
    """Raise SmgError unless nothing, or an empty directory, is at `output`."""
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise SmgError(f"{output}: already exists; choose another -o or remove it")


@contextlib.contextmanager
def new_checkpoint(output: Path) -> Iterator[Path]:
    """Yield a directory to build a checkpoint in; with its SHA256SUMS it becomes `output` if the block ends well."""
    check_free(output)
    building = output.with_name(f".{output.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    (building / "onnx").mkdir(parents=True)
    try:
        yield building
        write_sums(building)
        if output.exists():
            output.rmdir()
        os.replace(building, output)
    finally:
        shutil.rmtree(building, ignore_errors=True)


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
    for needed in ("tokenizer", "generator"):
        if needed not in found:
            raise SmgError(f"a checkpoint needs a {needed} run; add its directory")
    return found


def _merge_configs(found: dict[str, Path], name, version, license, training_data) -> CheckpointConfig:
    configs = {stage: run_config(run) for stage, run in found.items()}
    base, tokenizer = configs["generator"], configs["tokenizer"].tokenizer
    base = replace(base, tokenizer=replace(base.tokenizer, texture_layers=tokenizer.texture_layers))  # may be refined
    if tokenizer != base.tokenizer or configs["tokenizer"].mel != base.mel:
        raise SmgError(f"{found['generator']}: was trained on another tokenizer than {found['tokenizer']}")
    if "embedder" in configs:
        base = replace(base, embedder=configs["embedder"].embedder)
    vocoder = configs["vocoder"].vocoder if "vocoder" in configs else replace(base.vocoder, kind="griffin-lim")
    envelope = configs["envelope"].envelope if "envelope" in configs else EnvelopeConfig()
    for stage in ("vocoder", "envelope"):
        if stage in configs and (other := differing(configs[stage].mel, base.mel)):
            raise SmgError(f"{found[stage]}: was made for other mels than {found['generator']}: {other}")
    base = replace(base, vocoder=vocoder, envelope=envelope)
    merged = replace(base, name=name, version=version, license=license, training_data=training_data)
    check_config(merged, "the parts do not fit each other")
    return merged


def _write(folder: Path, config: CheckpointConfig, found, text_files: Path, clips, report) -> None:
    trained = load_run(found["tokenizer"], new_tokenizer(config))
    tokenizer = as_stored(trained.tokenizer)
    save_half(tokenizer, folder / "tokenizer.safetensors")
    export_tokenizer(tokenizer, config, folder / "onnx")
    report("tokenizer packed")
    generator = as_stored(load_run(found["generator"], Generator(config.generator, config.tokenizer, config.rows)))
    generator.codebooks.copy_(tokenizer.quantizer.codebooks)
    save_half(generator, folder / "generator.safetensors", skip={"codebooks"})
    export_generator(generator, config, folder / "onnx")
    report("generator packed")
    for stage in ("embedder", "vocoder"):
        if stage in found and is_converted(found[stage]):
            copy_part(found[stage], folder)
            found = {name: run for name, run in found.items() if name != stage}
            report(f"{stage} copied")
    embed_audio = None
    if "embedder" in found:
        from .embedder import TrainableEmbedder

        tower = load_run(found["embedder"], TrainableEmbedder(AudioTower(config.embedder, config.mel))).tower
        save_half(as_stored(tower), folder / "audio_encoder.safetensors")
        export_audio_encoder(tower, config, folder / "onnx")
        embed_audio = on_arrays(tower)
        report("audio encoder packed")
    if "vocoder" in found:
        from .vocoder import TrainableVocoder

        options = json.loads((found["vocoder"] / "options.json").read_text())
        shell = TrainableVocoder(build_vocoder(config.vocoder, config.mel), options["adversarial"])
        vocoder = as_stored(load_run(found["vocoder"], shell).vocoder)
        save_half(vocoder, folder / "vocoder.safetensors")
        export_vocoder(vocoder, config, folder / "onnx")
        report("vocoder packed")
    if "envelope" in found:
        estimator = as_stored(load_run(found["envelope"], EnvelopeEstimator(config.envelope)))
        save_half(estimator, folder / "envelope.safetensors")
        export_envelope(estimator, config, folder / "onnx")
        report("envelope packed")
    (folder / "text").mkdir()
    for file in ("onnx/text_encoder.onnx", "text/tokenizer.json"):
        shutil.copy(text_files / file, folder / file)
    if clips:
        files = folder / "onnx" / "text_encoder.onnx", folder / "text" / "tokenizer.json"
        names, embeddings = known_sounds(clips.clips, TextEncoder(*files, config.embedder.max_text_tokens))
        write_known_sounds(folder, names, embeddings)
        if styles := projection(generator):
            bank = make_bank(clips, config, styles, labels_of(clips.clips), embeddings, embed_audio)
            write_bank(folder, bank)
            report(f"{len(bank.sounds)} styles packed")
    write_config(config, folder)


def on_arrays(tower: AudioTower):
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
    path.chmod(0o644)
