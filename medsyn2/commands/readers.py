r"""A blinded reader study: make the readers' folder, and tables of their answers.

    medsyn2 readers make --real real/ --synthetic generated/ --out study/ --seed 7
    medsyn2 readers tabulate --answers answers-reader-1.json answers-reader-2.json --key study.key.json --out tables/

The first folder below --real and --synthetic is a volume's finding: real/nodules/patient_3.nii.gz. As many real as
synthetic volumes of each finding are drawn. --cases adds the report and the mask to compare an image with. Readers open
study/index.html by double-click and return the file that the page saves. The key is written next to the folder; keep it
until all answers are there. Real volumes should be registered like the training volumes (results/register/), or their
field of view gives them away.

The key fixes the analysis: the margin, the question, and the one test that gives the study's verdict. Its power is
printed when the study is made. A key that was changed afterwards is refused.

tables/ gets non_inferiority.csv (the verdict, then exploration), table_4.csv (reader and source), table_8.csv (by
finding), turing.csv and agreement.csv, and the answers joined with the key as readings.csv, a row per reading, for
mixed models. Empty tables are left out with a reason. Planned readings without an answer are counted, listed in
unread.csv, and leave the study without a verdict.
"""

import argparse
import json
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from medsyn2.errors import EnvironmentFault, TableError, reason
from medsyn2.evaluation.features.folders import common_clip_hu, judge_volumes
from medsyn2.evaluation.readers.reader_cases import (
    StudyVolume,
    add_requests,
    choose_volumes,
    common_requests,
    mask_of,
    volumes_by_finding,
)
from medsyn2.evaluation.readers.reader_key import Key, read_key
from medsyn2.evaluation.readers.reader_pack import (
    Frame,
    ReaderCase,
    case_body,
    case_script,
    common_frame,
    number_cases,
    page_files,
    page_values,
    questions,
    reading_orders,
)
from medsyn2.evaluation.readers.reader_plan import MATCH_RATES, WANTED_POWER, Cases, Plan, power, wanted_multiple
from medsyn2.evaluation.readers.reader_study import (
    SOURCES,
    TURING,
    VERDICT,
    agreements,
    counts,
    join_key,
    main_question,
    non_inferiority,
    turing,
    unread_cases,
)
from medsyn2.evaluation.statistics.classification import auroc
from medsyn2.files import sha256_of, write_bytes, write_table
from medsyn2.fingerprints import fingerprint

log = logging.getLogger(__name__)

_CLIP_HU = (-1024.0, 1024.0)
_MTIME_S = 315532800  # 1980-01-01, the earliest that zip archives can hold
_NOTABLE_AUROC = 0.85
_NAMED = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    actions = parser.add_subparsers(dest="action", required=True)
    make = actions.add_parser("make", help="write the folder for the readers, and the key", allow_abbrev=False)
    _add_volume_arguments(make)
    _add_study_arguments(make)
    _add_table_arguments(actions.add_parser("tabulate", help="make the tables", allow_abbrev=False))


def _add_volume_arguments(parser: argparse.ArgumentParser) -> None:
    for source in SOURCES:
        parser.add_argument(
            f"--{source}", type=Path, required=True, metavar="DIR", help=f"{source} volumes, in a folder a finding"
        )
        _add_triple(parser, f"--{source}-spacing-mm", None, "in place of the headers'")
        parser.add_argument(
            f"--{source}-in-hu", action="store_true", help="the values are HU, though they may not look like it"
        )
    parser.add_argument(
        "--cases",
        type=Path,
        metavar="CSV",
        help="columns source (real, synthetic), id (path below the folder without the suffix), and report, mask or "
        "both; masks are NIfTI files on their volume's grid, named from the CSV's folder",
    )
    _add_triple(parser, "--finest-mm", (2.0, 1.0, 1.0), "finest spacing (default: 2 1 1, 20 MB a case)")
    _add_triple(parser, "--trim-mm", (0.0, 0.0, 0.0), "cut off at each end: only real volumes show its edge")
    parser.add_argument(
        "--clip-hu",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help=f"range both are clipped to (default: {_CLIP_HU[0]:g} {_CLIP_HU[1]:g}, if both fill it)",
    )


def _add_triple(
    parser: argparse.ArgumentParser, option: str, default: tuple[float, float, float] | None, text: str
) -> None:
    parser.add_argument(option, type=float, nargs=3, default=default, metavar=("DEPTH", "HEIGHT", "WIDTH"), help=text)


def _add_study_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder for the readers")
    parser.add_argument("--key", type=Path, metavar="FILE", help="the key (default: DIR.key.json beside DIR)")
    parser.add_argument("--seed", type=int, required=True, metavar="N", help="of the choice and the orders")
    parser.add_argument(
        "--per-finding",
        type=int,
        default=15,
        metavar="N",
        help="at most so many real and so many synthetic volumes of each finding (default: %(default)s, the paper's)",
    )
    parser.add_argument(
        "--margin",
        type=_margin,
        default=0.15,
        metavar="SHARE",
        help="loss of matches that is accepted; the key fixes it (default: %(default)s)",
    )
    parser.add_argument("--readers", type=int, default=2, metavar="N", help="readers (default: %(default)s)")
    parser.add_argument(
        "--repeated",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of the cases that a reader sees twice (default: %(default)s)",
    )


def _add_table_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--answers",
        type=Path,
        nargs="+",
        required=True,
        metavar="FILE",
        help="the files that the page saved, JSON or CSV",
    )
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="the study's key")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the tables go")


def _margin(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a share between 0 and 1, such as 0.15 for 15 %, got {text}")
    return value


def run(arguments: argparse.Namespace) -> None:
    """Make a study or its tables."""
    if arguments.action == "make":
        _make(arguments)
    else:
        _tabulate(arguments)


def _make(arguments: argparse.Namespace) -> None:
    key_path = arguments.key or arguments.out.with_name(f"{arguments.out.name}.key.json")
    _check_places(arguments.out, key_path)
    found = [
        one
        for source in SOURCES
        for one in volumes_by_finding(
            getattr(arguments, source), source, _triple(getattr(arguments, f"{source}_spacing_mm"))
        )
    ]
    if arguments.cases is not None:
        found = add_requests(found, arguments.cases)
    volumes = choose_volumes(found, arguments.per_finding, arguments.seed)
    given = common_requests(volumes)
    extents = {}
    for source in SOURCES:
        ours = [place for place, one in enumerate(volumes) if one.source == source]
        judged, extents[source] = judge_volumes(
            [volumes[place].file for place in ours], stated=getattr(arguments, f"{source}_in_hu")
        )
        for place, file in zip(ours, judged, strict=True):
            volumes[place] = replace(volumes[place], file=file)
    clip_hu = (
        common_clip_hu(extents["real"], extents["synthetic"], _CLIP_HU)
        if arguments.clip_hu is None
        else (arguments.clip_hu[0], arguments.clip_hu[1])
    )
    frame = common_frame(
        (one.file.read().grid for one in volumes),
        clip_hu,
        finest_mm=_triple(arguments.finest_mm),
        trim_mm=_triple(arguments.trim_mm),
    )
    log.info("%d cases on %s voxels of %s mm", len(volumes), frame.shape, frame.spacing_mm)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.out.parent) as staged:
        bodies = _write_bodies(volumes, frame, Path(staged))
        names = number_cases(bodies, arguments.seed)
        orders = reading_orders(list(names.values()), arguments.readers, arguments.repeated, arguments.seed)
        digests = {name: digest for digest, name in sorted(names.items(), key=lambda item: item[1])}
        values = page_values(frame, orders, questions(given))
        plan = Plan(main_question(given), arguments.margin)
        cases = {name: _key_entry(bodies[digest]) for name, digest in digests.items()}
        key = Key(plan, orders, cases, fingerprint(values, digests))
        sizes = {digest: (Path(staged) / digest).stat().st_size for digest in bodies}
        for name, digest in digests.items():
            body = (Path(staged) / digest).read_text(encoding="ascii")
            _ship(arguments.out / f"cases/{name}.js", case_script(name, body, max(sizes.values())))
    for name, content in page_files(values, key.study).items():
        _ship(arguments.out / name, content)
    for folder in (arguments.out / "cases", arguments.out):
        os.utime(folder, (_MTIME_S, _MTIME_S))
    key.write(key_path, {"seed": arguments.seed, "auroc_of_noise": _told(bodies, sizes), "power": _power(key)})
    log.info("%s is for the readers; keep %s to yourself until their answers are there", arguments.out, key_path)
    log.info("sha256 of the key, for the protocol of the study: %s", sha256_of(key_path))


def _power(key: Key) -> list[dict[str, float]]:
    """Return and print how often the study would show non-inferiority of volumes that match as often as real ones."""
    planned = key.cases.values()
    cases = Cases.of([one["source"] for one in planned], [one["patient"] for one in planned])
    readers, margin = len(key.orders), key.plan.margin
    found = [{"match_rate": rate, "power": power(cases, readers, margin, rate)} for rate in MATCH_RATES]
    log.info(
        "verdict on %s, mean of %d readers, %d patients: non-inferior at %.0f %%, wrong in at most %.1f %% of studies",
        key.plan.question, readers, cases.num_patients, 100 * margin, 100 * key.plan.level,
    )  # fmt: skip
    shown = ", ".join(f"{one['power']:.0%} at a match rate of {one['match_rate']:.0%}" for one in found)
    log.info("power, if synthetic volumes match as often as real ones: %s", shown)
    if found[0]["power"] < WANTED_POWER:
        multiple = wanted_multiple(cases, readers, margin, MATCH_RATES[0])
        more = f"about {multiple}" if multiple else "more than 16"
        log.warning(
            "a study of this size will often show nothing: a power of %.0f %% at a match rate of %.0f %% takes %s "
            "times as many cases, or more readers", 100 * WANTED_POWER, 100 * MATCH_RATES[0], more,
        )  # fmt: skip
    return found


def _triple(given: Sequence[float] | None) -> Any:
    return None if given is None else (given[0], given[1], given[2])


def _check_places(out: Path, key: Path) -> None:
    if key.resolve().is_relative_to(out.resolve()):
        raise EnvironmentFault(
            f"the key {key} would lie inside the folder {out} that readers get.",
            code="key-inside",
            remedy="give --key a place outside, or leave it out.",
        )
    if out.exists() and any(out.iterdir()):
        raise EnvironmentFault(
            f"{out} is not empty; what lies in it would be given to the readers.",
            code="output-not-empty",
            remedy="give --out a new folder.",
        )


def _write_bodies(volumes: list[StudyVolume], frame: Frame, folder: Path) -> dict[str, StudyVolume]:
    """Write each case's body to a file named by its sha256, and return the volumes by these names."""
    found: dict[str, StudyVolume] = {}
    for one in tqdm(volumes, desc="reader study", unit="case"):
        volume = one.file.read()
        mask = mask_of(one, volume.grid)
        inside = None if mask is None else frame.mask(mask)
        body = case_body(ReaderCase(frame.volume(volume), inside, one.pathology, one.report), frame)
        digest = sha256(body.encode("ascii")).hexdigest()
        if digest in found:
            raise EnvironmentFault(
                f"{one.name} and {found[digest].name} are the same case.",
                code="volume-twice",
                remedy="take one of them out.",
            )
        (folder / digest).write_text(body, encoding="ascii")
        found[digest] = one
    return found


def _ship(path: Path, content: bytes) -> None:
    write_bytes(path, content)
    os.utime(path, (_MTIME_S, _MTIME_S))


def _key_entry(one: StudyVolume) -> dict[str, str]:
    names = {"id": one.file.id, "patient": one.file.patient, "sha256": one.digest}
    return {"source": one.source, "pathology": one.pathology, **names}


def _told(bodies: dict[str, StudyVolume], sizes: dict[str, int]) -> float:
    """Return the AUROC of synthetic against real by compressed length, which grows with noise."""
    synthetic = np.array([bodies[digest].source == "synthetic" for digest in sizes])
    value = auroc(np.array(list(sizes.values()), dtype=float), synthetic)
    if max(value, 1 - value) > _NOTABLE_AUROC:
        log.warning(
            "one kind of volume is much noisier than the other: how well a case compresses tells them apart (AUROC "
            "%.2f). The files have one length, so readers do not see it, but may see the noise",
            value,
        )
    return value


def _tabulate(arguments: argparse.Namespace) -> None:
    key = read_key(arguments.key)
    answers = pd.concat([_read_answers(path) for path in arguments.answers], ignore_index=True)
    if strangers := sorted(set(answers["study"]) - {key.study}):
        raise TableError(
            f"answers are for the study {strangers[0]}, the key {arguments.key} is of {key.study}.",
            code="study-another",
            remedy="give the key that was written with the folder that was read.",
        )
    found = join_key(answers, pd.DataFrame.from_dict(dict(key.cases), orient="index"))
    left = unread_cases(found, key.orders)
    num_unread = Counter(left.loc[~left["again"].astype(bool), "reader"].tolist())
    tables = {
        "non_inferiority": non_inferiority(found, key.plan, num_unread=num_unread),
        "table_4": counts(found, ["reader", "source"]),
        "table_8": counts(found, ["reader", "source", "pathology"]),
        "turing": turing(found),
        "agreement": agreements(found),
        "readings": found,
        "unread": left,
    }
    for name, table in tables.items():
        path = arguments.out / f"{name}.csv"
        if table.empty:
            path.unlink(missing_ok=True)  # of the answers that were tabulated before
        else:
            write_table(path, table)
    for warning in (*_incomplete(left, key.orders), *_omission_warnings(tables)):
        log.warning(warning)
    log.info("%d answers of %d readers: %s", len(found), found["reader"].nunique(), ", ".join(_summary(tables)))


def _incomplete(left: pd.DataFrame, orders: Sequence[Sequence[str]]) -> Iterator[str]:
    for reader in sorted(set(left["reader"].tolist())):
        rows = left[left["reader"] == reader]
        planned = len(orders[reader - 1])
        cases = ", ".join(rows["case"][:_NAMED]) + (", ..." if len(rows) > _NAMED else "")
        yield (
            f"incomplete: reader {reader} has made {planned - len(rows)} of {planned} readings; unread.csv lists the "
            f"others ({cases})"
        )


def _omission_warnings(tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    lacking = [name for name in TURING if name not in tables["readings"]]
    reasons = {
        "turing": f"the answers have no column {', '.join(lacking)}",
        "agreement": "no two readings are of the same case, by two readers or by one",
        "non_inferiority": "no reader has read both real and synthetic cases",
    }
    return (f"{name}.csv is left out: {why}" for name, why in reasons.items() if tables[name].empty)


def _summary(tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    for row in tables["non_inferiority"].to_dict("records"):
        of = f"{row['verdict']} at {row['margin']:.0%}" if row["role"] == VERDICT else f"reader {row['reader']}"
        yield (
            f"{of}, {row['question']}: synthetic match {row['difference']:+.0%} [{row['low']:+.0%}, {row['high']:+.0%}]"
        )


def _read_answers(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".csv":
            frame = pd.read_csv(path, dtype=str)
        else:
            frame = pd.DataFrame(json.loads(path.read_text(encoding="utf-8"))["answers"]).astype({"case": str})
        return frame.astype({"study": str, "reader": int, "position": int})
    except (OSError, ValueError, KeyError) as error:
        raise TableError(
            f"{path} holds no answers of a reader study: {reason(error)}.",
            code="answers-unreadable",
            remedy="give the JSON or CSV that the page saved.",
        ) from error
