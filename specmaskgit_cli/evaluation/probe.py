"""The linear probe: how much of what a sound is can be read off the generator's hidden states by a linear classifier.

As the authors of SpecMaskGIT do (arXiv 2406.17672), beside the same classifier on statistics of the log-mel alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..audio.files import atomic_path
from ..audio.levels import normalize_peak
from ..data.labels import LabelledClip, read_wave
from ..errors import SmgError, UsageError
from ..pipeline import Pipeline
from ..spectrogram.mel import log_mel
from ..synthesis.prompts import INPUT_PEAK_DB
from ..tasks.embed import EmbedOptions, embed_wave

BASELINE = "log-mel"
TOWER = "audio tower"
MIN_PER_LABEL = 2


@dataclass(frozen=True)
class ProbeOptions:
    """How to probe.

    Attributes:
        folds: number of parts to hold out in turn, where the data does not say which clips belong together.
        strength: inverse of the regularisation of the classifier.
        seed: of the folds, and of the hidden tokens.

    Raises:
        UsageError: a value out of range.
    """

    folds: int = 5
    strength: float = 0.01
    seed: int = 0

    def __post_init__(self):
        if self.folds < 2:
            raise UsageError(f"folds is {self.folds}; use 2 or more")
        if not self.strength > 0:
            raise UsageError(f"strength is {self.strength}; use more than 0")


def collect(
    pipe: Pipeline, clips: list[LabelledClip], options: EmbedOptions, cache: Path | None = None,
    report: Callable[[int, int], None] | None = None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Features of all clips by name, float32 [clips, size]: the log-mel's, the layers', the audio tower's if there is
    one, and the last layer's beside the tower's.

    Args:
        cache: .npz to read them from, if it is of this model, these clips and options, else to write them to.

    Raises:
        SmgError: a clip that cannot be read, or a checkpoint without the graph for features.
    """
    keys = [clip.key for clip in clips]
    about = f"{pipe.checkpoint.hash} {pipe.runtime.backend} {options}"
    if cache and (known := _read_cache(cache, keys, about)):
        return known
    layers = options.chosen(pipe.config)
    names = [BASELINE] + [f"layer {n}" if n else "input" for n in layers]
    names += [TOWER] if "audio_encoder.safetensors" in pipe.checkpoint else []
    rows = []
    for index, clip in enumerate(clips):
        rows.append(_features(pipe, read_wave(clip, pipe.config.mel.sample_rate), options))
        if report:
            report(index + 1, len(clips))
    found = {name: np.stack(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    if cache:
        with atomic_path(cache) as temporary, temporary.open("wb") as file:
            np.savez(file, about=np.array(about), keys=np.array(keys), names=np.array(list(found)), **found)
    return found


def _features(pipe: Pipeline, wave: np.ndarray, options: EmbedOptions) -> list[np.ndarray]:
    wave = normalize_peak(wave, INPUT_PEAK_DB)
    mel = log_mel(wave, pipe.config.mel)
    found = [np.concatenate([mel.mean(1), mel.std(1)])]
    found += list(embed_wave(pipe.runtime, wave, options).summary)
    if "audio_encoder.safetensors" in pipe.checkpoint:
        missing = max(0, pipe.config.tokenizer.patch_frames - mel.shape[1])
        padded = np.pad(mel, ((0, 0), (0, missing)), constant_values=np.log(pipe.config.mel.log_clamp))
        found.append(pipe.runtime.embed_audio(padded[None].astype(np.float32))[0])
    return found


def _read_cache(path: Path, keys: list[str], about: str) -> dict[str, np.ndarray] | None:
    try:
        with np.load(path) as file:
            if str(file["about"]) == about and list(file["keys"]) == keys:
                return {str(name): file[str(name)] for name in file["names"]}
    except (OSError, ValueError, KeyError):
        pass
    return None


def probe(features: dict[str, np.ndarray], clips: list[LabelledClip], options: ProbeOptions) -> dict[str, dict]:
    """Cross-validated measures by feature: accuracy (clips of one label each), mAP and ROC-AUC, macro-averaged over
    labels, and the standard deviation of the first of them over the folds.

    Raises:
        SmgError: scikit-learn is missing, or there are too few clips or labels.
    """
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise SmgError("the probe needs scikit-learn: pip install '.[probe]' in a checkout of smg") from None
    labels = sorted({label for clip in clips for label in clip.labels})
    truth = np.array([[label in clip.labels for label in labels] for clip in clips])
    if len(labels) < 2:
        raise SmgError(f"{len(clips)} clips of {len(labels)} label; a probe needs two labels or more")
    splits = _splits(clips, truth, options)
    single = bool((truth.sum(1) == 1).all())
    results = {}
    for name, x in features.items():
        scores = [_score(x, truth, train, test, single, options) for train, test in splits]
        first = next(iter(scores[0]))
        results[name] = {key: float(np.mean([score[key] for score in scores])) for key in scores[0]}
        results[name]["deviation"] = float(np.std([score[first] for score in scores]))
    return results


def _splits(clips: list[LabelledClip], truth: np.ndarray, options: ProbeOptions) -> list[tuple[np.ndarray, np.ndarray]]:
    """(training, test) indices: by the data's own folds if all clips have one, where "train" and "test" are one split;
    else drawn, with the shares of the labels kept."""
    folds = np.array([clip.fold or "" for clip in clips])
    if (folds != "").all():
        names = set(folds)
        if names <= {"train", "valid", "test"} and {"train", "test"} <= names:
            return [(np.flatnonzero(folds != "test"), np.flatnonzero(folds == "test"))]
        if len(names) > 1:
            return [(np.flatnonzero(folds != name), np.flatnonzero(folds == name)) for name in sorted(names)]
    from sklearn.model_selection import KFold, StratifiedKFold

    if (truth.sum(1) == 1).all():
        rarest = int(truth.sum(0).min())
        if rarest < MIN_PER_LABEL:
            raise SmgError("a label has a single clip; give each label at least two")
        maker = StratifiedKFold(min(options.folds, rarest), shuffle=True, random_state=options.seed)
        return list(maker.split(truth, truth.argmax(1)))
    maker = KFold(min(options.folds, len(clips)), shuffle=True, random_state=options.seed)
    return list(maker.split(truth))


def _score(x, truth, train, test, single: bool, options: ProbeOptions) -> dict[str, float]:
    from sklearn.metrics import average_precision_score, roc_auc_score
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x[train])
    known, new = scaler.transform(x[train]), scaler.transform(x[test])
    if known.shape[1] > len(known):  # the penalty does not change under rotation: fit in the span of the clips
        basis = np.linalg.svd(known, full_matrices=False)[2].T
        known, new = known @ basis, new @ basis
    scores = _fit(known, truth[train], single, options)(new)
    target = truth[test]
    both = target.any(0) & ~target.all(0)  # a label that none or all of the test clips have cannot be ranked by
    if not both.any():
        raise SmgError("a fold holds clips of one label alone; use fewer folds, or none of the data's own")
    measures = {"accuracy": float((scores.argmax(1) == target.argmax(1)).mean())} if single else {}
    return measures | {
        "map": float(np.mean([average_precision_score(target[:, k], scores[:, k]) for k in np.flatnonzero(both)])),
        "auc": float(np.mean([roc_auc_score(target[:, k], scores[:, k]) for k in np.flatnonzero(both)])),
    }


def _fit(x, truth, single: bool, options: ProbeOptions) -> Callable[[np.ndarray], np.ndarray]:
    """A function from features [n, size] to probabilities [n, labels], of one softmax or of a sigmoid a label."""
    from sklearn.linear_model import LogisticRegression

    def new() -> LogisticRegression:
        return LogisticRegression(C=options.strength, max_iter=2000)

    if single:
        known = np.flatnonzero(truth.any(0))
        if len(known) < 2:
            raise SmgError("the clips to train on have one label alone; use other folds")
        model = new().fit(x, truth.argmax(1))

        def predict(y):
            out = np.zeros((len(y), truth.shape[1]))
            out[:, known] = model.predict_proba(y)
            return out

        return predict
    models = [new().fit(x, column) if column.any() and not column.all() else None for column in truth.T]

    def predict_each(y):
        columns = [model.predict_proba(y)[:, 1] if model else np.zeros(len(y)) for model in models]
        return np.stack(columns, 1)

    return predict_each
