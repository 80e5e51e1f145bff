"""A page on the tiny model whose tasks run in the test's own process: the same code without the time of a start."""

import asyncio
import json
from multiprocessing import Pipe

import numpy as np
import pytest
from starlette.testclient import TestClient

from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.server.app import build_app
from medsyn2.server.child import Outbox
from medsyn2.server.helper import Helper
from medsyn2.server.runs import encode_runs
from medsyn2.server.security import Access
from medsyn2.server.session import Session
from medsyn2.server.worker import Worker

PORT = 8123
BASE = f"http://127.0.0.1:{PORT}"
FAST = {"solver": "euler", "num_steps": 2}
JSON = {"Content-Type": "application/json"}
BYTES = {"Content-Type": "application/octet-stream"}


class Inline:
    """A helper that does its tasks at once."""

    def __init__(self, helper, hear):
        self.helper, self.hear = helper, hear

    def start(self):
        """It runs."""

    def kill(self):
        """It cannot be."""

    def send(self, message):
        asyncio.get_running_loop().call_soon(self.hear, json.loads(json.dumps(self.helper.do(message))))


class InlineWorker(Inline):
    """A worker that does its jobs at once, before the server goes on."""

    def __init__(self, worker, hear, told):
        self.worker, self.hear, self.told = worker, hear, told

    def send(self, message):
        if "job" in message:
            self.worker.do(message["job"])
            while self.told.poll():
                self.hear(json.loads(self.told.recv_bytes()))


class PageInProcess:
    """The application, its session, and a client that has opened the link."""

    def __init__(self, root, model):
        self.session = Session(root)
        self.hold = self.session.hold()
        self.hold.__enter__()
        self.access = Access(("127.0.0.1", "localhost"), PORT)
        self.guard = build_app(self.session, model, self.access)
        self.page = self.guard.app.state.page
        self.client = TestClient(self.guard, base_url=BASE, raise_server_exceptions=False)
        self.client.get(self.access.path)
        told, tells = Pipe()
        helper = Helper(model, self.session)
        self.pipeline = MedSyn2Pipeline.from_pretrained(model)
        worker = Worker(self.pipeline, self.session, model, Outbox(tells), set())
        self.page.helpers.employ(Inline(helper, self.page.helpers.hear))
        self.page.jobs.employ(InlineWorker(worker, self.page.jobs.hear, told))
        self.page.jobs.hear({"ready": {"device": "cpu", "precision": "float32"}})

    def post(self, path, body=None, **order):
        headers = JSON if body is None else BYTES
        return self.client.post(path, content=json.dumps(order) if body is None else body, headers=headers)

    def make(self, **order):
        job = self.post("/api/jobs", **{"kind": "generate", "sampling": FAST, **order}).json()["job"]
        state = self.client.get("/api/state").json()
        return job, state["history"][-1] if state["history"] else None

    def add_mask(self, mask, words="heart"):
        return self.post(f"/api/masks?words={words}", encode_runs(mask)).json()["id"]


@pytest.fixture(scope="module")
def page(tmp_path_factory, tiny_model):
    found = PageInProcess(tmp_path_factory.mktemp("page") / "session", tiny_model)
    yield found
    found.hold.__exit__(None, None, None)


@pytest.fixture(scope="module")
def item(page, tiny_mask):
    """A result with a mask."""
    mask = page.add_mask(tiny_mask)
    _, found = page.make(findings="Large pleural effusion.", mask=mask, words="heart", seeds=[4])
    assert found is not None, page.page.events._log
    return found


@pytest.fixture
def grid(page):
    return page.page.grid


@pytest.fixture
def rng():
    return np.random.default_rng(0)
