"""Gives damaged files to `smg` and checks that it stays civil: `python tests/fuzz.py --cases 2000 --seed 0`.

Each case damages a sound file, the metadata in one, or a file of a checkpoint, mostly with its checksum made to match,
and runs commands on it in a worker process. A command has to end in time and in bounded memory, either well and with a
whole sound, or with one line that is no "this is a bug" and without an output file. A case depends on the seed and its
own number alone, so that `--only NUMBER` repeats one.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
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

MEMORY = 4 << 30  # bytes of address space a worker may take; the models need less than half
SECONDS = 120  # a case may take
WEIGHTS = {"sound": 5, "metadata": 2, "checkpoint": 5}
NUMBERS = (0, 1, 2, 3, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
VALUES = (
    None, True, False, 0, 1, -1, 2, 3, 7, 10**6, 2**31, 2**63, 10**30, 0.0, -0.5, 1e-300, 1e300, float("nan"),
    float("inf"), "", "x", "\ud800", "../../etc/passwd", "\0", [], {}, [1], [[1, 2], 3], {"a": 1},
)  # fmt: skip
QUICK = ["--seconds", "0.3", "--steps", "2", "--threads", "1", "--seed", "1"]


class Material:
    """The undamaged files, in a folder of their own."""

    def __init__(self, folder: Path, checkpoint: Path):
        self.folder, self.checkpoint = folder, checkpoint
        self.sounds = sorted(folder.glob("sound*"))
        sums = (checkpoint / "SHA256SUMS").read_text().splitlines()
        self.sums = {line[66:]: line[:64] for line in sums}

    @staticmethod
    def make(folder: Path) -> None:
        """Short sounds in each format, some with metadata."""
        from specmaskgit_cli.audio.files import write_audio
        from specmaskgit_cli.options import Box, GenerateOptions, InpaintOptions, OutputOptions
        from specmaskgit_cli.record import Origin, Record, sha256

        rng = np.random.default_rng(0)
        t = np.arange(8000) / 22050
        mono = (np.sin(2 * np.pi * 440 * t) * 0.4 + rng.normal(size=len(t)) * 0.02).astype(np.float32)
        stereo = np.stack([mono, mono[::-1]], 1)
        write_audio(folder / "like.wav", mono, 22050)
        digest = sha256(folder / "like.wav")
        about = {"model": "m", "model_hash": "0" * 12, "source": "default", "backend": "onnx"}
        made = [
            (GenerateOptions(prompt="rain", seconds=0.3, steps=2, seed=1), None),
            (InpaintOptions(str(folder / "like.wav"), (Box(0.1, 0.2, 300, 900),), steps=2, seed=1), digest),
        ]
        tags = [Record(o, OutputOptions(), Origin(**about, input_sha256=read)).tags() for o, read in made]
        (folder / "records.json").write_text(json.dumps([tag["comment"] for tag in tags]))
        for index, (extension, wave, rate, subtype) in enumerate([
            ("wav", mono, 22050, None), ("wav", stereo, 44100, "FLOAT"), ("wav", stereo, 48000, "PCM_24"),
            ("flac", mono, 22050, None), ("flac", stereo, 96000, "PCM_24"), ("ogg", stereo, 44100, None),
            ("opus", mono, 48000, None), ("mp3", mono, 22050, None), ("mp3", stereo, 44100, None),
        ]):  # fmt: skip
            tag = tags[index % 2] if index % 3 != 1 else None
            write_audio(folder / f"sound{index}.{extension}", wave, rate, subtype=subtype, metadata=tag)


def damage_bytes(data: bytes, other: bytes, rng: np.random.Generator, head: int = 128) -> bytes:
    """`data` cut, flipped, overwritten, spliced with `other`, or with another number among its first `head` bytes."""
    made = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        size = max(1, len(made))
        at, span = int(rng.integers(size)), int(rng.integers(1, max(2, size // 4)))
        kind = rng.integers(7)
        if kind == 0:
            del made[at:]
        elif kind == 1:
            for place in rng.integers(size, size=rng.integers(1, 24)):
                made[place : place + 1] = bytes([made[place] ^ 1 << rng.integers(8)]) if place < len(made) else b"\0"
        elif kind == 2:
            made[at : at + span] = rng.bytes(min(span, 512))
        elif kind == 3:
            start = int(rng.integers(max(1, len(other))))
            made[at:at] = other[start : start + min(span, 4096)]
        elif kind == 4:
            del made[at : at + span]
        else:
            place, width = int(rng.integers(min(head, size))), int(rng.choice([1, 2, 4, 8]))
            number = int(rng.choice(NUMBERS)) & (1 << 8 * width) - 1
            made[place : place + width] = number.to_bytes(width, "little" if kind == 5 else "big")
    return bytes(made)


def damage_json(document, rng: np.random.Generator):
    """The document with one to three of its values replaced, left out or added."""
    document = json.loads(json.dumps(document))
    for _ in range(rng.integers(1, 4)):
        node, parent, key = document, None, None
        while isinstance(node, (dict, list)) and node and (parent is None or rng.random() < 0.8):
            keys = list(node) if isinstance(node, dict) else range(len(node))
            parent, key = node, keys[int(rng.integers(len(keys)))]
            node = parent[key]
        value = VALUES[rng.integers(len(VALUES))]
        if isinstance(node, (int, float)) and rng.random() < 0.5:
            value = node * int(rng.choice([-1, 2, 3, 1000, 10**6])) + int(rng.integers(-1, 2))
        if parent is None:
            return value
        if rng.random() < 0.15:
            del parent[key]
        elif rng.random() < 0.1 and isinstance(parent, dict):
            parent["more"] = value
        else:
            parent[key] = value
    return document


def damage_safetensors(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Another header of JSON, or other bytes."""
    if rng.random() < 0.4:
        return damage_bytes(data, other, rng)
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(damage_json(json.loads(data[8 : 8 + size]), rng)).encode()
    length = len(header) if rng.random() < 0.8 else int(rng.choice(NUMBERS))
    return length.to_bytes(8, "little") + header + data[8 + size :]


def sound_case(material: Material, folder: Path, rng: np.random.Generator) -> list[list[str]]:
    source, other = (material.sounds[i] for i in rng.integers(len(material.sounds), size=2))
    path = folder / f"in{source.suffix}"
    path.write_bytes(damage_bytes(source.read_bytes(), other.read_bytes(), rng))
    commands = [["info", str(path), *(["--json"] if rng.random() < 0.5 else [])]]
    model = ["--model", str(material.checkpoint), "-o", str(folder / "out.wav")]
    edit = [*QUICK[2:], *model]
    if rng.random() < 0.2:
        commands.append([
            ["generate", "--like", str(path), *QUICK, *model],
            ["inpaint", str(path), "--start", "0.05", "--end", "0.15", *edit],
            ["extend", str(path), *edit],
            ["continue", str(path), "--seconds", "0.3", *edit],
            ["vary", str(path), *edit],
            ["loop", str(path), "--join", "0.1", *edit],
        ][rng.integers(6)])  # fmt: skip
    return commands


def metadata_case(material: Material, folder: Path, rng: np.random.Generator) -> list[list[str]]:
    from specmaskgit_cli.audio.files import write_audio

    comments = json.loads((material.folder / "records.json").read_text())
    sentence, line = comments[rng.integers(len(comments))].split("\n")
    if rng.random() < 0.7:
        line = json.dumps(damage_json(json.loads(line), rng))
    else:
        line = damage_bytes(line.encode(), sentence.encode(), rng).decode("latin-1").replace("\0", " ")
    extension = rng.choice(["wav", "flac", "ogg", "mp3"])
    path = folder / f"in.{extension}"
    write_audio(path, np.full(2000, 0.1), 22050, metadata={"comment": f"{sentence}\n{line}"})
    replay = ["replay", str(path), "-o", str(folder / "out.wav"), "--model", str(material.checkpoint), "--threads", "1"]
    return [["info", str(path)], ["info", str(path), "--json"], replay]


def checkpoint_case(material: Material, folder: Path, rng: np.random.Generator) -> list[list[str]]:
    names = sorted(material.sums)
    # The settings are what everything goes by; the sentence encoder is large and its graph onnxruntime's business.
    likely = np.array([8.0 if name == "config.json" else 0.2 if "text" in name else 1.0 for name in names])
    name = str(rng.choice(names, p=likely / likely.sum()))
    other = material.checkpoint / str(rng.choice([n for n in names if "text" not in n]))
    model, sums = folder / "model", dict(material.sums)
    for each in names:
        (model / each).parent.mkdir(parents=True, exist_ok=True)
        (model / each).symlink_to(material.checkpoint / each)
    data = (material.checkpoint / name).read_bytes()
    if name.endswith(".safetensors"):
        data = damage_safetensors(data, other.read_bytes(), rng)
    elif name.endswith(".json") and "text" not in name and rng.random() < 0.8:
        data = json.dumps(damage_json(json.loads(data), rng)).encode()
    else:
        data = damage_bytes(data, other.read_bytes(), rng, head=len(data))
    (model / name).unlink()
    (model / name).write_bytes(data)
    if rng.random() < 0.85:
        sums[name] = hashlib.sha256(data).hexdigest()
    text = "".join(f"{digest}  {each}\n" for each, digest in sums.items()).encode()
    (model / "SHA256SUMS").write_bytes(damage_bytes(text, data, rng) if rng.random() < 0.1 else text)
    like = str(material.folder / "like.wav")
    prompt = ["rain"] if "text" in name or "known" in name else ["--like", like]
    run = ["-o", str(folder / "out.wav"), "--model", str(model)]
    return [
        ["models", "show", str(model), *(["--json"] if rng.random() < 0.5 else [])],
        ["models", "verify", str(model)],
        ["inpaint", like, "--start", "0.1", "--end", "0.2", *QUICK[2:], *run]
        if "encoder" in name and "tokenizer" in name else ["generate", *prompt, *QUICK, *run],
    ]  # fmt: skip


CASES = {"sound": sound_case, "metadata": metadata_case, "checkpoint": checkpoint_case}


def run_case(material: Material, folder: Path, seed: int, number: int) -> tuple[str, list[tuple[str, str]]]:
    """The kind of a case, and for each of its commands what came of it and what was wrong with that ("": nothing)."""
    rng = np.random.default_rng([seed, number])
    kinds = list(WEIGHTS)
    kind = str(rng.choice(kinds, p=np.array(list(WEIGHTS.values())) / sum(WEIGHTS.values())))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    found = []
    for command in CASES[kind](material, folder, rng):
        out = folder / "out.wav"
        out.unlink(missing_ok=True)
        outcome, wrong = judged(command, out)
        leftovers = [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]
        found.append(("broken", f"{command[0]}: left {leftovers}") if leftovers else (outcome, wrong))
    return kind, found


def judged(command: list[str], out: Path) -> tuple[str, str]:
    """Run a command: "done", "refused" or "broken", and what was wrong."""
    from specmaskgit_cli.audio.files import read_audio
    from specmaskgit_cli.cli import _run

    stdout, stderr = io.StringIO(), io.StringIO()
    what = f"{' '.join(command[:2]) if command[0] == 'models' else command[0]}: "
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        code = _run(command)
    lines = [line for line in stderr.getvalue().splitlines() if not line.startswith("smg: warning: ")]
    if code == 0:
        if lines and not (command[0] == "extend" and not out.exists()):  # which says so where nothing is missing
            return "broken", what + "done, but said " + lines[0]
        if command[0] not in ("info", "models") and not lines and not len(read_audio(out).samples):
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
    parser.add_argument("--only", type=int, help="run this case alone, and keep its files")
    parser.add_argument("--checkpoint", type=Path, help="a small one makes it quicker; the shipped one if not given")
    args = parser.parse_args()
    from specmaskgit_cli.checkpoint.registry import find

    os.environ["HF_HUB_OFFLINE"] = "1"
    checkpoint = find(args.checkpoint and str(args.checkpoint)).resolve()
    numbers = [args.only] if args.only is not None else range(args.first, args.first + args.cases)
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
