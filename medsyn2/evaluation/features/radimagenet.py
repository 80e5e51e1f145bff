"""RadImageNet's ResNet-50, the extractor of published Frechet distances on CT, from either public weight file.

    RadImageNet-ResNet50_notop   names conv1.bias, layer1.0.conv1.weight, ...: converted from Keras, by Warvito; the
                                 one of MAISI's, VLM3D's and, as far as can be told, the paper's code
    ResNet50                     names backbone.0.weight, backbone.4.0.conv1.weight, ...: the authors' own torch file

The form is told from the names, and every tensor must find its place. Each form has its author's preprocessing: the
first takes three equal channels in [0, 1] minus (0.406, 0.456, 0.485), the second values in [-1, 1]. Their features are
not comparable, so the names of the two extractors differ.

Weights are read as safetensors only; a pickled ``.pt`` or ``.pth`` file is converted once, and its description, if it
lies in the same folder, must match. The weights are not part of this project and have a licence of their own.

Source: Mei et al., Radiology: Artificial Intelligence 2022; github.com/Warvito/radimagenet-models;
github.com/BMEII-AI/RadImageNet (preprocessing in its notebooks); MONAI tutorials, compute_fid_2-5d_ct.py.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import safetensors
import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from medsyn2.errors import WeightsError
from medsyn2.evaluation.features.resnet import KERAS, TORCH, ResNet50Features, ResNetForm
from medsyn2.evaluation.features.sizes import RADIMAGENET_BATCH
from medsyn2.files import sha256_of
from medsyn2.nn.device import available_device
from medsyn2.weights.tensors import load_component, load_strictly, tensors_path

KIND = "radimagenet"
MEASURED_BY_OTHERS = f"radimagenet_resnet50({KERAS.name})"
"""Name of the extractor that published distances are of."""
_MEAN_BGR = (0.406, 0.456, 0.485)
_BACKBONE = {0: "conv1", 1: "bn1", 4: "layer1", 5: "layer2", 6: "layer3", 7: "layer4"}


class RadImageNet:
    """Maps slices to RadImageNet features."""

    comparable = "values of the same weights and protocol, published ones included"

    def __init__(self, state: Mapping[str, Tensor], *, sha256: str, source: str, device: str = "cpu") -> None:
        form, tensors = recognise_form(state, source=source)
        self.name = f"radimagenet_resnet50({form.name})"
        self.sha256 = sha256
        self._device = device
        self._form = form
        self._network = ResNet50Features(form)
        load_strictly(self._network, tensors, source=source)

    @cached_property
    def device(self) -> torch.device:
        """The device, looked for when the first slice comes: features that are all there need none."""
        device = available_device(self._device)
        self._network.to(device)
        return device

    def __call__(self, slices: Float[np.ndarray, "n h w"]) -> Float[np.ndarray, "n f"]:
        parts = torch.from_numpy(np.ascontiguousarray(slices, dtype=np.float32)).split(RADIMAGENET_BATCH)
        return torch.cat([self._network(self._preprocess(part)).cpu() for part in parts]).numpy()

    def _preprocess(self, slices: Float[Tensor, "n h w"]) -> Float[Tensor, "n 3 h w"]:
        channels = slices.to(self.device)[:, None].expand(-1, 3, -1, -1)
        if self._form is KERAS:
            return channels - torch.tensor(_MEAN_BGR, device=self.device).view(1, 3, 1, 1)
        return channels * 2.0 - 1.0


def recognise_form(state: Mapping[str, Tensor], *, source: str) -> tuple[ResNetForm, dict[str, Tensor]]:
    """Return the form of a weight file, and its tensors under this project's names.

    Raises:
        WeightsError: If it is neither public form.
    """
    if any(name.startswith("backbone.") for name in state):
        return TORCH, {_strip_backbone(name): tensor for name, tensor in state.items()}
    if "conv1.bias" in state:
        # The Keras file has no counters; they do not take part in evaluation.
        counters = {
            name.replace("running_mean", "num_batches_tracked"): torch.tensor(0)
            for name in state
            if name.endswith("running_mean")
        }
        return KERAS, {**counters, **state}
    raise WeightsError(
        f"{source} has neither names like backbone.0.weight nor conv1.bias, but {sorted(state)[:3]} ...",
        code="weights-layout",
        remedy="give RadImageNet's ResNet50 as published by BMEII-AI (ResNet50.pt) or by Warvito "
        "(RadImageNet-ResNet50_notop.pth), converted to safetensors.",
    )


def load_radimagenet(path: Path, *, device: str = "cpu") -> RadImageNet:
    """Read a safetensors file of RadImageNet's ResNet-50.

    Raises:
        WeightsError: If it is missing, unreadable, of another layout, or contradicts its description.
    """
    if not path.is_file():
        raise WeightsError(
            f"{path} does not exist.",
            code="weights-missing",
            remedy="get RadImageNet's ResNet50, convert it to safetensors and give its path, or use the "
            "weight_free extractor, whose values compare with nothing else.",
        )
    description = path.with_suffix(".json")
    if description.is_file() and tensors_path(description) == path:
        _, state = load_component(description, KIND)
    else:
        state = _loose_tensors(path)
    return RadImageNet(state, sha256=sha256_of(path), source=str(path), device=device)


def _loose_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors without a description."""
    try:
        return load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} is no safetensors file: {error}.",
            code="weights-unreadable",
            remedy="pickled weights (.pt, .pth) are converted once with `medsyn2 convert radimagenet`.",
        ) from error


def _strip_backbone(name: str) -> str:
    first, _, rest = name.removeprefix("backbone.").partition(".")
    known = _BACKBONE.get(int(first)) if name.startswith("backbone.") and first.isdigit() else None
    return f"{known}.{rest}" if known else name
