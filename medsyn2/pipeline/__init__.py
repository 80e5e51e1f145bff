"""A trained model as one object: a report, or a mask with words, or both, or neither, gives a CT."""

from medsyn2.pipeline.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.synthetic import Recipe, Sampling, Synthetic

__all__ = ["MedSyn2Pipeline", "Recipe", "Sampling", "Synthetic"]
