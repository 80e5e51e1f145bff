"""A key is read as it was written, or refused; its study's name tells no reader which cases are real."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medsyn2.errors import TableError
from medsyn2.evaluation.readers.reader_key import Key, read_key
from medsyn2.evaluation.readers.reader_plan import Plan
from medsyn2.integrity import SEAL, read_sealed, write_sealed

OTHER = {"real": "synthetic", "synthetic": "real"}


def entry(index: int) -> dict[str, str]:
    source = "real" if index < 3 else "synthetic"
    return {
        "source": source,
        "pathology": "nodules",
        "id": f"nodules/{index}",
        "patient": f"{index}",
        "sha256": f"{index}",
    }


KEY = Key(Plan("report", 0.15), [["001", "002"], ["002", "001"]], {f"{i:03d}": entry(i) for i in range(6)}, "folder")


def test_a_key_is_what_was_written(tmp_path: Path) -> None:
    KEY.write(tmp_path / "key.json", {"seed": 3})
    assert read_key(tmp_path / "key.json") == KEY
    assert read_sealed(tmp_path / "key.json")["study"] == KEY.study
    assert read_sealed(tmp_path / "key.json")["seed"] == 3


def test_exchanging_real_and_synthetic_leaves_the_study_s_name() -> None:
    exchanged = {name: {**one, "source": OTHER[one["source"]]} for name, one in KEY.cases.items()}
    assert replace(KEY, cases=exchanged).study == KEY.study


def changed(held: dict[str, Any], *path: str, to: object) -> dict[str, Any]:
    inner = held
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = to
    return held


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("plan", "margin"), 0.3),
        (("plan", "question"), "mask"),
        (("plan", "level"), 0.05),
        (("cases", "001", "source"), "synthetic"),
        (("cases", "001", "pathology"), "effusion"),
        (("cases", "001", "patient"), "2"),
        (("orders",), [["001"], ["002"]]),
        (("folder",), "another"),
    ],
)
@pytest.mark.parametrize("name", ["kept", "renewed"])
def test_a_key_that_was_changed_afterwards_is_refused_though_it_was_sealed_again(
    tmp_path: Path, path: tuple[str, ...], to: object, name: str
) -> None:
    place = tmp_path / "key.json"
    KEY.write(place, {})
    write_sealed(place, changed(read_sealed(place), *path, to=to))
    if name == "kept":
        with pytest.raises(TableError, match="key-changed"):
            read_key(place)
    else:  # by a liar who gives it a name that fits: that of another study than the answers are for
        held = read_sealed(place)
        plan, rest = Plan(**held["plan"]), (held["orders"], held["cases"], held["folder"])
        assert Key(plan, *rest).study != KEY.study


def test_a_value_that_was_edited_is_refused_and_so_is_a_key_without_a_seal(tmp_path: Path) -> None:
    place = tmp_path / "key.json"
    KEY.write(place, {"seed": 3})
    text = place.read_text("utf-8")
    for wrong in (text.replace('"margin": 0.15', '"margin": 0.3'), text.replace(SEAL, "other"), "{}", "[", ""):
        place.write_text(wrong, encoding="utf-8")
        with pytest.raises(TableError, match="key-unreadable"):
            read_key(place)
    held = json.loads(text)
    del held[SEAL]
    place.write_text(json.dumps(held), encoding="utf-8")
    with pytest.raises(TableError, match="no seal"):
        read_key(place)


def test_an_analysis_of_another_version_is_no_analysis_of_this_one(tmp_path: Path) -> None:
    place = tmp_path / "key.json"
    replace(KEY, plan=Plan("report", 0.15, analysis="another")).write(place, {})
    with pytest.raises(TableError, match="its analysis is not the one of this version"):
        read_key(place)
