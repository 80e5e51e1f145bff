"""Labels are numbered in their painting order, and the tables are those of 3D Slicer and ITK-SNAP."""

import pytest

from medsyn2.errors import ConfigError
from medsyn2.export.label_tables import PAINTED, itksnap_table, label_names, painting_order, slicer_table
from medsyn2.vocabulary import STRUCTURES


def test_every_structure_has_a_place_and_lesions_cover_organs() -> None:
    assert sorted(PAINTED) == sorted(STRUCTURES)
    assert painting_order(["nodules", "rib fracture", "heart", "lobes"]) == (
        "lobes",
        "heart",
        "nodules",
        "rib fracture",
    )


def test_lobes_are_five_labels_and_words_are_one() -> None:
    names = label_names(["nodules", "lobes", "rib fracture"])
    assert list(names) == [1, 2, 3, 4, 5, 6, 7]
    assert (names[1], names[6], names[7]) == ("left_upper", "nodules", "rib_fracture")


@pytest.mark.parametrize("structures", [["heart", "heart"], [f"s{number}" for number in range(201)]])
def test_repeated_or_too_many_structures_are_refused(structures: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        painting_order(structures)
    assert caught.value.code == "export-structures"


def test_tables_name_each_label_once_with_its_colour() -> None:
    names = label_names(["heart", "nodules"])
    rows = [line.split() for line in slicer_table(names).splitlines() if not line.startswith("#")]
    assert [row[:2] for row in rows] == [["0", "background"], ["1", "heart"], ["2", "nodules"]]
    assert all(len(row) == 6 and all(0 <= int(value) <= 255 for value in row[2:]) for row in rows)
    assert rows[1][2:5] != rows[2][2:5]
    lines = [line for line in itksnap_table(names).splitlines() if not line.startswith("#")]
    assert [line.split(maxsplit=7)[7] for line in lines] == ['"Clear Label"', '"heart"', '"nodules"']
    assert [line.split()[1:4] for line in lines[1:]] == [row[2:5] for row in rows[1:]]
