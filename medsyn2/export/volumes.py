"""A folder of made volumes as a data set for others: a card, a table and a Croissant description of them.

    README.md       the card: that all is synthetic, by which models, and the terms
    croissant.json  the same for machines, with the columns of the table (Croissant 1.1, with fields of its RAI part)
    metadata.csv    a row a volume: its files with their hashes, and the request
    volumes/...     volumes, masks and sidecars as they are

``README.md`` and ``metadata.csv`` with its column ``file_name`` are read by the Hugging Face Hub. The reports of the
requests are in the table and in the sidecars: they are published with the volumes.

Source: MLCommons, Croissant format specification 1.1 and Croissant RAI specification 1.0.
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from medsyn2.errors import ConfigError, IntegrityError
from medsyn2.export.journal import Shard, begin, check_place, finish, part_of, state_of_file
from medsyn2.export.pairs import list_sidecars
from medsyn2.files import sha256_of, write_atomically, write_json, write_table, write_text_atomically
from medsyn2.fingerprints import fingerprint
from medsyn2.pipeline.synthetic import NOTICE
from medsyn2.pipeline.volume_output import hash_of
from medsyn2.version import __version__
from medsyn2.weights.model_card import PAPER

TABLE, CROISSANT, CARD = "metadata.csv", "croissant.json", "README.md"
_COLUMNS = {
    "file_name": ("sc:Text", "The volume, from the folder of this file"),
    "sha256": ("sc:Text", "Its sha256; of a folder of DICOM files, the hash that its sidecar has"),
    "mask_file": ("sc:Text", "The mask that it was made from; empty if there was none"),
    "mask_text": ("sc:Text", "What the mask is of"),
    "report": ("sc:Text", "The report that it was made from; empty if there was none"),
    "seed": ("sc:Integer", "Of the noise"),
    "kind": ("sc:Text", "generated, or edited: a real CT that was changed inside a region"),
    "model": ("sc:Text", "Fingerprint of the model"),
    "sidecar_file": ("sc:Text", "The JSON by which it can be made again"),
}
_TERMS = (
    "The terms of the CTs that the models were trained with hold for these volumes; of an edited CT, its own terms too."
)


def export_volumes(
    source: Path, to: Path, *, name: str, licence: str, shard: Shard | None = None
) -> list[dict[str, Any]]:
    """Copy the volumes of a folder and describe them; return the rows of the table.

    Args:
        shard: The part whose volumes are copied, without a description; None copies what is missing and describes all.

    Raises:
        ConfigError: If `to` holds files of anything else, or there is no volume with a sidecar.
        IntegrityError: If a volume is not the one that its sidecar was written with.
    """
    check_place(to)
    found = list_sidecars(source)
    if not found:
        raise ConfigError(
            f"{source} holds no volume with a sidecar of `medsyn2 generate` or `edit`.",
            code="export-no-volumes",
            remedy="give the folder that they were written into, with their .json files.",
        )
    begin(to, fingerprint("volumes", [(str(path.relative_to(source)), *state_of_file(path)) for path, _ in found]))
    part = tqdm(part_of(found, shard), desc="volumes", unit="volume", disable=None)
    rows = [_copy(source, sidecar, values, to) for sidecar, values in part]
    if shard is not None:
        return rows
    write_table(to / TABLE, pd.DataFrame(rows, columns=list(_COLUMNS)))
    write_text_atomically(to / CARD, _card(name, licence, rows))
    write_json(to / CROISSANT, croissant(name, licence, rows, sha256_of(to / TABLE)))
    finish(to)
    return rows


def croissant(name: str, licence: str, rows: Sequence[dict[str, Any]], table_sha256: str) -> dict[str, Any]:
    """Return the Croissant description of a data set of made volumes."""
    models = sorted({row["model"] for row in rows})
    table = {
        "@type": "cr:FileObject",
        "@id": TABLE,
        "name": TABLE,
        "contentUrl": TABLE,
        "encodingFormat": "text/csv",
        "sha256": table_sha256,
    }
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"volumes/{column}",
            "name": column,
            "description": about,
            "dataType": kind,
            "source": {"fileObject": {"@id": TABLE}, "extract": {"column": column}},
        }
        for column, (kind, about) in _COLUMNS.items()
    ]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": name,
        "description": f"{len(rows)} synthetic chest CTs. {NOTICE}",
        "license": licence,
        "keywords": ["synthetic", "chest CT", "segmentation masks"],
        "isLiveDataset": False,
        "version": "1.0.0",
        "citeAs": PAPER,
        "rai:dataCollection": f"Made by medsyn2 {__version__} with the models {', '.join(models)}; no scanner measured "
        "any of it but the surroundings of edited regions.",
        "rai:dataLimitations": "Not of patients and not for clinical use. Anatomy, disease and noise are as far from "
        "real ones as the models are; a score on these volumes says nothing about real ones.",
        "rai:dataUseCases": "Training beside real CTs, teaching, tests of software. Tell synthetic from real cases.",
        "rai:personalSensitiveInformation": "Reports are as they were given to the model.",
        "distribution": [table],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "volumes", "name": "volumes", "field": fields}],
    }


def _copy(source: Path, sidecar: Path, values: dict[str, Any], to: Path) -> dict[str, Any]:
    """Copy the files of a volume, the sidecar last, unless they are there; return its row."""
    folder = sidecar.parent
    place = to / "volumes" / folder.relative_to(source)
    volume = folder / Path(values["volume"]["file"]).name
    if not (place / sidecar.name).is_file():
        _copy_files(volume, sidecar, values, place)
    return _row(values, place.relative_to(to), volume.name, sidecar.name)


def _copy_files(volume: Path, sidecar: Path, values: dict[str, Any], place: Path) -> None:
    if not volume.exists() or hash_of(volume) != values["volume"]["sha256"]:
        raise IntegrityError(
            f"{volume} is missing or is not the volume that {sidecar.name} was written with.",
            code="volume-changed",
            remedy="make it again by `--from-sidecar`, or take the volume and its files out of the folder.",
        )
    for file in (volume, *(sidecar.parent / Path(name).name for name in _masks(values)), sidecar):
        place.mkdir(parents=True, exist_ok=True)
        if file.is_dir():
            shutil.copytree(file, place / file.name, dirs_exist_ok=True)
        else:
            write_atomically(place / file.name, partial(shutil.copyfile, file))


def _row(values: dict[str, Any], where: Path, volume: str, sidecar: str) -> dict[str, Any]:
    """Return the row of a volume whose files lie in the folder `where`."""
    shown = values.get("output", {}).get("mask") or values["mask"]
    mask = shown and (where / Path(shown["file"]).name).as_posix()
    return {
        "file_name": (where / volume).as_posix(),
        "sha256": values["volume"]["sha256"],
        "mask_file": mask or "",
        "mask_text": values["mask_text"] or "",
        "report": values["report"] or "",
        "seed": values["seed"],
        "kind": "edited" if "edit" in values else "generated",
        "model": values["model"],
        "sidecar_file": (where / sidecar).as_posix(),
    }


def _masks(values: dict[str, Any]) -> list[str]:
    """Return the names of the masks of a volume and of those it was made from."""
    own = [values[key]["file"] for key in ("mask", "region") if values.get(key)]
    nested = [_masks(values[key]) for key in ("before", "edit", "output") if values.get(key)]
    return own + [name for names in nested for name in names]


def _card(name: str, licence: str, rows: Sequence[dict[str, Any]]) -> str:
    kinds, models = Counter(row["kind"] for row in rows), sorted({row["model"] for row in rows})
    asked = Counter(row["mask_text"] or ("report alone" if row["report"] else "nothing") for row in rows)
    table = "\n".join(f"| {words} | {count} |" for words, count in sorted(asked.items()))
    made = "\n".join(f"- `{model}`" for model in models)
    return f"""---
license: other
license_name: {licence}
license_link: {CARD}
pretty_name: {name}
tags: [medical, chest-ct, synthetic-data]
size_categories: ["{_size(len(rows))}"]
configs:
- config_name: default
  data_files: {TABLE}
---
# {name}

{NOTICE}
{kinds["generated"]} volumes were generated, {kinds["edited"]} are real CTs that a model changed inside a region.

`{TABLE}` has a row for each volume, `{CROISSANT}` describes its columns. Beside each volume are its mask and the JSON
by which it can be made again.

| made from | volumes |
|---|---|
{table}

## Models

{made}

Made by medsyn2 {__version__}.

## Use

Say in what you publish how many of your cases are synthetic, keep volumes of one mask or one CT on one side of a
split, and measure on real CTs. Headers and sidecars mark every volume; `medsyn2 is-synthetic` reads the marks.

## Licence

{licence}. {_TERMS}
"""


def _size(count: int) -> str:
    return next((name for most, name in ((1000, "n<1K"), (10_000, "1K<n<10K")) if count < most), "10K<n<100K")


_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataBiases": "cr:dataBiases",
    "dataCollection": "cr:dataCollection",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "personalSensitiveInformation": "cr:personalSensitiveInformation",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The JSON-LD context of the specification, and the prefix of its RAI part."""
