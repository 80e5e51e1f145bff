"""Features that this stage leaves in the cache are those that the evaluations look for, and none is missing."""

from pathlib import Path

import numpy as np
import pytest

from medsyn2.config import EvaluateFidConfig, EvaluateScoresConfig, GridConfig
from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.evaluation.description.extract_features import extract_features
from medsyn2.evaluation.features.extraction import absent, collect_features, feature_paths, make_spec
from medsyn2.evaluation.features.thumbnails import thumbnail_path
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.evaluation.held_out import Case, load_cases
from medsyn2.facts import CT_FILE, CaseFacts, ReconstructionFacts, RegisterFacts, SampleFacts
from medsyn2.store.artefacts import load_manifest
from medsyn2.vocabulary import WINDOWS_HU
from tests.unit.records import reconstruction_facts, register_facts, sample_facts, write_shard

SHAPE = (8, 16, 16)
GRID = GridConfig(shape=SHAPE, spacing_mm=(8.0, 8.0, 8.0))
FID = EvaluateFidConfig(slices_per_volume=2)
AFFINE = axis_aligned_affine((8.0, 8.0, 8.0), (0.0, 0.0, 0.0))
SPLITS = {"a": "test", "b": "test", "t": "train"}


def write_noise(path: Path, seed: int) -> None:
    write_ct(path, CTVolume(np.random.default_rng(seed).integers(-1000, 500, SHAPE).astype(np.int16), AFFINE))


class Cohort:
    """Two held-out cases, one of them sampled and reconstructed, and a training case."""

    def __init__(self, root: Path) -> None:
        self.root, self.cache, self.manifest = root, root / "features", root / "extract_features/0000.json"
        self.paths = {
            "register": [write_shard(root / "register/0000.json", RegisterFacts, SPLITS, self._register)],
            "samples": [write_shard(root / "sample/0000.json", SampleFacts, "a", self._sample)],
            "reconstructions": [
                write_shard(root / "reconstruct/0000.json", ReconstructionFacts, "a", self._reconstruct)
            ],
        }

    def _register(self, case: str, folder: Path) -> RegisterFacts:
        write_noise(folder / CT_FILE, ord(case))
        return register_facts(f"patient {case}", SPLITS[case])

    def _sample(self, case: str, folder: Path) -> SampleFacts:
        write_noise(folder / "report.nii.gz", 7)
        return sample_facts(f"patient {case}", {"report": None})

    def _reconstruct(self, case: str, folder: Path) -> ReconstructionFacts:
        write_noise(folder / CT_FILE, 8)
        return reconstruction_facts(subject=f"patient {case}")

    def extract(self, *windows: str, command: tuple[str, ...] = ()) -> None:
        scores = EvaluateScoresConfig(windows=windows or ("lung",), command=command)
        settings = repr((windows, command))
        extract_features(GRID, FID, scores, **self.paths, cache=self.cache, manifest=self.manifest, settings=settings)

    def cases(self) -> dict[str, Case]:
        return {case.name: case for case in load_cases(**self.paths, split=None)}

    def windows(self, volume: VolumeFile) -> set[str]:
        """The windows in which the cache has features of a volume."""
        paths = feature_paths(volume, make_spec(GRID, FID, tuple(WINDOWS_HU)), self.cache)
        return set(paths) - set(absent(paths))


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return Cohort(tmp_path)


def test_held_out_volumes_are_seen_in_all_windows_and_others_where_they_are_searched(cohort: Cohort) -> None:
    cohort.extract("bone")
    cases = cohort.cases()
    (sample,) = cases["a"].samples.values()
    held_out = [cases["a"].volume, cases["b"].volume, sample]
    searched = [cases["t"].volume, cases["a"].reconstruction]
    assert all(cohort.windows(volume) == set(WINDOWS_HU) for volume in held_out)
    assert all(cohort.windows(volume) == {"lung", "bone"} for volume in searched)
    assert all(thumbnail_path(volume, cohort.cache).is_file() for volume in (*held_out, *searched))
    assert list(load_manifest(cohort.manifest, CaseFacts).records) == ["a", "b", "t"]


def test_windows_of_the_fitted_space_are_not_needed_where_a_model_is_asked(cohort: Cohort) -> None:
    cohort.extract("bone", command=("embed",))
    assert cohort.windows(cohort.cases()["t"].volume) == {"lung"}


def test_what_is_there_is_not_extracted_again_and_an_evaluation_makes_what_was_lost(cohort: Cohort) -> None:
    cohort.extract()
    written = {path: path.stat().st_mtime_ns for path in cohort.cache.rglob("*.npz")}
    cohort.extract()
    cohort.extract("lung", command=("embed",))
    assert {path: path.stat().st_mtime_ns for path in cohort.cache.rglob("*.npz")} == written
    spec, volume = make_spec(GRID, FID, ("lung",)), cohort.cases()["t"].volume
    place = feature_paths(volume, spec, cohort.cache)["lung"]
    kept = place.read_bytes()
    place.unlink()
    collect_features([volume], spec, {"source": "training cases"}, cohort.cache)
    assert place.read_bytes() == kept
