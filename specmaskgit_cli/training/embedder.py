"""Training of the audio tower against the frozen sentence encoder (contrastive, as CLAP, arXiv 2206.04769)."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import CheckpointConfig
from ..models.embedder import AudioTower
from .canvas import CanvasMaker
from .caption_bank import CaptionBank
from .data import ClipCache
from .loop import Stage, TrainOptions

COLUMNS = 22  # about 4 s


class EmbedderStage(Stage):
    """Loss: a canvas against all captions of its batch, both ways; captions of one label do not repel each other."""

    name = "embedder"

    def __init__(self, config: CheckpointConfig, options: TrainOptions, train: ClipCache, val: ClipCache, embed_text):
        super().__init__(config, options)
        self.makers = {"train": CanvasMaker(train, config.mel), "val": CanvasMaker(val, config.mel)}
        self.captions = CaptionBank([*train.clips, *val.clips], embed_text)
        self.model = TrainableEmbedder(AudioTower(config.embedder, config.mel))
        labels: dict[str, list[int]] = {}
        for clip in val.clips:
            labels.setdefault(clip.label, self.captions.wordings[clip.caption, clip.label])
        self.val_labels = list(labels)
        self.val_embeddings = torch.stack([self.captions.embeddings[i].mean(0) for i in labels.values()])
        self.validation = [self._batch("val", np.random.default_rng(i), 32) for i in range(8)]

    def _batch(self, split: str, rng, size: int):
        frames = COLUMNS * self.config.tokenizer.patch
        drawn = [self.makers[split].draw(rng, frames) for _ in range(size)]
        mel = torch.from_numpy(np.stack([m.T for m, _ in drawn])).to(self.device)
        text = torch.stack([self.captions.draw(clip, rng) for _, clip in drawn]).to(self.device)
        return mel, text, [clip.label for _, clip in drawn]

    def loss(self, rng, step):
        mel, text, labels = self._batch("train", rng, self.options.batch)
        noise = torch.from_numpy(rng.standard_normal(mel.shape, dtype=np.float32)).to(self.device)
        audio = self.model.tower(mel + 0.2 * noise)
        index = {label: i for i, label in enumerate(dict.fromkeys(labels))}
        ids = torch.tensor([index[label] for label in labels], device=self.device)
        target = (ids[:, None] == ids[None]).float()
        target = target / target.sum(1, keepdim=True)
        logits = self.model.scale.exp().clamp(max=100) * audio @ text.T
        contrast = 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))
        near = 1 - (audio * text).sum(1).mean()
        return contrast + near, {"contrast": float(contrast.detach()), "distance": float(near.detach())}

    def validate(self):
        """Zero-shot recognition of held-out canvases among the labels of the validation set."""
        top1 = top5 = cosine = total = 0.0
        for mel, text, labels in self.validation:
            audio = self.model.tower(mel)
            order = (audio @ self.val_embeddings.to(self.device).T).argsort(1, descending=True)[:, :5].tolist()
            for row, label in zip(order, labels, strict=True):
                found = [self.val_labels[i] for i in row]
                top1, top5, total = top1 + (found[0] == label), top5 + (label in found), total + 1
            cosine += float((audio * text).sum())
        return {"top1": top1 / total, "top5": top5 / total, "cosine": cosine / total}


class TrainableEmbedder(nn.Module):
    """The tower with the contrastive temperature."""

    def __init__(self, tower: AudioTower):
        super().__init__()
        self.tower = tower
        self.scale = nn.Parameter(Tensor([2.65]))
