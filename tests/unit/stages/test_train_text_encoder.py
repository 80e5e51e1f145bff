import json
import time

import pytest

from medsyn2.config import TrainTextEncoderConfig
from medsyn2.facts import InventoryFacts, Report
from medsyn2.files import sha256_of
from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.stages.train_text_encoder import train_text_encoder
from tests.unit.records import inventory_facts, write_shard

TINY = TrainTextEncoderConfig(
    vocabulary_size=200, hidden_size=16, num_layers=1, num_steps=3, max_tokens=64, window_tokens=16
)
REPORTS = {
    "a": ("train", Report("A nodule.", "Nodule.")),
    "b": ("test", Report("Secret words.")),
    "c": ("train", Report("Not given.", "")),
    "d": ("train", None),
}


def write_inventory(path, reports):
    def listed(case, folder):
        split, report = reports[case]
        return inventory_facts(case, split, report=report)

    return write_shard(path, InventoryFacts, reports, listed)


@pytest.fixture
def run(tmp_path):
    def run(reports=REPORTS, settings="{}"):
        inventory = write_inventory(tmp_path / "inventory" / "0000.json", reports)
        encoder = tmp_path / "train_text_encoder" / "encoder.json"
        train_text_encoder(TINY, inventory=[inventory], encoder=encoder, settings=settings)
        return encoder

    return run


def test_it_leaves_a_folder_that_loads_and_a_description_of_its_files(run):
    encoder = run()
    description = json.loads(encoder.read_text("utf-8"))
    folder = encoder.with_suffix("")
    assert TextEncoder.from_folder(folder).width == 16
    assert description["files"] == {path.name: sha256_of(path) for path in folder.iterdir()}
    assert description["facts"]["num_reports"] == 1


def test_a_cohort_without_reports_still_gets_an_encoder(run):
    encoder = run({"d": REPORTS["d"]})
    assert json.loads(encoder.read_text("utf-8"))["facts"]["num_reports"] == 0
    assert TextEncoder.from_folder(encoder.with_suffix("")).encode(["heart"], 8).unknown == (0,)


def test_what_the_workflow_removed_is_put_back_without_training(run):
    encoder = run()
    before = encoder.read_bytes()
    weights = encoder.with_suffix("") / "model.safetensors"
    first = weights.read_bytes()
    encoder.unlink()
    (encoder.with_suffix("") / "config.json").unlink()
    begin = time.perf_counter()
    run(REPORTS | {"b": ("test", None)})
    assert time.perf_counter() - begin < 1
    assert encoder.read_bytes() == before
    assert weights.read_bytes() == first


@pytest.mark.parametrize("change", ["settings", "report", "damage"])
def test_it_trains_again_if_anything_changed(run, change):
    encoder = run()
    before = json.loads(encoder.read_text("utf-8"))
    if change == "settings":
        run(settings='{"version":2}')
    elif change == "report":
        run(REPORTS | {"e": ("train", {"findings": "An effusion.", "impression": None})})
    else:
        (kept,) = encoder.parent.glob(".encoder.kept/*/model.safetensors")
        kept.write_bytes(b"damaged")
        run()
    after = json.loads(encoder.read_text("utf-8"))
    TextEncoder.from_folder(encoder.with_suffix(""))
    assert (after["fingerprint"] == before["fingerprint"]) == (change == "damage")


def test_each_identity_keeps_its_encoder_until_a_person_removes_it(run, caplog):
    caplog.set_level("INFO")
    encoder = run()
    before = encoder.read_bytes()
    (kept,) = encoder.parent.glob(".encoder.kept/*")
    run(settings='{"version":2}')
    assert f"rm -r {kept}" in caplog.text
    stamp = (kept / "model.safetensors").stat().st_mtime_ns
    run()
    assert encoder.read_bytes() == before
    assert (kept / "model.safetensors").stat().st_mtime_ns == stamp
    assert len(list(encoder.parent.glob(".encoder.kept/*"))) == 2


def test_the_encoder_of_an_earlier_version_is_taken(run):
    encoder = run()
    before = encoder.read_bytes()
    (kept,) = encoder.parent.glob(".encoder.kept/*")
    moved = kept.rename(encoder.parent / "moved")
    kept.parent.rmdir()
    moved.rename(kept.parent)
    stamp = (kept.parent / "model.safetensors").stat().st_mtime_ns
    run()
    assert encoder.read_bytes() == before
    assert (kept / "model.safetensors").stat().st_mtime_ns == stamp
