"""What several tests share: the shipped model, and a tiny one trained from scratch by the real commands."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Shells start background jobs deaf to interrupts, and so would be the commands that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def sound_folder(tmp_path_factory) -> Path:
    """Ten short synthetic sounds whose file names are their captions."""
    import soundfile

    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    kinds = [("dog bark", 300), ("bird chirp", 2500), ("rain", 0), ("church bell", 900), ("engine hum", 80)]
    for name, frequency in kinds:
        for take in (1, 2):
            t = np.arange(int(22050 * 0.6 * take)) / 22050
            wave = np.sin(2 * np.pi * frequency * t) if frequency else rng.standard_normal(len(t)) * 0.3
            decay = 12 if name == "dog bark" else 0.5
            soundfile.write(folder / f"{name} {take}.wav", wave * np.exp(-decay * t), 22050)
    return folder


@pytest.fixture(scope="session")
def trained(sound_folder, tmp_path_factory):
    """(run directories by stage, checkpoint directory) of tiny models, trained for a few steps each.

    Processes that test side by side share them: the first that needs them trains. Where SMG_TEST_RUNS names a
    directory they are kept there, for quicker rounds while other things change.
    """
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from filelock import FileLock

    root = Path(os.environ.get("SMG_TEST_RUNS") or _shared(tmp_path_factory) / "runs")
    root.mkdir(parents=True, exist_ok=True)
    os.environ["SMG_CACHE"] = str(root / "cache")
    runs = {stage: root / stage for stage in ("tokenizer", "embedder", "generator", "vocoder", "envelope")}
    checkpoint = root / "checkpoint"
    with FileLock(root / "lock"):
        if not checkpoint.exists():
            _train(sound_folder, root, {stage: str(run) for stage, run in runs.items()}, checkpoint)
    return runs, checkpoint


def _shared(tmp_path_factory) -> Path:
    """A folder of this round of tests, the same in all of its processes."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


def _train(sounds: Path, root: Path, runs: dict[str, str], checkpoint: Path) -> None:
    from specmaskgit_cli.cli import run

    common = ["--data", str(sounds), "--batch", "4", "--threads", "2"]
    generator = ["--tokenizer", runs["tokenizer"], "--embedder", runs["embedder"], "--steps", "2"]
    for stage, more in {
        "tokenizer": ["--preset", "tiny", "--steps", "64"],  # quantised from step 60 on
        "embedder": ["--preset", "tiny", "--steps", "2"],
        "generator": generator,
        "vocoder": ["--preset", "tiny", "--steps", "3"],  # adversarial from the second step on
        "envelope": ["--preset", "tiny", "--steps", "3"],
    }.items():
        assert run(["train", stage, *common, "-o", runs[stage], *more]) == 0
    finished = str(root / "finished")  # the packed one can be told guidance, as the shipped one can
    Path(runs["generator"]).rename(finished)
    refining = ["--refine", finished, "--one-pass", "-o", runs["generator"]]
    assert run(["train", "generator", *common, *generator, *refining]) == 0
    assert run(["train", "pack", *runs.values(), "-o", str(checkpoint), "--data", str(sounds)]) == 0
