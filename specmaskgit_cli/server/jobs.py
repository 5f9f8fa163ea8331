"""Work on the model: one job at a time, in the order they came, each with its place in the queue and its progress."""

from __future__ import annotations

import secrets
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ..errors import SmgError
from ..pipeline import Progress
from ..terminal import say

MAX_WAITING = 20  # jobs, the running one among them
MAX_OF_CLIENT = 8  # of them by one client
MAX_KEPT = 200  # jobs whose outcome can still be asked for


class QueueFull(SmgError):
    """Too many jobs are waiting."""


@dataclass
class Job:
    """A job, as the page is told of it.

    Attributes:
        client: the address that asked for it.
        state: "waiting", "running", "done" or "failed".
        progress: from 0 to 1.
        result: what the work returned, where it is done.
        error: one line, where it failed.
        stopped: asked to end; it does so at its next step.
    """

    work: Callable[[Progress], list] = field(repr=False)
    client: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    state: str = "waiting"
    progress: float = 0.0
    result: list = field(default_factory=list)
    error: str | None = None
    stopped: bool = False

    @property
    def ended(self) -> bool:
        return self.state in ("done", "failed")


class Queue:
    """Runs jobs in a thread of its own."""

    def __init__(self):
        self._jobs: dict[str, Job] = {}
        self._thread = ThreadPoolExecutor(1, "smg-ui")

    def add(self, work: Callable[[Progress], list], client: str = "") -> Job:
        """Queue some work, which is given a function to report its progress to. Raises QueueFull."""
        waiting = [job.client for job in self._jobs.values() if not job.ended]
        if len(waiting) >= MAX_WAITING:
            raise QueueFull(f"{MAX_WAITING} jobs are waiting already; try again in a while")
        if waiting.count(client) >= MAX_OF_CLIENT:
            raise QueueFull(f"{MAX_OF_CLIENT} jobs of yours are waiting already; try again in a while")
        for old in [job for job in self._jobs.values() if job.ended][: max(0, len(self._jobs) - MAX_KEPT)]:
            del self._jobs[old.id]
        job = Job(work, client)
        self._jobs[job.id] = job
        self._thread.submit(self._run, job)
        return job

    def get(self, id: str) -> Job | None:
        return self._jobs.get(id)

    def ahead(self, job: Job) -> int:
        """How many jobs come before this one."""
        jobs = list(self._jobs.values())
        return sum(not other.ended for other in jobs[: jobs.index(job)])

    def close(self) -> None:
        """End all jobs, and wait for the running one to come to its next step."""
        for job in self._jobs.values():
            job.stopped = True
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _run(self, job: Job) -> None:
        def progress(done: int, total: int) -> None:
            job.progress = done / total
            if job.stopped:
                raise SmgError("stopped")

        try:
            progress(0, 1)
            job.state = "running"
            job.result = job.work(progress)
            job.state = "done"
        except SmgError as error:
            job.error, job.state = " ".join(str(error).split()), "failed"
        except OSError as error:
            job.error, job.state = f"the folder of this page cannot be used: {error.strerror}", "failed"
        except MemoryError:
            job.error, job.state = "out of memory; try fewer seconds or sounds", "failed"
        except BaseException as error:  # as a panic of a library in Rust is no Exception
            say(traceback.format_exc().rstrip(), error=True, lines=True)
            job.error, job.state = f"{type(error).__name__} (this is a bug; the terminal of smg ui says more)", "failed"
