"""The queue of a session: one job runs, one waits, and a third is refused.

The queue belongs to the loop of the server; what the worker tells comes in by `hear`. A job that is cancelled is asked
to stop, and a worker that has not stopped after `PATIENCE_S` is killed: at 448 x 448 x 448 on a processor, one
evaluation of the network takes minutes. A new worker starts at once.
"""

import asyncio
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from medsyn2.server.events import Events
from medsyn2.server.problems import JSON, Refusal, missing
from medsyn2.server.session import Session, new_id

PATIENCE_S = 2.0
"""Between a cancellation and the end of a worker that does not hear it: as long as a person waits without wondering."""

_DIED = {
    "code": "worker-died",
    "message": "the process that has the model died.",
    "remedy": "it ran out of memory, most likely: close other programs, or use a model of a smaller grid.",
}

State = Literal["waiting", "running", "done", "failed", "cancelled"]


class Worker(Protocol):
    """The process that does the jobs."""

    def start(self) -> None:
        """Start it."""

    def send(self, message: JSON) -> None:
        """Send it a job, or a cancellation."""

    def kill(self) -> None:
        """End it at once."""


@dataclass
class Job:
    """A job as the page sees it."""

    id: str
    kind: str
    seeds: int  # Volumes that it makes
    state: State = "waiting"
    phase: str = ""
    done: int = 0
    total: int = 0
    seed_index: int = 0
    eta_s: float | None = None  # Seconds that are left; None while they are not known
    created: float = field(default_factory=lambda: round(time.time(), 3))
    items: list[str] = field(default_factory=list)  # Results so far
    error: JSON | None = None


class Jobs:
    """The queue."""

    def __init__(self, session: Session, events: Events) -> None:
        self.session, self.events = session, events
        self.model: JSON = {"state": "loading"}
        self.running: Job | None = None
        self._waiting: tuple[Job, JSON] | None = None
        self._order: JSON = {}
        self._cancelled: set[str] = set()
        self._previews: list[str] = []
        self._worker: Worker | None = None

    def employ(self, worker: Worker) -> None:
        """Take a worker and start it."""
        self._worker = worker
        worker.start()

    def submit(self, order: JSON) -> Job:
        """Begin a job, or let it wait.

        Raises:
            Refusal: If one waits already, or the model cannot be used.
        """
        if self.model["state"] == "unusable":
            raise Refusal(503, **_texts(self.model["error"]))
        if self._waiting is not None:
            raise Refusal(
                409,
                "a job runs, another waits.",
                code="queue-full",
                remedy="wait until the first is done, or cancel one.",
            )
        job = Job(new_id(), order["kind"], len(order.get("seeds", (0,))))
        self._waiting = (job, {**order, "id": job.id})
        self._tell(job)
        self._begin()
        return job

    def cancel(self, identifier: str) -> Job:
        """Cancel a job; one that has ended stays as it is.

        Raises:
            Refusal: If there is none of this id.
        """
        if self._waiting is not None and self._waiting[0].id == identifier:
            job, self._waiting = self._waiting[0], None
            job.state = "cancelled"
            self._tell(job)
            return job
        if self.running is None or self.running.id != identifier:
            raise missing("job")
        if identifier not in self._cancelled:
            self._cancelled.add(identifier)
            self._employee.send({"cancel": identifier})
            asyncio.get_running_loop().call_later(PATIENCE_S, self._kill_if_running, identifier)
        return self.running

    def hear(self, message: JSON) -> None:
        """Take a message of the worker."""
        if "ready" in message or "unusable" in message:
            self._hear_model(message)
        job = self.running
        if job is None or message.get("job") != job.id:
            return
        if "step" in message:
            for name, value in message["step"].items():
                setattr(job, name, value)
            self._tell(job)
        elif "preview" in message:
            self._previews.append(message["preview"]["volume"])
            self.events.tell("preview", {"job": job.id, **message["preview"]})
            self._drop_previews(keep=2)
        elif "result" in message:
            item = message["result"]["item"]
            job.items.append(item)
            self.events.tell("result", self.session.read("items", item))
        elif "end" in message:
            self._end(job, message["end"], message.get("error"))

    def hear_end(self) -> None:
        """Take the end of the worker's process, and start another unless it died while it loaded the model."""
        if self.model["state"] == "loading":  # it would die again
            self._hear_model({"unusable": _DIED})
            return
        job = self.running
        self.model = {"state": "loading"}
        self._employee.start()
        if job is not None:
            is_cancelled = job.id in self._cancelled
            self._end(job, "cancelled" if is_cancelled else "failed", None if is_cancelled else _DIED)

    @property
    def jobs(self) -> list[Job]:
        """The job that runs and the one that waits."""
        return [job for job in (self.running, self._waiting and self._waiting[0]) if job]

    @property
    def _employee(self) -> Worker:
        assert self._worker is not None
        return self._worker

    def _begin(self) -> None:
        if self.running is not None or self._waiting is None or self.model["state"] != "ready":
            return
        (self.running, self._order), self._waiting = self._waiting, None
        self.running.state = "running"
        self._tell(self.running)
        self._employee.send({"job": self._order})

    def _end(self, job: Job, state: State, error: JSON | None) -> None:
        job.state, job.error, job.eta_s = state, error, None
        self.running = None
        self._cancelled.discard(job.id)
        self._tell(job)
        if error is not None:
            self.events.tell("error", {"job": job.id, **_texts(error)})
        self._drop_previews(keep=0)
        self._begin()

    def _hear_model(self, message: JSON) -> None:
        if "ready" in message:
            self.model = {"state": "ready", **message["ready"]}
        else:
            self.model = {"state": "unusable", "error": message["unusable"]}
            if self._waiting is not None:
                (job, _), self._waiting = self._waiting, None
                job.state, job.error = "failed", message["unusable"]
                self._tell(job)
        self.events.tell("model", self.model)
        self._begin()

    def _kill_if_running(self, identifier: str) -> None:
        if self.running is not None and self.running.id == identifier:
            self._employee.kill()

    def _drop_previews(self, keep: int) -> None:
        while len(self._previews) > keep:
            self.session.remove("volumes", self._previews.pop(0))

    def _tell(self, job: Job) -> None:
        self.events.tell("job", asdict(job))


def _texts(error: JSON) -> dict[str, Any]:
    return {name: error[name] for name in ("message", "code", "remedy")}
