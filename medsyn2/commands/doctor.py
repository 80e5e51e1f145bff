"""Check this machine against the needs of a configuration.

    medsyn2 doctor --config configs/paper.yaml
    medsyn2 doctor --config configs/paper.yaml configs/recommended.yaml

It lists packages with their versions; every external weight that the configuration needs, with its path, integrity (by
sha256, or by opening it if none is known), source, licence, size and stages; every table and other file that it names;
memory and disk in comparison with `medsyn2 plan`. Nothing is downloaded. The exit status is 14 if anything needed is
missing or damaged.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from medsyn2.cohort.input_files import input_files
from medsyn2.commands.answers import add_json, answer
from medsyn2.commands.config_files import add_config_files
from medsyn2.config import Config, load_config
from medsyn2.errors import ConfigError, TableError, WeightsError
from medsyn2.weights.needs import Need, needs

TOOL_PACKAGES = {
    "lungmask": ("lungmask", "torch", "SimpleITK"),
    "totalsegmentator": ("TotalSegmentator", "nnunetv2", "torch"),
    "medpseg": ("medpseg", "torch", "monai"),
    "ct_rate": ("TotalSegmentator",),
}
"""Packages required in a tool's environment; the first is the tool."""
_OWN = ("medsyn2", "torch", "snakemake", "monai", "nibabel", "SimpleITK", "transformers", "zarr", "pandas")
_GB = 1e9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_config_files(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the findings.

    Raises:
        WeightsError: If anything needed is missing or damaged.
    """
    config = load_config(*arguments.config)
    missing: list[str] = []
    found: dict[str, list[str]] = {}
    for title, lines in (
        ("Packages", packages(config, missing)),
        ("Weights", weights(config, missing)),
        ("Files", list_input_files(config, missing)),
        ("Machine", machine(config)),
    ):
        found[title.lower()] = list(lines)
        if not arguments.json:  # each part as soon as it is known: hashing weights takes minutes
            sys.stdout.write(f"{title}\n" + "".join(f"  {line}\n" for line in found[title.lower()]) + "\n")
            sys.stdout.flush()
    told = "" if missing else "Everything that the configuration needs is here.\n"
    answer(arguments, "doctor", {"missing": missing, **found}, told)
    if missing:
        files = " and ".join(str(path) for path in arguments.config)
        raise WeightsError(
            f"{files} needs {len(missing)} things that are missing or damaged: {'; '.join(missing)}.",
            code="doctor-missing",
            remedy="see the lines marked with !! above; each says what brings what it names.",
        )


def packages(config: Config, missing: list[str]) -> Iterator[str]:
    """Yield the installed versions, here and in each tool's environment."""
    own = _versions(Path(sys.executable), _OWN)
    yield f"ok {sys.executable}: " + ", ".join(f"{name} {version}" for name, version in own.items())
    tools = {tool for tool in [*config.segment.tools.values(), *config.evaluate_masks.tools.values()] if tool}
    for tool, names in TOOL_PACKAGES.items():
        if tool not in tools:
            continue
        home = {"ct_rate": "totalsegmentator"}.get(tool, tool)
        python = {str(name): path for name, path in config.segment.python.items()}.get(home, Path(sys.executable))
        found = _versions(python, names)
        if found.get(names[0]):
            yield f"ok {tool} in {python}: " + ", ".join(f"{name} {found.get(name) or '?'}" for name in names)
        else:
            missing.append(f"{tool} (package)")
            yield f"!! {tool}: {python} has no {names[0]}; install it there, or set segment.python.{home}"


def weights(config: Config, missing: list[str]) -> Iterator[str]:
    """Yield the state of each external weight that the configuration needs."""
    found = needs(config)
    if not found:
        yield "ok none is needed"
    for need in found:
        yield from _weight(need)
        if not need.is_met:
            missing.append(need.row.name)


def list_input_files(config: Config, missing: list[str]) -> Iterator[str]:
    """Yield the state of each table and other file that the configuration names."""
    found = list(input_files(config))
    if not found:
        yield "ok none is named"
    for file in found:
        if problem := file.problem:
            missing.append(str(file.path))
            yield f"!! {file.key}: {file.path} {problem}"
            yield f"     what to do: {file.remedy}"
        else:
            yield f"ok {file.key}: {file.path}"


def machine(config: Config) -> Iterator[str]:
    """Yield memory and disk, compared with the plan."""
    from medsyn2.commands.plan import all_costs
    from medsyn2.planning.speed import this_machine
    from medsyn2.planning.workload import workload_of

    here = this_machine()
    free = shutil.disk_usage(Path.cwd()).free
    yield f"   {here.cores} cores, {here.memory_bytes / _GB:.0f} GB memory, networks on {here.name}"
    try:
        costs = all_costs(config, workload_of(config))
    except (ConfigError, TableError) as error:
        yield f"?? memory and disk cannot be judged without the cohort: {error.message}"
        return
    for cost in costs:
        device_too = 0.0 if here.device_bytes != here.memory_bytes else cost.device_bytes
        if cost.memory_bytes + device_too > here.memory_bytes:
            needed = (cost.memory_bytes + device_too) / _GB
            yield f"?? {cost.name} takes about {needed:.0f} GB of memory, there are {here.memory_bytes / _GB:.0f}"
        elif cost.device_bytes > here.device_bytes:
            yield (
                f"?? {cost.name} takes about {cost.device_bytes / _GB:.0f} GB on {here.name}, "
                f"which has {here.device_bytes / _GB:.0f}"
            )
    disk = sum(cost.disk_bytes for cost in costs)
    mark = "ok" if disk < free else "??"
    yield f"{mark} disk: about {disk / _GB:.3g} GB are needed, {free / _GB:.0f} GB are free in {Path.cwd()}"


def _weight(need: Need) -> Iterator[str]:
    row = need.row
    sizes = [item.size_bytes for item in row.downloads]
    size = f"{sum(filter(None, sizes)) / 1e6:.0f} MB" if sizes and all(sizes) else "size not published"
    yield f"{'ok' if need.is_met else '!!'} {row.name}: {row.about} ({need.setting}; for {', '.join(row.stages)})"
    yield f"     {size}; licence: {row.licence}; {row.page}"
    for check in need.checks:
        note = f": {check.note}" if check.note else ""
        yield f"     {check.state:<10} {check.path}{note}"
    if not need.is_met:
        yield f"     what to do: {need.remedy()}"


def _versions(python: Path, names: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of packages in an environment without importing them; empty if its Python fails."""
    code = (
        "import json\nfrom importlib import metadata\nfound = {}\n"
        f"for name in {list(names)!r}:\n"
        "    try:\n        found[name] = metadata.version(name)\n"
        "    except metadata.PackageNotFoundError:\n        pass\n"
        "print(json.dumps(found))"
    )
    try:
        answer = subprocess.run([python, "-c", code], capture_output=True, encoding="utf-8", check=True, timeout=60)
        return dict(json.loads(answer.stdout))
    except (OSError, subprocess.SubprocessError, ValueError):
        return {}
