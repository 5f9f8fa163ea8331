"""What a user should know about the clips that were read: what was left out, what was made up."""

from __future__ import annotations

from collections.abc import Iterable

SHOWN = 3  # names and reasons


class Remarks:
    """Gathers remarks while clips are read.

    Attributes:
        left_out: names of sounds that cannot be used, by the reason.
        notes: names that anything else holds for, by what that is.
    """

    def __init__(self):
        self.left_out: dict[str, list[str]] = {}
        self.notes: dict[str, list[str]] = {}

    def leave_out(self, name: str, reason: str) -> None:
        """Remember a sound that cannot be used."""
        self.left_out.setdefault(reason, []).append(name)

    def note(self, what: str, names: Iterable[str]) -> None:
        """Remember of names, if there are any, what is to be said of them after their number."""
        if names := list(names):
            self.notes.setdefault(what, []).extend(names)

    def lines(self) -> list[str]:
        """All remarks, the one on what was left out first."""
        reasons = sorted(self.left_out.items(), key=lambda item: -len(item[1]))
        parts = [f"{listed(names)} ({reason})" for reason, names in reasons[:SHOWN]]
        parts += [f"and {len(reasons) - SHOWN} other reasons"] * (len(reasons) > SHOWN)
        count = sum(map(len, self.left_out.values()))
        lines = [f"{count} left out: {', '.join(parts)}"] * bool(count)
        return lines + [f"{len(names)} {what}: {listed(names)}" for what, names in self.notes.items()]


def listed(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
