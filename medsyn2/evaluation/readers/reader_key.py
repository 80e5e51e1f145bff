"""The key of a reader study: what it fixes when the study is made, and how a later change is found.

The key knows which case is real. It also fixes the analysis (`reader_plan`), before anybody has read. The identity of
the study, which stands in the readers' folder and in every answer, is a hash of the folder, of the analysis, and of the
cases in two unnamed groups, the real and the synthetic ones. A key in which a margin, a question, a case or an order
was changed afterwards has another identity than the answers. The hash cannot tell readers the groups, since it holds
the sha256 of the original files, and it does not change when real and synthetic are exchanged, as nothing in the folder
may; against that, and against damage, the whole key has a seal, and `medsyn2 readers make` prints its sha256 for the
protocol.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from medsyn2.errors import TableError, reason
from medsyn2.evaluation.readers.reader_plan import Plan
from medsyn2.evaluation.readers.reader_study import SOURCES
from medsyn2.fingerprints import fingerprint
from medsyn2.integrity import SEAL, read_sealed, write_sealed

_IDENTITY_DIGITS = 16

Entry = Mapping[str, str]
"""A case: ``source``, ``pathology``, ``id``, ``patient``, and ``sha256`` of its file."""


@dataclass(frozen=True)
class Key:
    """The key."""

    plan: Plan  # The analysis
    orders: Sequence[Sequence[str]]  # The cases of each reader, in order
    cases: Mapping[str, Entry]  # By number
    folder: str  # Hash of the folder's other content

    @property
    def study(self) -> str:
        """The identity of the study."""
        known = sorted(self.cases.items())
        groups = [[[name, {**case, "source": ""}] for name, case in known if case["source"] == one] for one in SOURCES]
        groups.sort(key=fingerprint)
        return fingerprint(self.folder, self.plan, self.orders, groups)[:_IDENTITY_DIGITS]

    def write(self, path: Path, facts: Mapping[str, Any]) -> None:
        """Write the key with facts that nothing is computed from."""
        write_sealed(path, {**facts, "study": self.study, **asdict(self)})


def read_key(path: Path) -> Key:
    """Read a key.

    Raises:
        TableError: If the file is no key, or was changed after the study was made.
    """
    try:
        if SEAL not in path.read_text(encoding="utf-8"):
            raise ValueError("it has no seal")
        held = read_sealed(path)
        plan = Plan(**held["plan"])
        cases = {name: {one: str(text) for one, text in case.items()} for name, case in held["cases"].items()}
        key = Key(plan, [list(order) for order in held["orders"]], cases, held["folder"])
        identity = key.study
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TableError(
            f"{path} is not the key of a reader study as it was written: {reason(error)}.",
            code="key-unreadable",
            remedy="give the .key.json that was written with the study's folder, unchanged.",
        ) from error
    if identity != held["study"]:
        raise _changed(path, f"its content is of the study {identity}, its name is {held['study']}")
    fixed = Plan(plan.question, plan.margin)
    if plan != fixed:
        other = next(one.name for one in fields(Plan) if getattr(plan, one.name) != getattr(fixed, one.name))
        raise _changed(path, f"its {other} is not the one of this version")
    return key


def _changed(path: Path, finding: str) -> TableError:
    return TableError(
        f"{path} was changed after the study was made, or by another version: {finding}; expected the analysis, the "
        "orders and the cases that the readers' folder was made with.",
        code="key-changed",
        remedy="give the key as it was written; another margin or question takes another study.",
    )
