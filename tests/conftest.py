"""In every test: shapes and types that annotations promise are checked, and no other machine can be reached."""

import sys

from jaxtyping import install_import_hook

CHECKED = ["ct", "reports", "nn", "flow", "cohort", "metrics", "segmenters", "training", "page", "pipeline"]

install_import_hook(
    [f"medsyn2.{package}" for package in CHECKED],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

THIS_MACHINE = {None, "", "localhost", "127.0.0.1", "::1"}


def _refuse_network(event: str, arguments: tuple[object, ...]) -> None:
    asked = arguments[0] if event == "socket.getaddrinfo" else None
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        asked = arguments[1][0]
    if isinstance(asked, bytes):
        asked = asked.decode()
    if asked not in THIS_MACHINE:
        raise ConnectionRefusedError(f"a test reached for {asked}")


sys.addaudithook(_refuse_network)
