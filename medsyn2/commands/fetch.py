"""Download external weights into a folder, which can be copied to a machine without a network.

    medsyn2 fetch lungmask totalsegmentator --to weights      by name
    medsyn2 fetch --config configs/paper.yaml --to weights    by the needs of a configuration
    medsyn2 fetch --list                                      names, sizes, licences

Interrupted downloads resume, and intact files are not fetched again. Every file is compared with its published
checksum and recorded in weights/SHA256SUMS (`sha256sum -c SHA256SUMS` checks a copy). By fetching you accept the
licence shown. No other command opens a connection.
"""

import argparse
import sys
from pathlib import Path

from medsyn2.commands.answers import add_json, answer
from medsyn2.config import load_config
from medsyn2.errors import ConfigError
from medsyn2.weights.catalogue import CATALOGUE, CatalogueEntry, Download, find
from medsyn2.weights.checks import add_checksums, check_download, read_checksums
from medsyn2.weights.needs import needs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="rows of --list; totalsegmentator takes all of its")
    parser.add_argument("--to", type=Path, metavar="DIR", help="the folder of weights")
    parser.add_argument(
        "--config",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="fetch what these configuration files together need, the last one wins",
    )
    parser.add_argument(
        "--mirror",
        metavar="URL",
        help="take each file from URL/<path below the folder of weights> instead of its source",
    )
    parser.add_argument("--list", action="store_true", help="show what there is, and fetch nothing")
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Fetch the selected entries."""
    if arguments.list:
        told = "".join(describe_entry(row) for row in CATALOGUE)
        answer(arguments, "fetch", {"weights": [_values(row) for row in CATALOGUE]}, told)
        return
    rows = select_entries(arguments.names, arguments.config)
    if rows and arguments.to is None:
        raise ConfigError("no folder was given.", code="fetch-folder", remedy="add --to DIR.")
    for row in rows:
        _say(arguments, describe_entry(row))
        for item in row.downloads:
            _say(arguments, f"  {item.path}: {bring(item, arguments.to, arguments.mirror)}\n")
        if row.by_hand:
            _say(arguments, f"  not downloaded by this command, by hand from {row.page}: {row.by_hand}\n")
        if row.convert:
            _say(arguments, f"  next: {row.convert}\n")
    answer(arguments, "fetch", {"weights": [_values(row) for row in rows]}, "")


def _say(arguments: argparse.Namespace, text: str) -> None:
    """Print how far it got, at once; beside JSON it is on stderr."""
    stream = sys.stderr if arguments.json else sys.stdout
    stream.write(text)
    stream.flush()


def _values(row: CatalogueEntry) -> dict[str, object]:
    """Return an entry as JSON values."""
    files = [{"path": item.path, "size_bytes": item.size_bytes} for item in row.downloads]
    kept = {name: getattr(row, name) for name in ("name", "about", "licence", "page", "by_hand", "convert")}
    return {**kept, "stages": list(row.stages), "files": files}


def select_entries(names: list[str], configs: list[Path] | None) -> list[CatalogueEntry]:
    """Return the entries given by name or needed by the configuration files `configs`.

    Raises:
        ConfigError: If neither is given, or a name is unknown.
    """
    if configs is not None:
        wanted = [need.row.name for need in needs(load_config(*configs))]
        return [row for row in CATALOGUE if row.name in [*wanted, *names]]
    known = ", ".join(row.name for row in CATALOGUE)
    if not names:
        raise ConfigError("nothing was named.", code="fetch-names", remedy=f"name some of {known}, or give --config.")
    try:
        return list(find(names))
    except KeyError as error:
        raise ConfigError(
            f"there are no weights called {error}.", code="fetch-names", remedy=f"name some of {known}."
        ) from error


def describe_entry(row: CatalogueEntry) -> str:
    """Return an entry as text."""
    sizes = [item.size_bytes for item in row.downloads]
    size = f"{sum(filter(None, sizes)) / 1e6:.0f} MB" if all(sizes) and sizes else "size not published"
    return f"{row.name}: {row.about} ({size})\n  licence: {row.licence}\n  source: {row.page}\n"


def bring(item: Download, folder: Path, mirror: str | None) -> str:
    """Download a file or archive unless it is there and intact; return which."""
    from medsyn2.weights.download import download, unpack

    if all(check.state in {"verified", "recorded"} for check in check_download(item, folder, read_checksums(folder))):
        return "there"
    suffix = ".zip" if item.unpacks else ""
    url = f"{mirror.rstrip('/')}/{item.path}{suffix}" if mirror else item.url
    place = folder / f"{item.path}{suffix}"
    download(url, place, sha256=item.sha256)
    paths = [place]
    if item.unpacks:
        paths = unpack(place, folder / item.path)
        place.unlink()
    add_checksums(folder, paths)
    return f"fetched from {url}"
