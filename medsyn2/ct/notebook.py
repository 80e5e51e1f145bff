"""A volume in a notebook: three planes on one crosshair that need no kernel, no server and no other host.

The viewer is the page's own. Its modules and the voxels are the text of one document in an ``iframe``, in which the
notebook cannot be reached and nothing can be loaded: it works in JupyterLab, in VS Code and in an exported page. Where
scripts may not run, as in a notebook that is not trusted, the same document shows a picture of the planes instead, and
formats without HTML get that picture alone.

All voxels of a volume of 448 x 448 x 448 would make a cell of 200 MB. Large ones are shown as means of blocks,
`MAX_VOXELS` of them at most, which their text says; a label marks every block that it touches, so that no lesion is
lost.

The voxels are int16 HU, as differences along the last axis (modulo 2^16), all low bytes before all high bytes, zlib,
base64. No text becomes markup: what a file or a person wrote is escaped, or set as text by the script.
"""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from html import escape
from io import BytesIO
from itertools import islice
from pathlib import Path
from string import Template
from typing import Any

import deflate
import numpy as np

from medsyn2.ct.affines import Shape, Spacing
from medsyn2.ct.planes import colours, cut_indices, plot_planes
from medsyn2.types import Bool, Num, Shaped
from medsyn2.vocabulary import SYNTHETIC, WINDOWS_HU, Window

Masks = Mapping[str, Bool[np.ndarray, "d h w"]]

MAX_VOXELS = 150**3
"""So that 448 x 448 x 448 voxels become a third along each axis, and a cell costs a notebook some megabytes."""
MAX_MARKS = 255
"""Outlines, each a number of a byte."""
_LEVEL = 6
_HEIGHT_PX = 430
_WINDOW: Window = "lung"
_HERE = Path(__file__).parent
_IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
_COMMENT = re.compile(r"/\*\*.*?\*/\s*", re.DOTALL)


def show_volume(
    hu: Num[np.ndarray, "d h w"],
    spacing_mm: Spacing,
    masks: Masks,
    text: str,
    *,
    is_synthetic: bool = False,
    unit: str = "HU",
) -> dict[str, str]:
    """Return a volume as a notebook shows it, by MIME type: HTML, a PNG and a text.

    Args:
        masks: By the name in the legend; where two overlap, the later one is outlined. The first
            `MAX_MARKS` are shown.
        text: Describes the volume.
        is_synthetic: Whether each plane says SYNTHETIC.
        unit: Of the values under the crosshair; empty ones are not told.
    """
    if not hu.size:
        return {"text/plain": text}
    masks = dict(islice(masks.items(), MAX_MARKS))
    buffer = BytesIO()
    badge = SYNTHETIC if is_synthetic else ""
    figure = plot_planes(hu, spacing_mm, masks, badge, WINDOWS_HU[_WINDOW])
    figure.savefig(buffer, format="png")
    picture = b64encode(buffer.getvalue()).decode()
    content = {**_content(hu, spacing_mm, masks), "unit": unit, "badge": badge}
    document = escape(_document(content, text))
    html = (
        f'<div style="position:relative;min-height:{_HEIGHT_PX}px">'
        f'<img alt="{escape(text)}" src="data:image/png;base64,{picture}" style="max-width:100%">'
        f'<iframe title="{escape(text)}" sandbox="allow-scripts" srcdoc="{document}" '
        f'style="position:absolute;top:0;left:0;width:100%;height:{_HEIGHT_PX}px;border:0"></iframe></div>'
    )
    return {"text/plain": text, "text/html": html, "image/png": picture}


def _content(hu: Num[np.ndarray, "d h w"], spacing_mm: Spacing, masks: Masks) -> dict[str, Any]:
    """Return the voxels and the masks, reduced if they are many, as ``notebook.js`` reads them."""
    factors = block_factors(hu.shape, spacing_mm)
    small = block_means(hu, factors)
    labels = np.zeros(small.shape, np.uint8)
    for number, mask in enumerate(masks.values(), 1):
        labels[block_touches(mask, factors)] = number
    return {
        "shape": small.shape,
        "spacing_mm": [size * factor for size, factor in zip(spacing_mm, factors, strict=True)],
        "factors": factors,
        "at": [index // factor for index, factor in zip(cut_indices(hu.shape, masks.values()), factors, strict=True)],
        "voxels": pack_voxels(small),
        "labels": _pack(labels.tobytes()) if masks else "",
        "marks": [{"name": name, "colour": colour} for name, colour in zip(masks, colours(len(masks)), strict=True)],
        "window": _WINDOW,
    }


def _document(content: Mapping[str, Any], text: str) -> str:
    factors = content["factors"]
    if max(factors) > 1:
        text = f"{text}; shown are means of {' x '.join(map(str, factors))} voxels"
    page = (_HERE / "notebook.html").read_text(encoding="utf-8")
    # In a script, the only markup is the end of the script.
    values = json.dumps(content).replace("<", "\\u003c")
    return Template(page).substitute(text=escape(text), content=values, script=_script())


def block_factors(shape: Shape, spacing_mm: Spacing) -> Shape:
    """Return the voxels along each axis that become one, so that `MAX_VOXELS` remain and are as cubic as can be."""
    factors = [1, 1, 1]
    while np.prod([-(-n // factor) for n, factor in zip(shape, factors, strict=True)]) > MAX_VOXELS:
        sizes = [s * f if f < n else np.inf for n, s, f in zip(shape, spacing_mm, factors, strict=True)]
        factors[int(np.argmin(sizes))] += 1
    depth, height, width = factors
    return depth, height, width


def block_means(hu: Num[np.ndarray, "d h w"], factors: Shape) -> Num[np.ndarray, "z y x"]:
    """Return the means of blocks in whole HU; blocks at the far ends are as large as what is left."""
    planes = []
    for slab in _slabs(hu, factors[0]):
        total = slab.sum(axis=0, dtype=np.float64) / len(slab)
        planes.append(_mean_along(_mean_along(total, 0, factors[1]), 1, factors[2]))
    means = np.nan_to_num(np.stack(planes), nan=-32768)
    return np.clip(np.rint(means), -32768, 32767).astype(np.int16)


def block_touches(mask: Bool[np.ndarray, "d h w"], factors: Shape) -> Bool[np.ndarray, "z y x"]:
    """Return which blocks hold a voxel of the mask."""
    planes = []
    for slab in _slabs(mask, factors[0]):
        plane = slab.any(axis=0)
        for axis, factor in enumerate(factors[1:]):
            plane = np.logical_or.reduceat(plane, np.arange(0, plane.shape[axis], factor), axis=axis)
        planes.append(plane)
    return np.stack(planes)


def _slabs(array: Shaped[np.ndarray, "d h w"], thickness: int) -> list[Shaped[np.ndarray, "n h w"]]:
    return [array[start : start + thickness] for start in range(0, len(array), thickness)]


def _mean_along(plane: Num[np.ndarray, "h w"], axis: int, factor: int) -> Num[np.ndarray, "y x"]:
    starts = np.arange(0, plane.shape[axis], factor)
    sizes = np.diff(starts, append=plane.shape[axis])
    return np.add.reduceat(plane, starts, axis=axis) / np.expand_dims(sizes, 1 - axis)


def pack_voxels(values: Num[np.ndarray, "d h w"]) -> str:
    """Return 16-bit voxels as text for a browser: differences of neighbours compress where the values do not."""
    unsigned = values.view(np.uint16)
    steps = np.diff(unsigned, axis=2, prepend=np.uint16(0))
    low, high = (steps & 255).astype(np.uint8), (steps >> 8).astype(np.uint8)
    return _pack(low.tobytes() + high.tobytes())


def _pack(values: bytes) -> str:
    return b64encode(deflate.zlib_compress(values, _LEVEL)).decode("ascii")


@cache
def _script() -> str:
    """Return the viewer as one script: each module a function that is run once, imported ones first."""
    modules: dict[Path, str] = {}
    _add_module(_HERE / "notebook.js", modules)
    return "\n".join(modules.values())


def _add_module(path: Path, modules: dict[Path, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for _, place in _IMPORT.findall(text):
        imported = (path.parent / place).resolve()
        if imported not in modules:
            _add_module(imported, modules)
    names = ", ".join(name for _, name in _EXPORT.findall(text))
    body = _IMPORT.sub(lambda found: f"const {{{found[1]}}} = ${Path(found[2]).stem};", _COMMENT.sub("", text))
    body = _EXPORT.sub(lambda found: found[1], body)
    modules[path.resolve()] = f"const ${path.stem} = (() => {{\n{body}\nreturn {{{names}}};\n}})();"
