"""What the examples of a training step are conditioned on, looked up and varied on the device."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..conditioning.condition import Layout
from ..conditioning.contour import LIMIT
from ..conditioning.style import Projection
from ..config.settings import GeneratorConfig
from ..data.caption_embeddings import CAPTION_SHARE, CaptionBank
from ..data.clips import ClipCache
from .material import Material

STYLE_DROPOUT = 0.15
CONTOUR_DROPOUT = 0.2
CONTOUR_GAP = 0.15  # share of the others of whose contour a span is not given, as of a sound with a gap to fill
BRIGHTNESS_DROPOUT = 0.2  # of the others again
SMOOTHING = (0.6, 0.2, 0.2)  # shares of the contours averaged over 1, 3 and 7 moments: sketches are coarse


class ExampleConditions:
    """Draws conditions for crops of canvases: parts of them are left out or made coarse, as they may be at run time.

    Args:
        captions: embeddings of all captions; None where sounds alone condition.
        audio_share: of the examples that are conditioned on their own sound.
        styles: gives the projection of styles, or None for a generator without; asked when it is first needed, as a
            run that is resumed brings its own.
    """

    def __init__(
        self,
        config: GeneratorConfig,
        captions: CaptionBank | None,
        audio_share: float,
        styles: Callable[[], Projection],
    ):
        self.config, self.captions, self.audio_share, self.styles = config, captions, audio_share, styles
        self._tables: dict[int, tuple[Tensor, Tensor]] = {}
        self._found: dict[int, Tensor] = {}

    def describe(self, material: Material, clips: ClipCache) -> None:
        """Tell which clips a material was made of."""
        if self.captions:
            self._tables[id(material)] = tuple(t.to(material.tokens.device) for t in self.captions.table(clips.clips))

    def draw(self, material: Material, rows: Tensor, first: Tensor, columns: int, generator: torch.Generator) -> Tensor:
        """Packed conditions [B, condition_size], for no guidance, of the canvases `rows` int64 [B], each from column
        `first` [B] on."""
        uniform = functools.partial(torch.rand, len(rows), generator=generator, device=rows.device)
        layout = Layout(self.config)
        packed = torch.zeros(len(rows), layout.size, device=rows.device)
        packed[:, layout.embedding] = self._embeddings(material, rows, uniform)
        if self.config.style_dims:
            kept = (uniform() >= STYLE_DROPOUT)[:, None].float()
            packed[:, layout.style], packed[:, layout.flag] = self._styles(material)[rows] * kept, kept
        if self.config.contour_steps:
            inside = first[:, None] + torch.arange(columns, device=rows.device)
            packed[:, layout.contour] = self._contours(material.contours[rows[:, None], inside], uniform, generator)
        return packed

    def _embeddings(self, material: Material, rows: Tensor, uniform: Callable[[], Tensor]) -> Tensor:
        if not self.captions:
            return material.embeddings[rows].float()
        table, counts = self._tables[id(material)]
        clips = material.clips[rows]
        chosen = (uniform() * counts[clips]).long() * (uniform() >= CAPTION_SHARE)
        text = self.captions.embeddings.to(rows.device)[table[clips, chosen]]
        if not self.audio_share:
            return text
        return torch.where((uniform() < self.audio_share)[:, None], material.embeddings[rows].float(), text)

    def _styles(self, material: Material) -> Tensor:
        """Styles of all canvases of a material."""
        if id(material) not in self._found:
            self._found[id(material)] = material.styles(self.styles())
        return self._found[id(material)]

    def _contours(self, stored: Tensor, uniform: Callable[[], Tensor], generator: torch.Generator) -> Tensor:
        """[B, max_columns * contour_size] from uint8 [B, columns, 2 * steps], as `contour.to_bytes` gives it."""
        columns, device = stored.shape[1], stored.device
        lines = (stored.float() / 255).unflatten(2, (2, -1)).transpose(1, 2).flatten(2)  # [B, 2, columns * steps]
        lines = torch.stack([lines[:, 0], LIMIT * (2 * lines[:, 1] - 1)], 1)
        coarseness = uniform()[:, None, None]
        for width, above in ((3, SMOOTHING[0]), (7, SMOOTHING[0] + SMOOTHING[1])):
            padded = F.pad(lines, (width // 2, width // 2), mode="replicate")
            lines = torch.where(coarseness >= above, F.avg_pool1d(padded, width, 1), lines)
        contour = lines.unflatten(2, (columns, -1)).transpose(1, 2)  # [B, columns, 2, steps]
        loudness = (uniform() >= CONTOUR_DROPOUT)[:, None].expand(-1, columns)
        ends = (
            torch.randint(columns + 1, (2, len(stored)), generator=generator, device=device).sort(0).values[..., None]
        )
        places = torch.arange(columns, device=device)
        gap = (uniform() < CONTOUR_GAP)[:, None] & (places >= ends[0]) & (places < ends[1])
        loudness = loudness & ~gap
        given = torch.stack([loudness, loudness & (uniform() >= BRIGHTNESS_DROPOUT)[:, None]], 2).float()
        contour = torch.cat([(contour * given[..., None]).flatten(2), given], 2)
        return F.pad(contour, (0, 0, 0, self.config.max_columns - columns)).flatten(1)
