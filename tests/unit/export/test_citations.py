"""Every tool and every external weight has a reference."""

from typing import get_args

from medsyn2.config.preparation import Segmenter
from medsyn2.export.citations import CITATIONS
from medsyn2.weights.catalogue import CATALOGUE

NO_WORK_OF_OTHERS = {"classical", "files"}


def test_every_tool_and_weight_is_cited() -> None:
    tools = {one.when["tool"] for one in CITATIONS if "tool" in one.when}
    assert tools == set(get_args(Segmenter)) - NO_WORK_OF_OTHERS
    weights = {one.when["weights"] for one in CITATIONS if "weights" in one.when}
    names = {row.name.split("/")[0] for row in CATALOGUE}
    assert weights | tools == names | tools


def test_keys_are_each_once_and_references_lead_somewhere() -> None:
    keys = [one.key for one in CITATIONS]
    assert len(set(keys)) == len(keys)
    assert all(one.url.startswith("https://") for one in CITATIONS if "arXiv" in one.cite)
