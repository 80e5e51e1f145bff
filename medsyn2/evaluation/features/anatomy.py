"""The anatomy of the volumes of a set, as warnings.

A folder is compared as it is, whoever made it: a generator may well make one lung, or chests that lie on their side,
and the distance is then a true one. But if most volumes of a set lie otherwise than their headers say, its conversion
is wrong, and so is the table. So nothing is refused, and everything is told: a finding of most volumes as the set's,
one of a few with their names.
"""

from collections.abc import Iterator, Mapping

from medsyn2.ct.anatomy.judgement import judge_anatomy
from medsyn2.ct.anatomy.slices import MAX_STRANGERS, find_jumps
from medsyn2.ct.anatomy.verdict import WORDS, common_findings, verdict_of
from medsyn2.ct.anatomy.view import coarsen, thumbnails, view_chest
from medsyn2.ct.hounsfield.padding import blank_slices
from medsyn2.ct.volume import CTVolume
from medsyn2.errors import list_names
from medsyn2.facts import AnatomyFacts


def look_at(volume: CTVolume) -> tuple[AnatomyFacts, list[str]]:
    """Judge the anatomy of a volume without padding, and return it with notes on its slices."""
    image = ~blank_slices(volume.hu)
    notes = [] if image.all() else ["slices hold no image"]
    hu = volume.hu[image] if image.any() else volume.hu
    planes = thumbnails(hu, volume.spacing_mm)
    if len(find_jumps(planes, volume.spacing_mm[0])[1]) > MAX_STRANGERS:
        notes.append("the slices are not in the order of the body")
    return judge_anatomy(view_chest(*coarsen(hu, volume.spacing_mm, planes))), notes


def describe_set(anatomies: Mapping[str, AnatomyFacts]) -> Iterator[str]:
    """Yield how the volumes of a set lie, where that is otherwise than their headers say, or not whole."""
    verdicts = {name: verdict_of(anatomy) for name, anatomy in anatomies.items()}
    common = common_findings(list(verdicts.values()))
    for finding, words in WORDS.items():
        names = [name for name, verdict in verdicts.items() if verdict.get(finding)]
        if finding in common:
            having, told = common[finding]
            yield f"{having} of {told} volumes, such as {names[0]}, {words}: was the set converted rightly?"
            continue
        alone = [name for name, anatomy in anatomies.items() if finding in (anatomy.findings or ())]
        yield from (f"{text} {words}" for text in list_names("volumes", alone))
