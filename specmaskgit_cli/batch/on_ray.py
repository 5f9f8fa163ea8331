"""Jobs on a Ray cluster: inputs go there and files come back, so that the machines need not share a disk."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from ..errors import SmgError
from .jobs import Job
from .worker import Outcome, Setup, Worker


def on_ray(setup: Setup, model_hash: str, jobs: list[Job], workers: int | None) -> Iterator[tuple[Job, Outcome]]:
    """Do jobs on the cluster that RAY_ADDRESS names or that runs here, or else on one started for it.

    Args:
        workers: at most, of one CPU each; None takes all CPUs of the cluster.

    Raises:
        SmgError: Ray is not installed or cannot be reached, or the model cannot be opened there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # or a cluster started here tells Ray's makers of its use
    try:
        import ray
    except ImportError:
        raise SmgError("--engine ray needs Ray: pip install '.[ray]' in a checkout of smg") from None
    if started := not ray.is_initialized():
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            reason = str(error).strip().splitlines()[0]
            raise SmgError(
                f"no Ray cluster: {reason}; check RAY_ADDRESS, or leave it out to use this machine"
            ) from None
    workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    remote, waiting, running = ray.remote(num_cpus=1)(_Remote), deque(jobs), {}

    def start() -> None:
        actor = remote.remote()
        running[actor.open.remote(setup, model_hash)] = (actor, None)

    try:
        for _ in range(min(workers, len(jobs))):
            start()
        left = len(jobs)
        while left:  # actors for which there is no room yet are not waited for
            (reference,), _ = ray.wait(list(running), num_returns=1)
            actor, job = running.pop(reference)
            try:
                answer = ray.get(reference)
            except ray.exceptions.RayError as error:
                reason = type(error).__name__
                if job is None:
                    raise SmgError(
                        f"a Ray worker ended before it was ready ({reason}); is smg installed on all machines?"
                    ) from None
                left -= 1
                yield job, Outcome(error=f"its Ray worker ended ({reason})")
                if waiting:
                    start()
                continue
            if isinstance(answer, str):
                raise SmgError(answer)
            if job is not None:
                left -= 1
                yield job, answer
            if waiting:
                job = waiting.popleft()
                running[actor.perform.remote(job, _data(job))] = (actor, job)
    finally:
        for actor, _ in running.values():
            ray.kill(actor)
        if started:
            ray.shutdown()


class _Remote:
    """A worker on another machine."""

    def open(self, setup: Setup, model_hash: str) -> str | None:
        """None, or a line why it cannot work."""
        try:
            self.worker = Worker(setup, model_hash)
        except SmgError as error:
            return str(error)
        return None

    def perform(self, job: Job, data: bytes | None) -> Outcome:
        return self.worker.perform(job, data)


def _data(job: Job) -> bytes | None:
    """What the job reads; a file that is gone by now is left for the worker to miss."""
    path = job.path
    return Path(path).read_bytes() if path is not None and Path(path).is_file() else None
