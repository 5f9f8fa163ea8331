"""A finished sound, and its way into a file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..audio.encoding import UNLIMITED
from ..audio.files import audio_bytes, check_output, check_stored, format_name, lossless_subtype, write_audio
from ..audio.loops import seam
from ..audio.tags import Extras
from ..config.settings import MelConfig
from ..options import OutputOptions, SamplingOptions
from ..spectrogram.image import MIN_PIXELS, save_spectrogram, save_view, view
from ..tasks import task_of
from .finish import finish
from .record import Origin, Record


@dataclass(frozen=True)
class Sound:
    """A finished sound.

    Attributes:
        samples: float32 in [-1, 1], [channels, n].
        rate: samples a second.
        mel: the spectrogram it was made from, natural-log [n_mels, frames].
        seed: what makes it again.
        options: what was asked for.
        score: how well it fits the prompt, see `Conditions.score`; None unless candidates were compared.
        warnings: one line each.
        seconds_taken: time to make it.
        subtype: libsndfile's name for how the edited file stores samples; saved so where the format can.
        gain: by what a generated sound was scaled to its level; None for an edit, which keeps that of its input.
        origin: what made it, for the file's metadata.
        extras: what the edited file tells beside its samples; its own files tell it, too.
    """

    samples: np.ndarray
    rate: int
    mel: np.ndarray = field(repr=False)
    mel_config: MelConfig = field(repr=False)
    seed: int
    options: SamplingOptions
    score: float | None = None
    warnings: tuple[str, ...] = ()
    seconds_taken: float = 0.0
    subtype: str | None = None
    gain: float | None = None
    origin: Origin | None = field(default=None, repr=False)
    extras: Extras = field(default_factory=Extras, repr=False)

    def save(self, path: str, image: str | None = None, output: OutputOptions | None = None, **options) -> Sound:
        """Write the sound, complete or not at all, and if wanted a PNG of its spectrogram.

        That of an edit shows all of the sound, with outlines around what is new.

        Args:
            path: its extension says the format (wav, flac, ogg, opus, mp3); "-" is WAV on standard output.
            output: how to finish it; or its options: `save("out.wav", lufs=-16)`.

        Returns:
            The sound as it was written, with what there is to say about that among its warnings.

        Raises:
            SmgError: a file cannot be written, or an option is out of range.
        """
        output = replace(output or OutputOptions(), **options)
        output.check(self.options)
        check_output(path, bits=output.bits, rate=output.rate)
        finished, stored = self._finished(format_name(path), output)
        write_audio(path, finished.samples, finished.rate, **stored)
        if image:
            self._draw(image)
        return finished

    def encoded(self, format: str, output: OutputOptions | None = None) -> tuple[memoryview, Sound]:
        """The bytes of the file that `save` would write in a format, such as "wav", and the sound as it is there.

        Raises:
            SmgError: the format cannot store it so, or an option is out of range.
        """
        output = output or OutputOptions()
        output.check(self.options)
        check_stored(format, output.bits, output.rate)
        finished, stored = self._finished(format, output)
        return audio_bytes("the sound", finished.samples, finished.rate, format, **stored), finished

    def _finished(self, format: str, output: OutputOptions) -> tuple[Sound, dict[str, Any]]:
        """The sound as it is to be stored, and how `audio_bytes` is to store it."""
        subtype = lossless_subtype(format, self.subtype, output.bits)
        samples, rate, warnings = finish(
            self.samples, self.rate, output, gain=self.gain, loop=self.loops, unlimited=subtype in UNLIMITED
        )
        tags = Record(self.options, output, self.origin).tags() if output.metadata and self.origin else None
        warnings += seam(format) if self.loops else ()
        # Saved a second time, a sound that was changed here would tell of the second finish alone: it tells nothing.
        same = samples is self.samples
        finished = replace(
            self, samples=samples, rate=rate, warnings=self.warnings + warnings, gain=self.gain if same else None,
            origin=self.origin if same else None,
        )  # fmt: skip
        return finished, {"subtype": subtype, "metadata": tags, "extras": self.extras, "loop": self.loops}

    def _draw(self, image: str) -> None:
        """What was generated as the spectrogram it was made from; an edited sound as it is, its new parts outlined."""
        if not task_of(self.options).edits:
            return save_spectrogram(image, self.mel, self.mel_config)
        boxes = self.options.new_parts(self.seconds)
        save_view(image, view(self.samples, self.rate, None, MIN_PIXELS, 0, boxes), bool(boxes))

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.samples.shape[1] / self.rate

    @property
    def loops(self) -> bool:
        """Whether its end runs into its beginning."""
        return self.options.loops
