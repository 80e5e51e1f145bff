"""Machines without a network, and file systems whose times are coarse.

FAT keeps times to two seconds, HFS+ and many network file systems to one, and copies, archives and clocks that were set
back give files the times of others. So a file that is replaced by one of the same size may have the same time, and only
its bytes can tell.
"""

import ctypes
import os
import random
import shutil
import sys
from functools import partial
from pathlib import Path

from medsyn2.cohort.file_state import content_of
from medsyn2.cohort.volumes import inspect_case, read_case
from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume
from medsyn2.errors import CaseError
from medsyn2.facts import InventoryFacts

from .damage import flip_in_time
from .row import Bench, Trial, Tried
from .run import Job, run, start_snakemake
from .stops import OTHER, SAME

TICK_NS = 2_000_000_000
NEW_NETWORK = 0x40000000
"""CLONE_NEWNET of unshare(2): a network with no interface."""
ASKS = frozenset({"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind", "urllib.Request"})


def cut_network(bench: Bench) -> list[Trial]:
    """Run a job of each stage, and plan a run, where there is no network, and hear whether a socket is asked for."""
    jobs = [Trial(job.stage, job.name, partial(_run_alone, bench, job)) for job in bench.one_of_each]
    return [*jobs, Trial("the workflow", "a plan", partial(_plan_alone, bench))]


def _run_alone(bench: Bench, job: Job, draw: random.Random) -> Tried:
    log = bench.work / "asked.txt"
    log.unlink(missing_ok=True)
    with bench.finished_run.without_outputs(job) as folder:
        ended = run(job, folder, lambda: _leave_network(log))
        differing = bench.finished_run.changes(folder)
    asked = log.read_text("utf-8").splitlines() if log.exists() else []
    if ended.status or differing:
        bench.say(ended.text[-1500:])
    failed = bool(ended.status or differing)
    told = "ASKED FOR A SOCKET" if asked else "asked for no socket"
    return Tried(f"{told}, {OTHER if failed else SAME}", not failed and not asked, " ".join(asked[:3]))


def _leave_network(log: Path) -> None:
    """Leave the machine's network for an empty one, and write down which sockets the process asks for."""
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_NETWORK):
        raise OSError(ctypes.get_errno(), "the network cannot be taken away, which root alone can do")
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def hook(event: str, given: tuple[object, ...]) -> None:
        if event in ASKS:
            os.write(descriptor, f"{event} {given}\n".encode())

    sys.addaudithook(hook)


def _plan_alone(bench: Bench, draw: random.Random) -> Tried:
    process = start_snakemake(bench.original, "--dry-run", "--", "all", before=("unshare", "--net"))
    said = process.communicate()[0]
    kept = process.returncode == 0 and "Nothing to be done" in said
    return Tried("asked for no socket, nothing to be done" if kept else "FAILED", kept, "" if kept else said[-300:])


def coarsen_times(bench: Bench) -> list[Trial]:
    """Keep times to two seconds, and damage files without a change of their times."""
    cts = [Trial("a CT of the cohort", name, partial(_replace_ct, bench, name)) for name in bench.names]
    return [*flip_in_time(bench), *cts, Trial("the workflow", "a plan", partial(_plan_coarsely, bench))]


def _replace_ct(bench: Bench, name: str, draw: random.Random) -> Tried:
    """Change a voxel of an uncompressed CT, so that its size and its time stay, and read it again."""
    path, volume = bench.folder("coarse") / "ct.nii", bench.ct(name)
    write_ct(path, volume)
    status = path.stat()
    scan = vars(inspect_case(path, None, "detect"))
    facts = InventoryFacts(
        **scan, subject=name, split="train", position=0, report=None, labels=None, content=content_of(path)
    )
    hu = volume.hu.copy()
    hu[tuple(draw.randrange(size) for size in hu.shape)] += 1
    write_ct(path, CTVolume(hu, volume.affine_mm))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    try:
        read_case(facts)
    except CaseError as error:
        return Tried("named", error.code == "file-changed", error.code)
    return Tried("SILENT", kept=False)


def _plan_coarsely(bench: Bench, draw: random.Random) -> Tried:
    folder = bench.work / "coarse run"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(bench.original, folder, symlinks=True)
    for path in folder.rglob("*"):
        time_ns = path.lstat().st_mtime_ns // TICK_NS * TICK_NS
        os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)
    process = start_snakemake(folder, "--dry-run", "--", "all")
    said = process.communicate()[0]
    kept = process.returncode == 0 and "Nothing to be done" in said
    return Tried("nothing to be done" if kept else "WORK IS PLANNED", kept, "" if kept else said[-300:])
