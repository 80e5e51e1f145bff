"""The loop by itself, as another language could drive it: lines in, lines out."""

import json
import subprocess
import sys
from pathlib import Path

import medsyn2.segmenters.workers

SERVE = Path(medsyn2.segmenters.workers.__file__).with_name("serve.py")


def test_lines_in_lines_out_until_the_end_of_the_input(tmp_path) -> None:
    (tmp_path / "echo.py").write_text(
        "def prepare(settings):\n    print('noise')\n    return settings, {'labels': {}}\n"
        "def segment(tool, request):\n    return {'files': {}, 'seen': [tool, request]}\n",
        encoding="utf-8",
    )
    lines = [{"settings": {"a": 1}}, {"case": {"ct": "x"}}, {"case": {"ct": "y"}}]
    result = subprocess.run(
        [sys.executable, SERVE, "echo"],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        encoding="utf-8",
        check=True,
        env={"PYTHONPATH": str(tmp_path)},
    )
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert answers[0] == {"ready": {"labels": {}}}
    assert [answer["done"]["seen"][1]["ct"] for answer in answers[1:]] == ["x", "y"]
    assert result.stderr == "noise\n"


def test_it_imports_nothing_of_medsyn2_and_little_else() -> None:
    workers = SERVE.parent.glob("*.py")
    assert all("medsyn2." not in path.read_text("utf-8").replace("``medsyn2", "") for path in workers)
