"""Generate the reference from the code when the site is built: settings, commands, stages, errors and the API.

MkDocs calls `on_config` and `on_files` once per build. Nothing generated is committed, so the reference cannot fall
behind the code; ``tests/contracts/test_docs.py`` holds that nothing is left out.
"""

import argparse
import html
import inspect
import os
import re
from collections.abc import Iterator
from dataclasses import fields
from itertools import groupby
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from error_codes import Use, collect_uses
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pydantic import BaseModel, TypeAdapter

import medsyn2
from medsyn2 import errors
from medsyn2.cli import COMMANDS, command_parser, stage_parser
from medsyn2.config import Config
from medsyn2.flow import Sampling
from medsyn2.stages import STAGES, Stage
from medsyn2.stages.outputs import Output

PACKAGE = Path(medsyn2.__file__).parent


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add a page for each package to the navigation."""
    api = [{path.split("/")[-1].removesuffix(".md"): path} for path in api_pages()]
    (reference,) = [entry["Reference"] for entry in config.nav or [] if "Reference" in entry]
    reference.append({"API": api})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages to the site."""
    os.environ["COLUMNS"] = "100"
    pages = {
        "reference/configuration.md": configuration_page(),
        "reference/commands.md": commands_page(),
        "reference/stages.md": stages_page(),
        "reference/errors.md": errors_page(),
        **api_pages(),
    }
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def configuration_page() -> str:
    """Return the page of all settings, section by section."""
    parts = [
        "# Configuration",
        "`config.yaml` holds these keys with their defaults. Put the keys that differ into a file of your own and "
        "pass it with `--configfile=FILE`. Unknown keys are refused.",
    ]
    defaults = Config()
    for name, field in Config.model_fields.items():
        section = getattr(defaults, name)
        key = field.alias or name
        described = field.description or inspect.getdoc(type(section)) or ""
        parts.append(f"## {key} {{ #{key} }}\n\n{_plain(described)}")
        parts += _records(type(section), key, section) if isinstance(section, BaseModel | Sampling) else []
    for record in _records_within(Config):
        parts.append(f"## {record.__name__} {{ #{record.__name__} }}\n\n{_plain(inspect.getdoc(record) or '')}")
        parts += _records(record, record.__name__, None)
    return _join(parts)


def _records(record: type[Any], prefix: str, defaults: BaseModel | Sampling | None) -> Iterator[str]:
    """Yield an entry for each key of a section: its type, its default and its meaning."""
    adapter: TypeAdapter[Any] = TypeAdapter(record)
    values = adapter.dump_python(defaults, mode="json") if defaults is not None else {}
    types = (
        {name: field.annotation for name, field in record.model_fields.items()}
        if issubclass(record, BaseModel)
        else {field.name: field.type for field in fields(record)}
    )
    for name, about in adapter.json_schema()["properties"].items():
        default = f", default `{_yaml(values[name])}`" if name in values else ""
        term = f'<a id="{prefix}.{name}"></a>`{name}`: {_type_name(types[name])}{default}'
        yield f"{term}\n:   {_plain(about.get('description', ''))}"


def _records_within(record: type[BaseModel]) -> list[type[BaseModel]]:
    """Return the records that keys hold, such as a variant; sections themselves are left out."""
    found: list[type[BaseModel]] = []
    sections = {field.annotation for field in Config.model_fields.values()}
    pending: list[Any] = [field.annotation for field in record.model_fields.values()]
    while pending:
        annotation = pending.pop(0)
        pending += get_args(annotation)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            pending += [field.annotation for field in annotation.model_fields.values()]
            if annotation not in sections and annotation not in found:
                found.append(annotation)
    return found


_WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path", type(None): "null"}


def _type_name(annotation: Any) -> str:
    """Return the type of a key in the words of a configuration file."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__})"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_name(arguments[0])
    if origin is Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in arguments)
    if origin in (Union, UnionType):
        return " or ".join(_type_name(choice) for choice in arguments)
    if origin is dict:
        return f"mapping of {_type_name(arguments[0])} to {_type_name(arguments[1])}"
    if origin in (tuple, list):
        item = _type_name(arguments[0])
        items = f"{item}s" if item in _WORDS.values() else item
        fixed = origin is tuple and arguments[-1] is not Ellipsis
        return f"{len(arguments)} {items}" if fixed else f"list of {items}"
    return _WORDS.get(annotation) or f"`{getattr(annotation, '__name__', annotation)}`"


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("\n...")


def commands_page() -> str:
    """Return the page of all verbs of the command line, with their options."""
    parts = ["# Commands", _plain(inspect.getdoc(medsyn2.cli) or "").split("\n\n", 1)[1]]
    parsers = [command_parser(verb) for verb in COMMANDS]
    parts += ["## For people", *(_command(parser, 3) for parser in parsers)]
    parts += ["## Stages of the workflow", *(_command(stage_parser(stage), 3) for stage in STAGES.values())]
    return _join(parts)


def _command(parser: argparse.ArgumentParser, level: int) -> str:
    """Return the section of one verb, with those of its own verbs below."""
    verb = parser.prog.removeprefix("medsyn2 ")
    anchor = verb.replace(" ", "-").replace("_", "-")
    parts = [f"{'#' * level} medsyn2 {verb} {{ #{anchor} }}", _plain(parser.description or "")]
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            parts += [_command(below, level + 1) for below in action.choices.values()]
        elif not isinstance(action, argparse._HelpAction):
            rows.append(_option(action))
    if rows:
        parts.insert(2, "\n".join(["| option | meaning |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def _option(action: argparse.Action) -> str:
    names = ", ".join(action.option_strings) or action.dest
    values = "|".join(str(choice) for choice in action.choices) if action.choices else action.metavar or ""
    values = " ".join(values) if isinstance(values, tuple) else values
    shown = f"{names} {values}".strip().replace("|", "\\|")
    text = (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")
    required = "required; " if action.required and action.option_strings else ""
    return f"| `{shown}` | {required}{_plain(text).replace('|', chr(92) + '|')} |"


def stages_page() -> str:
    """Return the page of the stages in the order of the workflow."""
    parts = [
        "# Stages",
        "A stage has one name: the rule, the verb of `medsyn2`, the module, the folder below `results/` and, where it "
        "has settings, the section of the configuration.",
    ]
    return _join([*parts, *(_stage(stage) for stage in STAGES.values())])


def _stage(stage: Stage) -> str:
    sections = ", ".join(f"[`{name}`](configuration.md#{name})" for name in stage.sections) or "none"
    anchor = stage.name.replace("_", "-")
    facts = [f"- Settings: {sections}", f"- Options: [`medsyn2 {stage.name}`](commands.md#{anchor})"]
    if stage.sharded:
        facts.append("- Works shard by shard.")
    if stage.shared:
        facts.append("- Several processes can share it (`--processes`).")
    if stage.each_model:
        facts.append("- Runs for each variant too, below `results/variants/<name>/`.")
    facts.append(f"- Version of its code: {stage.version}")
    about = _plain((inspect.getdoc(stage.load()) or "").split("\n\nArgs:")[0])
    outputs = "\n\n".join(_output(stage, output) for output in stage.outputs)
    return f"## {stage.name}\n\n{about}\n\n" + "\n".join(facts) + f"\n\n{outputs}"


def _output(stage: Stage, output: Output) -> str:
    """Return an entry for the files of one output, with the caption that the reports show."""
    files = ", ".join(f"`results/{name}`" for name in output.files)
    caption = (
        stage.caption_path(output).read_text(encoding="utf-8")
        if output.caption
        else f"{output.category.removesuffix('s') or 'For later stages'}."
    )
    return f"{files}\n:   " + caption.strip().replace("\n", "\n    ")


def errors_page() -> str:
    """Return the page of all error codes, family by family."""
    parts = [
        "# Errors",
        "Every message ends with its code in brackets and a remedy. A *case error* puts one case into quarantine, and "
        "the run goes on. An *environment error* stops the run and quarantines nothing.",
    ]
    uses = sorted(collect_uses(), key=lambda use: (_family(use), use.family, use.code.lower()))
    for title, of_title in groupby(uses, key=_family):
        parts.append(f"## {title.split(' ', 1)[1]}")
        for family, of_family in groupby(of_title, key=lambda use: use.family):
            kind = getattr(errors, family)
            status = f" Exit status {kind.exit_code}."
            parts.append(f"### {family}\n\n{_plain((inspect.getdoc(kind) or '').splitlines()[0])}{status}")
            parts += [_error(code, list(same)) for code, same in groupby(of_family, key=lambda use: use.code)]
    return _join(parts)


def _family(use: Use) -> str:
    return "1 Case errors" if issubclass(getattr(errors, use.family), errors.CaseError) else "2 Environment errors"


def _error(code: str, uses: list[Use]) -> str:
    anchor = f'<a id="{uses[0].family}-{code}"></a>'
    entries = []
    for message, remedy in dict.fromkeys((use.message, use.remedy) for use in uses):
        remedy_text = f" *What to do:* {_text(remedy)}" if remedy else ""
        entries.append(f":   {_text(message) or 'The message stands in the log.'}{remedy_text}")
    return f"{anchor}`{code}`\n" + "\n".join(entries)


def api_pages() -> dict[str, str]:
    """Return a page for each package of the library, and one for the public names."""
    names = ["medsyn2", *(f"medsyn2.{path.parent.name}" for path in sorted(PACKAGE.glob("*/__init__.py")))]
    return {f"reference/api/{name}.md": _api_page(name) for name in names}


def _api_page(name: str) -> str:
    if name == "medsyn2":
        members = "".join(f"        - {member}\n" for member in medsyn2.__all__)
        return f"# {name}\n\n::: {name}\n    options:\n      members:\n{members}"
    parts = [f"# {name}", f"::: {name}\n    options:\n      show_submodules: false"]
    folder = PACKAGE / name.removeprefix("medsyn2.")
    for path in sorted(folder.rglob("*.py")):
        if path.stem != "__init__":
            dotted = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
            parts.append(f"## {dotted.removeprefix('medsyn2.')}\n\n::: {dotted}")
    return _join(parts)


def _join(parts: list[str]) -> str:
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    """Return a docstring as Markdown: code in single backticks, angle brackets kept from being read as HTML."""
    return re.sub(r"``(.+?)``", r"`\1`", text).replace("<", "&lt;")


def _text(text: str) -> str:
    """Return a message so that Markdown shows it as it is."""
    return re.sub(r"([*_\[\]{}|#])", r"\\\1", html.escape(text, quote=False)).replace("\n", " ")
