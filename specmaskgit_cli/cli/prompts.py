"""The prompts of a command line, which may come from standard input."""

from __future__ import annotations

import sys

from ..errors import UsageError

STDIN = "-"


def prompts(given: str | None) -> list[str | None]:
    """The prompt alone, or for "-" one for each line of standard input.

    Raises:
        UsageError: standard input is no text, or empty.
    """
    if given != STDIN:
        return [given]
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError("standard input is not valid UTF-8 text; save the prompts as UTF-8") from None
    if not (lines := [line for line in text.split("\n") if line.strip()]):
        raise UsageError("standard input holds no prompt; write one on each line")
    return lines
