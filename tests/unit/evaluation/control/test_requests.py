"""Requests whose report is edited with the mask."""

from pathlib import Path

import numpy as np

from medsyn2.ct.nifti.files import write_labels
from medsyn2.ct.volume import LabelMap, axis_aligned_affine
from medsyn2.evaluation.control.requests import Request, grow_requests
from medsyn2.evaluation.held_out import Case, load_cases
from medsyn2.facts import Report
from tests.unit.records import inventory_facts, masks_facts, register_facts, write_manifest

AFFINE = axis_aligned_affine((2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
BILATERAL = np.zeros((4, 6, 12), dtype=bool)
BILATERAL[1:3, 1:3, 1:4] = BILATERAL[1:3, 1:3, 8:10] = True
REPORT = Report("Bilateral pleural effusions.", "Left heart normal.")
NO_MOVE = (0.0, 0.0, 0.0)


def held_out(root: Path, report: Report | None) -> Case:
    """Return a held-out case with bilateral masks."""

    def draw(case: str, folder: Path) -> None:
        for name in ("lobes", "lobe_labels", "pleural_effusion", "nodules"):
            write_labels(folder / f"{name}.nii.gz", LabelMap(BILATERAL.astype(np.uint8), AFFINE))

    states = dict.fromkeys(("lobes", "pleural_effusion", "nodules"), "present")
    manifests = {
        "inventory": [write_manifest(root / "inventory/0.json", {"a": inventory_facts("s", "test", report)})],
        "register": [write_manifest(root / "register/0.json", {"a": register_facts("s", "test")})],
        "masks": [write_manifest(root / "masks/0.json", {"a": masks_facts("s", "test", states)}, draw)],
    }
    (case,) = load_cases(**manifests)
    return case


def request(structure: str, mask: np.ndarray = BILATERAL, report: Report | None = REPORT) -> Request:
    return Request(structure, LabelMap(mask, AFFINE), mask, report)


def test_mask_and_report_are_edited_together() -> None:
    before = request("pleural_effusion")
    edits = dict(before.edits((0.0, 4.0, 0.0)))
    assert list(edits) == ["mirrored", "moved", "left kept", "right kept", "removed"]
    said = {name: one.report and one.report.findings for name, one in edits.items()}
    assert said["left kept"] == "Left pleural effusions."
    assert said["right kept"] == "Right pleural effusions."
    assert said["moved"] == said["mirrored"] == REPORT.findings  # of both sides, and of none
    assert said["removed"] is None
    assert all(one.report and one.report.impression == REPORT.impression for one in edits.values())
    for one in edits.values():
        np.testing.assert_array_equal(one.given.binary(), one.region)
    left, right = edits["left kept"].region, edits["right kept"].region
    assert (left.sum(), right.sum()) == (8, 12)
    np.testing.assert_array_equal(left | right, BILATERAL)
    np.testing.assert_array_equal(edits["moved"].region, np.roll(BILATERAL, 2, axis=1))
    assert not edits["removed"].region.any()
    states = [one.report_state(before) for one in edits.values()]
    assert states == ["unchanged", "unchanged", "edited", "edited", "edited"]


def test_a_finding_of_one_side_has_no_side_to_keep() -> None:
    one_sided = request("pleural_effusion", BILATERAL & (np.arange(12) < 6))
    assert [name for name, _ in one_sided.edits(NO_MOVE)] == ["mirrored", "moved", "removed"]


def test_pairs_of_mask_and_report_grow_from_a_healthy_report(tmp_path: Path) -> None:
    healthy = Report("No pleural effusion. No nodule.")
    chain = grow_requests(held_out(tmp_path, REPORT), ["lobes", "pleural_effusion", "nodules"], healthy)
    assert [one.structure for one in chain] == ["lobes", "pleural_effusion", "nodules"]
    assert [one.report and one.report.findings for one in chain] == [
        healthy.findings,
        "No nodule. Bilateral pleural effusions.",
        "Bilateral pleural effusions. Lung nodules.",
    ]
    alone = grow_requests(held_out(tmp_path, None), ["lobes", "nodules"], None)
    assert [one.report for one in alone] == [None, None]
