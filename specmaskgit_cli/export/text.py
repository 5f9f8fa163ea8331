"""Convert a published sentence encoder (all-MiniLM-L6-v2) into the text files of a checkpoint."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from ..errors import SmgError
from ..runtime.text import TextEncoder

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


def convert_text_encoder(source: str | Path, out_dir: str | Path, int8: bool = True, max_tokens: int = 64) -> float:
    """Write `onnx/text_encoder.onnx` (int8 unless told otherwise) and `text/tokenizer.json` into `out_dir`.

    `source` holds config.json, model.safetensors and tokenizer.json, at its top or in a folder below (an unpacked
    wheel, a Hub snapshot). Returns the mean cosine similarity of the written encoder to the float32 torch model.

    Raises:
        SmgError: files are missing, or the cosine similarity is below 0.97.
    """
    import torch
    from tokenizers import Tokenizer

    from ..models.text import load_sentence_encoder

    source, out_dir = _model_dir(Path(source)), Path(out_dir)
    model_path, tokenizer_path = out_dir / "onnx" / "text_encoder.onnx", out_dir / "text" / "tokenizer.json"
    model = load_sentence_encoder(source)
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_padding()  # the published file pads every text to 128 tokens; the runtime decides both
    tokenizer.no_truncation()
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
    print(f"{model_path}: {model_path.stat().st_size / 1e6:.1f} MB, mean cosine to float32 {cosine:.4f}")
    if not cosine >= MIN_COSINE:
        model_path.unlink()
        raise SmgError(f"{source}: quantised encoder has mean cosine {cosine:.3f}, below {MIN_COSINE}; use int8=False")
    return cosine


def _model_dir(source: Path) -> Path:
    needed = ("config.json", "tokenizer.json")
    for weights in sorted(source.rglob("model.safetensors"), key=lambda path: len(path.parts)):
        if all((weights.parent / name).is_file() for name in needed):
            return weights.parent
    raise SmgError(f"{source}: no folder in it has model.safetensors, config.json and tokenizer.json")


def _export(model, path: Path) -> None:
    import torch

    ids = torch.tensor([[101, 2054, 102], [101, 102, 0]]) % model.config.vocab_size
    torch.onnx.export(
        model,
        (ids, (ids != 0).long()),
        str(path),
        input_names=["input_ids", "attention_mask"],
        output_names=["sentence_embedding"],
        dynamic_shapes=({0: "batch", 1: "tokens"}, {0: "batch", 1: "tokens"}),
        opset_version=18,
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def _quantise(plain: Path, path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Unsigned weights: signed ones saturate in 16 bits on x86 without VNNI, and results would depend on the CPU.
    quantize_dynamic(
        plain, path, op_types_to_quantize=["MatMul", "Gather"], per_channel=True, weight_type=QuantType.QUInt8
    )
