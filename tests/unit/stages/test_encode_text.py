import shutil
from dataclasses import replace

import numpy as np
import pytest

from medsyn2.config import EncodeTextConfig, TrainTextEncoderConfig
from medsyn2.errors import WeightsError
from medsyn2.facts import Report, TextFacts
from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.reports.prompts import all_prompts
from medsyn2.stages.encode_text import encode_text
from medsyn2.store.artefacts import load_manifest
from medsyn2.store.text_embeddings import REPORT, read_report
from medsyn2.training.text_encoder import train_encoder
from tests.unit.records import inventory_facts, write_manifest

SIZES = {"vocabulary_size": 300, "hidden_size": 16, "num_layers": 1, "num_steps": 0, "max_tokens": 64}
REPORTS = {
    "a": Report("A nodule in the heart.", "Nodule."),
    "b": None,
    "c": Report("Not given."),
    "d": Report("many " * 80, "End of it."),
    "e": Report("结节 肺"),
}


def save_tiny_encoder(folder, seed=0):
    texts = [*all_prompts().values(), "A nodule in the heart. many end of it."]
    train_encoder(texts, TrainTextEncoderConfig(**SIZES, seed=seed))[0].save(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def run(tmp_path, encoder):
    def run(encoder=encoder, reports=REPORTS, max_report_tokens=32, padded=False):
        facts = {name: inventory_facts("s", "train", report) for name, report in reports.items()}
        shutil.rmtree(tmp_path / "inventory", ignore_errors=True)
        inventory = write_manifest(tmp_path / "inventory" / "0000.json", facts)
        manifest = tmp_path / "encode_text" / "0000.json"
        config = EncodeTextConfig(max_report_tokens=max_report_tokens, padded=padded)
        settings = config.model_dump_json()
        encode_text(config, inventory=inventory, encoder=encoder, manifest=manifest, settings=settings)
        return manifest

    return run


def test_a_report_is_stored_as_the_encoder_gives_it_in_half_precision(run, encoder):
    report = read_report(folder_of(run(), "a"))
    network = TextEncoder.from_folder(encoder)
    encoded = network.encode(["A nodule in the heart. [SEP] Nodule."], 32)
    length = int(encoded.lengths[0])
    assert report.shape == (length, 16)
    np.testing.assert_array_equal(report, encoded.embeddings[0, :length].half().float().numpy())


def test_a_padded_report_has_the_vectors_of_its_padding_and_its_number_of_words(run, encoder):
    manifest = run(padded=True)
    encoded = TextEncoder.from_folder(encoder).encode_padded(["A nodule in the heart. [SEP] Nodule."], 32)
    report = read_report(folder_of(manifest, "a"))
    np.testing.assert_array_equal(report, encoded.embeddings[0].half().float().numpy())
    assert len(report) == len(read_report(folder_of(manifest, "d"))) == 32
    records = load_manifest(manifest, TextFacts).records
    assert records["a"].facts.num_tokens == int(encoded.lengths[0]) < 32
    assert records["d"].facts.num_tokens == 32


def test_records_say_who_has_a_report_and_what_was_cut(run):
    records = load_manifest(run(), TextFacts).records
    assert {case: record.facts.has_report for case, record in records.items()} == {
        "a": True,
        "b": False,
        "c": False,
        "d": True,
    }
    assert records["a"].facts.cut_text == ""
    assert records["a"].facts.num_unknown == 0
    assert records["d"].facts.num_tokens == 32
    assert records["d"].facts.cut_text.endswith("many [SEP] End of it.")
    assert records["d"].facts.num_cut == 80 + 1 + len(["End", "of", "it", "."]) - 30
    assert records["a"].facts.num_cut == 0
    assert records["b"].facts.subject == "s"


def test_a_report_that_cases_share_is_encoded_once(run, monkeypatch):
    encoded = []
    encode = TextEncoder.encode

    def counted(self, texts, max_tokens):
        encoded.extend(texts)
        return encode(self, texts, max_tokens)

    monkeypatch.setattr(TextEncoder, "encode", counted)
    manifest = run(reports={"a_1": REPORTS["a"], "b_1": REPORTS["d"], "a_2": replace(REPORTS["a"])})
    assert len(encoded) == len(set(encoded)) == 2
    first, second = (read_report(folder_of(manifest, case)) for case in ("a_1", "a_2"))
    np.testing.assert_array_equal(first, second)
    run(reports={"a_1": REPORTS["a"], "b_1": REPORTS["d"], "a_2": replace(REPORTS["a"])})
    assert len(encoded) == 2


def test_a_report_in_another_language_is_noted_in_its_record(run):
    turkish = "Her iki akciğerde nodül izlenmedi. Kalp boyutları normaldir. Plevral efüzyon saptanmadı."
    facts = load_manifest(run(reports={"a": REPORTS["a"], "f": Report(turkish)}), TextFacts).records
    assert facts["a"].facts.warnings == ()
    (warning,) = facts["f"].facts.warnings
    assert warning.startswith("report: ")
    assert warning.endswith("another language?")


def test_a_report_without_one_known_word_is_quarantined(run):
    assert load_manifest(run(), TextFacts).refused["e"].problem.code == "report-unknown-words"


def folder_of(manifest, case):
    return load_manifest(manifest, TextFacts).folder / case


def contents(manifest):
    paths = [manifest, *(path for path in manifest.with_suffix("").rglob("*") if path.is_file())]
    return {path: path.read_bytes() for path in paths}


def test_a_rerun_changes_nothing_and_repairs_a_damaged_case(run):
    manifest = run()
    before = contents(manifest)
    assert contents(run()) == before
    damaged = folder_of(manifest, "a") / REPORT
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert contents(run()) == before


def test_new_cases_and_changed_reports_are_encoded_and_the_others_stay(run):
    manifest = run()
    before = read_report(folder_of(manifest, "d"))
    run(reports=REPORTS | {"a": Report("Heart."), "f": REPORTS["a"]})
    changed, new, same = (read_report(folder_of(manifest, case)) for case in "afd")
    assert len(changed) < len(new)
    np.testing.assert_array_equal(same, before)


def test_another_encoder_or_length_makes_every_report_again(run, tmp_path):
    manifest = run()
    before = read_report(folder_of(manifest, "a"))
    run(encoder=save_tiny_encoder(tmp_path / "other", seed=1))
    assert not np.array_equal(read_report(folder_of(manifest, "a")), before)
    run(max_report_tokens=6)
    assert len(read_report(folder_of(manifest, "d"))) == 6
    facts = load_manifest(manifest, TextFacts).records["d"].facts
    assert facts.max_tokens == 6
    assert "model.safetensors" in facts.encoder


def test_a_shard_without_reports_needs_no_weights(run, tmp_path):
    assert not load_manifest(run(encoder=tmp_path, reports={"b": None}), TextFacts).records["b"].facts.has_report
    with pytest.raises(WeightsError, match=r"model\.safetensors"):
        run(encoder=tmp_path)
