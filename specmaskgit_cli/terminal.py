"""What the program says in a terminal: text that does nothing to it, whoever wrote the names and the cards in it."""

from __future__ import annotations

import sys
from unicodedata import category

REPLACED = "\N{REPLACEMENT CHARACTER}"
_JOINERS = "\u200c\u200d"  # scripts and emoji need them


def printable(text: str, lines: bool = False) -> str:
    """A text with a REPLACED for each character that would do something to a terminal instead of being seen.

    Those are control characters, which can also write to the clipboard or rename the window, marks that change the
    direction of the text, and what is no text. A line feed or a tab is one of them unless there may be `lines`.
    """
    allowed = _JOINERS + "\n\t" * lines
    return "".join(c if c.isprintable() or c in allowed or category(c) == "Zs" else REPLACED for c in text)


def say(*parts: object, error: bool = False, lines: bool = False) -> None:
    """Print a line of text, with a blank between its parts; all that is printed for people passes here.

    Args:
        error: on standard error, where what is no result belongs.
        lines: it may have several.
    """
    print(printable(" ".join(map(str, parts)), lines), file=sys.stderr if error else sys.stdout, flush=True)


def draw(lines: list[str]) -> None:
    """Print a picture that this program made of pixels, with its colours."""
    print("\n".join(lines), flush=True)
