import pytest
from pydantic import ValidationError

from medsyn2.config.schema import Config


def test_variant_takes_the_rest_of_its_settings_from_the_main_model() -> None:
    config = Config.model_validate({"dit": {"width": 96}, "variants": {"plain": {"dit": {"conv": False}}}})
    variant = config.with_variant("plain")
    assert (variant.dit.width, variant.dit.conv) == (96, False)
    assert variant.variants == {}
    assert config.dit.conv is True


def test_variant_cannot_take_the_main_model_s_name() -> None:
    with pytest.raises(ValidationError, match="main is the model of train_dit"):
        Config.model_validate({"variants": {"main": {}}})


def test_section_is_found_by_the_name_in_the_file() -> None:
    config = Config()
    assert config.section("register") is config.register_
    assert config.section("grid") is config.grid
