"""A torchvision beside a torch of another build.

nnU-Net and MedPSeg import torchvision on the way, and no network here uses it. Its build for CUDA
beside a torch for CPUs, a pair that an index may give, stops at two operators that are not there; declared, they
stay unused.
"""

from typing import Any

_held: list[Any] = []


def let_torchvision_be_imported() -> None:
    """Declare the operators that torchvision misses, if it cannot be imported without."""
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library: Any = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _held.append(library)
    except ImportError:
        pass
