"""Collect every error code of the package from its source, with its family, message and remedy.

A code is written where an error is raised, so the source is its only register. Codes reach an error in three ways: as
the keyword ``code``; through a function or record of the same folder with parameters ``code`` and ``remedy``; or as a
value of a dictionary called ``codes``. A code built from a parameter, such as ``f"{kind}-value"``, is listed once for
each text that the module passes as that parameter. Any other expression is refused, so that no code escapes the
reference.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medsyn2 import errors

PACKAGE = Path(errors.__file__).parent
_CODE = re.compile(r"[a-zA-Z0-9.]+(-[a-zA-Z0-9.]+)+")
_PASSED_ON = {"code", "error.code", "found.code", "kind.code", "fault.code", "problem.code"}
"""Expressions that hand on a code written elsewhere."""
_FAMILIES = {
    "case_error": "SegmenterError",
    "_case": "SegmenterError",
    "environment_error": "EnvironmentFault",
    "_environment": "EnvironmentFault",
}
"""How the worker process of a tool, which cannot import the package, names the two families."""
_COMMAND_LINE = re.compile(r"medsyn2: \[(?P<code>[a-z-]+)\] (?P<message>.*?)What to do: (?P<remedy>.*)", re.S)
"""How the command line prints the machine's own errors."""


@dataclass(frozen=True)
class Use:
    """One place that raises an error with a code.

    Attributes:
        code: The code.
        family: Name of the error's class.
        message: Template of the message; variables stand in braces.
        remedy: Template of the remedy.
        place: Module that raises it, as a path below the package.
    """

    code: str
    family: str
    message: str
    remedy: str
    place: str


def collect_uses() -> list[Use]:
    """Return the uses of every code, sorted by code and place."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    helpers: dict[Path, dict[str, list[str]]] = {}
    for path, tree in trees.items():
        helpers.setdefault(path.parent, {}).update(_helpers(tree))
    uses = [
        use
        for path, tree in trees.items()
        if path.name != "errors.py"
        for use in _uses_in(tree, str(path.relative_to(PACKAGE.parent)), helpers[path.parent])
    ]
    return sorted(set(uses), key=lambda use: (use.code.lower(), use.place, use.message))


def _helpers(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """Yield functions and records with parameters ``code`` and ``remedy``, and their parameters' names in order."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
            if {"code", "remedy"} <= set(names) and not node.name.startswith("__"):
                yield node.name, [name for name in names if name != "self"]
        elif isinstance(node, ast.ClassDef):
            fields = [f.target.id for f in node.body if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name)]
            init = next((f for f in node.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"), None)
            names = [argument.arg for argument in init.args.args[1:]] if init else fields
            if {"code", "remedy"} <= set(names):
                yield node.name, names


def _uses_in(tree: ast.Module, place: str, helpers: dict[str, list[str]]) -> Iterator[Use]:
    families = _families_of_helpers(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and (found := _COMMAND_LINE.match(_template(node))):
            yield Use(found["code"], "EnvironmentFault", found["message"].strip(), found["remedy"].strip(), place)
        if not isinstance(node, ast.Call):
            continue
        name = _name(node.func)
        given = _arguments(node, helpers.get(name, ["message"] if _is_error(name) else []))
        if "code" not in given or not (name in helpers or _is_error(name) or "remedy" in given):
            continue
        family = name if _is_error(name) else _family_of_call(name, given, families)
        told = [value for key, value in given.items() if key not in {"name", "kind", "code", "remedy", "marks"}]
        message = _template(told[0] if told else None)
        for code in _codes(given["code"], tree, place):
            yield Use(code, family, message, _template(given.get("remedy")), place)


def _arguments(call: ast.Call, names: list[str]) -> dict[str, ast.expr]:
    """Return the arguments of a call by the names of the callee's parameters."""
    given = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    return {**dict(zip(names, call.args, strict=False)), **given}


def _family_of_call(name: str, given: dict[str, ast.expr], families: set[str]) -> str:
    kind = given.get("kind")
    if name in _FAMILIES or isinstance(kind, ast.Constant):
        return _FAMILIES[str(kind.value) if isinstance(kind, ast.Constant) else name]
    if isinstance(kind, ast.Name):
        return kind.id
    return min(families, default="MedSyn2Error")


def _families_of_helpers(tree: ast.Module) -> set[str]:
    """Return the classes that this module raises with a code that it was handed."""
    return {
        _name(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _is_error(_name(node.func))
        for keyword in node.keywords
        if keyword.arg == "code" and ast.unparse(keyword.value) in _PASSED_ON
    }


def _codes(value: ast.expr, tree: ast.Module, place: str) -> list[str]:
    if isinstance(value, ast.Constant):
        return [str(value.value)] if isinstance(value.value, str) and _CODE.fullmatch(value.value) else []
    if isinstance(value, ast.IfExp):
        return [*_codes(value.body, tree, place), *_codes(value.orelse, tree, place)]
    if isinstance(value, ast.JoinedStr):
        return _codes_of_parameter(value, tree)
    if isinstance(value, ast.Subscript) and _name(value.value) == "codes":
        tables = [n.value for n in ast.walk(tree) if isinstance(n, ast.Assign) and _name(n.targets[0]) == "codes"]
        return [str(ast.literal_eval(code)) for one in tables if isinstance(one, ast.Dict) for code in one.values]
    if ast.unparse(value) in _PASSED_ON:
        return []
    raise ValueError(f"{place}:{value.lineno}: the code {ast.unparse(value)} cannot be read from the source")


def _codes_of_parameter(value: ast.JoinedStr, tree: ast.Module) -> list[str]:
    """Return a code that holds a parameter once for each text that the module's functions are given as it."""
    (parameter,) = [_name(part.value) for part in value.values if isinstance(part, ast.FormattedValue)]
    functions = {
        f.name: [argument.arg for argument in f.args.args] for f in ast.walk(tree) if isinstance(f, ast.FunctionDef)
    }
    texts = {
        given[parameter].value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and (names := functions.get(_name(call.func)))
        for given in [_arguments(call, names)]
        if isinstance(given.get(parameter), ast.Constant)
    }
    return [_template(value).replace(f"{{{parameter.upper()}}}", str(text)) for text in sorted(texts)]


def _template(value: ast.expr | None) -> str:
    """Return a text with its variables in braces, or "" if it is not written at this place."""
    if isinstance(value, ast.Constant):
        return str(value.value)
    if isinstance(value, ast.JoinedStr):
        parts = [p.value if isinstance(p, ast.Constant) else _variable(p) for p in value.values]
        return "".join(str(part) for part in parts)
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
        return _template(value.left) + _template(value.right)
    if isinstance(value, ast.IfExp):
        return f"{_template(value.body)} / {_template(value.orelse)}"
    return ""


def _variable(part: ast.expr) -> str:
    name = _name(part.value) if isinstance(part, ast.FormattedValue) else ""
    return f"{{{name.upper().strip('_')}}}" if name else "..."


def _name(node: ast.expr) -> str:
    """Return the last word of a name or an attribute."""
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _is_error(name: str) -> bool:
    found = getattr(errors, name, None)
    return isinstance(found, type) and issubclass(found, errors.MedSyn2Error)
