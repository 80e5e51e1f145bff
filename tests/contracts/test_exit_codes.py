"""The page of exit statuses has exactly those that commands end with."""

import re
import signal
from pathlib import Path

from medsyn2 import errors
from medsyn2.commands.is_synthetic import UNMARKED
from medsyn2.errors import MedSyn2Error
from medsyn2.signals import CLOSED_PIPE, STOPS

PAGE = Path(__file__).parents[2] / "docs/reference/exit-codes.md"


def test_every_status_is_documented_and_none_is_invented() -> None:
    documented = [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE.read_text("utf-8"), re.M)]
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MedSyn2Error)]
    assert len(kinds) > 15
    raised = {kind.exit_code for kind in kinds}
    stopped = {128 + number for number in STOPS}
    assert documented == sorted({0, UNMARKED, CLOSED_PIPE} | raised | stopped)
    assert signal.SIGTERM in STOPS
