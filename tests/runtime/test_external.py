"""A graph that would read another file, or memory, is refused wherever in it that is said."""

from __future__ import annotations

import random
import shutil

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from specmaskgit_cli.checkpoint import write_sums  # noqa: E402
from specmaskgit_cli.cli import run  # noqa: E402
from specmaskgit_cli.errors import SmgError  # noqa: E402
from specmaskgit_cli.runtime import external  # noqa: E402
from specmaskgit_cli.runtime.external import EXTERNAL, check_external  # noqa: E402
from specmaskgit_cli.runtime.ort import open_session, session_options  # noqa: E402

LOCATIONS = ["../../etc/passwd", "/etc/passwd", "*/_ORT_MEM_ADDR_/*", "other", "", "safetensors\0", "./safetensors"]


def tensor(name: str = "w", location: str | None = None) -> TensorProto:
    made = numpy_helper.from_array(np.ones(3, np.float32), name)
    if location is not None:
        made.ClearField("raw_data")
        made.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", "12")):
            made.external_data.add(key=key, value=value)
    return made


def graph(*nodes, initializers=(), inputs=(), name="g"):
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])
    return helper.make_graph(
        nodes or [helper.make_node("Identity", ["w"], ["y"])], name, inputs, [output], initializers
    )


def constant(**attribute):
    return helper.make_node("Constant", [], ["y"], **attribute)


def branches(then):
    flag = numpy_helper.from_array(np.array(True), "flag")
    node = helper.make_node("If", ["flag"], ["y"], then_branch=then, else_branch=graph(constant(value=tensor())))
    return graph(node, initializers=[flag])


def model(main, **more):
    return helper.make_model(main, opset_imports=[helper.make_opsetid("", 18)], ir_version=9, **more)


def sparse(location):
    indices = numpy_helper.from_array(np.arange(3), "i")
    return helper.make_sparse_tensor(tensor("w", location), indices, [9])


def in_function(location, inner=None):
    body = list(inner.node) if inner else [constant(value=tensor("w", location))]
    function = helper.make_function("local", "f", [], ["y"], body, [helper.make_opsetid("", 18)])
    call = graph(helper.make_node("f", [], ["y"], domain="local"))
    return model(call, functions=[function])


def in_training(location):
    made = model(graph(initializers=[tensor()]))
    made.training_info.add().algorithm.CopyFrom(graph(initializers=[tensor("v", location)]))
    return made


def in_default(location):
    made = in_function(None)
    made.functions[0].attribute_proto.append(helper.make_attribute("default", tensor("w", location)))
    return made


def in_lists(location):
    made = model(graph(constant(value=tensor())))
    attribute = made.graph.node[0].attribute.add(name="more")
    attribute.tensors.append(tensor("w", location))
    attribute.graphs.append(graph())
    return made


def in_sparse(location):
    made = graph(initializers=[tensor()])
    made.sparse_initializer.append(sparse(location))
    return model(made)


def deep(location, levels=20):
    inner = graph(initializers=[tensor("w", location)])
    for _ in range(levels):
        inner = branches(inner)
    return model(inner)


PLACES = {
    "initializer": lambda location: model(graph(initializers=[tensor("w", location)])),
    "branch": lambda location: model(branches(graph(initializers=[tensor("w", location)]))),
    "constant": lambda location: model(graph(constant(value=tensor("w", location)))),
    "constant in a branch": lambda location: model(branches(graph(constant(value=tensor("w", location))))),
    "sparse constant": lambda location: model(graph(constant(sparse_value=sparse(location)))),
    "sparse initializer": in_sparse,
    "function": in_function,
    "function's branch": lambda location: in_function(None, branches(graph(constant(value=tensor("w", location))))),
    "function's attribute": in_default,
    "lists": in_lists,
    "training": in_training,
    "deep": deep,
}  # fmt: skip


@pytest.fixture
def stored(tmp_path):
    def store(made) -> str:
        path = tmp_path / "graph.onnx"
        path.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
        return str(path)

    return store


@pytest.mark.parametrize("location", LOCATIONS)
@pytest.mark.parametrize("place", PLACES)
def test_other_files_are_refused(stored, place, location):
    path = stored(PLACES[place](location))
    with pytest.raises(SmgError) as caught:
        check_external(path, ["w", "v"])
    assert repr(location) in str(caught.value) and path in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(SmgError, match="smg reads no other file"):
        open_session(path, session_options(), {"w": np.ones(3, np.float32)})


@pytest.mark.parametrize("place", PLACES)
def test_what_lies_inside_is_not(stored, place):
    check_external(stored(PLACES[place](None)))


@pytest.mark.parametrize("place", PLACES)
def test_what_is_handed_over_may_lie_outside(stored, place):
    """The initialisers of the main graph alone can be, and only by their names."""
    path = stored(PLACES[place](EXTERNAL))
    if place == "initializer":
        check_external(path, ["w"])
        weights = {"w": np.arange(3, dtype=np.float32)}
        (made,) = open_session(path, session_options(1), weights).run(None, {})
        np.testing.assert_array_equal(made, weights["w"])
    for supplied in ([], ["other"], *([["w", "v"]] if place != "initializer" else [])):
        with pytest.raises(SmgError, match="has its data in another file"):
            check_external(path, supplied)


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int, extra: int = 0) -> bytes:
    """With `extra` bytes that add nothing, which readers accept."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value | (128 if extra else 0), *[128] * (extra - 1), *[0] * (extra > 0)])


def entry(location: str) -> bytes:
    return field(1, b"location") + field(2, location.encode())


def wrapped(content: bytes) -> bytes:
    return field(7, field(5, content))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (wrapped(field(8, b"w") + field(14, 1) + field(13, entry("safetensors")) + field(13, entry("/x"))), "'/x'"),
        (wrapped(field(8, b"w") + field(14, 1) + field(13, entry("/x") + entry("safetensors"))), "'/x'"),
        (wrapped(field(8, b"w") + field(14, 1) + field(13, field(1, b"y") + entry("/x"))), "'/x'"),
        (wrapped(field(8, b"w") + field(8, b"u") + field(14, 1)), "another file"),
        (wrapped(field(14, 1)), "another file"),
        (wrapped(field(8, b"u") + field(14, 1 << 40)), "another file"),
        (wrapped(field(8, b"u") + field(14, 1) + field(14, 0)), "another file"),
        (field(7, b"") + wrapped(field(8, b"u") + field(14, 1)), "another file"),
        (varint(7 << 3 | 2, 3) + varint(len(inner := field(5, field(13, entry("/x")))), 2) + inner, "'/x'"),
        (varint((7 << 3 | 2) + (1 << 32)) + varint(len(inner)) + inner, "no number"),
        (field(7, field(5, b"\x6b" + field(13, entry("/x")) + b"\x6c")), "of kind 3"),
        (wrapped(field(13, field(1, b"location"))), "''"),
        (wrapped(field(8, b"x" * 70_000)), "too long"),
        (b"\x00\x00", "no number"),
        (b"\x3a\xff\xff\xff\xff\x0f", "after the end"),
        (b"\x3a", "middle of a number"),
        (b"\x3a" + b"\xff" * 20, "too many bytes"),
        (b"", "empty"),
        (b"not a graph at all", "not an ONNX graph"),
    ],
)  # fmt: skip
def test_tricks_and_damage(stored, data, words):
    with pytest.raises(SmgError, match=words):
        check_external(stored(data), ["w"])


def test_size_and_depth_are_bounded(stored, monkeypatch):
    nested = b""
    for _ in range(60):  # node, attribute, graph
        nested = field(1, field(5, field(6, nested)))
    with pytest.raises(SmgError, match="too deep"):
        check_external(stored(field(7, nested)))
    monkeypatch.setattr(external, "MAX_FIELDS", 1000)
    check_external(stored(field(7, field(1, b"") * 900)))
    with pytest.raises(SmgError, match="too many parts"):
        check_external(stored(field(7, field(1, b"") * 1000)))


def test_nothing_is_read_that_protobuf_would_read_otherwise(stored):
    """Bytes altered at random: where the package onnx finds a tensor outside, it is refused here."""
    rng, outside = random.Random(0), 0
    whole = [make("/x").SerializeToString() for make in PLACES.values()]
    for case in range(1500):
        data = bytearray(whole[case % len(whole)])
        for _ in range(rng.randint(0, 3)):
            place = rng.randrange(len(data))
            data[place : place + rng.randint(0, 2)] = rng.randbytes(rng.randint(0, 2))
        path = stored(bytes(data))
        try:
            check_external(path)
            passed = True
        except SmgError:
            passed = False
        try:
            found = b"EXTERNAL" in str(onnx.load(path, load_external_data=False)).encode()
        except Exception:  # what the package cannot read is no danger
            continue
        outside += found
        assert not (found and passed), case
    assert outside > 300


@pytest.mark.parametrize("name", ["vocoder", "text_encoder", "generator"])
@pytest.mark.parametrize("command", ["generate", "export"])
def test_a_model_that_reads_files_is_one_line(tmp_path, monkeypatch, capsys, trained, name, command):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    copy = shutil.copytree(trained[1], tmp_path / "model")
    made = onnx.load(copy / f"onnx/{name}.onnx", load_external_data=False)
    made.graph.initializer.append(tensor("extra", "../../../../../../etc/passwd"))
    (copy / f"onnx/{name}.onnx").write_bytes(made.SerializeToString())
    write_sums(copy)
    arguments = {
        "generate": ["rain", "-s", "0.3", "--steps", "1", "--threads", "1", "--model", "model", "-o", "out.wav"],
        "export": ["model", "-o", "out"],
    }
    assert run([command, *arguments[command], "-q"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("smg: error: ") and f"{name}.onnx" in line and "etc/passwd" in line
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
