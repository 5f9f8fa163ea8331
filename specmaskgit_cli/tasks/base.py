"""What a task is: the one description from which commands, batch columns, the server's forms and records derive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..options.base import Box, EditOptions, SamplingOptions


@dataclass(frozen=True)
class Result:
    """What a task returns.

    Attributes:
        samples: float32 at `rate`, [n] where they were generated, [n, channels] where a sound was edited.
        mel: the spectrogram of the part that was made, natural-log [n_mels, frames].
        notes: remarks for the user, a line each.
        options: those of the task where it found out one that was left open, so that the file can tell it.
        score: how well a generated sound fits its prompt, where several were compared.
        gain: by what a generated sound was scaled to its level; None for an edit, which keeps the level of its input.
        keeps_subtype: whether the samples are to be stored the way the input stores its own.
    """

    samples: np.ndarray
    rate: int
    mel: np.ndarray
    notes: tuple[str, ...] = ()
    options: SamplingOptions | None = None
    score: float | None = None
    gain: float | None = None
    keeps_subtype: bool = True


def nothing_new(options: SamplingOptions, seconds: float) -> tuple[Box, ...]:
    """No boxes, for a result that is all new, or of which nothing says what is."""
    return ()


@dataclass(frozen=True)
class Task:
    """One thing that can be made of a prompt or of a sound.

    Attributes:
        name: on the command line and in the metadata of files, such as "extend".
        options: the type of its options.
        run: makes one sound; None where there is nothing to do.
        reads: the field of the options that names a sound file to read.
        doing, done: forms of the name for messages and for names of files: "extending", "extended".
        new_parts: boxes around what is new in a result that lasts so many seconds; none where all of it is.
        loops: whether the end of the result runs into its beginning.
    """

    name: str
    options: type[SamplingOptions]
    run: Callable[..., Result | None]
    doing: str
    done: str
    reads: str = "input"
    new_parts: Callable[[SamplingOptions, float], tuple[Box, ...]] = nothing_new
    loops: Callable[[SamplingOptions], bool] = lambda options: False

    @property
    def edits(self) -> bool:
        """Whether it needs a sound to work on."""
        return issubclass(self.options, EditOptions)

    def path(self, options: SamplingOptions) -> str | None:
        """The sound file that these options read, if any."""
        return getattr(options, self.reads)
