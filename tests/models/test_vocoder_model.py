import numpy as np
import pytest

torch = pytest.importorskip("torch")

from specmaskgit_cli.config.settings import GRIFFIN_LIM, VOCODERS, MelConfig, VocoderConfig  # noqa: E402
from specmaskgit_cli.errors import SmgError  # noqa: E402
from specmaskgit_cli.models.vocoders import KINDS, build_vocoder  # noqa: E402
from specmaskgit_cli.models.vocoders.bigvgan import low_pass  # noqa: E402
from specmaskgit_cli.models.vocoders.vocos import InverseSTFT  # noqa: E402

MEL = MelConfig()
TINY = {
    "vocos": VocoderConfig(kind="vocos", width=16, layers=2),
    "hifigan": VocoderConfig(kind="hifigan", upsample_initial_channel=16, resblock_kernel_sizes=(3,),
                             resblock_dilation_sizes=((1, 3),)),
    "hifigan2": VocoderConfig(kind="hifigan", upsample_initial_channel=16, resblock="2", upsample_rates=(8, 8, 4),
                              upsample_kernel_sizes=(16, 16, 8), resblock_kernel_sizes=(3, 5),
                              resblock_dilation_sizes=((1, 2), (2, 6))),
    "bigvgan": VocoderConfig(kind="bigvgan", upsample_initial_channel=16, resblock_kernel_sizes=(3,),
                             resblock_dilation_sizes=((1, 3),)),
    "bigvgan2": VocoderConfig(kind="bigvgan", upsample_initial_channel=16, resblock="2", upsample_rates=(8, 8, 4),
                              upsample_kernel_sizes=(16, 16, 8), resblock_kernel_sizes=(3, 5), activation="snake",
                              resblock_dilation_sizes=((1, 2), (2, 6)), snake_logscale=False, use_tanh_at_final=False,
                              use_bias_at_final=False),
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


def test_every_vocoder_that_a_checkpoint_may_name_has_a_network_but_griffin_lim():
    assert {GRIFFIN_LIM, *KINDS} == set(VOCODERS) and {config.kind for config in TINY.values()} == set(KINDS)


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


def test_the_filter_of_bigvgan_is_the_kaiser_windowed_sinc():
    signal = pytest.importorskip("scipy.signal")
    beta = signal.kaiser_beta(signal.kaiser_atten(6, 1.2))
    np.testing.assert_allclose(low_pass(), signal.firwin(12, 0.5, window=("kaiser", beta)), atol=1e-7)


@pytest.mark.parametrize("name", ["bigvgan", "bigvgan2"])
def test_an_activation_of_bigvgan_is_the_formula_between_two_resamplings(name):
    """Against resampling in scipy, on a signal that is constant at its ends as both extend it differently."""
    signal = pytest.importorskip("scipy.signal")
    activation = tiny(name).activation_post
    with torch.no_grad():
        for parameter in activation.act.parameters():
            parameter.add_(torch.rand_like(parameter))
    alpha = activation.act.alpha.detach().numpy()[:, None]
    beta = activation.act.beta.detach().numpy()[:, None] if name == "bigvgan" else alpha
    if name == "bigvgan":
        alpha, beta = np.exp(alpha), np.exp(beta)
    x = np.random.default_rng(0).standard_normal((len(alpha), 60)).astype(np.float32)
    x[:, :12] = x[:, -12:] = 0.0
    twice = signal.upfirdn(2 * low_pass().numpy(), x, up=2, axis=1)[:, 5:125]
    bent = twice + np.sin(alpha * twice) ** 2 / beta
    expected = signal.upfirdn(low_pass().numpy(), bent, down=1, axis=1)[:, 6:126:2]
    found = activation(torch.from_numpy(x)[None])[0].detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["vocos", "hifigan", "bigvgan"])
def test_onnx_export_agrees(name, tmp_path):
    pytest.importorskip("onnxscript")
    from specmaskgit_cli.runtime.ort import onnxruntime

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


@pytest.mark.parametrize(
    "config",
    [VocoderConfig(), VocoderConfig(kind="hifigan", upsample_rates=(8, 8)),
     VocoderConfig(kind="hifigan", upsample_kernel_sizes=(16, 16, 4, 3)), VocoderConfig(kind="hifigan", resblock="3"),
     VocoderConfig(kind="hifigan", upsample_initial_channel=8), VocoderConfig(kind="bigvgan", resblock="3"),
     VocoderConfig(kind="bigvgan", activation="relu")],
)  # fmt: skip
def test_impossible_configurations_are_refused(config):
    with pytest.raises(SmgError, match="vocoder: "):
        build_vocoder(config, MEL)
