"""A real CT to edit, read from its file as the workflow reads those of a cohort.

The unit of the values, the padding and the orientation are judged from the CT itself, so that a file of stored values
or one that lies upside down is understood or refused here as there.
"""

import logging
from contextlib import suppress
from pathlib import Path

from medsyn2.cohort.volumes import inspect_case, read_case
from medsyn2.ct.nifti.files import NiftiFile
from medsyn2.ct.nifti.storage import open_storage
from medsyn2.ct.registration.alignment import Alignment
from medsyn2.ct.volume import CTVolume
from medsyn2.fingerprints import fingerprint
from medsyn2.formats import open_volume
from medsyn2.integrity import read_sealed, write_sealed
from medsyn2.pipeline.ct_edit import align_ct
from medsyn2.pipeline.edited import Source, hash_ct
from medsyn2.pipeline.generation import Generation

log = logging.getLogger(__name__)


def read_source(path: Path) -> tuple[CTVolume, Source, tuple[str, ...]]:
    """Read a CT to edit, which may be an edited one.

    Args:
        path: A file, or a folder of DICOM slices.

    Returns:
        The CT in HU, its file, and remarks for the user.

    Raises:
        CaseError: If the file is no usable chest CT.
    """
    facts = inspect_case(path, None, "detect", accept_synthetic=True)
    ct, file = read_case(facts), open_volume(path)
    first = 0 if facts.slices is None else facts.slices[0]
    values = CTVolume(file.ct(file.affine()[0]).hu[first : first + len(ct.hu)], ct.affine_mm)
    storage = open_storage(path) if isinstance(file, NiftiFile) else None
    return ct, Source(values, facts.hu, storage, first), facts.warnings


def align_once(generation: Generation, ct: CTVolume, folder: Path) -> Alignment:
    """Return the registration of a CT, from a file that an earlier edit left in the folder if there is one.

    The file is called by the CT's hash: the name of a patient's file does not travel.

    Raises:
        RegistrationError: If the CT cannot be registered.
        WeightsError: If the model has no template.
    """
    source, description = hash_ct(ct), generation.description
    template = {name: digest for name, digest in description.files.items() if name.startswith("template")}
    identity = fingerprint("alignment", source, template, dict(description.register or {}))
    kept = folder / f"registration_{source[:12]}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):  # none is there, or not a whole one
        values = read_sealed(kept)
        if values["identity"] == identity:
            log.info("%s holds the registration of an earlier edit, which is used", kept)
            return Alignment.from_json(values["alignment"])
    alignment = align_ct(generation, ct)
    write_sealed(kept, {"identity": identity, "alignment": alignment.to_json()})
    log.info(
        "registered: Dice of the lungs %.2f, correlation %.2f; kept as %s",
        alignment.lung_dice,
        alignment.similarity,
        kept,
    )
    return alignment
