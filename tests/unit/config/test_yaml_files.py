"""Things that YAML takes for others in silence are refused with their line."""

from pathlib import Path

import pytest

from medsyn2.config import load_config, validate_config
from medsyn2.config.yaml_files import find_places, read_yaml
from medsyn2.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dit: {width: 144}\nflow: {}\ndit: {depth: 2}", "line 3: dit stands there again, first in line 1"),
        ("dit:\n  width: 96\n  width: 144", "line 3: width stands there again, first in line 2"),
        ("variants:\n  a: {}\n  a: {dit: {depth: 1}}", "line 3: a stands there again, first in line 2"),
        ('{"dit": {"width": 96,\n\t"width": 144}}', "line 2: width stands there again"),
        ("cohort:\n  num_phantoms: 010", "line 2: 010 is an octal number in YAML, 8"),
        ("grid:\n  shape: [64, 096, 0100]", "line 2: 0100 is an octal number in YAML, 64"),
        ("segment:\n  time_limit_s: 1:30", "line 2: 1:30 is a number in sixties in YAML, 90"),
        ("segment:\n  time_limit_s: 1:30.5", "line 2: 1:30.5 is a number in sixties in YAML, 90.5"),
        ("train_dit:\n#  num_steps: 3\nflow: {}", "train_dit: holds nothing.*line 1"),
        ("variants:\n  small:\nflow: {}", "variants.small: holds nothing.*line 2"),
        ("dit:\n\twidth: 144", "line 2: found character"),
        ("dit:\n  width: 144\n num_heads: 4", "line 3: "),
        ("train_dit:\n  num_steps: yes", r"train_dit.num_steps: .*\(got True\).*line 2"),
        ("dit:\n  depth: 4\n  patch: [2, 2, on]", r"dit.patch: .*True.*line 3"),
        ("sampling:\n  num_steps: yes", "sampling: .*True.*line 1"),
        ("encode_text:\n  encoder_dir: no", "encode_text.encoder_dir: .*False.*quotes.*line 2"),
        ("train_dit:\n  learning_rate: fast", "train_dit.learning_rate.*line 2"),
        ("grid: {shape: [64, 96, 96]}\ndit:\n  patch: [3, 3, 3]", "dit.patch: must divide.*line 3"),
    ],
)
def test_a_trap_is_refused_with_its_key_and_line(text: str, said: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=said) as caught:
        load_config(path)
    assert str(path) in caught.value.message
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "dit: {gate: no, conv: 'off', qk_norm: on}",
        "dit: {depth: 007, width: 0x90}",
        "train_dit: {learning_rate: 1e-4, decay_steps: }",
        "\ufeffdit: {width: 144}",
        '{\n\t"dit": {"width": 144}\n}',
        "variants: {a: &a {dit: {depth: 1}}, b: {<<: *a}}",
        "cohort: {data_dir: '010'}",
        "# nothing but comments",
        "",
    ],
)
def test_what_means_one_thing_is_taken(text: str, tmp_path: Path) -> None:
    load_config(write(tmp_path, text))


def test_a_later_file_s_line_is_named(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("dit: {depth: 4}\ntrain_dit: {num_steps: 3}\n", encoding="utf-8")
    second.write_text("\n\ntrain_dit:\n  num_steps: -3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=f"{second}, line 4"):
        load_config(first, second)


def test_places_are_those_of_keys(tmp_path: Path) -> None:
    path = write(tmp_path, "dit:\n  patch:\n    - 2\n    - 2\n    - 1\n")
    _, places = read_yaml(path)
    assert {place: int(line.rpartition(" ")[2]) for place, line in places.items()} == {
        ("dit",): 1,
        ("dit", "patch"): 2,
        ("dit", "patch", 0): 3,
        ("dit", "patch", 1): 4,
        ("dit", "patch", 2): 5,
    }


def test_arguments_of_snakemake_are_read_strictly_too(tmp_path: Path) -> None:
    path = write(tmp_path, "train_dit: {num_steps: 3}")
    places = find_places([path], ["train_dit={num_steps: 4}", "cohort={data_dir: a: b}", "dit="])
    assert places[("train_dit", "num_steps")] == places[("dit",)] == "--config"
    with pytest.raises(ConfigError, match=r"--config train_dit=.*num_steps stands there again"):
        find_places([path], ["train_dit={num_steps: 4, num_steps: 5}"])
    with pytest.raises(ConfigError, match=r"num_steps.*\(--config\)"):
        validate_config({"train_dit": {"num_steps": 0}}, source="the configuration", places=places)
