"""The tokenizer of a text encoder. It may come from anyone, so only kinds of parts whose work is bounded are opened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SmgError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_BYTES = 64 << 20  # of a tokenizer.json
MAX_MEMBERS = 8  # of a sequence of parts
# What published BERT and CLAP encoders have. Patterns of a file's own can take for ever, and texts of its own in the
# place of others all memory.
ADMITTED = {
    "normalizer": ("BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Strip", "StripAccents"),
    "pre_tokenizer": ("BertPreTokenizer", "ByteLevel", "Whitespace", "WhitespaceSplit"),
    "post_processor": ("BertProcessing", "ByteLevel", "RobertaProcessing", "TemplateProcessing"),
    "model": ("BPE", "WordLevel", "WordPiece"),
}
_MEMBERS = {"normalizer": "normalizers", "pre_tokenizer": "pretokenizers", "post_processor": "processors"}


def open_tokenizer(path: Path) -> Tokenizer:
    """Open a tokenizer.json; what it says of padding and of the longest text is left to the caller.

    Raises:
        SmgError: the file is missing, too large, no tokenizer, or one with parts that are not ADMITTED.
    """
    from tokenizers import Tokenizer

    try:
        if path.stat().st_size > MAX_BYTES:
            raise SmgError(f"{path} is larger than {MAX_BYTES >> 20} MiB; use the tokenizer of a BERT or CLAP encoder")
        text = path.read_text(encoding="utf-8")
        _check(json.loads(text), path)
    except FileNotFoundError:
        raise SmgError(f"{path}: no such file; the text encoder needs its tokenizer") from None
    except (OSError, ValueError, RecursionError) as error:
        raise SmgError(f"{path}: not a tokenizer file ({error}); fetch it again") from None
    with panics_as_errors(f"{path}: not a tokenizer file"):
        tokenizer = Tokenizer.from_str(text)
        tokenizer.no_padding()
        tokenizer.no_truncation()
    return tokenizer


@contextmanager
def panics_as_errors(what: str) -> Iterator[None]:
    """Around calls of tokenizers: raise SmgError, which begins with `what`, for anything that it raises.

    It raises plain Exception, and where its Rust code panics a PanicException, which is no Exception.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:
        raise SmgError(f"{what} ({error}); fetch the model again") from None


def _check(document: object, path: Path) -> None:
    if not isinstance(document, dict):
        raise SmgError(f"{path}: not a tokenizer file; fetch the model again")
    for place, kinds in ADMITTED.items():
        part = document.get(place)
        members: Any = [part]
        if isinstance(part, dict) and part.get("type") == "Sequence":
            members = part.get(_MEMBERS.get(place))
            if not isinstance(members, list) or len(members) > MAX_MEMBERS:
                raise SmgError(f"{path}: its {place} is no sequence of up to {MAX_MEMBERS} parts")
        for member in members:
            if member is None:
                continue
            # Older files leave out what kind of model they hold.
            kind = member.get("type", "BPE" if place == "model" else None) if isinstance(member, dict) else member
            if kind not in kinds:
                raise SmgError(f"{path}: {kind!r} is not supported as its {place}; one of {', '.join(kinds)} is")
            if kind == "TemplateProcessing":
                _check_template(member, path)


def _check_template(part: dict, path: Path) -> None:
    """tokenizers panics where a template names a special token that it does not describe."""
    try:
        named = {piece["SpecialToken"]["id"] for piece in part["single"] + part["pair"] if "SpecialToken" in piece}
        described = all(part["special_tokens"][name]["ids"] for name in named)
    except (KeyError, TypeError):
        described = False
    if not described:
        raise SmgError(f"{path}: its template names a special token that it does not describe; fetch the model again")
