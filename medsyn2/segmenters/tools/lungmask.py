"""lungmask: the five lobes, slice by slice, by a network trained on LTRC and filled from one trained on 231 CTs.

The paper's lobes. The fused form is the one that its authors recommend where disease hides the fissures.

Source: Hofmanninger et al., European Radiology Experimental 2020.
"""

from collections.abc import Sequence

from medsyn2.config import SegmentConfig
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.segmenters.tools.process import ToolProcess
from medsyn2.segmenters.tools.tool import ExternalTool, name_labels, run_on, weights_folder
from medsyn2.vocabulary import LOBES, Structure


class LungmaskSegmenter(ExternalTool):
    """Finds the lobes."""

    name = "lungmask"

    def __init__(self, config: SegmentConfig) -> None:
        super().__init__(
            ToolProcess(
                "lungmask",
                "run_lungmask",
                python=config.python.get("lungmask"),
                settings={
                    "weights": str(weights_folder(config, "lungmask")),
                    "cpu": config.device == "cpu",
                },
                time_limit_s=config.time_limit_s,
            )
        )

    def segment(
        self, volume: CTVolume, structures: Sequence[Structure], *, case: str = ""
    ) -> dict[Structure, LabelMap]:
        """Return the lobe map, if it is wanted."""
        if "lobes" not in structures:
            return {}
        found = run_on(self._process, volume)["lobes"]
        return {"lobes": name_labels(found, "lobes", {name: name for name in LOBES.values()})}
