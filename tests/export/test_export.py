"""`smg export`: self-contained ONNX files that compute what the checkpoint computes, or none at all."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.json_page import parsed

onnx = pytest.importorskip("onnx")

from specmaskgit_cli.checkpoint import load_checkpoint, resolve  # noqa: E402
from specmaskgit_cli.cli import run  # noqa: E402
from specmaskgit_cli.errors import SmgError  # noqa: E402
from specmaskgit_cli.export import inline, standalone  # noqa: E402
from specmaskgit_cli.models.parts import PARTS  # noqa: E402
from specmaskgit_cli.runtime import open_runtime  # noqa: E402
from specmaskgit_cli.runtime.ort import onnxruntime  # noqa: E402

EXAMPLE = Path(__file__).parents[2] / "examples" / "onnx_only.py"


@pytest.fixture(scope="module")
def tiny(trained, tmp_path_factory):
    """(checkpoint directory, what `smg export` wrote of it)."""
    out = tmp_path_factory.mktemp("export") / "tiny"
    assert run(["export", str(trained[1]), "-o", str(out), "-q"]) == 0
    return trained[1], out


def outputs(path, **inputs):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def test_each_file_alone_computes_what_the_checkpoint_does(tiny):
    directory, out = tiny
    runtime = open_runtime(load_checkpoint(directory), "onnx")
    parts = [part for part in PARTS.values() if not part.extra]
    assert {path.stem for path in out.glob("*.onnx")} == {part.graph for part in parts}
    rng = np.random.default_rng(1)
    for batch, columns in ((3, 5), (1, 2)):  # none of the sizes that the export itself compares
        for part in parts:
            if part.network:
                inputs = part.signature(runtime.config).example(rng, batch, columns)
                found, expected = outputs(out / f"{part.graph}.onnx", **inputs), runtime.run(part.graph, **inputs)
                np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=part.graph)


def test_the_files_say_what_they_are(tiny):
    directory, out = tiny
    checkpoint = load_checkpoint(directory)
    for path in out.glob("*.onnx"):
        model = onnx.load(path)
        onnx.checker.check_model(model)
        says = {item.key: item.value for item in model.metadata_props}
        assert says["graph"] == path.stem and says["model"] == checkpoint.config.name
        assert says["model_hash"] == checkpoint.hash and says["sample_rate"] == "22050" and says["steps"] == "2"
        assert says["license"] == checkpoint.config.license and json.loads(says["mel"])["n_mels"] == 80
        assert json.loads(says["config"])["generator"]["width"] == checkpoint.config.generator.width
        dims = [size.dim_param for size in model.graph.input[0].type.tensor_type.shape.dim]
        assert dims[0] and not {node.op_type for node in model.graph.node} & {"CastLike"}


@pytest.mark.parametrize("which", ["neural vocoder", "griffin-lim"])
def test_the_example_makes_a_sound_without_this_program(which, tiny, tmp_path):
    import soundfile

    out = tiny[1]
    if which == "griffin-lim":  # the shipped model's own weights, fewer bytes
        out = tmp_path / "shipped"
        assert run(["export", "-o", str(out), "--fp16", "--int8", "-q"]) == 0
        (out / "vocoder.onnx").unlink(missing_ok=True)
    text = EXAMPLE.read_text()
    assert len(text.splitlines()) < 70 and "specmaskgit" not in text
    wav = tmp_path / "dog.wav"
    done = subprocess.run(
        [sys.executable, EXAMPLE, out, "dog barking", wav, "0.9"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    samples, rate = soundfile.read(wav)
    assert rate == json.loads((out / "config.json").read_text())["mel"]["sample_rate"]
    assert len(samples) == round(0.9 * rate) and np.isfinite(samples).all()
    assert 0.8 < np.abs(samples).max() < 0.95 and samples.std() > 1e-3


def test_int8_and_fp16_are_smaller_and_near(tiny, tmp_path, capsys):
    directory, plain = tiny
    out = tmp_path / "small"
    assert run(["export", str(directory), "-o", str(out), "--int8", "--fp16", "--json"]) == 0
    graphs = {item["graph"]: item for item in parsed(capsys.readouterr().out)["graphs"]}
    assert graphs["generator"]["precision"] == "int8" and graphs["head"]["precision"] == "float16"
    assert graphs["head"]["opset"] == 18 and graphs["vocoder"]["shapes"]["mel"][2] == "frames"
    operators = {node.op_type for node in onnx.load(out / "generator.onnx").graph.node}
    assert "MatMulInteger" in operators
    weights = {path: sum(len(t.raw_data) for t in onnx.load(path / "head.onnx").graph.initializer if len(t.dims) > 1)
               for path in (plain, out)}  # fmt: skip
    assert weights[out] * 2 == weights[plain]
    for item in graphs.values():
        model = onnx.load(out / item["file"])
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)] and model.ir_version == 8
        onnx.checker.check_model(model)
        assert (out / item["file"]).stat().st_size == item["bytes"]
        assert item["error"] <= item["tolerance"]


def test_a_model_in_8_bits_makes_nearly_the_same_with_operators_of_onnx_runtime(tiny, tmp_path, capsys):
    out = tmp_path / "int8"
    assert run(["export", str(tiny[0]), "-o", str(out), "--int8", "--as-model", "--json"]) == 0
    (graph,) = parsed(capsys.readouterr().out)["graphs"]
    assert graph["precision"] == "int8" and graph["error"] <= graph["tolerance"]
    model, plain = onnx.load(out / "onnx" / "generator.onnx"), onnx.load(tiny[1] / "generator.onnx")
    assert {"MatMulInteger", "MultiHeadAttention"} <= {node.op_type for node in model.graph.node}
    assert {entry.domain for entry in model.opset_import} == {"", "com.microsoft"}
    assert {node.domain for node in plain.graph.node} <= {"", "ai.onnx"} and len(plain.opset_import) == 1
    ours, theirs = (open_runtime(load_checkpoint(directory), "onnx") for directory in (out, tiny[0]))
    inputs = PARTS["generator"].signature(ours.config).example(np.random.default_rng(1), 2, 5)
    a, b = ours.hidden(**inputs), theirs.hidden(**inputs)
    assert 0 < np.linalg.norm(a - b) < 0.05 * np.linalg.norm(b)
    assert run(["export", str(tiny[0]), "-o", str(tmp_path / "other"), "--as-model"]) == 2
    assert "--as-model needs --int8" in capsys.readouterr().err


def test_a_graph_that_differs_is_refused_and_nothing_stays(tiny, tmp_path, monkeypatch, capsys):
    def spoilt(model, tensors, name, supply=inline.supply):
        bent = {key: value * 1.01 if "blocks.0.up.weight" in key else value for key, value in tensors.items()}
        return supply(model, bent, name)

    monkeypatch.setattr(inline, "supply", spoilt)
    assert run(["export", str(tiny[0]), "-o", str(tmp_path / "out")]) == 1
    captured = capsys.readouterr()
    assert "generator.onnx (float32) differs" in captured.err and not captured.out
    assert list(tmp_path.iterdir()) == []


def test_a_directory_in_use_is_left_alone(tiny, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert run(["export", str(tiny[0]), "-o", str(tmp_path)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_without_torch_the_checkpoint_is_compared_with_itself_and_without_onnx_says_so(
    tiny, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(sys.modules, "torch", None)
    out = tmp_path / "out"
    out.mkdir()  # empty: may be filled
    assert run(["export", str(tiny[0]), "-o", str(out), "--json"]) == 0
    assert parsed(capsys.readouterr().out)["compared_with"] == "onnx"
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert run(["export", str(tiny[0]), "-o", str(tmp_path / "other")]) == 1
    assert "pip install onnx" in capsys.readouterr().err


def test_weights_beyond_protobuf_go_beside_the_graph(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(inline, "EXTERNAL_ABOVE", 100_000)
    out = tmp_path / "out"
    _, graphs = standalone.export_standalone(load_checkpoint(tiny[0]), standalone.ExportOptions(out))
    beside = sorted(path.name for path in out.glob("*.data"))
    assert "generator.onnx.data" in beside and "head.onnx.data" not in beside
    assert all(item.error <= item.tolerance for item in graphs)
    assert (out / "generator.onnx").stat().st_size < 100_000 < (out / "generator.onnx.data").stat().st_size
    monkeypatch.setattr(inline, "EXTERNAL_ABOVE", 1000)
    with pytest.raises(SmgError, match="smg reads no other file"):  # as a checkpoint it could not be opened
        standalone.export_checkpoint(load_checkpoint(tiny[0]), tmp_path / "checkpoint")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_weights_that_do_not_fit_are_named():
    checkpoint = resolve()
    model = onnx.load(checkpoint.path("onnx/head.onnx"), load_external_data=False)
    with pytest.raises(SmgError, match="head: the weights do not fit the graph at 'head.prefix'"):
        inline.supply(model, {"codebooks": np.zeros((1, 2, 3))}, "head")
    large = onnx.numpy_helper.from_array(np.full((2, 2), 1e6, np.float32), "big")
    with pytest.raises(SmgError, match="big does not fit into float16"):
        inline.halve(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], [large])))
