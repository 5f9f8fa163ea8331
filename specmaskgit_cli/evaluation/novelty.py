"""How varied generated sounds are, and whether they are copies of what the model was trained on."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain

import numpy as np

from ..pipeline import Pipeline
from .clips import arrange
from .copying import Nearest, TrainingClips
from .distances import mean_pairwise
from .embedders import OwnEmbedder
from .material import EvaluationOptions, Group, Material
from .synthesis import round_trip

SAME_LABEL = 8  # real clips of a label, at most, whose diversity is measured
CONTROLS = 32  # training clips put through the tokenizer, to see what a copy would look like


def diversity(groups: dict[str, Group], material: Material, training: TrainingClips | None) -> dict[str, float | None]:
    """Mean cosine distance between seeds of one prompt, and between real clips of one label for comparison."""
    made = groups["generated"].own
    seeds = float(np.mean([mean_pairwise(made[:, i]) for i in range(made.shape[1])])) if len(made) > 1 else None
    by_label: dict[str, list[np.ndarray]] = defaultdict(list)
    for clip, embedding in zip(material.subjects, groups["real"].own[0], strict=True):
        by_label[clip.label].append(embedding)
    if training:
        for label, embedding in zip(training.labels, training.embeddings, strict=True):
            if label in by_label:
                by_label[label].append(embedding)
    spans = [mean_pairwise(np.stack(found[:SAME_LABEL])) for found in by_label.values() if len(found) > 1]
    real = float(np.mean(spans)) if spans else None
    return {
        "between_seeds": seeds,
        "between_real_of_a_label": real,
        "ratio": seeds / real if seeds is not None and real else None,
    }


def nearest_training(
    pipe: Pipeline, groups: dict[str, Group], known: TrainingClips, own: OwnEmbedder, options: EvaluationOptions
) -> dict[str, list[Nearest]]:
    """The nearest training clip of each real and generated sound, and, for comparison, of training clips that went
    through the tokenizer."""
    rate = pipe.config.mel.sample_rate
    found = {}
    for name in ("real", "generated"):
        group = groups[name]
        pairs = zip(chain(*group.takes), chain(*group.own), strict=True)
        found[name] = [known.nearest(wave, vector) for wave, vector in pairs]
    chosen = np.random.default_rng(options.seed).permutation(len(known.cache.clips))[:CONTROLS]
    waves = [arrange(known.cache.clip_wave(known.cache.clips[i]), options.seconds, pipe.config.mel) for i in chosen]
    copies = [round_trip(pipe, wave)[1] for wave in waves]
    found["copies"] = [known.nearest(wave, own.embed(wave, rate)) for wave in copies]
    return found


def each_nearest(group: Group, found: list[Nearest]) -> list[dict]:
    """For each sound of a group its nearest training clip, as a report has it."""
    texts = group.texts * len(group.takes)
    return [
        {"prompt": text, "take": index // len(group.texts), "training_clip": near.key,
         "cosine": near.cosine, "distance": near.distance}
        for index, (text, near) in enumerate(zip(texts, found, strict=True))
    ]  # fmt: skip
