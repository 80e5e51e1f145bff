"""Tools that find structures in a CT, behind one Protocol.

A tool gets a CT and the structures that are wanted of it, and gives a label map of each, on whatever grid it
works: the stage ``masks`` brings them to the model's grid. A structure that the tool looked for and did not
find is an empty label map. One that it could not look for is an error that says why: "nothing there" would be
a claim that nobody checked. External tools run in processes of their own (`process`), which `close` ends.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol, runtime_checkable

from medsyn2.config import SegmentConfig
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import ConfigError, SegmenterError
from medsyn2.vocabulary import Structure

_TOOLS = {
    "classical": ("medsyn2.segmenters.classical.segmenter", "ClassicalSegmenter"),
    "lungmask": ("medsyn2.segmenters.tools.lungmask", "LungmaskSegmenter"),
    "totalsegmentator": ("medsyn2.segmenters.tools.totalsegmentator", "TotalSegmentatorSegmenter"),
    "medpseg": ("medsyn2.segmenters.tools.medpseg", "MedPSegSegmenter"),
    "ct_rate": ("medsyn2.segmenters.tools.mask_files", "CtRateSegmenter"),
    "files": ("medsyn2.segmenters.tools.mask_files", "MaskFileSegmenter"),
}
READERS = frozenset({"ct_rate", "files"})
"""Tools that read the masks of others: they know the cohort's cases and no other volume."""


@runtime_checkable
class Segmenter(Protocol):
    """A tool that finds structures in a CT."""

    name: str  # What the tables and records call it

    def segment(
        self, volume: CTVolume, structures: Sequence[Structure], *, case: str = ""
    ) -> Mapping[Structure, LabelMap | SegmenterError]:
        """Return a label map of each of `structures`, or the reason why it could not be looked for.

        Args:
            structures: Structures to find; the tool can find each.
            case: The case's id, for tools that read files; empty if the volume is no case of the cohort.

        Raises:
            CaseError: If this CT cannot be segmented; the tool itself works.
            EnvironmentFault: If the tool cannot work, whatever the CT.
        """
        ...

    def versions(self) -> dict[str, str]:
        """Return the version of each package that decides the result."""
        ...

    def sources(self, structures: Sequence[Structure], case: str) -> list[Path]:
        """Return the files beside the CT that decide the result, those that there are."""
        ...

    def close(self) -> None:
        """Release the resources of the tool, such as a process."""
        ...


def get_segmenter(name: str, config: SegmentConfig) -> Segmenter:
    """Return the tool called `name`, made ready with its settings.

    Raises:
        ConfigError: If there is no such tool.
    """
    if name not in _TOOLS:
        raise ConfigError(
            f"segment.tools names {name!r}, known are {sorted(_TOOLS)}.",
            code="segmenter-unknown",
            remedy="use a known tool, or null to leave the structure out.",
        )
    module, cls = _TOOLS[name]
    tool: Segmenter = getattr(import_module(module), cls)(config)
    return tool
