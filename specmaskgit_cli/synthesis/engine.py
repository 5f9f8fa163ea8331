"""The engine: token grids filled in windows, new spectrograms, and their waveforms; every task works through it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from ..checkpoint.layout import Checkpoint
from ..conditioning.condition import Condition
from ..conditioning.timeline import Timing
from ..decoding.core import decode
from ..decoding.settings import DecodeSettings
from ..errors import UsageError
from ..options import VARIETY, EditOptions, SamplingOptions
from ..runtime import Runtime
from ..spectrogram.griffin_lim import Known
from .prompts import Prompts
from .render import mel_to_waveform, tokens_to_mel
from .stereo import beside, lasting_texture
from .timing import impose

CONTEXT_SECONDS = 2.4  # of a window past the first, already decided
MIN_COLUMNS = 2  # the graphs take no fewer
# Nats of the loudest cell, below which a result is almost silent and drawn again: about 1 in 100 of the prompts whose
# sounds die away. Of 390 ordinary sounds the softest had -1.7.
FAINT = -3.0
ATTEMPTS = 3

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Share:
    """An equal share of some work, which reports its progress as part of the whole.

    Attributes:
        report: called with (steps done, steps in all) of the whole; None for nobody.
        index, count: this share is number `index` of `count`.
    """

    report: Progress | None = None
    index: int = 0
    count: int = 1

    def part(self, index: int, count: int) -> Share:
        """Share `index` of `count` within this one."""
        return Share(self.report, self.index * count + index, self.count * count)

    def __call__(self, done: int, steps: int) -> None:
        """Report `done` of the `steps` of this share; all shares are taken to have as many."""
        if self.report:
            self.report(self.index * steps + done, self.count * steps)


@dataclass(frozen=True)
class Draw:
    """All that decides how tokens are drawn for one sound.

    Attributes:
        condition: what the sound is to be; None goes by the sound that stays, in an edit.
        negative: float32 [1, D], an embedding to steer away from, or None.
        settings: of the decoding core.
        rng: the generator of all that is random in the sound, advanced in place.
        progress: the share of the work that this sound is.
        layer: which layer of a scene it is, from 0 on.
    """

    condition: Condition | None
    negative: np.ndarray | None
    settings: DecodeSettings
    rng: np.random.Generator
    progress: Share = field(default_factory=Share)
    layer: int = 0

    def part(self, index: int, count: int) -> Draw:
        """The same for step `index` of `count`; the generator is shared."""
        return replace(self, progress=self.progress.part(index, count))


@dataclass(frozen=True)
class NewMel:
    """A new spectrogram.

    Attributes:
        mel: natural-log [n_mels, frames].
        drawn: the same as the decoder drew it, before its level was changed.
        tokens: int64 [rows, columns, levels] that it was drawn from; the last column may reach beyond it.
    """

    mel: np.ndarray
    drawn: np.ndarray
    tokens: np.ndarray


def rng_of(seed: int, index: int = 0, layer: int = 0) -> np.random.Generator:
    """The random generator of a sound, or with an index of another candidate for it: the one rule for all tasks.

    The first layer of a scene is the sound that its prompt alone gives.
    """
    return np.random.default_rng([seed, index, layer])


class Engine:
    """What tasks are made of: the models of a checkpoint, put together."""

    def __init__(self, checkpoint: Checkpoint, runtime: Runtime):
        self.runtime, self.config = runtime, checkpoint.config
        self.prompts = Prompts(checkpoint, runtime)

    def draws(self, options: SamplingOptions, progress: Share) -> Iterator[tuple[SamplingOptions, Draw]]:
        """For each of `options.num` sounds its own options, with its seed, and how it is to be drawn.

        Raises:
            SmgError: a sound to resemble that cannot be read, or is silent.
        """
        asked, negative = self.prompts.condition(options), None
        if options.negative:
            negative = self.prompts.text(options.negative)
        for index in range(options.num):
            one = replace(options, seed=options.seed + index, num=1)
            rng, condition = rng_of(one.seed), asked
            if asked and isinstance(options, EditOptions):  # all its windows are to have the same style
                condition = self.prompts.drawn(asked, rng)
            yield one, Draw(condition, negative, one.decode_settings, rng, progress.part(index, options.num))

    def generate(
        self, draw: Draw, seconds: float, variety: float = VARIETY, style_share: float = 1.0,
        timing: Timing | None = None,
    ) -> NewMel:  # fmt: skip
        """A new spectrogram; every new sound begins here, wherever it is asked for.

        Style and contour are drawn from the known sounds near the embedding. An almost silent result is drawn again.

        Args:
            draw: its condition has no contour, and the style of a sound to resemble or none.
            variety: how much sounds of one embedding differ, from 0 to 1.
            style_share: share of the condition's own style, if it has one, in the style drawn.
            timing: when it is to happen and how loud it is to be, if that is not left to the contour drawn.

        Raises:
            UsageError: a timing for a model that knows no contours.
        """
        steps = self.config.generator.contour_steps
        if timing and not steps:
            raise UsageError(f"model {self.config.name!r} has not learned to follow times and levels; use one that has")
        columns = self.columns_for(seconds)
        frames = math.ceil(seconds * self.config.mel.sample_rate / self.config.mel.hop_length)
        for attempt in range(ATTEMPTS):
            known = self.prompts.bank.columns if timing and timing.at else columns  # all of a sound, to find events in
            drawn = self.prompts.drawn(draw.condition, draw.rng, known, variety, style_share)
            if timing:
                timeline = timing.timeline(drawn.contour, columns, self.config)
                drawn = replace(drawn, contour=timeline.contour(columns, steps))
            progress = Share() if attempt else draw.progress
            new = self.new_mel(replace(draw, condition=drawn, progress=progress), columns)
            new = replace(new, mel=new.mel[:, :frames], drawn=new.drawn[:, :frames])
            if timing:
                new = replace(new, mel=impose(new.mel, timeline, self.config.mel))
            if new.mel.max() > FAINT:
                break
        return new

    def new_mel(self, draw: Draw, columns: int) -> NewMel:
        """A spectrogram of some columns, all of them generated by the condition as it is."""
        grid = self.config.rows, columns
        tokens, mask = np.zeros((*grid, self.config.tokenizer.levels), np.int64), np.ones(grid, bool)
        tokens = self.fill(tokens, mask, draw)
        mel = tokens_to_mel(self.runtime, tokens, draw.rng)
        return NewMel(mel, mel, tokens)

    def side(
        self, new: NewMel, mid: np.ndarray, width: float, rng: np.random.Generator, loop: bool = False
    ) -> np.ndarray:
        """The side [n] of a sound whose mono waveform [n] was made of a new spectrogram, as `stereo.beside` has it."""
        cfg, again = self.config.mel, tokens_to_mel(self.runtime, new.tokens, rng)[:, : new.mel.shape[1]]
        share = lasting_texture(new.mel, again + (new.mel - new.drawn), cfg)
        return beside(mid, share, width, cfg, rng, loop)

    def fill(self, tokens: np.ndarray, mask: np.ndarray, draw: Draw) -> np.ndarray:
        """Decode the masked cells of a token grid, in overlapping windows where there are many columns.

        Args:
            tokens: int64 [rows, columns, levels].
            mask: bool [rows, columns], True = to be generated.
            draw: has a condition, whose contour is of all columns.

        Returns:
            int64 of the shape of `tokens`, which is not modified.
        """
        tokens, mask, generator = tokens.copy(), mask.copy(), self.config.generator
        windows = self.windows(tokens.shape[1])
        for index, (low, high) in enumerate(windows):
            condition, negative = draw.condition.pack(generator, low), None
            if draw.negative is not None:
                negative = replace(draw.condition, embedding=draw.negative).pack(generator, low)
            tokens[:, low:high] = decode(
                self.runtime, tokens[None, :, low:high], mask[None, :, low:high], condition, draw.settings,
                [draw.rng], negative, draw.progress.part(index, len(windows)),
            )[0]  # fmt: skip
            mask[:, low:high] = False
        return tokens

    def vocode(self, mel: np.ndarray, rng: np.random.Generator, known: Known | None = None) -> np.ndarray:
        """The waveform float32 [frames * hop_length] of a mel, as `mel_to_waveform` gives it."""
        return mel_to_waveform(self.runtime, mel, rng, known)

    @property
    def context(self) -> int:
        """Columns that a window shares with the one before, or that lie around a part that is made anew."""
        return self.config.columns(CONTEXT_SECONDS)

    def windows(self, columns: int) -> list[tuple[int, int]]:
        """Ranges of columns, each of at most the model's size and sharing `context` columns with the one before."""
        size = self.config.generator.max_columns
        context = min(self.context, size // 2)
        found = [(0, min(size, columns))]
        while found[-1][1] < columns:
            low = found[-1][1] - context
            found.append((low, min(low + size, columns)))
        return found

    def columns_for(self, seconds: float) -> int:
        """The columns that hold a sound of a length."""
        samples = math.ceil(seconds * self.config.mel.sample_rate)
        return max(MIN_COLUMNS, math.ceil(samples / self.config.column_samples))
