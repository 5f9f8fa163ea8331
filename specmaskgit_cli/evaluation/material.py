"""What a model is measured on, by the options of a measurement: clips, prompts, and groups of sounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..data.remarks import Remarks
from ..errors import SmgError, UsageError
from ..options import GenerateOptions, options_of
from ..pipeline import Pipeline
from .clips import Clip, Prompt, choose, list_clips, read_clips, read_prompts
from .recognition import Recogniser


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """What to measure on.

    Attributes:
        clips: real clips, and prompts, at most; as many more real clips are the reference.
        seeds: sounds a prompt.
        seconds: length of all sounds.
        seed: of the choice of clips and of the first sound.
        prompts: CSV file of prompts; None takes the labels of the clips.
        embedder: for the distances; see `open_embedder`.
        judge: command of an external tagger; see `judge`.
        sources: of the clips, see `clips.iterate`; empty for all.

    Raises:
        UsageError: a value out of range.
    """

    clips: int = 64
    seeds: int = 2
    seconds: float = 4.0
    seed: int = 0
    prompts: Path | None = None
    embedder: str = "own"
    judge: str | None = None
    sources: tuple[str, ...] = ()

    def __post_init__(self):
        options_of(GenerateOptions)["seconds"].kind.check("seconds", self.seconds)
        for name, least in (("clips", 2), ("seeds", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}; use {least} or more")


@dataclass(frozen=True)
class Material:
    """Two disjoint sets of real clips of equal size, and the prompts to generate from."""

    subjects: list[Clip]
    reference: list[Clip]
    prompts: list[Prompt]
    of_kind: bool  # the clips were chosen for being of the prompts' kinds


def gather(
    pipe: Pipeline, data: list[Path], options: EvaluationOptions, report: Callable[[str], None]
) -> tuple[Material, Recogniser]:
    """Choose and read the clips. With prompts of their own, the clips whose label is, among the sounds that the model
    knows, the same as a prompt's are taken if they are enough, so that like is compared with like.

    Args:
        report: told what was left out of the data, and the like.

    Raises:
        SmgError: a file that cannot be read, or too few clips.
    """
    prompts = read_prompts(options.prompts)[: options.clips] if options.prompts else []
    remarks = Remarks()
    listing = list_clips(data, remarks=remarks, sources=options.sources)
    recogniser = Recogniser(pipe, [label for _, label, _ in listing])
    of_kind = False
    if prompts:
        of_prompts = _kinds(pipe, recogniser, [prompt.text for prompt in prompts])
        wanted = {kind: prompt.expected for kind, prompt in zip(of_prompts, prompts, strict=True)}
        kinds = _kinds(pipe, recogniser, [label for _, label, _ in listing])
        listing = [
            (key, label, own or wanted.get(kind, "")) for (key, label, own), kind in zip(listing, kinds, strict=True)
        ]
        alike = [entry for entry, kind in zip(listing, kinds, strict=True) if kind in wanted]
        of_kind = len(alike) >= min(options.clips, len(prompts))
        listing = alike if of_kind else listing
    size = min(options.clips, len(prompts)) if prompts else options.clips
    order = np.random.default_rng(options.seed).permutation(len(listing))[: 2 * size]
    keys = [listing[i][0] for i in order]
    waves = read_clips(data, keys, options.seconds, pipe.config.mel, remarks=remarks, sources=options.sources)
    for line in remarks.lines():
        report(line)
    clips = [Clip(*listing[i], waves[listing[i][0]]) for i in order if listing[i][0] in waves]
    first, second = choose(len(clips), size, np.random.default_rng(options.seed))
    subjects = [clips[i] for i in first]
    prompts = prompts or [Prompt(clip.label, clip.expected) for clip in subjects]
    return Material(subjects, [clips[i] for i in second], prompts, of_kind), recogniser


def likenesses(pipe: Pipeline, data: list[Path], prompts: list[Prompt], options: EvaluationOptions) -> list[np.ndarray]:
    """For each prompt a real sound to resemble [n]: a random training clip of the label that is nearest to it.

    Raises:
        SmgError: a chosen clip cannot be read.
    """
    by_label: dict[str, list[str]] = {}
    for key, label, _ in list_clips(data, training=True, sources=options.sources):
        by_label.setdefault(label, []).append(key)
    labels, rng = sorted(by_label), np.random.default_rng(options.seed)
    cosines = pipe.runtime.embed_text([prompt.text for prompt in prompts]) @ pipe.runtime.embed_text(labels).T
    keys = [str(rng.choice(by_label[labels[nearest]])) for nearest in cosines.argmax(axis=1)]
    waves = read_clips(data, keys, options.seconds, pipe.config.mel, training=True, sources=options.sources)
    if missing := set(keys) - waves.keys():
        raise SmgError(f"{min(missing)}: cannot be read, or is silent; leave it out of the data")
    return [waves[key] for key in keys]


def _kinds(pipe: Pipeline, recogniser: Recogniser, texts: list[str]) -> list[int]:
    unique = sorted(set(texts))
    kinds = dict(zip(unique, recogniser.kinds(unique, pipe.runtime.embed_text(unique)).tolist(), strict=True))
    return [kinds[text] for text in texts]


@dataclass
class Group:
    """Sounds of one kind: some takes of each text, and what is known about them."""

    takes: list[list[np.ndarray]]
    texts: list[str]
    expected: list[str]
    row: dict[str, float] = field(default_factory=dict)
    own: np.ndarray | None = None  # embeddings in the joint space [takes, texts, D]

    def judged(self) -> list[tuple[np.ndarray, str]]:
        """The sounds of which an external tagger can say whether they are right, with the classes that would be."""
        return [pair for take in self.takes for pair in zip(take, self.expected, strict=True) if pair[1]]
