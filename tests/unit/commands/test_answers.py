"""A result is JSON with a schema, or text, and never both."""

import argparse
import json
from pathlib import Path

from medsyn2.commands.answers import add_json, answer


def test_json_is_one_object_with_its_schema(capsys):
    parser = argparse.ArgumentParser()
    add_json(parser)
    answer(parser.parse_args(["--json"]), "info", {"path": Path("a"), "note": "µ"}, "text\n")
    assert json.loads(capsys.readouterr().out) == {"schema": "medsyn2/info/1", "path": "a", "note": "µ"}
    answer(parser.parse_args([]), "info", {}, "text\n")
    assert capsys.readouterr().out == "text\n"
