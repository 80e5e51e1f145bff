"""Print the works that a run is to cite, and the licences that bind it.

    medsyn2 cite --config configs/paper.yaml
    medsyn2 cite --config config.yaml mine.yaml --json

Several files are merged, the last one wins. Tools, weights and data are those that the configuration names; whether
your own data have other terms, only you know. Licences are given as their authors state them, and are no legal advice.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict

from medsyn2.commands.answers import add_json, answer
from medsyn2.commands.config_files import add_config_files
from medsyn2.config import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_config_files(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the lists."""
    from medsyn2.export.citations import Citation, citations_of, licences_of

    config = load_config(*arguments.config)
    cited, licences = list(citations_of(config)), licences_of(config)
    values = {
        "citations": [{key: value for key, value in asdict(one).items() if key != "when"} for one in cited],
        "licences": [dict(zip(("work", "licence", "binds"), row, strict=True)) for row in licences],
    }

    def lines(one: Citation) -> Iterator[str]:
        yield f"{one.part}:"
        yield f"  {one.cite}"
        if one.url:
            yield f"  {one.url}"

    text = ["To cite", *(line for one in cited for line in lines(one)), "", "Licences that bind this run"]
    text += [f"{work}: {licence}{f'; {binds}' if binds else ''}" for work, licence, binds in licences]
    answer(arguments, "cite", values, "\n".join(text) + "\n")
