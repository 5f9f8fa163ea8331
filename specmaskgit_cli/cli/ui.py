"""`smg ui`: the tasks on a local web page."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import sys
from typing import Annotated

import typer

from ..errors import SmgError
from ..terminal import say
from . import common
from .progress import progress_bar
from .report import print_json


def ui(
    host: Annotated[str, typer.Option(help="Address to listen at; by default only this computer can connect.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 takes a free one.")] = 7860,
    model: common.Model = None,
    vocoder: common.Vocoder = None,
    backend: common.Backend = "auto",
    device: common.Device = "cpu",
    threads: common.Threads = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page in a browser.")] = False,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Generate and edit sounds on a web page, served by this computer.

    Example: smg ui
    """
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError:
        raise SmgError("the page needs more packages; pip install 'specmaskgit-cli[ui]'") from None
    from ..pipeline import load
    from ..server.app import make_app
    from ..server.connections import Connection

    listener, loopback = _listen(host, port)
    with listener:
        with progress_bar("downloading", quiet) as progress:
            pipe = load(model, backend, device, threads, vocoder, progress)
        if not loopback:
            warning = f"everyone who can reach {host} can use this page, without a password or encryption"
            say("smg: warning:", warning, error=True)
        url = _url(listener)
        if as_json:
            print_json("ui", {"url": url, "model": pipe.config.name, "model_hash": pipe.checkpoint.hash})
        elif not quiet:
            say(f"{url}  (Ctrl+C ends it)")
        config = uvicorn.Config(
            make_app(pipe, (host, socket.gethostname())), log_level="warning", access_log=False, ws="none",
            http=Connection, server_header=False, timeout_graceful_shutdown=3, limit_concurrency=100,
        )  # fmt: skip
        if not no_browser and _has_screen():
            import webbrowser

            webbrowser.open(url)  # already answered: the socket listens
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])


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
