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

from .audio.levels import fade, normalize_peak, peak_gain
from .checkpoint.layout import Checkpoint
from .checkpoint.registry import DEFAULT, ENVIRONMENT, resolve
from .conditioning.bank import Manner, joined
from .config.settings import GRIFFIN_LIM, VocoderConfig
from .decoding.core import decode
from .decoding.settings import DecodeSettings
from .options import (
    Box,
    ContinueOptions,
    EditOptions,
    ExtendOptions,
    GenerateOptions,
    InpaintOptions,
    LoopOptions,
    SketchOptions,
    VaryOptions,
)
from .runtime import Runtime, open_runtime
from .sounds.record import Origin, sha256
from .sounds.sound import Sound
from .synthesis.prompts import Conditions
from .synthesis.render import mel_to_waveform, tokens_to_mel
from .threads import one_blas_thread

if TYPE_CHECKING:
    from .tasks.embed import Embedding, EmbedOptions

CONTEXT_COLUMNS = 13  # of a window past the first, already decided: about 2.4 s
MIN_COLUMNS = 2
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
        return self.generate_many(GenerateOptions(prompt=prompt, **{**options, "num": 1}))[0]

    @one_blas_thread()
    def generate_many(self, options: GenerateOptions, progress: Progress | None = None) -> list[Sound]:
        """`options.num` sounds with seeds seed, seed + 1, ...: the same whether made together or one by one.

        Raises:
            SmgError: a `like` file that cannot be read.
        """
        if options.seed is None:
            options = replace(options, seed=secrets.randbelow(2**32 - options.num))
        condition, style = self.conditions.wish(options)
        negative = self.conditions.text(options.negative) if options.negative else None
        warnings = self.conditions.unfamiliar(options.prompt)
        count = self.count(progress, self._columns(options), options.num * options.candidates)
        sounds = []
        for seed in range(options.seed, options.seed + options.num):
            started = time.perf_counter()
            drawn = [
                self._draw(options, condition, style, negative, np.random.default_rng([seed, candidate]), count)
                for candidate in range(options.candidates)
            ]
            scores = [self.conditions.score(mel, condition) for mel, _ in drawn] if options.candidates > 1 else [None]
            best = int(np.argmax(scores)) if options.candidates > 1 else 0
            mel, rng = drawn[best]
            samples, gain = self._finish(self.vocode(mel, rng), options, seed)
            sounds.append(
                Sound(
                    samples, self.config.mel.sample_rate, mel, self.config.mel, seed,
                    replace(options, seed=seed, num=1), scores[best], warnings, time.perf_counter() - started,
                    gain=gain,
                )
            )  # fmt: skip
        return self._signed(sounds, options.like)

    def edit_many(self, options: EditOptions, progress: Progress | None = None) -> list[Sound]:
        """`options.num` edits of a file with seeds seed, seed + 1, ...; which task it is, the type of the options says.

        Raises:
            SmgError: a file that cannot be read, or does not suit the task.
        """
        from .tasks import edit

        return self._signed(edit(self, options, progress), options.input)

    def inpaint(self, input: str, *boxes: Box, **options) -> Sound:
        """Make boxes of time and frequency anew: `inpaint("in.wav", Box(1.0, 1.5))`; options of InpaintOptions."""
        return self.edit_many(InpaintOptions(input, boxes=boxes, **{**options, "num": 1}))[0]

    def extend(self, input: str, **options) -> Sound | None:
        """Add missing high frequencies; options of ExtendOptions. None where nothing is missing."""
        return next(iter(self.edit_many(ExtendOptions(input, **{**options, "num": 1}))), None)

    def continue_(self, input: str, seconds: float = 5.0, **options) -> Sound:
        """Go on after the end of a sound, or before its beginning; options of ContinueOptions."""
        return self.edit_many(ContinueOptions(input, seconds=seconds, **{**options, "num": 1}))[0]

    def vary(self, input: str, amount: float = 0.5, **options) -> Sound:
        """A sibling of a sound; options of VaryOptions."""
        return self.edit_many(VaryOptions(input, amount=amount, **{**options, "num": 1}))[0]

    def sketch(self, input: str, prompt: str, **options) -> Sound:
        """What a prompt says in the contour of a sound; options of SketchOptions."""
        return self.edit_many(SketchOptions(input, prompt=prompt, **{**options, "num": 1}))[0]

    def loop(self, input: str, **options) -> Sound:
        """A sound whose end runs into its beginning; options of LoopOptions."""
        return self.edit_many(LoopOptions(input, **{**options, "num": 1}))[0]

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

    def _draw(self, options, condition, style, negative, rng, count) -> tuple[np.ndarray, np.random.Generator]:
        """A mel [n_mels, frames] of the asked length, and the generator that goes on to draw its phases."""
        settings = options.decode_settings
        config, columns = self.config, self._columns(options)
        frames = math.ceil(options.seconds * config.mel.sample_rate / config.mel.hop_length)
        weight = options.like_weight if options.prompt is not None else 1.0
        for draw in range(DRAWS):
            manner = self.conditions.drawn(condition, rng, columns, options.variety, style, weight)
            told = count if draw == 0 else self.count(None, columns)
            mel = self.new_mel(columns, condition, negative, settings, rng, told, manner)[:, :frames]
            if mel.max() > FAINT:
                break
        return mel, rng

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

    def _finish(self, samples: np.ndarray, options: GenerateOptions, seed: int) -> tuple[np.ndarray, float]:
        """Exactly as long as asked, peak at -1 dBFS, and without clicks at the ends, or at the join of a loop.

        Also by what it was scaled for that.
        """
        rate = self.config.mel.sample_rate
        samples = samples[: round(options.seconds * rate)]
        if not options.loop:
            return fade(normalize_peak(samples), rate), peak_gain(samples)
        from .tasks.loop import JOIN_SECONDS, close_loop
        from .tasks.regenerate import Request

        closed, _ = close_loop(Request.of(self, options, seed), samples[:, None], rate, JOIN_SECONDS)
        return normalize_peak(closed[:, 0]), peak_gain(closed)


class Counter:
    """Progress over all windows of all sounds, as one count of steps."""

    def __init__(self, progress: Progress | None, windows: int):
        self.progress, self.windows, self.done = progress, windows, 0

    def steps(self, step: int, steps: int) -> None:
        if self.progress:
            self.progress(self.done * steps + step, self.windows * steps)

    def window_done(self) -> None:
        self.done += 1
