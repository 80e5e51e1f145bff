"""Make small networks in the tools' own weight layouts: python make_weights.py FOLDER, with the tools' Python.

They are set by hand, since random ones give noise whose post-processing never ends: every label is an interval of
HU. That is all a test of the adapters needs, and the tools' real code reads and runs them.
"""

import json
import sys
from pathlib import Path

import torch
from torch import nn

LUNG_HU, TISSUE_HU = -400.0, 20.0
LUNGS = ["upper_lobe_left", "lower_lobe_left", "upper_lobe_right", "middle_lobe_right", "lower_lobe_right"]
DATASETS = {
    298: {"lung_lower_lobe_right": (None, LUNG_HU), "heart": (TISSUE_HU, None)},
    293: {"heart": (TISSUE_HU, None)},
    258: {"lung_trachea_bronchia": (None, -950.0), "lung_vessels": (-300.0, None)},
    315: {"pleural_effusion": (0.0, 40.0), "pericardial_effusion": (40.0, None)},
    913: {"lung": (None, LUNG_HU), "lung_nodules": (TISSUE_HU, None)},
}
TASKS = {258: "lung_vessels_LEGACY", 315: "pleural_pericard_effusion", 913: "lung_nodules"}
# The first is scanned for among all trainers of nnU-Net, the others are known to TotalSegmentator.
TRAINERS = {315: "nnUNetTrainer"}
KNOWN_TRAINER = "nnUNetTrainerSkeletonRecall"
SCALE_HU = 1000.0


def envelope(edges: list[float], steep: float) -> list[tuple[float, float]]:
    """Return slopes and offsets of lines whose maximum changes from one to the next at each edge."""
    lines = [(0.0, 0.0)]
    for edge in edges:
        slope, offset = lines[-1]
        lines.append((slope + steep, offset - steep * edge))
    return lines


def pass_on(conv: nn.Conv2d, out: int, into: int) -> None:
    """Let a channel of a convolution be a channel of its input."""
    conv.weight.data[out, into, conv.kernel_size[0] // 2, conv.kernel_size[1] // 2] = 1


def lungmask_network(num_classes: int) -> nn.Module:
    """Return lungmask's U-Net: the lungs by a threshold, their labels by bands of the smoothed intensity."""
    from lungmask.resunet import UNet

    network = UNet(n_classes=num_classes, padding=True, depth=5, up_mode="upsample", batch_norm=True, residual=False)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    for block in network.down_path:
        for layer in block.block:
            if isinstance(layer, nn.Conv2d):
                pass_on(layer, 0, 0)
    for block in network.up_path:
        pass_on(block.up[1], 0, 0)
        convs = [layer for layer in block.conv_block.block if isinstance(layer, nn.Conv2d)]
        pass_on(convs[0], 0, 0)
        pass_on(convs[0], 1, convs[0].out_channels)
        pass_on(convs[1], 0, 0)
        pass_on(convs[1], 1, 1)
    threshold = (-500 + 1024) / 1624
    network.last.weight.data[0, 1, 0, 0] = 1000
    network.last.bias.data[0] = -1000 * threshold
    edges = torch.linspace(0.1, 0.4, num_classes)[1:-1].tolist()
    for label, (slope, offset) in enumerate(envelope(edges, 20.0), 1):
        network.last.weight.data[label, 0, 0, 0] = slope
        network.last.bias.data[label] = offset
    return network.eval()


def plans(name: str) -> dict:
    """Return nnU-Net's plans of a network of three levels with four features and nothing between convolutions."""
    resampling = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    function = "resample_data_or_seg_to_shape"
    return {
        "dataset_name": name,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [3.0, 3.0, 3.0],
        "original_median_shape_after_transp": [64, 64, 64],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {
            "3d_fullres": {
                "data_identifier": "plans_3d_fullres",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": [64, 64, 64],
                "median_image_size_in_voxels": [64, 64, 64],
                "spacing": [3.0, 3.0, 3.0],
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                "resampling_fn_data": function,
                "resampling_fn_seg": function,
                "resampling_fn_probabilities": function,
                "resampling_fn_data_kwargs": resampling,
                "resampling_fn_seg_kwargs": {**resampling, "is_seg": True},
                "resampling_fn_probabilities_kwargs": resampling,
                "architecture": {
                    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
                    "arch_kwargs": {
                        "n_stages": 3,
                        "features_per_stage": [4, 4, 4],
                        "conv_op": "torch.nn.modules.conv.Conv3d",
                        "kernel_sizes": [[3, 3, 3]] * 3,
                        "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]],
                        "n_conv_per_stage": [1, 1, 1],
                        "n_conv_per_stage_decoder": [1, 1],
                        "conv_bias": True,
                        "norm_op": None,
                        "norm_op_kwargs": {},
                        "dropout_op": None,
                        "dropout_op_kwargs": None,
                        "nonlin": None,
                        "nonlin_kwargs": None,
                    },
                    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
                },
                "batch_dice": False,
            }
        },
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {"mean": 0.0, "std": SCALE_HU, "percentile_00_5": -1024.0, "percentile_99_5": 1024.0}
        },
    }


def nnunet_weights(labels: dict[str, int], bands: dict[str, tuple]) -> dict[str, torch.Tensor]:
    """Return the state of that network, each band of HU its label and background between and around them."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    network = PlainConvUNet(
        input_channels=1,
        n_stages=3,
        features_per_stage=[4, 4, 4],
        conv_op=nn.Conv3d,
        kernel_sizes=[[3, 3, 3]] * 3,
        strides=[[1, 1, 1], [2, 2, 2], [2, 2, 2]],
        n_conv_per_stage=[1, 1, 1],
        num_classes=len(labels),
        n_conv_per_stage_decoder=[1, 1],
        conv_bias=True,
    )
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    network.encoder.stages[0][0].convs[0].conv.weight.data[0, 0, 1, 1, 1] = 1
    # The decoder's last level sees what was upsampled, then what was skipped.
    network.decoder.stages[-1].convs[0].conv.weight.data[0, 4, 1, 1, 1] = 1
    head = network.decoder.seg_layers[-1]
    head.bias.data[:] = -60
    order, edges = [], []
    for name, (low, high) in bands.items():
        if low is not None and (not edges or edges[-1] != low / SCALE_HU):
            order.append(0)
            edges.append(low / SCALE_HU)
        order.append(labels[name])
        if high is not None:
            edges.append(high / SCALE_HU)
    for label, (slope, offset) in zip(order, envelope(edges, 20.0), strict=True):
        head.weight.data[label, 0, 0, 0, 0] = slope
        head.bias.data[label] = offset
    return network.state_dict()


def write_totalsegmentator(folder: Path) -> None:
    """Write every dataset's folder, named by the package's own tables."""
    from totalsegmentator.map_tasks_config import TASK_CONFIGS, TASK_ID_WEIGHTS_CONFIGS
    from totalsegmentator.map_to_binary import class_map, class_map_5_parts

    trainers = {258: TASK_CONFIGS["lung_vessels_LEGACY"]["trainer"], 913: TASK_CONFIGS["lung_nodules"]["trainer"]}
    trainers |= {315: TASK_CONFIGS["pleural_pericard_effusion"]["trainer"]}
    modes = TASK_CONFIGS["total"]["sub_modes"]
    trainers |= {298: modes["fastest"]["trainer"], 293: modes["default"]["trainer"]}
    maps = {298: class_map["total"], 293: class_map_5_parts["class_map_part_cardiac"]}
    maps |= {number: class_map[task] for number, task in TASKS.items()}
    for number, bands in DATASETS.items():
        name = TASK_ID_WEIGHTS_CONFIGS[number]["foldername"]
        place = folder / name / f"{trainers[number]}__nnUNetPlans__3d_fullres"
        labels = {"background": 0, **{label: index for index, label in maps[number].items()}}
        (place / "fold_0").mkdir(parents=True)
        (place / "plans.json").write_text(json.dumps(plans(name)), encoding="utf-8")
        dataset = {"channel_names": {"0": "CT"}, "labels": labels, "file_ending": ".nii.gz", "numTraining": 1}
        (place / "dataset.json").write_text(json.dumps(dataset), encoding="utf-8")
        checkpoint = {
            "network_weights": nnunet_weights(labels, bands),
            "trainer_name": TRAINERS.get(number, KNOWN_TRAINER),
            "init_args": {"configuration": "3d_fullres"},
            "inference_allowed_mirroring_axes": None,
        }
        torch.save(checkpoint, place / "fold_0" / "checkpoint_final.pth")


def write_lungmask(folder: Path) -> None:
    """Write the two models under their published names."""
    from lungmask.mask import MODEL_URLS

    folder.mkdir(parents=True)
    for model in ("R231", "LTRCLobes"):
        url, num_classes = MODEL_URLS[model]
        torch.save(lungmask_network(num_classes).state_dict(), folder / url.rsplit("/", 1)[1])


if __name__ == "__main__":
    write_lungmask(Path(sys.argv[1]) / "lungmask")
    write_totalsegmentator(Path(sys.argv[1]) / "totalsegmentator")
