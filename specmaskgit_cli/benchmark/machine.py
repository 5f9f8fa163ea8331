"""What a measurement depends on beside the program: processor, threads, memory, versions."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from ..threads import allowed_threads, cgroup_quota

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def cpu_name() -> str:
    """The processor as it calls itself."""
    try:
        if found := re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
            return found[1].strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        done = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.strip()
    return platform.processor() or platform.machine() or "unknown"


def explain_threads(asked: int | None) -> tuple[int, str]:
    """The number of threads, and how it came about."""
    if asked is not None:
        return asked, "as asked"
    affinity = getattr(os, "sched_getaffinity", None)
    cores = f"{len(affinity(0))} of {os.cpu_count()} cores allowed" if affinity else f"{os.cpu_count()} cores"
    quota = cgroup_quota()
    return allowed_threads(), cores + (f", cgroup quota of {quota:g}" if quota else ", no cgroup quota")


def reset_peak() -> None:
    """Start to measure peak memory anew, where the system can (Linux); elsewhere it is that since the start."""
    with contextlib.suppress(OSError):
        CLEAR.write_text("5")


def peak_rss_mb() -> float | None:
    """Most memory that this process had at once, in MB; None where the system does not say."""
    try:
        if found := re.search(r"^VmHWM:\s*(\d+) kB", STATUS.read_text(), re.MULTILINE):
            return int(found[1]) * 1024 / 1e6
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def load_average() -> float | None:
    """Processes that wanted to run in the last minute, this one among them; None where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def versions() -> dict[str, str]:
    """Of this program and of what computes."""
    import numpy

    from .. import __version__
    from ..runtime import ort

    found = {
        "smg": __version__, "numpy": numpy.__version__, "onnxruntime": ort.__version__,
        "python": platform.python_version(),
    }  # fmt: skip
    if "torch" in sys.modules:
        found["torch"] = sys.modules["torch"].__version__
    return found
