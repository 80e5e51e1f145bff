"""torchvision that cannot be imported, as beside a torch of another build."""

import subprocess
import sys
from pathlib import Path

import pytest

import medsyn2.segmenters.workers

WORKERS = Path(medsyn2.segmenters.workers.__file__).parent
BROKEN = """
import torch
torch.library.register_fake("torchvision::nms")(lambda dets, scores, iou_threshold: dets)
"""
CODE = "from torch_pair import let_torchvision_be_imported as mend; {}; import torchvision; print('imported')"


@pytest.mark.parametrize(("before", "works"), [("mend()", True), ("pass", False)])
def test_what_it_misses_is_declared(tmp_path: Path, before: str, works: bool) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text(BROKEN, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-c", CODE.format(before)],
        env={"PYTHONPATH": f"{tmp_path}:{WORKERS}"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ("imported" in result.stdout) == works
    assert works or "operator torchvision::nms does not exist" in result.stderr


def test_without_torchvision_nothing_happens() -> None:
    code = "from torch_pair import let_torchvision_be_imported as mend; mend()"
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(WORKERS)}, check=True)
