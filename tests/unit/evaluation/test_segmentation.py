"""Which tool looks at generated volumes, and a volume in which it finds no lungs."""

import numpy as np
import pytest

from medsyn2.config import EvaluateMasksConfig, SegmentConfig
from medsyn2.ct.volume import CTVolume
from medsyn2.evaluation.segmentation import segment_again, tool_of, tools_again
from medsyn2.segmenters import get_segmenter


def test_a_tool_that_only_reads_files_is_replaced_or_left_out(caplog: pytest.LogCaptureFixture) -> None:
    segment = SegmentConfig(tools={"heart": "ct_rate", "nodules": None}, ct_rate_masks="masks")
    assert tool_of("heart", segment) is None
    assert tool_of("nodules", segment) is None
    assert "heart is left out: ct_rate reads files" in caplog.text
    assert "nodules is left out: no tool finds it" in caplog.text
    again = tools_again(segment, EvaluateMasksConfig(tools={"heart": "classical"}))
    assert tool_of("heart", again) == "classical"


def test_nothing_is_found_where_there_are_no_lungs() -> None:
    volume = CTVolume(np.zeros((30, 30, 30), np.int16), np.diag([6.0, 6.0, 6.0, 1.0]))
    tool = get_segmenter("classical", SegmentConfig(working_spacing_mm=6.0))
    assert not segment_again(volume, "heart", tool).any()
