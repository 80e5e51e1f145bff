"""Reports after the edits of a mask, in the words of the embedded cohort and in a radiologist's."""

import pytest

from medsyn2.facts import Report
from medsyn2.phantoms.reports import WORDINGS
from medsyn2.reports.editing import add_finding, keep_side, mirror_report, remove_finding
from medsyn2.vocabulary import SIDES

EFFUSION, NODULES = "pleural_effusion", "nodules"
REPORT = Report(
    "Heart size is normal. No pericardial effusion. Large left-sided pleural effusion of 12.5 mm. A nodule in the "
    "right middle lobe. No pleural effusion on the right side.",
    "Left pleural effusion. Nodule in the right middle lobe.",
)


@pytest.mark.parametrize(
    ("sentence", "left", "right"),
    [
        ("Bilateral pleural effusions.", "Left pleural effusions.", "Right pleural effusions."),
        (
            "There is a large right and a small left pleural effusion.",
            "A small left pleural effusion.",
            "There is a large right pleural effusion.",
        ),
        (
            "Small pleural effusions are present on the right and on the left.",
            "Small pleural effusions are present on the left.",
            "Small pleural effusions are present on the right.",
        ),
        (
            "Bilateral pleural effusions, large on the right and small on the left.",
            "Left pleural effusions, small on the left.",
            "Right pleural effusions, large on the right.",
        ),
        ("Left pleural effusion of 3 cm.", "Left pleural effusion of 3 cm.", None),
        ("There is an effusion, also seen before.", *["There is an effusion, also seen before."] * 2),
        ("Fluid around the left lung.", *["Fluid around the left lung."] * 2),
    ],
)
def test_one_side_of_a_finding_is_kept(sentence: str, left: str | None, right: str | None) -> None:
    assert keep_side(Report(sentence), EFFUSION, "left").findings == left
    assert keep_side(Report(None, sentence), EFFUSION, "right").impression == right


def test_places_of_one_side_stay_in_a_list_of_places() -> None:
    report = Report("Nodules in the left upper lobe, right upper lobe and right lower lobe.")
    assert keep_side(report, NODULES, "left").findings == "Nodules in the left upper lobe."
    assert keep_side(report, NODULES, "right").findings == "Nodules in the right upper lobe and right lower lobe."


@pytest.mark.parametrize("wording", [*WORDINGS["equal effusions"], *WORDINGS["unequal effusions"]])
@pytest.mark.parametrize("side", SIDES)
def test_every_wording_of_two_effusions_becomes_one_of_a_side(wording: str, side: str) -> None:
    sentence = wording.format(size="small", Size="Small", right="large", left="small")
    kept = keep_side(Report(sentence), EFFUSION, side).findings
    other = "left" if side == "right" else "right"
    assert side in kept.lower()
    assert "effusion" in kept
    assert other not in kept.lower()
    assert kept[0].isupper()
    assert kept.endswith(".")


def test_what_is_excluded_and_other_findings_stay() -> None:
    kept = keep_side(REPORT, EFFUSION, "right")
    assert kept.findings == (
        "Heart size is normal. No pericardial effusion. A nodule in the right middle lobe. No pleural effusion on the "
        "right side."
    )
    assert kept.impression == "Nodule in the right middle lobe."
    assert remove_finding(REPORT, EFFUSION) == kept
    assert remove_finding(REPORT, "pericardial_effusion") == REPORT
    assert remove_finding(Report("Pleural effusion."), EFFUSION) == Report()


@pytest.mark.parametrize("topic", ["no pleural effusion", "no effusion of a side"])
def test_every_wording_that_excludes_stays(topic: str) -> None:
    for wording in WORDINGS[topic]:
        report = Report(wording.format(side="left", Side="Left"))
        assert remove_finding(report, EFFUSION) == report


def test_a_mirrored_report_names_the_other_side_of_the_finding_alone() -> None:
    mirrored = mirror_report(REPORT, NODULES)
    assert mirrored.impression == "Left pleural effusion. Nodule in the lingula."
    assert mirror_report(mirrored, NODULES) == REPORT
    assert "Large right-sided pleural effusion" in (mirror_report(REPORT, EFFUSION).findings or "")
    assert mirror_report(REPORT, EFFUSION).impression == "Right pleural effusion. Nodule in the right middle lobe."


def test_a_report_grows_by_the_sentences_of_another_or_by_the_name_of_the_finding() -> None:
    healthy = Report("Heart size is normal. No pleural effusion. No nodule.")
    one = add_finding(healthy, EFFUSION, REPORT)
    assert one.findings == "Heart size is normal. No nodule. Large left-sided pleural effusion of 12.5 mm."
    assert one.impression == "Left pleural effusion."
    two = add_finding(one, NODULES, None)
    assert two.findings == "Heart size is normal. Large left-sided pleural effusion of 12.5 mm. Lung nodules."
    assert two.impression == one.impression
    assert add_finding(healthy, "lobes", REPORT) == healthy
