"""The server's own things in one record, and the state that the page shows."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from medsyn2.ct.volume import Grid
from medsyn2.flow.sampling import Solver
from medsyn2.server.events import Events
from medsyn2.server.helping import Helpers
from medsyn2.server.jobs import Jobs
from medsyn2.server.model_facts import ModelFacts
from medsyn2.server.orders import MAX_SEEDS, MAX_STEPS
from medsyn2.server.problems import JSON
from medsyn2.server.session import Session
from medsyn2.server.voxels import describe_grid
from medsyn2.version import __version__

MAX_UPLOAD_BYTES = 1 << 30
"""Of a file: a CT of 512 x 512 x 1500 voxels of int16, uncompressed, has three quarters of it."""


@dataclass(frozen=True, eq=False)
class Page:
    """What the routes work on."""

    session: Session
    model: Path  # The model's folder
    facts: ModelFacts
    events: Events
    jobs: Jobs
    helpers: Helpers

    @property
    def grid(self) -> Grid:
        """The model's grid."""
        return self.facts.grid

    def describe_model(self) -> JSON:
        """Return what the page shows of the model."""
        shown = {"name": self.model.name, **self.facts.shown, "grid": describe_grid(self.grid)}
        return {**shown, "limits": {"seeds": MAX_SEEDS, "num_steps": MAX_STEPS}, **self.jobs.model}

    def state(self) -> JSON:
        """Return the whole state, with the number of its last event."""
        items = sorted(self.session.all("items"), key=lambda item: float(item["created"]))
        waiting = [asdict(job) for job in self.jobs.jobs]
        return {
            "version": __version__,
            "model": self.describe_model(),
            "sampling": asdict(self.facts.sampling),
            "solvers": list(get_args(Solver)),
            "segmenter": True,
            "shelf": self.facts.has_template,
            "history": items,
            "job": waiting[0] if waiting else None,
            "jobs": waiting,
            "masks": self.session.all("masks"),
            "volumes": [one for one in self.session.all("volumes") if one["kind"] == "real"],
            "max_upload_bytes": MAX_UPLOAD_BYTES,
            "event": self.events.last,
        }
