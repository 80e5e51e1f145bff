"""Section of the jobs that a scheduler is asked for."""

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from medsyn2.config.base import Section


class JobsConfig(Section):
    """Time limits and GPUs of jobs, predicted. Read when the workflow is planned; no stage depends on the section."""

    gpu_tflops: PositiveFloat = 150.0
    """Speed at which networks are assumed to run on a GPU in bfloat16, in 10^12 operations a second: half an A100's
    peak, an eighth of an H200's. Nobody has measured it."""
    gpu_float32_tflops: PositiveFloat = 10.0
    """The same in float32 without TF32: half an A100's peak."""
    core_gflops: PositiveFloat = 15.0
    """The same on a CPU core, in 10^9 operations a second."""
    time_factor: float = Field(default=2.0, ge=1)
    """Time limit of a job in multiples of its predicted time."""
    longest_h: PositiveFloat = 48.0
    """Longest time limit that the cluster allows. A job that needs longer, or whose time nobody knows, asks for this
    and goes on in the next attempt."""
    gpus: dict[Literal["train_tokenizer", "train_dit"], PositiveInt] = Field(default_factory=dict)
    """GPUs of a training, with a process each; 1 if not given. They share the micro-batches of a step, so that
    ``accumulate`` must be a multiple."""

    def num_gpus(self, stage: str) -> int:
        """Return the GPUs of a job of a stage that uses any."""
        return {str(name): count for name, count in self.gpus.items()}.get(stage, 1)
