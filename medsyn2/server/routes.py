"""The routes of the page's state: volumes, masks, jobs, events and results."""

from dataclasses import asdict
from pathlib import Path

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from medsyn2.reports.text import clean_text
from medsyn2.server.bodies import BYTES_TYPE, JSON_TYPE, MAX_JSON, read_bytes
from medsyn2.server.orders import MAX_WORDS, JobOrder, read_body
from medsyn2.server.page import Page
from medsyn2.server.problems import Refusal, missing
from medsyn2.server.runs import decode_runs, max_bytes
from medsyn2.server.security import is_loopback
from medsyn2.server.voxels import RUNS, VOXELS, add_mask, open_voxels

STATIC = Path(__file__).with_name("static")
_STREAM = "text/event-stream"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": JSON_TYPE,
    ".svg": "image/svg+xml",
    ".png": "image/png",
}


def page_of(request: Request) -> Page:
    """Return what the routes work on."""
    page: Page = request.app.state.page
    return page


def static_file(name: str) -> FileResponse:
    """Return a file of the page, by the names that there are.

    Raises:
        Refusal: If there is none of this name.
    """
    files = {path.name: path for path in STATIC.glob("*") if path.suffix in _TYPES}
    if name not in files:
        raise missing("file of the page")
    return FileResponse(files[name], media_type=_TYPES[files[name].suffix])


async def get_page(request: Request) -> Response:
    """Return the page."""
    return static_file("index.html")


async def get_static(request: Request) -> Response:
    """Return a file of the page."""
    return static_file(request.path_params["name"])


async def get_state(request: Request) -> Response:
    """Return the state."""
    return JSONResponse(await anyio.to_thread.run_sync(page_of(request).state))


async def get_header(request: Request) -> Response:
    """Return the header of a volume."""
    return JSONResponse(page_of(request).session.read("volumes", request.path_params["id"]))


async def get_volume(request: Request) -> Response:
    """Return the voxels of a volume from the disk: as they lie there, compressed, or as numbers on this machine."""
    path = page_of(request).session.find("volumes", request.path_params["id"]) / VOXELS
    if request.method == "HEAD" or request.client is None or not is_loopback(request.client.host):
        return FileResponse(path, media_type=BYTES_TYPE, headers={"Content-Encoding": "gzip"})
    try:
        parts = await anyio.to_thread.run_sync(open_voxels, path)
    except FileNotFoundError:
        raise missing("volume") from None  # a preview that the next one has replaced meanwhile
    return StreamingResponse(parts, media_type=BYTES_TYPE)


async def get_mask(request: Request) -> Response:
    """Return the runs of a mask."""
    return FileResponse(page_of(request).session.find("masks", request.path_params["id"]) / RUNS, media_type=BYTES_TYPE)


async def get_mask_record(request: Request) -> Response:
    """Return the name, the words and the volume of a mask."""
    return JSONResponse(page_of(request).session.read("masks", request.path_params["id"]))


async def post_mask(request: Request) -> Response:
    """Keep a mask that was drawn."""
    page = page_of(request)
    content = await read_bytes(request, BYTES_TYPE, max_bytes(page.grid.shape))
    name, words = text_of(request, "name"), text_of(request, "words")

    def keep() -> dict[str, object]:
        mask = decode_runs(content, page.grid.shape)
        return add_mask(page.session, mask, page.grid, name or words or "mask", words)

    return JSONResponse(await anyio.to_thread.run_sync(keep), 201)


async def post_job(request: Request) -> Response:
    """Begin a job, or let it wait."""
    page = page_of(request)
    order = read_body(JobOrder, await read_bytes(request, JSON_TYPE, MAX_JSON))
    for identifier in (order.mask, order.region, order.remove):
        if identifier is not None:
            page.session.read("masks", identifier)
    if order.source is not None and not (page.session.root / "items" / order.source).is_dir():
        page.session.find("sources", order.source)
    job = page.jobs.submit({**order.model_dump(exclude={"sampling"}), "sampling": order.sampling.changes()})
    return JSONResponse({"job": asdict(job)}, 202)


async def delete_job(request: Request) -> Response:
    """Cancel a job."""
    return JSONResponse({"job": asdict(page_of(request).jobs.cancel(request.path_params["id"]))})


async def get_events(request: Request) -> Response:
    """Tell what happens, from the event after a number on."""
    if request.method == "HEAD":
        return Response(media_type=_STREAM)
    events = page_of(request).events
    after = request.query_params.get("after", request.headers.get("last-event-id", ""))
    number = int(after) if after.isascii() and after.isdigit() and len(after) < 16 else None
    return StreamingResponse(events.stream(number), media_type=_STREAM)


async def get_item(request: Request) -> Response:
    """Return a result."""
    return JSONResponse(page_of(request).session.read("items", request.path_params["id"]))


async def post_check(request: Request) -> Response:
    """Let the segmenter look at a result."""
    page, identifier = page_of(request), request.path_params["id"]
    page.session.read("items", identifier)
    job = page.jobs.submit({"kind": "check", "item": identifier})
    return JSONResponse({"job": asdict(job)}, 202)


async def delete_item(request: Request) -> Response:
    """Forget a result and its files."""
    page, identifier = page_of(request), request.path_params["id"]
    item = page.session.read("items", identifier)

    def remove() -> None:
        page.session.remove("items", identifier)
        page.session.remove("volumes", item["volume"])

    await anyio.to_thread.run_sync(remove)
    page.events.tell("removed", {"id": identifier})
    return JSONResponse({"id": identifier})


def text_of(request: Request, name: str) -> str:
    """Return a text of the query, in one line.

    Raises:
        Refusal: If it is too long.
    """
    text = clean_text(request.query_params.get(name, ""))
    if len(text) > MAX_WORDS:
        raise Refusal(
            400,
            f"{name}: expected at most {MAX_WORDS} characters, got {len(text)}.",
            code="request-invalid",
            remedy="give a shorter one.",
        )
    return text


ROUTES = [
    Route("/", get_page),
    Route("/static/{name}", get_static),
    Route("/api/state", get_state),
    Route("/api/volumes/{id}/header", get_header),
    Route("/api/volumes/{id}", get_volume),
    Route("/api/masks", post_mask, methods=["POST"]),
    Route("/api/masks/{id}/record", get_mask_record),
    Route("/api/masks/{id}", get_mask),
    Route("/api/jobs", post_job, methods=["POST"]),
    Route("/api/jobs/{id}", delete_job, methods=["DELETE"]),
    Route("/api/events", get_events),
    Route("/api/items/{id}/check", post_check, methods=["POST"]),
    Route("/api/items/{id}", get_item),
    Route("/api/items/{id}", delete_item, methods=["DELETE"]),
]
