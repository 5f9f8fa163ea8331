"""Making a checkpoint directory: it is there as a whole, or not at all."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..durable import put
from ..errors import SmgError
from .layout import write_sums


def check_free(output: Path) -> None:
    """Raise SmgError unless nothing, or an empty directory, is at `output`."""
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise SmgError(f"{output}: already exists; choose another -o or remove it")


@contextlib.contextmanager
def new_checkpoint(output: Path) -> Iterator[Path]:
    """Yield a directory to build a checkpoint in; with its SHA256SUMS it becomes `output` if the block ends well.

    Raises:
        SmgError: something is at `output`.
    """
    check_free(output)
    building = output.with_name(f".{output.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    (building / "onnx").mkdir(parents=True)
    try:
        yield building
        write_sums(building)
        if output.exists():
            output.rmdir()
        put(building, output)
    finally:
        shutil.rmtree(building, ignore_errors=True)
