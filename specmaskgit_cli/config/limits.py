"""Which settings a model can have: a checkpoint may come from anyone, and its settings decide on the size of arrays."""

from __future__ import annotations

from ..errors import SmgError
from .settings import EMBEDDERS, VOCODERS, CheckpointConfig, EmbedderConfig, MelConfig, TokenizerConfig, to_dict

# Setting -> lowest and highest value.
_LIMITS = {
    "mel.sample_rate": (8000, 192_000),
    "mel.n_fft": (16, 1 << 16),
    "mel.n_mels": (1, 4096),
    "mel.f_min": (0, 96_000),
    "mel.f_max": (1, 96_000),
    "mel.log_clamp": (1e-30, 1),
    "mel.scale_min": (-1000, 1000),
    "mel.scale_max": (-1000, 1000),
    "tokenizer.levels": (1, 64),
    "tokenizer.kernel": (1, 255),
    "generator.mlp_ratio": (0.01, 64),
    "generator.dropout": (0, 1),
    "generator.max_columns": (2, 4096),
    "generator.style_dims": (0, 4096),
    "generator.contour_steps": (0, 64),
    "generator.guidance": (0, 1000),
    "embedder.sample_rate": (8000, 192_000),
    "embedder.n_fft": (16, 1 << 16),
    "embedder.n_mels": (1, 4096),
    "embedder.seconds": (0.1, 60),
    "vocoder.iterations": (0, 1000),
    "vocoder.upsample_initial_channel": (1, 4096),
    "envelope.dropout": (0, 1),
    "envelope.bands": (2, 4096),
    "envelope.kernel": (1, 255),
}
_LIMIT = (0, 1 << 20)  # of all other numbers
_MOST = 32  # values in a list, such as the rates of a vocoder


def check_config(config: CheckpointConfig, where: str) -> None:
    """Raise SmgError for settings that no model can have, with the setting named."""
    for part, settings in to_dict(config).items():
        for name, value in settings.items() if isinstance(settings, dict) else ():
            low, high = _LIMITS.get(f"{part}.{name}", _LIMIT)
            if isinstance(value, (list, tuple)) and (len(value) > _MOST or any(_long(item) for item in value)):
                raise SmgError(f"{where}: {part}: {name} has more than {_MOST} values, or one out of 0 to {_LIMIT[1]}")
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if number and not low <= value <= high:  # NaN is refused with the rest
                raise SmgError(f"{where}: {part}: {name} is {value}, outside {low} to {high}")
    mel, tokenizer, generator = config.mel, config.tokenizer, config.generator
    for wrong, words in (
        *_front_end_faults(mel),
        *_front_end_faults(config.embedder),
        (mel.scale_min >= mel.scale_max, "scale_min has to be below scale_max"),
        (tokenizer.patch_bands < 1 or mel.n_mels % tokenizer.patch_bands, "patch_bands has to divide n_mels"),
        (generator.heads < 1 or generator.width % generator.heads, "heads has to divide the generator's width"),
        (tokenizer.patch_frames < 1, "patch_frames has to be at least 1"),
        (tokenizer.patch_frames % max(1, generator.contour_steps), "contour_steps has to divide patch_frames"),
        (_uneven(tokenizer), "cells of cell_bands and cell_frames have to divide patches"),
        (generator.condition_dim != config.embedder.dim, "condition_dim has to be the embedder's dim"),
        (config.embedder.kind not in EMBEDDERS, f"the embedder's kind has to be one of {', '.join(EMBEDDERS)}"),
        (config.envelope.kernel % 2 == 0, "the envelope's kernel has to be odd"),
        (config.vocoder.kind not in VOCODERS, f"the vocoder's kind has to be one of {', '.join(VOCODERS)}"),
    ):
        if wrong:
            raise SmgError(f"{where}: {words}")


def _long(item: object) -> bool:
    """Whether a value of a list is a list of too many, or a number that no model can have."""
    if isinstance(item, (list, tuple)):
        return len(item) > _MOST or any(_long(other) for other in item)
    return isinstance(item, (int, float)) and not _LIMIT[0] <= item <= _LIMIT[1]


def _uneven(tokenizer: TokenizerConfig) -> bool:
    """Whether the cells of the texture do not divide a patch."""
    return (
        min(tokenizer.cell_bands, tokenizer.cell_frames) < 1
        or tokenizer.patch_bands % tokenizer.cell_bands > 0
        or tokenizer.patch_frames % tokenizer.cell_frames > 0
    )


def _front_end_faults(ends: MelConfig | EmbedderConfig):
    """(whether it is so, what is wrong) with the settings of a spectrogram."""
    wrong = not 1 <= ends.hop_length <= ends.n_fft or ends.n_fft % 2 or ends.hop_length % 2
    yield wrong, "n_fft and hop_length have to be even, and hop_length at most n_fft"
    yield not ends.f_min < ends.f_max <= ends.sample_rate / 2, "f_min, f_max and half of sample_rate have to rise"
