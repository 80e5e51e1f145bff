"""Sharded tensors (FSDP) and full tensors.

With ``strategy: fsdp`` every parameter is split along its first axis among the processes, with its gradient, both
moments and the moving average; a block's parameters are gathered for the block and released after it. This is PyTorch's
second FSDP (`fully_shard`, tensors of the type `DTensor`). The training computes the same as with DDP: the same sums
over the same micro-batches. Files hold full tensors, so that m processes can resume a checkpoint of n, sharded or not.

Source: Zhao et al., "PyTorch FSDP" (arXiv:2304.11277); torch.distributed.fsdp.fully_shard.
"""

import warnings

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

# torch's modules of sharded tensors cost a second to import, so each function imports its own.


def shard(network: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Shard the parameters of `network` among the processes, in place, before an optimizer is made.

    Members of a module list, such as the transformer's blocks, are gathered one by one; all other parameters for the
    whole step.
    """
    from torch.distributed.fsdp import fully_shard

    # The warning is about in-place changes of a block's output, which do not occur here.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    processes = mesh["data_parallel"]
    for part in list(network.modules()):
        if isinstance(part, nn.ModuleList):
            for member in part:
                fully_shard(member, mesh=processes)
    fully_shard(network, mesh=processes)
    return network


def gather_full_tensor(tensor: Tensor) -> Tensor:
    """Return the full tensor; for a sharded one this is a collective call."""
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local_shard(tensor: Tensor) -> Tensor:
    """Return this process's shard of a tensor, without a copy."""
    from torch.distributed.tensor import DTensor

    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def shard_like(tensor: Tensor, pattern: Tensor) -> Tensor:
    """Shard a full tensor, present in every process, as `pattern` is."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(pattern, DTensor):
        return tensor
    on_device = tensor.to(pattern.device)
    return distribute_tensor(on_device, pattern.device_mesh, pattern.placements, src_data_rank=None)
