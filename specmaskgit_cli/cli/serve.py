"""`smg serve` and `smg ui`: the model kept warm behind an HTTP API, and a web page over it."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import SmgError, UsageError
from ..terminal import say
from . import common
from .progress import progress_bar
from .report import print_json

if TYPE_CHECKING:
    import uvicorn
    from mcp.server import Server

    from ..server.service import Service

LEAST_TOKEN = 8  # characters


Host = Annotated[str, typer.Option(help="Address to listen at; by default only this computer can connect.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes a free one.")]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="SMG_TOKEN", show_envvar=False, metavar="TEXT",
        help="What requests have to know; $SMG_TOKEN, or with --host a new one, if not given.",
    ),
]  # fmt: skip
AllowHost = Annotated[
    list[str], typer.Option(metavar="NAME", help="Name it may be reached by, beside localhost. Repeatable.")
]
Deadline = Annotated[
    float, typer.Option(min=1, max=3600, metavar="SECONDS", help="Time after which a request is given up.")
]


def serve(
    host: Host = "127.0.0.1",
    port: Port = 7860,
    token: Token = None,
    allow_host: AllowHost = [],  # noqa: B006 (never changed)
    allow: Annotated[
        list[Path], typer.Option(metavar="FOLDER", help="Folder whose sounds requests may name. Repeatable.")
    ] = [],  # noqa: B006
    deadline: Deadline = 300.0,
    model: common.Model = None,
    vocoder: common.Vocoder = None,
    backend: common.Backend = "auto",
    device: common.Device = "cpu",
    threads: common.Threads = None,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Serve the tasks over HTTP, for programs and for a web page, with the model kept in memory.

    Example: smg serve
    """
    _serve("serve", **locals())


@wraps(serve, assigned=("__annotations__",))
def ui(**given) -> None:
    """Generate and edit sounds on a web page: smg serve, with the page opened in the browser.

    Example: smg ui
    """
    _serve("ui", **given)


def _serve(command: str, allow: list[Path], **given) -> None:
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise SmgError("the server needs more packages: pip install '.[server]' in a checkout of smg") from None
    for folder in allow:
        if not folder.is_dir():
            raise UsageError(f"--allow is {folder}, which is no directory; name one")
    answer_requests(command, allow, **given)


def open_service(
    folders: Sequence[Path], deadline: float, quiet: bool, model: str | None, vocoder: str | None, backend: str,
    device: str, threads: int | None,
) -> Service:  # fmt: skip
    """A service over a model that is loaded and warm."""
    from ..pipeline import load
    from ..server.service import Service

    with progress_bar("downloading", quiet) as progress:
        pipe = load(model, backend, device, threads, vocoder, progress)
    service = Service(pipe, folders, deadline)
    service.warm_up()
    return service


def answer_requests(
    command: str, folders: Sequence[Path], *, host: str, port: int, token: str | None, allow_host: list[str],
    as_json: bool, quiet: bool, path: str = "", agents: Callable[[Service], Server] | None = None, **given,
) -> None:  # fmt: skip
    """Serve over HTTP until a signal comes.

    Args:
        path: of what the printed address is to lead to.
        agents: makes of the service an MCP server, to be had at /mcp.
        given: what else `open_service` takes.
    """
    import uvicorn

    from ..server.app import make_app
    from ..server.connections import Connection

    listener, loopback = _listen(host, port)
    token = _token(token, loopback)
    with listener:
        service = open_service(folders, quiet=quiet, **given)
        pipe, url = service.pipe, _url(listener) + path
        page = url if token is None or path else f"{url}?token={token}"
        if as_json:
            document = {"url": url, "token": token, "model": pipe.config.name, "model_hash": pipe.checkpoint.hash}
            print_json(command, document)
        elif not quiet:
            say(f"{page}{f'  (token {token})' if token and path else ''}  (Ctrl+C ends it)")
        app = make_app(service, (host, *allow_host), token, agents and agents(service))
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, ws="none", http=Connection, server_header=False,
            timeout_graceful_shutdown=3, limit_concurrency=200,
        )  # fmt: skip
        if command == "ui" and _has_screen():
            import webbrowser

            webbrowser.open(page)  # already answered: the socket listens
        server = uvicorn.Server(config)
        with _ended_by_hangup(server), contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


@contextlib.contextmanager
def _ended_by_hangup(server: uvicorn.Server) -> Iterator[None]:
    """Let SIGHUP end the server in order, as SIGINT and SIGTERM do by themselves."""
    hangup = getattr(signal, "SIGHUP", None)
    if hangup is None or signal.getsignal(hangup) == signal.SIG_IGN:  # such as by nohup
        yield
        return
    came = []

    def end(number, frame) -> None:
        came.append(number)
        server.should_exit = True

    before = signal.signal(hangup, end)
    try:
        yield
    finally:
        signal.signal(hangup, before)
    for number in came:  # for the exit code
        signal.raise_signal(number)


def _token(given: str | None, loopback: bool) -> str | None:
    """What requests have to know: what was given, or a new one where other computers can connect."""
    if given is None:
        return None if loopback else secrets.token_urlsafe(24)
    if len(given) < LEAST_TOKEN or not (given.isascii() and given.isprintable()) or " " in given:
        raise UsageError(f"the token is too weak; use {LEAST_TOKEN} or more ASCII characters without blanks")
    return given


def _listen(host: str, port: int) -> tuple[socket.socket, bool]:
    """A listening socket, and whether it can be reached from this computer alone. Raises SmgError."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family), ipaddress.ip_address(address[0]).is_loopback
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SmgError(f"cannot listen at {host}, port {port}: {reason}; set others with --host, --port") from None


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "localhost"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _has_screen() -> bool:
    """Whether a browser has where to appear; on a terminal alone a text browser would take it over."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
