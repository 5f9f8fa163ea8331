"""How the C library hands out memory while a model is trained on a CPU."""

from __future__ import annotations

import ctypes

# Numbers of glibc's malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let glibc keep the memory that tensors free, instead of giving it back to the system and asking for it anew.

    A training step frees and takes gigabytes; given back each time, every page has to be mapped and cleared again,
    which takes up to half of the time of a step.

    Returns:
        whether the C library could be told; others than glibc cannot.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: MOST, M_TOP_PAD: 1 << 26}
    return all([mallopt(name, value) for name, value in settings.items()])  # noqa: C419 (each is set, also after one that failed)
