from medsyn2.evaluation.masks.cost import evaluate_masks
from tests.unit.planned import planned_run


def basis(kept: int, structures: list[str] | None, joint: tuple[str, ...] = ()) -> str:
    """Return the basis of the estimate with so many cases reconstructed and these structures compared."""
    changes = {
        "sample": {"structures": ["lobes", "nodules"], "joint": joint},
        "evaluate_masks": {"structures": structures},
        "evaluate_tokenizer": {"max_cases": kept},
    }
    return evaluate_masks(planned_run(**changes)).basis


def test_volumes_are_segmented_again_with_their_real_ones_and_their_reconstructions() -> None:
    # The lobes of two held-out cases, real and generated, and those of the cases that were reconstructed.
    assert basis(1, ["lobes", "heart"]).startswith("at most 5 volumes")
    assert basis(9, ["lobes", "heart"]).startswith("at most 6 volumes")
    assert basis(9, None).startswith("at most 12 volumes")
    # Volumes of report and mask share the real ones with those of the mask alone.
    assert basis(9, None, ("lobes", "heart")).startswith("at most 20 volumes")
