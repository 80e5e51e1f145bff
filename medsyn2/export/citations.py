"""The papers that a run is to cite, and the licences that bind it, as its configuration says.

The list is ``citations.yaml``; licences of weights come from the catalogue (``weights/catalogue.yaml``). Data are known
by their places in the configuration: CT-RATE by the names of its tables or its masks, any other folder of CTs as the
user's own. The embedded phantoms have no terms.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import yaml
from pydantic import TypeAdapter

from medsyn2.config import Config
from medsyn2.weights.needs import needs


@dataclass(frozen=True)
class Citation:
    """A work that a run builds on."""

    key: str  # A short name
    part: str  # The part of the run that it is
    cite: str  # The reference
    url: str = ""  # Where it is found
    licence: str = ""  # The licence of the software, the data or the weights; empty of a paper
    binds: str = ""  # What the licence asks of whoever publishes the run, where that is more than the reference
    # What a run has that needs it; empty for every run
    when: Mapping[Literal["data", "tool", "weights", "solver"], str] = field(default_factory=dict)


CITATIONS = TypeAdapter(tuple[Citation, ...]).validate_python(
    yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))
)
"""All entries, in the order in which they are printed."""

_CT_RATE_TABLES = ("train_reports", "validation_reports", "_predicted_labels", "train_metadata", "validation_metadata")


def citations_of(config: Config) -> Iterator[Citation]:
    """Yield the works that a run with this configuration is to cite."""
    tools = {str(tool) for tool in (*config.segment.tools.values(), *config.evaluate_masks.tools.values()) if tool}
    had: dict[str, set[str]] = {
        "data": set(_data(config)),
        "tool": tools,
        "weights": {need.row.name for need in needs(config)},
        "solver": {config.sampling.solver},
    }
    for one in CITATIONS:
        if all(value in had[kind] for kind, value in one.when.items()):
            yield one


def licences_of(config: Config) -> list[tuple[str, str, str]]:
    """Return the licences that bind a run: the work, its licence, and its demands, if they are known."""
    rows = [(f"{one.part} ({one.key})", one.licence, one.binds) for one in citations_of(config) if one.licence]
    rows += [(f"weights for {need.row.about} ({need.row.name})", need.row.licence, "") for need in needs(config)]
    return rows


def _data(config: Config) -> Iterator[str]:
    """Yield the kinds of data that a configuration reads: `ct_rate`, `own`, or none."""
    if config.cohort.data_dir is None:
        return
    cohort = config.cohort
    tables = [str(path) for path in (*cohort.reports_csv, *cohort.labels_csv, *cohort.metadata_csv)]
    is_ct_rate = any(name in table for name in _CT_RATE_TABLES for table in tables)
    is_ct_rate |= "ct_rate" in config.segment.tools.values() or "ct-rate" in str(cohort.data_dir).lower()
    yield "ct_rate" if is_ct_rate else "own"
