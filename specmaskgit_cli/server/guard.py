"""Who may ask the server: programs of those who know its token, and its own page; and what browsers do with answers."""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response

from .api import error_answer
from .faults import Fault

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
OPEN = ("/v1/health",)  # tells nothing that needs the token


class Guard:
    """Lets programs and the page itself make requests, but no page of others, and browsers load nothing from elsewhere.

    Another site's page could reach a server on this computer by a name of its own that leads here (DNS rebinding), so
    the host has to be an address or a known name; or by sending a form, so the origin has to be the same host; or by
    loading something to see whether this server runs, so what a browser says of the sender has to be this page.

    Where there is a token, requests have it as `Authorization: Bearer TOKEN`. A browser is given it once, as /?token=,
    and then has a cookie.
    """

    def __init__(self, app, names: set[str], token: str | None = None):
        self._app, self._names, self._token = app, names, token
        digest = hashlib.sha256((token or "").encode()).hexdigest()
        self._cookie = f"smg-{digest[:8]}", digest[8:]  # servers at other ports have cookies of their own

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
            app = _refusal("misdirected", f"the host {host!r} is not known here; use its address, or --allow-host")
        elif origin not in (None, f"http://{host}", f"https://{host}") or _foreign(scope, headers):
            app = _refusal("forbidden", "requests from other pages are refused")
        elif self._token is None or scope["path"] in OPEN:
            app = self._app
        elif scope["path"] == "/" and _same(_asked(scope).get("token", [""])[0], self._token):
            app = RedirectResponse("/", 303)  # to an address without the token
            app.set_cookie(*self._cookie, httponly=True, samesite="strict")
        elif self._trusted(headers):
            app = self._app
        else:
            app = _refusal(
                "unauthorized", "a token is needed, as the header Authorization: Bearer TOKEN or as /?token="
            )
            app.headers["WWW-Authenticate"] = "Bearer"
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

    def _trusted(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return _same(token.strip(), self._token)
        name, value = self._cookie
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        return name in cookies and _same(cookies[name].value, value)


def _asked(scope) -> dict[str, list[str]]:
    return parse_qs(scope["query_string"].decode("latin-1"))


def _same(given: str, secret: str | None) -> bool:
    return secret is not None and secrets.compare_digest(given.encode(), secret.encode())


def _foreign(scope, headers: Headers) -> bool:
    """Whether a browser says that another site's page made a request; a link to the page itself may be followed."""
    followed = scope["method"] == "GET" and scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
    return headers.get("sec-fetch-site") in ("cross-site", "same-site") and not followed


def _refusal(type: str, message: str) -> Response:
    return error_answer(Fault(type, message))
