"""The tasks a user asks for: each sets up tokens, mask and condition, runs the decoding core and finishes the sound."""

from __future__ import annotations

import functools
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from .audio.files import lossless_subtype, read_mono, write_audio
from .audio.image import save_spectrogram
from .audio.levels import fade, normalize_peak
from .audio.mel import log_mel
from .checkpoint.card import known_sounds
from .checkpoint.layout import Checkpoint
from .checkpoint.registry import resolve
from .config import MelConfig, VocoderConfig
from .decoding import DecodeSettings, decode
from .errors import UsageError
from .options import (
    Box,
    ContinueOptions,
    EditOptions,
    ExtendOptions,
    GenerateOptions,
    InpaintOptions,
    LoopOptions,
    SamplingOptions,
    VaryOptions,
)
from .render import mel_to_waveform, tokens_to_mel
from .runtime import Runtime, open_runtime

INPUT_PEAK_DB = -0.9  # level of all sounds the models were trained on
CONTEXT_COLUMNS = 13  # of a window past the first, already decided: about 2.4 s
MIN_COLUMNS = 2
FAMILIAR = 0.5  # cosine to the nearest known sound below which a prompt is called unfamiliar
GRIFFIN_LIM = "griffin-lim"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Sound:
    """A finished sound.

    Attributes:
        samples: float32 in [-1, 1], [n], or [n, channels] where a file was edited.
        rate: samples a second.
        mel: the spectrogram it was made from, natural-log [n_mels, frames].
        seed: what makes it again.
        options: what was asked for.
        score: cosine of prompt and sound in the joint space; None unless candidates were compared.
        warnings: one line each.
        seconds_taken: time to make it.
        subtype: libsndfile's name for how the edited file stores samples; saved so where the format can.
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

    def save(self, path: str, image: str | None = None) -> None:
        """Write the sound, complete or not at all, and if wanted a PNG of its spectrogram.

        Args:
            path: its extension says the format (wav, flac, ogg, opus, mp3); "-" is WAV on standard output.

        Raises:
            SmgError: a file cannot be written.
        """
        write_audio(path, self.samples, self.rate, subtype=lossless_subtype(path, self.subtype))
        if image:
            save_spectrogram(image, self.mel, self.mel_config)


def load(
    model: str | None = None,
    backend: str = "auto",
    device: str = "cpu",
    threads: int | None = None,
    vocoder: str | None = None,
) -> Pipeline:
    """Open a model: the shipped one, a checkpoint directory, or "owner/name[@revision]" on the Hub.

    Args:
        backend: "onnx", "torch" or "auto"; see `open_runtime` for this and the next two.
        vocoder: "griffin-lim", which needs no weights, or a model to take the vocoder from; None takes the model's own.

    Raises:
        SmgError: no such model, a damaged one, or a backend or device that is not there.
    """
    checkpoint, other = resolve(model), None
    if vocoder == GRIFFIN_LIM:
        other = replace(checkpoint, config=replace(checkpoint.config, vocoder=VocoderConfig(kind=GRIFFIN_LIM)))
    elif vocoder is not None:
        other = resolve(vocoder)
    return Pipeline(checkpoint, open_runtime(checkpoint, backend, device, threads, other))


class Pipeline:
    """A model ready to make sounds."""

    def __init__(self, checkpoint: Checkpoint, runtime: Runtime):
        self.checkpoint, self.runtime, self.config = checkpoint, runtime, checkpoint.config

    def generate(self, prompt: str | None = None, **options) -> Sound:
        """One sound from a text: `generate("dog barking", seconds=4)`; the options are those of GenerateOptions.

        Raises:
            SmgError: an option out of range, or a `like` file that cannot be read.
        """
        return self.generate_many(GenerateOptions(prompt=prompt, **{**options, "num": 1}))[0]

    def generate_many(self, options: GenerateOptions, progress: Progress | None = None) -> list[Sound]:
        """`options.num` sounds with seeds seed, seed + 1, ...: the same whether made together or one by one.

        Raises:
            SmgError: a `like` file that cannot be read.
        """
        if options.seed is None:
            options = replace(options, seed=secrets.randbelow(2**32 - options.num))
        condition = self._condition(options)
        negative = self.runtime.embed_text([options.negative]) if options.negative else None
        warnings = self.unfamiliar(options.prompt)
        count = self.count(progress, self._columns(options), options.num * options.candidates)
        sounds = []
        for seed in range(options.seed, options.seed + options.num):
            started = time.perf_counter()
            drawn = [
                self._draw(options, condition, negative, np.random.default_rng([seed, candidate]), count)
                for candidate in range(options.candidates)
            ]
            scores = [self._score(mel, condition) for mel, _ in drawn] if options.candidates > 1 else [None]
            best = int(np.argmax(scores)) if options.candidates > 1 else 0
            mel, rng = drawn[best]
            samples = self._finish(mel_to_waveform(self.runtime, mel, rng), options, seed)
            sounds.append(
                Sound(
                    samples, self.config.mel.sample_rate, mel, self.config.mel, seed,
                    replace(options, seed=seed, num=1), scores[best], warnings, time.perf_counter() - started,
                )
            )  # fmt: skip
        return sounds

    def edit_many(self, options: EditOptions, progress: Progress | None = None) -> list[Sound]:
        """`options.num` edits of a file with seeds seed, seed + 1, ...; which task it is, the type of the options says.

        Raises:
            SmgError: a file that cannot be read, or does not suit the task.
        """
        from .editing import edit

        return edit(self, options, progress)

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

    def loop(self, input: str, **options) -> Sound:
        """A sound whose end runs into its beginning; options of LoopOptions."""
        return self.edit_many(LoopOptions(input, **{**options, "num": 1}))[0]

    def _draw(self, options, condition, negative, rng, count) -> tuple[np.ndarray, np.random.Generator]:
        """A mel [n_mels, frames] of the asked length, and the generator that goes on to draw its phases."""
        settings = DecodeSettings(
            options.steps, options.guidance, options.temperature, options.top_p, order=options.order
        )
        config = self.config
        grid = (config.rows, self._columns(options))
        tokens, mask = np.zeros((*grid, config.tokenizer.levels), np.int64), np.ones(grid, bool)
        tokens = self.fill(tokens, mask, condition, negative, settings, rng, count)
        frames = math.ceil(options.seconds * config.mel.sample_rate / config.mel.hop_length)
        return tokens_to_mel(self.runtime, tokens, rng)[:, :frames], rng

    def fill(
        self,
        tokens: np.ndarray,
        mask: np.ndarray,
        condition: np.ndarray,
        negative: np.ndarray | None,
        settings: DecodeSettings,
        rng: np.random.Generator,
        count: Counter,
    ) -> np.ndarray:
        """Decode the masked cells of a token grid, in overlapping windows where there are many columns.

        Args:
            tokens: int64 [rows, columns, levels], and mask bool [rows, columns], True = to be generated.
            condition: float32 [1, D], and negative the same or None.
            count: told of each step, over the windows of `windows(columns)`.
        """
        tokens, mask = tokens.copy(), mask.copy()
        for low, high in self.windows(tokens.shape[1]):
            tokens[:, low:high] = decode(
                self.runtime, tokens[None, :, low:high], mask[None, :, low:high], condition, settings, [rng],
                negative, count.steps,
            )[0]  # fmt: skip
            mask[:, low:high] = False
            count.window_done()
        return tokens

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

    def _condition(self, options: GenerateOptions) -> np.ndarray:
        """The direction in the joint space to go for, [1, D]: the prompt, the sound to resemble, or between them."""
        parts = []
        if options.prompt is not None:
            parts.append((self.runtime.embed_text([options.prompt]), 1 - options.like_weight if options.like else 1.0))
        if options.like is not None:
            weight = options.like_weight if options.prompt is not None else 1.0
            parts.append((self.runtime.embed_audio(self._read_mel(options.like)[None]), weight))
        total = sum(weight * embedding for embedding, weight in parts)
        return (total / max(float(np.linalg.norm(total)), 1e-6)).astype(np.float32)

    def _read_mel(self, path: str) -> np.ndarray:
        """A sound file as the models hear it: mono, at their rate and level; at most the window's length of it."""
        config = self.config
        samples = read_mono(path, config.mel.sample_rate)[: config.generator.max_columns * config.column_samples]
        if not np.any(samples):
            raise UsageError(f"{path} is silent; name a file with sound in it")
        mel = log_mel(normalize_peak(samples, INPUT_PEAK_DB), config.mel)
        missing = max(0, config.tokenizer.patch - mel.shape[1])
        return np.pad(mel, ((0, 0), (0, missing)), constant_values=math.log(config.mel.log_clamp))

    def _score(self, mel: np.ndarray, condition: np.ndarray) -> float:
        missing = max(0, self.config.tokenizer.patch - mel.shape[1])
        padded = np.pad(mel, ((0, 0), (0, missing)), constant_values=self.config.mel.scale_min)
        return float((self.runtime.embed_audio(padded[None]) @ condition.T)[0, 0])

    def _finish(self, samples: np.ndarray, options: GenerateOptions, seed: int) -> np.ndarray:
        """Exactly as long as asked, peak at -1 dBFS, and without clicks at the ends, or at the join of a loop."""
        rate = self.config.mel.sample_rate
        samples = samples[: round(options.seconds * rate)]
        if not options.loop:
            return fade(normalize_peak(samples), rate)
        from .editing.loop import JOIN_SECONDS, close_loop
        from .editing.regenerate import Request

        closed, _ = close_loop(Request.of(self, options, seed), samples[:, None], rate, JOIN_SECONDS)
        return normalize_peak(closed[:, 0])

    @functools.cached_property
    def sounds(self) -> list[str]:
        """Names of the sounds the model was trained on."""
        return known_sounds(self.checkpoint)

    def nearest_sounds(self, prompt: str, count: int = 3) -> list[tuple[str, float]]:
        """The known sounds nearest to a text, with their cosines; empty for a model that has no list of them."""
        if not self.sounds:
            return []
        embeddings = self.checkpoint.tensors("known_sounds.safetensors")["embeddings"]
        cosines = embeddings @ self.runtime.embed_text([prompt])[0]
        return [(self.sounds[i], float(cosines[i])) for i in np.argsort(-cosines)[:count]]

    def unfamiliar(self, prompt: str | None) -> tuple[str, ...]:
        """A warning where a prompt is far from all that the model was trained on."""
        nearest = self.nearest_sounds(prompt) if prompt else []
        if not nearest or nearest[0][1] >= FAMILIAR:
            return ()
        names = ", ".join(name for name, _ in nearest)
        return (f"{prompt!r} is far from the sounds this model knows; the nearest are: {names}",)


class Counter:
    """Progress over all windows of all sounds, as one count of steps."""

    def __init__(self, progress: Progress | None, windows: int):
        self.progress, self.windows, self.done = progress, windows, 0

    def steps(self, step: int, steps: int) -> None:
        if self.progress:
            self.progress(self.done * steps + step, self.windows * steps)

    def window_done(self) -> None:
        self.done += 1
