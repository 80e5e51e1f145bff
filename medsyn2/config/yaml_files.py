"""Configuration files, read strictly, with the line of each key.

YAML 1.1 takes a few things for others in silence: of a key that stands twice it takes the last, ``010`` is octal, hence
8, and ``1:30`` counts in sixties, hence 90. They are refused with their line. Other mistakes show when the values are
validated (``__init__.py``), which names the line too: ``no`` where a number or a text is expected, since it is false,
and a section whose keys are all commented out, since it holds nothing.

Snakemake reads the files after ``--configfile`` itself and as leniently, so that they are read here once more.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from medsyn2.errors import ConfigError, reason

Place = tuple[str | int, ...]
"""Keys, from the section on."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, where PyYAML has it: every job of a cluster reads the configuration."""
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_LEADING_ZERO = re.compile(r"[-+]?0\d+")
_TEMPLATE_KEY = "__use_yte__"
"""The key of a file that Snakemake fills in as a template before it reads it."""


def read_yaml(path: Path) -> tuple[Mapping[str, Any], dict[Place, str]]:
    """Read a YAML or JSON file of sections.

    Returns:
        The sections, and the line of each key, such as ``mine.yaml, line 3``.

    Raises:
        ConfigError: If it cannot be read, holds no sections, or something in it is taken for another thing.
    """
    try:
        values, places, problems = _parse(path.read_text(encoding="utf-8-sig"), str(path))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{path} cannot be read as YAML: {_reason(error)}.",
            code="config-unreadable",
            remedy="give an existing YAML file in UTF-8, such as config.yaml; it is indented with spaces.",
        ) from error
    if not isinstance(values, Mapping | None):
        raise ConfigError(
            f"{path} holds a {type(values).__name__}, expected sections with keys.",
            code="config-unreadable",
            remedy="start from config.yaml.",
        )
    _refuse(problems)
    return values or {}, places


def find_places(paths: Iterable[Path], arguments: Iterable[str]) -> dict[Place, str]:
    """Return the line of each key of the files that Snakemake has read, the later file's.

    Args:
        arguments: What follows Snakemake's ``--config``, such as ``train_dit={num_steps: 3}``.

    Raises:
        ConfigError: If something in a file or an argument is taken for another thing.
    """
    places: dict[Place, str] = {}
    for path in paths:
        values, found = read_yaml(path)
        places |= {} if _TEMPLATE_KEY in values else found
    for argument in arguments:
        section, _, text = argument.partition("=")
        try:
            _, found, problems = _parse(text, f"--config {argument}")
        except yaml.YAMLError:  # Snakemake takes it as a text
            continue
        _refuse(problems)
        places |= {(section, *place): "--config" for place in ((), *found)}
    return places


def _parse(text: str, source: str) -> tuple[Any, dict[Place, str], list[str]]:
    """Return the values, the line of each key, and what is taken for another thing."""
    with suppress(ValueError):
        json.loads(text)
        text = text.replace("\t", " ")  # JSON may be indented with tabs, which are in none of its strings
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        found = [] if node is None else list(_walk(node, node, ()))
        places = {place: _line(key, source) for place, key, _ in found if place}
        problems = [problem for _, _, one in found for problem in _problems(one, source)]
        return None if node is None else loader.construct_document(node), places, problems
    finally:
        loader.dispose()


def _walk(node: yaml.Node, key: yaml.Node, place: Place) -> Iterator[tuple[Place, yaml.Node, yaml.Node]]:
    """Yield every node with its place and its key; a key itself has no place."""
    yield place, key, node
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            yield (), name, name
            yield from _walk(value, name, (*place, str(name.value)))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, value, (*place, index))


def _problems(node: yaml.Node, source: str) -> Iterator[str]:
    if isinstance(node, yaml.MappingNode):
        first: dict[str, yaml.Node] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and first.setdefault(key.value, key) is not key:
                earlier = first[key.value].start_mark.line + 1
                yield f"{_line(key, source)}: {key.value} stands there again, first in line {earlier}"
    elif isinstance(node, yaml.ScalarNode) and not node.style and node.tag in _NUMBERS:
        meant = node.value.replace("_", "")
        number = yaml.safe_load(node.value)
        if ":" in meant:
            yield f"{_line(node, source)}: {node.value} is a number in sixties in YAML, {number}"
        elif _LEADING_ZERO.fullmatch(meant) and int(meant) != number:
            yield f"{_line(node, source)}: {node.value} is an octal number in YAML, {number}"


def _line(node: yaml.Node, source: str) -> str:
    return f"{source}, line {node.start_mark.line + 1}"


def _refuse(problems: list[str]) -> None:
    if problems:
        raise ConfigError(
            f"{'; '.join(problems)}.",
            code="config-ambiguous",
            remedy="write each key once, decimal numbers without leading zeros, and text that looks like a number in "
            "quotes.",
        )


def _reason(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return reason(error)
