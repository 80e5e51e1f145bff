"""What happens in a session, numbered, for pages that listen.

A page asks for the events after the last one that it saw, so that it misses none while its connection is down. Numbers
begin with the time at which the server started: after a restart they go on above those of before. A page that was away
for longer than the log reaches reads the state anew, which the event ``reset`` tells it.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator

from medsyn2.server.problems import JSON

KEPT = 500
"""Events: those of several jobs with previews."""
BEAT_S = 15.0
"""Between signs of life, without which a proxy or a sleeping tab ends a connection."""


class Events:
    """The log of a session; it belongs to the loop of the server."""

    def __init__(self) -> None:
        self.last = int(time.time() * 1000)
        self._log: deque[tuple[int, bytes]] = deque(maxlen=KEPT)
        self._news = asyncio.Event()
        self._is_closed = False

    def tell(self, name: str, content: JSON) -> None:
        """Add an event and wake the listeners."""
        self.last += 1
        text = f"id: {self.last}\nevent: {name}\ndata: {json.dumps(content)}\n\n"
        self._log.append((self.last, text.encode()))
        self._wake()

    def close(self) -> None:
        """End every stream, so that the server can stop."""
        self._is_closed = True
        self._wake()

    async def stream(self, after: int | None) -> AsyncIterator[bytes]:
        """Yield the events after a number, in the format of server-sent events; None is those from now on."""
        seen = self.last if after is None else after
        first = self._log[0][0] if self._log else self.last + 1
        if seen > self.last or seen < first - 1:
            seen = self.last
            yield f"id: {seen}\nevent: reset\ndata: {{}}\n\n".encode()
        else:
            yield b": listening\n\n"
        while not self._is_closed:
            news = self._news
            for number, text in list(self._log):
                if number > seen:
                    seen = number
                    yield text
            try:
                async with asyncio.timeout(BEAT_S):
                    await news.wait()
            except TimeoutError:
                yield b": alive\n\n"

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
