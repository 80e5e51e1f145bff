"""The command writes the files that the contract test compares."""

from argparse import ArgumentParser
from pathlib import Path

from medsyn2.commands import config
from medsyn2.config import Config, load_config


def test_writes_both_files(tmp_path: Path) -> None:
    parser = ArgumentParser()
    config.add_arguments(parser)
    config.run(parser.parse_args(["--folder", str(tmp_path)]))
    assert load_config(tmp_path / "config.yaml") == Config()
    assert (tmp_path / "config.schema.json").read_text("utf-8") == config.json_schema()
