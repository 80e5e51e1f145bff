"""What is promised to users, and nothing that a user of somebody else's files should fear."""

import pydoc
import re
from importlib.metadata import version
from pathlib import Path

import pytest

import medsyn2

ROOT = Path(__file__).parents[2]
SOURCES = [*(ROOT / "medsyn2").rglob("*.py"), *(ROOT / "workflow").rglob("*.smk"), ROOT / "Snakefile"]


def test_public_names_are_frozen_and_exist() -> None:
    assert sorted(medsyn2.__all__) == [
        "CTVolume",
        "Config",
        "LabelMap",
        "MedSyn2Error",
        "MedSyn2Pipeline",
        "Sampling",
        "Synthetic",
        "load_config",
        "read_ct",
        "read_labels",
        "write_ct",
        "write_labels",
    ]
    assert all(getattr(medsyn2, name) for name in medsyn2.__all__)
    assert medsyn2.__version__ == version("medsyn2")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = medsyn2.nothing


def test_help_names_every_public_name_and_shows_an_example() -> None:
    text = pydoc.plain(pydoc.render_doc(medsyn2))
    assert all(name in text for name in medsyn2.__all__)
    assert "pipeline = MedSyn2Pipeline.from_pretrained(" in text


@pytest.mark.parametrize(
    "pattern",
    [
        r"trust_remote_code\s*=\s*True",
        r"torch\.hub",
        r"\bpickle\b.*(load|dump)",
        r"torch\.load\((?!.*weights_only=True)",
        r"\beval\(",
        r"\bexec\(",
        r"os\.system",
        r"shell\s*=\s*True",
        r"allow_pickle\s*=\s*True",
        r"yaml\.load\(",
    ],
)
def test_nothing_at_run_time_executes_what_it_reads(pattern: str) -> None:
    # torch's own `module.eval()` is a method call and no threat.
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.search(pattern, line.replace(".eval()", ""))
    ]
    assert found == []


def test_only_the_conversion_opens_pickles() -> None:
    found = {path.parent.name for path in SOURCES if "torch.load(" in path.read_text("utf-8")}
    assert found == {"conversion"}
