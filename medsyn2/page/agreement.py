"""What the table of mask agreement says in one sentence a structure: does the mask decide what is generated?

The number is the ratio of disagreements: 1 - Dice with the requested mask over 1 - Dice with the masks of
other cases. A generator that ignores its mask has the ratio 1; one that follows it perfectly has 0.
"""

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Following:
    """How far a structure's mask is followed.

    Attributes:
        structure: What the mask is of.
        requested: Mean Dice with the requested mask.
        shuffled: Mean Dice with other cases' masks.
        ceiling: Mean Dice of the real volume segmented again with its own mask.
        num: Generated volumes.
        reconstructed: Mean Dice of real volumes after the tokenizer; NaN where none went through it.
        num_reconstructed: How many did.
    """

    structure: str
    requested: float
    shuffled: float
    ceiling: float
    num: int
    reconstructed: float = float("nan")
    num_reconstructed: int = 0

    @property
    def ratio(self) -> float:
        """Disagreement with the requested mask over disagreement with others'."""
        return (1 - self.requested) / (1 - self.shuffled) if self.shuffled < 1 else float("nan")


def followings(agreement: pd.DataFrame) -> list[Following]:
    """Read the table results/mask_agreement.csv; structures that have no other case to compare are left out."""
    found = []
    for structure, rows in agreement.groupby("structure", sort=False):
        rows = rows.set_index("comparison")
        dice, num = rows["dice"].to_dict(), rows["num"].to_dict()
        if {"requested", "shuffled", "ceiling"} <= set(dice):
            after = dice.get("reconstructed_ct", float("nan")), num.get("reconstructed_ct", 0)
            found.append(
                Following(
                    str(structure),
                    dice["requested"],
                    dice["shuffled"],
                    dice["ceiling"],
                    num["requested"],
                    *after,
                )
            )
    return found
