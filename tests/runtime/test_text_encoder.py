"""The sentence encoder from published files to the runtime, on a tiny random BERT."""

import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("onnxscript")

from specmaskgit_cli.checkpoint import load_checkpoint, write_sums  # noqa: E402
from specmaskgit_cli.convert import text as export  # noqa: E402
from specmaskgit_cli.convert.source import open_source  # noqa: E402
from specmaskgit_cli.errors import SmgError  # noqa: E402
from specmaskgit_cli.models.text import BertConfig, SentenceEncoder  # noqa: E402
from specmaskgit_cli.runtime.text import TextEncoder  # noqa: E402

SHAPE = {
    "vocab_size": 120, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 32,
}  # fmt: skip


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A model folder as published, below another one, with a tokenizer that pads to a fixed length."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("wheel") / "package" / "model"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    weights = SentenceEncoder(BertConfig(**SHAPE)).state_dict()
    weights["pooler.dense.weight"] = torch.zeros(32, 32)
    weights["embeddings.position_ids"] = torch.arange(32)[None]
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_act": "gelu", **SHAPE}))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted({w for probe in export.PROBES for w in probe.split()})[:116]]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer.enable_padding(length=16)
    tokenizer.enable_truncation(16)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder.parent.parent


@pytest.fixture(scope="module")
def encoder(published, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    assert export.convert_text_encoder(open_source(str(published)), out) > 0.97
    write_sums(out)
    assert load_checkpoint(out).config.embedder.dim == 32  # a checkpoint that has a text encoder alone
    return TextEncoder(out / "onnx" / "text_encoder.onnx", out / "text" / "tokenizer.json", max_tokens=8)


def test_a_text_is_embedded_alike_in_any_company(encoder):
    texts = ["dog barking", "a dog barking in the distance", "rain"]
    together = encoder(texts)
    assert together.shape == (3, 32) and together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for text, embedding in zip(texts, together, strict=True):
        np.testing.assert_array_equal(encoder([text])[0], embedding)
    assert encoder([]).shape == (0, 32)


def test_long_texts_are_cut(encoder):
    np.testing.assert_array_equal(encoder(["rain " * 6])[0], encoder(["rain " * 40])[0])


def test_padding_does_not_change_an_embedding():
    torch.manual_seed(0)
    model = SentenceEncoder(BertConfig(**SHAPE)).eval()
    ids = torch.tensor([[2, 9, 7, 3]])
    padded, mask = torch.tensor([[2, 9, 7, 3, 0, 0]]), torch.tensor([[1, 1, 1, 1, 0, 0]])
    torch.testing.assert_close(model(padded, mask), model(ids, torch.ones_like(ids)))


def test_a_bad_quantisation_is_refused(published, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MIN_COSINE", 1.01)
    with pytest.raises(SmgError, match="below 1.01"):
        export.convert_text_encoder(open_source(str(published)), tmp_path)
    assert not (tmp_path / "onnx" / "text_encoder.onnx").exists()


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(SmgError, match="no config.json"):
        open_source(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(SmgError, match="model.safetensors"):
        open_source(str(tmp_path))
    with pytest.raises(SmgError, match="no such file"):
        TextEncoder(tmp_path / "absent.onnx", tmp_path / "tokenizer.json")
    (tmp_path / "x.onnx").write_bytes(b"nonsense")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(SmgError, match="not a tokenizer"):
        TextEncoder(tmp_path / "x.onnx", tmp_path / "tokenizer.json")


@pytest.mark.parametrize(
    "changes, words",
    [({"vocab_size": 10**9}, "vocab_size is 1000000000"), ({"hidden_size": "a"}, "hidden_size is 'a'"),
     ({"num_hidden_layers": 100_000}, "num_hidden_layers is 100000"), ({"num_attention_heads": 0}, "heads is 0"),
     ({"num_attention_heads": 5}, "has to divide"), ({"vocab_size": True}, "vocab_size is True"),
     ({"intermediate_size": 1_000_000}, "do not match")],
)  # fmt: skip
def test_an_encoder_of_any_size_is_refused_before_it_is_built(published, tmp_path, changes, words):
    folder = tmp_path / "source"
    shutil.copytree(published, folder)
    (path,) = folder.rglob("config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(SmgError, match=words):
        export.convert_text_encoder(open_source(str(folder)), tmp_path / "out")


def test_damaged_weights_are_named(published, tmp_path):
    folder = tmp_path / "source"
    shutil.copytree(published, folder)
    (path,) = folder.rglob("model.safetensors")
    whole = path.read_bytes()
    for data in (b"", b"x" * 100, whole[:-50]):
        path.write_bytes(data)
        with pytest.raises(SmgError, match="model.safetensors: damaged"):
            export.convert_text_encoder(open_source(str(folder)), tmp_path / "out")
