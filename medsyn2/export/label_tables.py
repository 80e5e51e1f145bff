"""Numbers, names and colours of a label map, for nnU-Net, 3D Slicer and ITK-SNAP.

A label map has one label a voxel, and structures overlap: a nodule lies in a lobe, fluid beside it. They are painted
in the order `PAINTED`, each over those before it, from the containing to the contained: lobes; heart; fluid around
heart and lungs; the trees of vessels and airways, which run through lobes; then opacities and nodules, the rarest and
smallest, which would vanish below any other. Structures of other words come last.
"""

from collections.abc import Mapping, Sequence

from medsyn2.errors import ConfigError
from medsyn2.vocabulary import COLOURS, LOBES, STRUCTURES, Structure

PAINTED: tuple[Structure, ...] = (
    "lobes",
    "heart",
    "pericardial_effusion",
    "pleural_effusion",
    "vessels",
    "airways",
    "ground_glass",
    "consolidation",
    "nodules",
)
"""The order in which structures are painted; a later one covers an earlier one."""


def painting_order(structures: Sequence[str]) -> tuple[str, ...]:
    """Return structures in the order in which they are painted.

    Raises:
        ConfigError: If one stands twice, or there are more than a label map holds.
    """
    known = [name for name in PAINTED if name in structures]
    order = (*known, *(name for name in structures if name not in PAINTED))
    if len(order) != len(structures) or len(order) > _MOST:
        raise ConfigError(
            f"expected up to {_MOST} structures, each once, got {', '.join(structures)}.",
            code="export-structures",
            remedy="name each structure once.",
        )
    return order


def label_names(structures: Sequence[str]) -> dict[int, str]:
    """Return the names of the labels 1, 2, ... of structures in their painting order; lobes are five labels."""
    names = [
        part for name in painting_order(structures) for part in (LOBES.values() if name == "lobes" else (_plain(name),))
    ]
    return dict(enumerate(names, 1))


def slicer_table(names: Mapping[int, str]) -> str:
    """Return the colour table of 3D Slicer (.ctbl): label, name, red, green, blue, opacity."""
    rows = [f"{label} {name} {' '.join(map(str, _rgb(label, name)))} 255" for label, name in names.items()]
    return "\n".join(["# Color table of MedSyn2", f"# {len(names) + 1} values", "0 background 0 0 0 0", *rows, ""])


def itksnap_table(names: Mapping[int, str]) -> str:
    """Return the label descriptions of ITK-SNAP (.label)."""
    rows = [
        f'{label:5d} {red:5d} {green:5d} {blue:5d}        1  1  1    "{name.replace("_", " ")}"'
        for label, name in names.items()
        for red, green, blue in [_rgb(label, name)]
    ]
    clear = '    0     0     0     0        0  0  0    "Clear Label"'
    return "\n".join(
        ["# ITK-SNAP label description file", "# IDX   -R-   -G-   -B-  -A- VIS MSH  LABEL", clear, *rows, ""]
    )


_MOST = 200
"""Labels of a map of 8 bits, with room for five lobes."""


def _plain(name: str) -> str:
    """Return a name without the signs that would end it in a table."""
    return "_".join("".join(letter if letter.isalnum() else " " for letter in name).split())


def _rgb(label: int, name: str) -> tuple[int, int, int]:
    """Return the colour that a structure has in the figures; lobes and others take theirs by number."""
    index = STRUCTURES.index(name) if name in STRUCTURES else label - 1
    colour = COLOURS[index % len(COLOURS)].removeprefix("#")
    red, green, blue = bytes.fromhex(colour)
    return red, green, blue
