"""The command line without a model: its errors, its start-up, and what it makes of a pipeline's results."""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import types

import numpy as np
import pytest

from specmaskgit_cli import __version__
from specmaskgit_cli.checkpoint import write_sums
from specmaskgit_cli.cli import main, progress
from specmaskgit_cli.config.presets import PRESETS
from specmaskgit_cli.config.settings import to_dict
from specmaskgit_cli.errors import SmgError
from specmaskgit_cli.options import GenerateOptions, options_of
from specmaskgit_cli.tasks import TASKS

HEAVY = ("torch", "onnxruntime", "soundfile", "soxr", "huggingface_hub", "tokenizers", "numpy")


@pytest.fixture
def smg(capsys, monkeypatch, tmp_path):
    """Run the command line in an empty directory: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    for name in ("SMG_DEBUG", "SMG_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*args):
        with pytest.raises(SystemExit) as caught:
            main(list(args))
        return caught.value.code, *capsys.readouterr()

    return run


class FakePipeline:
    """Records the options; a sound is silence, and its file a note of the seed."""

    def __init__(self):
        self.checkpoint = types.SimpleNamespace(config=PRESETS["tiny"], hash="0123456789ab", commit=None)
        self.runtime = types.SimpleNamespace(backend="onnx")
        self.options = None

    def make(self, options, progress=None):
        self.options = options
        first = 123 if options.seed is None else options.seed
        return [self.sound(options, first + index) for index in range(options.num)]

    def sound(self, options, seed):
        def save(path, image=None, output=None):
            for name in filter(None, (path, image)):
                with open(name, "w") as file:
                    file.write(str(seed))
            return sound

        sound = types.SimpleNamespace(
            samples=np.zeros((1, round(options.seconds * 22050)), np.float32), rate=22050, seed=seed, options=options,
            seconds=options.seconds, score=None, warnings=["far from all known sounds"], seconds_taken=0.5, save=save,
        )  # fmt: skip
        return sound


@pytest.fixture
def pipeline(monkeypatch):
    pipe = FakePipeline()
    module = types.ModuleType("specmaskgit_cli.pipeline")
    module.load = lambda *args: pipe
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return pipe


def assert_one_line(result, *words, code=None):
    status, out, err = result
    assert status == code if code is not None else status not in (0, None)
    assert out == ""
    assert err.startswith("smg: error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    for word in words:
        assert word in err


def test_version(smg):
    assert smg("--version") == (0, f"smg {__version__}\n", "")


@pytest.mark.parametrize("args", [(), ("--help",), ("models",), ("models", "--help")])
def test_help_names_the_commands(smg, args):
    status, out, err = smg(*args)
    assert status == 0 if "--help" in args else status in (0, 2)
    assert out if "--help" in args else "error" not in err
    for name in ("list", "show", "verify") if "models" in args else ("generate", "models", "train"):
        assert f"\n  {name} " in out + err


def test_help_of_generate_has_every_option(smg):
    _, out, _ = smg("generate", "--help")
    for name in options_of(GenerateOptions):
        assert name in out.lower() if name == "prompt" else f"--{name.replace('_', '-')}" in out
    for name in ("--output", "--model", "--backend", "--device", "--threads", "--image", "--json", "--quiet"):
        assert name in out


@pytest.mark.parametrize("task", TASKS)
def test_help_lists_what_a_task_does_before_what_all_do(smg, task):
    _, out, _ = smg(task, "--help")
    headings = [line for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Arguments:", "Options:", "Sampling:", "Output:", "Model:"]
    own = out.partition("Options:")[2].partition("Sampling:")[0]
    assert "--negative" in own and "--seed" not in own and "--lufs" not in own


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_nothing_heavy_is_imported():
    report = f"import sys; print([name for name in {HEAVY} if name in sys.modules])"
    assert python(f"import specmaskgit_cli; {report}").strip() == "[]"
    helped = "from specmaskgit_cli.cli import main\ntry: main(['generate', '--help'])\nexcept SystemExit: pass"
    assert python(f"{helped}\n{report}").strip().endswith("[]")


def test_help_is_quick():
    """Beside what importing Typer takes, as computers differ."""

    def cost(*arguments):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    helped = min(cost("-m", "specmaskgit_cli", "--help") for _ in range(3))
    assert helped < 5 * min(cost("-c", "import typer") for _ in range(3))  # 3.3 times, where nothing else runs


@pytest.mark.parametrize(
    "args",
    [
        ("generate", ""),
        ("generate", "  "),
        ("generate",),
        *(
            ("generate", "rain", option, value)
            for option, values in {
                "--seconds": ["0", "-1", "nan", "inf", "0.1", "3601", "long"],
                "--steps": ["0", "257", "1.5"],
                "--num": ["0", "1001"],
                "--seed": ["-1", "99999999999"],
                "--guidance": ["-1", "31", "nan"],
                "--temperature": ["0", "6", "nan"],
                "--top-p": ["0", "1.1"],
                "--candidates": ["0", "65"],
                "--like-weight": ["-0.1", "2"],
                "--order": ["zigzag"],
                "--negative": [""],
                "--like": [""],
            }.items()
            for value in values
        ),
    ],
)
def test_bad_options_are_one_line_and_leave_no_file(smg, pipeline, tmp_path, args):
    words = () if len(args) < 4 else (args[2].strip("-").replace("-", "_"),)
    status, out, err = smg(*args, "-o", "out.wav")
    assert_one_line((status, out, err.replace("-", "_")), *words, code=2)
    assert pipeline.options is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("-o", "out.xyz"), ("out.xyz", "'xyz'")),
        (("-o", "out"), ("out",)),
        (("-o", "nowhere/out.wav"), ("nowhere", "does not exist")),
        (("-o", "."), (".",)),
        (("-o", "out.wav", "--image", "out.jpg"), ("--image", "out.jpg")),
        (("-o", "out.wav", "--image", "nowhere/out.png"), ("nowhere",)),
        (("-o", "-", "--num", "2"), ("-o -",)),
        (("-o", "-", "--json"), ("--json",)),
        (("-o", "ref.wav", "--like", "ref.wav"), ("ref.wav", "--like")),
        ((), ("--output",)),
    ],
)
def test_bad_outputs_are_refused_before_any_work(smg, pipeline, tmp_path, args, words):
    assert_one_line(smg("generate", "rain", *args), *words)
    assert pipeline.options is None
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_write_protected_directory_is_refused(smg, pipeline, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    assert_one_line(smg("generate", "rain", "-o", "locked/out.wav"), "locked", code=1)


def test_wrong_commands(smg):
    assert_one_line(smg("dog barking"), "smg generate 'dog barking'", code=2)
    assert_one_line(smg("dog", "barking"), "smg generate 'dog barking'", code=2)
    assert_one_line(smg("genrate", "dog"), "did you mean: smg generate\n", code=2)
    assert_one_line(smg("rain"), "did you mean: smg train, or smg generate rain", code=2)
    assert_one_line(smg("generate", "dog", "--nonsense"), "--nonsense", "smg generate --help", code=2)
    assert_one_line(smg("generate", "-5 degrees wind", "-o", "x.wav"), "put -- before a text that begins with -")
    assert_one_line(smg("models", "shew"), "'show'", "smg models --help", code=2)


def test_unknown_model(smg):
    assert_one_line(smg("models", "show", "nothing"), "'nothing'", "'default'", code=1)
    assert_one_line(smg("models", "verify", "./nowhere"), "./nowhere", code=1)


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (SmgError("the disk is full"), 1, ("the disk is full",)),
        (ZeroDivisionError("two\nlines"), 1, ("ZeroDivisionError: two lines", "this is a bug", "SMG_DEBUG=1")),
        (MemoryError(), 1, ("out of memory",)),
    ],
)
def test_failures_are_one_line(smg, pipeline, monkeypatch, error, code, words):
    def fail(*args):
        raise error

    monkeypatch.setattr(pipeline, "make", fail)
    assert_one_line(smg("generate", "rain", "-o", "out.wav"), *words, code=code)
    monkeypatch.setenv("SMG_DEBUG", "1")
    with pytest.raises(type(error)):
        main(["generate", "rain", "-o", "out.wav"])


def test_interrupt(smg, pipeline, monkeypatch, tmp_path):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "make", interrupt)
    assert smg("generate", "rain", "-o", "out.wav")[0] == 130
    assert not list(tmp_path.iterdir())


def test_result_line_and_warning(smg, pipeline, tmp_path):
    status, out, err = smg("generate", "rain", "-o", "out.wav", "--seconds", "4")
    assert (status, out) == (0, "out.wav  4.00 s  seed 123  0.50 s (8x real time)\n")
    assert err == "smg: warning: far from all known sounds\n"
    assert (tmp_path / "out.wav").read_text() == "123"
    assert smg("generate", "rain", "-o", "out.wav", "--quiet") == (0, "", "")


def test_progress_bar_is_for_terminals(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress.progress_bar("working") as update:
        assert update is None
    for patience, shown in ((60, False), (0, True)):
        monkeypatch.setattr(progress, "PATIENCE", patience)
        monkeypatch.setattr(sys, "stderr", terminal := Terminal())
        with progress.progress_bar("working") as update:
            update(1, 4)
            update(4, 4)
        assert ("working" in terminal.getvalue()) == shown
        with progress.progress_bar("working", quiet=True) as update:
            assert update is None


def test_several_sounds_are_numbered(smg, pipeline, tmp_path):
    status, out, _ = smg("generate", "rain", "-o", "a.b.wav", "-n", "3", "--seed", "7", "--image", "x.png")
    assert status == 0
    assert len(out.splitlines()) == 3
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        f"{stem}-{index}.{extension}": str(6 + index)
        for stem, extension in (("a.b", "wav"), ("x", "png"))
        for index in (1, 2, 3)
    }


def test_json(smg, pipeline):
    status, out, _ = smg("generate", "rain", "-o", "out.wav", "--json", "--steps", "8", "--seconds", "1")
    assert status == 0
    document = json.loads(out)
    assert (document["model"], document["model_hash"], document["backend"]) == ("tiny", "0123456789ab", "onnx")
    [sound] = document["sounds"]
    expected = {"file": "out.wav", "prompt": "rain", "seconds": 1.0, "seed": 123, "steps": 8, "guidance": 2.0}
    assert expected.items() <= sound.items()
    assert sound["warnings"] == ["far from all known sounds"]
    assert sound["real_time_factor"] == 0.5


def test_models_on_a_directory(smg, tmp_path):
    directory = tmp_path / "model"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(to_dict(PRESETS["tiny"])))
    (directory / "README.md").write_text("---\nlicense: x\n---\n# Card\n")
    (directory / "known_sounds.json").write_text('["dog barking", "rain"]')
    write_sums(directory)
    status, out, _ = smg("models", "show", str(directory))
    assert status == 0
    assert "# Card" in out
    assert "license" not in out
    assert "Known sounds (2): dog barking, rain" in out
    document = json.loads(smg("models", "show", str(directory), "--json")[1])
    assert document["known_sounds"] == ["dog barking", "rain"]
    assert document["config"]["name"] == "tiny"
    assert smg("models", "verify", str(directory))[0] == 0
    (directory / "README.md").write_text("other")
    status, out, err = smg("models", "verify", str(directory))
    assert status == 1
    assert "changed     README.md" in out
    assert err.startswith("smg: error: ")
