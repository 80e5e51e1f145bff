"""MedPSeg: ground-glass opacity and consolidation, separated by one network.

It is not on the package index and wants an environment of its own (``envs/medpseg.yaml``), named in
``segment.python.medpseg``.

Source: Carmo et al., arXiv:2312.02365.
"""

from collections.abc import Sequence

from medsyn2.config import SegmentConfig
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.segmenters.tools.tool import ExternalTool, name_labels, run_on, weights_folder
from medsyn2.vocabulary import Structure

FILES: dict[Structure, str] = {"ground_glass": "ggo", "consolidation": "consolidation"}
"""The package's name of each structure's file."""


class MedPSegSegmenter(ExternalTool):
    """Finds the two opacities."""

    name = "medpseg"

    def __init__(self, config: SegmentConfig) -> None:
        weights = weights_folder(config, "medpseg")
        settings = {"weights": str(weights), "output": "{home}/output", "cpu": config.device == "cpu"}
        super().__init__(config, "medpseg", settings, environment={"TORCH_HOME": str(weights / "torch")})

    def segment(
        self, volume: CTVolume, structures: Sequence[Structure], *, case: str = ""
    ) -> dict[Structure, LabelMap]:
        """Return a label map of each wanted opacity."""
        wanted = [structure for structure in structures if structure in FILES]
        found = run_on(self._process, volume) if wanted else {}
        return {name: name_labels(found[FILES[name]], name, {FILES[name]: name}) for name in wanted}
