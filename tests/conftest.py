"""In every test: shapes that annotations promise are checked, and no other machine can be reached.

Real CTs, which the project does not have, are looked for in the folder that ``MEDSYN2_REAL_DATA`` names; a test that
asks for them is skipped where they are absent, and fails where the variable names no folder. Without the variable a
folder ``shared/data`` beside the checkout is taken, which several checkouts can share.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from tests.shapes import check_arrays

CHECKED = [
    "ct",
    "reports",
    "nn",
    "flow",
    "cohort",
    "dicom",
    "formats",
    "phantoms",
    "segmenters",
    "training",
    "evaluation",
    "page",
    "pipeline",
]

install_import_hook([f"medsyn2.{package}" for package in CHECKED], f"{check_arrays.__module__}.{check_arrays.__name__}")

THIS_MACHINE = {None, "", "localhost", "127.0.0.1", "::1"}


def _refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    asked = arguments[0] if event == "socket.getaddrinfo" else None
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        asked = arguments[1][0]
    if isinstance(asked, bytes):
        asked = asked.decode()
    if asked not in THIS_MACHINE:
        raise ConnectionRefusedError(f"a test reached for {asked}")


sys.addaudithook(_refuse_network)

REAL_DATA = Path(os.environ.get("MEDSYN2_REAL_DATA", Path(__file__).parents[2] / "shared/data"))


class Schedule(LoadFileScheduling):
    """One process for each file, and one for all files of a folder that share a finished run."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return str(Path(file).parent) if "finished" in Path(file).parts else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Schedule:
    """Schedule by file and finished run."""
    return Schedule(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the files of whole workflows, the longest: one that starts last keeps one process busy alone."""
    items.sort(key=lambda item: ("finished" not in item.path.parts, "workflow" not in item.path.parts))


@pytest.fixture
def in_foreground() -> Iterator[None]:
    """Let a test hear the signals that are ignored where the tests themselves run in the background."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real CTs, labels, unusable files and tables; CONTRIBUTING.md says what is in it."""
    if not REAL_DATA.is_dir():
        if "MEDSYN2_REAL_DATA" in os.environ:
            pytest.fail(f"MEDSYN2_REAL_DATA names {REAL_DATA}, which is no folder")
        pytest.skip("needs real CTs in the folder that MEDSYN2_REAL_DATA names")
    return REAL_DATA


@pytest.fixture(scope="session")
def real_cts() -> list[Path]:
    """The real CTs, by name; none where they are absent."""
    return sorted(REAL_DATA.glob("ct/*.nii.gz"))
