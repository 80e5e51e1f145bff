"""MedSyn2: controllable 3D chest-CT synthesis from radiology reports and masks.

    from dataclasses import replace

    from medsyn2 import MedSyn2Pipeline, read_labels

    pipeline = MedSyn2Pipeline.from_pretrained("results/train_dit/model")
    made = pipeline("Large left pleural effusion.", seed=1)
    made.volume.plot(window="soft_tissue")  # a matplotlib figure
    made.save("effusion.nii.gz")            # and effusion.json, by which it can be made again

    heart = read_labels("heart.nii.gz")     # or LabelMap(array, pipeline.grid.affine_mm)
    quick = replace(pipeline.sampling, num_steps=4)
    pipeline(mask=heart, mask_text="heart", sampling=quick)

    MedSyn2Pipeline, Synthetic          a trained model, and a volume that it made with its recipe
    Sampling                            solver, steps and guidance
    CTVolume, LabelMap                  voxels with their place in space
    read_ct, read_labels                from NIfTI, MetaImage, NRRD and DICOM, strictly
    write_ct, write_labels              to NIfTI, MetaImage and NRRD
    Config, load_config                 the configuration of the workflow
    MedSyn2Error                        the base of all errors; it says what to do

The names are loaded on first use, so that importing the package, as the workflow does for its configuration,
brings in neither torch nor numpy.
"""

from typing import TYPE_CHECKING

from medsyn2.faces import lazy
from medsyn2.version import __version__ as __version__

if TYPE_CHECKING:
    from medsyn2.config import Config, load_config
    from medsyn2.ct.volume import CTVolume, LabelMap
    from medsyn2.errors import MedSyn2Error
    from medsyn2.flow.sampling import Sampling
    from medsyn2.formats.reading import read_ct, read_labels
    from medsyn2.formats.writing import write_ct, write_labels
    from medsyn2.pipeline.pipeline import MedSyn2Pipeline
    from medsyn2.pipeline.synthetic import Synthetic
else:
    _HOMES = {
        "CTVolume": "medsyn2.ct.volume",
        "Config": "medsyn2.config",
        "LabelMap": "medsyn2.ct.volume",
        "MedSyn2Error": "medsyn2.errors",
        "MedSyn2Pipeline": "medsyn2.pipeline.pipeline",
        "Sampling": "medsyn2.flow.sampling",
        "Synthetic": "medsyn2.pipeline.synthetic",
        "load_config": "medsyn2.config",
        **dict.fromkeys(("read_ct", "read_labels"), "medsyn2.formats.reading"),
        **dict.fromkeys(("write_ct", "write_labels"), "medsyn2.formats.writing"),
    }
    __getattr__, _names = lazy(__name__, _HOMES)

    def __dir__() -> list[str]:
        return [*_names(), "__version__"]


__all__ = [
    "CTVolume",
    "Config",
    "LabelMap",
    "MedSyn2Error",
    "MedSyn2Pipeline",
    "Sampling",
    "Synthetic",
    "load_config",
    "read_ct",
    "read_labels",
    "write_ct",
    "write_labels",
]
