"""How an option is declared: once, in its dataclass field.

    steps: int = option(2, Whole(1, 256), "Decoding steps.")

From there come its check, its place on the command line and in the help, its column in `smg batch`, its field on the
web page, and its line in the reference. A subclass may give an option another default alone: `steps: int = 4`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from ..errors import at_fault
from .kinds import Kind

TASK, SAMPLING, OUTPUT, MODEL = "Options", "Sampling", "Output", "Model"  # headings of groups of options


@dataclass(frozen=True)
class Option:
    """What is known of an option beside its name.

    Attributes:
        kind: what it takes.
        help: what it does, a sentence for people; of a flag what it does when its default is reversed.
        names: on the command line, where they are not its own after --.
        metavar: what stands for the value in help pages, where it is not the type.
        group: the heading in help pages that it stands under.
        default: in the class that was asked; ... where it has to be given, None where it may be left open.
    """

    kind: Kind
    help: str
    names: tuple[str, ...] = ()
    metavar: str | None = None
    group: str = TASK
    default: object = ...


_DECLARED: dict[type, dict[str, Option]] = {}  # what `options_of` has found


def option(
    default, kind: Kind, help: str, *names: str, metavar: str | None = None, group: str = TASK, keyword: bool = False
):
    """A dataclass field with its Option, whose attributes these are.

    Args:
        default: ... where it has to be given.
        keyword: it can be given by its name alone, as all can whose class says so.
    """
    return dataclasses.field(
        default=dataclasses.MISSING if default is ... else default,
        metadata={"option": Option(kind, help, names, metavar, group)},
        kw_only=keyword or dataclasses.MISSING,
    )


def options_of(kind: type) -> dict[str, Option]:
    """All options of a dataclass by name, in the order of its fields, each with its default there."""
    if kind in _DECLARED:
        return _DECLARED[kind]
    found = {}
    for field in dataclasses.fields(kind):
        declared = (base.__dict__.get("__dataclass_fields__", {}).get(field.name) for base in kind.__mro__)
        described = next(other.metadata["option"] for other in declared if other and "option" in other.metadata)
        default = ... if field.default is dataclasses.MISSING else field.default
        found[field.name] = dataclasses.replace(described, default=default)
    _DECLARED[kind] = found
    return found


class Options:
    """Base of dataclasses whose fields are options; all values are checked when one is made.

    Raises:
        UsageError: a value out of range or of the wrong type, with the option named.
    """

    __dataclass_fields__: ClassVar[dict]

    def __post_init__(self):
        for name, described in options_of(type(self)).items():
            value = getattr(self, name)
            if not (value is None and described.default is None):
                with at_fault(name):
                    object.__setattr__(self, name, described.kind.check(name, value))

    def to_dict(self) -> dict:
        """All options as plain JSON types, for metadata and reports."""
        return dataclasses.asdict(self)
