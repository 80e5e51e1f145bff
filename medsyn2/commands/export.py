r"""Hand volumes and masks to other programs.

A data set for nnU-Net (version 2): the real cases of a finished run, the volumes that were generated from their masks,
and volumes of `medsyn2 generate`, its tables and `medsyn2 edit`:

    medsyn2 export nnunet --run results --volumes volumes --structures nodules --to nnUNet_raw/Dataset501_Nodules
    nnUNetv2_plan_and_preprocess -d 501 --verify_dataset_integrity

The same with a list as MONAI's load_decathlon_datalist and Auto3DSeg read it:

    medsyn2 export monai --run results --structures heart nodules --to nodules

Names and colours of labels for 3D Slicer (.ctbl) and ITK-SNAP (.label):

    medsyn2 export labels --structures lobes nodules --to colours

A model for the Hugging Face Hub or another: its files with a card, and the figures of the run that trained it:

    medsyn2 export model --model results/train_dit/model --results results --to upload

A folder of made volumes as a data set, with a card, a table and a Croissant description:

    medsyn2 export volumes --volumes volumes --name "Synthetic nodules" --licence CC-BY-NC-SA-4.0 --to upload

Many volumes: run the same command again after a stop, and it goes on. Jobs of a cluster take a part each (--shard 2/8);
when they are done, the command without --shard makes what is missing and writes the tables.

Structures that overlap are painted in one order, the contained over the containing: lobes, heart, pericardial and
pleural effusion, vessels, airways, ground glass, consolidation, nodules, then others. Of a generated volume only the
structure is known that it was asked for; with other structures it is left out, and counted. A patient's real and
synthetic cases, volumes of one mask and edits of one CT are in one fold.
"""

import argparse
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from medsyn2.commands.answers import add_json, answer
from medsyn2.errors import ConfigError
from medsyn2.files import write_text_atomically
from medsyn2.vocabulary import STRUCTURES

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the kinds and their options."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for name, (about, declare, _) in KINDS.items():
        inner = kinds.add_parser(name, help=about, description=about, allow_abbrev=False)
        declare(inner)
        inner.add_argument("--to", type=Path, required=True, metavar="DIR", help="where the result goes")
        add_json(inner)


def run(arguments: argparse.Namespace) -> None:
    """Export one kind."""
    KINDS[arguments.kind][2](arguments)


def _structures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--structures",
        nargs="+",
        required=True,
        metavar="NAME",
        help=f"{', '.join(STRUCTURES)}, or other words that masks were given with",
    )


def _add_shard(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shard", metavar="I/N", help="write the I-th of N parts of the volumes alone, for N jobs")


def _dataset_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", type=Path, metavar="DIR", help="results of a finished run")
    parser.add_argument("--volumes", type=Path, nargs="+", default=[], metavar="DIR", help="folders of made volumes")
    _structures(parser)
    parser.add_argument("--only", choices=("real", "synthetic"), help="cases of this kind alone (default: both)")
    parser.add_argument(
        "--link", action="store_true", help="link to volumes instead of copying them, where they need no conversion"
    )
    _add_shard(parser)


def _dataset(arguments: argparse.Namespace) -> None:
    from medsyn2.export.dataset import check_dataset, list_members, write_cases, write_dataset
    from medsyn2.export.label_tables import label_names, painting_order
    from medsyn2.export.pairs import list_sidecars, pairs_of_run, pairs_of_volumes
    from medsyn2.pipeline.request_table import parse_shard

    check_dataset(arguments.to, arguments.kind)
    shard = None if arguments.shard is None else parse_shard(arguments.shard)
    structures = painting_order(arguments.structures)
    if arguments.run is None and not arguments.volumes:
        raise ConfigError(
            "expected --run or --volumes, got neither.",
            code="export-options",
            remedy="give the results of a run, folders of made volumes, or both.",
        )
    pairs = []
    if arguments.run is not None:
        pairs += list(pairs_of_run(arguments.run, structures, hash_masks=bool(arguments.volumes)))
    for folder in arguments.volumes:
        found = list(pairs_of_volumes(folder, structures))
        if left_out := len(list_sidecars(folder)) - len(found):
            log.warning("%s: %d volumes left out, of which not all masks are known", folder, left_out)
        pairs += found
    pairs, names = [pair for pair in pairs if arguments.only in (None, pair.kind)], label_names(structures)
    if shard is not None:
        _answer_part(
            arguments, write_cases(arguments.to, pairs, names, arguments.kind, link=arguments.link, shard=shard)
        )
        return
    members = list_members(pairs)
    write_dataset(arguments.to, members, names, arguments.kind, link=arguments.link)
    kinds = Counter(member.pair.kind for member in members)
    values = {
        "folder": arguments.to,
        "num_real": kinds["real"],
        "num_synthetic": kinds["synthetic"],
        "num_groups": len({member.group for member in members}),
        "num_folds": max(member.fold for member in members) + 1,
        "labels": names,
    }
    told = "{folder}: {num_real} real and {num_synthetic} synthetic cases of {num_groups} groups in {num_folds} folds\n"
    answer(arguments, "export", values, told.format(**values))


def _labels(arguments: argparse.Namespace) -> None:
    from medsyn2.export.label_tables import itksnap_table, label_names, slicer_table

    names = label_names(arguments.structures)
    for suffix, text in ((".ctbl", slicer_table(names)), (".label", itksnap_table(names))):
        write_text_atomically(arguments.to / f"labels{suffix}", text)
    told = "".join(f"{label}\t{name}\n" for label, name in names.items())
    answer(arguments, "export", {"folder": arguments.to, "labels": names}, told)


def _model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="folder of a trained model")
    parser.add_argument("--results", type=Path, metavar="DIR", help="results of the run that trained it, for figures")


def _model(arguments: argparse.Namespace) -> None:
    from medsyn2.export.model import export_model_folder

    description = export_model_folder(arguments.model, arguments.to, arguments.results)
    values = {"folder": arguments.to, "model": description.fingerprint, "num_files": len(description.files) + 2}
    answer(
        arguments, "export", values, f"{arguments.to}: {values['num_files']} files; read README.md before you share\n"
    )


def _volumes_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--volumes", type=Path, required=True, metavar="DIR", help="folder of made volumes")
    parser.add_argument("--name", required=True, metavar="TEXT", help="of the data set")
    parser.add_argument(
        "--licence",
        required=True,
        metavar="TEXT",
        help="an SPDX identifier, or the address of the terms; those of the training data bind (`medsyn2 cite`)",
    )
    _add_shard(parser)


def _volumes(arguments: argparse.Namespace) -> None:
    from medsyn2.export.volumes import export_volumes
    from medsyn2.pipeline.request_table import parse_shard

    shard = None if arguments.shard is None else parse_shard(arguments.shard)
    rows = export_volumes(arguments.volumes, arguments.to, name=arguments.name, licence=arguments.licence, shard=shard)
    if shard is not None:
        _answer_part(arguments, len(rows))
        return
    values = {"folder": arguments.to, "num_volumes": len(rows)}
    answer(arguments, "export", values, f"{arguments.to}: {len(rows)} volumes; read README.md before you share\n")


def _answer_part(arguments: argparse.Namespace, count: int) -> None:
    told = f"{arguments.to}: {count} volumes of part {arguments.shard}; after all parts, give the command without it\n"
    answer(arguments, "export", {"folder": arguments.to, "num_volumes": count}, told)


KINDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], None]]] = {
    "nnunet": ("a data set for nnU-Net, with labels and folds", _dataset_arguments, _dataset),
    "monai": ("a data set with a decathlon list, for MONAI", _dataset_arguments, _dataset),
    "labels": ("names and colours of labels, for 3D Slicer and ITK-SNAP", _structures, _labels),
    "model": ("a model with its card, for a hub", _model_arguments, _model),
    "volumes": ("made volumes as a data set, with a card and Croissant", _volumes_arguments, _volumes),
}
"""Kinds of result: help in a line, and the functions that declare the options and export."""
