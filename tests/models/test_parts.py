"""The table of networks and graphs: what it says of each is so, on both runtimes, and it needs no torch."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from specmaskgit_cli.checkpoint import load_checkpoint, resolve
from specmaskgit_cli.config.presets import PRESETS
from specmaskgit_cli.config.settings import CheckpointConfig
from specmaskgit_cli.models.parts import NETWORKS, PARTS, TEXT_FILES, parts_of
from specmaskgit_cli.models.signature import Axis
from specmaskgit_cli.runtime import open_runtime

COMPUTED = [part for part in PARTS.values() if part.network]


def test_the_table_is_read_without_torch():
    code = "import sys; sys.modules['torch'] = sys.modules['onnxruntime'] = None; import specmaskgit_cli.models.parts"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_section_of_settings_but_the_front_end_has_its_network_and_every_network_a_graph():
    sections = [name for name, value in vars(CheckpointConfig()).items() if dataclasses.is_dataclass(value)]
    assert set(sections) == {"mel", *NETWORKS}
    assert all(network.section == section and parts_of(network) for section, network in NETWORKS.items())
    assert all(graph == part.graph for graph, part in PARTS.items())
    for section, network in NETWORKS.items():
        before = list(NETWORKS)[: list(NETWORKS).index(section)]
        assert all(other in before for other, _ in network.shared.values())


@pytest.mark.parametrize("section", [name for name, network in NETWORKS.items() if not network.needed])
def test_settings_without_a_network_say_that_it_is_absent(section):
    config, network = PRESETS["paper"], NETWORKS[section]
    without = dataclasses.replace(config, **{section: network.without(getattr(config, section))})
    assert network.present(config)
    assert not network.present(without) or section == "embedder"  # which only its files tell


def test_the_shipped_checkpoint_has_the_files_of_its_networks():
    checkpoint = resolve()
    for section, network in NETWORKS.items():
        files = [network.weights, *(file for part in parts_of(network) for file in (part.file, part.names))]
        assert [file in checkpoint for file in files] == [network.present(checkpoint.config)] * len(files), section
    assert all(file in checkpoint for file in TEXT_FILES)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("part", COMPUTED, ids=lambda part: part.graph)
def test_examples_have_the_shapes_that_the_signature_says(part, preset):
    signature = part.signature(PRESETS[preset])
    rng = np.random.default_rng(0)
    for batch, columns in ((2, 3), (1, 1)):
        example = signature.example(rng, batch, columns)
        assert list(example) == [array.name for array in signature.inputs]
        for array in signature.inputs:
            fixed = [(size, axis) for size, axis in zip(example[array.name].shape, array.axes, strict=True)]
            assert all(size == axis for size, axis in fixed if not isinstance(axis, Axis))
            assert all(size % axis.times == 0 for size, axis in fixed if isinstance(axis, Axis))
        assert all(size > 0 for size in signature.output_shape(example))


@pytest.fixture(scope="module")
def runtimes(trained):
    checkpoint = load_checkpoint(trained[1])
    return [open_runtime(checkpoint, backend, threads=1) for backend in ("onnx", "torch")]


@pytest.mark.parametrize("part", COMPUTED, ids=lambda part: part.graph)
def test_both_runtimes_compute_every_part_in_the_shape_it_says(part, runtimes):
    signature = part.signature(runtimes[0].config)
    inputs = signature.example(np.random.default_rng(2), 2, 4)
    first, second = (runtime.run(part.graph, **inputs) for runtime in runtimes)
    assert first.shape == second.shape == signature.output_shape(inputs)
    if first.dtype.kind == "i":
        assert (first == second).mean() > 0.95  # of nearly equal codewords either may be the nearer
    else:
        assert np.linalg.norm(first - second) < 1e-3 * np.linalg.norm(second)


def test_observers_are_entered_around_what_a_runtime_computes(runtimes):
    from contextlib import contextmanager

    seen = []

    @contextmanager
    def observe(name, inputs):
        seen.append((name, sorted(inputs)))
        yield
        seen.append(name)

    runtime = runtimes[0]
    runtime.observers.append(observe)
    mel = np.full((80, 40), -5, np.float32)
    wave = runtime.vocode(mel, np.random.default_rng(0))
    runtime.embed_text(["rain"])
    runtime.observers.remove(observe)
    assert wave.shape == (40 * 256,)
    assert seen[:4] == [("vocode", ["mel"]), ("vocoder", ["mel"]), "vocoder", "vocode"]
    assert seen[4:] == [("text_encoder", ["texts"]), "text_encoder"]
