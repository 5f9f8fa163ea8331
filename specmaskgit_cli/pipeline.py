"""The face of the package: a model is loaded, and makes sounds; one method a task."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from .audio.tags import Extras
from .checkpoint.layout import Checkpoint
from .checkpoint.registry import DEFAULT, ENVIRONMENT, expanded, resolve
from .config.settings import GRIFFIN_LIM, VocoderConfig
from .options import (
    Box,
    ContinueOptions,
    ExtendOptions,
    GenerateOptions,
    InpaintOptions,
    LoopOptions,
    SamplingOptions,
    SketchOptions,
    StreamOptions,
    VaryOptions,
)
from .runtime import Runtime, open_runtime
from .sounds.record import Origin, sha256
from .sounds.sound import Sound
from .synthesis.engine import Engine, Progress, Share
from .tasks import check_made, task_of
from .tasks.source import Source
from .threads import one_blas_thread

if TYPE_CHECKING:
    from .tasks.embed import Embedding, EmbedOptions
    from .tasks.stream import Stream


def load(
    model: str | None = None,
    backend: str = "auto",
    device: str = "cpu",
    threads: int | None = None,
    vocoder: str | None = None,
    progress: Progress | None = None,
) -> Pipeline:
    """Open a model: the shipped one, a checkpoint directory, or "owner/name[@revision]" on the Hub.

    Args:
        backend: "onnx", "torch" or "auto"; see `open_runtime` for this and the next two.
        vocoder: "griffin-lim", which needs no weights, or a model to take the vocoder from; None takes the model's own.
        progress: is told (bytes done, bytes in all) where a model has to be downloaded.

    Raises:
        SmgError: no such model, a damaged one, or a backend or device that is not there.
    """
    checkpoint = resolve(model, progress)
    lender = None if vocoder in (None, GRIFFIN_LIM) else resolve(vocoder, progress)
    other = VocoderConfig(kind=GRIFFIN_LIM) if vocoder == GRIFFIN_LIM else lender
    runtime = open_runtime(checkpoint, backend, device, threads, other)
    origin = Origin(
        model=checkpoint.config.name,
        model_hash=checkpoint.hash,
        source=_source(model or os.environ.get(ENVIRONMENT) or DEFAULT),
        backend=runtime.backend,
        vocoder=_source(vocoder) if lender else vocoder,
        vocoder_hash=lender.hash if lender else None,
    )
    return Pipeline(checkpoint, runtime, origin)


def _new_seed(num: int = 1) -> int:
    """A seed drawn by chance, which leaves room for `num` that count up from it."""
    return secrets.randbelow(2**32 - num)


def _source(model: str | os.PathLike) -> str:
    """The name of a model as it can be given in any directory."""
    directory = expanded(model)
    return str(directory.resolve()) if directory.is_dir() else str(model)


class Pipeline:
    """A model ready to make sounds."""

    def __init__(self, checkpoint: Checkpoint, runtime: Runtime, origin: Origin | None = None):
        self.checkpoint, self.runtime, self.config = checkpoint, runtime, checkpoint.config
        self.engine = Engine(checkpoint, runtime)
        self.origin = origin  # for the metadata of the sounds

    def generate(self, prompt: str | None = None, **options) -> Sound:
        """One sound from a text: `generate("dog barking", seconds=4)`; the options are those of GenerateOptions.

        Raises:
            SmgError: an option out of range, or a `like` file that cannot be read.
        """
        return self.make(GenerateOptions(prompt=prompt, **{**options, "num": 1}))[0]

    @one_blas_thread()
    def make(
        self, options: SamplingOptions, progress: Progress | None = None, source: Source | None = None
    ) -> list[Sound]:
        """`options.num` sounds with seeds seed, seed + 1, ...: the same whether made together or one by one.

        Args:
            options: of any task; their type says which.
            progress: is called with (steps done, steps in all).
            source: the sound to edit, where it is in memory; the path in the options is then only its name.

        Returns:
            The sounds, each followed by its layers where they are wanted too; none where an edit finds nothing to do.

        Raises:
            SmgError: a file that cannot be read, or does not suit the task; sounds larger than `bounds` allows.
        """
        task = task_of(options)
        if options.seed is None:
            options = replace(options, seed=_new_seed(options.num))
        origin = None
        if source is None:
            read = options.source
            origin = self.origin and replace(self.origin, input_sha256=sha256(read) if read else None)
            source = Source.read(read) if task.edits else None
        edited = (source.seconds, source.rate, len(source.samples)) if source else ()
        check_made(options, self.config.mel.sample_rate, *edited)
        unfamiliar = (warning for text in options.texts for warning in self.engine.prompts.unfamiliar(text))
        warnings = (*unfamiliar, *(source.notes if source else ()))
        sounds = []
        for one, draw in self.engine.draws(options, Share(progress)):
            started = time.perf_counter()
            result = task.run(self.engine, draw, source, one)
            if result is None:
                break
            taken = time.perf_counter() - started
            for made in (result, *result.stems):
                samples, subtype, extras = made.samples, None, Extras()
                if source and made.keeps_subtype:
                    samples, subtype, extras = source.restored(samples), source.subtype, source.extras
                sounds.append(
                    Sound(
                        samples, made.rate, made.mel, self.config.mel, one.seed, made.options or one, made.score,
                        warnings + made.notes, taken, subtype, made.gain, origin, extras,
                    )
                )  # fmt: skip
        return sounds

    def inpaint(self, input: str, *boxes: Box, **options) -> Sound:
        """Make boxes of time and frequency anew: `inpaint("in.wav", Box(1.0, 1.5))`; options of InpaintOptions."""
        return self.make(InpaintOptions(input, boxes=boxes, **{**options, "num": 1}))[0]

    def extend(self, input: str, **options) -> Sound | None:
        """Add missing high frequencies; options of ExtendOptions. None where nothing is missing."""
        return next(iter(self.make(ExtendOptions(input, **{**options, "num": 1}))), None)

    def continue_(self, input: str, seconds: float = 5.0, **options) -> Sound:
        """Go on after the end of a sound, or before its beginning; options of ContinueOptions."""
        return self.make(ContinueOptions(input, seconds=seconds, **{**options, "num": 1}))[0]

    def vary(self, input: str, amount: float = 0.5, **options) -> Sound:
        """A sibling of a sound; options of VaryOptions."""
        return self.make(VaryOptions(input, amount=amount, **{**options, "num": 1}))[0]

    def sketch(self, input: str, prompt: str, **options) -> Sound:
        """What a prompt says in the contour of a sound; options of SketchOptions."""
        return self.make(SketchOptions(input, prompt=prompt, **{**options, "num": 1}))[0]

    def loop(self, input: str, **options) -> Sound:
        """A sound whose end runs into its beginning; options of LoopOptions."""
        return self.make(LoopOptions(input, **{**options, "num": 1}))[0]

    def stream(self, prompt: str, **options) -> Stream:
        """A sound without an end, as an iterator of blocks float32 [channels, n]; options of StreamOptions.

        `stream.turn("rain")` goes over to another prompt while it runs.

        Raises:
            SmgError: an option out of range.
        """
        return self.stream_of(StreamOptions(prompt, **options))

    @one_blas_thread()
    def stream_of(self, options: StreamOptions) -> Stream:
        """A stream, as `stream` has it, of options that are made already."""
        from .tasks.stream import Stream

        return Stream(self.engine, options if options.seed is not None else replace(options, seed=_new_seed()))

    @one_blas_thread()
    def embed(self, input: str | os.PathLike, options: EmbedOptions | None = None, **values) -> Embedding:
        """Features of a sound file from the generator's hidden layers: `embed("in.wav").clip`; options of EmbedOptions.

        Raises:
            SmgError: a file that cannot be read, an option out of range, or a checkpoint without the graph for it.
        """
        from .tasks.embed import EmbedOptions, embed_file

        return embed_file(self.runtime, input, options or EmbedOptions(**values))
