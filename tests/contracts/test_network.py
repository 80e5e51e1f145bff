"""Nothing but ``medsyn2 fetch`` opens a connection.

The hook in ``tests/conftest.py`` refuses connections to other machines in every test, and so in every stage that a
test runs; here whole commands run under a stricter one.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOOK = """
import sys
def refuse(event, arguments):
    if event == "socket.bind" and arguments[1] == ("::1", 0):
        return  # urllib3, which nibabel imports with pydicom, looks whether this machine has IPv6
    if event in {"socket.connect", "socket.getaddrinfo", "socket.bind", "urllib.Request"}:
        raise SystemExit(f"{event}: {arguments}")
sys.addaudithook(refuse)
"""


def run(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "hook").mkdir(exist_ok=True)
    (folder / "hook/sitecustomize.py").write_text(HOOK, encoding="utf-8")
    command = [sys.executable, "-c", code, *arguments]
    environment = {"PYTHONPATH": f"{folder / 'hook'}:{ROOT}", "OMP_NUM_THREADS": "1", "HOME": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", check=False)


def test_one_module_knows_how_to_connect() -> None:
    words = re.compile(r"^\s*(import|from) (urllib|http|socket|requests|ftplib|ssl|aiohttp|httpx)\b", re.MULTILINE)
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "medsyn2").rglob("*.py")
        if words.search(path.read_text("utf-8"))
    }
    # The command line looks for a free port, at which the nodes of a training meet; the page listens at one.
    assert found == {"medsyn2/weights/download.py", "medsyn2/cli.py", "medsyn2/server/serving.py"}


def test_the_hook_refuses(tmp_path: Path) -> None:
    result = run(tmp_path, "import socket; socket.create_connection(('127.0.0.1', 9))")
    assert result.returncode == 1
    assert "socket." in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["doctor", "--config", "mine.yaml"],
        ["plan", "--config", "mine.yaml"],
        ["config"],
        ["fetch", "--list"],
        ["generate", "--help"],
        ["convert", "--help"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_opens_nothing(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "mine.yaml").write_text(
        "cohort: {num_phantoms: 4}\ngrid: {shape: [16, 32, 32]}\ntrain_tokenizer: {crop_shape: [16, 32, 32]}\n",
        encoding="utf-8",
    )
    result = run(tmp_path, "import sys; from medsyn2.cli import main; sys.exit(main(sys.argv[1:]))", *arguments)
    assert result.returncode == 0, result.stderr


def test_fetch_would(tmp_path: Path) -> None:
    code = "import sys; from medsyn2.cli import main; sys.exit(main(sys.argv[1:]))"
    result = run(tmp_path, code, "fetch", "lungmask", "--to", "weights", "--mirror", "http://127.0.0.1:9")
    assert result.returncode == 1
    assert "urllib.Request" in result.stderr
