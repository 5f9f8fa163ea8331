"""Text to sound on an ordinary CPU, from the command line (`smg`) or from Python:

from specmaskgit_cli import load
load().generate("dog barking", seconds=4).save("out.wav")
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.7.0"
__all__ = ["GenerateOptions", "SmgError", "__version__", "load"]

# Imported on first use: `import specmaskgit_cli` itself costs nothing.
_LAZY = {"GenerateOptions": ".options", "SmgError": ".errors", "load": ".pipeline"}


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_LAZY[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
