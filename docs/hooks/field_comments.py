"""Show the comments of a record's fields, beside them or above them, as its attributes in the reference."""

import ast
from pathlib import Path
from typing import Any

from griffe import Class, Extension, ObjectNode


class FieldComments(Extension):
    """Append the comments to the docstring, in the form that the docstrings' parser reads."""

    def on_class_members(self, *, node: ast.AST | ObjectNode, cls: Class, **kwargs: Any) -> None:
        """Add the section ``Attributes`` to a class that has commented fields and no such section."""
        if cls.docstring is None or "Attributes:" in cls.docstring.value:
            return
        lines = cls.lines_collection[Path(str(cls.filepath))]
        entries = []
        for field in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.end_lineno:
                comment = _comment(lines, field.lineno, field.end_lineno)
                if comment:
                    entries.append(f"    {field.target.id}: {comment}.")
        if entries:
            cls.docstring.value = "\n".join([cls.docstring.value.rstrip(), "", "Attributes:", *entries])


def _comment(lines: list[str], first: int, last: int) -> str:
    """Return the comment at the end of a statement's last line, else the one that ends on the line above it."""
    _, mark, beside = lines[last - 1].partition("  # ")
    if mark:
        return beside.rstrip(".")
    above: list[str] = []
    while lines[first - 2 - len(above)].lstrip().startswith("# "):
        above.insert(0, lines[first - 2 - len(above)].strip().removeprefix("# "))
    return " ".join(above).rstrip(".")
