"""The cost of segmenting CTs, of the cohort or generated ones, with the tools that the configuration names."""

from medsyn2.config import Config
from medsyn2.planning import costs
from medsyn2.planning.costs import GB, Cost, add_known
from medsyn2.planning.workload import Workload
from medsyn2.segmenters.tools.totalsegmentator import select_tasks

_MVOXEL = 1e6


def segmenting(config: Config, work: Workload) -> Cost:
    """Return the cost of segmenting every case once with the tools that the configuration names."""
    every = work.both
    cpu_s: float | None = every.jobs * costs.START_S
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
        every.jobs,
        cpu_s,
        memory_bytes=0.4 * GB + memory,
        device_bytes=device,
        disk_bytes=disk,
        basis="; ".join(notes),
        share=every.share,
    )
