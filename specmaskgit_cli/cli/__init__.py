"""The command line. Here: the entry point and what a user sees when something fails; the commands are in `app`."""

from __future__ import annotations

import os
import re
import sys

from ..terminal import say


def main(args: list[str] | None = None) -> None:
    """Run `smg` and exit: 0 done, 1 failed, 2 used wrongly, 130 interrupted, 129 or 143 ended by SIGHUP or SIGTERM.

    Every failure is one line on standard error. SMG_DEBUG=1 shows tracebacks instead.
    """
    _mend_streams()
    _end_in_order()
    sys.exit(run(sys.argv[1:] if args is None else args))


def _mend_streams() -> None:
    """Make the standard streams usable where they are closed, or cannot encode what a file name or a prompt holds."""
    for number in range(3):  # in the place of a closed stream, the next file that is opened would be written to
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115 (open until the end)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        if reconfigure := getattr(getattr(sys, name), "reconfigure", None):
            reconfigure(errors="backslashreplace")


def _end_in_order() -> None:
    """Make the signals that ask a program to end do so as Ctrl-C does, so that no temporary file is left."""
    import signal

    def end(number, frame):
        signal.signal(number, signal.SIG_IGN)  # a second one would interrupt what cleans up
        sys.exit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        # What was set by who started this stays: nohup has it ignore SIGHUP.
        if (number := getattr(signal, name, None)) and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, end)


def run(args: list[str]) -> int:
    """Run a command line and return its exit code, as `main` has them."""
    if args == ["--version"]:  # needs nothing that takes time to import
        from .. import __version__

        say(f"smg {__version__}")
        return 0
    debug = os.environ.get("SMG_DEBUG", "0") not in ("", "0")
    try:
        from .app import application

        # Outside of its standalone mode Typer leaves errors to us; only exit codes are returned.
        return application(args)(args, prog_name="smg", standalone_mode=False) or 0
    except KeyboardInterrupt:
        return 130
    except SystemExit:
        raise
    except BaseException as error:  # as a panic of a library in Rust is no Exception
        if debug:
            raise
        return _report(error)


def _report(error: BaseException) -> int:
    from ..errors import SmgError

    if isinstance(error, SmgError):
        message, code = str(error), error.exit_code
    elif hasattr(error, "format_message"):  # Typer's own, whose class moved between modules over its versions
        message, code = error.format_message(), error.exit_code
        if type(error).__name__ == "NoArgsIsHelpError":
            say(message, error=True, lines=True)
            return code
        if re.match("-[^-]", getattr(error, "option_name", "")):
            message += "; put -- before a text that begins with -"
        if context := getattr(error, "ctx", None):
            message += f" (see {context.command_path} --help)"
    elif isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the interpreter complains again when it exits
        return 1
    elif isinstance(error, MemoryError):
        message, code = "out of memory; try fewer --seconds, --num or --candidates", 1
    elif isinstance(error, OSError) and error.strerror:  # of the system, such as a full disk behind standard output
        message = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        code = 1
    elif isinstance(error, RuntimeError) and "home directory" in str(error):  # as pathlib says, in a library of others
        message, code = "there is no home directory; set HOME to one", 1
    else:
        message = f"{type(error).__name__}: {error} (this is a bug; SMG_DEBUG=1 shows where)"
        code = 1
    say("smg: error:", " ".join(message.split()), error=True)
    return code
