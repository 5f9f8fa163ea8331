"""`smg convert` on vocoders: random weights in the shapes and file formats of the published ones, to sound."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")

from support.hub_fixtures import error, offline  # noqa: E402

from specmaskgit_cli.checkpoint import load_checkpoint  # noqa: E402
from specmaskgit_cli.cli import run  # noqa: E402
from specmaskgit_cli.config.settings import MelConfig, VocoderConfig, from_dict  # noqa: E402
from specmaskgit_cli.convert.source import open_source  # noqa: E402
from specmaskgit_cli.convert.vocoder import convert_vocoder, fold_weight_norm  # noqa: E402
from specmaskgit_cli.errors import SmgError  # noqa: E402
from specmaskgit_cli.models.vocoders import build_vocoder  # noqa: E402
from specmaskgit_cli.models.vocoders.bigvgan import low_pass  # noqa: E402
from specmaskgit_cli.runtime import open_runtime  # noqa: E402

pytest_plugins = ["support.hub_fixtures"]
MEL = MelConfig()
FRONT_END = {
    "sampling_rate": 22050, "n_fft": 1024, "win_size": 1024, "hop_size": 256, "num_mels": 80, "fmin": 0, "fmax": 8000,
}  # fmt: skip
V1 = {
    "resblock": "1", "upsample_rates": [8, 8, 2, 2], "upsample_kernel_sizes": [16, 16, 4, 4],
    "upsample_initial_channel": 32, "resblock_kernel_sizes": [3, 7, 11], "resblock_dilation_sizes": [[1, 3, 5]] * 3,
}  # fmt: skip
V3 = {
    "resblock": "2", "upsample_rates": [8, 8, 4], "upsample_kernel_sizes": [16, 16, 8],
    "upsample_initial_channel": 32, "resblock_kernel_sizes": [3, 5, 7],
    "resblock_dilation_sizes": [[1, 2], [2, 6], [3, 12]],
}  # fmt: skip
BIG = {"activation": "snakebeta", "snake_logscale": True}
BIG2 = {
    "upsample_rates": [4, 4, 2, 2, 2, 2], "upsample_kernel_sizes": [8, 8, 4, 4, 4, 4], "upsample_initial_channel": 64,
    "use_tanh_at_final": False, "use_bias_at_final": False,
}  # fmt: skip
# What of a config.json sets each published one apart, with fewer channels than they have.
PUBLISHED = {
    "hifigan-v1": V1, "hifigan-v2": V1 | {"upsample_initial_channel": 16}, "hifigan-v3": V3,
    "bigvgan-base": V1 | BIG, "bigvgan-v2": V1 | BIG | BIG2,
}  # fmt: skip


# One with few operators, which is quick to export.
SMALL = V1 | BIG | {"resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1, 3]]}


def publish(folder, shape=SMALL, weights="bigvgan_generator.pt", **changes):
    """A generator as published: weight norm on every convolution, settings in a config.json beside it."""
    settings = FRONT_END | shape | {"batch_size": 16}
    kind = "bigvgan" if "activation" in settings else "hifigan"
    known = VocoderConfig.__dataclass_fields__
    config = from_dict(VocoderConfig, {"kind": kind} | {k: v for k, v in settings.items() if k in known})
    torch.manual_seed(0)
    model = build_vocoder(config, MEL).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.Conv1d | torch.nn.ConvTranspose1d):
            torch.nn.utils.parametrizations.weight_norm(module)
            with torch.no_grad():
                module.parametrizations.weight.original0.mul_(1.5)
    state = {
        key.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): value
        for key, value in model.state_dict().items()
    }
    for key in [key for key in state if ".act.alpha" in key]:  # they hold the same filter over and over
        for part in ("upsample.filter", "downsample.lowpass.filter"):
            state[key.replace("act.alpha", part)] = low_pass()[None, None]
    folder.mkdir(exist_ok=True)
    torch.save({"generator": state}, folder / weights)
    (folder / "config.json").write_text(json.dumps(settings | changes))
    return model


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """(the published model, the directory made of it by the command) of a BigVGAN."""
    folder = tmp_path_factory.mktemp("published")
    original = publish(folder / "source")
    (folder / "source" / "README.md").write_text("---\nlicense: cc0-1.0\n---\n# Big\n")
    assert run(["convert", str(folder / "source"), "-o", str(folder / "out")]) == 0
    return original, folder / "out"


@pytest.mark.parametrize("name", PUBLISHED)
def test_converted_weights_compute_what_the_weight_normalised_model_does(name, tmp_path, monkeypatch):
    monkeypatch.setattr("specmaskgit_cli.export.graphs.export_part", lambda *_: None)  # which others test
    original = publish(tmp_path / "source", PUBLISHED[name], "generator.pth.tar")
    config = convert_vocoder(open_source(str(tmp_path / "source")), tmp_path)
    assert config == from_dict(VocoderConfig, json.loads((tmp_path / "config.json").read_text())["vocoder"])
    assert config.kind == name.partition("-")[0]
    from safetensors.torch import load_file

    weights = load_file(tmp_path / "vocoder.safetensors")
    assert not any(key.endswith(("_g", "_v", "filter")) for key in weights)
    model = build_vocoder(config, MEL).eval()
    model.load_state_dict(weights)
    mel = torch.randn(1, 80, 11) - 4
    torch.testing.assert_close(model(mel), original(mel), atol=5e-5, rtol=0)


def test_both_spellings_of_weight_norm_are_read(tmp_path):
    original = publish(tmp_path, V1)
    plain = build_vocoder(VocoderConfig(kind="hifigan", upsample_initial_channel=32), MEL).eval()
    plain.load_state_dict(fold_weight_norm(original.state_dict()))  # torch's newer one
    mel = torch.randn(1, 80, 5) - 4
    torch.testing.assert_close(plain(mel), original(mel), atol=1e-6, rtol=0)


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_a_converted_directory_is_a_checkpoint_with_a_vocoder(converted, backend):
    original, directory = converted
    checkpoint = load_checkpoint(directory)
    assert (checkpoint.config.license, checkpoint.config.vocoder.kind) == ("cc0-1.0", "bigvgan")
    runtime = open_runtime(checkpoint, backend, threads=1)
    for shape in ((2, 80, 9), (1, 80, 70)):
        mel = np.random.default_rng(0).normal(-5, 2, shape).astype(np.float32)
        expected = original(torch.from_numpy(mel)).detach().numpy()
        np.testing.assert_allclose(runtime.run("vocoder", mel=mel), expected, atol=1e-4)


def test_a_converted_vocoder_is_packed_and_speaks_for_a_model(
    converted, trained, sound_folder, tmp_path, capsys, monkeypatch
):
    import soundfile

    # Slow, and the torch backend has no use for them.
    monkeypatch.setattr("specmaskgit_cli.export.graphs.export_part", lambda *_: None)
    runs, checkpoint = trained
    _, directory = converted
    parts = [str(runs["tokenizer"]), str(runs["generator"]), str(directory)]
    assert run(["train", "pack", *parts, "-o", str(tmp_path / "model"), "--data", str(sound_folder)]) == 0
    packed = load_checkpoint(tmp_path / "model")
    assert packed.config.vocoder.kind == "bigvgan"
    assert "vocoder | converted: source vocoder, licence cc0-1.0" in (tmp_path / "model" / "README.md").read_text()
    common = ["generate", "rain", "--seconds", "0.5", "--steps", "2", "--seed", "1", "--backend", "torch"]
    assert run([*common, "--model", str(tmp_path / "model"), "-o", str(tmp_path / "a.wav")]) == 0
    assert run([*common, "--model", str(checkpoint), "--vocoder", str(directory), "-o", str(tmp_path / "b.wav")]) == 0
    first, second = (soundfile.read(tmp_path / file)[0] for file in ("a.wav", "b.wav"))
    assert np.abs(first).max() > 0.1
    np.testing.assert_allclose(first, second, atol=1e-4)
    capsys.readouterr()
    assert run(["train", "pack", *parts, str(runs["vocoder"]), "-o", str(tmp_path / "two")]) == 1
    assert "both are of the stage vocoder" in capsys.readouterr().err
    assert run(["train", "pack", *parts[:2], str(checkpoint), "-o", str(tmp_path / "whole")]) == 1
    assert "neither a training run nor a converted" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes, words",
    [({"sampling_rate": 24000}, "sampling_rate is 24000 and has to be 22050"),
     ({"hop_size": 300}, "hop_size is 300 and has to be 256"), ({"num_mels": 100}, "num_mels is 100 and has to be 80"),
     ({"fmax": None}, "fmax is 11025.0 and has to be 8000"), ({"win_size": "x"}, "win_size is x and has to be 1024")],
)  # fmt: skip
def test_a_vocoder_of_other_mels_is_refused_in_a_line(tmp_path, capsys, changes, words):
    publish(tmp_path / "source", **changes)
    assert run(["convert", str(tmp_path / "source"), "-o", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line and "80 bands up to 8000 Hz" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "changes, words",
    [({"upsample_initial_channel": 1_000_000}, "upsample_initial_channel is 1000000"),
     ({"resblock_kernel_sizes": [3] * 100_000}, "resblock_kernel_sizes has more than 32"),
     ({"resblock_dilation_sizes": [[1] * 1000]}, "resblock_dilation_sizes has more than 32"),
     ({"upsample_rates": [1 << 40]}, "upsample_rates has more than 32 values, or one out of 0"),
     ({"upsample_initial_channel": "a"}, "upsample_initial_channel")],
)  # fmt: skip
def test_a_vocoder_of_any_size_is_refused_before_it_is_built(tmp_path, capsys, changes, words):
    publish(tmp_path / "source")
    path = tmp_path / "source" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert run(["convert", str(tmp_path / "source"), "-o", str(tmp_path / "out")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line and "bug" not in line
    assert not (tmp_path / "out").exists()


def test_what_is_no_generator_is_named(tmp_path):
    folder = tmp_path / "source"

    def refusal(match, source=folder):
        with pytest.raises(SmgError, match=match):
            convert_vocoder(open_source(str(source)), tmp_path / "out")

    publish(folder, V1, "generator.pth.tar", resblock_kernel_sizes=[5, 7, 11])
    refusal("does not match .*config.json")
    weights = folder / "generator.pth.tar"
    for wrong in (b"nonsense", b""):
        weights.write_bytes(wrong)
        refusal("not the state of a HiFi-GAN")
    torch.save({"generator": {"conv_pre.weight": print}}, weights)  # a pickle that names a function
    refusal("not the state of a HiFi-GAN")
    torch.save({"generator": {"conv_pre.weight_v": torch.ones(2, 2)}}, weights)
    refusal("not the state of a HiFi-GAN")
    (folder / "generator_two.pth.tar").write_bytes(b"")
    refusal("has generator.pth.tar, generator_two.pth.tar; name one")
    refusal("not the state", source=folder / "generator_two.pth.tar")
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    refusal("those are HiFi-GAN, BigVGAN, CLAP")
    (folder / "config.json").write_text("{")
    refusal("not JSON")
    refusal("no such file or directory", source=tmp_path / "absent")

    state = fold_weight_norm(publish(folder).state_dict())
    torch.save({"generator": state | {"activation_post.upsample.filter": torch.ones(1, 1, 12)}}, weights)
    (folder / "bigvgan_generator.pt").unlink()
    refusal("is not BigVGAN's", source=weights)


def test_a_generator_may_be_safetensors(tmp_path, monkeypatch):
    from safetensors.torch import save_file

    monkeypatch.setattr("specmaskgit_cli.export.graphs.export_part", lambda *_: None)
    original = publish(tmp_path / "source", weights="unused")
    save_file(fold_weight_norm(original.state_dict()), tmp_path / "source" / "generator.safetensors")
    found = open_source(str(tmp_path / "source"))
    assert found.weights.name == "generator.safetensors"
    assert convert_vocoder(found, tmp_path).kind == "bigvgan"


def test_an_output_in_use_is_left_alone(tmp_path, capsys):
    publish(tmp_path)
    assert run(["convert", str(tmp_path), "-o", str(tmp_path)]) == 1
    assert "already exists" in capsys.readouterr().err


@pytest.fixture
def on_the_hub(hub, tmp_path):
    """A BigVGAN's repository, with large files that a conversion has no use for."""
    folder = tmp_path / "repository"
    publish(folder)
    (folder / "bigvgan_generator_3msteps.pt").write_bytes(b"an earlier one")
    (folder / "bigvgan_discriminator_optimizer.pt").write_bytes(b"of no use")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    hub.publish("some-body/big", folder)
    return hub


def test_only_what_is_needed_comes_from_the_hub(on_the_hub, monkeypatch):
    found = open_source("some-body/big")
    assert (found.kind, found.name, found.license, found.weights.name) == (
        "bigvgan", "big", "mit", "bigvgan_generator.pt"
    )  # fmt: skip
    assert sorted(path.name for path in found.folder.iterdir()) == ["README.md", "bigvgan_generator.pt", "config.json"]
    assert not on_the_hub.asked("GET", "discriminator") and not on_the_hub.asked("GET", "3msteps")
    offline(monkeypatch)
    asked = len(on_the_hub.requests)
    assert open_source("some-body/big") == found
    assert len(on_the_hub.requests) == asked


def test_what_the_hub_has_not_is_named(on_the_hub, tmp_path):
    for name, words in {
        "some-body/none": "no directory and no Hub model is called",
        "some-body/big@v9": "no such revision",
        "some-body/model.v2": "those are HiFi-GAN, BigVGAN, CLAP",  # a checkpoint of this program
    }.items():
        assert words in error(lambda name=name: open_source(name))
    (tmp_path / "repository" / "bigvgan_generator.pt").unlink()
    (tmp_path / "repository" / "bigvgan_generator_3msteps.pt").unlink()
    on_the_hub.publish("some-body/bare", tmp_path / "repository")
    assert "no weights of a bigvgan" in error(lambda: open_source("some-body/bare"))
