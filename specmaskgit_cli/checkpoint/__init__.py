"""Model files: their layout on disk, their integrity, and where they come from."""

from .layout import Checkpoint, load_checkpoint, load_tensors, write_sums
from .registry import resolve

__all__ = ["Checkpoint", "load_checkpoint", "load_tensors", "resolve", "write_sums"]
