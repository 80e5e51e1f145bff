"""A shard survives being killed, does nothing twice, and tells case errors from all others."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from medsyn2.errors import EnvironmentFault, IntegrityError, InvalidVolumeError, SystematicError, ToolLimitError
from medsyn2.store.artefacts import CaseWork, load_manifest, process_shard, read_record


@dataclass(frozen=True)
class Value:
    """The number that a case is made from."""

    value: int


class Work:
    """Writes a case's number into a file, and counts how often it was asked."""

    def __init__(self, refuse: tuple[str, ...] = ()) -> None:
        self.done: list[str] = []
        self.refuse = refuse

    def __call__(self, case: CaseWork, folder: Path) -> Value:
        self.done.append(case.case)
        if case.case in self.refuse:
            raise InvalidVolumeError(f"{case.case} is broken.", code="broken", remedy="mend it.")
        (folder / "value.txt").write_text(str(case.made_from), encoding="utf-8")
        return Value(case.made_from)


def cases(num: int, changed: dict[int, int] | None = None) -> list[CaseWork]:
    """Cases made from their number, or from another one."""
    return [CaseWork(f"case_{i}", (changed or {}).get(i, i)) for i in range(num)]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, without the locks."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def test_second_run_does_nothing_and_a_changed_case_is_done_alone(tmp_path: Path) -> None:
    manifest, work = tmp_path / "0000.json", Work()
    process_shard("stage", manifest, cases(3), work, settings="{}", facts=Value)
    before = tree(tmp_path)
    process_shard("stage", manifest, cases(3), work, settings="{}", facts=Value)
    assert work.done == ["case_0", "case_1", "case_2"]
    assert tree(tmp_path) == before
    process_shard("stage", manifest, cases(4, {1: 7}), work, settings="{}", facts=Value)
    assert work.done[3:] == ["case_1", "case_3"]
    process_shard("stage", manifest, cases(4, {1: 7}), work, settings='{"changed":1}', facts=Value)
    assert len(work.done) == 9


def test_lost_and_changed_artefacts_are_made_again(tmp_path: Path) -> None:
    manifest, work = tmp_path / "0000.json", Work()
    process_shard("stage", manifest, cases(3), work, settings="{}", facts=Value)
    before = tree(tmp_path)
    load_manifest(manifest, Value).path("case_0", "value.txt").unlink()
    load_manifest(manifest, Value).path("case_2", "value.txt").write_text("3", encoding="utf-8")
    process_shard("stage", manifest, cases(3), work, settings="{}", facts=Value)
    assert work.done[3:] == ["case_0", "case_2"]
    assert tree(tmp_path) == before


def test_refused_case_goes_to_quarantine_and_the_others_go_on(tmp_path: Path) -> None:
    manifest, work = tmp_path / "0000.json", Work(refuse=("case_1",))
    process_shard("stage", manifest, cases(3), work, settings="{}", facts=Value)
    found = load_manifest(manifest, Value)
    assert list(found.records) == ["case_0", "case_2"]
    problem = found.refused["case_1"].problem
    assert (problem.code, problem.remedy) == ("broken", "mend it.")
    process_shard("stage", manifest, cases(3), work, settings="{}", facts=Value)
    assert work.done.count("case_1") == 1


def test_a_case_that_the_machine_failed_is_tried_again(tmp_path: Path) -> None:
    manifest = tmp_path / "0000.json"

    def out_of_time(case: CaseWork, folder: Path) -> Value:
        raise ToolLimitError("no result within 1 s.", code="tool-timeout", remedy="raise the limit.")

    process_shard("stage", manifest, cases(1), out_of_time, settings="{}", facts=Value)
    problem = load_manifest(manifest, Value).refused["case_0"].problem
    assert problem.retry
    process_shard("stage", manifest, cases(1), Work(), settings="{}", facts=Value)
    assert list(load_manifest(manifest, Value).records) == ["case_0"]


def test_case_that_becomes_bad_loses_its_artefacts(tmp_path: Path) -> None:
    manifest = tmp_path / "0000.json"
    process_shard("stage", manifest, cases(1), Work(), settings="{}", facts=Value)
    process_shard("stage", manifest, cases(1, {0: 5}), Work(refuse=("case_0",)), settings="{}", facts=Value)
    assert not (tmp_path / "0000/case_0").exists()


def test_any_other_error_stops_the_shard_and_keeps_what_is_done(tmp_path: Path) -> None:
    manifest = tmp_path / "0000.json"

    def work(case: CaseWork, folder: Path) -> Value:
        if case.case == "case_1":
            raise OSError(28, "No space left on device")
        return Work()(case, folder)

    with pytest.raises(EnvironmentFault, match="No space left"):
        process_shard("stage", manifest, cases(3), work, settings="{}", facts=Value)
    assert not manifest.exists()
    assert read_record(tmp_path / "0000/case_0.json", Value) is not None
    assert read_record(tmp_path / "0000/case_1.json", Value) is None
    rest = Work()
    process_shard("stage", manifest, cases(3), rest, settings="{}", facts=Value)
    assert rest.done == ["case_1", "case_2"]


def test_a_wrong_set_up_stops_early_and_scattered_bad_files_never_do(tmp_path: Path) -> None:
    wrong = Work(refuse=tuple(f"case_{i}" for i in range(60)))
    with pytest.raises(SystematicError, match=r"20 of 20 cases fail with broken.*cohort\.exclude_txt"):
        process_shard("stage", tmp_path / "0000.json", cases(60), wrong, settings="{}", facts=Value)
    assert len(wrong.done) == 20
    scattered = Work(refuse=tuple(f"case_{i}" for i in range(0, 60, 3)))
    process_shard("stage", tmp_path / "0001.json", cases(60), scattered, settings="{}", facts=Value)


def test_damaged_manifest_is_named(tmp_path: Path) -> None:
    (tmp_path / "0000.json").write_text('{"cases": [', encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"0000\.json"):
        load_manifest(tmp_path / "0000.json", Value)
    with pytest.raises(IntegrityError, match=r"0001\.json"):
        load_manifest(tmp_path / "0001.json", Value)


@pytest.mark.parametrize("facts", [{}, {"value": 1, "other": 2}, {"value": "1"}, {"value": None}, {"values": 1}])
def test_other_facts_than_expected_are_no_manifest_and_are_done_again(tmp_path: Path, facts: dict[str, object]) -> None:
    manifest, work = tmp_path / "0000.json", Work()
    process_shard("stage", manifest, cases(1), work, settings="{}", facts=Value)
    for path in (manifest, tmp_path / "0000/case_0.json"):
        path.write_text(
            re.sub(r'"facts": {[^}]*}', f'"facts": {json.dumps(facts)}', path.read_text("utf-8")), encoding="utf-8"
        )
    with pytest.raises(IntegrityError, match=r"0000\.json is not a manifest with Value"):
        load_manifest(manifest, Value)
    process_shard("stage", manifest, cases(1), work, settings="{}", facts=Value)
    assert work.done == ["case_0", "case_0"]
    assert load_manifest(manifest, Value).records["case_0"].facts == Value(0)


def test_every_flipped_bit_of_a_manifest_is_seen_or_means_nothing(tmp_path: Path) -> None:
    manifest = tmp_path / "0000.json"
    process_shard("stage", manifest, cases(2), Work(), settings="{}", facts=Value)
    whole, written, remedies = manifest.read_bytes(), load_manifest(manifest, Value), []
    for place in range(len(whole)):
        manifest.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            assert load_manifest(manifest, Value) == written
        except IntegrityError as error:
            remedies.append(error.remedy)
    assert len(remedies) > len(whole) / 2
    assert all(f"rm {manifest}" in remedy for remedy in remedies)


def test_a_replaced_artefact_is_refused_and_the_remedy_heals_it(tmp_path: Path) -> None:
    manifest = tmp_path / "0000.json"
    process_shard("stage", manifest, cases(2), Work(), settings="{}", facts=Value)
    before = tree(tmp_path)
    record = load_manifest(manifest, Value).records["case_1"]
    record.path("value.txt").write_text("7", encoding="utf-8")
    with pytest.raises(IntegrityError, match=rf"artefact-damaged.*value\.txt.*rm {manifest}"):
        record.path("value.txt")
    manifest.unlink()
    process_shard("stage", manifest, cases(2), Work(), settings="{}", facts=Value)
    assert tree(tmp_path) == before
    record.path("value.txt").unlink()
    with pytest.raises(IntegrityError, match="is not there"):
        record.path("value.txt")
    with pytest.raises(IntegrityError, match=r"lists no file other\.txt"):
        record.path("other.txt")


def test_facts_that_could_not_be_read_are_not_written(tmp_path: Path) -> None:
    work = Work()
    with pytest.raises(ValueError, match="value"):
        process_shard("stage", tmp_path / "0000.json", [CaseWork("a", "x")], work, settings="{}", facts=Value)
    assert not (tmp_path / "0000/a.json").exists()


SLOW_SHARD = """
import sys, time
from dataclasses import dataclass
from pathlib import Path
from medsyn2.store.artefacts import CaseWork, process_shard

@dataclass(frozen=True)
class Length:
    length: int

def work(case, folder):
    for part in range(4):
        (folder / f"{part}.txt").write_text(case.case * 1000)
        time.sleep(0.01)
    return Length(len(case.case))

cases = [CaseWork(f"case_{i}", i) for i in range(12)]
process_shard("stage", Path(sys.argv[1]), cases, work, settings="{}", facts=Length)
"""


def test_killed_at_any_time_the_rerun_gives_the_bytes_of_an_undisturbed_run(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW_SHARD]
    subprocess.run([*command, tmp_path / "calm/0000.json"], check=True, stderr=subprocess.DEVNULL)
    disturbed = tmp_path / "disturbed/0000.json"
    disturbed.parent.mkdir()
    for wanted in (1, 5, 9):
        process = subprocess.Popen([*command, disturbed], stderr=subprocess.DEVNULL)
        while len(list(disturbed.parent.glob("0000/case_*.json"))) < wanted and process.poll() is None:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([*command, disturbed], check=True, stderr=subprocess.DEVNULL)
    assert tree(disturbed.parent) == tree(tmp_path / "calm")


def test_two_processes_on_one_shard_give_one_result(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW_SHARD, tmp_path / "0000.json"]
    processes = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert len(json.loads((tmp_path / "0000.json").read_text("utf-8"))["cases"]) == 12
