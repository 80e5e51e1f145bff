"""The results of commands on stdout: text for people, or one JSON object for programs.

With ``--json`` stdout holds nothing else; logs, warnings and progress are on stderr as always. The key ``schema`` names
the command and the version of its keys, which docs/reference/json.md lists; keys are added without a new version.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any


def add_json(parser: argparse.ArgumentParser) -> None:
    """Declare the option that asks for JSON."""
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object; logs are on stderr")


def answer(arguments: argparse.Namespace, command: str, values: Mapping[str, Any], text: str) -> None:
    """Print a result as JSON if that was asked for, else as text.

    Args:
        values: The result as JSON values; paths and the like become text.
        text: The same for people, with its line ends.
    """
    sys.stdout.write(to_answer(command, values) if arguments.json else text)


def to_answer(command: str, values: Mapping[str, Any]) -> str:
    """Return a result as JSON, with its schema."""
    return json.dumps({"schema": f"medsyn2/{command}/1", **values}, default=str, ensure_ascii=False) + "\n"
