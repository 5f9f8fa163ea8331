"""How the commands that make sounds run: their tasks to files, one after the other, and the report of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import UsageError
from ..options import OutputOptions, SamplingOptions
from ..tasks import task_of
from ..terminal import say
from .output_files import OutputFiles
from .player import play as play_file
from .progress import progress_bar, refused_above
from .report import Failures, print_json


@dataclass(frozen=True, kw_only=True)
class Session:
    """How a command opens its model, and what it tells.

    Attributes:
        model, vocoder, backend, device, threads: as of `pipeline.load`.
        play: the files, once all are written.
        as_json: report as JSON on standard output.
        quiet: tell of errors alone.
    """

    model: str | None = None
    vocoder: str | None = None
    backend: str = "auto"
    device: str = "cpu"
    threads: int | None = None
    play: bool = False
    as_json: bool = False
    quiet: bool = False


def make_sounds(
    command: str,
    tasks: Sequence[SamplingOptions],
    files: OutputFiles,
    output: OutputOptions,
    session: Session,
    *,
    label: str,
    original: str | None = None,
    longest: float | None = None,
) -> None:
    """Run tasks from their options to their files and their report.

    Args:
        tasks: of one type; where one of several fails the others go on.
        output: how to finish the sounds.
        label: of the progress bar.
        original: a file that should come out the same; the report says whether it did.
        longest: seconds that making one may take; it is refused where it would take longer.

    Raises:
        SmgError: a file that cannot be written or would replace one that is read, or what a single task raises, or
            that some of several have failed.
    """
    from ..sounds.record import check_size

    started = time.perf_counter()
    to_stdout = "-" in files.all_files
    if session.as_json and to_stdout:
        raise UsageError("--json and -o - both need standard output; give the sound a file name")
    if session.play and to_stdout:
        raise UsageError("--play needs a file to play; give the sound a file name instead of -")
    for options in tasks:
        output.check(options)
        if output.metadata:
            check_size(options)
    edits = task_of(tasks[0]).edits
    what = "input sound" if edits else "--like sound"
    paths = [path for options in tasks if (path := options.source) is not None]
    read = {what: paths, "replayed sound": [original] if original else []}
    reports, unchanged, failures = [], [], Failures(len(tasks))
    with files.checked(read, output):
        from ..pipeline import load

        with progress_bar("downloading", session.quiet) as progress:
            pipe = load(session.model, session.backend, session.device, session.threads, session.vocoder, progress)
        loaded = time.perf_counter()
        for index, (options, names, images) in enumerate(zip(tasks, files.files, files.images, strict=True), 1):
            subject = options.input if edits else options.prompt
            about = {"input" if edits else "prompt": subject}
            several = f"{label} {index} of {len(tasks)}" if len(tasks) > 1 else label
            with failures.catch(subject, **about):
                with progress_bar(several, session.quiet) as progress:
                    sounds = pipe.make(options, refused_above(longest, progress) if longest else progress)
                # An edit may find nothing to do, and then writes nothing.
                made = [
                    (sound.save(file, image, output), file, image)
                    for sound, file, image in zip(sounds, names, images, strict=False)
                ]
                if not sounds:
                    unchanged.append(subject)
                    _say(session.quiet, f"{subject} already has what the model could add; nothing was written")
                for warning in dict.fromkeys(warning for sound, *_ in made for warning in sound.warnings):
                    _say(session.quiet, f"warning: {subject + ': ' if edits and len(tasks) > 1 else ''}{warning}")
                for result in made:
                    reports.append(_report(*result, original))
                    if not (session.as_json or session.quiet):
                        say(_line(reports[-1]), error=to_stdout)
    if session.as_json:
        document = {
            "model": pipe.checkpoint.config.name,
            "model_hash": pipe.checkpoint.hash,
            "model_commit": pipe.checkpoint.commit,
            "backend": pipe.runtime.backend,
            "load_seconds": round(loaded - started, 3),
            "total_seconds": round(time.perf_counter() - started, 3),
            "sounds": reports,
            "unchanged": unchanged,
            "failures": failures.found,
        }
        print_json(command, document)
    for report in reports if session.play else ():
        play_file(report["file"])
    failures.end()


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        say("smg:", text, error=True)


def _report(sound, file: str, image: str | None, original: str | None) -> dict:
    from ..audio.files import same_samples

    options = sound.options.to_dict()
    del options["num"]
    identical = {} if original is None else {"identical": same_samples(file, original)}
    return options | {
        "file": file,
        "image": image,
        "seconds": round(sound.seconds, 6),
        "sample_rate": sound.rate,
        "seed": sound.seed,
        "score": None if sound.score is None else round(float(sound.score), 4),
        "seconds_taken": round(sound.seconds_taken, 3),
        "real_time_factor": round(sound.seconds_taken / sound.seconds, 4),
        "warnings": list(sound.warnings),
        **identical,
    }


def _line(report: dict) -> str:
    speed = 1 / max(report["real_time_factor"], 1e-4)
    score = "" if report["score"] is None else f"  score {report['score']:.3f}"
    same = {True: "  identical", False: "  not identical"}.get(report.get("identical"), "")
    return (
        f"{report['file']}  {report['seconds']:.2f} s  seed {report['seed']}  "
        f"{report['seconds_taken']:.2f} s ({speed:.3g}x real time){score}{same}"
    )
