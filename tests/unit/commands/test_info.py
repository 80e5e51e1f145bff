from pathlib import Path

import pytest

from medsyn2.cli import main
from medsyn2.weights.bundled import bundled_model
from medsyn2.weights.model_folder import read_description


def print_info(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, list[str]]:
    assert main(["info", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {line.split("  ")[0]: line.split() for line in lines if line}


def test_the_paper_s_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--preset", "paper"]) == 0
    text = capsys.readouterr().out
    assert "latents 4 x 112 x 56 x 56, 43,904 image tokens, 544 text tokens" in text
    assert "585,719,456" in text
    assert "239,189,991" in text
    assert "175.7" in text
    assert "628.8" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "dit", "tokenizer"),
    [("official", "585,756,320", "223,860,199"), ("recommended", "585,727,648", "239,189,991")],
)
def test_presets_on_top_of_the_paper(capsys, preset: str, dit: str, tokenizer: str) -> None:
    assert main(["info", "--preset", preset]) == 0
    text = capsys.readouterr().out
    assert dit in text
    assert tokenizer in text


def test_a_file_of_one_s_own(capsys, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("dit: {depth: 1}", encoding="utf-8")
    one = print_info(capsys, "--config", str(path))
    four = print_info(capsys)
    assert one["blocks.*.modulation"][1] == "1"
    assert four["blocks.*.modulation"][1] == "4"


def test_a_file_that_is_missing_is_named(capsys) -> None:
    assert main(["info", "--config", "nowhere.yaml"]) == 2
    assert "nowhere.yaml" in capsys.readouterr().err


def test_the_model_that_ships_is_shown_with_its_place(capsys) -> None:
    assert main(["info", "--preset", "bundled"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert str(bundled_model()) in last
    assert read_description(bundled_model()).fingerprint[:12] in last
