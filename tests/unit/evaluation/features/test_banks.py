"""Banks survive the disk, and what does not compare is not compared."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medsyn2.errors import EnvironmentFault
from medsyn2.evaluation.features.banks import Bank, BankFacts, Part, check_comparable, read_bank, write_bank

FACTS = BankFacts(
    "real", "somewhere", "weights", "1f", "nothing else", {"name": "paper"}, "ab", (-1024.0, 600.0), (1.0, 2.0, 2.0)
)  # fmt: skip


def bank(ids: str = "abc", patients: str = "ppq", rows: int = 4, facts: BankFacts = FACTS) -> Bank:
    rng = np.random.default_rng(len(ids))
    part = Part(
        rng.normal(size=(rows * len(ids), 5)).astype(np.float32), np.repeat(np.arange(len(ids), dtype=np.int32), rows)
    )
    return Bank(facts, tuple(ids), tuple(patients), {"lung/axial": part})


def test_what_is_written_is_read_and_equal_banks_have_equal_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        write_bank(tmp_path / f"{name}.json", bank())
    read = read_bank(tmp_path / "first.json")
    assert (read.facts, read.ids, read.patients) == (FACTS, ("a", "b", "c"), ("p", "p", "q"))
    np.testing.assert_array_equal(read.parts["lung/axial"].features, bank().parts["lung/axial"].features)
    for suffix in ("json", "npz"):
        assert (tmp_path / f"first.{suffix}").read_bytes() == (tmp_path / f"second.{suffix}").read_bytes()


def test_volumes_of_some_patients_keep_their_rows() -> None:
    whole, part = bank(), bank().of_patients({"q"})
    assert (part.ids, part.patients) == (("c",), ("q",))
    np.testing.assert_array_equal(part.parts["lung/axial"].features, whole.parts["lung/axial"].features[8:])
    assert part.parts["lung/axial"].volume.tolist() == [0] * 4


def test_damaged_missing_or_foreign_files_are_refused(tmp_path: Path) -> None:
    write_bank(tmp_path / "bank.json", bank())
    content = bytearray((tmp_path / "bank.npz").read_bytes())
    content[200] ^= 1
    (tmp_path / "bank.npz").write_bytes(content)
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    for name in ("bank", "other", "missing"):
        with pytest.raises(EnvironmentFault, match="bank-unreadable"):
            read_bank(tmp_path / f"{name}.json")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"protocol_sha256": "other"}, "protocol_sha256 ab and other"),
        ({"extractor": "another"}, "extractor"),
        ({"extractor_sha256": "00"}, "extractor_sha256"),
        ({"clip_hu": (-1024.0, 1024.0)}, "clip_hu"),
        ({"spacing_mm": (1.0, 1.0, 1.0)}, "spacing_mm"),
    ],
)
def test_what_means_something_else_is_not_compared(change: dict, named: str) -> None:
    with pytest.raises(EnvironmentFault, match=rf"banks-differ.*{named}"):
        check_comparable(bank(), bank(facts=replace(FACTS, **change)))
    check_comparable(bank(), bank(facts=replace(FACTS, kind="synthetic", source="elsewhere")))


def test_rows_are_of_volumes_and_volumes_of_patients() -> None:
    held = bank("abcd", "pqqr")
    assert held.patient_of_row("lung/axial")[::4].tolist() == [0, 1, 1, 2]
    means = held.parts["lung/axial"].features.reshape(4, 4, 5).mean(axis=1)
    np.testing.assert_allclose(held.volume_means("lung/axial"), means, rtol=1e-5)
    with pytest.raises(EnvironmentFault, match="3 of them different"):
        bank("abca", "pqrs")


@pytest.mark.parametrize(
    ("part", "named"),
    [
        (Part(np.zeros((2, 3), np.float32), np.array([0, 1])), "exactly the 3 volumes"),
        (Part(np.full((3, 3), np.nan, np.float32), np.arange(3)), "not finite"),
        (Part(np.zeros((4, 3), np.float32), np.arange(3)), "for 3 rows"),
    ],
)
def test_impossible_parts_are_refused(part: Part, named: str) -> None:
    with pytest.raises(EnvironmentFault, match=named):
        Bank(FACTS, tuple("abc"), tuple("pqr"), {"lung/axial": part})
