"""A finished run whose jobs can be repeated one by one, in processes that are forked and hence start at once.

The commands of the jobs are those that Snakemake prints for the run. A job runs in a copy of the finished folder, is
compared with the original file by file, and the copy is brought back to the original before the next trial.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib import import_module
from pathlib import Path

from medsyn2.cli import main, stage_parser
from medsyn2.stages import STAGES

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests/workflow/tiny.yaml"
LIMIT_S = 600
DEFERRED = ("PIL.PngImagePlugin", "matplotlib.backends.backend_agg", "pandas", "transformers.models.bert.modeling_bert")
"""Libraries that a stage imports when it needs them: here once, not in each process that is forked."""
UNTRACKED = re.compile(r"(^|/)\.[^/]*\.lock$|^results/\.runs/|/kept\.txt$")
"""Files that say who is at work; no stage reads them as data."""
TIMED = ("results/report.html", "results/.report.html.sha256")
"""The page shows how long the stages took."""

Tree = dict[str, str]
"""The sha256 of each file below ``results`` by its path."""


@dataclass(frozen=True)
class Job:
    """One job of the run."""

    name: str  # The stage, with its shard or variant
    stage: str
    arguments: tuple[str, ...]  # Of the command line

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """The files that Snakemake tracks, as far as the command names them."""
        options = vars(stage_parser(STAGES[self.stage]).parse_args(self.arguments[1:]))
        given = [options.get(output.keyword, []) for output in STAGES[self.stage].outputs]
        return tuple(str(path) for one in given for path in (one if isinstance(one, list) else [one]))


@dataclass(frozen=True)
class Ended:
    """How a job ended."""

    status: int  # Exit status; negative for a signal
    text: str  # Everything it printed

    @property
    def code(self) -> str:
        """The code of the error that it named in its last line, empty if it named none."""
        found = re.findall(r"^medsyn2: \[([a-z0-9-]+)\] .*What to do: ", self.text, re.M)
        return found[-1] if found else ""

    @property
    def has_traceback(self) -> bool:
        """Whether an error came through raw."""
        return "Traceback (most recent call last)" in self.text

    @property
    def is_named(self) -> bool:
        """Whether it failed in one line with a code, and with a status that is documented."""
        return bool(self.code) and self.status in {10, 12, 14, 15} and not self.has_traceback


def snakemake(folder: Path, *arguments: str, config: Path = TINY) -> str:
    """Run the workflow in a folder, on one core, and return what it printed."""
    process = start_snakemake(folder, *arguments, config=config)
    printed, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(printed[-6000:])
    return printed


def start_snakemake(
    folder: Path, *arguments: str, config: Path = TINY, before: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """Start the workflow in a folder, on one core, with all that it prints in one pipe.

    Args:
        before: A command that starts the command that follows it.
    """
    command = [sys.executable, "-m", "snakemake", "--configfile", str(config), "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--cores", "1", "--workflow-profile", str(ROOT / "profiles/default")]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*before, *command, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )


def jobs_of(folder: Path, config: Path = TINY) -> list[Job]:
    """Return the jobs of a finished run, in an order in which they can run."""
    printed = snakemake(folder, "--forceall", "--dry-run", "--printshellcmds", "--", "all", config=config)
    found = dict.fromkeys(re.findall(r"^Shell command: python -m medsyn2 (.*) > \S+ 2>&1$", printed, re.M))
    assert found, f"no commands of jobs in {printed[-2000:]}"
    order = {name: position for position, name in enumerate(STAGES)}
    jobs = []
    for line in found:
        arguments = tuple(shlex.split(line))
        outputs = [part for part in arguments if part.startswith("results/")]
        shard = re.search(r"/(\d{4})\.json", outputs[-1])
        name = f"{arguments[0]}{' ' + shard[1] if shard and STAGES[arguments[0]].sharded else ''}"
        jobs.append(Job(name, arguments[0], arguments))
    return sorted(jobs, key=lambda job: (order[job.stage], job.name))


def tree_of(folder: Path) -> Tree:
    """Hash every file below ``results`` that a stage may read."""
    files = (path for path in (folder / "results").rglob("*") if path.is_file() and not path.is_symlink())
    named = ((path.relative_to(folder).as_posix(), path) for path in files)
    return {
        name: sha256(path.read_bytes()).hexdigest()
        for name, path in named
        if not UNTRACKED.search(name) and name not in TIMED
    }


class Finished:
    """A finished run and the copy of it that trials take place in."""

    def __init__(self, original: Path, copy: Path, config: Path = TINY) -> None:
        self.original, self.copy = original.resolve(), copy.resolve()
        shutil.rmtree(self.copy, ignore_errors=True)
        ignored = shutil.ignore_patterns(".snakemake", ".runs")
        shutil.copytree(self.original, self.copy, symlinks=True, ignore=ignored)
        self.jobs = jobs_of(self.original, config)
        for stage in {job.stage for job in self.jobs}:
            STAGES[stage].load()
        for name in DEFERRED:
            import_module(name)
        self.tree = tree_of(self.original)

    def changes(self, folder: Path) -> list[str]:
        """Return the files of a copy that differ, are missing or are new."""
        found = tree_of(folder)
        return sorted(name for name in self.tree.keys() | found.keys() if self.tree.get(name) != found.get(name))

    def restore(self) -> None:
        """Bring the copy back to the original."""
        for name in self.changes(self.copy):
            there, here = self.original / name, self.copy / name
            here.unlink(missing_ok=True)
            if there.exists():
                here.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(there, here)

    def remove_outputs(self, job: Job) -> None:
        """Remove all that a job has made in the copy, as if it had never run."""
        for name in job.outputs:
            path = self.copy / name
            for place in (path, path.with_suffix(""), *path.parent.glob(f".{path.stem}*")):
                shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
            shutil.rmtree(path.parent / "checkpoints", ignore_errors=True)
            shutil.rmtree(path.parent.parent / "checkpoints", ignore_errors=True)

    def maker_of(self, output: str) -> Job | None:
        """Return the job that makes a file which Snakemake tracks."""
        return next((job for job in self.jobs if output in job.outputs), None)

    @contextmanager
    def without_outputs(self, job: Job) -> Iterator[Path]:
        """Yield the copy without what a job has made in it; bring it back to the original at the end."""
        self.remove_outputs(job)
        try:
            yield self.copy
        finally:
            self.restore()


def start(job: Job, folder: Path, prepare: Callable[[], object] = lambda: None) -> tuple[int, Path]:
    """Start a job in a forked process with a session of its own; return its id and the file of its output.

    Args:
        prepare: Is called in the new process first, to limit it or to watch it.
    """
    log = Path("/tmp", f"faults-{os.getpid()}-{time.monotonic_ns()}.log")
    process = os.fork()
    if process:
        return process, log
    status = 70
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        os.chdir(folder)
        prepare()
        status = main(job.arguments)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        status = 1
    finally:
        for output in (sys.stdout, sys.stderr):
            try:
                output.flush()
            except OSError:
                status = 120
        os._exit(status)


def wait(process: int, log: Path, limit_s: float = LIMIT_S) -> Ended:
    """Wait for a job; one that hangs is killed and has the status of a signal."""
    end_s = time.monotonic() + limit_s
    while (found := os.waitpid(process, os.WNOHANG)) == (0, 0):
        if time.monotonic() > end_s:
            kill(process)
        time.sleep(0.01)
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    log.unlink(missing_ok=True)
    return Ended(os.waitstatus_to_exitcode(found[1]), text)


def kill(process: int) -> None:
    """Kill a job with all that it has started."""
    os.killpg(process, signal.SIGKILL)


def run(job: Job, folder: Path, prepare: Callable[[], object] = lambda: None) -> Ended:
    """Run a job to its end."""
    return wait(*start(job, folder, prepare))


def files_read(job: Job, folder: Path) -> Iterator[str]:
    """Run a job again and yield the files of the run that it opens for reading, or asks whether they are there."""
    log = Path("/tmp", f"faults-opened-{os.getpid()}.txt")
    log.unlink(missing_ok=True)
    ended = run(job, folder, lambda: _watch(log))
    assert ended.status == 0, ended.text
    for line in dict.fromkeys(log.read_text(encoding="utf-8").splitlines()):
        path = folder / line
        if path.is_file() and path.resolve().is_relative_to(folder):
            yield path.resolve().relative_to(folder).as_posix()


def _watch(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def hook(event: str, given: tuple[object, ...]) -> None:
        if event == "open" and isinstance(given[0], str | bytes | os.PathLike):
            flags = given[2] if isinstance(given[2], int) else 0
            if flags & os.O_ACCMODE == os.O_RDONLY:
                os.write(descriptor, os.fsencode(given[0]) + b"\n")

    sys.addaudithook(hook)
