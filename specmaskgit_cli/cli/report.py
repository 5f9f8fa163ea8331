"""What commands report: JSON for scripts on standard output, and the inputs that failed among several."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager

from .. import __version__
from ..errors import SmgError
from ..terminal import say


def print_json(command: str, document: dict) -> None:
    """Print the report of a command, one JSON object as docs/json.md has it.

    In ASCII: neither a terminal's encoding nor a file name that is no text can make it something else than JSON.
    """
    whole = {"smg": __version__, "command": command} | _plain(document)
    say(json.dumps(whole, indent=2, allow_nan=False).replace("\x7f", "\\u007f"), lines=True)


def _plain(value):
    """With null for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Failures:
    """Where one of several inputs fails, a line says so and the others go on; a single one fails as ever.

    Attributes:
        count: of all inputs.
        found: what failed, as `catch` was told, with an "error" each.
    """

    def __init__(self, count: int):
        self.count, self.found = count, []

    @contextmanager
    def catch(self, name: str | None, **about) -> Iterator[None]:
        """Around the work on an input; `about` goes to the report."""
        try:
            yield
        except SmgError as error:
            if self.count == 1:
                raise
            text = " ".join(str(error).split())
            say("smg: error:", text if name is None or name in text else f"{name}: {text}", error=True)
            self.found.append(about | {"error": str(error)})

    def end(self) -> None:
        """Raise SmgError where any failed."""
        if self.found:
            raise SmgError(f"{len(self.found)} of {self.count} failed; the others are done")
