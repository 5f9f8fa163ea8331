"""A CLAP of the transformers library, tiny and of random weights, from its files to a model that listens with it."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

from specmaskgit_cli.checkpoint import load_checkpoint  # noqa: E402
from specmaskgit_cli.cli import run  # noqa: E402
from specmaskgit_cli.config.settings import EmbedderConfig, MelConfig  # noqa: E402
from specmaskgit_cli.convert.clap import convert_clap  # noqa: E402
from specmaskgit_cli.convert.source import open_source  # noqa: E402
from specmaskgit_cli.convert.text import PROBES  # noqa: E402
from specmaskgit_cli.errors import SmgError  # noqa: E402
from specmaskgit_cli.runtime import open_runtime  # noqa: E402
from specmaskgit_cli.spectrogram.clap import clap_spectrogram, clap_spectrogram_of_mel  # noqa: E402
from specmaskgit_cli.spectrogram.mel import log_mel  # noqa: E402

WORDS = ["<s>", "<pad>", "</s>", "<unk>", *sorted({word for probe in PROBES for word in probe.split()})]
EXTRACTOR = {"truncation": "rand_trunc", "padding": "repeatpad", "frequency_min": 50, "frequency_max": 14000}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The files of a ClapModel as it is published, with the pickled weights that transformers no longer writes."""
    folder = tmp_path_factory.mktemp("clap") / "source"
    folder.mkdir()
    config = transformers.ClapConfig(
        text_config={"vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
                     "intermediate_size": 32, "max_position_embeddings": 80},
        audio_config={"patch_embeds_hidden_size": 16, "depths": [2, 1], "num_attention_heads": [2, 2],
                      "hidden_size": 32, "num_hidden_layers": 2},
        projection_dim=24,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.ClapModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # those of a new model are so small that all sounds are one to it
            parameter.add_(0.1 * torch.randn_like(parameter))
        norm = model.audio_model.audio_encoder.batch_norm
        norm.running_mean.fill_(-40.0)
        norm.running_var.fill_(400.0)
    config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    transformers.ClapFeatureExtractor(**EXTRACTOR).save_pretrained(folder)
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, "<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.enable_padding(pad_id=1, pad_token="<pad>", length=20)
    tokenizer.save(str(folder / "tokenizer.json"))
    return model, folder


@pytest.fixture(scope="module")
def converted(published):
    folder = published[1].parent / "out"
    assert run(["convert", str(published[1]), "-o", str(folder), "--no-int8"]) == 0
    return folder


def sound(seconds, rate=48000):
    """A falling tone over noise."""
    t = np.arange(int(seconds * rate)) / rate
    tone = 0.4 * np.sin(2 * np.pi * 2000 * t * np.exp(-t / 4))
    return (tone + 0.01 * np.random.default_rng(0).standard_normal(len(t))).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.3, 3.7, 10.0])
def test_the_front_end_is_that_of_transformers(seconds):
    wave = sound(seconds)
    extractor = transformers.ClapFeatureExtractor(**EXTRACTOR)
    expected = extractor(wave, sampling_rate=48000, return_tensors="np")["input_features"][0]
    found = clap_spectrogram(wave, 48000, EmbedderConfig(kind="clap"))
    assert found.shape == (1, 1001, 64) == expected.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_of_a_longer_sound_the_beginning_counts():
    cfg = EmbedderConfig(kind="clap")
    np.testing.assert_array_equal(clap_spectrogram(sound(13), 48000, cfg), clap_spectrogram(sound(10), 48000, cfg))
    assert clap_spectrogram(np.zeros(0, np.float32), 48000, cfg).max() == pytest.approx(-100)


def test_a_mel_gives_nearly_the_spectrogram_of_its_sound():
    cfg, mel = EmbedderConfig(kind="clap"), MelConfig()
    wave = sound(2, mel.sample_rate)
    direct = clap_spectrogram(wave, mel.sample_rate, cfg)
    found = clap_spectrogram_of_mel(log_mel(wave, mel), mel, cfg)
    below = slice(0, 50)  # bands up to 8 kHz, which is as far as the mel goes
    assert np.abs(found - direct)[0, :, below].mean() < 4
    assert np.corrcoef(found[0, :, below].ravel(), direct[0, :, below].ravel())[0, 1] > 0.9


def test_texts_and_sounds_are_embedded_as_by_transformers(published, converted):
    model, folder = published
    runtime = open_runtime(load_checkpoint(converted), "onnx", threads=1)
    assert (runtime.config.embedder.kind, runtime.config.embedder.dim) == ("clap", 24)
    texts = ["a dog barking in the distance", "rain"]
    ids = [[0, *(WORDS.index(word) for word in text.split()), 2] for text in texts]
    longest = max(map(len, ids))
    padded = torch.tensor([row + [1] * (longest - len(row)) for row in ids])
    with torch.no_grad():
        expected = model.get_text_features(padded, (padded != 1).long()).pooler_output.numpy()
    np.testing.assert_allclose(runtime.embed_text(texts), expected, atol=1e-5)

    waves = [sound(0.5), sound(4)]
    features = transformers.ClapFeatureExtractor.from_pretrained(folder)(
        waves, sampling_rate=48000, return_tensors="pt"
    )
    with torch.no_grad():
        expected = model.get_audio_features(**features).pooler_output.numpy()
    found = np.concatenate([runtime.embed_sound(wave, 48000) for wave in waves])
    assert found[0] @ found[1] < 0.999  # they differ by more than the comparison allows
    np.testing.assert_allclose(found, expected, atol=1e-3)
    mel = np.stack([log_mel(sound(1, 22050), runtime.config.mel)] * 2)
    np.testing.assert_array_equal(*runtime.embed_audio(mel))
    on_torch = open_runtime(load_checkpoint(converted), "torch", threads=1)
    np.testing.assert_array_equal(on_torch.embed_audio(mel), runtime.embed_audio(mel))


def test_its_graphs_are_exported_with_their_weights(converted, tmp_path, capsys):
    assert run(["export", str(converted), "-o", str(tmp_path / "onnx"), "--json"]) == 0
    written = json.loads(capsys.readouterr().out)
    assert [graph["graph"] for graph in written["graphs"]] == ["text_encoder", "audio_encoder"]
    weights = (converted / "audio_encoder.safetensors").stat().st_size
    assert (tmp_path / "onnx" / "audio_encoder.onnx").stat().st_size > weights


def test_a_generator_is_trained_on_it_and_packed_with_it(
    converted, trained, sound_folder, tmp_path, capsys, monkeypatch
):
    # Slow, and the torch backend has no use for them.
    monkeypatch.setattr("specmaskgit_cli.export.graphs.export_part", lambda *_: None)
    monkeypatch.setattr("specmaskgit_cli.training.generator.GeneratorStage.validation_batches", 1)
    runs, _ = trained
    trained_run, model = tmp_path / "generator", tmp_path / "model"
    common = ["--data", str(sound_folder), "--tokenizer", str(runs["tokenizer"]), "--threads", "1", "--batch", "1"]
    arguments = [*common, "--steps", "1", "--canvases", "4", "--embedder", str(converted), "-o", str(trained_run)]
    assert run(["train", "generator", *arguments]) == 0
    assert json.loads((trained_run / "config.json").read_text())["generator"]["condition_dim"] == 24
    assert run(["train", "pack", str(runs["tokenizer"]), str(trained_run), str(converted), "-o", str(model)]) == 0
    checkpoint = load_checkpoint(model)
    assert checkpoint.config.embedder == load_checkpoint(converted).config.embedder
    for file in ("onnx/text_encoder.onnx", "onnx/audio_encoder.onnx", "audio_encoder.safetensors"):
        assert checkpoint.path(file).read_bytes() == (converted / file).read_bytes()
    short = ["--seconds", "0.5", "--steps", "1", "--seed", "1", "--backend", "torch", "--model", str(model)]
    like = ["--like", str(sound_folder / "rain 1.wav"), "--candidates", "2"]
    assert run(["generate", "a dog", *like, *short, "-o", str(tmp_path / "out.wav")]) == 0
    assert (tmp_path / "out.wav").stat().st_size > 10_000
    capsys.readouterr()
    parts = [str(runs["tokenizer"]), str(runs["generator"]), str(converted)]
    assert run(["train", "pack", *parts, "-o", str(tmp_path / "other")]) == 1
    assert "condition_dim has to be the embedder's dim" in capsys.readouterr().err


def test_what_cannot_be_converted_is_named(published, tmp_path):
    _, source = published
    folder = tmp_path / "source"
    folder.mkdir()
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())

    def refusal(match):
        with pytest.raises(SmgError, match=match):
            convert_clap(open_source(str(folder)), tmp_path / "out")

    extractor = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps(extractor | {"truncation": "fusion"}))
    refusal("truncation is 'fusion'")
    (folder / "preprocessor_config.json").write_text(json.dumps(extractor | {"max_length_s": 20}))
    refusal("gives 2001 frames of 64 bands, and its model takes up to 1024")
    (folder / "preprocessor_config.json").unlink()
    refusal("no preprocessor_config.json")
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    del state["audio_projection.linear1.weight"]
    torch.save(state, folder / "pytorch_model.bin")
    refusal("has no 'audio_projection.linear1.weight'")
    (folder / "pytorch_model.bin").write_bytes(b"nonsense")
    refusal("not a CLAP that transformers can load")
    config = json.loads((folder / "config.json").read_text())
    config["audio_config"]["enable_fusion"] = True
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "pytorch_model.bin").write_bytes((source / "pytorch_model.bin").read_bytes())
    refusal("fusion|has no 'audio_model.*fusion")
