from dataclasses import dataclass, field

from medsyn2.facts import SPARSE
from medsyn2.fingerprints import canonical_json, fingerprint, list_differences, to_json


@dataclass(frozen=True)
class Point:
    x: float
    note: str | None = field(default=None, metadata=SPARSE)
    left: "Point | None" = None


def test_equal_values_give_equal_text_in_any_order_of_keys() -> None:
    assert canonical_json({"b": 1, "a": [1.5, None]}) == '{"a":[1.5,null],"b":1}'
    assert fingerprint({"b": 1, "a": 2}) == fingerprint({"a": 2, "b": 1})
    assert fingerprint("ab", "c") != fingerprint("a", "bc")


def test_a_dataclass_is_its_fields_without_sparse_ones_that_hold_nothing() -> None:
    assert to_json(Point(1.0, left=Point(2.0, "n"))) == {"x": 1.0, "left": {"x": 2.0, "note": "n", "left": None}}
    assert fingerprint(Point(1.0)) == fingerprint({"x": 1.0, "left": None})


def test_differences_are_named_by_their_place() -> None:
    here = {"dit": {"width": 96, "patch": [2, 2, 2], "gate": True}, "flow": {}}
    there = {"dit": {"width": 48, "patch": [2, 2, 2]}, "version": 1, "flow": {}}
    assert list_differences(here, here) == []
    assert list_differences(here, there) == [
        "dit.gate true instead of missing",
        "dit.width 96 instead of 48",
        "version missing instead of 1",
    ]
