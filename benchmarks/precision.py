"""The error of bfloat16 in trained networks, beside the error of the solver, on the samples of a finished run.

    python benchmarks/precision.py                              # the run in results/
    python benchmarks/precision.py RUN/results --volumes 8

Some samples of the run are made again from their recipes: in float32 and in bfloat16, with many more steps of the
solver, and from other noise, which shows how far apart two volumes of one request are. Their real CTs are encoded, and
the samples' latents decoded, in both precisions. An error is a root mean square over all elements and volumes: of
latents in percent of their standard deviation, of voxels in HU.

On a GPU this is the arithmetic of a run there. On a CPU autocast has other lists of operations: normalisations that
CUDA computes in float32 take and return bfloat16.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1]))

from medsyn2.ct.nifti.files import read_ct
from medsyn2.ct.volume import CTVolume
from medsyn2.evaluation.control.losses import encode_volume
from medsyn2.facts import CT_FILE
from medsyn2.pipeline import MedSyn2Pipeline, Recipe, Synthetic
from medsyn2.pipeline.synthetic import read_sidecar


@dataclass(frozen=True)
class Request:
    """A sample of the run: how it was made, and the real volume of its case."""

    recipe: Recipe
    real: CTVolume


@dataclass(frozen=True)
class Models:
    """One model in both precisions."""

    float32: MedSyn2Pipeline
    bf16: MedSyn2Pipeline

    @classmethod
    def load(cls, folder: Path) -> "Models":
        """Load the model of a folder."""
        return cls(*(MedSyn2Pipeline.from_pretrained(folder, precision=one) for one in ("float32", "bf16")))


Pair = tuple[Tensor | None, Tensor | None]
"""Latents, in standard deviations, and HU: of one comparison, the difference."""


def requests(results: Path, number: int) -> list[Request]:
    """Return some samples of the run, evenly spaced in the order of their paths."""
    sidecars = sorted(results.glob("sample/*/*/*.json"))
    if not sidecars:
        raise SystemExit(f"{results}/sample holds no sample; run the workflow first")
    chosen = sidecars[:: max(len(sidecars) // number, 1)][:number]
    return [Request(read_sidecar(path)[0], _real(results, path)) for path in chosen]


def _real(results: Path, sidecar: Path) -> CTVolume:
    shard, case = sidecar.parts[-3:-1]
    return read_ct(results / "register" / shard / case / CT_FILE)


def compare(models: Models, request: Request, num_steps: int) -> Iterator[tuple[str, Pair]]:
    """Yield each comparison's name and differences."""
    encoded = [encode_volume(model, request.real) for model in (models.float32, models.bf16)]
    yield "bf16, encoding a real volume", ((encoded[1] - encoded[0]) / encoded[0].std(), None)
    recipe = replace(request.recipe, precision="float32")
    made = make(models.float32, recipe)
    decoded = [model.decode(made.latents.to(model.device)) for model in (models.float32, models.bf16)]
    yield "bf16, decoding a sample", (None, _hu(decoded[1]) - _hu(decoded[0]))
    others = {
        "bf16, a whole sample": replace(recipe, precision="bf16"),
        f"{recipe.sampling.solver}: {recipe.sampling.num_steps} steps against {num_steps}": replace(
            recipe, sampling=replace(recipe.sampling, num_steps=num_steps)
        ),
        "another seed": replace(recipe, seed=recipe.seed + 1),
    }
    for name, changed in others.items():
        other = make(models.float32, changed)
        latents = (other.latents - made.latents) / made.latents.std()
        yield name, (latents, _hu(other.volume) - _hu(made.volume))


def make(model: MedSyn2Pipeline, recipe: Recipe) -> Synthetic:
    """Follow a recipe to its end."""
    *_, last = model.steps(recipe)
    assert last.result is not None
    return last.result


def _hu(volume: CTVolume) -> Tensor:
    return torch.from_numpy(volume.hu.astype(np.float64))


def rms(differences: Sequence[Tensor | None]) -> float | None:
    """Return the root mean square over all elements, or None if there are none."""
    known = [one.double().square().mean().item() for one in differences if one is not None]
    return float(np.mean(known) ** 0.5) if known else None


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"), help="(default: %(default)s)")
    parser.add_argument("--volumes", type=int, default=4, metavar="N", help="samples (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="of the reference (default: %(default)s)")
    arguments = parser.parse_args()
    models = Models.load(arguments.results / "train_dit" / "model")
    found: dict[str, list[Pair]] = {}
    for request in requests(arguments.results, arguments.volumes):
        for name, pair in compare(models, request, arguments.steps):
            found.setdefault(name, []).append(pair)
    number = len(next(iter(found.values())))
    print(f"torch {torch.__version__}, {models.float32.device}, {number} samples, root mean squares")
    print(f"{'':<42}{'latents, % of SD':>18}{'HU':>10}")
    for name, pairs in found.items():
        latents, hu = (rms(side) for side in zip(*pairs, strict=True))
        percent = "" if latents is None else f"{100 * latents:.2f}"
        print(f"{name:<42}{percent:>18}{'' if hu is None else f'{hu:.2f}':>10}")


if __name__ == "__main__":
    main()
