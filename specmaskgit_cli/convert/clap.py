"""A CLAP of the transformers library (laion/clap-htsat-unfused) into the text and audio encoders of a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

from ..config.settings import EmbedderConfig
from ..errors import SmgError
from ..models.parts import AUDIO_ENCODER, PARTS
from .source import Source
from .text import write_embedder_config, write_text_encoder

# Their names of our settings of the front end.
_FRONT_END = {
    "sampling_rate": "sample_rate", "fft_window_size": "n_fft", "hop_length": "hop_length", "feature_size": "n_mels",
    "frequency_min": "f_min", "frequency_max": "f_max", "max_length_s": "seconds",
}  # fmt: skip
# What the front end can do no other way: the two things that the variant with fusion has else.
_REQUIRED = {"truncation": "rand_trunc", "padding": "repeatpad"}


def convert_clap(source: Source, folder: Path, int8: bool = True) -> EmbedderConfig:
    """Write both encoders of a CLAP and its settings; they need neither torch nor transformers from then on.

    Raises:
        SmgError: transformers is missing, files are missing or do not fit each other, or the CLAP is one with fusion.
    """
    from ..export.graphs import export_part, save_exact

    model = _load(source)
    embedder = _read_config(source, model.config)
    text, audio = _sides(model)
    save_exact(audio, folder / AUDIO_ENCODER.weights)
    whole = write_embedder_config(source, folder, embedder)
    export_part(PARTS["audio_encoder"], audio, whole, folder)
    write_text_encoder(text, source, folder, int8, embedder.max_text_tokens)
    return embedder


def _load(source: Source):
    """The ClapModel in float32. Its weights are read without running code, and all have to be there."""
    try:
        from transformers import ClapModel, utils
    except ImportError:
        raise SmgError("converting a CLAP needs transformers: pip install '.[clap]' in a checkout of smg") from None
    utils.logging.set_verbosity_error()
    utils.logging.disable_progress_bar()
    try:
        model, found = ClapModel.from_pretrained(
            source.folder, output_loading_info=True, local_files_only=True, dtype="float32",
            attn_implementation="eager",  # or its settings could name code to load from the Hub
            use_safetensors=source.weights.suffix == ".safetensors",
        )  # fmt: skip
    except Exception as error:  # of the readers of files, and of the checks of each setting
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SmgError(f"{source.folder}: not a CLAP that transformers can load ({reason})") from None
    if missing := sorted(found["missing_keys"]):
        raise SmgError(f"{source.weights}: has no {missing[0]!r}; it is not whole, or not of {source.config_path}")
    return model.eval().requires_grad_(False)


def _read_config(source: Source, config) -> EmbedderConfig:
    """Our settings for a ClapConfig and the files beside it."""
    if config.audio_config.enable_fusion:
        raise SmgError(f"{source.config_path}: a CLAP with fusion; choose one without, such as clap-htsat-unfused")
    settings = _front_end(source.folder)
    for name, needed in _REQUIRED.items():
        if settings.get(name, needed) != needed:
            raise SmgError(f"{source.folder}: its {name} is {settings[name]!r}, and only {needed!r} can be converted")
    text = config.text_config
    try:
        values = {ours: type(getattr(EmbedderConfig, ours))(settings[name]) for name, ours in _FRONT_END.items()
                  if name in settings}  # fmt: skip
    except (TypeError, ValueError):
        raise SmgError(f"{source.folder}: the settings of its feature extractor are no numbers") from None
    longest = min(EmbedderConfig.max_text_tokens, text.max_position_embeddings - text.pad_token_id - 1)
    embedder = EmbedderConfig(kind="clap", dim=config.projection_dim, max_text_tokens=longest, **values)
    bands, size = config.audio_config.num_mel_bins, config.audio_config.spec_size
    if embedder.n_mels != bands or embedder.frames > size * size // bands:
        raise SmgError(
            f"{source.folder}: its front end gives {embedder.frames} frames of {embedder.n_mels} bands, and its model "
            f"takes up to {size * size // bands} of {bands}"
        )
    return embedder


def _front_end(folder: Path) -> dict:
    """The settings of the feature extractor, from the file that it or the whole processor is saved in."""
    for file in ("preprocessor_config.json", "processor_config.json"):
        try:
            values = json.loads((folder / file).read_bytes())
            return dict(values.get("feature_extractor", values))
        except FileNotFoundError:
            continue
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise SmgError(f"{folder / file}: not the settings of a feature extractor") from None
    raise SmgError(f"{folder}: no preprocessor_config.json; put the model's beside its weights")


def _sides(model):
    """(text side, audio side) of a ClapModel as modules from their inputs to unit vectors [B, dim]."""
    from torch import nn
    from torch.nn.functional import normalize

    class Text(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.projection = model.text_model, model.text_projection
            self.config = self.encoder.config

        def forward(self, input_ids, attention_mask):
            pooled = self.encoder(input_ids=input_ids, attention_mask=attention_mask).pooler_output
            return normalize(self.projection(pooled), dim=-1)

    class Audio(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.projection = model.audio_model, model.audio_projection

        def forward(self, features):
            return normalize(self.projection(self.encoder(input_features=features).pooler_output), dim=-1)

    return Text().eval(), Audio().eval()
