"""Published text encoders, of sentences (all-MiniLM-L6-v2) or of a CLAP, into the text files of a checkpoint."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..checkpoint.layout import write_config
from ..config.settings import CheckpointConfig, EmbedderConfig
from ..errors import SmgError
from ..models.parts import TEXT_FILES
from ..runtime.text import TextEncoder
from ..runtime.tokenizer import open_tokenizer
from .source import Source

MIN_COSINE = 0.97

# Short phrases of the kind that users type, over many kinds of sound: the yardstick of quantisation.
PROBES = [
    "a dog barking in the distance",
    "rain on a tin roof",
    "footsteps on gravel",
    "glass breaking",
    "a sword drawn",
    "church bells",
    "a man laughing",
    "a woman screaming",
    "baby crying",
    "crowd cheering in a stadium",
    "thunder rolling far away",
    "car engine start",
    "train passing by",
    "helicopter overhead",
    "typing on a keyboard",
    "door creaking open",
    "door slam",
    "water dripping in a cave",
    "ocean waves on a beach",
    "wind howling",
    "birds singing at dawn",
    "an owl hooting",
    "cat purring",
    "horse galloping",
    "wolf howl",
    "explosion",
    "gunshot with echo",
    "laser gun",
    "robot voice",
    "spaceship hum",
    "coin pickup",
    "menu click",
    "magic spell",
    "monster growl",
    "zombie moaning",
    "punch",
    "whoosh",
    "piano note",
    "acoustic guitar strum",
    "snare drum hit",
    "kick drum",
    "a violin playing slowly",
    "telephone ringing",
    "alarm clock beeping",
    "vacuum cleaner",
    "frying food in a pan",
    "pouring water into a glass",
    "fire crackling",
    "chainsaw",
    "frogs croaking by a pond at night",
    "applause",
    "short low quality recording of speech in a noisy room",
]


def convert_text_encoder(source: Source, folder: Path, int8: bool = True) -> float:
    """Write the text encoder of a BERT sentence encoder and its settings; see `write_text_encoder`.

    Raises:
        SmgError: files are missing or do not fit each other, or the cosine similarity is too low.
    """
    from ..models.text import load_sentence_encoder

    model = load_sentence_encoder(source.folder)
    longest = min(EmbedderConfig.max_text_tokens, model.config.max_position_embeddings)
    embedder = EmbedderConfig(dim=model.config.hidden_size, max_text_tokens=longest)
    cosine = write_text_encoder(model, source, folder, int8, embedder.max_text_tokens)
    write_embedder_config(source, folder, embedder)
    return cosine


def write_text_encoder(model, source: Source, folder: Path, int8: bool, max_tokens: int) -> float:
    """Write `onnx/text_encoder.onnx` (int8 unless told otherwise) and `text/tokenizer.json` into `folder`.

    `model` maps input_ids and attention_mask, int64 [B, tokens], to unit vectors, and has its vocabulary in
    `model.config`. Returns the mean cosine similarity of the written encoder to it.

    Raises:
        SmgError: there is no tokenizer.json, or the cosine similarity is below 0.97.
    """
    import torch

    model_path, tokenizer_path = (folder / file for file in TEXT_FILES)
    tokenizer = open_tokenizer(source.folder / "tokenizer.json")  # neither pads nor cuts: the runtime decides both
    model_path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer_path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(tokenizer_path), pretty=False)
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch) / "float.onnx"
        _export(model, plain if int8 else model_path)
        if int8:
            _quantise(plain, model_path)

    tokenizer.enable_truncation(max_tokens)
    with torch.inference_mode():
        expected = []
        for text in PROBES:
            ids = torch.tensor([tokenizer.encode(text).ids])
            expected.append(model(ids, torch.ones_like(ids))[0].numpy())
    found = TextEncoder(model_path, tokenizer_path, max_tokens)(list(PROBES))
    cosine = float(np.mean(np.sum(found * np.stack(expected), axis=1)))
    if not cosine >= MIN_COSINE:
        model_path.unlink()
        advice = "; use --no-int8" if int8 else ""
        raise SmgError(
            f"{source.folder}: the converted text encoder has a mean cosine of {cosine:.3f} to the original, below "
            f"{MIN_COSINE}{advice}"
        )
    return cosine


def write_embedder_config(source: Source, folder: Path, embedder: EmbedderConfig) -> CheckpointConfig:
    """Write the config.json of a checkpoint that has an embedder alone, and return what is in it."""
    whole = CheckpointConfig(name=source.name, license=source.license, embedder=embedder)
    whole = replace(whole, generator=replace(whole.generator, condition_dim=embedder.dim))
    write_config(whole, folder)
    return whole


def _export(model, path: Path) -> None:
    import torch

    from ..export.graphs import quiet

    ids = torch.tensor([[101, 2054, 102], [101, 102, 0]]) % model.config.vocab_size
    with quiet():
        torch.onnx.export(
            model, (ids, (ids != 0).long()), str(path), input_names=["input_ids", "attention_mask"],
            output_names=["sentence_embedding"],
            dynamic_shapes=({0: "batch", 1: "tokens"}, {0: "batch", 1: "tokens"}),
            opset_version=18, dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip


def _quantise(plain: Path, path: Path) -> None:
    from ..runtime import ort

    # Unsigned weights: signed ones saturate in 16 bits on x86 without VNNI, and results would depend on the CPU.
    ort.quantize_dynamic(plain, path, "QUInt8", op_types_to_quantize=["MatMul", "Gather"], per_channel=True)
