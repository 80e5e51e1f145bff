"""The command line takes paths, explains itself and fails with a sentence, not with a traceback."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from medsyn2.cli import command_parser, main, stage_parser
from medsyn2.config import Config
from medsyn2.stages import STAGES, stage_params

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", STAGES)
def test_verb_explains_itself(name: str) -> None:
    text = stage_parser(STAGES[name]).format_help()
    assert "--config" in text
    assert len(text) > 300


def test_overview_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in [*STAGES, "generate", "config"])


def test_verbs_may_be_written_with_hyphens() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train-dit", "--help"])
    assert caught.value.code == 0


def test_unknown_verb_is_a_usage_error() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["fly"])
    assert caught.value.code == 2


def test_commands_that_are_written_down_are_understood() -> None:
    texts = [path.read_text("utf-8").replace("\\\n", " ") for path in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"))]
    commands = {one for text in texts for one in re.findall(r"^(?:\| `)?(medsyn2 [a-z]+ [^`\n#]*)", text, re.M)}
    assert len(commands) >= 10
    for command in commands:
        verb, *options = shlex.split(command.replace("KIND", "tokenizer"))[1:]
        command_parser(verb).parse_args(options)


def test_no_knob_became_an_option() -> None:
    """The sections hold the knobs; a stage's options are paths, the cases of a shard, and who shares the work."""
    for stage in STAGES.values():
        kinds = {
            action.type
            for action in stage_parser(stage)._actions
            if action.dest not in {"help", "config", "cases", "processes"}
        }
        assert kinds == {Path}, stage.name


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ("{not json", "config-invalid"),
        (json.dumps({"grid": {}}), "config-invalid"),
        (stage_params(Config(), "register"), "config-version"),
        ("missing.yaml", "config-unreadable"),
    ],
)
def test_wrong_config_ends_with_a_sentence(
    config: str, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = str(tmp_path / "0000.json")
    arguments = ["masks", "--config", config, "--register", manifest, "--segment", manifest, "--manifest", manifest]
    assert main(arguments) == 2
    assert f"[{code}]" in capsys.readouterr().err


def test_missing_manifest_ends_with_a_sentence(tmp_path: Path) -> None:
    missing = str(tmp_path / "0000.json")
    command = [sys.executable, "-m", "medsyn2", "masks", "--config", stage_params(Config(), "masks")]
    command += ["--register", missing, "--segment", missing, "--manifest", str(tmp_path / "out.json")]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert result.returncode == 15
    assert "Traceback" not in result.stderr
    assert "[manifest-unreadable]" in result.stderr
    assert "What to do:" in result.stderr
