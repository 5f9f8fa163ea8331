"""The exceptions a user sees: the message is the whole explanation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class SmgError(Exception):
    """A problem the user can fix. The message names the value at fault and the fix; no traceback is shown."""

    exit_code = 1
    field: str | None = None  # the option at fault, where it is one


class UsageError(SmgError):
    """A command or an option that was given wrongly, as opposed to work that failed."""

    exit_code = 2


@contextmanager
def at_fault(field: str) -> Iterator[None]:
    """Around the check of an option: an SmgError from it names the option as its field."""
    try:
        yield
    except SmgError as error:
        error.field = field
        raise
