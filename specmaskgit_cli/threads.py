"""How many threads this process may use."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def allowed_threads() -> int:
    """CPU cores this process may run on: the affinity mask, capped by the cgroup's CPU quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = cgroup_quota()
    return max(1, min(count, int(quota)) if quota else count)


class _Limit:
    """A limit on BLAS threads for as long as any thread of the process asks for it: it holds for all of them."""

    def __init__(self):
        self.lock, self.holders, self.modules = threading.Lock(), 0, 0
        self.limit: Any = None  # of threadpoolctl, which has no types
        self.libraries: Any = None

    def hold(self) -> None:
        from threadpoolctl import ThreadpoolController

        with self.lock:
            if not self.holders:
                # An import may have brought another library, such as scipy's; looking takes over a millisecond.
                if len(sys.modules) != self.modules:
                    self.libraries, self.modules = ThreadpoolController(), len(sys.modules)
                self.limit = self.libraries.limit(limits=1, user_api="blas")
            self.holders += 1

    def release(self) -> None:
        with self.lock:
            self.holders -= 1
            if not self.holders:
                self.limit.restore_original_limits()


_limit = _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Meanwhile numpy's products of matrices take the calling thread alone, in the whole process.

    Its BLAS otherwise takes a thread a core, whatever was asked for, for products too small to gain by it, and these
    threads then spin where those of the models would work. How many there are also shows in the last digits of a sum.
    """
    _limit.hold()
    try:
        yield
    finally:
        _limit.release()


def cgroup_quota() -> float | None:
    """CPUs' worth of time the cgroup (version 2, then 1) grants, None where there is no limit."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else max(1.0, int(quota) / int(period))
    except (OSError, ValueError):
        pass
    try:
        folder = Path("/sys/fs/cgroup/cpu")
        microseconds = int((folder / "cpu.cfs_quota_us").read_text())
        return None if microseconds <= 0 else max(1.0, microseconds / int((folder / "cpu.cfs_period_us").read_text()))
    except (OSError, ValueError):
        return None
