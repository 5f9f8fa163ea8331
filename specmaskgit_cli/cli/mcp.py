"""`smg mcp`: the tasks as tools for agents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import SmgError, UsageError
from . import common
from .serve import AllowHost, Deadline, Host, Port, Token, answer_requests, open_service


def mcp(
    folder: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the sounds; made if it is not there.")] = (
        Path("smg-sounds")
    ),
    http: Annotated[bool, typer.Option("--http", help="Over HTTP at /mcp, instead of standard input and output.")] = (
        False
    ),
    host: Host = "127.0.0.1",
    port: Port = 7860,
    token: Token = None,
    allow_host: AllowHost = [],  # noqa: B006 (never changed)
    deadline: Deadline = 300.0,
    model: common.Model = None,
    vocoder: common.Vocoder = None,
    backend: common.Backend = "auto",
    device: common.Device = "cpu",
    threads: common.Threads = None,
    as_json: common.AsJson = False,
    quiet: common.Quiet = False,
) -> None:
    """Give agents the tasks as tools, by the Model Context Protocol; their sounds are files in one folder.

    Example: smg mcp --folder sounds
    """
    try:
        from ..server.agents import agent_server
    except ImportError:
        raise SmgError("agents need more packages: pip install '.[mcp]' in a checkout of smg") from None
    from ..server.folder import Folder

    opened = {"deadline": deadline, "model": model, "vocoder": vocoder, "backend": backend, "device": device}
    opened |= {"threads": threads, "quiet": quiet}
    if as_json and not http:
        raise UsageError("--json and the protocol both need standard output; give --http")
    place = Folder(folder)
    if http:
        answer_requests(
            "mcp", [place.path], host=host, port=port, token=token, allow_host=allow_host, as_json=as_json, path="mcp",
            agents=lambda service: agent_server(service, place), **opened,
        )  # fmt: skip
    else:
        import asyncio

        from ..server.agents import over_stdio

        service = open_service([place.path], **opened)
        try:
            asyncio.run(over_stdio(agent_server(service, place)))
        finally:
            service.close()
