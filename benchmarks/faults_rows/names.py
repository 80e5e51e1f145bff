"""Names of files and folders that shells, programs and tables trip over."""

import json
import os
import random
import shutil
from functools import cache, partial
from pathlib import Path

import nibabel
import yaml

from .folders import make_chest, make_parent
from .row import Bench, Trial, Tried
from .run import TINY, start_snakemake

FILE_NAMES = [
    *(
        "a b",
        " a",
        "a ",
        "a'b",
        'a"b',
        "a`b`",
        "$(touch x)",
        "${HOME}",
        "a;b",
        "a|b",
        "a&b",
        "a>b",
        "a#b",
        "a\nb",
        "a\tb",
    ),
    *(
        "{case}",
        "{}",
        "{{x}}",
        "%s",
        "%",
        "*",
        "?",
        "[a]",
        "~",
        "!",
        "-a",
        "--config",
        "a\\b",
        "a,b",
        "=1+1",
        "@a",
        "a:b",
    ),
    *(
        "0001",
        "007",
        "1e5",
        "null",
        "true",
        "nan",
        "2021-01-01",
        "results",
        "a..b",
        "a.b.c",
        "a",
        "A",
        "con",
        "x" * 200,
    ),
    *("\u00e9", "e\u0301x", "\u4e2d\u6587", "\u0130", "\U0001fac1", "\u202eabc", "a\u200bb", "a\u00a0b"),
    *(b"\xff\xfe", b"caf\xe9"),
]
FOLDER_NAMES = [
    "a b",
    "a'b",
    'a"b',
    "$(touch x)",
    "a;b",
    "{case}",
    "%s",
    "[a]*",
    "-a",
    "a#b",
    "\u00e9\u4e2d",
    "=x",
    "a,b",
]


def name_hostilely(bench: Bench) -> list[Trial]:
    """Give files, the folder of the CTs, and the folder of a run names that shells and programs trip over."""
    files = [Trial("file", repr(name), partial(_find_file, bench, name)) for name in FILE_NAMES]
    folders = [
        Trial(kind, repr(name), partial(_run_in, bench, kind, name))
        for kind in ("folder of CTs", "folder of a run")
        for name in FOLDER_NAMES
    ]
    return [*files, *folders]


def _find_file(bench: Bench, name: str | bytes, draw: random.Random) -> Tried:
    """Look for the file in the inventory of a cohort with all these names."""
    status, said, cases = _run_named(bench)
    stem = name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")
    found = [case for place, case in cases.items() if place == f"cts/{stem}.nii.gz"]
    if status or len(found) != 1:
        bench.say(said[-3000:])
        return Tried("LOST" if not status else "RAW", kept=False)
    return Tried(f"refused by name ({found[0]})" if found[0] else "a case", kept=True)


@cache
def _run_named(bench: Bench) -> tuple[int, str, dict[str, str]]:
    """Take the inventory of files of all names; return the code of each refusal by path, empty for a case."""
    folder = bench.work / "named"
    shutil.rmtree(folder, ignore_errors=True)
    for number, name in enumerate(FILE_NAMES):
        nibabel.save(make_chest(number), make_parent(folder / "cts/new.nii.gz"))
        stem = name.encode() if isinstance(name, str) else name
        (folder / "cts/new.nii.gz").rename(folder / "cts" / os.fsdecode(stem + b".nii.gz"))
    status, said, manifest = _take_inventory(folder, folder / "cts")
    cases = json.loads(manifest.read_text("utf-8"))["cases"] if manifest.exists() else []
    return status, said, {case["facts"]["path"]: (case["problem"] or {}).get("code", "") for case in cases}


def _run_in(bench: Bench, kind: str, name: str, draw: random.Random) -> Tried:
    """Take the inventory of a folder of CTs, or in the folder of a run, that has such a name."""
    folder = bench.work / "in"
    shutil.rmtree(folder, ignore_errors=True)
    cts = folder / (name if kind == "folder of CTs" else "cts")
    run = folder / (name if kind == "folder of a run" else "run")
    for number in range(4):
        nibabel.save(make_chest(number), make_parent(cts / f"c{number}.nii.gz"))
    run.mkdir(parents=True)
    status, said, manifest = _take_inventory(run, cts)
    cases = json.loads(manifest.read_text("utf-8"))["cases"] if manifest.exists() else []
    named = "[" in said and "What to do" in said and "Traceback" not in said
    kept = (not status and [case["status"] for case in cases] == ["ok"] * 4) or (bool(status) and named)
    if not kept:
        bench.say(said[-3000:])
    return Tried(("refused by name" if status else "ran") if kept else "RAW", kept)


def _take_inventory(run: Path, cts: Path) -> tuple[int, str, Path]:
    config = run.parent / "config.yaml"
    relative = os.path.relpath(cts, run)
    settings = yaml.safe_load(TINY.read_text("utf-8")) | {
        "cohort": {"data_dir": relative, "test_every": 2, "shard_size": 100}
    }
    config.write_text(json.dumps(settings), encoding="utf-8")
    process = start_snakemake(run, "--", "results/inventory/0000.json", config=config)
    said = process.communicate()[0]
    return process.returncode, said, run / "results/inventory/0000.json"
