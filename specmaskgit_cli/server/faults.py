"""What went wrong, as clients are told: its type, a line for people, and the option at fault."""

from __future__ import annotations

import traceback
from dataclasses import asdict, dataclass

from ..errors import SmgError
from ..terminal import say

# Type -> HTTP status.
STATUS = {
    "invalid": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "stopped": 409,
    "too_large": 413,
    "misdirected": 421,
    "too_many": 429,
    "internal": 500,
    "busy": 503,
    "deadline": 503,
    "memory": 503,
    "storage": 507,
}
LATER = ("too_many", "busy")  # what may succeed if it is asked for again


@dataclass(frozen=True)
class Fault:
    """Why a request or a job failed: a key of STATUS, one line, and the name of the option at fault, if it is one."""

    type: str
    message: str
    field: str | None = None

    @property
    def status(self) -> int:
        return STATUS[self.type]

    def to_dict(self) -> dict:
        return asdict(self)


class Refused(SmgError):
    """What is refused for another reason than an option that is wrong; `type` is a key of STATUS."""

    def __init__(self, type: str, message: str, field: str | None = None):
        super().__init__(message)
        self.type, self.field = type, field


def fault_of(error: BaseException) -> Fault:
    """What to tell of an exception; one that nobody foresaw is shown in the terminal."""
    if isinstance(error, SmgError):
        return Fault(getattr(error, "type", "invalid"), " ".join(str(error).split()), error.field)
    if isinstance(error, OSError):
        return Fault("storage", f"the folder of the server cannot be used: {error.strerror or 'a fault of the system'}")
    if isinstance(error, MemoryError):
        return Fault("memory", "out of memory; try fewer seconds or sounds")
    say("".join(traceback.format_exception(error)).rstrip(), error=True, lines=True)
    return Fault("internal", f"{type(error).__name__} (this is a bug; the terminal of the server says more)")
