"""The command line: a verb per stage, and commands outside the workflow.

A stage's verb takes ``--config`` and paths only; settings are in the configuration. The options follow from the
signature of the stage's function. The workflow calls exactly these commands; any of them can be copied from its log and
run by hand, under ``torchrun`` or a profiler.

docs/reference/exit-codes.md has the exit statuses.
"""

import argparse
import importlib
import inspect
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from medsyn2.config import Config, load_config, validate_config
from medsyn2.errors import ConfigError, MedSyn2Error, reason
from medsyn2.faults import fault_of
from medsyn2.integrity import write_checksums
from medsyn2.signals import CLOSED_PIPE, end_in_a_line
from medsyn2.slurm import describe_process, job_id, launch_on_each, num_nodes
from medsyn2.stages import STAGES, Stage, stage_settings
from medsyn2.version import __version__

log = logging.getLogger(__name__)

COMMANDS = (
    "config",
    "convert",
    "generate",
    "edit",
    "page",
    "shelf",
    "evaluate",
    "scores",
    "readers",
    "doctor",
    "fetch",
    "plan",
    "info",
    "is_synthetic",
    "export",
    "cite",
)

_SHUTDOWN_S = "900"
"""How long torchrun waits for its processes after a SIGTERM, which end their step and write a checkpoint."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by who started this
            setattr(sys, stream, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # for good
    if "WORLD_SIZE" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # which torchrun may ignore, and what it starts with it
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    logging.captureWarnings(True)
    logging.getLogger("torch").setLevel(logging.WARNING)  # it counts what it cached, after the last word
    return end_in_a_line(arguments, _end_in_words)


def _end_in_words(arguments: list[str]) -> int:
    """Run one verb; say in a sentence why it fails."""
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except MedSyn2Error as error:
        _say(str(error))
        return error.exit_code
    except BrokenPipeError:
        # What is left would be written when the interpreter ends, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _say(f"{arguments[0]} was ended: nobody reads its output any more.")
        return CLOSED_PIPE
    except Exception as error:
        fault = fault_of(error)
        if fault is None:
            raise
        _say(str(fault))
        return fault.exit_code


def _say(sentence: str) -> None:
    """Print the reason of the end, as far as a full disk or a closed pipe lets it."""
    with suppress(OSError):
        sys.stderr.write(f"medsyn2: {sentence}\n")
    # Python flushes both at its end, and would add a traceback and a status of its own.
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run(arguments: list[str]) -> int:
    verb = arguments[0].replace("-", "_") if arguments else "--help"
    if verb in STAGES:
        _run_stage(STAGES[verb], arguments[1:])
    elif verb in COMMANDS:
        return command_module(verb).run(command_parser(verb).parse_args(arguments[1:])) or 0
    else:
        _overview().parse_args(arguments or ["--help"])
    return 0


def command_module(verb: str) -> Any:
    """Import the module of a command; others are not imported, for a fast start."""
    return importlib.import_module(f"medsyn2.commands.{verb}")


def command_parser(verb: str) -> argparse.ArgumentParser:
    """Return the parser of a command."""
    command = command_module(verb)
    parser = _parser(verb, command.__doc__ or "")
    command.add_arguments(parser)
    return parser


def _parser(verb: str, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=f"medsyn2 {verb}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def _overview() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="medsyn2",
        description="Controllable 3D chest-CT synthesis from reports and masks.\n\n"
        "The whole workflow:  snakemake --cores 8 all\n"
        "One volume:          medsyn2 generate --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"medsyn2 {__version__}")
    parser.add_argument(
        "verb",
        choices=[*COMMANDS, *STAGES],
        help="generate: make one volume, or many from a table; edit: change a real CT inside a region; page: do "
        "both in a browser; shelf: take masks from a shelf or draw them; evaluate: compare any two folders of "
        "volumes; scores: CLIP scores and zero-shot labels; readers: a blinded reader study; convert: bring "
        "in foreign weights or DICOM; is-synthetic: whether a volume says that a model made it; export: hand "
        "volumes, masks and models to other programs; cite: papers and licences of a run; doctor: what is "
        "missing for a configuration; fetch: download weights; plan: time, memory and disk beforehand; info: "
        "the networks in numbers; config: write config.yaml and its schema; all others are stages of the "
        "workflow, in its order. `medsyn2 VERB --help` explains each.",
    )
    return parser


def stage_parser(stage: Stage) -> argparse.ArgumentParser:
    """Return the parser of a stage's verb: ``--config`` and an option for each keyword of its function."""
    function = stage.load()
    parser = _parser(stage.name, inspect.getdoc(function) or "")
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE|JSON",
        help="a configuration file, or the JSON that the workflow passes: "
        f"the sections {', '.join(stage.sections)} and the stage's code version",
    )
    for name, parameter in _keywords(function).items():
        option = f"--{name.replace('_', '-')}"
        if parameter.annotation == list[Path]:
            parser.add_argument(option, dest=name, type=Path, nargs="*", default=[], metavar="PATH")
        else:
            optional = parameter.default is not inspect.Parameter.empty
            parser.add_argument(
                option,
                dest=name,
                type=str if parameter.annotation is str else Path,
                required=not optional,
                default=parameter.default if optional else None,
                metavar="TEXT" if parameter.annotation is str else "PATH",
            )
    if stage.shared:
        parser.add_argument(
            "--processes",
            type=int,
            default=1,
            metavar="N",
            help="processes on this machine that share the work, a device each; they are started by torchrun. On "
            "several machines, start torchrun yourself and leave this out",
        )
    return parser


def _keywords(function: Any) -> dict[str, inspect.Parameter]:
    return {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name != "settings"
    }


def _run_stage(stage: Stage, arguments: list[str]) -> None:
    parser = stage_parser(stage)
    options = vars(parser.parse_args(arguments))
    processes = options.pop("processes", 1)
    if processes > 1 and "WORLD_SIZE" not in os.environ:
        _start_processes(processes, [stage.name, *arguments])
    config = _stage_config(stage, options.pop("config"))
    log.info("%s of medsyn2 %s, %s", stage.name, __version__, describe_process())
    function = stage.load()
    if "settings" in inspect.signature(function).parameters:
        options["settings"] = stage_settings(config, stage.name)
    function(*(config.section(name) for name in stage.sections), **options)
    if int(os.environ.get("RANK", "0")) == 0:
        write_checksums(_outputs(stage, options))


def _outputs(stage: Stage, options: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the files that the command line says a stage has made."""
    for output in stage.outputs:
        given = options.get(output.keyword, [])
        yield from given if isinstance(given, list) else [given]


def _start_processes(processes: int, arguments: list[str]) -> None:
    """Replace this process by a torchrun of this command, on every node of a job that has several."""
    nodes = num_nodes()
    if processes % nodes:
        raise ConfigError(
            f"{processes} processes cannot be shared evenly by the {nodes} nodes of this job.",
            code="processes-do-not-divide",
            remedy="ask for as many GPUs a node: a multiple of the nodes in all.",
        )
    torchrun = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes // nodes}"]
    torchrun += [f"--nnodes={nodes}", *_rendezvous(nodes)]
    command = [*launch_on_each(nodes), *torchrun, "-m", "medsyn2", *arguments]
    os.execvpe(command[0], command, {**os.environ, "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": _SHUTDOWN_S})


def _rendezvous(nodes: int) -> list[str]:
    """Return the options by which the torchruns of a job find each other: at a free port of this node."""
    if nodes == 1:
        return ["--standalone"]
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    return ["--rdzv-backend=c10d", f"--rdzv-endpoint={socket.gethostname()}:{port}", f"--rdzv-id={job_id()}"]


def _stage_config(stage: Stage, given: str) -> Config:
    if not given.lstrip().startswith("{"):
        return load_config(given)
    try:
        values = json.loads(given)
        name, version = values.pop("stage"), values.pop("version")
    except (ValueError, KeyError) as error:
        raise ConfigError(
            f"--config of {stage.name} is not the JSON that the workflow passes: {reason(error)}.",
            code="config-invalid",
            remedy="give a configuration file instead, such as config.yaml.",
        ) from error
    if (name, version) != (stage.name, stage.version):
        raise ConfigError(
            f"--config is for {name} version {version}, but this is {stage.name} version {stage.version}.",
            code="config-version",
            remedy="start the workflow again, so that it reads the installed version of medsyn2.",
        )
    return validate_config(values, source=f"--config of {stage.name}", whole=False)
