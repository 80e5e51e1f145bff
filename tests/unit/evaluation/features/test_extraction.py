"""A bank comes from files, each read once, whatever interrupts it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medsyn2.config import EvaluateFidConfig, GridConfig
from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.errors import EnvironmentFault, WeightsError
from medsyn2.evaluation.features.banks import check_comparable
from medsyn2.evaluation.features.extraction import (
    FeatureSpec,
    absent,
    collect_features,
    extract_bank,
    extractor_of,
    feature_paths,
    make_spec,
    protocol_of,
    write_features,
)
from medsyn2.evaluation.features.extractors import RandomBank
from medsyn2.evaluation.features.protocols import make_protocol
from medsyn2.evaluation.features.volume_file import VolumeFile

PROTOCOL = make_protocol("paper", clip_hu=(-1024.0, 1024.0), num_slices=3)
SPEC = FeatureSpec(PROTOCOL, RandomBank(0), ("lung", "bone"))
FACTS = {"kind": "real", "source": "a folder"}


@pytest.fixture
def files(tmp_path: Path) -> list[VolumeFile]:
    rng = np.random.default_rng(0)
    made = []
    for name in ("b", "a", "c"):
        path = tmp_path / f"{name}.nii.gz"
        hu = rng.integers(-1000, 500, (8, 9, 10)).astype(np.int16)
        write_ct(path, CTVolume(hu, axis_aligned_affine((2.0, 2.0, 2.0), (0.0, 0.0, 0.0))))
        made.append(VolumeFile(name, f"patient {name}", path))
    return made


def test_bank_says_what_it_is_of(files, tmp_path: Path) -> None:
    bank = extract_bank(files, SPEC, FACTS, tmp_path / "cache")
    assert bank.ids == ("a", "b", "c")
    assert bank.patients == ("patient a", "patient b", "patient c")
    assert bank.facts.spacing_mm == (2.0, 2.0, 2.0)
    assert bank.facts.clip_hu == (-1024.0, 1024.0)
    assert set(bank.parts) == {f"{w}/{p}" for w in ("lung", "bone") for p in ("axial", "sagittal", "coronal")}
    assert bank.parts["lung/axial"].volume.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


class Counting(RandomBank):
    """Counts the batches that go through."""

    calls = 0

    def __call__(self, slices: np.ndarray) -> np.ndarray:
        self.calls += 1
        return super().__call__(slices)


def test_what_is_there_is_not_extracted_again(files, tmp_path: Path) -> None:
    spec = replace(SPEC, extractor=Counting(0))
    first = extract_bank(files[:2], spec, FACTS, tmp_path / "cache")
    once = spec.extractor.calls
    assert extract_bank(files[:2], spec, FACTS, tmp_path / "cache").facts == first.facts
    assert spec.extractor.calls == once
    extract_bank(files, spec, FACTS, tmp_path / "cache")
    assert spec.extractor.calls == once + 3 + 6  # three timed batches, and the new volume's six parts
    other = replace(spec, protocol=replace(PROTOCOL, clip_hu=(-900.0, 900.0)))
    extract_bank(files[:1], other, FACTS, tmp_path / "cache")
    assert spec.extractor.calls > once + 9


def test_stated_spacing_takes_the_place_of_the_header_s(files, tmp_path: Path) -> None:
    stated = [replace(file, spacing_mm=(0.7, 0.7, 0.7)) for file in files]
    bank = extract_bank(stated, SPEC, FACTS, tmp_path / "cache")
    assert bank.facts.spacing_mm == (0.7, 0.7, 0.7)
    with pytest.raises(EnvironmentFault, match="spacing_mm"):
        check_comparable(bank, extract_bank(files, SPEC, FACTS, tmp_path / "cache"))


def test_volumes_of_several_spacings_are_named(files, tmp_path: Path) -> None:
    mixed = [files[0], replace(files[1], spacing_mm=(1.0, 1.0, 1.0))]
    with pytest.raises(EnvironmentFault, match=r"2 spacings: a \(1.0, 1.0, 1.0\) mm, b \(2.0"):
        extract_bank(mixed, SPEC, FACTS, tmp_path / "cache")
    resampled = replace(SPEC, protocol=replace(PROTOCOL, resample_mm=1.0))
    assert extract_bank(mixed, resampled, FACTS, tmp_path / "cache").facts.spacing_mm == (1.0, 1.0, 1.0)


def test_a_protocol_s_number_of_volumes_counts_by_name(files, tmp_path: Path) -> None:
    spec = replace(SPEC, protocol=replace(PROTOCOL, max_volumes=2))
    assert extract_bank(files, spec, FACTS, tmp_path / "cache").ids == ("a", "b")


def test_damaged_features_are_named(files, tmp_path: Path) -> None:
    extract_bank(files, SPEC, FACTS, tmp_path / "cache")
    damaged = next((tmp_path / "cache").rglob("*.npz"))
    for content in (b"nothing", damaged.read_bytes()[:900]):
        damaged.write_bytes(content)
        with pytest.raises(EnvironmentFault, match="features-unreadable"):
            extract_bank(files, SPEC, FACTS, tmp_path / "cache")


def test_recipes_share_the_windows_they_have_in_common(files, tmp_path: Path) -> None:
    spec = replace(SPEC, extractor=Counting(0))
    both = extract_bank(files, spec, FACTS, tmp_path / "cache")
    once = spec.extractor.calls
    alone = extract_bank(files, replace(spec, windows=("bone",)), FACTS, tmp_path / "cache")
    assert spec.extractor.calls == once
    np.testing.assert_array_equal(alone.parts["bone/axial"].features, both.parts["bone/axial"].features)
    extract_bank(files, replace(spec, windows=("bone", "vessel")), FACTS, tmp_path / "cache")
    assert spec.extractor.calls == once + 3 + 3 * 3  # three timed batches, and a window of three volumes


def test_features_of_one_volume_are_written_where_a_bank_finds_them(files, tmp_path: Path) -> None:
    spec = replace(SPEC, extractor=Counting(0))
    for file in files:
        paths = feature_paths(file, spec, tmp_path / "cache")
        assert absent(paths) == paths
        write_features(paths, file.read(), spec)
        assert absent(paths) == {}
    once = spec.extractor.calls
    bank = extract_bank(files, spec, FACTS, tmp_path / "cache")
    assert spec.extractor.calls == once
    other = extract_bank(files, SPEC, FACTS, tmp_path / "other")
    np.testing.assert_array_equal(bank.parts["lung/coronal"].features, other.parts["lung/coronal"].features)


def test_a_bank_has_the_windows_that_are_asked_for(files, tmp_path: Path) -> None:
    held = collect_features(files, SPEC, FACTS, tmp_path / "cache")
    alone, both = held.bank(["bone"]), extract_bank(files, SPEC, FACTS, tmp_path / "cache")
    assert set(alone.parts) == {"bone/axial", "bone/sagittal", "bone/coronal"}
    assert (alone.facts, alone.ids, alone.patients) == (both.facts, both.ids, both.patients)
    for name, part in alone.parts.items():
        np.testing.assert_array_equal(part.features, both.parts[name].features)


def test_without_weights_the_extractor_is_weight_free_and_given_ones_must_be_there(tmp_path: Path) -> None:
    assert extractor_of(EvaluateFidConfig(seed=3)).name == "weight_free(seed=3)"
    with pytest.raises(WeightsError, match="weights-missing"):
        extractor_of(EvaluateFidConfig(radimagenet=tmp_path / "none.safetensors"))


def test_protocol_takes_the_model_s_range_or_its_own() -> None:
    grid = GridConfig(clip_hu=(-1024.0, 600.0))
    assert protocol_of(grid, EvaluateFidConfig()).clip_hu == (-1024.0, 600.0)
    assert protocol_of(grid, EvaluateFidConfig(protocol="maisi")).clip_hu == (-1000.0, 1000.0)


def test_a_spec_has_the_configured_protocol_and_extractor_and_the_given_windows() -> None:
    spec = make_spec(GridConfig(), EvaluateFidConfig(seed=3, slices_per_volume=2), ("lung",))
    assert (spec.protocol.name, spec.extractor.name) == ("paper, 2 slices", "weight_free(seed=3)")
    assert spec.windows == ("lung",)
