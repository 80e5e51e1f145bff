"""lungmask: the five lobes, slice by slice, by a network trained on LTRC and filled from one trained on 231 CTs.

The paper's lobes. The fused form is the one that its authors recommend where disease hides the fissures.

Source: Hofmanninger et al., European Radiology Experimental 2020.
"""

from collections.abc import Sequence

from medsyn2.config import SegmentConfig
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.segmenters.tools.tool import ExternalTool, name_labels, run_on, weights_folder
from medsyn2.vocabulary import LOBES, Structure


class LungmaskSegmenter(ExternalTool):
    """Finds the lobes."""

    name = "lungmask"

    def __init__(self, config: SegmentConfig) -> None:
        weights = weights_folder(config, "lungmask")
        super().__init__(config, "lungmask", {"weights": str(weights), "cpu": config.device == "cpu"})

    def segment(
        self, volume: CTVolume, structures: Sequence[Structure], *, case: str = ""
    ) -> dict[Structure, LabelMap]:
        """Return the lobe map, if it is wanted."""
        if "lobes" not in structures:
            return {}
        found = run_on(self._process, volume)["lobes"]
        return {"lobes": name_labels(found, "lobes", {name: name for name in LOBES.values()})}
