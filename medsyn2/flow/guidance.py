"""Classifier-free guidance with a scale for the report and one for the mask.

Training has all four combinations of conditions, so the network knows the prediction x(r, m) for report r and
mask m, x(m) for the mask alone and x() for neither. Guided prediction is

    x() + s_mask (x(m) - x()) + s_report (x(r, m) - x(m)).

Its weights s_report, s_mask - s_report and 1 - s_mask sum to one, so that it is the same in clean latents as
in velocities. A prediction of weight zero is not computed: with both scales 1 the result is the conditional
prediction itself, at one evaluation; with equal scales it takes two; else three. The guided prediction is
again a function of noisy latents and time, and no solver knows of it.

The paper does not use guidance: its scales are 1.
"""

from collections.abc import Callable

from torch import Tensor

from medsyn2.flow.path import Latents
from medsyn2.types import Float

PredictClean = Callable[[Latents, Float[Tensor, " b"]], Latents]


def guide(
    conditional: PredictClean, mask_only: PredictClean, neither: PredictClean, *, report_scale: float, mask_scale: float
) -> PredictClean:
    """Return the guided prediction.

    Args:
        conditional: Prediction from all that is given.
        mask_only: Prediction without the report. Where no report is given this is `conditional` itself, and
            where no mask is given `neither` itself; predictions that are one object are evaluated once.
        neither: Prediction from no condition.
        report_scale: 1 follows the report as trained, more exaggerates it, 0 ignores it.
        mask_scale: The same for the mask.

    Source: The nesting of InstructPix2Pix (arXiv:2211.09800, equation 3).
    """
    weights: dict[PredictClean, float] = {}
    for predict, weight in (
        (conditional, report_scale),
        (mask_only, mask_scale - report_scale),
        (neither, 1.0 - mask_scale),
    ):
        weights[predict] = weights.get(predict, 0.0) + weight
    needed = {predict: weight for predict, weight in weights.items() if weight != 0.0}
    if len(needed) == 1:
        return next(iter(needed))

    def predict_clean(latents: Latents, t: Float[Tensor, " b"]) -> Latents:
        first, *others = (weight * predict(latents, t) for predict, weight in needed.items())
        return sum(others, start=first)

    return predict_clean
