"""Jobs on this machine: in this process, or shared out among processes that each have the model."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import wait

from ..errors import SmgError
from .jobs import Job
from .worker import Outcome, Setup, Worker

_END_SECONDS = 5.0  # for a process to end by itself


def in_process(setup: Setup, model_hash: str, scratch: str, jobs: list[Job]) -> Iterator[tuple[Job, Outcome]]:
    """Do jobs one after another. Raises SmgError where the model cannot be opened."""
    worker = Worker(setup, model_hash, scratch)
    for job in jobs:
        yield job, worker.perform(job)


def in_processes(
    setup: Setup, model_hash: str, scratch: str, jobs: list[Job], workers: int
) -> Iterator[tuple[Job, Outcome]]:
    """Do jobs in so many processes, in the order in which they end; closed early, it stops them.

    A process that dies fails its job and is replaced.

    Raises:
        SmgError: the model cannot be opened.
    """
    arguments, waiting, children = (setup, model_hash, scratch), deque(jobs), []
    try:
        children += [_Child(arguments) for _ in range(min(workers, len(jobs)))]
        while children:
            ready = wait([child.connection for child in children])
            for child in [child for child in children if child.connection in ready]:
                try:
                    answer = child.connection.recv()
                except (EOFError, OSError):
                    children.remove(child)
                    ended = f"worker ended with code {child.code()}; if memory is short, try fewer --workers"
                    child.stop()
                    if child.job is None:
                        raise SmgError(f"a {ended}") from None
                    yield child.job, Outcome(error=f"its {ended}")
                    if waiting:
                        children.append(_Child(arguments))
                    continue
                if isinstance(answer, str):
                    raise SmgError(answer)
                if answer is not None:
                    yield child.job, answer
                if waiting:
                    child.give(waiting.popleft())
                else:
                    children.remove(child)
                    child.stop()
    finally:
        for child in children:
            child.stop()


class _Child:
    """A process with a worker, and the job that it has."""

    def __init__(self, arguments: tuple):
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, *arguments), daemon=True)
        self.job: Job | None = None
        with _interrupts_held():
            self.process.start()
        theirs.close()  # so that the end of the process is the end of the connection

    def give(self, job: Job) -> None:
        self.job = job
        with contextlib.suppress(OSError):  # it died meanwhile, which the next wait will tell
            self.connection.send(job)

    def code(self) -> int | None:
        """The exit code of a process that closed its connection."""
        self.process.join(_END_SECONDS)
        return self.process.exitcode

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self.connection.close()
        self.process.terminate()
        self.process.join(_END_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(connection, setup: Setup, model_hash: str, scratch: str) -> None:
    """The life of a worker process: None where it is ready or a line why not, then an outcome for each job."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one stops the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        try:
            worker = Worker(setup, model_hash, scratch)
        except SmgError as error:
            connection.send(str(error))
            return
        connection.send(None)
        while True:
            connection.send(worker.perform(connection.recv()))


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C takes effect after the block; a process started in it never sees one, not even while it is imported."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
