import re

import pytest

from medsyn2.ct.registration.reference import Reference
from medsyn2.phantoms.demands import read_demands
from medsyn2.server.problems import Refusal
from medsyn2.server.starts import PHANTOMS, Shelf, list_examples, list_shelf
from medsyn2.vocabulary import STRUCTURES


def test_the_shelf_has_every_structure_on_both_sides():
    entries = list_shelf()
    assert {entry["structure"] for entry in entries} == set(STRUCTURES)
    for lesion in ("nodules", "ground_glass", "consolidation", "pleural_effusion"):
        assert {entry["side"] for entry in entries if entry["structure"] == lesion} == {"left", "right"}
    assert len({entry["id"] for entry in entries}) == len(entries)
    assert all(re.fullmatch("[0-9a-f]{16}", entry["id"]) for entry in entries)
    assert max(entry["phantom"] for entry in entries) < PHANTOMS


def test_an_unknown_entry_is_refused(page):
    assert page.client.get("/api/shelf").json() == []  # the tiny model has no template
    assert page.post("/api/shelf/" + list_shelf()[0]["id"]).status_code == 404
    with pytest.raises(Refusal):
        Shelf(Reference(None, None), page.page.grid).take("0" * 15 + "f")


def test_examples_are_sentences_without_gaps():
    examples = list_examples()
    assert len(examples) > 20
    sentences = [one for entry in examples for one in entry["sentences"]]
    assert not [one for one in sentences if re.search(r"[{}]", one) or not one.endswith((".", ")."))]
    (nodules,) = [entry["sentences"] for entry in examples if entry["finding"] == "nodule"]
    assert {demand.kind for one in nodules for demand in read_demands(one)} == {"nodules"}
