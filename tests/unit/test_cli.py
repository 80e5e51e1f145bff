"""What the command line makes of its arguments, and the exit status of each kind of failure."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medsyn2.cli import main, stage_parser
from medsyn2.config import Config
from medsyn2.errors import ConfigError, IntegrityError, NonFiniteLossError, RegistrationError, WeightsError
from medsyn2.facts import InventoryFacts, MasksFacts
from medsyn2.files import lock, write_json
from medsyn2.fingerprints import canonical_json
from medsyn2.stages import STAGES, stage_params
from medsyn2.store.artefacts import load_manifest

EMPTY = {"stage": "register", "cases": []}

OUT_OF_MEMORY = """
import resource, sys
from pathlib import Path
from medsyn2.cli import main
from medsyn2.stages import STAGES

STAGES["masks"].load()
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, used + 2**27))
sys.exit(main(sys.argv[1:]))
"""


def masks_arguments(folder: Path, config: str) -> list[str]:
    """Return the command for the masks of an empty shard, whose manifests are written."""
    write_json(folder / "register.json", EMPTY)
    write_json(folder / "segment.json", EMPTY)
    paths = {name: str(folder / f"{name}.json") for name in ("register", "segment")}
    options = [part for name, path in paths.items() for part in (f"--{name}", path)]
    return ["masks", "--config", config, *options, "--manifest", str(folder / "masks" / "0000.json")]


def test_a_configuration_file_does_what_the_workflows_json_does(tmp_path: Path) -> None:
    written = []
    given_file = tmp_path / "config.yaml"
    given_file.write_text("masks:\n  threshold: 0.4\n", encoding="utf-8")
    config = Config.model_validate({"masks": {"threshold": 0.4}})
    for name, given in (("file", str(given_file)), ("json", stage_params(config, "masks"))):
        folder = tmp_path / name
        assert main(masks_arguments(folder, given)) == 0
        written.append((folder / "masks" / "0000.json").read_bytes())
        assert load_manifest(folder / "masks" / "0000.json", MasksFacts).records == {}
    assert written[0] == written[1]


def test_settings_are_the_stages_own_sections_and_version_wherever_they_come_from(tmp_path: Path) -> None:
    """A case made with a configuration file is finished for the workflow, whatever other sections say."""
    case = {"id": "x", "path": str(tmp_path / "x.nii.gz"), "subject": "x", "split": "train", "position": 0}
    cases = json.dumps([case])
    given_file = tmp_path / "config.yaml"
    given_file.write_text("inventory:\n  hu_convention: detect\nsample:\n  seed: 7\n", encoding="utf-8")
    manifest = tmp_path / "inventory" / "0000.json"
    fingerprints = []
    for given in (str(given_file), stage_params(Config(), "inventory")):
        assert main(["inventory", "--config", given, "--cases", cases, "--manifest", str(manifest)]) == 0
        fingerprints.append(load_manifest(manifest, InventoryFacts).cases["x"].fingerprint)
    assert fingerprints[0] == fingerprints[1]


def test_a_list_takes_any_number_of_paths() -> None:
    parser = stage_parser(STAGES["inventory"])
    given = ["--config", "c", "--cases", "[]", "--manifest", "m", "--reports", "a.csv", "b.csv", "--labels"]
    options = vars(parser.parse_args(given))
    assert options["reports"] == [Path("a.csv"), Path("b.csv")]
    assert options["labels"] == options["metadata"] == []
    assert options["cases"] == "[]"
    assert options["manifest"] == Path("m")


def test_settings_are_no_option_and_options_are_not_abbreviated(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--settings" not in stage_parser(STAGES["masks"]).format_help()
    with pytest.raises(SystemExit) as caught:
        main(["masks", "--conf", "c"])
    assert caught.value.code == 2
    assert "--config" in capsys.readouterr().err


def test_a_json_of_another_stage_or_version_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = json.loads(stage_params(Config(), "masks"))
    older = canonical_json({**values, "version": values["version"] - 1})
    assert main(masks_arguments(tmp_path, older)) == 2
    assert "start the workflow again" in capsys.readouterr().err


def test_an_unknown_setting_in_a_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given_file = tmp_path / "config.yaml"
    given_file.write_text("masks:\n  treshold: 0.4\n", encoding="utf-8")
    assert main(masks_arguments(tmp_path, str(given_file))) == 2
    assert "treshold" in capsys.readouterr().err


def test_each_kind_of_failure_has_its_exit_status() -> None:
    kinds = (RegistrationError, ConfigError, NonFiniteLossError, WeightsError, IntegrityError)
    assert [kind.exit_code for kind in kinds] == [1, 2, 10, 14, 15]


def test_a_place_that_cannot_be_used_ends_with_a_sentence_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("a file", encoding="utf-8")
    assert main(["config", "--folder", str(tmp_path / "file" / "below")]) == 10
    error = capsys.readouterr().err
    assert str(tmp_path / "file" / "below") in error
    assert "Not a directory. What to do:" in error


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space")
def test_out_of_memory_ends_with_its_own_status_and_a_sentence(tmp_path: Path) -> None:
    arguments = masks_arguments(tmp_path, stage_params(Config(), "masks"))
    with (tmp_path / "register.json").open("wb") as file:
        file.truncate(2**32)
    result = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY, *arguments], capture_output=True, encoding="utf-8", check=False
    )
    assert result.returncode == 12, result.stderr
    assert "[environment-memory]" in result.stderr
    assert "What to do:" in result.stderr
    assert "Traceback" not in result.stderr


def masks_at_work(folder: Path) -> subprocess.Popen[str]:
    """A stage that is at work: it waits for the lock that this test holds on its manifest."""
    arguments = masks_arguments(folder, stage_params(Config(), "masks"))
    command = [sys.executable, "-m", "medsyn2", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", bufsize=1)
    assert process.stderr is not None
    assert any("waiting for" in line for line in process.stderr)
    return process


@pytest.mark.usefixtures("in_foreground")
@pytest.mark.parametrize(("number", "status", "name"), [(2, 130, "Ctrl-C"), (15, 143, "SIGTERM"), (1, 129, "SIGHUP")])
def test_a_signal_ends_a_command_in_one_line_with_the_usual_status(
    number: int, status: int, name: str, tmp_path: Path
) -> None:
    with lock(tmp_path / "masks" / "0000.json"):
        process = masks_at_work(tmp_path)
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
    assert process.returncode == status
    assert error == f"medsyn2: masks was ended by {name}. Finished work is kept; the same command goes on with it.\n"


def test_a_closed_pipe_ends_without_a_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "medsyn2", "doctor"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, encoding="utf-8", check=False)
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr == "medsyn2: doctor was ended: nobody reads its output any more.\n"


def test_a_command_runs_without_any_output_stream() -> None:
    done = subprocess.run(f"{sys.executable} -m medsyn2 doctor >&- 2>&-", shell=True, check=False)
    assert done.returncode == 0
