"""The measurements against known answers, and their commands on the tiny model."""

from __future__ import annotations

import io
import json
import struct
import sys
import tarfile
import types
import zlib

import numpy as np
import pytest
import soundfile
from decoding.test_decoding import FakePredictor, case, generators
from support.json_page import parsed

from specmaskgit_cli.cli import run
from specmaskgit_cli.config.settings import MelConfig
from specmaskgit_cli.decoding.core import decode
from specmaskgit_cli.decoding.orders import raster_order
from specmaskgit_cli.decoding.schedules import Ancestral
from specmaskgit_cli.decoding.settings import DecodeSettings
from specmaskgit_cli.errors import SmgError, UsageError
from specmaskgit_cli.evaluation import embedders
from specmaskgit_cli.evaluation.clips import arrange, choose, read_prompts
from specmaskgit_cli.evaluation.copying import Nearest, spectrogram_distance, summarise
from specmaskgit_cli.evaluation.distances import frechet, jackknife, kernel_distance, mean_pairwise, share_error
from specmaskgit_cli.evaluation.judge import judge
from specmaskgit_cli.evaluation.recognition import Recogniser, measure
from specmaskgit_cli.evaluation.tables import Table, markdown, plain
from specmaskgit_cli.spectrogram.image import save_sheet

MEL = MelConfig()


def points_of(mean, covariance, count):
    """[count, D] with exactly these moments."""
    points = np.random.default_rng(9).normal(size=(count, len(mean)))
    points -= points.mean(axis=0)
    whitened = points @ np.linalg.inv(np.linalg.cholesky(np.cov(points, rowvar=False))).T
    return mean + whitened @ np.linalg.cholesky(covariance).T


def test_frechet_distance_of_gaussians_is_the_closed_form():
    rng = np.random.default_rng(0)
    mean, mean2 = rng.normal(size=(2, 6))
    deviation, deviation2 = rng.uniform(0.1, 2, (2, 6))
    expected = ((mean - mean2) ** 2).sum() + ((deviation - deviation2) ** 2).sum()
    found = frechet(points_of(mean, np.diag(deviation**2), 30), points_of(mean2, np.diag(deviation2**2), 20))
    assert found == pytest.approx(expected)


def test_frechet_distance_does_not_need_covariances_that_commute():
    a, b = (m @ m.T for m in np.random.default_rng(1).normal(size=(2, 5, 5)))
    values = np.linalg.eigvals(a @ b)  # real and positive, as both are
    expected = np.trace(a) + np.trace(b) - 2 * np.sqrt(values.real).sum()
    sets = [points_of(np.zeros(5), matrix, count) for matrix, count in ((a, 12), (b, 40))]
    assert frechet(*sets) == pytest.approx(expected)
    assert frechet(sets[0], sets[0]) == pytest.approx(0, abs=1e-6)


def test_standard_errors_are_known_ones():
    values = np.random.default_rng(6).normal(size=10)
    expected = values.std(ddof=1) / np.sqrt(10)  # of a mean, the jackknife gives the usual formula
    assert jackknife(lambda kept: values[kept].mean(), 10) == pytest.approx(expected)
    draws = np.random.default_rng(7).normal(size=(200, 60))
    errors = [jackknife(lambda kept, row=row: row[kept].mean(), 60) for row in draws]
    assert np.mean(errors) == pytest.approx(1 / np.sqrt(60), rel=0.1)
    assert jackknife(lambda kept: 0.0, 3) is None
    assert share_error(0.5, 96) == pytest.approx(0.05) and 0 < share_error(0, 50) < share_error(0.2, 50)


def test_frechet_distance_of_a_shifted_set_is_the_shift():
    points = np.random.default_rng(2).normal(size=(10, 40))  # fewer points than dimensions
    assert frechet(points, points) == pytest.approx(0, abs=1e-5)
    assert frechet(points, points + 0.5) == pytest.approx(40 * 0.25, abs=1e-4)


def test_kernel_distance_is_its_definition():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(7, 3)), rng.normal(size=(5, 3)) + 0.5
    width = np.median([((x - y) ** 2).sum() for i, x in enumerate(a) for y in a[i + 1 :]])

    def mean(x, y, same):
        pairs = [(p, q) for i, p in enumerate(x) for j, q in enumerate(y) if not (same and i == j)]
        return np.mean([np.exp(-((p - q) ** 2).sum() / (2 * width)) for p, q in pairs])

    expected = 100 * (mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False))
    assert kernel_distance(a, b) == pytest.approx(expected)


def test_sets_of_one_kind_have_no_kernel_distance_whatever_their_size():
    rng = np.random.default_rng(4)
    for size in (8, 32):
        draws = [kernel_distance(*rng.normal(size=(2, size, 16))) for _ in range(200)]
        assert abs(np.mean(draws)) < 3 * np.std(draws) / np.sqrt(200)
        assert kernel_distance(rng.normal(size=(size, 16)), rng.normal(size=(size, 16)) + 1) > 5 * np.std(draws)


def test_frechet_distance_of_small_sets_of_one_kind_is_biased_up():
    rng = np.random.default_rng(5)
    small, large = (np.mean([frechet(*rng.normal(size=(2, n, 8))) for _ in range(20)]) for n in (10, 200))
    assert small > 3 * large > 0


def test_pairwise_distance():
    assert mean_pairwise(np.eye(4)) == 1
    assert mean_pairwise(np.ones((3, 1))) == 0


@pytest.mark.parametrize(
    "settings",
    [
        DecodeSettings(steps=1000, order="raster", onset=1.0, guided=1.0),
        DecodeSettings(steps=10, order="random", schedule="ancestral", onset=1.0, guided=1.0, guidance=2),
        DecodeSettings(steps=100, order="random", schedule="ancestral", guidance=0),
    ],
)
def test_other_strategies_decide_every_masked_token_once(settings):
    tokens, mask, condition = case()
    predictor = FakePredictor()
    out = decode(predictor, tokens, mask, condition, settings, generators(1, 2, 3))
    assert (out[~mask] == tokens[~mask]).all()
    # A token that the model has seen as decided stays as it was seen, up to the result.
    first = {}
    for seen, undecided, conditions, dropped in predictor.hidden_calls:
        rows = np.flatnonzero(~dropped)
        items = [int(np.argmax((condition == conditions[row]).all(axis=1))) for row in rows]
        for row, item in zip(rows, items, strict=True):
            for cell in zip(*np.nonzero(~undecided[row] & mask[item]), strict=True):
                assert first.setdefault((item, *cell), tuple(seen[row][cell])) == tuple(out[item][cell])
            assert not any(undecided[row][cell[1:]] for cell in first if cell[0] == item)
    # The tokens of the last step that an item takes part in are not seen again; all others are.
    left = [0] * len(mask)
    for _, undecided, conditions, dropped in predictor.hidden_calls:
        for row in np.flatnonzero(~dropped):
            left[int(np.argmax((condition == conditions[row]).all(axis=1)))] = undecided[row].sum()
    assert len(first) == mask.sum() - sum(left)


def test_raster_goes_in_time_one_token_a_step():
    assert raster_order(2, 3).tolist() == [0, 3, 1, 4, 2, 5]
    tokens, _, condition = case(1)
    predictor = FakePredictor()
    mask = np.ones(tokens.shape[:3], bool)
    settings = DecodeSettings(steps=mask.size, order="raster", guidance=0)
    decode(predictor, tokens, mask, condition, settings, generators(1))
    done = [np.flatnonzero(~undecided[0].T.ravel()) for _, undecided, *_ in predictor.hidden_calls]
    assert [cells.tolist() for cells in done] == [list(range(n)) for n in range(mask.size)]


def test_ancestral_schedule_unmasks_each_token_with_one_over_the_steps_left():
    rng = np.random.default_rng(0)
    plans = np.stack([Ancestral().counts(40, 10, rng) for _ in range(4000)])
    assert (plans.sum(axis=1) == 40).all() and plans.min() == 0
    left = 40 - np.cumsum(plans, axis=1) + plans
    for step in range(9):
        share = plans[:, step].sum() / left[:, step].sum()
        assert share == pytest.approx(1 / (10 - step), rel=0.05)
        # And independently of each other: the number is binomial, whose variance an even schedule would lack.
        surplus = plans[:, step] - left[:, step] / (10 - step)
        expected = (left[:, step] / (10 - step) * (1 - 1 / (10 - step))).mean()
        assert (surplus**2).mean() == pytest.approx(expected, rel=0.15)
    assert not Ancestral().counts(0, 10, rng).any()


def test_steps_that_unmask_nothing_cost_no_pass():
    tokens, _, condition = case(1)
    mask = np.ones(tokens.shape[:3], bool)
    predictor, settings = FakePredictor(), DecodeSettings(steps=500, order="random", schedule="ancestral", guidance=0)
    decode(predictor, tokens, mask, condition, settings, generators(1))
    seen = [undecided.sum() for _, undecided, *_ in predictor.hidden_calls]
    assert len(seen) <= mask.size and seen == sorted(set(seen), reverse=True) and seen[-1] > 0


def test_guidance_can_do_without_a_ramp():
    tokens, mask, condition = case()
    predictor = FakePredictor()
    decode(predictor, tokens, mask, condition, DecodeSettings(steps=6, onset=1.0, guided=1.0), generators(1, 2, 3))
    assert all(dropped.tolist() == [False] * 3 + [True] * 3 for *_, dropped in predictor.hidden_calls)
    with pytest.raises(ValueError, match="schedule"):
        DecodeSettings(schedule="zigzag")


def _pixels(path):
    """uint8 [height, width] of a palette PNG, every chunk checked."""
    data, at, body = path.read_bytes(), 8, b""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        content = data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0] == zlib.crc32(kind + content)
        if kind == b"IHDR":
            width, height = struct.unpack(">II", content[:8])
        body += content if kind == b"IDAT" else b""
        at += 12 + size
    rows = np.frombuffer(zlib.decompress(body), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:]


def test_sheet_is_a_readable_image(tmp_path):
    loud, quiet = np.full((80, 30), MEL.scale_max), np.full((80, 20), MEL.scale_min)
    save_sheet(tmp_path / "sheet.png", [[loud, quiet, None], [quiet, loud]], MEL)
    pixels = _pixels(tmp_path / "sheet.png")
    assert pixels.shape == (2 * 160 + 4, 3 * 30 + 2 * 4)
    places = [[pixels[row * 164 : row * 164 + 160, at * 34 : at * 34 + 30] for at in range(3)] for row in range(2)]
    assert [[bool(place.any()) for place in row] for row in places] == [[True, False, False], [False, True, False]]
    assert (places[0][0] == 255).all() and (pixels[160:164] == 255).all()


def test_real_sounds_are_arranged_to_one_length():
    rate = MEL.sample_rate
    long = 0.01 * np.ones(3 * rate, np.float32)
    long[rate : 2 * rate] = 0.5
    made = arrange(long, 1.0, MEL)
    assert len(made) == rate and made[MEL.hop_length :].min() > 0.9 and np.ptp(made[MEL.hop_length :]) == 0
    event = np.exp(-np.arange(rate // 5) / 300).astype(np.float32) * np.sin(np.arange(rate // 5))
    made = arrange(event, 2.0, MEL)
    starts = np.flatnonzero(np.abs(made[1:]) > 0.5) // (len(event) + rate // 4)
    assert len(made) == 2 * rate and set(starts) == set(range(5))
    steady = np.random.default_rng(0).standard_normal(rate // 2).astype(np.float32) * 0.1
    made = arrange(steady, 2.0, MEL)
    levels = [np.sqrt(np.mean(part**2)) for part in np.array_split(made, 20)]
    assert max(levels) < 1.5 * min(levels)


def test_two_sets_are_disjoint_and_equal():
    first, second = choose(9, 64, np.random.default_rng(0))
    assert len(first) == len(second) == 4 and not set(first) & set(second)
    with pytest.raises(SmgError, match="only 3 clips"):
        choose(3, 64, np.random.default_rng(0))


def test_prompts_are_read_or_refused_in_a_line(tmp_path):
    path = tmp_path / "prompts.csv"
    path.write_text('prompt,expected\na hound,Dog|"Bark"\nrain,\n')
    assert [(p.text, p.expected) for p in read_prompts(path)] == [("a hound", 'Dog|"Bark"'), ("rain", "")]
    for text in ("text\nrain\n", "prompt\n", ""):
        path.write_text(text)
        with pytest.raises(SmgError, match="prompts.csv"):
            read_prompts(path)
    with pytest.raises(SmgError, match="absent.csv"):
        read_prompts(tmp_path / "absent.csv")


def test_a_copy_is_found_wherever_it_is_and_others_are_not():
    rng = np.random.default_rng(0)
    mel, other = rng.uniform(-6, 2, (2, 80, 200))
    assert spectrogram_distance(mel, mel[:, 50:90], MEL) == 0
    assert spectrogram_distance(mel, other[:, 50:90], MEL) > 1
    silence = np.full((80, 40), -11.5)
    assert spectrogram_distance(silence, silence, MEL) == 12  # nothing to compare by is no copy
    far = [Nearest("k", 0.5, d) for d in np.linspace(1, 2, 101)]
    out = summarise({"real": far, "generated": [Nearest("k", 1.0, 0.1)] * 3 + [Nearest("k", 0.2, 1.5)]})
    assert out["real"]["suspicious"] == pytest.approx(0.05, abs=0.01) and out["generated"]["suspicious"] == 0.75
    assert out["threshold"]["distance"] == pytest.approx(1.05)


def test_recognition_ranks_the_known_sound_nearest_to_the_text():
    pipe = types.SimpleNamespace(
        engine=types.SimpleNamespace(prompts=types.SimpleNamespace(sounds=list("abcdef"))),
        checkpoint=types.SimpleNamespace(tensors=lambda name: {"embeddings": np.eye(6, dtype=np.float16)}),
    )
    audio = np.array([[0.9, 0.5, 0.4, 0.3, 0.2, 0.1]] * 3)
    recogniser = Recogniser(pipe, [])
    kinds = recogniser.kinds(["like a", "like c", "f"], np.eye(6)[[0, 2, 3]] + 0.1)  # a name counts more than a point
    assert kinds.tolist() == [0, 2, 5]
    ranks = recogniser.ranks(audio, kinds)
    assert ranks.tolist() == [1, 3, 6]
    found = measure(ranks)
    assert found["hit1"] == pytest.approx(1 / 3) and found["hit5"] == pytest.approx(2 / 3)
    assert found["hit1_error"] == found["hit5_error"] == share_error(1 / 3, 3)


JUDGE = """
import csv, sys
arguments = dict(zip(sys.argv[2::2], sys.argv[3::2]))
assert sys.argv[1] == "score"
rows = list(csv.DictReader(open(arguments["--manifest"], newline="")))
assert all(len(open(arguments["--manifest"].replace("manifest.csv", row["file"]), "rb").read()) > 44 for row in rows)
with open(arguments["--out"], "w", newline="") as file:
    out = csv.writer(file)
    out.writerow(["file", "rank", "probability", "rank_parents_aside"])
    out.writerows([r["file"], 9, 0.5, {"right": 1, "nearly": 4}.get(r["expected"], 7)] for r in rows)
"""


@pytest.fixture
def judge_command(tmp_path):
    (tmp_path / "judge.py").write_text(JUDGE)
    return f"{sys.executable} '{tmp_path / 'judge.py'}'"


def test_judge_is_asked_and_believed(judge_command, tmp_path):
    wave = np.zeros(100, np.float32)
    groups = {"good": [(wave, "right"), (wave, "nearly")], "bad": [(wave, "wrong")], "none": []}
    found = judge(judge_command, groups, 22050)
    assert {name: {key: row[key] for key in row if "error" not in key} for name, row in found.items()} == {
        "good": {"judge_hit1": 0.5, "judge_hit5": 1.0, "judge_probability": 0.5, "judge_clips": 2},
        "bad": {"judge_hit1": 0.0, "judge_hit5": 0.0, "judge_probability": 0.5, "judge_clips": 1},
    }
    assert found["good"]["judge_hit5_error"] == share_error(1.0, 2)
    for script, words in (
        ("raise SystemExit('no class Wuff')", "no class Wuff"),
        ("", "no usable --out"),
        ("import sys; open(sys.argv[-1], 'w').write('file,rank,probability\\n')", "scored 0 of 3"),
    ):
        (tmp_path / "judge.py").write_text(script)
        with pytest.raises(SmgError, match=words):
            judge(judge_command, groups, 22050)
    with pytest.raises(SmgError, match="cannot be run"):
        judge("/no/such/judge", groups, 22050)


def test_embedders_can_be_plugged_in_and_absent_ones_say_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SmgError, match="pip install transformers"):
        embedders.open_embedder("clap", None)
    with pytest.raises(UsageError, match="no embedder 'panns'"):
        embedders.open_embedder("panns", None)
    point = types.SimpleNamespace(name="panns", load=lambda: lambda: "the plugged one")
    monkeypatch.setattr(embedders.metadata, "entry_points", lambda group: [point])
    assert embedders.open_embedder("panns", None) == "the plugged one"


def test_tables_align_and_tell_what_was_not_measured():
    table = Table("title", ["sounds", "FAD"], [["real|copy", 1.25], ["x", None]])
    assert plain(table) == "title\nsounds       FAD\nreal|copy  1.250\nx              -"
    assert markdown(table).splitlines()[2:] == [
        "| sounds | FAD |",
        "| --- | ---: |",
        "| real\\|copy | 1.250 |",
        "| x | - |",
    ]


@pytest.fixture
def model(trained, monkeypatch):
    monkeypatch.setenv("SMG_MODEL", str(trained[1]))


def test_sounds_are_those_that_generate_makes(model):
    from specmaskgit_cli.conditioning.condition import Condition
    from specmaskgit_cli.evaluation.synthesis import generate
    from specmaskgit_cli.pipeline import load

    pipe = load(threads=1)
    wave, cost = generate(pipe, Condition(pipe.runtime.embed_text(["rain"])), 0.5, DecodeSettings(), 7)
    sound = pipe.generate("rain", seconds=0.5, seed=7)
    inner = slice(500, -500)  # generate fades the ends
    assert min(cost.seconds, cost.core_seconds) > 0 and sound.samples.shape == (1, len(wave))
    assert np.allclose(
        wave[inner] / wave[inner].std(), sound.samples[0, inner] / sound.samples[0, inner].std(), atol=1e-3
    )


def test_evaluate_model(model, sound_folder, tmp_path, capsys, judge_command):
    (tmp_path / "prompts.csv").write_text("prompt,expected\nrain,right\ndog bark,wrong\nengine hum,nearly\n")
    common = ["evaluate", "model", "--data", str(sound_folder), "--seconds", "0.5", "--steps", "2", "--threads", "1"]
    more = ["--training", str(sound_folder), "--sheet", str(tmp_path / "s.png"), "-o", str(tmp_path / "r.json")]
    assert run([*common, *more, "--clips", "4", "--json", "-q"]) == 0
    report = parsed(capsys.readouterr().out)
    assert report.items() >= json.loads((tmp_path / "r.json").read_text()).items()
    assert report["clips"] == report["prompts"] == 4
    for row in report["groups"].values():
        assert all(np.isfinite(value) for value in row.values())
        assert row["fad"] >= 0 and 0 <= row["hit1"] <= row["hit5"] <= 1 and -1 <= row["text_audio"] <= 1
    assert report["groups"]["round trip"]["mel_l1"] > report["groups"]["copy synthesis"]["mel_l1"] > 0
    assert report["diversity"]["between_seeds"] >= 0
    near = report["nearest_training"]
    assert near["real"]["distance"] < 0.2 < near["generated"]["distance"]  # the real ones are among the training clips
    assert len(report["nearest_of_each"]) == 8
    assert report["prompts_measured"] == [clip["label"] for clip in report["clips_measured"]]
    height, width = _pixels(tmp_path / "s.png").shape
    assert height == 4 * 164 - 4 and width == 5 * (0.5 * 22050 // 256 + 4) - 4

    prompts = ["--prompts", str(tmp_path / "prompts.csv"), "--judge", judge_command, "--seeds", "1"]
    assert run([*common, *prompts]) == 0
    text = capsys.readouterr().out
    assert "judge hit@1" in text and "real clips of a label" in text and "Nearest" not in text
    generated = next(line for line in text.splitlines() if line.startswith("generated"))
    assert "0.333" in generated and "0.667" in generated


def test_evaluate_sampling(model, trained, sound_folder, tmp_path, capsys, monkeypatch, judge_command):
    common = ["evaluate", "sampling", "--seconds", "0.5", "--threads", "1", "-q", "-o", str(tmp_path / "r.json")]
    common += ["--data", str(sound_folder), "--clips", "3", "--sweep", "strategy", "--sweep", "order"]
    assert run([*common, "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (
        sum(line.startswith(("| autoregressive", "| absorbing", "| halton", "| random", "| revisit")) for line in lines)
        == 5
    )
    report = json.loads((tmp_path / "r.json").read_text())
    assert len(report["rows"]) == 6  # the default setting is in both sweeps, and measured once
    for row in report["sweeps"]["strategy"]:
        assert {"fad", "kad", "text_audio", "hit5"} <= row.keys() and row["seconds_a_clip"] > 0
    fast, slow, diffusion = report["sweeps"]["strategy"]
    columns = json.loads((trained[1] / "config.json").read_text())["generator"]["max_columns"]
    assert slow["settings"]["steps"] == 5 * columns and fast["settings"]["steps"] == 2
    # Half a second is 3 columns of 5 tokens. The model is told its guidance, so that no step takes two passes.
    assert slow["passes"] == 15 and fast["passes"] == 2 and 1 <= diffusion["passes"] <= 15
    assert fast["rtf"] == pytest.approx(fast["core_seconds_a_clip"] / 0.5) and fast["diversity"] > 0

    def refuse(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr("specmaskgit_cli.evaluation.sampling.generate_takes", refuse)
    assert run([*common, "--json"]) == 0
    assert parsed(capsys.readouterr().out)["rows"] == report["rows"]
    assert run([*common, "--seed", "5"]) == 1
    assert "with other options" in capsys.readouterr().err


def test_evaluate_paper(model, trained, sound_folder, tmp_path, capsys, monkeypatch, judge_command):
    (tmp_path / "prompts.csv").write_text("prompt,expected\nrain,right\ndog bark,wrong\nbird chirp,nearly\n"
                                          "engine hum,right\n")  # fmt: skip
    folder = tmp_path / "results"
    common = ["evaluate", "paper", "--data", str(sound_folder), "--prompts", str(tmp_path / "prompts.csv")]
    common += ["--seconds", "0.5", "--threads", "1", "--judge", judge_command, "-o", str(folder), "-q"]
    some = ["--sweep", "steps", "--sweep", "condition"]
    assert run([*common, *some]) == 0
    assert "random order" not in (folder / "results.md").read_text()
    more = ["--sweep", "order", "--sweep", "strategy", "--sweep", "model", "--against", str(trained[1])]
    assert run([*common, *some, *more]) == 0
    text = (folder / "results.md").read_text()
    rows = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")]
    expected = ["real clips", "copy synthesis", "round trip", "default", "4 steps", "24 steps", "autoregressive",
                "absorbing diffusion", "by sound", "by text and sound", "random order"]  # fmt: skip
    assert rows.count("default") == 1 and set(expected) <= set(rows)
    assert "2 steps" not in rows and "one token a step, in time (autoregressive)" in rows
    assert "smg evaluate paper --data shards --prompts prompts.csv" in text and str(tmp_path) not in text
    assert len(_pixels(folder / "sheet.png")) > 160
    report = json.loads((folder / "sampling.json").read_text())
    ours, again = report["sweeps"]["model"]
    assert again["model"] and again["kad"] == ours["kad"] and again["judge_hit5"] == 0.75  # it is the same model
    by_text, by_sound, by_both = (row["text_audio"] for row in report["sweeps"]["condition"])
    assert by_text != by_sound != by_both

    def refuse(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr("specmaskgit_cli.evaluation.sampling.generate_takes", refuse)
    monkeypatch.setattr("specmaskgit_cli.evaluation.model.generate_takes", refuse)
    capsys.readouterr()
    assert run([*common, *some, "--json"]) == 0
    printed = parsed(capsys.readouterr().out)
    assert printed["directory"] == str(folder) and "no difference seen" in str(printed["tables"][-1]["rows"])
    assert run([*common, "--seed", "5"]) == 1
    assert "with other options" in capsys.readouterr().err


def test_answers_tell_differences_beyond_their_errors():
    from specmaskgit_cli.evaluation.paper import _answers

    usual = {"core_seconds_a_clip": 0.5, "judge_hit5": 0.4, "judge_hit5_error": 0.03, "kad": 2.0, "kad_error": 0.3}
    rows = {
        "default": usual,
        "16 steps": usual | {"core_seconds_a_clip": 0.75, "judge_hit5": 0.48},
        "1 step": usual | {"judge_hit5": 0.3, "kad": 1.0},
    }
    fewer, more = _answers(rows).rows
    assert more[1:] == ["1.50 x", "+0.080 ± 0.042", "+0.000 ± 0.424", "no difference seen"]
    assert fewer[1:] == ["1.00 x", "-0.100 ± 0.042", "-1.000 ± 0.424", "judge hit@5 worse, KAD better"]


def test_sounds_to_resemble_are_training_clips_of_the_label(model, tmp_path):
    from specmaskgit_cli.evaluation.clips import Prompt
    from specmaskgit_cli.evaluation.material import EvaluationOptions, likenesses
    from specmaskgit_cli.pipeline import load

    rate, rng = MEL.sample_rate, np.random.default_rng(0)
    tones = {("train-0", "rain"): 500, ("train-0", "dog bark"): 1000, ("val-0", "rain"): 2000}
    for (shard, label), hz in tones.items():
        data = io.BytesIO()
        wave = np.sin(2 * np.pi * hz * np.arange(rate) / rate) + 0.01 * rng.standard_normal(rate)
        soundfile.write(data, 0.5 * wave, rate, format="WAV")
        with tarfile.open(tmp_path / f"{shard}.tar", "a") as tar:
            info = json.dumps({"label": label}).encode()
            for suffix, content in ((".wav", data.getvalue()), (".json", info)):
                entry = tarfile.TarInfo(label + suffix)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    prompts = [Prompt("dog bark"), Prompt("rain"), Prompt("rain")]
    waves = likenesses(load(threads=1), [tmp_path], prompts, EvaluationOptions(seconds=0.5))
    heard = [np.argmax(np.abs(np.fft.rfft(wave))) * 2 for wave in waves]
    assert heard == pytest.approx([1000, 500, 500], abs=4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sampling"], "give --prompts or --data"),
        (["paper", "--data", "."], "--output"),
        (["paper", "--data", ".", "-o", "file"], "name a folder"),
        (["paper", "--data", ".", "-o", "here", "--against", "absent/model/x"], "absent/model/x"),
        (["sampling", "--data", ".", "--sweep", "luck"], "--sweep is 'luck'"),
        (["model", "--data", "absent"], "absent"),
        (["model", "--data", "."], "no sound file"),
        (["model", "--data", ".", "--seconds", "0"], "seconds is 0"),
        (["model", "--data", ".", "--clips", "1"], "clips is 1"),
        (["model", "--data", ".", "--steps", "0"], "steps is 0"),
        (["model", "--data", ".", "--sheet", "s.jpg"], "end the name in .png"),
        (["model", "--data", ".", "--embedder", "ears"], "no embedder 'ears'"),
        (["model", "--data", ".", "--prompts", "absent.csv"], "absent.csv"),
    ],
)
def test_bad_options_are_one_line(model, tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert run(["evaluate", *arguments]) in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("smg: error: ") and words in line and "bug" not in line


def test_a_clap_of_transformers_embeds_sounds_and_texts(tmp_path):
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch")
    small = transformers.ClapConfig(
        text_config={"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16},
        audio_config={"patch_embeds_hidden_size": 16, "depths": [1, 1], "num_attention_heads": [2, 2],
                      "hidden_size": 32, "num_hidden_layers": 2},
        projection_dim=8,
    )  # fmt: skip
    transformers.ClapModel(small).save_pretrained(tmp_path)
    clap = object.__new__(embedders.ClapEmbedder)
    import torch

    clap.torch, clap.model = torch, transformers.ClapModel(small).eval()
    extractor = transformers.ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad")
    clap.processor = types.SimpleNamespace(
        feature_extractor=extractor,
        tokenizer=lambda texts, **_: {"input_ids": torch.ones(len(texts), 4, dtype=torch.long)},
    )
    wave = np.random.default_rng(0).standard_normal(22050).astype(np.float32) * 0.1
    vector = clap.embed(wave, 22050)
    assert vector.shape == (8,) and np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert clap.embed_text(["rain", "dog"]).shape == (2, 8)


def test_sound_folder_reads_back(sound_folder):
    from specmaskgit_cli.evaluation.clips import list_clips, read_clips

    listing = list_clips([sound_folder])
    waves = read_clips([sound_folder], [key for key, *_ in listing[:3]], 0.5, MEL)
    assert len(listing) == 10 and {len(wave) for wave in waves.values()} == {11025} and len(waves) == 3
    assert soundfile.info(sound_folder / "rain 1.wav").samplerate == 22050
