"""The cost of the augmentation study: its synthetic volumes, and the segmentation networks that are trained."""

from medsyn2.config import EvaluateAugmentationConfig
from medsyn2.evaluation.augmentation.arms import ARMS
from medsyn2.nn.compute_cost import ComputeCost
from medsyn2.planning.costs import START_S, Cost, add_known
from medsyn2.planning.kept import keep_cost
from medsyn2.planning.run import PlannedRun


def evaluate_augmentation(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    settings, sampling = run.config.evaluate_augmentation, run.sampling
    masks = run.work.train_cases if settings.masks_from == "train" else run.work.test_cases
    volumes = masks if settings.max_synthetic is None else min(masks, settings.max_synthetic)
    shape = (settings.channels, settings.num_levels, settings.batch_size, settings.image_size)
    step = keep_cost("slice_segmenter", shape, lambda: _step(settings))
    networks = len(ARMS) * settings.num_seeds
    again = run.segment_again(volumes, (settings.structure,) if settings.relabel else ())
    sampled = volumes * sampling.volume_flops
    return Cost(
        "evaluate_augmentation",
        1,
        add_known(START_S, again.cpu_s),
        sampled + float(step.flops) * networks * settings.num_steps,
        bf16_flops=run.in_bf16(sampled),
        memory_bytes=sampling.cost.memory_bytes,
        device_bytes=max(sampling.cost.device_bytes, step.peak_bytes),
        basis=f"at most {volumes} volumes, {networks} networks of {settings.num_steps} steps",
    )


def _step(settings: EvaluateAugmentationConfig) -> ComputeCost:
    import torch  # here, as all imports that a kept cost does not need

    from medsyn2.evaluation.augmentation.slice_segmenter import UNet2d, segmentation_loss
    from medsyn2.nn.cost import cost_of, enter_simulation

    with enter_simulation():
        network = UNet2d(settings.channels, settings.num_levels)
        slices = torch.empty(settings.batch_size, 1, settings.image_size, settings.image_size)
        return cost_of(lambda: segmentation_loss(network(slices), torch.zeros_like(slices)).backward())
