"""`smg batch`: what a table may say, that rows are done once and the same, and what survives when it is stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from support.json_page import parsed

from specmaskgit_cli.batch.jobs import make_jobs
from specmaskgit_cli.batch.local import in_processes
from specmaskgit_cli.batch.results import Results
from specmaskgit_cli.batch.table import read_rows
from specmaskgit_cli.batch.worker import Setup
from specmaskgit_cli.cli import run
from specmaskgit_cli.sounds.names import slug

FEW = "prompt,seconds,steps\n" + "".join(f"sound {index},0.4,2\n" for index in range(3))


@pytest.fixture
def folder(tmp_path, monkeypatch, trained):
    """An empty directory with a sound, whose model is the tiny one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SMG_MODEL", str(trained[1]))
    soundfile.write("in.wav", np.random.default_rng(0).standard_normal((8000, 2)) * 0.1, 8000)
    return tmp_path


def batch(text: str, *more, name="jobs.csv", to="out"):
    Path(name).write_text(text, encoding="utf-8")
    return run(["batch", name, "-o", to, "--workers", "1", *more])


def lines(to="out") -> list[dict]:
    return [json.loads(line) for line in Path(to, "results.jsonl").read_text().splitlines()]


def contents(to="out") -> dict[str, bytes]:
    """The files under final names."""
    found = [p for p in sorted(Path(to).rglob("*.wav")) if ".smg-batch" not in p.parts]
    return {p.relative_to(to).as_posix(): p.read_bytes() for p in found}


def jobs_of(text: str, name="jobs.csv"):
    Path(name).write_text(text, encoding="utf-8")
    return make_jobs(read_rows(name), Path())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt,secnods\nrain,2\n", "row 1 (line 2): unknown column 'secnods'; did you mean seconds"),
        ("prompt,zzz\nrain,2\n", "unknown column 'zzz'; known are task, "),
        ("prompt,prompt\nrain,2\n", "two columns 'prompt'"),
        ("prompt,\nrain,2\n", "column 2 has no name"),
        ("prompt\nrain, soft\n", "line 2 has 2 cells for 1 columns"),
        ('prompt\n"rain\n', "line 2 is no CSV"),
        ("prompt,seconds\nrain,2\n\nwind,nan\n", "row 2 (line 4), column seconds: is nan; use a number from 0.2"),
        ("prompt,seconds\nrain,long\n", "row 1 (line 2), column seconds: is 'long'; use a number"),
        ("prompt,seed\nrain,1.5\n", "column seed: is 1.5; use a whole number"),
        ("prompt,loop\nrain,maybe\n", "column loop: is 'maybe'; use true or false"),
        ("prompt,loop,trim\nrain,yes,yes\n", "a loop that is trimmed"),
        ("prompt,seconds\n,2\nrain,0\n", "row 1 (line 2): nothing to make: give a prompt, or a sound with like (and 1"),
        ("prompt,amount\nrain,0.5\n", "column amount: generate has no such option"),
        ("task,prompt\nmix,rain\n", "column task: unknown task 'mix'"),
        ("task,input\nvary,\n", "column input: vary needs it"),
        ("task,input\nvary,no.wav\n", "column input: 'no.wav' is no file that can be read"),
        ("task,input,boxes\ninpaint,in.wav,1:x\n", "column boxes: is '1:x'; write START:END"),
        ("task,input,boxes\ninpaint,in.wav,0.1:0.2;0.5:0.4\n", "column boxes: the span from 0.5 to 0.4 s ends"),
        ("prompt,output\nrain,../x.wav\n", "column output: is '../x.wav'; name a file in the directory"),
        ("prompt,output\nrain,/x.wav\n", "column output: is '/x.wav'"),
        ("prompt,output\nrain,.x.wav\n", "column output: is '.x.wav'"),
        (f"prompt,output\nrain,{'x' * 300}\n", "of at most 200 bytes"),
        ("prompt,output\nrain,a.wav\nwind,A.wav\n", "row 2 (line 3), column output: row 1 writes A.wav too"),
        ("prompt,output,num\nrain,a.wav,2\nwind,a-2.wav,\n", "row 1 writes a-2.wav too"),
        ("prompt,output\nrain,x.txt\n", "unknown extension 'txt'"),
        ("prompt,output,bits\nrain,x.mp3,24\n", "row 1 (line 2): bits is '24', and mp3 has no such samples"),
        ("prompt,output\nrain,link/x.wav\n", "link/x.wav leads out of out"),
        ("task,input,output\nvary,out/a.wav,a.wav\n", "column output: out/a.wav is a sound that a row reads"),
        ("prompt\n\n", "holds no jobs"),
    ],
)  # fmt: skip
def test_a_wrong_table_is_one_line_and_no_work(folder, capsys, text, message):
    Path("out").mkdir()
    Path("out/link").symlink_to(folder)
    Path("out/a.wav").write_bytes(Path("in.wav").read_bytes())
    before = contents()
    assert batch(text) == 2
    error = capsys.readouterr().err
    assert error.startswith("smg: error: ") and error.count("\n") == 1 and message in error, error
    assert (contents() == before and not Path("out/results.jsonl").is_file()) or not lines()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"prompt": "rain"}\n{"prompt"\n', "line 2 is no JSON"),
        ("[1]\n", "line 1 is list; write one JSON object"),
        ('{"top-p": 1, "top_p": 1}\n', "line 1 gives a key twice"),
        ('{"prompt": 3}\n', "row 1 (line 1), column prompt: is 3; give it as text"),
        ('{"task": ["vary"]}\n', "column task: unknown task ['vary']"),
        ('{"prompt": "rain", "seconds": [2]}\n', "column seconds: is [2]; use a number"),
    ],
)
def test_wrong_json_lines(folder, capsys, text, message):
    assert batch(text, name="jobs.jsonl") == 2
    assert message in capsys.readouterr().err and not Path("out").exists()


def test_other_bad_arguments(folder, capsys):
    for more, message in (
        (["--engine", "slurm"], "unknown engine 'slurm'; use local or ray"),
        (["--workers", "0"], "workers is 0"),
        (["--format", "aiff"], "unknown format 'aiff'"),
        (["--model", "nowhere/"], "nowhere"),
    ):
        assert batch(FEW, *more) != 0 and message in capsys.readouterr().err
    assert batch(FEW, name="jobs.txt") == 2 and "unknown extension '.txt'" in capsys.readouterr().err
    Path("jobs.csv").write_bytes(b"prompt\nr\xe9verb\n")
    assert run(["batch", "jobs.csv", "-o", "out"]) == 2 and "line 2 is not UTF-8" in capsys.readouterr().err
    assert run(["batch", "none.csv", "-o", "out"]) == 1 and "no such file" in capsys.readouterr().err


def test_cells_are_read_as_spreadsheets_write_them(folder):
    text = "\ufeffPrompt;Top-P;n;seed;loop;bits;negative\r\nRain;0.5;2.0;4294967290.0;TRUE;24;\r\n;;;;;;\r\n"
    (job,) = jobs_of(text)
    options = job.options
    assert (options.prompt, options.top_p, options.num, options.seed) == ("Rain", 0.5, 2, 4294967290)
    assert options.loop is True and options.negative is None and job.output.bits == "24"
    assert job.names == ["0001-rain-1.wav", "0001-rain-2.wav"]


def test_names_come_from_row_and_prompt(folder):
    text = "task,prompt,input,output\n,Döner-Spieß dreht!,,\n,雨,,\nvary,,in.wav,\nloop,,in.wav,sub/x\n"
    names = [job.name for job in jobs_of(text)]
    assert names == ["0001-doner-spie-dreht.wav", "0002-generate.wav", "0003-vary-in.wav", "sub/x.wav"]
    assert len(slug("long " * 50)) <= 40


def test_seeds_come_from_the_content_of_a_row(folder):
    first = [job.options.seed for job in jobs_of("prompt,output\nrain,a\nrain,b\nwind,c\nwind,d\n")]
    again = [job.options.seed for job in jobs_of("prompt,output\nwind,x\nrain,y\nrain,z\n")]
    assert len(set(first)) == 4 and again == [first[2], first[0], first[1]]


def test_all_tasks_make_what_their_commands_make(folder, capsys):
    Path("sub").mkdir()
    Path("sub/jobs.csv").write_text(
        "task,prompt,input,boxes,seconds,amount,seed,n,steps,lufs,output\n"
        "generate,rain,,,0.5,,5,2,2,-30,a.wav\n"
        "inpaint,,../in.wav,0.2:0.4;0.5:0.6:500:2000,,,5,,2,,deep/b.wav\n"
        "extend,,../in.wav,,,,5,,2,,c.wav\n"
        "continue,,../in.wav,,0.5,,5,,2,,d.wav\n"
        "vary,,../in.wav,,,0.3,5,,2,,e.wav\n"
        "loop,,../in.wav,,,,5,,2,,f.wav\n"
    )
    assert run(["batch", "sub/jobs.csv", "-o", "out", "--workers", "1", "--json"]) == 0
    summary = parsed(capsys.readouterr().out)
    assert summary["rows"] == summary["done"] == 6 and summary["files"] == 7 and summary["failures"] == []
    common = ["--seed", "5", "--steps", "2", "-q", "--threads", "1"]
    for name, command in {
        "a-2.wav": ["generate", "rain", "--seconds", "0.5", "--lufs", "-30", "-n", "2", "-o", "a.wav"],
        "deep/b.wav": ["inpaint", "in.wav", "--box", "0.2:0.4", "--box", "0.5:0.6:500:2000", "-o", "b.wav"],
        "c.wav": ["extend", "in.wav", "-o", "c.wav"],
        "d.wav": ["continue", "in.wav", "--seconds", "0.5", "-o", "d.wav"],
        "e.wav": ["vary", "in.wav", "--amount", "0.3", "-o", "e.wav"],
        "f.wav": ["loop", "in.wav", "-o", "f.wav"],
    }.items():
        assert run([*command, *common]) == 0
        assert (folder / Path(name).name).read_bytes() == (folder / "out" / name).read_bytes(), name
    line = lines()[0]
    assert line["row"] == 1 and line["status"] == "done" and line["error"] is None and line["seed"] == 5
    assert [(f["file"], f["seed"], f["seconds"]) for f in line["files"]] == [("a-1.wav", 5, 0.5), ("a-2.wav", 6, 0.5)]


def test_rows_are_done_once(folder, capsys):
    assert batch(FEW) == 0
    made, written = contents(), lines()
    assert len(made) == 3 and "3 of 3 rows done; 3 files" in capsys.readouterr().out
    assert batch(FEW) == 0 and lines() == written and "0 of 3 rows done, 3 done before" in capsys.readouterr().out

    Path("out/0001-sound-0.wav").unlink()
    Path("out/0002-sound-1.wav").write_bytes(b"changed")
    assert batch(FEW) == 0 and contents() == made
    assert sorted(line["row"] for line in lines()[3:]) == [1, 2]

    assert batch(FEW.replace("sound 2,0.4", "sound 2,0.5"), "-q") == 0
    assert len(lines()) == 6 and contents()["0003-sound-2.wav"] != made["0003-sound-2.wav"]
    assert batch(FEW, "--force", "-q") == 0 and len(lines()) == 9 and contents() == made


def test_a_torn_or_foreign_line_counts_for_nothing(folder):
    assert batch(FEW) == 0
    path, made = Path("out/results.jsonl"), contents()
    path.write_bytes(b'[]\n{"key": 1}\n\xff\n' + path.read_bytes()[:-30])
    assert batch(FEW) == 0 and contents() == made
    text = path.read_bytes().splitlines()
    assert len(text) == 7 and json.loads(text[-1])["row"] == 3
    assert batch(FEW) == 0 and path.read_bytes().splitlines() == text


def test_another_input_is_another_row(folder):
    text = "task,input,amount,steps\nvary,in.wav,0.3,2\n"
    assert batch(text) == 0 and batch(text) == 0 and len(lines()) == 1
    made = contents()
    soundfile.write("in.wav", np.random.default_rng(1).standard_normal(8000) * 0.1, 8000)
    assert batch(text) == 0 and len(lines()) == 2 and contents() != made


def test_a_row_that_fails_does_not_stop_the_others(folder, capsys):
    Path("bad.wav").write_text("no sound")
    text = "task,input,prompt,seconds,steps\nvary,bad.wav,,,\ngenerate,,rain,0.4,2\n"
    assert batch(text, "-q", "--json") == 1
    out, err = capsys.readouterr()
    assert "jobs.csv: row 1 (line 2): " in err and "not a sound file" in err and "1 of 2 rows failed" in err
    assert err.count("\n") == 2 and parsed(out)["failures"][0]["row"] == 1
    assert [line["status"] for line in lines()] == ["failed", "done"] and list(contents()) == ["0002-rain.wav"]
    assert batch(text, "-q") == 1 and [line["row"] for line in lines()] == [1, 2, 1]


def test_a_full_disk_ends_the_batch(folder, capsys, monkeypatch):
    text = "prompt,seconds,steps\nrain,0.4,2\nwind,0.4,2\nsea,0.4,2\n"
    usual, left = Path.write_bytes, [1]

    def limited(self, data):
        if left and self.name == "part":
            left.pop()
        elif self.name in ("part", "probe"):
            raise OSError(28, "No space left on device")
        return usual(self, data)

    monkeypatch.setattr(Path, "write_bytes", limited)
    assert batch(text, "-q", "--workers", "1") == 1
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 2 and "row 2" in err[0] and "No space left on device; make room" in err[1]
    assert [line["status"] for line in lines()] == ["done", "failed"]
    monkeypatch.setattr(Path, "write_bytes", usual)
    assert batch(text, "-q", "--workers", "1") == 0 and len(contents()) == 3


def test_an_edit_with_nothing_to_do_is_done(folder, capsys):
    soundfile.write("full.wav", np.random.default_rng(0).standard_normal(22050) * 0.1, 22050)
    text = "task,input\nextend,full.wav\n"
    assert batch(text) == 0 and lines()[0]["status"] == "nothing" and not contents()
    assert batch(text) == 0 and len(lines()) == 1 and "1 done before" in capsys.readouterr().out


def test_json_lines_from_standard_input(folder, capsys, monkeypatch):
    assert batch(FEW) == 0
    text = "".join(
        json.dumps({"prompt": f"sound {i}", "seconds": 0.4, "steps": 2, "seed": None}) + "\n" for i in range(3)
    )
    done = subprocess.run(
        [sys.executable, "-m", "specmaskgit_cli", "batch", "-", "-o", "piped", "--workers", "1", "--format", "WAV"],
        input=text, text=True, capture_output=True, timeout=300, env=os.environ | _path(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert contents("piped") == contents("out")


def test_two_batches_do_not_share_a_directory(folder, capsys):
    pytest.importorskip("fcntl")
    with Results("out"):
        assert batch(FEW) == 1 and "another batch is working in out" in capsys.readouterr().err
    assert batch(FEW) == 0 and not Path("out/.smg-batch").exists()


def test_a_worker_that_dies_fails_its_row_alone(folder, trained):
    import multiprocessing

    from specmaskgit_cli.checkpoint import load_checkpoint

    jobs = jobs_of("prompt,seconds,steps\n" + "".join(f"s {i},2,8\n" for i in range(4)))
    setup, scratch = Setup(str(trained[1])), str(folder)
    outcomes, killed = {}, []
    for job, outcome in in_processes(setup, load_checkpoint(trained[1]).hash, scratch, jobs, 2):
        outcomes[job.row] = outcome
        if not killed and len(outcomes) < 3:
            killed = multiprocessing.active_children()
            for process in killed:
                os.kill(process.pid, signal.SIGKILL)
    failed = [outcome.error for outcome in outcomes.values() if outcome.error]
    assert sorted(outcomes) == [1, 2, 3, 4] and 1 <= len(failed) <= 2 and "ended with code -9" in failed[0]
    assert not multiprocessing.active_children()


def _path() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).parents[2])}


def _start(to: str, *more) -> subprocess.Popen:
    """A batch of its own, as a shell starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "specmaskgit_cli", "batch", "many.csv", "-o", to, *more],
        env=os.environ | _path(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def _wait_for_rows(process: subprocess.Popen, path: Path, count: int) -> None:
    end = time.monotonic() + 600
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.01)


def _alone(group: int) -> bool:
    """Whether no process of a group is left, after a moment."""
    for _ in range(5000):
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_at_any_moment_it_resumes_to_the_same_bytes(folder, capsys, workers):
    Path("many.csv").write_text("prompt,seconds,steps\n" + "".join(f"sound {i},0.5,2\n" for i in range(30)))
    process = _start("killed", "--workers", workers)
    _wait_for_rows(process, Path("killed/results.jsonl"), 3)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL and _alone(process.pid)
    before = contents("killed")
    assert 3 <= len(before) < 30
    Path("killed/.smg-batch").mkdir(exist_ok=True)
    Path("killed/.smg-batch/part").write_bytes(b"half a file")

    assert run(["batch", "many.csv", "-o", "killed", "--workers", "1", "--json"]) == 0
    summary = parsed(capsys.readouterr().out)
    assert summary["skipped"] >= 3 and summary["done"] + summary["skipped"] == 30
    assert run(["batch", "many.csv", "-o", "whole", "--workers", "2", "-q"]) == 0
    after = contents("whole")
    assert contents("killed") == after and before.items() <= after.items()
    assert not Path("killed/.smg-batch").exists()
    assert {line["row"] for line in lines("killed")} == set(range(1, 31))


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    "number, to_all, code", [(signal.SIGINT, True, 130), (signal.SIGTERM, False, 143), (signal.SIGHUP, True, 129)]
)
def test_interrupted_it_keeps_what_was_done(folder, workers, number, to_all, code):
    Path("many.csv").write_text("prompt,seconds,steps\n" + "".join(f"sound {i},1,4\n" for i in range(40)))
    process = _start("out", "--workers", workers)
    _wait_for_rows(process, Path("out/results.jsonl"), 2)
    # Ctrl-C and the end of a terminal reach all its processes; `kill` one alone.
    (os.killpg if to_all else os.kill)(process.pid, number)
    _, err = process.communicate(timeout=300)
    assert process.returncode == code and b"Traceback" not in err and _alone(process.pid)
    assert 2 <= len(lines()) < 40 and not Path("out/.smg-batch").exists()
    names = [f["file"] for line in lines() for f in line["files"]]
    assert set(names) <= set(contents()) and len(contents()) - len(names) <= 1


def test_ray_makes_the_same_files(folder, monkeypatch, capsys):
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*_path().values(), os.environ.get("PYTHONPATH", "")]))
    Path("bad.wav").write_text("no sound")
    text = "task,prompt,input,seconds,steps,output\n,rain,,0.5,2,a.wav\nvary,,in.wav,,2,b.wav\nvary,,bad.wav,,,c.wav\n"
    assert batch(text, to="local") == 1
    assert batch(text, "--engine", "ray", to="ray") == 1
    assert "bad.wav: not a sound file" in capsys.readouterr().err
    assert contents("ray") == contents("local") and len(contents("ray")) == 2
    assert [line["key"] for line in sorted(lines("ray"), key=lambda line: line["row"])] == [
        line["key"] for line in lines("local")
    ]


def test_another_version_of_the_program_does_all_rows_again(folder, monkeypatch):
    (job,) = jobs_of("prompt,seed\nrain,1\n")
    before = job.key({"model": "a"})
    assert before == job.key({"model": "a"}) != job.key({"model": "b"})
    monkeypatch.setattr("specmaskgit_cli.batch.jobs.__version__", "9.9")
    assert job.key({"model": "a"}) != before
