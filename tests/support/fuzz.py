"""Gives damaged files to `smg` and checks that it stays civil.

In tests/: `python -m support.fuzz --cases 2000 --seed 0`.

Each case damages a sound file, the metadata in one, a file of a checkpoint, mostly with its checksum made to match, a
table of jobs, or the results of a batch, and runs commands on it in a worker process. A command has to end in time and
in bounded memory, either well and with a whole sound, or with one line that is no "this is a bug" and without an output
file. A case depends on the seed and its own number alone, so that `--only NUMBER` repeats one.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from support.fuzz_cases import CASES, WEIGHTS, Material

MEMORY = 4 << 30  # bytes of address space a worker may take; the models need less than half
SECONDS = 120  # a case may take


def drawn_kind(rng: np.random.Generator) -> str:
    return str(rng.choice(list(WEIGHTS), p=np.array(list(WEIGHTS.values())) / sum(WEIGHTS.values())))


def run_case(material: Material, folder: Path, seed: int, number: int) -> tuple[str, list[tuple[str, str]]]:
    """The kind of a case, and for each of its commands what came of it and what was wrong with that ("": nothing)."""
    rng = np.random.default_rng([seed, number])
    kind = drawn_kind(rng)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    found = []
    for command in CASES[kind](material, folder, rng):
        out = folder / "out.wav"
        out.unlink(missing_ok=True)
        outcome, wrong = judged(command, out)
        leftovers = [path.name for path in folder.rglob("*") if path.name.endswith((".tmp", ".smg-batch"))]
        found.append(("broken", f"{command[0]}: left {leftovers}") if leftovers else (outcome, wrong))
    return kind, found


def judged(command: list[str], out: Path) -> tuple[str, str]:
    """Run a command: "done", "refused" or "broken", and what was wrong."""
    from specmaskgit_cli.audio.files import read_audio
    from specmaskgit_cli.cli import run

    stdout, stderr = io.StringIO(), io.StringIO()
    what = f"{' '.join(command[:2]) if command[0] == 'models' else command[0]}: "
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        code = run(command)
    lines = [line for line in stderr.getvalue().splitlines() if not line.startswith("smg: warning: ")]
    if code == 0:
        if lines and not (command[0] == "extend" and not out.exists()):  # which says so where nothing is missing
            return "broken", what + "done, but said " + lines[0]
        made = list(out.with_suffix("").glob("*.wav")) if command[0] == "batch" else [out]
        if command[0] not in ("info", "models") and not lines and not all(len(read_audio(m).samples) for m in made):
            return "broken", what + "an empty sound"
        if "--json" in command:
            json.loads(stdout.getvalue())
        return "done", ""
    if code not in (1, 2) or len(lines) != 1 or not lines[0].startswith("smg: error: "):
        return "broken", what + f"exit {code}, {len(lines)} lines: " + " | ".join(lines)[:400]
    if "this is a bug" in lines[0] or "out of memory" in lines[0]:
        return "broken", what + lines[0][:400]
    return ("broken", what + "failed, but left an output file") if out.exists() else ("refused", lines[0])


def work(pipe, material: Path, checkpoint: Path, folder: Path, seed: int) -> None:
    """A worker: takes numbers of cases, gives what came of them."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("always")  # or only the first of several cases would be seen to cause one
    noise = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(noise, 1)  # what native libraries print
    os.dup2(noise, 2)
    files = Material(material, checkpoint)
    while (number := pipe.recv()) is not None:
        try:
            pipe.send(run_case(files, folder, seed, number))
        except Exception as error:
            pipe.send(("harness", [("broken", f"{type(error).__name__}: {error}")]))


def die(pipe, *args) -> None:
    """A worker that ends at its first case, for the test of what follows a loss."""
    pipe.recv()


class Workers:
    """One worker process at a time, with a new one where the last died or hung."""

    def __init__(self, *args):
        self.args, self.process, self.restarts = args, None, 0

    def run(self, number: int) -> tuple[str, list[tuple[str, str]]]:
        if self.process is None:
            context = multiprocessing.get_context("spawn")
            self.pipe, end = context.Pipe()
            self.process = context.Process(target=work, args=(end, *self.args), daemon=True)
            self.process.start()
            end.close()
        self.pipe.send(number)
        try:
            if self.pipe.poll(SECONDS):
                return self.pipe.recv()
            wrong = f"no end after {SECONDS} s"
        except (EOFError, ConnectionError):
            self.process.join(10)
            wrong = f"the process died ({self.process.exitcode})"
        self.stop(kill=True)
        self.restarts += 1
        return "process", [("broken", wrong)]

    def stop(self, kill: bool = False) -> None:
        if self.process is not None:
            self.process.kill() if kill else self.pipe.send(None)
            self.process.join(30)
            self.process = None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--kinds", default=",".join(WEIGHTS), help="kinds to run; others are passed over")
    parser.add_argument("--only", type=int, help="run this case alone, and keep its files")
    parser.add_argument("--checkpoint", type=Path, help="a small one makes it quicker; the shipped one if not given")
    args = parser.parse_args()
    from specmaskgit_cli.checkpoint.registry import find

    os.environ["HF_HUB_OFFLINE"] = "1"
    checkpoint = find(args.checkpoint and str(args.checkpoint)).resolve()
    numbers = [args.only] if args.only is not None else range(args.first, args.first + args.cases)
    kinds = args.kinds.split(",")
    numbers = [n for n in numbers if drawn_kind(np.random.default_rng([args.seed, n])) in kinds]
    tally, wrong, done = collections.Counter(), [], 0
    root = Path(tempfile.mkdtemp(prefix="smg-fuzz-"))
    (root / "material").mkdir()
    Material.make(root / "material")
    workers = Workers(root / "material", checkpoint, root / "case", args.seed)
    try:
        for number in numbers:
            kind, found = workers.run(number)
            done += 1
            for outcome, words in found:
                tally[kind, outcome] += 1
                if outcome == "broken" or args.only is not None:
                    print(f"case {number} ({kind}) {outcome}: {words}", flush=True)
                if outcome == "broken":
                    wrong.append(number)
    except KeyboardInterrupt:
        print("interrupted")
    finally:
        workers.stop(kill=done < len(numbers))
        if args.only is None:
            shutil.rmtree(root, ignore_errors=True)
        else:
            print("its files:", root)
    print(f"{done} cases, {sum(tally.values())} commands, {workers.restarts} workers lost")
    for (kind, outcome), count in sorted(tally.items()):
        print(f"  {kind}: {count} {outcome}")
    return 1 if wrong or done < len(numbers) else 0


if __name__ == "__main__":
    sys.exit(main())
