"""Public generators of the HiFi-GAN family into a vocoder of ours: HiFi-GAN V1, V2 and V3 (github.com/jik876/hifi-gan)
and BigVGAN (github.com/NVIDIA/BigVGAN)."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

from ..checkpoint.layout import write_config
from ..config.limits import check_config
from ..config.settings import CheckpointConfig, MelConfig, VocoderConfig, from_dict
from ..errors import SmgError
from ..models.parts import PARTS, VOCODER
from .source import Source

# Their names of the front end settings that have to agree.
_FRONT_END = {
    "sampling_rate": "sample_rate", "n_fft": "n_fft", "win_size": "n_fft", "hop_size": "hop_length",
    "num_mels": "n_mels", "fmin": "f_min", "fmax": "f_max",
}  # fmt: skip
_NAMES = {"hifigan": "HiFi-GAN", "bigvgan": "BigVGAN"}


def convert_vocoder(source: Source, folder: Path, mel: MelConfig | None = None) -> VocoderConfig:
    """Write the files of a vocoder: config.json, vocoder.safetensors (weight norm folded) and its ONNX graph.

    Args:
        mel: the front end that will feed it.

    Raises:
        SmgError: the weights are not those of such a generator, or it was trained for another front end.
    """
    from ..export.graphs import export_part, save_exact
    from ..models.vocoders import build_vocoder

    mel = mel or MelConfig()
    config = read_config(source, mel)
    weights = _load(source)
    if config.kind == "bigvgan":
        weights = _without_filters(weights, source.weights)
    model = build_vocoder(config, mel)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[1:2] or [str(error)]
        raise SmgError(f"{source.weights}: does not match {source.config_path} ({reason[0].strip()})") from None
    save_exact(model, folder / VOCODER.weights)
    # Both families are published under the MIT licence.
    whole = CheckpointConfig(name=f"{source.name} vocoder", license=source.license or "MIT", mel=mel, vocoder=config)
    export_part(PARTS["vocoder"], model, whole, folder)
    write_config(whole, folder)
    return config


def read_config(source: Source, mel: MelConfig) -> VocoderConfig:
    """The VocoderConfig of a published generator.

    Raises:
        SmgError: its settings disagree with `mel`, have wrong types, or are such as no model has.
    """
    path, values = source.config_path, source.config
    rate = values.get("sampling_rate")
    if values.get("fmax", 0) is None and isinstance(rate, int):
        values = values | {"fmax": rate / 2}  # how they write it
    for theirs, ours in _FRONT_END.items():
        if values.get(theirs) != getattr(mel, ours):
            raise SmgError(
                f"{path}: made for other mels, its {theirs} is {values.get(theirs)} and has to be "
                f"{getattr(mel, ours):g}; choose a vocoder of {mel.sample_rate} Hz, hop {mel.hop_length}, "
                f"{mel.n_mels} bands up to {mel.f_max:g} Hz"
            )
    names = {field.name for field in dataclasses.fields(VocoderConfig)} & set(values)
    config = from_dict(VocoderConfig, {"kind": source.kind} | {name: values[name] for name in names}, str(path))
    check_config(CheckpointConfig(mel=mel, vocoder=config), str(path))
    return config


def fold_weight_norm(weights: dict) -> dict:
    """Replace each pair (weight_g, weight_v) by weight = g * v / |v|, the norm over all axes but the first.

    Both spellings of torch are read: `weight_g` / `weight_v` and `parametrizations.weight.original0` / `original1`.
    Raises KeyError for half a pair.
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


def _load(source: Source) -> dict:
    """The generator's state with weight norm folded; unpickled without running code."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = source.weights
    try:
        if path.suffix == ".safetensors":
            weights = load_file(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
        return fold_weight_norm(weights.get("generator", weights))
    except (RuntimeError, AttributeError, TypeError, ValueError, KeyError, EOFError, OSError, pickle.UnpicklingError,
            SafetensorError):  # fmt: skip
        raise SmgError(f"{path}: not the state of a {_NAMES[source.kind]} generator, or damaged") from None


def _without_filters(weights: dict, path: Path) -> dict:
    """Leave out BigVGAN's low-pass filters, which are constants, after a look at them."""
    from ..models.vocoders.bigvgan import low_pass

    taps = low_pass()
    for name in [name for name in weights if name.endswith(".filter")]:
        found = weights.pop(name).flatten().float()
        if found.shape != taps.shape or (found - taps).abs().max() > 1e-4:
            raise SmgError(f"{path}: its {name} is not BigVGAN's; such a generator cannot be converted")
    return weights
