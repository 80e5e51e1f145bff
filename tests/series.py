"""DICOM series that tests write, with pydicom alone, sound or with one thing changed as it comes from archives.

The slices are those of a canonical volume, (depth, height, width) along the axes of its affine, so that a reader's
voxels and place can be compared with them exactly.
"""

import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

Change = Callable[[Dataset, int], None]


def counted(shape: tuple[int, int, int] = (6, 8, 10)) -> np.ndarray:
    """Make a volume in which each voxel has another value."""
    return (np.arange(np.prod(shape)).reshape(shape) - 1000).astype(np.int16)


def series_affine(spacing_mm: tuple[float, float, float] = (2.5, 0.7, 0.7)) -> np.ndarray:
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing_mm
    affine[:, 3] = (-120.5, -140.25, -300.0, 1.0)
    return affine


def oblique_affine() -> np.ndarray:
    """Make the affine of a gantry that looks along an axis turned about the patient's left."""
    angle = np.deg2rad(12)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = series_affine()
    affine[:3, :3] = turn @ affine[:3, :3]
    return affine


def ct_slice(plane: np.ndarray, index: int, affine_mm: np.ndarray, *, patient: str, study: str, series: str) -> Dataset:
    """Make a slice of a CT whose pixels are stored as a scanner does: unsigned, less 1024."""
    spacing = np.linalg.norm(affine_mm[:3, :3], axis=0)
    dataset = Dataset()
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = f"{series}.{index + 1}"
    dataset.Modality, dataset.PatientID, dataset.PatientName = "CT", patient, f"DOE^{patient}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = study, series, f"{study}.9"
    dataset.SeriesNumber, dataset.InstanceNumber, dataset.AcquisitionNumber = int(series.split(".")[-1]), index + 1, 1
    position = affine_mm[:3, 3] + index * affine_mm[:3, 0]
    dataset.ImagePositionPatient = [f"{value:.6g}" for value in position]
    cosines = [*(affine_mm[:3, 2] / spacing[2]), *(affine_mm[:3, 1] / spacing[1])]
    dataset.ImageOrientationPatient = [f"{value:.10g}" for value in cosines]
    dataset.PixelSpacing = [f"{spacing[1]:.6g}", f"{spacing[2]:.6g}"]
    dataset.SliceThickness = f"{spacing[0]:.6g}"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = plane.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.RescaleIntercept, dataset.RescaleSlope = "-1024", "1"
    dataset.PixelData = (plane.astype(np.int32) + 1024).astype("<u2").tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def write_series(
    folder: Path,
    hu: np.ndarray | None = None,
    affine_mm: np.ndarray | None = None,
    *,
    patient: str = "P1",
    study: str = "1.2.3",
    series: str = "1.2.3.4",
    change: Change | None = None,
    name: str = "{:04d}.dcm",
    only: Sequence[int] | None = None,
) -> np.ndarray:
    """Write a series and return its volume.

    Args:
        change: Changes a slice before it is written, given its index.
        name: Name of each file, given its index.
        only: The slices that are written; None is all.
    """
    hu = counted() if hu is None else hu
    affine_mm = series_affine() if affine_mm is None else affine_mm
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(len(hu)) if only is None else only:
        dataset = ct_slice(hu[index], index, affine_mm, patient=patient, study=study, series=series)
        if change is not None:
            change(dataset, index)
        dataset.save_as(folder / name.format(index), enforce_file_format=True)
    return hu


def pack(folder: Path, archive: Path) -> None:
    """Write the files of a folder into an archive of the kind that its name ends in, as a portal does."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    archive.parent.mkdir(parents=True, exist_ok=True)
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
            for path in paths:
                made.write(path, f"export/{path.relative_to(folder)}")
        return
    ends = {".gz": "w:gz", ".tgz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}
    with tarfile.open(archive, ends.get(archive.suffix, "w")) as made:
        made.add(folder, "export")


def localizer(dataset: Dataset, index: int) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "0", "-1"]


def derived(dataset: Dataset, index: int) -> None:
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]


def mip(dataset: Dataset, index: int) -> None:
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL", "MIP"]


def capture(dataset: Dataset, index: int) -> None:
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"


def report(dataset: Dataset, index: int) -> None:
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    dataset.Modality = "SR"
    del dataset.PixelData, dataset.Rows, dataset.Columns
