"""Other generators have names and ranges of their own."""

import pytest

from medsyn2.config import SampleConfig, validate_config
from medsyn2.errors import ConfigError


@pytest.mark.parametrize("name", ["report", "neither", "lobes", "Heart", "report_and_heart", "real", "no/folder", ""])
def test_a_generator_cannot_take_the_name_of_volumes_of_ours_or_leave_its_folder(name: str) -> None:
    with pytest.raises(ConfigError, match=r"evaluate_fid"):
        validate_config({"evaluate_fid": {"baselines": {name: {"folder": "theirs"}}}}, source="test")


@pytest.mark.parametrize(
    ("protocol", "clip_hu", "named"),
    [
        ("paper", [600, -1024], "low < high"),
        ("paper", [-1024, float("inf")], "finite"),
        ("maisi", [-1024, 600], "maisi has a range of its own"),
    ],
)
def test_a_range_is_one_and_has_an_effect(protocol: str, clip_hu: list[float], named: str) -> None:
    baselines = {"Other": {"folder": "theirs", "clip_hu": clip_hu}}
    with pytest.raises(ConfigError, match=named):
        validate_config({"evaluate_fid": {"protocol": protocol, "baselines": baselines}}, source="test")
    baselines["Other"]["clip_hu"] = [-1024, 600]
    kept = validate_config({"evaluate_fid": {"baselines": baselines}}, source="test")
    assert kept.evaluate_fid.baselines["Other"].clip_hu == (-1024, 600)


def test_volumes_of_a_case_are_counted_with_the_joint_ones() -> None:
    config = SampleConfig(structures=("heart", "lobes"), joint=("heart", "nodules"))
    assert config.num_conditions == 5
    assert config.all_structures == ("lobes", "heart", "nodules")


def test_tiles_are_of_the_weight_free_filters_alone() -> None:
    with pytest.raises(ConfigError, match="tiles are of the weight-free filters"):
        validate_config({"evaluate_fid": {"tiles": True, "radimagenet": "weights"}}, source="test")
