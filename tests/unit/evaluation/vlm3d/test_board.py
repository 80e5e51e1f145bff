import csv
from pathlib import Path

import pandas as pd
import pytest

from medsyn2.errors import EnvironmentFault, TableError
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.evaluation.vlm3d.board import fid_table, pair_by_name, read_prompts


def volumes(*names: str) -> list[VolumeFile]:
    return [VolumeFile(name, name, Path(f"{name}.mha")) for name in names]


def test_volumes_are_paired_by_name_in_its_order() -> None:
    found = pair_by_name(volumes("c", "a", "b"), volumes("c", "a"))
    assert [volume.id for volume in found.real] == [volume.id for volume in found.synthetic] == ["a", "c"]
    with pytest.raises(EnvironmentFault, match=r"no real one of their name.*d"):
        pair_by_name(volumes("a"), volumes("a", "d"))


def test_prompts_are_those_of_the_names(tmp_path: Path) -> None:
    path = tmp_path / "prompts.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("Names", "Text_prompts"), ("b.mha", "Two."), ("a.mha", "One."), ("c.mha", "")])
    assert read_prompts(path, volumes("a", "b")) == ["One.", "Two."]
    for lacking in ("c", "d"):
        with pytest.raises(TableError, match=f"no prompt for.*{lacking}"):
            read_prompts(path, volumes("a", lacking))


def test_distances_of_the_challenge_s_protocol_and_extractor_alone_are_its_own() -> None:
    rows = [
        {"window": window, "condition": condition, "plane": plane, "fid": value, "num_synthetic": 7}
        for window in ("lung", "whole")
        for condition, value in (("real", 1.0), ("theirs", 3.0))
        for plane in ("axial", "coronal", "sagittal", "mean")
    ]
    frame = pd.DataFrame(rows).assign(protocol="vlm3d", extractor="radimagenet_resnet50(keras)")
    found = fid_table(frame).set_index("number")
    assert found["value"].tolist() == [3.0] * 4
    assert found["real"].tolist() == [1.0] * 4
    assert set(found["num_volumes"]) == {7}
    for other in (frame.assign(protocol="paper"), frame.assign(extractor="weight_free(seed=0)")):
        assert fid_table(other).empty
