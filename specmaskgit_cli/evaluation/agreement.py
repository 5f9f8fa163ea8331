"""Whether an external tagger still hears in an edited sound what it hears in the original."""

from __future__ import annotations

import csv
import shlex
import tempfile
from pathlib import Path

import numpy as np

from ..errors import SmgError
from .judge import judge, run_command

ANY = "Speech"  # a class to ask for where only what comes first matters


def agreement(command: str, heard: list[dict[str, np.ndarray]], rate: int) -> dict[str, float]:
    """For each version of sounds: the share in which the class that the tagger hears first in the version `original`
    is among the first five, and its mean probability.

    Args:
        command: as for `judge`; its result must also have the column `top5`, classes and probabilities like
            "Dog 0.81; Bark 0.40", the most probable first.
        heard: versions [n] by name, of each sound the same names.

    Raises:
        SmgError: the command fails, or its result is not as above.
    """
    classes = _first(command, [versions["original"] for versions in heard], rate)
    groups = {
        name: [(versions[name], found) for versions, found in zip(heard, classes, strict=True)] for name in heard[0]
    }
    scores = judge(command, groups, rate)
    keys = ("judge_hit5", "judge_probability")
    return {f"{key}_{name}": score[key] for name, score in scores.items() for key in keys}


def _first(command: str, waves: list[np.ndarray], rate: int) -> list[str]:
    """The class that the tagger hears first in each sound."""
    import soundfile

    with tempfile.TemporaryDirectory() as folder:
        manifest, out = Path(folder) / "manifest.csv", Path(folder) / "scores.csv"
        with manifest.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["file", "expected"])
            for index, wave in enumerate(waves):
                soundfile.write(Path(folder) / f"{index}.wav", wave, rate, subtype="PCM_16")
                rows.writerow([f"{index}.wav", ANY])
        run_command([*shlex.split(command), "score", "--manifest", str(manifest), "--out", str(out)], command)
        try:
            with out.open(newline="", encoding="utf-8") as file:
                found = {Path(row["file"]).name: row["top5"] for row in csv.DictReader(file)}
            return [found[f"{index}.wav"].split(";")[0].rsplit(" ", 1)[0].strip() for index in range(len(waves))]
        except (OSError, KeyError, AttributeError) as error:
            raise SmgError(f"--judge {command}: no usable column top5 in its --out file ({error!r})") from None
