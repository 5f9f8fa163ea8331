"""Sound without an end: windows of tokens that each go on from the last, vocoded in pieces that are joined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..audio.joining import Joiner
from ..audio.levels import fade
from ..audio.steady import Steady
from ..conditioning.condition import Condition
from ..conditioning.contour import louder, loudness_of
from ..options import StreamOptions
from ..synthesis.engine import MIN_COLUMNS, Draw, Engine, rng_of
from ..synthesis.render import OVERLAP_SECONDS, tokens_to_mel
from ..synthesis.stereo import beside, lasting_texture
from ..threads import one_blas_thread

BLOCK_SECONDS = 2.0  # of new sound a window
AHEAD_SECONDS = 0.56  # of tokens that follow a piece: the decoder sees them, and what is farther changes nothing
MOST_LOUDER = 0.3  # by which the loudness of a contour is changed to that of the others: 16 dB
SHORTEST_SECONDS = 0.05  # of the last block, so that the fade has its place


class Stream:
    """Blocks of a sound without an end, float32 [channels, n] of about two seconds each: an iterator.

    What is past is forgotten, but for the context of the next window, so that memory does not grow. Each window has a
    random generator of its own: the same seed makes the same blocks, and no window comes twice.

    Attributes:
        options: what was asked for; they have a seed.
        rate: in Hz.
        warnings: about the prompt, a line each.
    """

    def __init__(self, engine: Engine, options: StreamOptions):
        config = engine.config
        self.options, self.rate, self.warnings = options, config.mel.sample_rate, ()
        self._engine, self._windows = engine, 0
        self._negative = None if options.negative is None else engine.prompts.text(options.negative)
        self._overlap, self._ahead = config.columns(OVERLAP_SECONDS), config.columns(AHEAD_SECONDS)
        self._fresh = max(MIN_COLUMNS, 2 * self._overlap, config.columns(BLOCK_SECONDS))
        self._kept = max(engine.context, self._overlap + self._ahead + 1)
        self._tokens = np.zeros((config.rows, 0, config.tokenizer.levels), np.int64)
        self._plan = _Plan(engine, options.variety)
        self._joiner = Joiner(self._overlap * config.column_samples, self.rate)
        self._steady = Steady(self.rate)
        self._left = None if options.seconds is None else round(options.seconds * self.rate)  # samples to come
        self._waiting = np.zeros((options.channels, 0), np.float32)  # samples that the next block begins with
        self.turn(options.prompt)

    def turn(self, prompt: str | None) -> None:
        """Go over to another prompt: some seconds of sound later it is what that says.

        Raises:
            UsageError: it is empty, or too long.
        """
        text = replace(self.options, prompt=prompt).prompt
        self._plan.turn(self._engine.prompts.text(text))
        self._seen = self._overlap + self._ahead  # of what was before, or the old sound would hold on to itself
        self.warnings = self._engine.prompts.unfamiliar(text)

    def __iter__(self) -> Stream:
        return self

    @one_blas_thread()
    def __next__(self) -> np.ndarray:
        if self._left == 0:
            raise StopIteration
        made = self._steady.add(_channels(self._joiner.add(self._piece()), self.options.channels))
        if self._windows == 1:
            made = fade(made, self.rate, seconds_out=0.0)
        block = np.concatenate([self._waiting, made], axis=1)
        if self._left is None:
            return block
        if self._left <= block.shape[1]:
            block, self._left = fade(block[:, : self._left], self.rate, seconds_in=0.0), 0
            return block
        count = min(block.shape[1], self._left - round(SHORTEST_SECONDS * self.rate))
        self._waiting, self._left = block[:, count:], self._left - count
        return block[:, :count]

    def end(self) -> np.ndarray:
        """End it early: what there is of the sound after the last block, faded out, [channels, n]; no block follows."""
        if self._left == 0:
            return self._waiting[:, :0]
        last = self._steady.end(_channels(self._joiner.end(), self.options.channels))
        last = np.concatenate([self._waiting, last], axis=1)[:, : self._left]
        self._left = 0
        return fade(last, self.rate, seconds_in=0.0)

    def _piece(self) -> np.ndarray:
        """The next piece of the sound, which overlaps the last, as mid and side [channels, n]."""
        engine, options = self._engine, self.options
        config, rng = engine.config, rng_of(options.seed, self._windows)
        known = self._tokens.shape[1]
        fresh = self._fresh if known else self._fresh + self._ahead
        first = max(0, known - self._seen)
        mask = np.broadcast_to(np.arange(first, known + fresh) >= known, (config.rows, known + fresh - first))
        draw = Draw(self._plan.condition(known, fresh, first, rng), self._negative, options.decode_settings, rng)
        tokens = np.pad(self._tokens, ((0, 0), (0, fresh), (0, 0)))
        tokens[:, first:] = engine.fill(tokens[:, first:], mask, draw)
        stop = known + fresh - self._ahead
        start = max(0, stop - self._fresh - self._overlap)
        frames = slice(start * config.tokenizer.patch_frames, stop * config.tokenizer.patch_frames)
        mel = tokens_to_mel(engine.runtime, tokens, rng)[:, frames]
        mid = engine.vocode(mel, rng)
        rows = [mid]
        if options.channels == 2:
            again = tokens_to_mel(engine.runtime, tokens, rng)[:, frames]
            share = lasting_texture(mel, again, config.mel)
            rows.append(beside(mid, share, options.width, config.mel, rng))
        forgotten = max(0, known + fresh - self._kept)
        self._tokens, self._windows = tokens[:, forgotten:].copy(), self._windows + 1
        self._seen = min(self._seen + fresh, self._kept)
        self._plan.forget(forgotten)
        return np.stack(rows)


class _Plan:
    """What each window of a stream is to be: contours of known sounds one after the other, with the styles of these."""

    def __init__(self, engine: Engine, variety: float):
        self._prompts, self._variety = engine.prompts, variety
        self._turned = False  # whether the prompt is new
        self._condition: Condition | None = None  # its contour is of all columns from the first that is kept
        self._columns = 0  # that have a contour
        self._loudness = 0.0  # of all contours, that of the first

    def turn(self, embedding: np.ndarray) -> None:
        """Another embedding [1, D] from the next window on."""
        self._text, self._turned = Condition(embedding), True

    def condition(self, known: int, fresh: int, first: int, rng: np.random.Generator) -> Condition:
        """Of a window from column `first` on, where `known` columns are kept and decided, and `fresh` ones follow."""
        if self._turned:  # the contour of columns that are to come no longer counts
            self._columns = known
        while self._columns < known + fresh:
            # A prompt begins with the loudest part of a known sound, so that it is heard at once.
            self._extend(fresh if self._turned else max(fresh, self._prompts.bank.columns), rng)
            self._turned = False
        contour = self._condition.contour
        return replace(self._condition, contour=None if contour is None else contour[first:])

    def forget(self, columns: int) -> None:
        """The first columns are no longer kept."""
        self._columns -= columns
        if self._condition.contour is not None:
            self._condition = replace(self._condition, contour=self._condition.contour[columns:].copy())

    def _extend(self, columns: int, rng: np.random.Generator) -> None:
        """Draw another known sound near the prompt, and append so many columns of its contour."""
        drawn, last = self._prompts.drawn(self._text, rng, columns, self._variety), self._condition
        if drawn.contour is not None:
            if self._turned:
                self._loudness = loudness_of(drawn.contour)
            # Contours are told by the loudest moment of each recording, which in one may be a crack in the quiet.
            change = np.clip(self._loudness - loudness_of(drawn.contour), -MOST_LOUDER, MOST_LOUDER)
            contour = louder(drawn.contour, float(change))
            if last is not None:
                contour = np.concatenate([last.contour[: self._columns], contour])
            drawn = replace(drawn, contour=contour)
        if drawn.style is not None and not self._turned:  # half way, or each sound would be a step
            drawn = replace(drawn, style=(last.style + drawn.style) / 2)
        self._condition, self._columns = drawn, self._columns + columns


def _channels(rows: np.ndarray, count: int) -> np.ndarray:
    """Mid and side, or the mid alone, as so many channels [count, n]."""
    return np.stack([rows[0] + rows[1], rows[0] - rows[1]]) if count == 2 else rows[:1]
