"""Several files may be named, and the checkout's is the default."""

import argparse
from pathlib import Path

from medsyn2.commands.config_files import add_config_files


def test_files_are_paths_in_their_order() -> None:
    parser = argparse.ArgumentParser()
    add_config_files(parser)
    assert parser.parse_args([]).config == [Path("config.yaml")]
    assert parser.parse_args(["--config", "b.yaml", "a.yaml"]).config == [Path("b.yaml"), Path("a.yaml")]
