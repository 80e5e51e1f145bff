import pytest
from pydantic import ValidationError

from medsyn2.config.schema import MAIN, Config, merge


def test_a_variant_takes_the_main_models_settings_where_it_says_nothing() -> None:
    config = Config.model_validate({"dit": {"depth": 3}, "variants": {"no_conv": {"dit": {"conv": False}}}})
    variant = config.with_variant("no_conv")
    assert (variant.dit.depth, variant.dit.conv) == (3, False)
    assert variant.variants == {}
    assert config.dit.conv


def test_the_main_models_name_is_no_variant() -> None:
    with pytest.raises(ValidationError, match="name the variant otherwise"):
        Config.model_validate({"variants": {MAIN: {}}})


def test_sections_are_found_by_their_names_in_the_file() -> None:
    config = Config()
    assert config.section("register") is config.register_
    assert config.section("grid") is config.grid


def test_mappings_merge_key_by_key() -> None:
    assert merge({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 4}, "d": 5}) == {"a": {"b": 4, "c": 2}, "d": 5}
