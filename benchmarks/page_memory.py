"""Measure time and memory of the page's server for volumes and masks of a grid, 448 x 448 x 448 by default.

    python benchmarks/page_memory.py --size 448

Each step runs in a process of its own, as in the helper or the worker, and prints its seconds of processor time and the
highest memory of the process, with Python and the libraries. The last three are jobs of the worker, as the page orders
them: a new volume with a mask and a preview, a change of one, and an edit of a CT of 512 x 512 voxels a slice. Their
networks have the paper's grid, latents, patches and windows and hardly any channels: what is measured is the memory
that a volume takes, whatever the network. `medsyn2 info --preset paper` says what the paper's networks take, in the
memory of the device that they run on. On a smaller grid the CT and the windows are smaller by as much.
"""

import argparse
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import Pipe, get_context
from pathlib import Path
from typing import Any

import numpy as np

from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.registration.alignment import Alignment
from medsyn2.ct.volume import CTVolume, Grid, axis_aligned_affine
from medsyn2.server.runs import decode_runs, encode_runs
from medsyn2.server.session import Session, new_id
from medsyn2.server.sources import add_source
from medsyn2.server.voxels import add_mask, write_voxels
from medsyn2.weights.bundled import bundled_model

SIDE_MM = 313.6
PAPER, WINDOW, CT_WIDTH = 448, 96, 512
"""Voxels along an axis: the paper's grid, its tokenizer's windows (configs/paper.yaml), and a slice of a CT."""


def grid_of(size: int) -> Grid:
    """Return the grid over the paper's extent."""
    return Grid((size, size, size), axis_aligned_affine((SIDE_MM / size,) * 3, (0.0, 0.0, 0.0)))


def make_volume(size: int) -> CTVolume:
    """Return noise of a CT's range on a body-sized grid, which compresses as badly as a CT."""
    rng = np.random.default_rng(0)
    hu = np.empty((size, size, size), np.int16)
    for plane in hu:
        plane[:] = rng.normal(-200, 40, plane.shape)
    return CTVolume(hu, grid_of(size).affine_mm)


def make_mask(size: int) -> np.ndarray:
    """Return a ball over a third of the grid's width."""
    mask = np.zeros((size, size, size), bool)
    axis = np.arange(size, dtype=np.float32) - size / 2
    for index, plane in enumerate(mask):
        plane[:] = axis[:, None] ** 2 + axis**2 + axis[index] ** 2 < (size / 6) ** 2
    return mask


def hold(size: int, folder: Path) -> str:
    """Hold a volume: the least that each step needs."""
    return f"{make_volume(size).hu.nbytes / 1e6:.0f} MB of voxels"


def compress(size: int, folder: Path) -> str:
    """Write a volume for the browser."""
    write_voxels(folder / "voxels.gz", make_volume(size))
    return f"{(folder / 'voxels.gz').stat().st_size / 1e6:.0f} MB on the disk"


def encode(size: int, folder: Path) -> str:
    """Turn a mask into runs and back."""
    mask = make_mask(size)
    runs = encode_runs(mask)
    assert np.array_equal(decode_runs(runs, mask.shape), mask)
    return f"{len(runs) / 1e3:.0f} kB of runs"


def show(size: int, folder: Path) -> str:
    """Show a volume in a notebook."""
    html = make_volume(size)._repr_html_()
    return f"{len(html) / 1e6:.1f} MB of HTML"


def generate(size: int, folder: Path) -> str:
    """Generate a volume with a mask."""
    with open_bench(size, folder) as work:
        work.order(kind="generate", mask=work.mask, words="lung nodules")
    return work.told


def change(size: int, folder: Path) -> str:
    """Generate a volume, then change it under another report."""
    with open_bench(size, folder) as work:
        item = work.order(kind="generate")
        work.order(kind="edit", source=item, mask=work.mask, words="lung nodules", strength=0.75)
    return work.told


def edit(size: int, folder: Path) -> str:
    """Edit a CT around a mask."""
    with open_bench(size, folder) as work:
        work.order(kind="edit", source=work.add_ct(), mask=work.mask, words="lung nodules", margin_mm=10.0)
    return work.told


@contextmanager
def open_bench(size: int, folder: Path) -> Iterator["Bench"]:
    """Hold a session while a worker is measured."""
    session = Session(folder / "session")
    with session.hold():
        yield Bench(size, folder, session)


class Bench:
    """A worker of the page with the stand-in of the paper's model."""

    def __init__(self, size: int, folder: Path, session: Session) -> None:
        from medsyn2.pipeline import MedSyn2Pipeline
        from medsyn2.server.child import Outbox
        from medsyn2.server.worker import Worker

        write_stand_in(folder / "model", size)
        self.grid = grid_of(size)
        self.session = session
        self.inbox, outbox = Pipe()
        pipeline = MedSyn2Pipeline.from_pretrained(folder / "model", device="cpu")
        self.worker = Worker(pipeline, self.session, folder / "model", Outbox(outbox), set())
        self.mask = add_mask(self.session, make_mask(size), self.grid, "ball", "lung nodules")["id"]
        self.told = ""

    def add_ct(self) -> str:
        """Put a CT of a noisy block of tissue into the session, in the model's place, and return its id."""
        depth = self.grid.shape[0]
        width = round(depth * CT_WIDTH / PAPER)
        hu = np.random.default_rng(0).integers(-100, 100, (depth, width, width), np.int16)
        hu -= 900  # air around a body, or the values are refused as no HU
        body = slice(width // 5, -(width // 5))
        hu[:, body, body] += 940
        affine = axis_aligned_affine((SIDE_MM / depth, SIDE_MM / width, SIDE_MM / width), (0.0, 0.0, 0.0))
        write_ct(self.session.root / "work/ct.nii.gz", CTVolume(hu, affine))
        identifier = new_id()
        alignment = Alignment(np.eye(4), 1.0, 1.0, 1.0, 5000.0, 1.0)
        add_source(self.session, identifier, self.session.root / "work/ct.nii.gz", alignment)
        return identifier

    def order(self, **order: object) -> str:
        """Do a job and return the id of its result.

        Raises:
            RuntimeError: If it failed.
        """
        from medsyn2.server.orders import JobOrder

        asked = JobOrder(**order, sampling={"solver": "euler", "num_steps": 2}).model_dump()  # type: ignore[arg-type]
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak begins anew
        before_mb = memory_mb("VmRSS")
        self.worker.do({**asked, "sampling": {"solver": "euler", "num_steps": 2}, "id": new_id()})
        told: list[dict[str, Any]] = []
        while self.inbox.poll():
            told.append(json.loads(self.inbox.recv_bytes()))
        if told[-1]["end"] != "done":
            raise RuntimeError(told[-1]["error"])
        previews = sum("preview" in one for one in told)
        self.told = f"{memory_mb('VmHWM') - before_mb:.0f} MB for the job, {previews} previews"
        return next(str(one["result"]["item"]) for one in told if "result" in one)


def write_stand_in(folder: Path, size: int) -> None:
    """Write a model on the paper's grid, or one of `size` voxels an axis, whose networks have hardly any channels."""
    from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
    from medsyn2.nn.transformer.dit import DiT
    from medsyn2.weights.model_folder import (
        DIT,
        TEXT_ENCODER,
        TOKENIZER,
        ChannelStatistics,
        GridDescription,
        LatentDescription,
        affine_rows,
        hash_files,
        read_description,
        write_description,
    )
    from medsyn2.weights.tensors import save_component

    bundled = read_description(bundled_model())
    networks: dict[str, tuple[Any, dict[str, Any]]] = {
        "tokenizer": (CausalVideoVAE, {"hidden_channels": 4, "num_res_blocks": 1, "norm_groups": 2}),
        "dit": (DiT, {"latent_channels": 4, "width": 24, "depth": 1, "num_heads": 2, "patch": (2, 2, 2)}),
    }
    networks["tokenizer"][1]["channel_multipliers"] = [1, 1, 1, 1]
    networks["dit"][1]["text_width"] = bundled.text.width
    for place, (kind, (build, config)) in zip((TOKENIZER, DIT), networks.items(), strict=True):
        save_component(folder / place, build(**config), kind=kind, config=config)
    shutil.copytree(bundled_model() / TEXT_ENCODER, folder / TEXT_ENCODER)
    window = 8 * round(size * WINDOW / PAPER / 8)
    unit = ChannelStatistics((0.0,) * 4, (1.0,) * 4)
    latent_shape = CausalVideoVAE(**networks["tokenizer"][1]).latent_shape((size, size, size))
    description = replace(
        bundled,
        grid=GridDescription((size, size, size), affine_rows(grid_of(size).affine_mm.tolist()), (-1024.0, 1024.0)),
        latents=LatentDescription((4, *latent_shape), unit, unit, (window,) * 3, 0.0),
        register=None,
        files=hash_files(folder),
    )
    write_description(folder, description)


def memory_mb(which: str) -> float:
    """Return the memory of this process (``VmRSS``), or the most that it has had (``VmHWM``)."""
    found = re.search(rf"{which}:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
    assert found is not None
    return int(found.group(1)) / 1024


STEPS: tuple[Callable[[int, Path], str], ...] = (hold, compress, encode, show, generate, change, edit)


def measure(step: Callable[[int, Path], str], size: int) -> None:
    """Run a step and print what it took."""
    with tempfile.TemporaryDirectory() as folder:
        start_s = time.process_time()
        result = step(size, Path(folder))
        used_s = time.process_time() - start_s
    print(f"{step.__name__:10} {used_s:6.1f} s {memory_mb('VmHWM'):7.0f} MB  {result}", flush=True)


def main() -> None:
    """Measure each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=448, help="voxels along each axis (default: %(default)s)")
    size = parser.parse_args().size
    for step in STEPS:
        process = get_context("spawn").Process(target=measure, args=(step, size))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
