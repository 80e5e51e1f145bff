"""A cost is measured once for the same settings, and again where its file cannot be trusted or read."""

import subprocess
import sys
from pathlib import Path

import pytest

from medsyn2.nn.compute_cost import ComputeCost
from medsyn2.planning.kept import cache_folder, keep, keep_cost


class Counted:
    """A measurement that counts how often it is made."""

    calls = 0

    def __call__(self) -> ComputeCost:
        self.calls += 1
        return ComputeCost(flops=10**30, peak_bytes=self.calls)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_a_cost_is_measured_once_for_its_settings(cache: Path) -> None:
    measure = Counted()
    first = keep_cost("pass", {"width": 8}, measure)
    assert keep_cost("pass", {"width": 8}, measure) == first == ComputeCost(10**30, 1)
    assert keep_cost("pass", {"width": 9}, measure).peak_bytes == 2
    assert keep_cost("another", {"width": 8}, measure).peak_bytes == 3


@pytest.mark.parametrize("content", [b"", b'{"value": {"flo', b"\x00\xff", b"[]", b"{}", b'{"value": 3}'])
def test_a_damaged_file_is_made_again(cache: Path, content: bytes) -> None:
    measure = Counted()
    keep_cost("pass", {}, measure)
    (file,) = (path for path in cache.rglob("*") if path.is_file())
    file.write_bytes(content)
    assert keep_cost("pass", {}, measure).peak_bytes == 2
    assert keep_cost("pass", {}, measure).peak_bytes == 2


def test_without_a_cache_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert cache_folder() is None
    calls = iter((1, 2))
    assert [keep("pass", {}, lambda: next(calls)) for _ in range(2)] == [1, 2]


def test_kept_costs_are_planned_without_torch() -> None:
    script = (
        "import sys\nfrom medsyn2.stages.plan import plan_costs\nfrom tests.unit.planned import WORK, config\n"
        "list(plan_costs(config(), WORK))\nprint('torch' in sys.modules)"
    )
    # The first keeps what no other test has kept before.
    said = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, encoding="utf-8", check=True) for _ in "ab"
    ]
    assert said[1].stdout == "False\n"
