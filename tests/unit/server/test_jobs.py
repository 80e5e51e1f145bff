import asyncio

import pytest

from medsyn2.server import jobs as jobs_module
from medsyn2.server.events import Events
from medsyn2.server.jobs import Jobs
from medsyn2.server.problems import Refusal
from medsyn2.server.session import Session

ORDER = {"kind": "generate", "seeds": [0, 1]}


class Recorder:
    """A worker's end of the pipe, as the queue sees it."""

    def __init__(self):
        self.starts, self.sent, self.kills = 0, [], 0

    def start(self):
        self.starts += 1

    def send(self, message):
        self.sent.append(message)

    def kill(self):
        self.kills += 1


@pytest.fixture
def queue(tmp_path):
    with Session(tmp_path).hold():
        found = Jobs(Session(tmp_path), Events())
        found.worker = Recorder()
        found.employ(found.worker)
        yield found


@pytest.fixture
def ready(queue):
    queue.hear({"ready": {"device": "cpu"}})
    return queue


def error_of(call, *arguments):
    with pytest.raises(Refusal) as caught:
        call(*arguments)
    return caught.value.code


def test_a_job_waits_for_the_model(queue):
    job = queue.submit(ORDER)
    assert (job.state, queue.worker.sent) == ("waiting", [])
    queue.hear({"ready": {"device": "cpu"}})
    assert (job.state, queue.worker.sent) == ("running", [{"job": {**ORDER, "id": job.id}}])


def test_one_runs_one_waits_and_a_third_is_refused(ready):
    first, second = ready.submit(ORDER), ready.submit(ORDER)
    assert error_of(ready.submit, ORDER) == "queue-full"
    assert ready.jobs == [first, second]
    ready.hear({"end": "done", "job": first.id})
    assert (first.state, second.state, len(ready.worker.sent)) == ("done", "running", 2)


def test_progress_and_previews_are_told(ready):
    job = ready.submit(ORDER)
    step = {"phase": "solve", "done": 3, "total": 12, "seed_index": 1, "eta_s": 4.5}
    ready.hear({"step": step, "job": job.id})
    ready.hear({"step": {**step, "done": 9}, "job": "another"})
    assert (job.done, job.total, job.seed_index, job.eta_s) == (3, 12, 1, 4.5)
    volumes = [ready.session.add("volumes", lambda folder: None, {"kind": "preview"}) for _ in range(4)]
    for volume in volumes:
        ready.hear({"preview": {"volume": volume, "seed_index": 0}, "job": job.id})
    assert [one["id"] for one in ready.session.all("volumes")] == sorted(volumes[2:])
    ready.hear({"end": "failed", "job": job.id, "error": {"status": 422, "code": "a", "message": "b", "remedy": "c"}})
    assert (job.state, job.error["code"]) == ("failed", "a")
    assert ready.session.all("volumes") == []


def test_a_waiting_job_is_cancelled_at_once(ready):
    first, second = ready.submit(ORDER), ready.submit(ORDER)
    assert ready.cancel(second.id).state == "cancelled"
    assert ready.jobs == [first]
    assert error_of(ready.cancel, second.id) == "id-unknown"


@pytest.mark.parametrize("hears", [True, False])
def test_a_running_job_is_asked_to_end_and_its_worker_killed_if_it_does_not(ready, monkeypatch, hears):
    monkeypatch.setattr(jobs_module, "PATIENCE_S", 0.01)

    async def cancel():
        job = ready.submit(ORDER)
        ready.cancel(job.id)
        ready.cancel(job.id)
        if hears:
            ready.hear({"end": "cancelled", "job": job.id})
        await asyncio.sleep(0.05)
        if not hears:
            ready.hear_end()
        return job

    job = asyncio.run(cancel())
    assert (job.state, job.error) == ("cancelled", None)
    assert ready.worker.sent.count({"cancel": job.id}) == 1
    assert (ready.worker.kills, ready.worker.starts) == ((0, 1) if hears else (1, 2))


def test_a_death_fails_the_job_and_the_next_begins_when_a_new_worker_is_ready(ready):
    first, second = ready.submit(ORDER), ready.submit(ORDER)
    ready.hear_end()
    assert (first.state, first.error["code"], second.state) == ("failed", "worker-died", "waiting")
    ready.hear({"ready": {"device": "cpu"}})
    assert second.state == "running"


@pytest.mark.parametrize("dies", [True, False])
def test_a_model_that_cannot_be_loaded_refuses_every_job(queue, dies):
    job = queue.submit(ORDER)
    if dies:
        queue.hear_end()
    else:
        queue.hear({"unusable": {"status": 503, "code": "model-damaged", "message": "b", "remedy": "c"}})
    code = "worker-died" if dies else "model-damaged"
    assert (job.state, job.error["code"], queue.jobs) == ("failed", code, [])
    assert error_of(queue.submit, ORDER) == code
    assert queue.worker.starts == 1
