"""MetaImage files: .mha, and .mhd with its data beside it.

World coordinates are LPS, as in ITK. ``TransformMatrix`` lists the direction of each axis in turn; where it is missing,
the axes are the world's, as ITK takes them.

Source: the MetaIO documentation of ITK, "MetaImage tags".
"""

from pathlib import Path

import deflate
import numpy as np
from jaxtyping import Shaped

from medsyn2.ct.affines import Affine, spacing_of
from medsyn2.ct.nifti.header import invalid_volume
from medsyn2.formats.payload import ImageFile, Payload, data_file, numbers, read_header, unsupported

_TYPES = {
    "MET_CHAR": "i1",
    "MET_UCHAR": "u1",
    "MET_SHORT": "i2",
    "MET_USHORT": "u2",
    "MET_INT": "i4",
    "MET_UINT": "u4",
    "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
_NAMES = {np.dtype(kind): name for name, kind in _TYPES.items()}
_LAST = "ElementDataFile"
_LOCAL = ("LOCAL", "Local", "local")


def open_metaimage(path: Path) -> ImageFile:
    """Read a MetaImage file strictly.

    Raises:
        InvalidVolumeError: If the file is damaged, is no MetaImage or has voxels that are not read here.
    """
    fields, end = _parse(path)
    dtype = _TYPES.get(fields.get("ElementType", ""))
    if dtype is None or fields.get("ElementNumberOfChannels", "1") != "1" or not _is_true(fields, "BinaryData", True):
        raise unsupported(path.name, "volume-encoding", f"ElementType {fields.get('ElementType')}")
    order = ">" if _is_true(fields, "BinaryDataByteOrderMSB", _is_true(fields, "ElementByteOrderMSB", False)) else "<"
    local = fields[_LAST] in _LOCAL
    offset = int((numbers(fields, "HeaderSize") or [0])[0])
    payload = Payload(
        path if local else data_file(path, fields[_LAST]),
        end if local else offset,
        tuple(int(size) for size in numbers(fields, "DimSize") or ()),
        np.dtype(order + dtype),
        _is_true(fields, "CompressedData", False),
    )
    affine, notes = _affine(fields)
    return ImageFile(path.name, payload.read(path.name), notes, fields.get("Comment", ""), affine)


def voxel_file(path: Path) -> Path:
    """Return the file that holds the voxels of a header: its own, or one beside it.

    Raises:
        InvalidVolumeError: If it is no MetaImage, or names a list or a file of another folder.
    """
    named = _parse(path)[0][_LAST]
    return path if named in _LOCAL else data_file(path, named)


def metaimage(voxels: Shaped[np.ndarray, "d h w"], affine_mm: Affine, description: str) -> bytes:
    """Return the content of a compressed .mha; equal volumes give equal bytes."""
    columns = affine_mm[:3, 2::-1] / spacing_of(affine_mm)[::-1]
    stored = voxels.astype(voxels.dtype.newbyteorder("<"), copy=False)
    stream = deflate.zlib_compress(np.ascontiguousarray(stored).data.cast("B"), 1)
    lines = {
        "ObjectType": "Image",
        "NDims": "3",
        **({"Comment": description} if description else {}),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        "CompressedDataSize": str(len(stream)),
        "TransformMatrix": _text(columns.T.ravel()),
        "Offset": _text(affine_mm[:3, 3]),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": _text(np.array(spacing_of(affine_mm)[::-1])),
        "DimSize": " ".join(map(str, voxels.shape[::-1])),
        "ElementType": _NAMES[voxels.dtype],
        _LAST: "LOCAL",
    }
    return "".join(f"{name} = {value}\n" for name, value in lines.items()).encode("ascii", "replace") + stream


def _parse(path: Path) -> tuple[dict[str, str], int]:
    """Return the fields of a header, and the byte after it."""
    start, _ = read_header(path)
    fields: dict[str, str] = {}
    at = 0
    while _LAST not in fields and (end := start.find(b"\n", at)) >= 0:
        name, equals, value = start[at:end].decode("utf-8", "replace").partition("=")
        if not equals:
            break
        fields[name.strip()] = value.strip()
        at = end + 1
    if _LAST not in fields or fields.get("NDims") is None:
        raise invalid_volume(
            path.name,
            "header-truncated",
            f"a MetaImage header that ends with {_LAST}, got another file",
            "get the file again, or give NIfTI.",
        )
    return fields, at


def _affine(fields: dict[str, str]) -> tuple[Affine | None, tuple[str, ...]]:
    spacing = numbers(fields, "ElementSpacing", "ElementSize")
    origin = numbers(fields, "Offset", "Position", "Origin") or [0.0, 0.0, 0.0]
    given = numbers(fields, "TransformMatrix", "Rotation", "Orientation")
    matrix = given or np.eye(3).ravel().tolist()
    if spacing is None or len(spacing) < 3 or len(origin) < 3 or len(matrix) != 9:
        return None, ()
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(matrix, (3, 3)).T * spacing[:3]
    affine[:3, 3] = origin[:3]
    return affine, () if given else ("the header has no directions; the axes are taken to be the world's",)


def _is_true(fields: dict[str, str], name: str, default: bool) -> bool:
    return fields[name].lower() in ("true", "t", "1") if name in fields else default


def _text(values: np.ndarray) -> str:
    return " ".join(f"{float(value) + 0.0:.17g}" for value in values)
