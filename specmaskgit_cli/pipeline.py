"""The tasks a user asks for: each sets up tokens, mask and condition, runs the decoding core and finishes the sound."""

from __future__ import annotations

import math
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .checkpoint.layout import Checkpoint
from .checkpoint.registry import DEFAULT, ENVIRONMENT, resolve
from .conditioning.bank import Manner, joined
from .config.settings import GRIFFIN_LIM, VocoderConfig
from .decoding.core import decode
from .decoding.settings import DecodeSettings
from .options import (
    Box,
    ContinueOptions,
    ExtendOptions,
    GenerateOptions,
    InpaintOptions,
    LoopOptions,
    SamplingOptions,
    SketchOptions,
    VaryOptions,
)
from .runtime import Runtime, open_runtime
from .sounds.record import Origin, sha256
from .sounds.sound import Sound
from .synthesis.engine import CONTEXT_COLUMNS, MIN_COLUMNS
from .synthesis.prompts import Conditions
from .synthesis.render import mel_to_waveform, tokens_to_mel
from .tasks import check_made, task_of
from .tasks.regenerate import Request
from .tasks.source import Source
from .threads import one_blas_thread

if TYPE_CHECKING:
    from .tasks.embed import Embedding, EmbedOptions

# The loudest cell, in nats, of a sound that has hardly anything in it but a gap: 1 in some hundred, of prompts whose
# sounds die away. It is drawn again. Of 390 ordinary ones the softest had -1.7.
FAINT = -3.0
DRAWS = 3  # at most

Progress = Callable[[int, int], None]


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


def _source(model: str | os.PathLike) -> str:
    """The name of a model as it can be given in any directory."""
    return str(Path(model).expanduser().resolve()) if Path(model).expanduser().is_dir() else str(model)


class Pipeline:
    """A model ready to make sounds."""

    def __init__(self, checkpoint: Checkpoint, runtime: Runtime, origin: Origin | None = None):
        self.checkpoint, self.runtime, self.config = checkpoint, runtime, checkpoint.config
        self.conditions = Conditions(checkpoint, runtime)
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
            The sounds; none where an edit finds nothing to do.

        Raises:
            SmgError: a file that cannot be read, or does not suit the task; sounds larger than `bounds` allows.
        """
        task = task_of(options)
        if options.seed is None:
            options = replace(options, seed=secrets.randbelow(2**32 - options.num))
        in_memory = source is not None
        if task.edits and not in_memory:
            source = Source.read(options.source)
        edited = (source.seconds, source.rate, source.samples.shape[1]) if source else ()
        check_made(options, self.config.mel.sample_rate, *edited)
        wish = None if task.edits else self.conditions.wish(options)
        warnings = self.conditions.unfamiliar(options.prompt) + (source.notes if source else ())
        sounds = []
        for index in range(options.num):
            started, one = time.perf_counter(), replace(options, seed=options.seed + index, num=1)
            request = Request.of(self, one, one.seed, progress, wish).part(index, options.num)
            result = task.run(request, source, one)
            if result is None:
                break
            subtype = source.subtype if source and result.keeps_subtype else None
            sounds.append(
                Sound(
                    result.samples, result.rate, result.mel, self.config.mel, one.seed, result.options or one,
                    result.score, warnings + result.notes, time.perf_counter() - started, subtype, result.gain,
                )
            )  # fmt: skip
        return sounds if in_memory else self._signed(sounds, options.source)

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

    @one_blas_thread()
    def embed(self, input: str | os.PathLike, options: EmbedOptions | None = None, **values) -> Embedding:
        """Features of a sound file from the generator's hidden layers: `embed("in.wav").clip`; options of EmbedOptions.

        Raises:
            SmgError: a file that cannot be read, an option out of range, or a checkpoint without the graph for it.
        """
        from .tasks.embed import EmbedOptions, embed_file

        return embed_file(self.runtime, input, options or EmbedOptions(**values))

    def _signed(self, sounds: list[Sound], read: str | None) -> list[Sound]:
        """With their origin, and in it what the file that was read held."""
        if self.origin is None:
            return sounds
        origin = replace(self.origin, input_sha256=sha256(read) if read else None)
        return [replace(sound, origin=origin) for sound in sounds]

    def draw(self, request: Request, options: GenerateOptions, rng: np.random.Generator) -> np.ndarray:
        """A mel [n_mels, frames] of the asked length; `rng` goes on to draw its phases."""
        config, columns = self.config, self._columns(options)
        frames = math.ceil(options.seconds * config.mel.sample_rate / config.mel.hop_length)
        weight = options.like_weight if options.prompt is not None else 1.0
        for attempt in range(DRAWS):
            manner = self.conditions.drawn(request.condition, rng, columns, options.variety, request.style, weight)
            count = self.count(request.progress if attempt == 0 else None, columns)
            mel = self.new_mel(columns, request.condition, request.negative, request.settings, rng, count, manner)
            mel = mel[:, :frames]
            if mel.max() > FAINT:
                break
        return mel

    def new_mel(self, columns: int, condition, negative, settings, rng, count, manner) -> np.ndarray:
        """A mel [n_mels, frames] of so many columns, all of them generated; arguments as of `fill`."""
        grid = self.config.rows, columns
        tokens, mask = np.zeros((*grid, self.config.tokenizer.levels), np.int64), np.ones(grid, bool)
        return tokens_to_mel(
            self.runtime, self.fill(tokens, mask, condition, negative, settings, rng, count, manner), rng
        )

    def fill(
        self,
        tokens: np.ndarray,
        mask: np.ndarray,
        condition: np.ndarray,
        negative: np.ndarray | None,
        settings: DecodeSettings,
        rng: np.random.Generator,
        count: Counter,
        manner: Manner,
    ) -> np.ndarray:
        """Decode the masked cells of a token grid, in overlapping windows where there are many columns.

        Args:
            tokens: int64 [rows, columns, levels], and mask bool [rows, columns], True = to be generated.
            condition: float32 [1, D], and negative the same or None.
            count: told of each step, over the windows of `windows(columns)`.
            manner: what is told beside the condition; its contour is of all columns.
        """
        tokens, mask, generator = tokens.copy(), mask.copy(), self.config.generator
        for low, high in self.windows(tokens.shape[1]):
            wanted = joined(condition, manner, generator, low)
            against = None if negative is None else joined(negative, manner, generator, low)
            tokens[:, low:high] = decode(
                self.runtime, tokens[None, :, low:high], mask[None, :, low:high], wanted, settings, [rng],
                against, count.steps,
            )[0]  # fmt: skip
            mask[:, low:high] = False
            count.window_done()
        return tokens

    def vocode(self, mel: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The waveform of a mel, as `mel_to_waveform` gives it."""
        return mel_to_waveform(self.runtime, mel, rng)

    def count(self, progress: Progress | None, columns: int, sounds: int = 1) -> Counter:
        """What `fill` reports to, for `sounds` grids of so many columns."""
        return Counter(progress, sounds * len(self.windows(columns)))

    def windows(self, columns: int) -> list[tuple[int, int]]:
        """Column ranges, each of at most the model's size and sharing CONTEXT_COLUMNS with the one before."""
        size = self.config.generator.max_columns
        context = min(CONTEXT_COLUMNS, size // 2)
        found = [(0, min(size, columns))]
        while found[-1][1] < columns:
            low = found[-1][1] - context
            found.append((low, min(low + size, columns)))
        return found

    def _columns(self, options: GenerateOptions) -> int:
        samples = math.ceil(options.seconds * self.config.mel.sample_rate)
        return max(MIN_COLUMNS, math.ceil(samples / self.config.column_samples))


class Counter:
    """Progress over all windows of all sounds, as one count of steps."""

    def __init__(self, progress: Progress | None, windows: int):
        self.progress, self.windows, self.done = progress, windows, 0

    def steps(self, step: int, steps: int) -> None:
        if self.progress:
            self.progress(self.done * steps + step, self.windows * steps)

    def window_done(self) -> None:
        self.done += 1
