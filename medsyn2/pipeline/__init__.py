"""A trained model as one object: a report, or a mask with words, or both, or neither, gives a CT."""

from typing import TYPE_CHECKING

from medsyn2.faces import lazy

if TYPE_CHECKING:
    from medsyn2.flow.sampling import Sampling
    from medsyn2.pipeline.edited import EditedCT
    from medsyn2.pipeline.generation import Step
    from medsyn2.pipeline.pipeline import MedSyn2Pipeline
    from medsyn2.pipeline.synthetic import Recipe, Synthetic
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "EditedCT": "medsyn2.pipeline.edited",
            "MedSyn2Pipeline": "medsyn2.pipeline.pipeline",
            "Recipe": "medsyn2.pipeline.synthetic",
            "Sampling": "medsyn2.flow.sampling",
            "Step": "medsyn2.pipeline.generation",
            "Synthetic": "medsyn2.pipeline.synthetic",
        },
    )

__all__ = ["EditedCT", "MedSyn2Pipeline", "Recipe", "Sampling", "Step", "Synthetic"]
