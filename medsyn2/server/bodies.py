"""The bodies of requests, bounded in bytes and in time, and of the one type that a route takes.

Forms are refused: a form of another site may send them without asking. The size is counted as it arrives, whatever the
header claims.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.requests import ClientDisconnect, Request

from medsyn2.server.problems import Refusal

JSON_TYPE, BYTES_TYPE = "application/json", "application/octet-stream"
MAX_JSON = 1 << 20
"""Bytes of a JSON body: two texts of the longest report, with every character escaped."""
PATIENCE_S = 30.0
"""For a body that is not a file, over loopback."""


async def read_bytes(request: Request, media_type: str, limit: int) -> bytes:
    """Read a whole body.

    Raises:
        Refusal: If it is too long, too slow or of another type.
    """
    parts = bytearray()
    async for part in _parts(request, media_type, limit, PATIENCE_S):
        parts += part
    return bytes(parts)


async def save_bytes(request: Request, path: Path, limit: int, patience_s: float) -> None:
    """Write a body into a file, which is removed if the body is refused.

    Raises:
        Refusal: If it is too long, too slow or of another type, or the disk is full.
    """
    try:
        with path.open("wb") as file:
            async for part in _parts(request, BYTES_TYPE, limit, patience_s):
                await asyncio.to_thread(file.write, part)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise Refusal(
            507,
            "the file cannot be kept: the disk of the session is full or not writable.",
            code="session-full",
            remedy="remove results, or start the page with --session on another disk.",
        ) from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise


async def _parts(request: Request, media_type: str, limit: int, patience_s: float) -> AsyncIterator[bytes]:
    found = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found != media_type:
        raise Refusal(
            415,
            f"expected a body of {media_type}, got {found[:60] or 'none'}.",
            code="body-type",
            remedy="load the page again, so that page and server are of one version.",
        )
    size = 0
    try:
        async with asyncio.timeout(patience_s):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise _too_long(limit)
                yield part
    except TimeoutError:
        raise Refusal(
            408, "the body did not arrive in time.", code="body-slow", remedy="try again with a smaller file."
        ) from None
    except ClientDisconnect:
        raise Refusal(400, "the body broke off.", code="body-cut", remedy="try again.") from None


def _too_long(limit: int) -> Refusal:
    return Refusal(
        413,
        f"expected at most {limit:,} bytes, got more.",
        code="body-too-long",
        remedy="give a smaller file: a CT of one chest, as int16 or compressed.",
    )
