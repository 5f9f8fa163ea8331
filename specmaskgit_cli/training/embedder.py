"""Training of the audio tower against the frozen sentence encoder (contrastive, as CLAP, arXiv 2206.04769)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .. import distributed
from ..checkpoint.layout import SUMS, load_checkpoint
from ..config.settings import CheckpointConfig
from ..data.canvas import CanvasMaker
from ..data.caption_embeddings import CaptionBank
from ..data.clips import ClipCache
from ..errors import SmgError
from ..models.embedder import AudioTower
from ..models.parts import AUDIO_ENCODER
from .batch_parts import BatchPart
from .loop import Stage, TrainOptions, load_run, run_config

COLUMNS = 22  # about 4 s


class EmbedderStage(Stage):
    """Loss: a canvas against all captions of its batch, both ways; captions of one label do not repel each other."""

    name = "embedder"

    def __init__(self, config: CheckpointConfig, options: TrainOptions, train: ClipCache, val: ClipCache, embed_text):
        super().__init__(config, options)
        self.makers = {"train": CanvasMaker(train, config.mel), "val": CanvasMaker(val, config.mel)}
        self.captions = CaptionBank([*train.clips, *val.clips], embed_text, self.device)
        self.model = TrainableEmbedder(AudioTower(config.embedder, config.mel))
        labels: dict[str, list[int]] = {}
        for clip in val.clips:
            labels.setdefault(clip.label, self.captions.wordings[clip.caption, clip.label])
        self.val_labels = list(labels)
        self.val_embeddings = torch.stack([self.captions.embeddings[i].mean(0) for i in labels.values()])
        self.label_ids = {label: i for i, label in enumerate(dict.fromkeys(clip.label for clip in train.clips))}
        self.validation = [self._batch("val", [np.random.default_rng(i)] * 32) for i in range(8)]

    def _batch(self, split: str, rngs: list) -> tuple[Tensor, Tensor, list[str]]:
        """(mels, embeddings of captions, labels), one for each generator."""
        frames = COLUMNS * self.config.tokenizer.patch_frames
        drawn = [self.makers[split].draw(rng, frames) for rng in rngs]
        text = torch.stack([self.captions.draw(clip, rng) for (_, clip), rng in zip(drawn, rngs, strict=True)])
        return torch.from_numpy(np.stack([m.T for m, _ in drawn])), text, [clip.label for _, clip in drawn]

    def draw(self, part):
        rngs = part.rngs(self.options.batch)
        mel, text, labels = self._batch("train", rngs)
        noise = torch.from_numpy(np.stack([rng.standard_normal(mel.shape[1:], np.float32) for rng in rngs]))
        return mel + 0.2 * noise, text, torch.tensor([float(self.label_ids[label]) for label in labels])

    def loss(self, part, drawn):
        """Every process computes the whole loss, since an example is held against all others; its gradient reaches
        the examples of the part, and as much of the temperature."""
        mel, text, labels = (t.to(self.device) for t in drawn)
        size, share = self.options.batch, part.share(self.options.batch)
        audio, text, labels = (_whole_batch(t, part, size) for t in (self.model.tower(mel), text, labels))
        target = (labels[:, None] == labels[None]).float()
        target = target / target.sum(1, keepdim=True)
        scale = self.model.scale.exp().clamp(max=100)
        logits = (share * scale + (1 - share) * scale.detach()) * audio @ text.T
        contrast = 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))
        near = 1 - (audio * text).sum(1).mean()
        loss = contrast + near
        logs = {"contrast": share * contrast.detach(), "distance": share * near.detach()}
        return loss - (1 - share) * loss.detach(), logs

    def validate(self):
        """Zero-shot recognition of held-out canvases among the labels of the validation set."""
        top1 = top5 = cosine = total = 0.0
        for mel, text, labels in self.validation:
            audio, text = self.model.tower(mel.to(self.device)), text.to(self.device)
            order = (audio @ self.val_embeddings.to(self.device).T).argsort(1, descending=True)[:, :5].tolist()
            for row, label in zip(order, labels, strict=True):
                found = [self.val_labels[i] for i in row]
                top1, top5, total = top1 + (found[0] == label), top5 + (label in found), total + 1
            cosine += float((audio * text).sum())
        return {"top1": top1 / total, "top5": top5 / total, "cosine": cosine / total}


def _whole_batch(own: Tensor, part: BatchPart, size: int) -> Tensor:
    """The rows [size, ...] of all processes, with gradients of those of this part."""
    rows = part.examples(size)
    whole = own.detach().new_zeros(size, *own.shape[1:])
    whole[rows] = own.detach()
    distributed.add_up(whole)
    return torch.cat([whole[: rows.start], own, whole[rows.stop :]])


class TrainableEmbedder(nn.Module):
    """The tower with the contrastive temperature."""

    def __init__(self, tower: AudioTower):
        super().__init__()
        self.tower = tower
        self.scale = nn.Parameter(Tensor([2.65]))


def load_tower(given: Path, config: CheckpointConfig) -> AudioTower:
    """The audio tower of an embedder's run or of a checkpoint, to condition a generator of `config` with.

    Raises:
        SmgError: there is none, or its embeddings are not of the generator's dimension.
    """
    found = run_config(given).embedder
    wanted = config.generator.condition_dim
    if found.dim != wanted:
        raise SmgError(f"{given}: embeds in {found.dim} dimensions, the text encoder in {wanted}")
    if found.kind == "clap":
        from .converted import ClapTower

        return ClapTower(given, config)
    trained = TrainableEmbedder(AudioTower(found, config.mel))
    if (given / SUMS).exists():
        tensors = load_checkpoint(given).tensors(AUDIO_ENCODER.weights)
        trained.tower.load_state_dict({name: torch.from_numpy(value).float() for name, value in tensors.items()})
        return trained.tower.eval().requires_grad_(False)
    return load_run(given, trained).tower.requires_grad_(False)
