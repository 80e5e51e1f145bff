"""The process that has the model: it makes volumes, one job at a time, and tells each step.

    to it:    {"job": {...}}, {"cancel": id}
    from it:  {"ready": {...}} or {"unusable": error}; then of each job {"step": ...}, {"preview": ...}, {"result": id},
              and {"end": "done" | "cancelled" | "failed", "error": error}

A cancelled job ends before the network's next evaluation. Previews take at most a fifth of a job's time.
"""

import queue
import time
from pathlib import Path
from typing import Any

from medsyn2.pipeline import MedSyn2Pipeline, Step
from medsyn2.server.checking import check_item
from medsyn2.server.child import Outbox
from medsyn2.server.estimate import Estimate
from medsyn2.server.making import make_volume
from medsyn2.server.problems import JSON, describe_error, name_error
from medsyn2.server.session import Session
from medsyn2.server.voxels import add_volume

_PREVIEW_SHARE = 0.2
"""Of a job's time; a preview decodes a whole volume, which takes as long as some steps."""


class Cancelled(Exception):
    """The end of a job that nobody wants any more."""


def serve(outbox: Outbox, model: Path, session: Path) -> None:
    """Load the model and do jobs until the server ends."""
    jobs: queue.Queue[JSON] = queue.Queue()
    cancelled: set[str] = set()

    def receive(message: JSON) -> None:
        if "cancel" in message:
            cancelled.add(message["cancel"])
        else:
            jobs.put(message["job"])

    outbox.listen(receive)
    try:
        pipeline = MedSyn2Pipeline.from_pretrained(model)
    except Exception as error:  # noqa: BLE001  # whatever it is, the page says it
        outbox.send({"unusable": describe_error(name_error(error), session)})
        outbox.wait()
    worker = Worker(pipeline, Session(session), model, outbox, cancelled)
    outbox.send({"ready": {"device": str(pipeline.device), "precision": pipeline.precision}})
    while True:
        worker.do(jobs.get())


class Worker:
    """The model and the session that it works for."""

    def __init__(
        self, pipeline: MedSyn2Pipeline, session: Session, model: Path, outbox: Outbox, cancelled: set[str]
    ) -> None:
        self.pipeline, self.session, self.model = pipeline, session, model
        self._outbox, self._cancelled = outbox, cancelled
        self._job = ""
        self._decode_s: float | None = None
        pipeline.dit.register_forward_pre_hook(lambda *_: self._stop_if_cancelled())

    def do(self, job: JSON) -> None:
        """Do a job and tell how it ended."""
        self._job = job["id"]
        end: JSON = {"end": "done", "job": self._job}
        try:
            if job["kind"] == "check":
                check_item(self.session, self.pipeline.grid, job["item"])
                self._tell("result", item=job["item"])
            else:
                self._make(job)
        except Cancelled:
            end["end"] = "cancelled"
        except Exception as error:  # noqa: BLE001  # whatever it is, the worker goes on
            end |= {"end": "failed", "error": describe_error(name_error(error), self.session.root)}
        self._outbox.send(end)

    def _make(self, job: JSON) -> None:
        seeds = job["seeds"]
        estimate = Estimate(len(seeds), self._decode_s)
        for index, seed in enumerate(seeds):
            follow = Follow(self, index, estimate)
            item = make_volume(self.pipeline, self.session, self.model, {**job, "seed": seed}, follow.step)
            self._tell("result", item=item)
            estimate.next_volume()
            self._decode_s = estimate.decode_s

    def _stop_if_cancelled(self) -> None:
        if self._job in self._cancelled:
            raise Cancelled

    def _tell(self, what: str, **content: Any) -> None:
        self._outbox.send({what: content, "job": self._job})


class Follow:
    """The progress of one volume, told to the page, with previews as far as their time allows."""

    def __init__(self, worker: Worker, index: int, estimate: Estimate) -> None:
        self._worker, self._index, self._estimate = worker, index, estimate

    def step(self, step: Step) -> None:
        """Tell a step; end the job if it was cancelled."""
        self._worker._stop_if_cancelled()
        left_s = self._estimate.after(step.phase, step.done, step.total)
        self._worker._tell(
            "step", phase=step.phase, done=step.done, total=step.total, seed_index=self._index, eta_s=left_s
        )
        if step.phase == "solve" and step.done < step.total and self._has_time():
            self._preview(step)

    def _has_time(self) -> bool:
        estimate = self._estimate
        next_s = estimate.decode_s or 0.0
        return estimate.preview_s + next_s <= _PREVIEW_SHARE * (estimate.elapsed_s + next_s)

    def _preview(self, step: Step) -> None:
        start_s = time.monotonic()
        volume = self._worker.pipeline.decode(step.clean)
        header = add_volume(self._worker.session, volume, "preview", f"step {step.done} of {step.total}")
        self._estimate.add_preview(time.monotonic() - start_s)
        self._worker._tell("preview", volume=header["id"], seed_index=self._index)
