"""lungmask's adapter and process: labels by the names that the package's own description gives."""

from contextlib import closing

import numpy as np
import pytest

from medsyn2.config import SegmentConfig
from medsyn2.errors import EnvironmentFault, WeightsError
from medsyn2.segmenters import Segmenter, get_segmenter
from medsyn2.vocabulary import LOBES


def tool(weights, device="auto") -> Segmenter:
    config = SegmentConfig(tools={"lobes": "lungmask"}, weights_dir=weights.parent, device=device)
    return get_segmenter("lungmask", config)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_lobes_have_our_numbers_by_the_package_s_names(install, volume, device: str) -> None:
    weights = install("lungmask")
    for name in ("lobes-1.pth", "lungs-2.pth"):
        (weights / name).touch()
    with closing(tool(weights, device)) as lungmask:
        assert isinstance(lungmask, Segmenter)
        found = lungmask.segment(volume, ["lobes"])["lobes"]
        assert lungmask.versions() == {"lungmask": "0.2.22"}
        assert lungmask.segment(volume, []) == {}
    band = 1 + np.arange(12) * 5 // 12
    np.testing.assert_array_equal(found.labels, (volume.hu < -500) * band[:, None, None])
    np.testing.assert_allclose(found.affine_mm, volume.affine_mm, atol=1e-5)
    assert found.names == LOBES


def test_other_numbers_are_understood_by_name(install, volume, tmp_path) -> None:
    weights = install("lungmask")
    for name in ("lobes-1.pth", "lungs-2.pth"):
        (weights / name).touch()
    metadata = tmp_path / "packages/lungmask-0.2.22.dist-info/METADATA"
    text = (
        metadata.read_text("utf-8")
        .replace("1 = Left upper", "9 = Left upper")
        .replace("5 = Right lower", "1 = Right lower")
    )
    metadata.write_text(text.replace("9 = Left upper", "5 = Left upper"), encoding="utf-8")
    with closing(tool(weights)) as lungmask:
        found = lungmask.segment(volume, ["lobes"])["lobes"]
    assert LOBES[int(found.labels[2].max())] == "right_lower"


def test_a_package_that_does_not_say_what_its_labels_mean_is_refused(install, volume, tmp_path) -> None:
    weights = install("lungmask")
    for name in ("lobes-1.pth", "lungs-2.pth"):
        (weights / name).touch()
    metadata = tmp_path / "packages/lungmask-0.2.22.dist-info/METADATA"
    metadata.write_text(metadata.read_text("utf-8").replace("lobe", "part"), encoding="utf-8")
    with closing(tool(weights)) as lungmask, pytest.raises(EnvironmentFault) as caught:
        lungmask.segment(volume, ["lobes"])
    assert caught.value.code == "tool-labels"


def test_missing_weights_are_named(install, volume) -> None:
    weights = install("lungmask")
    (weights / "lobes-1.pth").touch()
    with closing(tool(weights)) as lungmask, pytest.raises(WeightsError, match=r"lungs-2\.pth") as caught:
        lungmask.segment(volume, ["lobes"])
    assert "medsyn2 fetch lungmask" in caught.value.remedy


def test_no_folder_of_weights_is_said_before_anything_starts() -> None:
    with pytest.raises(WeightsError, match=r"segment\.weights_dir"):
        get_segmenter("lungmask", SegmentConfig(tools={"lobes": "lungmask"}))
