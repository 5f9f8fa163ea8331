"""The server as an ASGI application: the API and the page over it, behind the guard."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ..errors import SmgError
from .api import Api, error_answer
from .faults import STATUS, Fault, fault_of
from .guard import Guard
from .service import Service

if TYPE_CHECKING:
    from mcp.server import Server

MAX_SESSIONS = 100  # of agents
STATIC = Path(__file__).parent / "static"


def make_app(
    service: Service, names: tuple[str, ...] = (), token: str | None = None, agents: Server | None = None
) -> Starlette:
    """The page and the API over a service, which is closed when the application ends.

    Args:
        names: host names it may be reached by, beside localhost and addresses.
        token: what every request has to have; None where the server is open to whoever reaches it.
        agents: an MCP server over the same service, to be had at /mcp.
    """
    manager = None
    if agents:
        from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager

        manager = StreamableHTTPSessionManager(agents, max_sessions=MAX_SESSIONS)

    @contextlib.asynccontextmanager
    async def lifespan(app):
        async with manager.run() if manager else contextlib.nullcontext():
            yield
        await run_in_threadpool(service.close)

    routes = [
        Route("/", lambda request: FileResponse(STATIC / "index.html")),
        Mount("/static", StaticFiles(directory=STATIC)),
        *Api(service).routes,
    ]
    if manager:
        routes.append(Route("/mcp", StreamableHTTPASGIApp(manager)))
    allowed = {"localhost", *(name.lower() for name in names)}
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, names=allowed, token=token)],
        exception_handlers=dict.fromkeys((SmgError, HTTPException, OSError, ClientDisconnect, Exception), _refused),
        lifespan=lifespan,
    )


def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, ClientDisconnect):  # nobody is there to read it
        return Response(status_code=400)
    if isinstance(error, HTTPException):  # of the routing
        types = {status: type for type, status in STATUS.items()}
        return error_answer(Fault(types.get(error.status_code, "invalid"), error.detail))
    return error_answer(fault_of(error))
