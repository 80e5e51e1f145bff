"""The folder of a session, whose files only their owner can read.

    volumes/ID/  header.json, voxels.gz     a volume for the browser, in the model's space
    masks/ID/    mask.json, runs.bin        a mask on the model's grid (`runs`)
    sources/ID/  the file of a real CT      of the volume with this id; edits start from it
    items/ID/    item.json, the volume with its sidecar and masks, latents.safetensors
    work/        uploads, previews and downloads on their way; emptied at the start and at the end

Ids are 16 hexadecimal digits that are drawn here. A request names an id and nothing else, so that none reaches a file
outside the session. A folder is made under a hidden name and renamed when it is whole, and one server holds a session
at a time.

A real CT that was opened and a mask that was drawn are forgotten at a start if no result came of them within a week.
"""

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal

from medsyn2.errors import EnvironmentFault, reason
from medsyn2.files import try_lock, write_json
from medsyn2.server.problems import JSON, missing

Kind = Literal["volumes", "masks", "sources", "items"]
KINDS: tuple[Kind, ...] = ("volumes", "masks", "sources", "items")
RECORDS: dict[Kind, str] = {"volumes": "header.json", "masks": "mask.json", "items": "item.json"}
"""The file that describes each kind."""
_WORDS: dict[Kind, str] = {"volumes": "volume", "masks": "mask", "sources": "real CT", "items": "result"}
_ID = re.compile(r"[0-9a-f]{16}")
PRIVATE = 0o700
_KEPT_S = 7 * 86400.0
"""How long a CT or a mask stays that no result came of: a week's work can be taken up on Monday."""
_REFERENCES = ("volume", "before", "mask", "found", "source", "real")


def new_id() -> str:
    """Draw an id."""
    return secrets.token_hex(8)


class Session:
    """The files of a session; every process of the server has one."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Make the folder, keep other servers out of it, and empty `work` at both ends.

        Raises:
            EnvironmentFault: If the folder cannot be used, is open to others, or another server holds it.
        """
        with self._prepare() as lock:
            if try_lock(lock) is False:
                raise EnvironmentFault(
                    f"{self.root} is the session of another server that runs.",
                    code="session-in-use",
                    remedy="go on with that page, end its server, or give another folder as --session.",
                )
            self.clean()
            self._forget_unused()
            try:
                yield
            finally:
                self.clean()

    def _prepare(self) -> IO[str]:
        try:
            self.root.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
            if self.root.stat().st_uid != os.getuid():
                raise PermissionError(f"it belongs to the user {self.root.stat().st_uid}")
            if any(self.root.iterdir()) and not (self.root / "items").is_dir():
                raise FileExistsError("it holds other files than a session's")
            self.root.chmod(PRIVATE)
            for kind in KINDS:
                (self.root / kind).mkdir(mode=PRIVATE, exist_ok=True)
            return (self.root / ".lock").open("w", encoding="utf-8")
        except OSError as error:
            raise EnvironmentFault(
                f"{self.root} cannot hold a session: {reason(error)}.",
                code="session-unusable",
                remedy="give a folder of your own, on a disk with room, as --session.",
            ) from error

    def clean(self) -> None:
        """Remove what was on its way when a server ended: uploads, previews, and volumes without their result."""
        shutil.rmtree(self.root / "work", ignore_errors=True)
        (self.root / "work").mkdir(mode=PRIVATE)
        for kind in KINDS:
            for leftover in (self.root / kind).glob(".*"):
                shutil.rmtree(leftover, ignore_errors=True)
        items = {item["id"] for item in self.all("items")}
        for header in self.all("volumes"):
            if header["kind"] == "preview" or (header["kind"] == "synthetic" and header.get("item") not in items):
                self.remove("volumes", header["id"])

    def _forget_unused(self) -> None:
        """Remove the CTs and masks that no result came of in the time that they are kept."""
        used = {item.get(name) for item in self.all("items") for name in _REFERENCES}
        for kind in ("volumes", "masks", "sources"):
            for folder in (self.root / kind).iterdir():
                if folder.name not in used and time.time() - folder.stat().st_mtime > _KEPT_S:
                    self.remove(kind, folder.name)

    def work(self, name: str) -> Path:
        """Return a new path for a file or a folder that is on its way."""
        return self.root / "work" / f"{new_id()}{name}"

    def find(self, kind: Kind, identifier: object) -> Path:
        """Return the folder of an id.

        Raises:
            Refusal: If it is none of this session.
        """
        folder = self.root / kind / str(identifier)
        if not _ID.fullmatch(str(identifier)) or not folder.is_dir():
            raise missing(_WORDS[kind])
        return folder

    def read(self, kind: Kind, identifier: object) -> JSON:
        """Return the record of an id.

        Raises:
            Refusal: If it is none of this session.
        """
        try:
            found: JSON = json.loads((self.find(kind, identifier) / RECORDS[kind]).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise missing(_WORDS[kind]) from None
        return found

    def all(self, kind: Kind) -> list[JSON]:
        """Return every record of a kind."""
        found = []
        for folder in sorted((self.root / kind).iterdir()):
            with suppress(Exception):
                found.append(self.read(kind, folder.name))
        return found

    def add(self, kind: Kind, write: Callable[[Path], object], record: Any = None, identifier: str = "") -> str:
        """Make a folder whole or not at all, and return its id.

        Args:
            write: Writes the files into the folder.
            record: Content of the file that describes it, written last.
        """
        identifier = identifier or new_id()
        partial = self.root / kind / f".{identifier}"
        partial.mkdir(mode=PRIVATE)
        try:
            write(partial)
            if record is not None:
                write_json(partial / RECORDS[kind], {"id": identifier, **record})
            partial.replace(self.root / kind / identifier)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return identifier

    def update(self, kind: Kind, identifier: str, **changes: Any) -> JSON:
        """Change a record and return it."""
        record = {**self.read(kind, identifier), **changes}
        write_json(self.find(kind, identifier) / RECORDS[kind], record)
        return record

    def remove(self, kind: Kind, identifier: str) -> None:
        """Remove an id and its files, at once for those who look for it."""
        with suppress(FileNotFoundError):
            hidden = (self.root / kind / identifier).rename(self.root / kind / f".{identifier}")
            shutil.rmtree(hidden, ignore_errors=True)


def stem_of(identifier: str) -> str:
    """Return the name of a result's files without a suffix."""
    return f"synthetic_{identifier[:8]}"


def item_file(session: Session, identifier: str) -> Path:
    """Return the volume's file of a result."""
    return session.find("items", identifier) / f"{stem_of(identifier)}.nii.gz"
