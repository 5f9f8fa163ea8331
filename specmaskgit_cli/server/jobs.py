"""Work on the model: one job at a time, in the order they came, each with its place in the queue and its progress."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ..pipeline import Progress
from .faults import Fault, Refused, fault_of

MAX_WAITING = 64  # jobs, the running one among them
MAX_OF_CLIENT = 32  # of them by one client
MAX_KEPT = 200  # jobs whose outcome can still be asked for
DEADLINE_SECONDS = 300.0
PULSE_SECONDS = 10.0  # after which those who follow a job hear of it again, so that nobody takes it for dead

Work = Callable[[Progress], list]


@dataclass(eq=False)
class Job:
    """A job, as clients are told of it.

    Attributes:
        task: its name.
        client: who asked for it.
        deadline: the time.monotonic() by which it has to be done.
        state: "waiting", "running", "done", "failed" or "stopped".
        progress: from 0 to 1.
        result: what the work returned, where it is done.
        fault: why it failed or was stopped.
        stopping: why it is to end at its next step.
    """

    work: Work = field(repr=False)
    task: str = ""
    client: str = ""
    deadline: float = float("inf")
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    state: str = "waiting"
    progress: float = 0.0
    result: list[Any] = field(default_factory=list)
    fault: Fault | None = None
    stopping: Refused | None = None
    watchers: set[Callable[[], object]] = field(default_factory=set, repr=False)

    @property
    def ended(self) -> bool:
        return self.state not in ("waiting", "running")

    def changed(self) -> None:
        """Wake those who follow it."""
        for wake in tuple(self.watchers):
            wake()


class Queue:
    """Runs jobs in a thread of its own."""

    def __init__(self):
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()  # around all changes of states
        self._thread = ThreadPoolExecutor(1, "smg-model")

    def add(self, work: Work, task: str = "", client: str = "", seconds: float = DEADLINE_SECONDS) -> Job:
        """Queue some work, which is given a function to report its progress to.

        Args:
            seconds: after which it is given up.

        Raises:
            Refused: too many jobs are waiting.
        """
        job = Job(work, task, client, time.monotonic() + seconds)
        with self._lock:
            waiting = [other.client for other in self._jobs.values() if not other.ended]
            if len(waiting) >= MAX_WAITING:
                raise Refused("busy", f"{MAX_WAITING} jobs are waiting already; try again in a while")
            if waiting.count(client) >= MAX_OF_CLIENT:
                raise Refused("too_many", f"{MAX_OF_CLIENT} jobs of yours are waiting already; try again in a while")
            over = max(0, len(self._jobs) - MAX_KEPT)
            for old in [other for other in self._jobs.values() if other.ended][:over]:
                del self._jobs[old.id]
            self._jobs[job.id] = job
        self._thread.submit(self._run, job)
        return job

    def get(self, id: str) -> Job | None:
        return self._jobs.get(id)

    @property
    def waiting(self) -> int:
        """Jobs that have not ended."""
        return sum(not job.ended for job in tuple(self._jobs.values()))

    def ahead(self, job: Job) -> int:
        """How many jobs come before this one."""
        jobs = list(self._jobs.values())
        return sum(not other.ended for other in jobs[: jobs.index(job)]) if job in jobs else 0

    def stop(self, job: Job, why: Refused | None = None) -> None:
        """End a job: at once where it waits, at its next step where it runs."""
        why = why or Refused("stopped", "stopped")
        with self._lock:
            if job.ended:
                return
            job.stopping = why
            if job.state == "waiting":
                job.state, job.fault = "stopped", fault_of(why)
        self._tell(job)

    async def follow(self, job: Job) -> AsyncIterator[Job]:
        """The job now and after each change, at last when it has ended; past its deadline it is stopped."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(changed.set)

        job.watchers.add(wake)
        try:
            ended = False
            while not ended:
                changed.clear()
                ended = job.ended
                yield job
                left = PULSE_SECONDS if job.stopping else max(0.0, job.deadline - time.monotonic())
                with contextlib.suppress(TimeoutError):
                    if not ended:
                        await asyncio.wait_for(changed.wait(), min(PULSE_SECONDS, left))
                if time.monotonic() > job.deadline and not job.stopping:
                    self.stop(job, _late())
        finally:
            job.watchers.discard(wake)

    def close(self) -> None:
        """End all jobs, and wait for the running one to come to its next step."""
        for job in tuple(self._jobs.values()):
            self.stop(job, Refused("busy", "the server ends"))
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _tell(self, job: Job) -> None:
        """Wake the followers of a job that has ended, and of those behind it, whose places have changed."""
        job.changed()
        for other in tuple(self._jobs.values()):
            if other.state == "waiting":
                other.changed()

    def _run(self, job: Job) -> None:
        def progress(done: int, total: int) -> None:
            job.progress = done / total
            if time.monotonic() > job.deadline:
                raise _late()
            if job.stopping:
                raise job.stopping
            job.changed()

        with self._lock:
            if job.ended:
                return
            job.state = "running"
        try:
            progress(0, 1)
            job.result = job.work(progress)
            state, fault = "done", None
        except BaseException as error:  # as a panic of a library in Rust is no Exception
            fault = fault_of(error)
            state = "stopped" if job.stopping else "failed"
        with self._lock:
            job.fault, job.state = fault, state
        self._tell(job)


def _late() -> Refused:
    return Refused("deadline", "it took longer than its deadline; ask for less, or for a later one")
