"""Where results go: their names, and that they replace nothing that is read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import SmgError, UsageError
from ..options import SamplingOptions


@dataclass(frozen=True)
class OutputFiles:
    """The files of some tasks: for each the names of its sounds and of their images, None where none are drawn.

    `folders` are those among their directories that are made if they are not there.
    """

    files: list[list[str]]
    images: list[list[str | None]]
    folders: tuple[str, ...] = ()

    @classmethod
    def in_turn(cls, tasks: Sequence[SamplingOptions], output: str, image: str | None) -> OutputFiles:
        """For the sounds of tasks, numbered through, each followed by its layers where they are wanted too.

        Raises:
            UsageError: as `numbered` does, or stems beside standard output.
        """
        from ..sounds.names import with_stems

        if output == "-" and any(task.stems_apart for task in tasks):
            raise UsageError("-o - holds one sound, and stems are several; give a file name")

        def named(name: str) -> list[list]:
            names = iter(numbered(name, sum(task.num for task in tasks)))
            return [[each for _ in range(task.num) for each in with_stems(next(names), task)] for task in tasks]

        files = named(output)
        return cls(files, named(image) if image else [[None] * len(names) for names in files])

    @classmethod
    def of_inputs(
        cls, inputs: Sequence[str], num: int, output: str | None, image: str | None, done: str
    ) -> OutputFiles:
        """For `num` results of each input.

        Args:
            output: the file for one input; for several a directory, and for one too where there is such a directory or
                the name ends in a slash: names in it are those of the inputs. None: beside them, as IN.`done`.wav. A
                stream is called "sound".
            image: in the same way, with names that end in .png.

        Raises:
            UsageError: one file is named for several inputs, or for several sounds -.
        """
        from ..audio.encoding import FORMATS
        from ..audio.inputs import is_stream

        inputs = ["sound" if is_stream(name) else name for name in inputs]
        paths = [Path(name) if Path(name).stem.strip(".") else Path(name) / "sound" for name in inputs]  # of / or ..
        names = [str(path.with_name(f"{path.stem}.{done}.wav")) for path in paths] if output is None else [output]
        pictures, folders = [image] * len(paths), []
        if output and _is_folder("-o", output, len(paths), FORMATS):
            kept = [path.name if path.suffix[1:].lower() in FORMATS else f"{path.stem}.wav" for path in paths]
            names = [str(Path(output) / name) for name in kept]
            folders.append(output)
        if image and _is_folder("--image", image, len(paths), ("png",)):
            pictures = [str(Path(image) / f"{path.stem}.png") for path in paths]
            folders.append(image)
        return cls(
            [numbered(name, num) for name in names],
            [numbered(name, num) if name else [None] * num for name in pictures],
            tuple(folders),
        )

    @property
    def all_files(self) -> list[str]:
        return [name for names in self.files for name in names]

    @contextlib.contextmanager
    def checked(self, read: dict[str, Sequence[str]], output) -> Iterator[None]:
        """Make the directories and refuse before any work what could not be written, is named twice, or would replace
        what is still needed; after the block those directories are gone in which nothing came to lie.

        Args:
            read: the files that are read, by what they are called.
            output: an OutputOptions.

        Raises:
            SmgError: any of that.
        """
        made = []
        try:
            for folder in dict.fromkeys(self.folders):
                if not os.path.isdir(folder):
                    _make(folder)
                    made.append(folder)
            self._check(read, output)
            yield
        finally:
            for folder in made:
                with contextlib.suppress(OSError):
                    os.rmdir(folder)

    def _check(self, read: dict[str, Sequence[str]], output) -> None:
        from ..audio.files import check_output, check_writable

        pictures = [name for names in self.images for name in names if name]
        for name in self.all_files:
            check_output(name, bits=output.bits, rate=output.rate)
        for name in pictures:
            if Path(name).suffix.lower() != ".png":
                raise UsageError(f"--image is {name!r}; end the name in .png")
            check_writable(name)
        needed = {_identity(path): what for what, paths in read.items() for path in paths}
        seen = set()
        for name in [*self.all_files, *pictures]:
            if name == "-":
                continue
            if (identity := _identity(name)) in needed:
                raise SmgError(f"{name} is the {needed[identity]} itself; choose another output")
            if identity in seen:
                raise UsageError(f"two results would be named {name}; edit inputs of one name one at a time")
            seen.add(identity)


def numbered(name: str, num: int) -> list[str]:
    """File names for `num` results: `name` itself for one, else out.wav -> out-1.wav, out-2.wav...

    Raises:
        UsageError: several results cannot share standard output.
    """
    if num == 1:
        return [name]
    if name == "-":
        raise UsageError(f"-o - holds one sound, not {num}; give a file name")
    if not (path := Path(name)).name:
        raise UsageError(f"{name!r} cannot be the name of a file; give another")
    return [str(path.with_name(f"{path.stem}-{index}{path.suffix}")) for index in range(1, num + 1)]


def same_file(name: str, path: str) -> bool:
    return _identity(name) == _identity(path)


def _identity(name: str) -> object:
    """The same for all names of a file, through links too."""
    try:
        found = os.stat(name)
    except (OSError, ValueError):
        with contextlib.suppress(ValueError):
            return os.path.realpath(name)
        return name
    return found.st_dev, found.st_ino


def _is_folder(option: str, name: str, count: int, extensions: Sequence[str]) -> bool:
    """Whether a name is that of a directory for `count` results."""
    if name.endswith(("/", os.sep)) or os.path.isdir(name):
        return True
    if count > 1 and (name == "-" or Path(name).suffix[1:].lower() in extensions):
        raise UsageError(f"{option} is {name!r}, one file for {count} inputs; name a directory")
    return count > 1


def _make(folder: str) -> None:
    try:
        os.mkdir(folder)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SmgError(f"cannot make the directory {folder}: {reason}; choose another place") from None
