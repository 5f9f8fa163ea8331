"""Networks from mel to waveform, one file each.

To add one: a file beside the others with a subclass of `base.Vocoder`, its kind in `config.settings.VOCODERS` and here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ...config.settings import MelConfig, VocoderConfig
from ...errors import SmgError

if TYPE_CHECKING:
    from .base import Vocoder

# Kind, which is also the name of the file, and the class in it.
KINDS = {"vocos": "Vocos", "hifigan": "HiFiGAN", "bigvgan": "BigVGAN"}


def build_vocoder(config: VocoderConfig, mel: MelConfig) -> Vocoder:
    """The untrained model that `config.kind` names.

    Raises:
        SmgError: the kind has no model, or the sizes contradict each other.
    """
    if config.kind not in KINDS:
        raise SmgError(f"vocoder: kind {config.kind!r} has no model; use one of: {', '.join(KINDS)}")
    return getattr(import_module(f".{config.kind}", __name__), KINDS[config.kind])(config, mel)
