"""How the commands that make sounds run: their tasks to files, one after the other, and the report of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from ..errors import UsageError
from ..terminal import say
from .output_files import Targets
from .player import play as play_file
from .progress import progress_bar
from .report import Failures, print_json


def make_sounds(
    command: str,
    tasks: Sequence,
    targets: Targets,
    *,
    finish,
    model: str | None,
    vocoder: str | None,
    backend: str,
    device: str,
    threads: int | None,
    play: bool,
    as_json: bool,
    quiet: bool,
    label: str,
    original: str | None = None,
) -> None:
    """Run tasks from their options to their files and their report.

    Args:
        tasks: a SamplingOptions each, of one type; where one of several fails the others go on.
        finish: an OutputOptions.
        play: whether to play the files once all are written.
        label: of the progress bar.
        original: a file that should come out the same; the report says whether it did.

    Raises:
        SmgError: a file that cannot be written or would replace one that is read, or what a single task raises, or
            that some of several have failed.
    """
    from ..sounds.record import check_size
    from ..tasks import task_of

    started = time.perf_counter()
    to_stdout = "-" in targets.all_files
    if as_json and to_stdout:
        raise UsageError("--json and -o - both need standard output; give the sound a file name")
    if play and to_stdout:
        raise UsageError("--play needs a file to play; give the sound a file name instead of -")
    for options in tasks:
        finish.check(options)
        if finish.metadata:
            check_size(options)
    task = task_of(tasks[0])
    edits, paths = task.edits, [task.path(options) for options in tasks]
    read = {"input sound" if edits else "--like sound": list(filter(None, paths))}
    read |= {"replayed sound": [original] if original else []}
    reports, unchanged, failures = [], [], Failures(len(tasks))
    with targets.checked(read, finish):
        from ..pipeline import load

        with progress_bar("downloading", quiet) as progress:
            pipe = load(model, backend, device, threads, vocoder, progress)
        loaded = time.perf_counter()
        for index, (options, files, images) in enumerate(zip(tasks, targets.files, targets.images, strict=True), 1):
            name = options.input if edits else options.prompt
            about = {"input" if edits else "prompt": name}
            several = f"{label} {index} of {len(tasks)}" if len(tasks) > 1 else label
            with failures.catch(name, **about):
                with progress_bar(several, quiet) as progress:
                    sounds = pipe.make(options, progress)
                # An edit may find nothing to do, and then writes nothing.
                made = [
                    (sound.save(file, image, finish), file, image)
                    for sound, file, image in zip(sounds, files, images, strict=False)
                ]
                if not sounds:
                    unchanged.append(name)
                    _say(quiet, f"{name} already has what the model could add; nothing was written")
                for warning in dict.fromkeys(warning for sound, *_ in made for warning in sound.warnings):
                    _say(quiet, f"warning: {name}: {warning}" if edits and len(tasks) > 1 else f"warning: {warning}")
                for result in made:
                    reports.append(_report(*result, original))
                    if not (as_json or quiet):
                        say(_line(reports[-1]), error=to_stdout)
    if as_json:
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
    for report in reports if play else ():
        play_file(report["file"])
    failures.end()


def for_each(options, inputs: Sequence[str]) -> list:
    """The same edit for each of some files."""
    return [replace(options, input=name) for name in inputs]


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        say("smg:", text, error=True)


def _report(sound, file: str, image: str | None, original: str | None) -> dict:
    from ..audio.files import same_samples

    options = sound.options.to_dict()
    del options["num"]
    seconds = len(sound.samples) / sound.rate
    identical = {} if original is None else {"identical": same_samples(file, original)}
    return options | {
        "file": file,
        "image": image,
        "seconds": round(seconds, 6),
        "sample_rate": sound.rate,
        "seed": sound.seed,
        "score": None if sound.score is None else round(float(sound.score), 4),
        "seconds_taken": round(sound.seconds_taken, 3),
        "real_time_factor": round(sound.seconds_taken / seconds, 4),
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
