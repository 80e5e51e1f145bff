"""The template as a trained model carries it: what registers one more CT to the model's grid.

It is the template at the working spacing of the registration, which is all that the search looks at, with the search's
settings and gates. A CT of the cohort gets the affine that the workflow gave it.
"""

from dataclasses import dataclass

from medsyn2.config import RegisterConfig
from medsyn2.ct.registration.affine import ChestCT, register_within_gates, working_ct
from medsyn2.ct.registration.alignment import Alignment
from medsyn2.ct.volume import CTVolume


@dataclass(frozen=True)
class Reference:
    """A template and how CTs are registered to it."""

    chest: ChestCT  # The template and its lungs at the working spacing
    settings: RegisterConfig  # Working spacing, seed and gates

    def align(self, volume: CTVolume) -> Alignment:
        """Find the affine from the template to a CT, in HU.

        Raises:
            RegistrationError: If the CT is no whole chest, lies otherwise or fails another gate.
        """
        return register_within_gates(working_ct(volume, self.settings.working_spacing_mm), self.chest, self.settings)
