"""What the fuzzer does to files: damage to sounds, to what they tell, to checkpoints and to tables of jobs."""

from __future__ import annotations

import copy
import csv
import hashlib
import io
import json
import shutil
from pathlib import Path

import numpy as np

WEIGHTS = {"sound": 5, "metadata": 2, "checkpoint": 5, "jobs": 3, "results": 1}
NUMBERS = (0, 1, 2, 3, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
VALUES = (
    None, True, False, 0, 1, -1, 2, 3, 7, 10**6, 2**31, 2**63, 10**30, 0.0, -0.5, 1e-300, 1e300, float("nan"),
    float("inf"), "", "x", "\ud800", "../../etc/passwd", "\0", [], {}, [1], [[1, 2], 3], {"a": 1},
)  # fmt: skip
ROWS = (
    {"prompt": "rain", "seconds": 0.3, "seed": 1, "steps": 2, "output": "a/rain.wav"},
    {"prompt": "bell", "like": "like.wav", "candidates": 2, "top_p": 0.9, "order": "halton", "normalize": "no"},
    {"task": "inpaint", "input": "like.wav", "boxes": "0.05:0.15;0.1:0.2:300:900", "bits": 24, "lufs": -20},
    {"task": "vary", "input": "like.wav", "amount": 0.5, "n": 2, "rate": 8000, "trim": True, "output": "v.flac"},
    {"task": "sketch", "input": "like.wav", "prompt": "bell", "loudness_only": "yes", "output": "s.wav"},
    {"task": "continue", "input": "like.wav", "before": "yes", "seconds": 1, "negative": "dog, bark"},
)
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
        from specmaskgit_cli.sounds.record import Origin, Record, sha256

        rng = np.random.default_rng(0)
        t = np.arange(8000) / 22050
        mono = (np.sin(2 * np.pi * 440 * t) * 0.4 + rng.normal(size=len(t)) * 0.02).astype(np.float32)
        stereo = np.stack([mono, mono[::-1]])
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


def a_value(rng: np.random.Generator):
    return copy.deepcopy(VALUES[rng.integers(len(VALUES))])


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
        value = a_value(rng)
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
            ["sketch", str(path), "--prompt", "rain", *edit],
        ][rng.integers(7)])  # fmt: skip
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


def jobs_case(material: Material, folder: Path, rng: np.random.Generator) -> list[list[str]]:
    """A damaged table. There is no such model: what is wrong with a table is told before, and what is right is slow."""
    rows = [dict(ROWS[i]) for i in rng.integers(len(ROWS), size=rng.integers(1, 6))]
    kind = str(rng.choice(["csv", "jsonl"]))
    if rng.random() < 0.7:
        for row in rows[: rng.integers(1, 3)]:
            name = str(rng.choice([*row, "task", "output", "boxes"]))
            value = a_value(rng)
            row[name] = value if rng.random() < 0.7 else damage_json(list(row.values()), rng)
    text = io.StringIO()
    if kind == "csv":
        table = csv.DictWriter(text, sorted({name for row in rows for name in row}))
        table.writeheader()
        table.writerows(rows)
    else:
        text.write("".join(json.dumps(row) + "\n" for row in rows))
    data = text.getvalue().encode("utf-8", "surrogatepass")
    if rng.random() < 0.5:
        data = damage_bytes(data, json.dumps(ROWS).encode(), rng, head=len(data))
    path = folder / f"jobs.{kind}"
    path.write_bytes(data)
    (folder / "like.wav").symlink_to(material.folder / "like.wav")
    return [["batch", str(path), "-o", str(folder / "out"), "--model", str(folder / "none")]]


def results_case(material: Material, folder: Path, rng: np.random.Generator) -> list[list[str]]:
    """A batch that was done, with damage to its results or to a sound of it, goes on."""
    from specmaskgit_cli.cli import run

    table, done = material.folder / "jobs.jsonl", material.folder / "done"
    command = ["batch", str(table), "--workers", "1", "--model", str(material.checkpoint), "-q"]
    if not done.exists():
        rows = [{"prompt": prompt, "seconds": 0.3, "steps": 2} for prompt in ("rain", "bell")]
        table.write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert run([*command, "-o", str(done)]) == 0
    shutil.copytree(done, folder / "out")
    names = sorted(path.name for path in done.iterdir())
    path = folder / "out" / (names[rng.integers(len(names))] if rng.random() < 0.3 else "results.jsonl")
    data = path.read_bytes()
    if path.name == "results.jsonl" and rng.random() < 0.6:
        lines = [json.loads(line) for line in data.splitlines()]
        data = "".join(json.dumps(damage_json(line, rng)) + "\n" for line in lines).encode()
    else:
        data = damage_bytes(data, done.joinpath(names[0]).read_bytes(), rng, head=len(data))
    path.write_bytes(data)
    return [[*command, "-o", str(folder / "out")]]


CASES = {
    "sound": sound_case, "metadata": metadata_case, "checkpoint": checkpoint_case, "jobs": jobs_case,
    "results": results_case,
}  # fmt: skip
