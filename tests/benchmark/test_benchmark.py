"""`smg benchmark`: that the stages are all there and sum up, and what it says of the computer is true."""

import dataclasses
import mmap
import os
import time

import numpy as np
import pytest
from support.json_page import parsed

from specmaskgit_cli import load
from specmaskgit_cli.benchmark import machine, peers, run, table, untrained
from specmaskgit_cli.benchmark.compare import compare
from specmaskgit_cli.benchmark.flops import generator_flops
from specmaskgit_cli.benchmark.gemm import gemm_rate, products_model
from specmaskgit_cli.benchmark.stages import STAGES, Clock, TimedPipeline
from specmaskgit_cli.cli import run as smg
from specmaskgit_cli.config.presets import PRESETS
from specmaskgit_cli.config.settings import CheckpointConfig, GeneratorConfig
from specmaskgit_cli.errors import SmgError, UsageError

QUICK = run.BenchmarkOptions(seconds=0.5, steps=4, runs=2, threads=1)


def test_json_has_every_stage_and_they_sum_up(capsys):
    assert smg(["benchmark", "-s", "0.5", "--steps", "4", "--runs", "1", "--threads", "1", "--json", "-q"]) == 0
    captured = capsys.readouterr()
    found = parsed(captured.out)
    assert captured.err == "" and tuple(found["stages"]) == STAGES
    total = found["total"]["seconds"]
    assert sum(stage["seconds"] for stage in found["stages"].values()) == pytest.approx(total)
    assert found["rtf"] == pytest.approx(total / 0.5) and found["threads"] == 1
    assert found["stages"]["generator"]["calls"] == 4
    levels = load().config.tokenizer.levels
    assert found["stages"]["head"]["calls"] == 4 * levels
    for stage in ("text encoder", "generator", "head", "sampling", "tokenizer decoder", "vocoder"):
        assert found["stages"][stage]["seconds"] > 0, stage
    assert -1e-3 < found["stages"]["other"]["seconds"] < total
    assert 50 < found["peak_rss_mb"] < 4000 and 0 < found["gemm_share"] < 1.5
    assert found["cold_seconds"] > total  # a whole process, and more sound
    assert set(found["versions"]) >= {"smg", "numpy", "onnxruntime", "python"}
    assert found["model_hash"] == load().checkpoint.hash


def test_the_timed_pipeline_makes_the_same_sound():
    sound, pipe = QUICK.sound(), load(threads=1)
    timed = TimedPipeline(pipe, Clock())
    np.testing.assert_array_equal(timed.make(sound)[0].samples, pipe.make(sound)[0].samples)


def test_scaling_and_its_table(capsys):
    found = run.scaling(dataclasses.replace(QUICK, runs=1), lengths=(0.4, 0.8), nums=(1, 2))
    assert [(row["seconds"], row["num"]) for row in found["scaling"]] == [(0.4, 1), (0.4, 2), (0.8, 1)]
    for row in found["scaling"]:
        assert row["rtf"] == pytest.approx(row["total"]["seconds"] / (row["seconds"] * row["num"]))
    table.print_scaling(found)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("|") for line in lines) == 5 and machine.cpu_name() in lines[1]


def test_the_human_table_is_markdown(capsys):
    row = {"seconds": 0.5, "lowest": 0.4, "highest": 0.7, "rtf": 0.05}
    found = run.described(QUICK, load(threads=1)) | {
        "seconds": 10.0, "steps": 16, "runs": 3, "rtf": 0.05, "total": row,
        "stages": {stage: row | {"calls": None} for stage in STAGES}, "core_seconds": 0.9, "peak_rss_mb": None,
        "generator_gflop": 30.0, "generator_gflop_per_second": 50.0, "gemm_gflop_per_second": 100.0,
        "gemm_share": 0.5, "first_seconds": 1.0, "cold_seconds": 1.5,
    }  # fmt: skip
    table.print_benchmark(found)
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if line.startswith("|")]
    assert len(rows) == len(STAGES) + 3 and len({line.count("|") for line in rows}) == 1
    assert "50 % of the 100.0 GFLOP/s" in out and "20 times real time" in out and "memory: unknown" in out


def test_operations_are_counted_from_the_settings():
    plain = GeneratorConfig(width=8, layers=1, heads=2, mlp_ratio=2.0, condition_dim=4, modulation=False)
    config = dataclasses.replace(PRESETS["tiny"], generator=plain)
    tokens = config.rows * 3
    products = tokens * (8 * 24 + 8 * 8 + 8 * 16 + 16 * 8) + 2 * tokens**2 * 8
    first = tokens * config.tokenizer.codebook_dim * 8 + 4 * 8 + 8 * 8
    assert generator_flops(config, 1, 3) == 2 * (products + first)
    assert generator_flops(config, 4, 3) == 4 * generator_flops(config, 1, 3)
    asked = generator_flops(config, 1, 3, cells=4)  # queries, what attention gives, and the MLP of those alone
    spared = (tokens - 4) * (8 * 8 + 8 * 8 + 8 * 16 + 16 * 8 + 2 * tokens * 8)
    assert asked == generator_flops(config, 1, 3) - 2 * spared
    # The paper's generator: 24 layers of 12 * 768^2 weights.
    paper = generator_flops(PRESETS["paper"], 1, 53)
    assert paper == pytest.approx(2 * 265 * 24 * 12 * 768**2, rel=0.1)


def test_an_untrained_checkpoint_of_a_preset_can_be_timed(tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    from specmaskgit_cli.checkpoint import resolve
    from specmaskgit_cli.export import graphs

    monkeypatch.setattr(graphs, "export_part", lambda *_: None)  # slow, and the torch backend has no use for them
    untrained.write_untrained("tiny", resolve(), tmp_path / "tiny")
    pipe = load(str(tmp_path / "tiny"), backend="torch")
    assert pipe.config.name == "untrained tiny" and pipe.generate("rain", seconds=0.5).samples.shape == (1, 11025)
    with pytest.raises(UsageError, match="unknown preset 'huge'"):
        untrained.write_untrained("huge", resolve(), tmp_path / "huge")


def test_the_yardstick_multiplies_what_it_says():
    from specmaskgit_cli.runtime.ort import onnxruntime

    shapes = [(3, 5), (5, 2)]
    session = onnxruntime.InferenceSession(products_model(shapes), providers=["CPUExecutionProvider"])
    first, second = session.run(None, {"x0": np.eye(3, dtype=np.float32), "x1": np.eye(5, dtype=np.float32)})
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(first, rng.standard_normal((3, 5), dtype=np.float32))
    np.testing.assert_array_equal(second, rng.standard_normal((5, 2), dtype=np.float32))
    assert 1e7 < gemm_rate(CheckpointConfig(), 50, 1, seconds=0.05) < 1e13


def test_what_is_said_of_the_computer(monkeypatch):
    assert machine.explain_threads(3) == (3, "as asked")
    monkeypatch.setattr(machine, "cgroup_quota", lambda: 1.5)
    monkeypatch.setattr(machine, "allowed_threads", lambda: 1)
    count, because = machine.explain_threads(None)
    assert count == 1 and "quota of 1.5" in because and f"of {os.cpu_count()} cores" in because
    machine.reset_peak()
    before = machine.peak_rss_mb()
    block = mmap.mmap(-1, 200_000_000)  # memory of its own, not what the process was given before and keeps
    block.write(bytes(len(block)))
    assert machine.peak_rss_mb() >= before + 100
    del block


def test_peers_are_timed_beside_ours_and_missing_ones_are_named(capsys):
    calls = []

    def slow(seconds, threads):
        assert (seconds, threads) == (0.5, 1)
        return "slow, 100 steps", [("step", lambda: (calls.append(1), time.sleep(0.01)), 100)]

    def missing(seconds, threads):
        raise ModuleNotFoundError("no", name="absentpackage")

    def broken(seconds, threads):
        raise RuntimeError("not enough memory\ndetails")

    found = compare(QUICK, build={"Slow": slow, "Absent": missing, "Broken": broken})
    ours, peer = found["programs"]
    assert ours["name"] == "smg default" and ours["ratio"] == 1
    assert 1.0 < peer["total"] < 30 and len(calls) == 4  # three timed, one before them
    assert peer["ratio"] == pytest.approx(peer["total"] / ours["total"]) and peer["rtf"] == peer["total"] / 0.5
    table.print_comparison(found)
    out = capsys.readouterr().out
    assert (
        "Absent: skipped, absentpackage is not installed" in out
        and "Broken: skipped, it cannot be built here (not enough memory)\n" in out
    )
    assert "slow, 100 steps" in out


UNET = peers._UNET | {
    "block_out_channels": (32, 64), "layers_per_block": 1, "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
}  # fmt: skip
VAE = peers._VAE | {
    "block_out_channels": (32, 64), "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2, "layers_per_block": 1,
}  # fmt: skip
VOCODER = peers._VOCODER | {"upsample_initial_channel": 32}
TINY = {
    "AudioLDM": {
        "unet": UNET | {
            "cross_attention_dim": (32, 64), "class_embed_type": "simple_projection", "class_embeddings_concat": True,
            "projection_class_embeddings_input_dim": 8,
        },
        "vae": VAE, "vocoder": VOCODER, "steps": 2,
    },
    "AudioLDM 2": {
        "unet": UNET | {"cross_attention_dim": ((None, 8, 16),) * 2}, "vae": VAE, "vocoder": VOCODER, "steps": 2,
    },
    "Stable Audio Open": {
        "transformer": {
            "sample_size": 16, "in_channels": 4, "out_channels": 4, "num_layers": 1, "attention_head_dim": 4,
            "num_attention_heads": 2, "num_key_value_attention_heads": 1, "cross_attention_dim": 8,
            "cross_attention_input_dim": 8, "global_states_input_dim": 8, "time_proj_dim": 8,
        },
        "autoencoder": {
            "encoder_hidden_size": 8, "downsampling_ratios": [2, 4], "decoder_channels": 8, "decoder_input_channels": 4,
            "channel_multiples": [1, 2],
        },
        "steps": 2,
    },
    "MusicGen": {
        "decoder": {
            "num_hidden_layers": 1, "hidden_size": 16, "ffn_dim": 16, "num_attention_heads": 2, "vocab_size": 32,
            "num_codebooks": 4, "bos_token_id": 32, "pad_token_id": 32,
        },
        "text": {"d_model": 16, "d_ff": 16, "d_kv": 8, "num_layers": 1, "num_heads": 2, "vocab_size": 32},
        "audio": peers.MUSICGEN["audio"]
        | {"num_filters": 4, "codebook_size": 32, "hidden_size": 16, "codebook_dim": 16},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", peers.PEERS)
def test_real_peers_run_at_tiny_sizes(name):
    pytest.importorskip("transformers" if name == "MusicGen" else "diffusers")
    settings, parts = peers.PEERS[name](0.2, 1, TINY[name])
    assert settings and parts
    for part, function, calls in parts:
        function()
        assert part and calls >= 1


def test_wrong_options_and_failing_processes_are_one_line(capsys):
    assert smg(["benchmark", "--scaling", "--compare"]) == 2
    assert "give one of them" in capsys.readouterr().err
    for wrong in ({"seconds": 0.0}, {"steps": 0}, {"runs": 0}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            run.BenchmarkOptions(**wrong)
    with pytest.raises(SmgError, match="process of its own: smg: error: unknown model"):
        run.cold_start(dataclasses.replace(QUICK, model="no such model"))
