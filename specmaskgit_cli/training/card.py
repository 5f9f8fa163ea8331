"""The model card and the credits of a checkpoint, from its runs and the captions file of its data."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

from ..config.settings import MelConfig
from ..data.clips import Clip
from .converted import is_converted, part_of
from .loop import run_config


def model_card(name: str, license: str, training_data: str, runs: list[Path], clips: list[Clip], notes: str) -> str:
    """README.md of a checkpoint: the Hub's YAML header, how it was trained, on what, and the given notes."""
    # The Hub knows licences by their SPDX identifiers in lower case.
    header = ["---", f"license: {license.lower() or 'other'}", "library_name: specmaskgit-cli"]
    header += ["pipeline_tag: text-to-audio", "tags: [text-to-audio, sound-effects, specmaskgit, onnx]", "---"]
    parts = ["\n".join(header), f"# {name}"]
    if training_data:
        parts.append(training_data)
    if notes:
        parts.append(notes.strip())
    parts.append("## Training\n\n" + _training_table(runs))
    if clips:
        parts.append("## Data\n\n" + _data_summary(clips, run_config(runs[0]).mel))
    return "\n\n".join(parts) + "\n"


def credits(clips: list[Clip]) -> str:
    """CREDITS.md: every source of the training data with its licences and the people to thank."""
    sources: dict[str, dict] = defaultdict(
        lambda: {"clips": 0, "frames": 0, "licences": Counter(), "people": Counter()}
    )
    for clip in clips:
        source = sources[str(clip.info.get("source", "unnamed"))]
        source["clips"] += 1
        source["frames"] += clip.frames
        source["licences"][str(clip.info.get("licence", "not stated"))] += 1
        if person := str(clip.info.get("attribution", "")).strip(" ?"):
            source["people"][" ".join(person.split())] += 1
    lines = ["# Credits", "", "The recordings this model was trained on, by source."]
    for name, source in sorted(sources.items(), key=lambda item: -item[1]["frames"]):
        licences = ", ".join(source["licences"])
        lines += ["", f"## {name}", "", f"{source['clips']} clips. {licences}."]
        lines += [f"- {person}" for person in sorted(source["people"])]
    return "\n".join(lines) + "\n"


def _training_table(runs: list[Path]) -> str:
    rows = ["| stage | parameters | steps | minutes | validation |", "|---|---|---|---|---|"]
    for run in runs:
        if is_converted(run):
            stage, checkpoint = part_of(run)
            terms = f", licence {checkpoint.config.license}" if checkpoint.config.license else ""
            rows.append(f"| {stage} | converted: {checkpoint.config.name}{terms} | | | |")
            continue
        options = json.loads((run / "options.json").read_text())
        metrics = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
        found = ", ".join(f"{k.removeprefix('val_')} {v:.3g}" for k, v in metrics.items() if k.startswith("val_"))
        size = f"{_parameters(run) / 1e6:.1f} M"
        rows.append(f"| {options['stage']} | {size} | {metrics['step']} | {metrics['minutes']:.0f} | {found} |")
    return "\n".join(rows)


def _parameters(run: Path) -> int:
    from safetensors import safe_open

    with safe_open(run / "model.safetensors", "np") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (not a dict)
    total = 0
    for name, shape in shapes.items():
        size = 1
        for n in shape:
            size *= n
        # statistics of the quantiser, discriminators and a copy of the codebooks are not part of what is shipped
        total += 0 if name in ("counts", "sums", "codebooks") or name.startswith("judges.") else size
    return total


def _data_summary(clips: list[Clip], mel: MelConfig) -> str:
    hours = sum(c.frames for c in clips) / mel.frames_per_second / 3600
    licences = Counter(str(c.info.get("licence", "not stated")) for c in clips)
    labels = Counter(c.label for c in clips)
    common = ", ".join(f"{licence} ({n})" for licence, n in licences.most_common(12))
    rest = len(licences) - 12
    return (
        f"{len(clips)} clips, {hours:.1f} hours, {len(labels)} labels, "
        f"{len({c.caption for c in clips})} distinct captions, from {len({c.info.get('source') for c in clips})} "
        f"sources. Licences by clips: {common}{f', and {rest} more spellings' if rest > 0 else ''}. "
        "CREDITS.md names every source and author.\n\n"
        "Most frequent sounds: " + ", ".join(label.replace("_", " ") for label, _ in labels.most_common(40)) + "."
    )
