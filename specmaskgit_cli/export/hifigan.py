"""Convert a public HiFi-GAN generator checkpoint (github.com/jik876/hifi-gan, MIT) into a vocoder of ours."""

from __future__ import annotations

import dataclasses
import json
import pickle
from pathlib import Path

from ..checkpoint.layout import write_sums
from ..config import CheckpointConfig, MelConfig, VocoderConfig, from_dict, to_dict
from ..errors import SmgError

# HiFi-GAN's names of the front end settings that have to agree.
_FRONT_END = {
    "sampling_rate": "sample_rate", "n_fft": "n_fft", "win_size": "n_fft", "hop_size": "hop_length",
    "num_mels": "n_mels", "fmin": "f_min", "fmax": "f_max",
}  # fmt: skip


def convert_hifigan(source: str | Path, out_dir: str | Path, mel: MelConfig | None = None) -> VocoderConfig:
    """Convert generator checkpoint `source`, with its config.json beside it.

    Writes a checkpoint directory that has a vocoder and nothing else: config.json, vocoder.safetensors (float16,
    weight norm folded), the ONNX graph and SHA256SUMS. `mel` is the front end that will feed it.

    Raises:
        SmgError: a file is missing or not HiFi-GAN's, or the vocoder was trained for another front end.
    """
    import torch

    from ..models.vocoder import build_vocoder
    from .graphs import export_vocoder, save_half

    source, out_dir, mel = Path(source), Path(out_dir), mel or MelConfig()
    config = read_config(source.parent / "config.json", mel)
    try:
        weights = torch.load(source, map_location="cpu", weights_only=True)["generator"]
    except FileNotFoundError as error:
        raise SmgError(f"{source}: no such file") from error
    except (RuntimeError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise SmgError(f"{source}: not a HiFi-GAN generator checkpoint") from error
    weights = fold_weight_norm(weights)
    try:
        build_vocoder(config, mel).load_state_dict(weights)
    except RuntimeError as error:
        raise SmgError(f"{source}: weights do not match {source.parent / 'config.json'}") from error
    out_dir.mkdir(parents=True, exist_ok=True)
    model = build_vocoder(config, mel)
    model.load_state_dict(weights)
    save_half(model, out_dir / "vocoder.safetensors")
    whole = CheckpointConfig(name=f"{source.stem} vocoder", license="MIT", mel=mel, vocoder=config)
    export_vocoder(model, whole, out_dir / "onnx")
    (out_dir / "config.json").write_text(json.dumps(to_dict(whole), indent=2) + "\n", encoding="utf-8")
    write_sums(out_dir)
    return config


def read_config(path: Path, mel: MelConfig) -> VocoderConfig:
    """The VocoderConfig of a HiFi-GAN config.json.

    Raises:
        SmgError: the file is missing or unreadable, or disagrees with `mel`.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SmgError(f"{path}: no such file; put HiFi-GAN's config.json beside the checkpoint") from error
    except ValueError as error:
        raise SmgError(f"{path}: not JSON") from error
    for theirs, ours in _FRONT_END.items():
        if values.get(theirs) != getattr(mel, ours):
            raise SmgError(f"{path}: {theirs} is {values.get(theirs)}, but this front end has {getattr(mel, ours)}")
    names = {field.name for field in dataclasses.fields(VocoderConfig)} & set(values)
    return from_dict(VocoderConfig, {"kind": "hifigan"} | {name: values[name] for name in names}, str(path))


def fold_weight_norm(weights: dict) -> dict:
    """Replace each pair (weight_g, weight_v) by weight = g * v / |v|, the norm over all axes but the first.

    Both spellings of torch are read: `weight_g` / `weight_v` and `parametrizations.weight.original0` / `original1`.
    """
    folded = {}
    for name, value in weights.items():
        name = name.replace("parametrizations.weight.original0", "weight_g")
        folded[name.replace("parametrizations.weight.original1", "weight_v")] = value
    for name in [name for name in folded if name.endswith(".weight_v")]:
        direction, gain = folded.pop(name), folded.pop(name[:-1] + "g")
        norm = direction.double().flatten(1).norm(dim=1).reshape(gain.shape)
        folded[name.removesuffix("_v")] = (gain.double() * direction.double() / norm).to(direction.dtype)
    return folded
