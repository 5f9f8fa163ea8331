"""The examples of docs/server.md, run as they are against a server."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from support.http_server import serving

from specmaskgit_cli import load

PAGE = (Path(__file__).parents[2] / "docs" / "server.md").read_text(encoding="utf-8")
RUNS = {
    "bash": ["bash", "-euo", "pipefail", "-c"],
    "python": [sys.executable, "-c"],
    "javascript": ["node", "--input-type=module", "-e"],
}
MADE = {"bash": {"dog.wav", "door.flac", "dog-2.wav", "dog-3.mp3"}, "python": {"steps.wav", "steps.ogg"}}


@pytest.mark.parametrize("language", RUNS)
def test_the_examples_run(trained, tmp_path, language):
    needed = "curl" if language == "bash" else RUNS[language][0]
    if shutil.which(needed) is None:
        pytest.skip(f"no {needed}")
    examples = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert examples
    with serving(load(str(trained[1]), "onnx", threads=1)) as client:
        for example in examples:
            code = example.replace("127.0.0.1:7860", f"127.0.0.1:{client.port}")
            done = subprocess.run([*RUNS[language], code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0 and '"error": {' not in done.stdout, done.stdout + done.stderr
    sounds = {path.name for path in tmp_path.iterdir()} - {"job.json"}
    assert sounds == MADE.get(language, set())
    assert all(soundfile.info(tmp_path / name).duration >= 1 for name in sounds)
