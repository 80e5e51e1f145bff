"""The requests of a case: those that the configuration asks for and that the case has the inputs of."""

from medsyn2.config import SampleConfig
from medsyn2.facts import InventoryFacts, MasksFacts, Report
from medsyn2.pipeline.conditions import conditions_of, identity_of
from medsyn2.store.artefacts import Record
from tests.unit.records import inventory_facts, masks_facts

REPORT = Report("A nodule of 5 mm.", "Nodule.")
CONFIG = SampleConfig(structures=["heart", "airways"], joint=["heart"])


def listed(report: Report | None) -> Record[InventoryFacts]:
    return Record("a", "0", {}, inventory_facts("s", "test", report=report))


def masked(**states: str) -> Record[MasksFacts]:
    files = {f"a/{name}.nii.gz": f"digest of {name}" for name in states}
    return Record("a", "0", files, masks_facts("s", "test", states))


def names(report: Report | None, masks: Record[MasksFacts] | None) -> list[str]:
    return [one.name for one in conditions_of(CONFIG, listed(report), masks)]


def test_a_case_is_asked_for_with_all_that_it_has() -> None:
    found = names(REPORT, masked(heart="present", airways="present"))
    assert found == ["report", "heart", "airways", "report_and_heart"]
    assert names(REPORT, masked(heart="empty", airways="absent")) == ["report"]
    assert names(None, masked(heart="present")) == ["neither", "heart"]
    assert names(None, None) == ["neither"]


def test_another_mask_is_another_request() -> None:
    first, second = masked(heart="present"), masked(heart="present")
    second.files["a/heart.nii.gz"] = "another"
    _, heart = conditions_of(CONFIG, listed(None), first)
    assert identity_of(heart, first) != identity_of(heart, second)
    assert identity_of(heart, first) == ["heart", None, "digest of heart"]
