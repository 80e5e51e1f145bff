"""A stage has one name: rule, verb, module, function, folders, section and test."""

import inspect
import re
from pathlib import Path

import pytest

from medsyn2.config import Config
from medsyn2.stages import STAGES

ROOT = Path(__file__).parents[2]
RULES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
SECTIONS = {field.alias or name for name, field in Config.model_fields.items()}


def rule_text(name: str) -> str:
    """The text of one rule."""
    match = re.search(rf"^rule {name}:\n(.*?)(?=^rule |^def |\Z)", RULES, re.MULTILINE | re.DOTALL)
    assert match, f"no rule {name}"
    return match[1]


def test_every_rule_is_a_stage() -> None:
    assert set(re.findall(r"^rule (\w+):", RULES, re.MULTILINE)) == set(STAGES)


@pytest.mark.parametrize("name", STAGES)
def test_rule_calls_the_verb_with_the_stage_s_parameters_and_logs_under_its_name(name: str) -> None:
    text = rule_text(name)
    assert f"python -m medsyn2 {name} --config {{params.cfg:q}}" in text
    assert f'params_of("{name}")' in text
    model = "{variant}" if STAGES[name].each_model else ""
    assert f'"logs/{model}{name}' in text
    assert f'"logs/benchmarks/{model}{name}' in text


@pytest.mark.parametrize("name", STAGES)
def test_rule_makes_the_outputs_of_the_table_and_passes_each_to_the_function(name: str) -> None:
    text = rule_text(name)
    assert f'output:\n        **outputs_of("{name}"),' in text
    keywords = inspect.signature(STAGES[name].load()).parameters
    passed = set(re.findall(r"\{output\.(\w+)\}", text))
    assert passed == {output.keyword for output in STAGES[name].outputs} & set(keywords)
    assert {output.keyword for output in STAGES[name].outputs} - passed <= {"config"}


@pytest.mark.parametrize("name", STAGES)
def test_rule_asks_for_what_the_plan_says(name: str) -> None:
    asked = f'    threads: threads_of("{name}")\n    resources:\n        **resources_of("{name}"),\n    params:'
    assert asked in rule_text(name)
    assert not re.search(r"^\s*(gpu|mem_mb|runtime)=", rule_text(name), re.MULTILINE)


@pytest.mark.parametrize("name", STAGES)
def test_room_of_a_stage_estimates_its_cost(name: str) -> None:
    assert list(inspect.signature(STAGES[name].load_cost()).parameters) == ["run"]


@pytest.mark.parametrize("name", STAGES)
def test_rule_passes_exactly_the_options_of_the_function(name: str) -> None:
    options = set(re.findall(r"--([a-z-]+) ", rule_text(name))) - {"config"}
    keywords = {
        keyword.replace("_", "-")
        for keyword, parameter in inspect.signature(STAGES[name].load()).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and keyword != "settings"
    }
    assert options == keywords | ({"processes"} if STAGES[name].shared else set())


@pytest.mark.parametrize("name", STAGES)
def test_function_takes_the_sections_of_the_table(name: str) -> None:
    parameters = inspect.signature(STAGES[name].load()).parameters.values()
    positional = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert tuple(positional) == STAGES[name].sections
    assert set(positional) <= SECTIONS


@pytest.mark.parametrize("name", STAGES)
def test_function_is_explained_and_tested(name: str) -> None:
    function = STAGES[name].load()
    assert function.__name__ == name
    assert (inspect.getdoc(function) or "").count("\n") >= 2
    assert (ROOT / "tests/unit" / STAGES[name].room.replace(".", "/") / f"test_{name}.py").is_file()


def test_every_section_is_read_by_a_stage_or_when_planning() -> None:
    assert {section for stage in STAGES.values() for section in stage.sections} == SECTIONS - {
        "cohort",
        "variants",
        "jobs",
    }


def test_every_module_has_its_test() -> None:
    package = ROOT / "medsyn2"
    missing = []
    for path in package.rglob("*.py"):
        if path.stem.startswith("__") or "phantoms" in path.parts:
            continue
        place = ROOT / "tests/unit" / path.parent.relative_to(package)
        text = path.read_text(encoding="utf-8")
        if "\ndef " in text and not list(place.glob(f"test_{path.stem}*.py")):
            missing.append(str(path.relative_to(ROOT)))
    assert missing == []


def test_no_module_is_a_grab_bag() -> None:
    banned = {"utils", "helpers", "misc", "common"}
    assert [path for path in (ROOT / "medsyn2").rglob("*.py") if path.stem in banned] == []


def test_no_file_is_longer_than_400_lines() -> None:
    paths = [path for folder in ("medsyn2", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert {path.name: n for path in paths if (n := len(path.read_text(encoding="utf-8").splitlines())) > 400} == {}
