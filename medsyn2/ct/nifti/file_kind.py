"""The kind of a file that is no NIfTI, told by its first bytes.

The name says .nii.gz and the content is a login page, a pointer to data that were never fetched or a DICOM
slice: each needs another remedy, so each has its own code.
"""

from dataclasses import dataclass

from medsyn2.errors import InvalidVolumeError

GZIP_MARK = b"\x1f\x8b"


@dataclass(frozen=True)
class _Kind:
    code: str
    what: str
    remedy: str
    marks: tuple[tuple[int, bytes], ...]


_KINDS = (
    _Kind(
        "file-is-lfs-pointer",
        "a Git-LFS pointer, the data behind it were never downloaded",
        "fetch the data with `git lfs pull`, or download the file again.",
        ((0, b"version https://git-lfs"),),
    ),
    _Kind(
        "file-is-dicom",
        "a DICOM file",
        "convert the series to NIfTI, for example with dcm2niix.",
        ((128, b"DICM"), (0, b"\x08\x00\x05\x00"), (0, b"\x02\x00\x00\x00")),
    ),
    _Kind(
        "file-is-zip",
        "a zip archive",
        "unpack the archive and give the files in it.",
        ((0, b"PK\x03\x04"), (0, b"PK\x05\x06")),
    ),
    _Kind("file-is-tar", "a tar archive", "unpack the archive and give the files in it.", ((257, b"ustar"),)),
    _Kind("file-is-nrrd", "a NRRD file", "convert the file to NIfTI, for example with SimpleITK.", ((0, b"NRRD"),)),
    _Kind("file-is-hdf5", "an HDF5 file", "give the CT as NIfTI.", ((0, b"\x89HDF\r\n"),)),
    _Kind("file-is-numpy", "a NumPy array", "give the CT as NIfTI.", ((0, b"\x93NUMPY"),)),
    _Kind("file-is-picture", "a picture", "give the CT as NIfTI.", ((0, b"\x89PNG"), (0, b"\xff\xd8\xff"))),
    _Kind("file-is-pdf", "a PDF document", "give the CT as NIfTI.", ((0, b"%PDF"),)),
    _Kind(
        "file-is-compressed",
        "data compressed with another program than gzip",
        "decompress the file, or compress it with gzip.",
        ((0, b"BZh"), (0, b"\xfd7zXZ"), (0, b"7z\xbc\xaf"), (0, b"\x28\xb5\x2f\xfd")),
    ),
    _Kind("file-is-gzip-twice", "data compressed twice", "decompress the file once.", ((0, GZIP_MARK),)),
)
_WEB_PAGE = _Kind(
    "file-is-html",
    "a web page",
    "the download gave an error or login page; log in, accept the terms and download the file again.",
    (),
)
_META_IMAGE = _Kind(
    "file-is-metaimage", "a MetaImage header", "convert the file to NIfTI, for example with SimpleITK.", ()
)
_UNKNOWN = _Kind("file-not-nifti", "none of the formats known here", "give the CT as NIfTI.", ())


def not_nifti(start: bytes, name: str) -> InvalidVolumeError:
    """Return the error of a file that is no NIfTI.

    Args:
        start: Its first bytes, decompressed; 540 are enough.
    """
    kind = _kind_of(start)
    return InvalidVolumeError(f"{name}: expected a NIfTI file, got {kind.what}.", code=kind.code, remedy=kind.remedy)


def stand_in(start: bytes, name: str, expected: str) -> InvalidVolumeError | None:
    """Return the error of a file that lies in the place of one that was never downloaded; None for any other.

    Args:
        start: Its first bytes.
        expected: Words for the file that should be there.
    """
    kind = _kind_of(start)
    if kind.code not in ("file-is-lfs-pointer", "file-is-html"):
        return None
    return InvalidVolumeError(f"{name}: expected {expected}, got {kind.what}.", code=kind.code, remedy=kind.remedy)


def _kind_of(start: bytes) -> _Kind:
    for kind in _KINDS:
        if any(start[offset : offset + len(mark)] == mark for offset, mark in kind.marks):
            return kind
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return _WEB_PAGE
    if b"ndims" in text or b"objecttype" in text:
        return _META_IMAGE
    if text and all(byte >= 32 or byte in b"\t\r\n\f" for byte in start):
        return _Kind("file-is-text", f"text: {start[:40].decode('utf-8', 'replace')!r}", _UNKNOWN.remedy, ())
    return _UNKNOWN
