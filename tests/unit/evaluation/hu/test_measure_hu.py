"""A case's rows are kept, so that a stopped job goes on, and hold the HU of the case alone."""

from pathlib import Path

import numpy as np

from medsyn2.config import GridConfig
from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.evaluation.case_rows import load_measured, read_rows
from medsyn2.evaluation.hu.measure_hu import measure_hu
from medsyn2.facts import CT_FILE, CaseFacts, RegisterFacts, SampleFacts
from tests.unit.records import register_facts, sample_facts, write_shard

AFFINE = axis_aligned_affine((5.0, 5.0, 5.0), (0.0, 0.0, 0.0))
SPLITS = {"a": "test", "b": "test", "t": "train"}


def measure(folder: Path, synthetic_hu: dict[str, int]) -> Path:
    """Measure bodies of one HU: real ones of 50 HU, synthetic ones as given."""

    def body(hu: int) -> CTVolume:
        values = np.full((12, 12, 12), -1000, dtype=np.int16)
        values[2:10, 2:10, 2:10] = hu
        return CTVolume(values, AFFINE)

    def register(case: str, place: Path) -> RegisterFacts:
        write_ct(place / CT_FILE, body(50))
        return register_facts(f"patient {case}", SPLITS[case])

    def sample(case: str, place: Path) -> SampleFacts:
        write_ct(place / "report.nii.gz", body(synthetic_hu[case]))
        return sample_facts(f"patient {case}", {"report": None})

    measured = folder / "measure_hu/0000.json"
    measure_hu(
        GridConfig(),
        register=[write_shard(folder / "register/0000.json", RegisterFacts, SPLITS, register)],
        masks=[],
        samples=[write_shard(folder / "sample/0000.json", SampleFacts, synthetic_hu, sample)],
        manifest=measured,
        settings="",
    )
    return measured


def test_rows_are_of_the_case_s_own_volumes(tmp_path: Path) -> None:
    records = load_measured([measure(tmp_path, {"a": 60})], CaseFacts)
    assert list(records) == ["a", "b"]
    rows = {(row["source"], row["region"]): row["median_hu"] for row in read_rows(records["a"])}
    assert (rows["real", "muscle"], rows["report", "muscle"]) == (50, 60)
    assert np.isnan(rows["real", "lungs"])
    assert {row["source"] for row in read_rows(records["b"])} == {"real"}


def test_a_measured_case_is_kept_and_a_changed_one_is_measured_again(tmp_path: Path) -> None:
    measure(tmp_path, {"a": 60, "b": 60})
    records = {name: tmp_path / f"measure_hu/0000/{name}.json" for name in "ab"}
    written = {name: path.stat().st_mtime_ns for name, path in records.items()}
    measure(tmp_path, {"a": 60, "b": 60})
    assert {name: path.stat().st_mtime_ns for name, path in records.items()} == written
    measure(tmp_path, {"a": 60, "b": 70})
    assert records["a"].stat().st_mtime_ns == written["a"]
    assert records["b"].stat().st_mtime_ns > written["b"]
