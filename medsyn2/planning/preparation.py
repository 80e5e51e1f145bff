"""The stages that work on voxels: phantoms to masks, and the tables that are made of volumes."""

from collections.abc import Iterator

from medsyn2.config import Config
from medsyn2.planning import costs
from medsyn2.planning.costs import GB, Cost, add_known
from medsyn2.planning.workload import Workload
from medsyn2.segmenters.tools.totalsegmentator import select_tasks

_MVOXEL = 1e6


def preparation_costs(config: Config, work: Workload) -> Iterator[Cost]:
    """Yield the costs of the stages up to the masks."""
    native, grid = work.native_voxels / _MVOXEL, work.grid_voxels / _MVOXEL
    start = work.shards * costs.START_S
    on_grid = 0.4 * GB + costs.GRID_BYTES_PER_VOXEL * work.grid_voxels
    on_native = 0.4 * GB + 8 * work.native_voxels
    if config.cohort.data_dir is None:
        seconds = start + work.cases * costs.PHANTOM_S_PER_MVOXEL * native
        disk = work.cases * costs.CT_BYTES_PER_VOXEL * work.native_voxels
        yield Cost("phantoms", work.shards, seconds, memory_bytes=on_native, disk_bytes=disk, basis="voxels")
    seconds = start + work.cases * costs.INVENTORY_S_PER_MVOXEL * native
    yield Cost("inventory", work.shards, seconds, memory_bytes=on_native, basis="native voxels")
    if config.template.path is None:
        averaged = min(config.template.num_cases, work.train_cases) * config.template.num_rounds
        yield Cost(
            "template",
            1,
            costs.START_S + costs.TEMPLATE_S_PER_CASE_AND_ROUND * averaged,
            memory_bytes=on_grid,
            disk_bytes=costs.CT_BYTES_PER_VOXEL * work.grid_voxels,
            basis="cases and rounds",
        )
    seconds = start + work.cases * (costs.REGISTER_S + costs.REGISTER_S_PER_MVOXEL * grid)
    disk = work.cases * costs.CT_BYTES_PER_VOXEL * work.grid_voxels
    yield Cost("register", work.shards, seconds, memory_bytes=on_grid, disk_bytes=disk, basis="voxels of the grid")
    yield segmenting(config, work)
    chosen = sum(tool is not None for tool in config.segment.tools.values())
    seconds = start + work.cases * costs.MASKS_S_PER_MVOXEL * grid * chosen / 9
    disk = work.cases * costs.MASK_BYTES_PER_VOXEL * work.grid_voxels * (chosen + 1)
    yield Cost("masks", work.shards, seconds, memory_bytes=on_grid, disk_bytes=disk, basis="voxels of the grid")


def segmenting(config: Config, work: Workload) -> Cost:
    """Return the cost of segmenting every case once with the tools that the configuration names."""
    cpu_s: float | None = work.shards * costs.START_S
    memory, device = costs.CLASSICAL_BYTES_AT_3_MM, 0.0
    notes = []
    tools = {tool for tool in config.segment.tools.values() if tool is not None}
    if "classical" in tools:
        scale = (3.0 / config.segment.working_spacing_mm) ** 3
        cpu_s = add_known(cpu_s, work.cases * costs.CLASSICAL_S_AT_3_MM * scale)
        memory = costs.CLASSICAL_BYTES_AT_3_MM * scale
        notes.append("classical: voxels")
    if "lungmask" in tools:
        memory = max(memory, costs.LUNGMASK_BYTES)
        if config.segment.device == "cpu":
            cpu_s = add_known(cpu_s, work.cases * costs.LUNGMASK_S_PER_SLICE * work.native_slices)
            notes.append("lungmask: slices")
        else:
            cpu_s = add_known(cpu_s, work.cases * costs.LUNGMASK_GPU_S)
            notes.append("lungmask: its README, on a GPU")
    if "totalsegmentator" in tools:
        names = [name for name, tool in config.segment.tools.items() if tool == "totalsegmentator"]
        networks = len(select_tasks(names)) + 1
        mvoxels = work.native_voxels / _MVOXEL
        seconds = networks * costs.TOTALSEGMENTATOR_GPU_S_PER_MVOXEL * mvoxels
        on_gpu = config.segment.device != "cpu"
        cpu_s = add_known(cpu_s, work.cases * seconds if on_gpu else None)
        memory, device = max(memory, costs.TOTALSEGMENTATOR_BYTES), costs.TOTALSEGMENTATOR_DEVICE_BYTES
        notes.append("TotalSegmentator: its README, on a GPU" if on_gpu else "TotalSegmentator: not measured on a CPU")
    if "medpseg" in tools:
        cpu_s = None
        memory, device = max(memory, costs.MEDPSEG_BYTES), max(device, costs.MEDPSEG_DEVICE_BYTES)
        notes.append("MedPSeg: nobody published its time")
    disk = work.cases * costs.MASK_BYTES_PER_VOXEL * work.native_voxels * len(config.segment.tools)
    return Cost(
        "segment",
        work.shards,
        cpu_s,
        memory_bytes=0.4 * GB + memory,
        device_bytes=device,
        disk_bytes=disk,
        basis="; ".join(notes),
    )
