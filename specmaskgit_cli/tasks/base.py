"""What a task is, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from ..options import EditOptions, SamplingOptions

if TYPE_CHECKING:
    import numpy as np

    from ..synthesis.engine import Draw, Engine
    from .source import Source


@dataclass(frozen=True)
class Task:
    """One thing that can be made of a prompt or of a sound.

    The code of a task takes long to import, and a help page needs none of it: it is imported when the task is run.

    Attributes:
        name: on the command line and in the metadata of files, such as "extend".
        options: the type of its options.
        doing, done: forms of the name for messages and for the names of files: "extending", "extended".
        module: the module of this package that holds its code, where it has another name.
    """

    name: str
    options: type[SamplingOptions]
    doing: str
    done: str
    module: str | None = None

    @property
    def edits(self) -> bool:
        """Whether it needs a sound to work on."""
        return issubclass(self.options, EditOptions)

    @property
    def run(self) -> Callable[[Engine, Draw, Source | None, SamplingOptions], Result | None]:
        """Makes one sound of a source, which a task that edits needs; returns None where there is nothing to do."""
        return import_module(f"{__package__}.{self.module or self.name}").run


@dataclass(frozen=True)
class Result:
    """What a task returns.

    Attributes:
        samples: float32 [channels, n] at `rate`.
        mel: the spectrogram of the part that was made, natural-log [n_mels, frames].
        notes: remarks for the user, a line each.
        options: the options of the task where it found out one that was left open, so that the file can tell it.
        score: how well a generated sound fits its prompt, where several were compared.
        gain: by what a generated sound was scaled to its level; None for an edit, which keeps the level of its input.
        stems: the layers of a scene, as they are in it, where they are wanted too.
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
    stems: tuple[Result, ...] = ()
