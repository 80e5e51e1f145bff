"""Adherence to masks, one number a structure: does the mask decide where the structure is generated?

The number is the ratio of disagreements: 1 - Dice with the requested mask over 1 - Dice with the masks of other
patients. It is 1 for a generator that ignores its mask, 0 for one that follows it perfectly.
"""

from dataclasses import dataclass
from math import nan

import pandas as pd

from medsyn2.vocabulary import JOINT


@dataclass(frozen=True)
class MaskAdherence:
    """How far a structure's mask is followed, alone or beside a report."""

    structure: str  # Structure of the mask
    condition: str  # Condition of the volumes
    requested: float  # Mean Dice with the requested mask
    shuffled: float  # Mean Dice with other cases' masks
    ceiling: float  # Mean Dice of the real volume, segmented again, with its own mask
    ratio: float  # Disagreement with the requested mask over disagreement with others'
    low: float  # Lower end of its 95 % interval over patients; NaN with fewer than five
    high: float  # Upper end
    least: float  # The same ratio of the real volumes segmented again
    num: int  # Generated volumes
    num_patients: int  # Their patients
    reconstructed: float  # Mean Dice of real volumes after the tokenizer; NaN without any
    num_reconstructed: int  # Their number

    @property
    def subject(self) -> str:
        """The structure, and whether the volumes had a report too."""
        return f"{self.structure} with the report" if self.condition in JOINT.values() else self.structure


def mask_adherence(agreement: pd.DataFrame) -> list[MaskAdherence]:
    """Summarise results/mask_agreement.csv; those without another case to compare with are left out."""
    found = []
    for (structure, condition), group in agreement.groupby(["structure", "condition"], sort=False):
        rows = group.set_index("comparison").to_dict("index")
        if {"requested", "shuffled", "ceiling"} <= rows.keys():
            requested, after = rows["requested"], rows.get("reconstructed_ct", {})
            found.append(
                MaskAdherence(
                    str(structure),
                    str(condition),
                    requested=requested["dice"],
                    shuffled=rows["shuffled"]["dice"],
                    ceiling=rows["ceiling"]["dice"],
                    ratio=requested["disagreement_ratio"],
                    low=requested["disagreement_ratio_low"],
                    high=requested["disagreement_ratio_high"],
                    least=rows["ceiling"]["disagreement_ratio"],
                    num=requested["num"],
                    num_patients=requested["num_patients"],
                    reconstructed=after.get("dice", nan),
                    num_reconstructed=after.get("num", 0),
                )
            )
    return found
