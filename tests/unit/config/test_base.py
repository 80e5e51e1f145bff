"""Rules of every section."""

import math

import pytest
from pydantic import ValidationError

from medsyn2.config.base import CropShape, Section, Structures


class Example(Section):
    size_mm: float = 1.0
    sizes_mm: tuple[float, float] = (1.0, 2.0)
    crop: CropShape = (4, 8, 8)
    structures: Structures = ()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_is_infinite_or_none(value: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        Example(size_mm=value)
    with pytest.raises(ValidationError, match="finite"):
        Example(sizes_mm=(1.0, value))


@pytest.mark.parametrize("shape", [(6, 8, 8), (4, 12, 8), (4, 8, 9), (0, 8, 8)])
def test_the_tokenizer_sees_whole_latents(shape: tuple[int, int, int]) -> None:
    assert Example(crop=(12, 16, 24)).crop == (12, 16, 24)
    with pytest.raises(ValidationError, match="crop"):
        Example(crop=shape)


def test_a_structure_is_named_once() -> None:
    assert Example(structures=("lobes", "heart")).structures == ("lobes", "heart")
    with pytest.raises(ValidationError, match="named once"):
        Example(structures=("lobes", "heart", "lobes"))
