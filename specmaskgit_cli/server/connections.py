"""Connections of the server: those that ask for nothing are closed, so that they take no place from others."""

from __future__ import annotations

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 15.0  # until the head of the first request has arrived


class Connection(H11Protocol):
    """One that is closed where its first request does not come in time; later ones uvicorn itself waits for."""

    def connection_made(self, transport) -> None:
        super().connection_made(transport)
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._close_unused)

    def connection_lost(self, error) -> None:
        self._deadline.cancel()
        super().connection_lost(error)

    def _close_unused(self) -> None:
        if self.cycle is None:  # no request has begun
            self.transport.close()
