"""Training cases by their reports: who is ranked, who is left out, and damage."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from medsyn2.errors import ConfigError, IntegrityError
from medsyn2.facts import TextFacts
from medsyn2.pipeline.similar_cases import average_words, cosines, find_encoder, load_shelf, rank_cases, read_embedding
from medsyn2.store.text_embeddings import write_report
from tests.unit.records import change_facts, inventory_facts, masks_facts, write_manifest
from tests.unit.reported_run import CASES, EFFUSION, NODULE, write_reported_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_reported_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def own(run, tmp_path):
    """A copy of the run to damage."""
    return shutil.copytree(run, tmp_path / "run")


def test_a_report_finds_its_own_case_first_and_nobody_without_report_or_masks(run):
    shelf = load_shelf(run)
    embedding = read_embedding(shelf.entries["c_1"].text, 16)
    found = rank_cases(shelf, embedding, ())
    assert next(iter(found)) == "c_1"
    assert found["c_1"] == pytest.approx(1, abs=1e-3)
    assert set(found) == {"a_1", "a_2", "b_1", "c_1"}  # not d_1 without masks, e_1 without report, f_1 held out
    assert list(found.values()) == sorted(found.values(), reverse=True)
    without = rank_cases(shelf, embedding, {"a"})
    assert without == {case: found[case] for case in ("c_1", "b_1")}


def test_a_patient_is_known_by_each_of_his_names_and_by_the_words_of_his_reports(run):
    shelf = load_shelf(run)
    assert shelf.patients_of("a") == shelf.patients_of("a_2") == {"a"}
    assert shelf.patients_of("e_1") == {"e"}
    with pytest.raises(ConfigError, match="subject-unknown"):
        shelf.patients_of("g")
    whole = f"{EFFUSION.findings} [SEP] {EFFUSION.impression}"
    spaced = whole.upper().replace(" ", " \n\u200b")
    for text in (whole, spaced, EFFUSION.findings, f"{EFFUSION.findings}\n{EFFUSION.impression}"):
        assert shelf.authors_of(text) == {"b", "f"}
    assert shelf.authors_of(NODULE.findings) == {"a"}
    assert shelf.authors_of("Nodule.") == shelf.authors_of("") == set()


def test_whitening_makes_a_shared_part_count_for_nothing():
    rng = np.random.default_rng(0)
    rows = 0.1 * rng.standard_normal((50, 6)).astype(np.float32) + 10
    found = cosines(rows, rows[7])
    assert found.argmax() == 7
    assert found[7] == pytest.approx(1, abs=1e-5)
    assert np.abs(np.delete(found, 7)).mean() < 0.6
    np.testing.assert_array_equal(cosines(rows[:1], rows[0]), [0])


def test_the_mean_is_that_of_the_words():
    np.testing.assert_array_equal(average_words(np.array([[9.0], [1.0], [3.0], [9.0]])), [2.0])


def test_the_encoder_is_the_one_that_embedded_all_reports(own):
    shelf = load_shelf(own)
    assert find_encoder(own, shelf) == (own / "train_text_encoder/encoder", 48)
    (own / "train_dit/model").mkdir(parents=True)
    copy = shutil.copytree(own / "train_text_encoder/encoder", own / "train_dit/model/text_encoder")
    (own / "train_text_encoder/encoder/vocab.txt").write_text("other\n", encoding="utf-8")
    assert find_encoder(own, shelf) == (copy, 48)
    (copy / "vocab.txt").unlink()
    with pytest.raises(ConfigError, match="run-without-encoder"):
        find_encoder(own, shelf)


@pytest.mark.parametrize("damage", ["cut", "nan", "width"])
def test_damaged_embeddings_are_refused(own, damage):
    shelf = load_shelf(own)
    record = shelf.entries["b_1"].text
    path = record.place("report.zarr.zip")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(IntegrityError, match="artefact-damaged"):
            rank_cases(shelf, np.ones(16, np.float32), ())
        return
    length = record.facts.num_tokens
    values = np.ones((length, 16 if damage == "nan" else 8))
    values[1, 3] = np.nan if damage == "nan" else 1
    facts = {"a": replace(record.facts)}
    write_manifest(own / "encode_text/0001.json", facts, lambda case, folder: write_report(folder, values))
    write_manifest(own / "inventory/0001.json", {"a": inventory_facts("a")})
    with pytest.raises(IntegrityError, match="embeddings-damaged"):
        rank_cases(load_shelf(own), np.ones(16, np.float32), ())


def test_a_run_without_embedded_reports_is_refused(own, tmp_path):
    with pytest.raises(ConfigError, match="run-without-text"):
        load_shelf(tmp_path)
    change_facts(own / "encode_text/0000.json", TextFacts, lambda facts: replace(facts, split="test"))
    with pytest.raises(ConfigError, match="run-without-text"):
        load_shelf(own)
    (own / "inventory/0000.json").unlink()
    with pytest.raises(IntegrityError, match="manifest-unreadable"):
        load_shelf(own)


def test_hundreds_of_reports_are_read_once_and_ranked(tmp_path):
    names = [f"c{number}" for number in range(200)]
    text = TextFacts("p", "train", {}, 48, has_report=True, num_tokens=5)
    rng = np.random.default_rng(0)
    write_manifest(
        tmp_path / "encode_text/0000.json",
        dict.fromkeys(names, text),
        lambda _, folder: write_report(folder, rng.standard_normal((5, 8))),
    )
    write_manifest(tmp_path / "inventory/0000.json", dict.fromkeys(names, inventory_facts("p")))
    write_manifest(tmp_path / "masks/0000.json", dict.fromkeys(names, masks_facts("p", states={"heart": "present"})))
    shelf = load_shelf(tmp_path)
    found = rank_cases(shelf, read_embedding(shelf.entries["c77"].text, 8), ())
    assert len(found) == 200
    assert next(iter(found)) == "c77"


def test_the_cases_of_the_run_are_those_of_its_text(run):
    assert set(load_shelf(run).entries) == set(CASES)
