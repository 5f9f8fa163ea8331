"""What the shell completes for values of options; where nothing is known it goes on with file names."""

from __future__ import annotations

from collections.abc import Callable


def among(*values: str) -> Callable[[str], list[str]]:
    """A completer of fixed words."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return complete


def models(incomplete: str) -> list[str]:
    """The models on this computer, by name."""
    from ..checkpoint import registry

    return [name for name, _ in registry.local() if name.startswith(incomplete)]


def vocoders(incomplete: str) -> list[str]:
    return [*among("griffin-lim")(incomplete), *models(incomplete)]
