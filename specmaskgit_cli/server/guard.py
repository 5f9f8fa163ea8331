"""Who may ask the server: the page itself, and what the browser may do with the answers."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Guard:
    """Lets only the page itself make requests, and the browser load nothing from elsewhere.

    Another site's page could reach a server on this computer by a name of its own that leads here (DNS rebinding), so
    the host has to be an address or a known name; or by sending a form, so the origin has to be the same host; or by
    loading something to see whether this server runs, so what a browser says of the sender has to be this page.
    """

    def __init__(self, app, names: set[str]):
        self._app, self._names = app, names

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")

        async def with_headers(message):
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        if not self._known(host):
            app = error_answer(f"the host {host!r} is not this page's; use its address, or name it with --host", 421)
        elif origin not in (None, f"http://{host}", f"https://{host}") or _foreign(scope, headers):
            app = error_answer("requests from other pages are refused", 403)
        else:
            app = self._app
        await app(scope, receive, with_headers)

    def _known(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in self._names:
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _foreign(scope, headers: Headers) -> bool:
    """Whether a browser says that another site's page made a request; a link to the page itself may be followed."""
    followed = scope["method"] == "GET" and scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and not followed


def error_answer(line: str, status: int) -> Response:
    """A refusal as JSON, in one line."""
    return JSONResponse({"error": " ".join(line.split())}, status)
