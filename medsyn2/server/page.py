"""The server's own things in one record, and the facts that the page shows of the model."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from medsyn2.ct.planes import COLOURS
from medsyn2.ct.volume import Grid
from medsyn2.flow.sampling import Solver
from medsyn2.server.events import Events
from medsyn2.server.helping import Helpers
from medsyn2.server.jobs import Jobs
from medsyn2.server.orders import MAX_SEEDS, MAX_STEPS
from medsyn2.server.problems import JSON
from medsyn2.server.session import Session
from medsyn2.server.starts import list_shelf
from medsyn2.server.voxels import describe_grid
from medsyn2.version import __version__
from medsyn2.vocabulary import STRUCTURE_WORDS, STRUCTURES
from medsyn2.weights.model_folder import ModelDescription
from medsyn2.weights.model_template import read_grid

MAX_UPLOAD_BYTES = 1 << 30
"""Of a file: a CT of 512 x 512 x 1500 voxels of int16, uncompressed, has three quarters of it."""


@dataclass(frozen=True, eq=False)
class Page:
    """What the routes work on."""

    session: Session
    model: Path  # The model's folder
    description: ModelDescription
    events: Events
    jobs: Jobs
    helpers: Helpers

    @cached_property
    def grid(self) -> Grid:
        """The model's grid."""
        return read_grid(self.description)

    def describe_model(self) -> JSON:
        """Return what the page shows of the model."""
        described, training = self.description, self.description.training
        return {
            "name": self.model.name,
            "fingerprint": described.fingerprint,
            "licence": described.licence,
            "trained": {name: value for name, value in asdict(training).items() if name != "structures"},
            "grid": describe_grid(self.grid),
            "clip_hu": list(described.grid.clip_hu),
            "structures": _describe_structures(training.structures),
            "max_report_tokens": described.text.max_report_tokens,
            "max_prompt_tokens": described.text.max_prompt_tokens,
            "edits_real_cts": described.register is not None,
            "limits": {"seeds": MAX_SEEDS, "num_steps": MAX_STEPS},
            **self.jobs.model,
        }

    def state(self) -> JSON:
        """Return the whole state, with the number of its last event."""
        items = sorted(self.session.all("items"), key=lambda item: float(item["created"]))
        waiting = [asdict(job) for job in self.jobs.jobs]
        return {
            "version": __version__,
            "model": self.describe_model(),
            "sampling": asdict(self.description.sampling),
            "solvers": list(get_args(Solver)),
            "segmenter": True,
            "shelf": len(list_shelf()) if self.description.register is not None else 0,
            "history": items,
            "job": waiting[0] if waiting else None,
            "jobs": waiting,
            "masks": self.session.all("masks"),
            "volumes": [one for one in self.session.all("volumes") if one["kind"] == "real"],
            "max_upload_bytes": MAX_UPLOAD_BYTES,
            "event": self.events.last,
        }


def _describe_structures(trained: Mapping[Any, int | None]) -> list[JSON]:
    return [
        {"name": name, "words": STRUCTURE_WORDS[name], "colour": colour, "trained": trained.get(name, 0) != 0}
        for name, colour in zip(STRUCTURES, COLOURS, strict=True)
    ]
