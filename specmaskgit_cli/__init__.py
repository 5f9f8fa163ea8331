"""Text to sound on an ordinary CPU, from the command line (`smg`) or from Python:

from specmaskgit_cli import load
load().generate("dog barking", seconds=4).save("out.wav")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import SmgError
    from .options import (
        Box,
        ContinueOptions,
        ExtendOptions,
        GenerateOptions,
        InpaintOptions,
        LoopOptions,
        OutputOptions,
        SketchOptions,
        StreamOptions,
        VaryOptions,
    )
    from .pipeline import Pipeline, load
    from .sounds.sound import Sound

__version__ = "0.7.0"
__all__ = [
    "Box",
    "ContinueOptions",
    "ExtendOptions",
    "GenerateOptions",
    "InpaintOptions",
    "LoopOptions",
    "OutputOptions",
    "Pipeline",
    "SketchOptions",
    "SmgError",
    "Sound",
    "StreamOptions",
    "VaryOptions",
    "__version__",
    "load",
]

# Imported on first use, so that `import specmaskgit_cli` itself costs nothing. All other names are options.
_HOMES = {"SmgError": ".errors", "Pipeline": ".pipeline", "Sound": ".sounds.sound", "load": ".pipeline"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES.get(name, ".options"), __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
