"""Tokenizers come with a model, from anyone: none takes for ever, all memory, or a place in the queue of the page."""

import json
import time
from pathlib import Path

import pytest

from specmaskgit_cli.bounds import MAX_TEXT
from specmaskgit_cli.checkpoint.registry import shipped
from specmaskgit_cli.cli import run
from specmaskgit_cli.errors import SmgError, UsageError
from specmaskgit_cli.options import GenerateOptions
from specmaskgit_cli.runtime import tokenizer as module
from specmaskgit_cli.runtime.text import TextEncoder
from specmaskgit_cli.runtime.tokenizer import open_tokenizer
from specmaskgit_cli.server.jobs import Queue

SHIPPED = shipped()


class Panic(BaseException):
    """As the PanicException of a library in Rust."""


@pytest.fixture
def changed(tmp_path):
    """Writes the shipped tokenizer with other parts, and returns its path."""

    def write(**parts) -> Path:
        document = json.loads((SHIPPED / "text" / "tokenizer.json").read_text(encoding="utf-8"))
        path = tmp_path / "tokenizer.json"
        path.write_text(json.dumps(document | parts))
        return path

    return write


REPLACE = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}
SPLIT = {"type": "Split", "pattern": {"Regex": "(a|a|aa)+$"}, "behavior": "Isolated", "invert": False}
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {},
}


@pytest.mark.parametrize(
    "parts, words",
    [
        ({"normalizer": REPLACE}, "'Replace' is not supported as its normalizer"),
        ({"normalizer": {"type": "Sequence", "normalizers": [REPLACE] * 3}}, "'Replace' is not supported"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 9}}, "up to 8"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Sequence"}]}}, "'Sequence' is not supported"),
        ({"pre_tokenizer": SPLIT}, "'Split' is not supported as its pre_tokenizer"),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [SPLIT]}}, "'Split' is not supported"),
        ({"pre_tokenizer": "Whitespace"}, "'Whitespace' is not supported|not a tokenizer file"),
        ({"model": {"type": "Unigram", "vocab": []}}, "'Unigram' is not supported as its model"),
        ({"model": {"type": "WordPiece"}}, "not a tokenizer file"),
        ({"post_processor": TEMPLATE}, "special token that it does not describe"),
        ({"post_processor": {"type": "TemplateProcessing"}}, "special token that it does not describe"),
    ],
)
def test_parts_that_are_not_admitted(changed, parts, words):
    started = time.monotonic()
    with pytest.raises(SmgError, match=words):
        open_tokenizer(changed(**parts))
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "1" * 5000, '"x"'])
def test_what_is_no_tokenizer(tmp_path, text):
    path = tmp_path / "tokenizer.json"
    path.write_text(text)
    with pytest.raises(SmgError, match="not a tokenizer file"):
        open_tokenizer(path)


def test_large_files(changed, monkeypatch):
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    with pytest.raises(SmgError, match="larger than"):
        open_tokenizer(changed())


@pytest.fixture
def encoder():
    return TextEncoder(SHIPPED / "onnx" / "text_encoder.onnx", SHIPPED / "text" / "tokenizer.json")


def test_an_unknown_word_without_a_token_for_it_is_one_line(changed):
    path = changed(model={"type": "WordLevel", "vocab": {"[CLS]": 101, "[SEP]": 102}, "unk_token": "[NO]"})
    with pytest.raises(SmgError, match="cannot read 'dog'"):
        TextEncoder(SHIPPED / "onnx" / "text_encoder.onnx", path)(["dog"])


def test_a_panic_is_an_error(encoder):
    class Panics:
        def encode(self, text):
            raise Panic("no entry found for key")

    encoder._tokenizer = Panics()
    with pytest.raises(SmgError, match="cannot read 'dog'.*no entry found"):
        encoder(["dog"])


def test_an_interrupt_stays_one(encoder):
    class Interrupted:
        def encode(self, text):
            raise KeyboardInterrupt

    encoder._tokenizer = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        encoder(["dog"])


def test_long_texts(encoder):
    assert (encoder(["a" * 99 + " " + "b " * 5_000_000]) == encoder([("a" * 99 + " " + "b " * 5000)[:MAX_TEXT]])).all()
    GenerateOptions("a" * MAX_TEXT)
    with pytest.raises(UsageError, match=f"{MAX_TEXT + 1} characters"):
        GenerateOptions("a" * (MAX_TEXT + 1))
    with pytest.raises(UsageError, match="negative"):
        GenerateOptions("a", negative="b" * 10_000)


def test_a_panic_leaves_the_queue_free(capsys):
    def panics(progress):
        raise Panic("deep inside")

    queue = Queue()
    try:
        job = queue.add(panics)
        later = queue.add(lambda progress: ["made"])
        deadline = time.monotonic() + 20
        while not later.ended and time.monotonic() < deadline:
            time.sleep(0.01)
        assert job.state == "failed" and "Panic" in job.fault.message
        assert later.result == ["made"]
    finally:
        queue.close()
    assert "deep inside" in capsys.readouterr().err


def test_a_panic_is_one_line_of_the_command_line(monkeypatch, capsys):
    def panics(args):
        raise Panic("deep\x1b[2J inside")

    monkeypatch.setattr("specmaskgit_cli.cli.app.application", panics)
    assert run(["doctor"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("smg: error: Panic: deep") and err.count("\n") == 1 and "\x1b" not in err
