"""Measure the house: size, function bodies, import circles, and the words of docstrings and names.

    python benchmarks/house.py

Prints the figures that tests/contracts/test_house.py bounds. A function's body is counted in statement lines, without
its docstring; a circle is a strongly connected set of modules, lazy imports included.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles

PACKAGE = Path(__file__).parents[1] / "medsyn2"
NOT_PARTICIPLES = frozenset(
    [
        "apply",
        "need",
        "feed",
        "read",
        "seed",
        "embed",
        "exceed",
        "proceed",
        "speed",
        "open",
        "shed",
        "spread",
        "bed",
        "red",
        "token",
        "children",
        "screen",
    ]
)
PARTICIPLES = frozenset(
    [
        "drawn",
        "whole",
        "without",
        "made",
        "shown",
        "given",
        "found",
        "known",
        "kept",
        "held",
        "chosen",
        "taken",
        "written",
        "built",
        "sent",
        "left",
        "lost",
        "met",
        "won",
        "bound",
        "cut_out",
        "beside",
        "followed",
        "only",
        "already",
        "together",
    ]
)


@dataclass(frozen=True)
class House:
    """Figures of a package.

    Attributes:
        files: Modules.
        lines: Lines of all modules.
        longest_file: Lines of the longest module.
        body_p50: Median lines of a function's body.
        body_p90: 90th percentile of the same.
        circles: Sets of modules that import one another.
        what_per_1000: How often "what" stands in 1,000 words of docstrings.
        participle_names: Share of functions whose name begins with a participle or adverb.
    """

    files: int
    lines: int
    longest_file: int
    body_p50: float
    body_p90: float
    circles: list[list[str]]
    what_per_1000: float
    participle_names: float


def measure_house(package: Path = PACKAGE) -> House:
    """Measure all modules below `package`."""
    sources = {path: path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py"))}
    trees = {module_name(path, package): ast.parse(text) for path, text in sources.items()}
    functions = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, FUNCTION)]
    words = [word for tree in trees.values() for word in docstring_words(tree)]
    lengths = [len(text.splitlines()) for text in sources.values()]
    percentiles = quantiles([body_lines(function) for function in functions], n=10)
    names = [function.name for function in functions if not function.name.startswith("__")]
    return House(
        files=len(sources),
        lines=sum(lengths),
        longest_file=max(lengths),
        body_p50=percentiles[4],
        body_p90=percentiles[8],
        circles=find_circles({name: set(imports(tree, name, set(trees))) for name, tree in trees.items()}),
        what_per_1000=1000 * sum(word == "what" for word in words) / len(words),
        participle_names=sum(map(is_participle, names)) / len(names),
    )


FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def module_name(path: Path, package: Path) -> str:
    """Return the dotted name of a module's file."""
    return ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")


def body_lines(function: FUNCTION) -> int:
    """Count the lines of a function's body, without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def docstring_words(tree: ast.Module) -> Iterator[str]:
    """Yield the words of all docstrings, of fields too, in lower case."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield from re.findall(r"[a-z']+", text.lower())


def is_participle(name: str) -> bool:
    """Say whether a function's name begins with a participle or an adverb instead of a verb or a noun."""
    first = name.strip("_").split("_")[0]
    if first in NOT_PARTICIPLES:
        return False
    return first in PARTICIPLES or bool(re.fullmatch(r"\w{2,}(ed|ly)", first))


def imports(tree: ast.Module, name: str, known: set[str]) -> Iterator[str]:
    """Yield the modules of the package that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                yield from {module if module in known else node.module} & known - {name}
        elif isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names} & known - {name}


def find_circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected sets of two and more modules (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circles: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for below in graph[node]:
            if below not in index:
                visit(below)
                low[node] = min(low[node], low[below])
            elif below in stack:
                low[node] = min(low[node], index[below])
        if low[node] == index[node]:
            start = stack.index(node)
            if len(stack) - start > 1:
                circles.append(sorted(stack[start:]))
            del stack[start:]

    for node in graph:
        if node not in index:
            visit(node)
    return circles


if __name__ == "__main__":
    for figure, value in asdict(measure_house()).items():
        print(f"{figure:18} {value:.3f}" if isinstance(value, float) else f"{figure:18} {value}")
