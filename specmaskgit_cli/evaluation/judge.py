"""An external tagger as judge: a command that scores files against classes, so that the model does not judge itself.

It is called as `COMMAND score --manifest IN.csv --out OUT.csv`. IN has the columns `file`, relative to its own folder,
and `expected`, classes separated by |. OUT has a row for each file with the columns `file`, `rank` (of the best of the
expected classes among all, from 1), `probability` (of that class) and, if the tagger can leave out the parents of the
expected classes, `rank_parents_aside`, which is then used instead of `rank`.
"""

from __future__ import annotations

import csv
import shlex
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from ..errors import SmgError
from .recognition import measure


def judge(command: str, groups: dict[str, list[tuple[np.ndarray, str]]], rate: int) -> dict[str, dict[str, float]]:
    """Shares of sounds with an expected class first and among the first five, with their standard errors, and its mean
    probability, by group.

    Args:
        command: as a shell would split it.
        groups: sounds [n] with their expected classes; groups without any are left out.

    Raises:
        SmgError: the command fails, or its result is not as above.
    """
    import soundfile

    groups = {name: sounds for name, sounds in groups.items() if sounds}
    if not groups:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        manifest, out = Path(folder) / "manifest.csv", Path(folder) / "scores.csv"
        places = {}
        with manifest.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["file", "expected"])
            for number, (name, sounds) in enumerate(groups.items()):
                for index, (wave, expected) in enumerate(sounds):
                    path = f"{number}-{index}.wav"
                    places[path] = name
                    soundfile.write(Path(folder) / path, wave, rate, subtype="PCM_16")
                    rows.writerow([path, expected])
        run_command([*shlex.split(command), "score", "--manifest", str(manifest), "--out", str(out)], command)
        scores = _read(out, command)
    if missing := places.keys() - scores.keys():
        raise SmgError(f"--judge {command}: scored {len(scores)} of {len(places)} files, not {min(missing)}")
    found = {name: np.array([scores[path] for path, owner in places.items() if owner == name]) for name in groups}
    return {
        name: {f"judge_{key}": value for key, value in measure(values[:, 0]).items()}
        | {"judge_probability": float(values[:, 1].mean()), "judge_clips": len(values)}
        for name, values in found.items()
    }


def run_command(arguments: list[str], command: str) -> None:
    try:
        done = subprocess.run(arguments, capture_output=True, text=True)
    except OSError as error:
        raise SmgError(f"--judge {command}: cannot be run ({error.strerror})") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise SmgError(f"--judge {command}: ended with {done.returncode}: {said[-1] if said else 'no message'}")


def _read(path: Path, command: str) -> dict[str, tuple[float, float]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {
            Path(row["file"]).name: (float(row.get("rank_parents_aside") or row["rank"]), float(row["probability"]))
            for row in rows
        }
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise SmgError(f"--judge {command}: no usable --out file ({error!r}); see docs/evaluation.md") from None
