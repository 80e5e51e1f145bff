import json
import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import Pipe, get_context

import pytest

from benchmarks.page_memory import PAPER, edit, generate
from medsyn2.server.child import Outbox
from medsyn2.server.worker import Worker

GOAL_MB = 8000
LIBRARIES_MB = 1500
"""Python, torch and a small model in worker and helper, and the server, which holds no volume."""
JOB = {
    "id": "1" * 16,
    "kind": "generate",
    "findings": None,
    "impression": None,
    "mask": None,
    "words": None,
    "source": None,
    "strength": None,
    "margin_mm": None,
    "region": None,
    "remove": None,
    "seeds": [0],
    "sampling": {"solver": "euler", "num_steps": 30},
}


@pytest.fixture
def work(page, tiny_model):
    """Do a job, and return what was told of it."""
    told, tells = Pipe()

    def work(job, cancelled=()):
        Worker(page.pipeline, page.session, tiny_model, Outbox(tells), set(cancelled)).do(job)
        found = []
        while told.poll():
            found.append(json.loads(told.recv_bytes()))
        return found

    return work


def test_each_step_is_told_and_previews_take_little_of_the_time(work):
    told = work(JOB)
    steps = [one["step"] for one in told if "step" in one]
    assert [step["done"] for step in steps if step["phase"] == "solve"] == list(range(1, 31))
    assert steps[0]["eta_s"] > 0
    assert 1 <= sum("preview" in one for one in told) < 15
    assert told[-1] == {"end": "done", "job": JOB["id"]}
    assert [next(iter(one)) for one in told[-2:]] == ["result", "end"]


def test_a_cancelled_job_ends_before_its_first_step(work):
    assert work(JOB, [JOB["id"]]) == [{"end": "cancelled", "job": JOB["id"]}]


@pytest.mark.parametrize(
    ("change", "code"),
    [({"mask": "0" * 16}, "id-unknown"), ({"seeds": [2**63]}, "seed-invalid"), ({"findings": 5}, "text-type")],
)
def test_a_job_that_fails_says_why_and_the_worker_goes_on(work, change, code):
    (end,) = work({**JOB, **change})
    assert (end["end"], end["error"]["code"]) == ("failed", code)
    assert work({"id": "2" * 16, "kind": "check", "item": "0" * 16})[0]["error"]["code"] == "id-unknown"


@pytest.mark.parametrize("step", [generate, edit])
def test_a_job_of_the_papers_grid_fits_into_a_desktop(step, tmp_path):
    """All in a job grows with the volume, so that a small one tells what the paper's takes, but for the libraries."""
    size = 128
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        told = process.submit(step, size, tmp_path).result()
    job_mb = float(re.match(r"(\d+) MB", told).group(1))
    assert 2 * size**3 / 2**20 < job_mb  # a volume at least
    assert LIBRARIES_MB + job_mb * (PAPER / size) ** 3 < GOAL_MB
