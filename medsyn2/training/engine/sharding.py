"""Tensors that several processes hold a part of each (FSDP), beside tensors that each holds whole.

With ``strategy: fsdp`` every parameter is cut along its first axis into as many parts as there are processes, and
with it its gradient, both moments and the moving average; a block's parameters are gathered when the block is due,
and given up after it. This is PyTorch's second FSDP (`fully_shard`, tensors of the type `DTensor`). A training
computes what it computes with DDP: the same sums over the same micro-batches.

What is written is whole, so that a checkpoint of n processes is gone on from by m, sharded or not.

Source:
    Zhao et al., "PyTorch FSDP" (arXiv:2304.11277); torch.distributed.fsdp.fully_shard.
"""

import warnings

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(network: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Share the parameters of `network` among the processes, in place; optimizers are made after it.

    Every member of a list of modules, as the blocks of the transformer, is gathered by itself; what else there is, for
    the whole of a step.

    Args:
        network: Whole, and the same in every process.
        mesh: The processes, with an axis named ``data_parallel``.
    """
    # The advice is against changing a block's result in place, which nothing here does.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    processes = mesh["data_parallel"]
    for part in list(network.modules()):
        if isinstance(part, nn.ModuleList):
            for member in part:
                fully_shard(member, mesh=processes)
    fully_shard(network, mesh=processes)
    return network


def gather_full_tensor(tensor: Tensor) -> Tensor:
    """Return a tensor with all its parts; if it is sharded, every process has to ask at the same time."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local_shard(tensor: Tensor) -> Tensor:
    """Return this process's part of a tensor, which is not a copy."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def shard_like(tensor: Tensor, pattern: Tensor) -> Tensor:
    """Return a whole tensor, which every process has, in the parts that `pattern` is in."""
    if not isinstance(pattern, DTensor):
        return tensor
    on_device = tensor.to(pattern.device)
    return distribute_tensor(on_device, pattern.device_mesh, pattern.placements, src_data_rank=None)
