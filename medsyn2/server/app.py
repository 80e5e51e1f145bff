"""The application: routes behind the guard, errors as answers, and the processes that live as long as it does."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from medsyn2.errors import MedSyn2Error
from medsyn2.server.child import Child
from medsyn2.server.events import Events
from medsyn2.server.file_routes import ROUTES as FILE_ROUTES
from medsyn2.server.helping import Helpers
from medsyn2.server.jobs import Jobs
from medsyn2.server.model_facts import read_facts
from medsyn2.server.page import Page
from medsyn2.server.problems import describe_error
from medsyn2.server.routes import ROUTES
from medsyn2.server.security import Access, Guard
from medsyn2.server.session import Session

log = logging.getLogger(__name__)

ALL_ROUTES = (*ROUTES, *FILE_ROUTES)


def build_app(session: Session, model: Path, access: Access) -> Guard:
    """Return the application for a session that is held, and a model, behind its guard.

    Raises:
        WeightsError: If the folder is none of a model; the worker compares its files.
    """
    events = Events()
    page = Page(session, model, read_facts(model), events, Jobs(session, events), Helpers())

    @asynccontextmanager
    async def live(app: Starlette) -> AsyncIterator[None]:
        """Start the processes with the server, and end them with it."""
        loop = asyncio.get_running_loop()
        is_open = True

        def call(function: Callable[..., None]) -> Callable[..., None]:
            def later(*arguments: object) -> None:
                if is_open:
                    loop.call_soon_threadsafe(function, *arguments)

            return later

        worker = Child("worker", (model, session.root), call(page.jobs.hear), call(page.jobs.hear_end))
        helper = Child("helper", (model, session.root), call(page.helpers.hear), call(page.helpers.hear_end))
        page.jobs.employ(worker)
        page.helpers.employ(helper)
        try:
            yield
        finally:
            is_open = False
            events.close()
            await asyncio.to_thread(worker.close)
            await asyncio.to_thread(helper.close)

    handlers = {MedSyn2Error: _answer_error, HTTPException: _answer_http, Exception: _answer_fault}
    app = Starlette(
        routes=ALL_ROUTES,
        exception_handlers=handlers,  # type: ignore[arg-type]  # each takes the error that it is named for
        lifespan=live,
    )
    app.state.page = page
    return Guard(app, access)


async def _answer_error(request: Request, error: MedSyn2Error) -> Response:
    described = describe_error(error, request.app.state.page.session.root)
    return JSONResponse(described, described.pop("status"))


async def _answer_http(request: Request, error: HTTPException) -> Response:
    answer = {"code": f"http-{error.status_code}", "message": str(error.detail), "remedy": "load the page again."}
    return JSONResponse(answer, error.status_code, headers=error.headers)


async def _answer_fault(request: Request, error: Exception) -> Response:
    """Answer a mistake of ours; Starlette raises it again, so that the terminal shows where it was made."""
    answer = {
        "code": "page-failed",
        "message": "something failed that should not.",
        "remedy": "look into the terminal of `medsyn2 page`, and report the lines there.",
    }
    return JSONResponse(answer, 500)
