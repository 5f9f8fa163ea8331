import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from specmaskgit_cli.config import MelConfig, VocoderConfig, from_dict  # noqa: E402
from specmaskgit_cli.errors import SmgError  # noqa: E402
from specmaskgit_cli.export.hifigan import convert_hifigan, fold_weight_norm  # noqa: E402
from specmaskgit_cli.models.vocoder import InverseSTFT, build_vocoder  # noqa: E402

MEL = MelConfig()
TINY = {
    "vocos": VocoderConfig(kind="vocos", width=16, layers=2),
    "hifigan": VocoderConfig(kind="hifigan", upsample_initial_channel=16, resblock_kernel_sizes=(3,),
                             resblock_dilation_sizes=((1, 3),)),
    "hifigan2": VocoderConfig(kind="hifigan", upsample_initial_channel=16, resblock="2", upsample_rates=(8, 8, 4),
                              upsample_kernel_sizes=(16, 16, 8), resblock_kernel_sizes=(3, 5),
                              resblock_dilation_sizes=((1, 2), (2, 6))),
}  # fmt: skip


def tiny(name):
    torch.manual_seed(0)
    return build_vocoder(TINY[name], MEL).eval()


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("frames", [1, 2, 19])
def test_a_frame_makes_a_hop_of_samples(name, frames):
    out = tiny(name)(torch.randn(2, 80, frames) - 4)
    assert out.shape == (2, frames * 256)
    assert out.isfinite().all()


def test_inverse_stft_undoes_the_front_end():
    signal = torch.randn(2, 256 * 12)
    margin = (1024 - 256) // 2
    padded = torch.nn.functional.pad(signal[:, None], (margin, margin), mode="reflect")[:, 0]
    spectrum = torch.stft(padded, 1024, 256, window=torch.hann_window(1024), center=False, return_complex=True)
    found = InverseSTFT(1024, 256)(spectrum.real, spectrum.imag)
    torch.testing.assert_close(found, signal, atol=1e-5, rtol=0)


def test_inverse_stft_equals_torch_on_spectra_of_no_signal():
    spectrum = torch.randn(2, 513, 20, dtype=torch.complex64)
    spectrum[:, [0, -1]] = spectrum[:, [0, -1]].real + 0j
    expected = torch.istft(spectrum, 1024, 256, window=torch.hann_window(1024), center=True)  # trims 512, not 384
    found = InverseSTFT(1024, 256)(spectrum.real, spectrum.imag)
    torch.testing.assert_close(found[:, 128 : 128 + expected.shape[1]], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["vocos", "hifigan"])
def test_onnx_export_agrees(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model, path = tiny(name), tmp_path / "vocoder.onnx"
    torch.onnx.export(
        model, (torch.randn(2, 80, 9),), str(path), input_names=["mel"], output_names=["waveform"],
        dynamic_shapes=({0: "batch", 2: "frames"},), dynamo=True, external_data=False, verbose=False,
    )  # fmt: skip
    assert path.stat().st_size < 1.2e6  # the Fourier basis is not in the file
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    mel = torch.randn(1, 80, 21) - 4
    found = session.run(None, {"mel": mel.numpy()})[0]
    np.testing.assert_allclose(found, model(mel).detach().numpy(), atol=2e-5)


def _public_checkpoint(folder, front_end=None):
    """A checkpoint as published: weight norm on every convolution, settings in a config.json beside it."""
    model, config = tiny("hifigan"), TINY["hifigan"]
    for module in model.modules():
        if isinstance(module, torch.nn.Conv1d | torch.nn.ConvTranspose1d):
            torch.nn.utils.parametrizations.weight_norm(module)
            with torch.no_grad():
                module.parametrizations.weight.original0.mul_(1.5)
    weights = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): value
        for name, value in model.state_dict().items()
    }
    torch.save({"generator": weights}, folder / "generator")
    settings = {
        "resblock": "1", "upsample_rates": [8, 8, 2, 2], "upsample_kernel_sizes": [16, 16, 4, 4],
        "upsample_initial_channel": config.upsample_initial_channel, "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1, 3]], "batch_size": 16, "sampling_rate": 22050, "n_fft": 1024,
        "win_size": 1024, "hop_size": 256, "num_mels": 80, "fmin": 0, "fmax": 8000,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(settings | (front_end or {})))
    return model


def test_converted_checkpoint_equals_the_weight_normalised_model(tmp_path):
    from safetensors.torch import load_file

    original = _public_checkpoint(tmp_path)
    config = convert_hifigan(tmp_path / "generator", tmp_path / "out", MEL)
    assert config == from_dict(VocoderConfig, json.loads((tmp_path / "out" / "config.json").read_text())["vocoder"])
    model = build_vocoder(config, MEL).eval()
    weights = load_file(tmp_path / "out" / "vocoder.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16}
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    mel = torch.randn(1, 80, 11) - 4
    torch.testing.assert_close(model(mel), original(mel), atol=2e-4, rtol=0)
    model.load_state_dict(fold_weight_norm(original.state_dict()))  # torch's newer spelling, without rounding
    torch.testing.assert_close(model(mel), original(mel), atol=1e-6, rtol=0)


def test_conversion_names_what_does_not_fit(tmp_path):
    _public_checkpoint(tmp_path, {"hop_size": 300})
    with pytest.raises(SmgError, match="hop_size is 300"):
        convert_hifigan(tmp_path / "generator", tmp_path / "out", MEL)
    _public_checkpoint(tmp_path, {"resblock_kernel_sizes": [5]})
    with pytest.raises(SmgError, match="do not match"):
        convert_hifigan(tmp_path / "generator", tmp_path / "out", MEL)
    (tmp_path / "generator").write_bytes(b"nonsense")
    with pytest.raises(SmgError, match="not a HiFi-GAN"):
        convert_hifigan(tmp_path / "generator", tmp_path / "out", MEL)
    with pytest.raises(SmgError, match="no such file"):
        convert_hifigan(tmp_path / "absent", tmp_path / "out", MEL)


@pytest.mark.parametrize(
    "config",
    [VocoderConfig(), VocoderConfig(kind="hifigan", upsample_rates=(8, 8)),
     VocoderConfig(kind="hifigan", upsample_kernel_sizes=(16, 16, 4, 3)), VocoderConfig(kind="hifigan", resblock="3")],
)  # fmt: skip
def test_impossible_configurations_are_refused(config):
    with pytest.raises(SmgError, match="vocoder: "):
        build_vocoder(config, MEL)
