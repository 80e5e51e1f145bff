"""The option that names the configuration of a command: its default is the checkout's."""

import argparse
from pathlib import Path


def add_config_files(parser: argparse.ArgumentParser) -> None:
    """Declare the option."""
    parser.add_argument(
        "--config",
        type=Path,
        nargs="+",
        default=[Path("config.yaml")],
        metavar="FILE",
        help="configuration files, the last one wins (default: config.yaml)",
    )
