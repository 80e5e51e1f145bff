"""The routes of files and texts: what is opened, taken from the shelf, counted and taken home."""

import shutil
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from medsyn2.server.bodies import JSON_TYPE, MAX_JSON, read_bytes, save_bytes
from medsyn2.server.orders import ItemFormat, MaskFormat, TextOrder, format_of, read_body
from medsyn2.server.page import MAX_UPLOAD_BYTES
from medsyn2.server.problems import Refusal
from medsyn2.server.routes import page_of, text_of
from medsyn2.server.session import item_file
from medsyn2.server.uploads import suffix_of, title_of

UPLOAD_S = 600.0
"""For an upload: `MAX_UPLOAD_BYTES` at 2 MB/s, through a slow tunnel."""
_TYPES = {".png": "image/png", ".zip": "application/zip"}


async def post_open(request: Request) -> Response:
    """Open a file: a real CT, or masks."""
    page, name = page_of(request), text_of(request, "name")
    use, of = request.query_params.get("as", ""), request.query_params.get("of")
    if use not in ("ct", "mask"):
        raise Refusal(
            400, "as: expected ct or mask, got another.", code="request-invalid", remedy="load the page again."
        )
    if of is not None:
        page.session.find("sources", of)
    path = page.session.work(suffix_of(name, "ct" if use == "ct" else "mask"))
    await save_bytes(request, path, MAX_UPLOAD_BYTES, UPLOAD_S)
    try:
        if use == "ct":
            header = await page.helpers.ask("open_ct", path=str(path), name=title_of(name))
            return JSONResponse({"volumes": [header], "masks": []}, 201)
        masks = await page.helpers.ask("open_masks", path=str(path), name=title_of(name), of=of)
        return JSONResponse({"volumes": [], "masks": masks}, 201)
    finally:
        path.unlink(missing_ok=True)


async def get_template(request: Request) -> Response:
    """Return the header of the model's template on its grid, or null."""
    return JSONResponse(await page_of(request).helpers.ask("template"))


async def get_shelf(request: Request) -> Response:
    """Return the masks of the shelf."""
    return JSONResponse(await page_of(request).helpers.ask("list_shelf"))


async def post_shelf(request: Request) -> Response:
    """Take a mask from the shelf."""
    return JSONResponse(await page_of(request).helpers.ask("take", identifier=request.path_params["id"]), 201)


async def get_examples(request: Request) -> Response:
    """Return sentences to start from."""
    return JSONResponse(await page_of(request).helpers.ask("list_examples"))


async def post_text(request: Request) -> Response:
    """Return how the model reads a report."""
    order = read_body(TextOrder, await read_bytes(request, JSON_TYPE, MAX_JSON))
    return JSONResponse(await page_of(request).helpers.ask("text", **order.model_dump()))


async def get_item_file(request: Request) -> Response:
    """Return a result as a file."""
    page, identifier = page_of(request), request.path_params["id"]
    page.session.read("items", identifier)
    kind = format_of(request.query_params.get("format", ""), ItemFormat)
    if kind == "nii.gz":
        return _attach(item_file(page.session, identifier))
    return _attach_once(await page.helpers.ask("write_item", identifier=identifier, kind=kind))


async def get_mask_file(request: Request) -> Response:
    """Return a mask as a file."""
    page, identifier = page_of(request), request.path_params["id"]
    page.session.read("masks", identifier)
    kind = format_of(request.query_params.get("format", ""), MaskFormat)
    return _attach_once(await page.helpers.ask("write_mask", identifier=identifier, kind=kind))


async def delete_volume(request: Request) -> Response:
    """Forget a real CT and its file; results that were made from it stay."""
    page, identifier = page_of(request), request.path_params["id"]
    page.session.find("sources", identifier)

    def remove() -> None:
        page.session.remove("sources", identifier)
        page.session.remove("volumes", identifier)

    await anyio.to_thread.run_sync(remove)
    page.events.tell("removed", {"id": identifier})
    return JSONResponse({"id": identifier})


async def delete_mask(request: Request) -> Response:
    """Forget a mask."""
    page, identifier = page_of(request), request.path_params["id"]
    page.session.read("masks", identifier)
    page.session.remove("masks", identifier)
    return JSONResponse({"id": identifier})


def _attach_once(path: str) -> FileResponse:
    """Return a file, whose folder is removed when it was sent."""
    return _attach(Path(path), background=BackgroundTask(shutil.rmtree, Path(path).parent, ignore_errors=True))


def _attach(path: Path, **more: Any) -> FileResponse:
    media_type = _TYPES.get(path.suffix, "application/octet-stream")
    return FileResponse(path, media_type=media_type, filename=path.name, **more)


ROUTES = [
    Route("/api/open", post_open, methods=["POST"]),
    Route("/api/template", get_template),
    Route("/api/shelf", get_shelf),
    Route("/api/shelf/{id}", post_shelf, methods=["POST"]),
    Route("/api/examples", get_examples),
    Route("/api/text", post_text, methods=["POST"]),
    Route("/api/items/{id}/file", get_item_file),
    Route("/api/masks/{id}/file", get_mask_file),
    Route("/api/volumes/{id}", delete_volume, methods=["DELETE"]),
    Route("/api/masks/{id}", delete_mask, methods=["DELETE"]),
]
