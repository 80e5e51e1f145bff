"""The page's modules that know no browser, tested by Node's own test runner."""

import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).parent / "static"


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("path", sorted(TESTS.glob("*.test.js")), ids=lambda path: path.name.split(".")[0])
def test_module(path: Path) -> None:
    result = subprocess.run(
        ["node", "--test", str(path)], capture_output=True, encoding="utf-8", check=False, timeout=120
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
