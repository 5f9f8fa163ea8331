"""Vocoders as the rest of the program sees them: the checkpoint's network, or Griffin-Lim, which needs none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..config.settings import GRIFFIN_LIM, MelConfig, VocoderConfig
from ..spectrogram.griffin_lim import Known, griffin_lim

JOIN_ITERATIONS = 16  # of Griffin-Lim, to bring new sound in phase with what is around it


class Vocoder(Protocol):
    """Mel to waveform."""

    def vocode(self, mel: np.ndarray, rng: np.random.Generator, known: Known | None = None) -> np.ndarray:
        """Natural-log mel [n_mels, frames] to float32 [frames * hop_length].

        Args:
            rng: draws the phases, where they are not computed.
            known: of the waveform, stays as it is; the rest is made to join it.
        """


@dataclass(frozen=True)
class GriffinLim:
    """Phases found by iteration from random ones."""

    mel: MelConfig
    iterations: int

    def vocode(self, mel: np.ndarray, rng: np.random.Generator, known: Known | None = None) -> np.ndarray:
        """As `Vocoder.vocode`."""
        iterations = self.iterations if known is None else max(self.iterations, JOIN_ITERATIONS)
        return griffin_lim(mel, self.mel, iterations, rng=rng, known=known)


@dataclass(frozen=True)
class Neural:
    """A network from mels [B, n_mels, frames] to waveforms [B, frames * hop_length]. It draws nothing."""

    mel: MelConfig
    network: Callable[[np.ndarray], np.ndarray]

    def vocode(self, mel: np.ndarray, rng: np.random.Generator, known: Known | None = None) -> np.ndarray:
        """As `Vocoder.vocode`. A network cannot be told what is known: Griffin-Lim joins its waveform to that."""
        waveform = self.network(mel[None])[0]
        if known is None:
            return waveform
        return griffin_lim(mel, self.mel, JOIN_ITERATIONS, rng=rng, known=known, start=waveform)


def open_vocoder(settings: VocoderConfig, mel: MelConfig, network: Callable[[np.ndarray], np.ndarray]) -> Vocoder:
    """The vocoder that settings name; `network` computes it, where it is one."""
    return GriffinLim(mel, settings.iterations) if settings.kind == GRIFFIN_LIM else Neural(mel, network)
