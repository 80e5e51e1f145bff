"""A study from two folders to its tables, and nothing in the shipped bytes that says which is which."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medsyn2.cli import main
from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import CTVolume, LabelMap, axis_aligned_affine
from medsyn2.evaluation.readers.reader_key import Key
from medsyn2.evaluation.readers.reader_plan import Plan
from medsyn2.files import sha256_of
from medsyn2.integrity import read_sealed, write_sealed

SHAPE = (12, 24, 24)
FINDINGS = ("nodules", "pleural_effusion")
NUM = 4


def chest(seed: int, noise: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    hu = rng.normal(40, noise, SHAPE)
    hu[:, :5] = rng.normal(-1010, 3, (12, 5, 24))
    hu[:, 8:20, 3:21] = rng.normal(-800, noise, (12, 12, 18))
    hu[4:7, 12:16, 6:10] = 60
    # Bone beyond the range; of one value it would be padding.
    hu[:2, 21:23] = rng.normal(1100, 10, (2, 2, 24))
    hu[0, 0, 0] = -1100
    return np.rint(hu).astype(np.int16)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    rows = []
    for source, noise, start in (("real", 40, 0), ("synthetic", 8, 100)):
        for place, finding in enumerate(FINDINGS):
            for index in range(NUM):
                name = f"{finding}/{source[0]}{index}"
                path = tmp_path / source / f"{name}.nii.gz"
                path.parent.mkdir(parents=True, exist_ok=True)
                spacing = 4.0 if source == "real" else 3.0
                affine = axis_aligned_affine((spacing,) * 3, (float(index), 0.0, 0.0))
                write_ct(path, CTVolume(chest(start + 10 * place + index, noise), affine), description=source)
                mask = np.zeros(SHAPE, np.uint8)
                mask[4:7, 12:16, 6:10] = 1
                write_labels(tmp_path / f"mask-{source}-{finding}-{index}.nii.gz", LabelMap(mask, affine))
                file = f"mask-{source}-{finding}-{index}.nii.gz"
                rows.append({"source": source, "id": name, "report": f"Finding {index}.", "mask": file})
    pd.DataFrame(rows).to_csv(tmp_path / "cases.csv", index=False)
    return tmp_path


def make(folder: Path, out: str = "study", *options: str, seed: int = 5) -> int:
    given = ["--real", folder / "real", "--synthetic", folder / "synthetic", "--out", folder / out, "--seed", seed]
    return main(["readers", "make", *map(str, given), "--cases", str(folder / "cases.csv"), *options])


def shipped_files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_exchanging_real_and_synthetic_changes_no_shipped_byte(folders: Path) -> None:
    assert make(folders) == 0
    (folders / "real").rename(folders / "other")
    (folders / "synthetic").rename(folders / "real")
    (folders / "other").rename(folders / "synthetic")
    table = pd.read_csv(folders / "cases.csv")
    table["source"] = table["source"].map({"real": "synthetic", "synthetic": "real"})
    table.to_csv(folders / "cases.csv", index=False)
    assert make(folders, "swapped") == 0
    assert shipped_files(folders / "study") == shipped_files(folders / "swapped")
    keys = [json.loads((folders / f"{name}.key.json").read_text("utf-8")) for name in ("study", "swapped")]
    assert keys[0]["study"] == keys[1]["study"]
    assert all(keys[0]["cases"][name]["source"] != case["source"] for name, case in keys[1]["cases"].items())


def test_files_tell_nothing_by_name_size_date_or_text(folders: Path) -> None:
    assert make(folders) == 0
    found = sorted((folders / "study").rglob("*"))
    assert len({path.stat().st_mtime_ns for path in found}) == 1
    cases = [path for path in found if path.parent.name == "cases"]
    assert [path.name for path in cases] == [f"{i:03d}.js" for i in range(1, 2 * 2 * NUM + 1)]
    assert len({path.stat().st_size for path in cases}) == 1
    key = json.loads((folders / "study.key.json").read_text("utf-8"))
    told = {name: [] for name in ("real", "synthetic")}
    for path in cases:
        text = path.read_bytes().lower()
        case = key["cases"][path.stem]
        told[case["source"]].append(path.stem)
        for word in ("real", "synthetic", "nii", case["id"].split("/")[1], case["sha256"]):
            assert word.encode() not in text.replace(json.loads(text[14:-3])["volume"].encode(), b"").replace(
                str(json.loads(text[14:-3])["mask"]).encode(), b""
            )
    assert not max(told["real"]) < min(told["synthetic"])
    study = (folders / "study/study.js").read_text("utf-8")
    assert "seed" not in study
    # The noise is what is left, and it is said: it tells the two apart without looking.
    assert key["auroc_of_noise"] == 0


def test_the_same_seed_gives_the_same_bytes_another_does_not(folders: Path) -> None:
    assert make(folders) == make(folders, "again") == make(folders, "other", seed=6) == 0
    assert shipped_files(folders / "study") == shipped_files(folders / "again")
    assert (folders / "study.key.json").read_bytes() == (folders / "again.key.json").read_bytes()
    assert shipped_files(folders / "study") != shipped_files(folders / "other")


def write_answers(folder: Path, suffix: str = "json") -> list[Path]:
    """Answer the whole study: synthetic cases match their report, and their mask in part."""
    key = json.loads((folder / "study.key.json").read_text("utf-8"))
    files = []
    for reader, order in enumerate(key["orders"], 1):
        rows = [
            {
                "study": key["study"],
                "reader": reader,
                "years": 4,
                "position": position,
                "case": case,
                "report": "match",
                "mask": "partial" if key["cases"][case]["source"] == "synthetic" else "match",
                "origin": key["cases"][case]["source"],
                "confidence": "4",
                "quality": "3",
                "comment": "",
                "seconds": 30,
            }
            for position, case in enumerate(order)
        ]
        files.append(folder / f"answers-{reader}.{suffix}")
        if suffix == "csv":
            pd.DataFrame(rows).to_csv(files[-1], index=False)
        else:
            files[-1].write_text(json.dumps({"study": key["study"], "answers": rows}), encoding="utf-8")
    return files


def tabulate(folder: Path, files: list[Path], *options: str) -> int:
    given = ["--answers", *files, "--key", folder / "study.key.json", "--out", folder / "tables"]
    return main(["readers", "tabulate", *map(str, given), *options])


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_answers_become_tables(folders: Path, suffix: str) -> None:
    assert make(folders, "study", "--repeated", "0.25") == 0
    assert tabulate(folders, write_answers(folders, suffix)) == 0
    tables = {path.stem: pd.read_csv(path) for path in (folders / "tables").iterdir()}
    assert set(tables) == {"table_4", "table_8", "turing", "agreement", "non_inferiority", "readings"}
    table = tables["table_4"].set_index(["question", "reader", "source"])
    assert table.loc[("report and mask", 1, "synthetic"), ["match", "partial", "not"]].tolist() == [0, 8, 0]
    assert table.loc[("report and mask", 2, "real"), ["match", "partial", "not"]].tolist() == [8, 0, 0]
    assert (tables["turing"]["accuracy"] == 1).all()
    word = tables["non_inferiority"].set_index("role")["verdict"]
    assert word["verdict"] == "non-inferiority not shown"
    assert word["exploration"].isna().all()
    assert len(tables["readings"]) == 2 * (16 + 4)


def test_the_key_knows_what_each_reader_was_given(folders: Path) -> None:
    assert make(folders) == 0
    study = (folders / "study/study.js").read_text("utf-8")
    key = json.loads((folders / "study.key.json").read_text("utf-8"))
    assert key["orders"] == json.loads(study[len("const STUDY = ") : -2])["orders"]


def test_readings_that_are_missing_are_counted_and_leave_no_verdict(folders: Path, caplog) -> None:
    caplog.set_level("INFO")
    assert make(folders, "study", "--repeated", "0") == 0
    first, _ = write_answers(folders)
    saved = json.loads(first.read_text("utf-8"))
    order = [row["case"] for row in saved["answers"]]
    first.write_text(json.dumps({**saved, "answers": saved["answers"][:-3]}), encoding="utf-8")
    assert tabulate(folders, [first]) == 0
    assert f"reader 1 has made {len(order) - 3} of {len(order)} readings" in caplog.text
    assert f"reader 2 has made 0 of {len(order)} readings" in caplog.text
    left = pd.read_csv(folders / "tables/unread.csv", dtype={"case": str})
    assert left.loc[left["reader"] == 1, "case"].tolist() == order[-3:]
    found = pd.read_csv(folders / "tables/non_inferiority.csv")
    assert found.loc[0, "verdict"] == f"no verdict: {len(order) + 3} cases are unread"
    assert (found["num_unread"] > 0).all()
    assert "no verdict" in caplog.text
    assert tabulate(folders, write_answers(folders)) == 0
    assert not (folders / "tables/unread.csv").exists()


def test_a_table_that_the_answers_give_nothing_for_is_left_out_and_named(folders: Path, caplog) -> None:
    assert make(folders, "study", "--readers", "1", "--repeated", "0") == 0
    [file] = write_answers(folders, "csv")
    pd.read_csv(file, dtype=str).drop(columns="confidence").to_csv(file, index=False)
    assert tabulate(folders, [file]) == 0
    assert "turing.csv is left out: the answers have no column confidence" in caplog.text
    assert "agreement.csv is left out: no two readings" in caplog.text
    assert {path.stem for path in (folders / "tables").iterdir()} == {
        "table_4",
        "table_8",
        "non_inferiority",
        "readings",
    }


@pytest.mark.parametrize("margin", ["15", "0", "1", "-0.15", "nan"])
def test_a_margin_is_a_share(tmp_path: Path, margin: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make(tmp_path, "study", f"--margin={margin}")
    assert "expected a share between 0 and 1" in capsys.readouterr().err


def test_margin_question_and_power_are_fixed_and_told_when_the_study_is_made(folders: Path, caplog) -> None:
    caplog.set_level("INFO")
    assert make(folders, "study", "--margin", "0.2") == 0
    key = json.loads((folders / "study.key.json").read_text("utf-8"))
    assert (key["plan"]["question"], key["plan"]["margin"]) == ("report and mask", 0.2)
    assert [one["match_rate"] for one in key["power"]] == [0.6, 0.75, 0.9]
    assert all(0 <= one["power"] < 0.5 for one in key["power"])
    assert f"power, if synthetic volumes match as often as real ones: {key['power'][0]['power']:.0%}" in caplog.text
    assert "times as many cases" in caplog.text
    assert sha256_of(folders / "study.key.json") in caplog.text


def test_a_margin_that_was_changed_after_reading_is_refused(folders: Path, capsys) -> None:
    assert make(folders, "study", "--repeated", "0") == 0
    files, place = write_answers(folders), folders / "study.key.json"
    held = read_sealed(place)
    for margin, code in ((0.9, "key-changed"), (None, "study-another")):
        if margin is None:  # the liar makes the name of the study fit too
            plan = Plan(**held["plan"])
            held["study"] = Key(plan, held["orders"], held["cases"], held["folder"]).study
        else:
            held["plan"]["margin"] = margin
        write_sealed(place, held)
        assert tabulate(folders, files) == 10
        assert f"[{code}]" in capsys.readouterr().err


def test_files_of_one_name_are_of_one_patient_unless_the_table_says_otherwise(folders: Path) -> None:
    table = pd.read_csv(folders / "cases.csv")
    table.loc[0, "patient"] = "somebody"
    table.to_csv(folders / "cases.csv", index=False)
    assert make(folders) == 0
    key = json.loads((folders / "study.key.json").read_text("utf-8"))
    patients = {(one["source"], one["id"]): one["patient"] for one in key["cases"].values()}
    assert patients["real", "nodules/r0"] == "somebody"
    assert patients["real", "pleural_effusion/r0"] == "r0"


def test_masks_come_to_the_grid_of_their_volume(folders: Path) -> None:
    assert make(folders) == 0
    study = json.loads((folders / "study/study.js").read_text("utf-8")[len("const STUDY = ") : -2])
    assert study["spacing_mm"] == [4.0, 4.0, 4.0]
    assert study["shape"] == [9, 18, 18]  # the synthetic volumes' 33 mm and 69 mm


@pytest.mark.parametrize("options", [("--key", "study/key.json")])
def test_a_key_among_the_shipped_files_is_refused(
    folders: Path, options: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert make(folders, "study", options[0], str(folders / options[1])) == 10
    assert "[key-inside]" in capsys.readouterr().err


def test_what_would_unblind_is_refused(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv(folders / "cases.csv")
    table.assign(report=table["report"].where(table["source"] == "real")).to_csv(folders / "cases.csv", index=False)
    assert make(folders) == 10
    assert "[requests-uneven]" in capsys.readouterr().err
    table.assign(report="A synthetic nodule.").to_csv(folders / "cases.csv", index=False)
    assert make(folders) == 10
    assert "[report-unblinds]" in capsys.readouterr().err
    table.to_csv(folders / "cases.csv", index=False)
    shutil.rmtree(folders / "real/nodules")
    assert make(folders) == 10
    assert "[finding-one-sided]" in capsys.readouterr().err
    assert not (folders / "study").exists()


def test_answers_to_another_study_are_refused(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert make(folders) == 0
    row = {"study": "another", "reader": 1, "position": 0, "case": "001", "finding": "match"}
    (folders / "answers.json").write_text(json.dumps({"answers": [row]}), encoding="utf-8")
    given = ["--answers", folders / "answers.json", "--key", folders / "study.key.json", "--out", folders / "tables"]
    assert main(["readers", "tabulate", *map(str, given)]) == 10
    assert "[study-another]" in capsys.readouterr().err
