"""A model that knows where a chest lies: tiny networks on a coarse grid around the lungs of a phantom, its template."""

from dataclasses import replace
from pathlib import Path

from medsyn2.config import RegisterConfig
from medsyn2.ct.registration.affine import lung_box_mm, working_ct
from medsyn2.ct.registration.template import grid_around
from medsyn2.ct.volume import CTVolume
from medsyn2.phantoms import draw_acquisition, draw_subject, scan
from medsyn2.weights.model_folder import GridDescription, affine_rows, hash_files, read_description, write_description
from medsyn2.weights.model_template import write_reference
from tests.unit.conftest import write_tiny_model

SETTINGS = RegisterConfig(working_spacing_mm=6.0)


def scan_phantom(number: int, spacing_mm: float = 4.0) -> CTVolume:
    """A phantom's CT."""
    subject = draw_subject(0, number)
    return scan(subject, draw_acquisition(subject, spacing_mm)).volume


def write_chest_model(folder: Path, template: CTVolume) -> Path:
    """Write a model of 32 x 48 x 48 voxels of 9.5 x 7.5 x 7.5 mm around the lungs of a CT."""
    write_tiny_model(folder)
    chest = working_ct(template, SETTINGS.working_spacing_mm)
    write_reference(folder, chest)
    low, high = lung_box_mm(chest.lungs)
    grid = grid_around((32, 48, 48), (9.5, 7.5, 7.5), ((low + high) / 2).tolist())
    own = read_description(folder)
    described = GridDescription(grid.shape, affine_rows(grid.affine_mm.tolist()), own.grid.clip_hu)
    latents = replace(own.latents, shape=(4, 8, 6, 6))
    register = SETTINGS.model_dump(mode="json")
    write_description(
        folder, replace(own, grid=described, latents=latents, register=register, files=hash_files(folder))
    )
    return folder
