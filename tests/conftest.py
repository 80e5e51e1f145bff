"""Shapes and types that annotations promise are checked at run time in every test."""

from jaxtyping import install_import_hook

CHECKED = ["ct", "reports", "nn", "flow", "cohort", "metrics", "segmenters", "training", "page", "pipeline"]

install_import_hook(
    [f"medsyn2.{package}" for package in CHECKED],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)
