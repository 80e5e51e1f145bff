"""The HTTP server: uvicorn on a socket that listens, until a signal.

At a signal the streams of events end first, so that no page keeps the server; then the job that runs is ended with the
worker, and the session stays.
"""

import socket
from collections.abc import Callable

import uvicorn

from medsyn2.errors import EnvironmentFault, reason
from medsyn2.server.security import Guard

_CONNECTIONS = 64
"""At once: a browser opens six to a host, and a few tabs are all there is."""
_END_S = 3


def serve(guard: Guard, listener: socket.socket, announce: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM, and let the signal end the process as it does elsewhere.

    Args:
        announce: Called when the server answers.
    """
    config = uvicorn.Config(
        guard,
        http="h11",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=_END_S,
    )
    _Server(config, guard, announce).run([listener])


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        EnvironmentFault: If the address or the port cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((address[0], port, *address[2:]))  # getaddrinfo takes 70000 for 4464
    except (OSError, OverflowError) as error:
        raise EnvironmentFault(
            f"cannot listen at {host}, port {port}: {reason(error)}.",
            code="port-taken",
            remedy="end the other server, or give another port: --port 0 takes a free one.",
        ) from error
    return found


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, guard: Guard, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._guard, self._announce = guard, announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._announce()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._guard.app.state.page.events.close()
        await super().shutdown(sockets)
