"""Training material of the generator, prepared once: canvases as tokens, styles and contours in compact arrays.

A canvas costs milliseconds to arrange and to describe, and a training step needs dozens: drawn beforehand by all cores
and encoded in batches, they leave a step nothing to do but look up rows of tensors that lie on the device.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .. import distributed
from ..conditioning.style import Projection
from ..config.settings import CheckpointConfig, to_dict
from ..data.canvas_batches import Canvases, draw_canvases
from ..data.clips import ClipCache, cache_folder
from ..models.tokenizer import Tokenizer

FORMAT = 1  # of what is kept


@dataclass(frozen=True)
class Material:
    """Encoded canvases of one length.

    Attributes:
        tokens: int16 [n, rows, columns, levels].
        statistics: float16 [n, STATISTICS * n_mels], from which styles are projected.
        contours: uint8 [n, columns, 2 * contour_steps], as `contour.to_bytes` gives them.
        clips: int64 [n], places in the cache of the clips whose captions they have.
        embeddings: float16 [n, condition_dim], the sounds' own in the joint space; [n, 0] where nothing hears them.
    """

    tokens: Tensor
    statistics: Tensor
    contours: Tensor
    clips: Tensor
    embeddings: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def columns(self) -> int:
        return self.tokens.shape[2]

    def to(self, device: torch.device) -> Material:
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    def styles(self, projection: Projection) -> Tensor:
        """Styles float32 [n, style_dims] of all canvases."""
        parts = (projection.of_statistics(part.float().numpy()) for part in self.statistics.cpu().split(4096))
        return torch.from_numpy(np.concatenate(list(parts))).to(self.statistics.device)

    @classmethod
    @torch.no_grad()
    def encode(
        cls, batches: Iterable[Canvases], tokenizer: Tokenizer, device: torch.device,
        embed_audio: Callable[[Tensor], Tensor] | None = None,
    ) -> Material:  # fmt: skip
        """Encode canvases as they are drawn.

        Args:
            embed_audio: natural-log mel [n, n_mels, frames] -> float32 [n, condition_dim].
        """
        found: list[list[Tensor]] = []
        for batch in batches:
            mel = torch.from_numpy(batch.mel).to(device).float()
            heard = embed_audio(mel).half() if embed_audio else torch.zeros(len(mel), 0)
            found.append([
                tokenizer.encode(mel).short().cpu(), torch.from_numpy(batch.statistics).flatten(1).half(),
                torch.from_numpy(batch.contours), torch.from_numpy(batch.clips), heard.cpu(),
            ])  # fmt: skip
        return cls(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def prepare(
    clips: ClipCache, config: CheckpointConfig, tokenizer: Tokenizer, count: int, columns: int, *, seed: int = 0,
    embed_audio: Callable[[Tensor], Tensor] | None = None, workers: int = 1, device: torch.device | str = "cpu",
) -> Material:  # fmt: skip
    """The material of `count` canvases, from the cache if it was prepared before.

    Of several processes the first prepares it and the others read it.
    """
    path = cache_folder() / "material" / f"{_digest(clips, config, tokenizer, count, columns, seed, embed_audio)}.st"
    if not distributed.rank() and not path.exists():
        drawn = draw_canvases(clips, config, count, columns, seed, workers)
        made = Material.encode(drawn, tokenizer.to(device), torch.device(device), embed_audio)
        path.parent.mkdir(parents=True, exist_ok=True)
        building = path.with_name(f".{path.name}.{os.getpid()}")
        save_file({f.name: getattr(made, f.name).contiguous() for f in fields(made)}, building)
        os.replace(building, path)
    distributed.wait()
    return Material(**load_file(path)).to(torch.device(device))


def _digest(clips: ClipCache, config, tokenizer: Tokenizer, count: int, columns: int, seed: int, embed_audio) -> str:
    """What the material depends on. An embedder counts by its weights, and by its `fingerprint` if it has none here."""
    digest = hashlib.sha256(json.dumps([
        FORMAT, count, columns, seed, to_dict(config.mel), to_dict(config.tokenizer), config.generator.contour_steps,
        [(clip.key, clip.caption, clip.frames) for clip in clips.clips],
        embed_audio is not None, getattr(embed_audio, "fingerprint", ""),
    ]).encode())  # fmt: skip
    for module in (tokenizer, embed_audio):
        if isinstance(module, torch.nn.Module):
            for name, tensor in sorted(module.state_dict().items()):
                digest.update(name.encode() + tensor.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()[:16]
