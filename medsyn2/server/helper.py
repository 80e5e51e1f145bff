"""The process that reads and writes files for the server: uploads, the shelf, texts and downloads.

    to it:    {"task": number, "name": ..., "arguments": {...}}
    from it:  {"task": number, "answer": ...} or {"task": number, "error": {...}}

A file of a stranger is parsed here and nowhere else: what crashes or stalls is this process, and another one starts.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from medsyn2.nn.text_encoder import load_tokenizer
from medsyn2.server.child import Outbox
from medsyn2.server.downloads import write_item, write_mask
from medsyn2.server.opening import open_ct, open_masks
from medsyn2.server.problems import JSON, Refusal, describe_error, name_error
from medsyn2.server.report_texts import Texts
from medsyn2.server.session import Session
from medsyn2.server.starts import Shelf, list_examples, list_shelf
from medsyn2.server.template import add_template
from medsyn2.server.voxels import add_mask
from medsyn2.weights.model_folder import TEXT_ENCODER, read_description
from medsyn2.weights.model_template import read_grid, read_reference

_THREADS = 3
"""Tasks at once: a text is counted and a file is downloaded while a CT is registered."""


def serve(outbox: Outbox, model: Path, session: Path) -> None:
    """Do tasks until the server ends."""
    helper = Helper(model, Session(session))
    pool = ThreadPoolExecutor(_THREADS)

    def receive(message: JSON) -> None:
        pool.submit(lambda: outbox.send(helper.do(message)))

    outbox.listen(receive)
    outbox.wait()


class Helper:
    """The tasks, and the parts of the model that they need."""

    def __init__(self, model: Path, session: Session) -> None:
        self.model, self.session = model, session
        self._tasks: Mapping[str, Callable[..., Any]] = {
            "open_ct": self.open_ct,
            "open_masks": self.open_masks,
            "list_shelf": self.list_shelf,
            "list_examples": list_examples,
            "take": self.take,
            "template": self.template,
            "text": self.text,
            "write_item": self.write_item,
            "write_mask": self.write_mask,
        }

    def do(self, message: JSON) -> JSON:
        """Do a task and return the message that answers it."""
        try:
            return {"task": message["task"], "answer": self._tasks[message["name"]](**message["arguments"])}
        except Exception as error:  # noqa: BLE001  # whatever it is, the helper goes on
            return {"task": message["task"], "error": describe_error(name_error(error), self.session.root)}

    def open_ct(self, path: str, name: str) -> JSON:
        """Open a CT."""
        reference = read_reference(self.model, self._description)
        return open_ct(self.session, reference, self._grid, Path(path), name)

    def open_masks(self, path: str, name: str, of: str | None) -> list[JSON]:
        """Open the masks of a file."""
        return open_masks(self.session, self._grid, Path(path), name, of)

    def list_shelf(self) -> list[JSON]:
        """Return the masks of the shelf; none without a template to register phantoms to."""
        return [] if self._description.register is None else list_shelf()

    def take(self, identifier: str) -> JSON:
        """Take a mask from the shelf."""
        if self._shelf is None:
            raise Refusal(404, "this model has no shelf.", code="id-unknown", remedy="draw a mask, or open one.")
        mask, entry = self._shelf.take(identifier)
        name = entry["words"] if entry["side"] is None else f"{entry['side']} {entry['words']}"
        return add_mask(self.session, mask.binary(), self._grid, name, entry["words"])

    def template(self) -> JSON | None:
        """Show the model's template."""
        reference = read_reference(self.model, self._description)
        return add_template(self.session, reference, self._grid, self._description.fingerprint)

    def text(self, **order: str | None) -> JSON:
        """Read a report as the model does."""
        return self._texts.describe(**order)

    def write_item(self, identifier: str, kind: Any) -> str:
        """Write a download of a result."""
        return str(write_item(self.session, identifier, kind))

    def write_mask(self, identifier: str, kind: Any) -> str:
        """Write a download of a mask."""
        return str(write_mask(self.session, identifier, self._grid, kind))

    @cached_property
    def _description(self) -> Any:
        return read_description(self.model)

    @cached_property
    def _grid(self) -> Any:
        return read_grid(self._description)

    @cached_property
    def _shelf(self) -> Shelf | None:
        reference = read_reference(self.model, self._description)
        return None if reference is None else Shelf(reference, self._grid)

    @cached_property
    def _texts(self) -> Texts:
        return Texts(load_tokenizer(self.model / TEXT_ENCODER), self._description)
