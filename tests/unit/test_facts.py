"""Facts tell the file names and states that stages look up."""

from medsyn2.facts import MaskFacts, MasksFacts, mask_file, region_file
from medsyn2.vocabulary import STRUCTURES


def test_lobes_alone_have_a_region_file_of_their_own() -> None:
    others = [name for name in STRUCTURES if region_file(name) != mask_file(name)]
    assert others == ["lobes"]
    assert region_file("lobes") == "lobe_labels.nii.gz"


def test_a_structure_that_no_tool_looked_for_is_absent() -> None:
    facts = MasksFacts("s", "test", {"heart": MaskFacts("present", 1.0, "classical")})
    assert facts.present == ("heart",)
    assert facts.states == {name: "present" if name == "heart" else "absent" for name in STRUCTURES}
