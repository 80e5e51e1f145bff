"""Rows find their volumes however they write the names, and never another's."""

import pytest

from medsyn2.reports.names import VolumeNames, shortest_keys


@pytest.mark.parametrize(
    "name",
    [
        "lung_1.nii.gz",
        "lung_1",
        " lung_1 ",
        "Lung_1.NII.GZ",
        "'lung_1.nii.gz'",
        '"""lung_1.nii"""',
        '="lung_1"',
        "\u201clung_1\u201d",
        "lung\u200b_1.nii.gz",
        "\ufefflung_1.nii.gz",
        "lung_1_0000.nii.gz",
        "/data/imagesTr/lung_1.nii.gz",
        "C:\\data\\lung_1.nii.gz",
        "lung\\_1.nii.gz",
        '\\"lung_1.nii.gz\\"',
    ],
)
def test_ways_of_writing_a_name(name: str) -> None:
    assert VolumeNames(["lung_1", "lung_2"]).find(name) == "lung_1"
    assert VolumeNames(["lung_1_0000", "lung_2_0000"]).find(name) == "lung_1_0000"


@pytest.mark.parametrize("name", ["", "lung", "lung_1_0001", "lung_11", "1", "nii.gz"])
def test_names_of_nobody(name: str) -> None:
    assert VolumeNames(["lung_1"]).find(name) is None


def test_a_name_that_several_files_have_needs_its_folder() -> None:
    places = {"a": "p1/ct.nii.gz", "b": "p2/ct.nii.gz", "c": "x/p1/scan.nii", "d": "y/p1/scan.nii", "e": "z.nii"}
    keys = shortest_keys(places)
    assert keys == {"a": "p1/ct", "b": "p2/ct", "c": "x/p1/scan", "d": "y/p1/scan", "e": "z"}
    names = VolumeNames(keys.values())
    assert names.find("/data/p1/ct.nii.gz") == "p1/ct"
    assert names.find("ct.nii.gz") is None
    assert names.find("p1/scan.nii") is None
    assert names.find("y/p1/scan") == "y/p1/scan"


def test_capitals_and_channels_count_where_they_alone_tell_files_apart() -> None:
    places = ("A.nii", "sub/a.nii", "l_0000.nii", "drawn/l.nii", "B.nii")
    names = VolumeNames(shortest_keys(dict(zip(places, places, strict=True))).values())
    found = [names.find(name) for name in ("A", "a", "l_0000", "l", "b", "L")]
    assert found == ["/A", "/a", "/l_0000", "/l", "B", None]
    assert VolumeNames(["/A"]).find("a") is None  # also in the job of a shard that holds one of them
