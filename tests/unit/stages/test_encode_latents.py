from pathlib import Path

import numpy as np
import pytest
import torch

from medsyn2.config import EncodeLatentsConfig, GridConfig, TokenizerConfig
from medsyn2.ct.intensity import hu_to_unit
from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import CTVolume, LabelMap, axis_aligned_affine
from medsyn2.errors import IntegrityError
from medsyn2.facts import CT_FILE, LatentsFacts, MasksFacts, RegisterFacts
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.stages.encode_latents import encode_latents
from medsyn2.store.artefacts import canonical_json, load_manifest
from medsyn2.store.latents import LatentStore
from medsyn2.vocabulary import STRUCTURES
from medsyn2.weights.tensors import load_component, save_component
from tests.unit.records import masks_facts, register_facts, write_manifest

GRID = GridConfig(shape=(16, 16, 24), spacing_mm=(4.0, 4.0, 4.0))
TOKENIZER = TokenizerConfig(hidden_channels=4, norm_groups=2)
AFFINE = axis_aligned_affine((4.0, 4.0, 4.0), (0.0, 0.0, 0.0))
CASES = {"a": "train", "b": "train", "c": "test", "d": "train"}


def hu_of(case: str) -> np.ndarray:
    return np.random.default_rng(ord(case)).integers(-1200, 1200, GRID.shape).astype(np.int16)


def mask_of(case: str) -> np.ndarray:
    return hu_of(case) > 600


def write_volume(case: str, folder: Path) -> RegisterFacts:
    write_ct(folder / CT_FILE, CTVolume(hu_of(case), AFFINE))
    return register_facts(case, CASES[case])


def write_masks(case: str, folder: Path) -> MasksFacts:
    states = {name: "absent" for name in STRUCTURES if name != "airways"} | {"heart": "empty"}
    if case != "d":
        write_labels(folder / "lobes.nii.gz", LabelMap(mask_of(case).astype(np.uint8), AFFINE))
        states["lobes"] = "present"
    return masks_facts(case, CASES[case], states)


class Shard:
    """One shard of registered volumes and masks, with a tokenizer."""

    def __init__(self, root: Path) -> None:
        self.root = root
        torch.manual_seed(0)
        config = TOKENIZER.model_dump()
        save_component(
            self.path("train_tokenizer/tokenizer.json"),
            CausalVideoVAE(**config),
            kind="tokenizer",
            config=config,
        )
        write_manifest(self.path("register/0000.json"), RegisterFacts, CASES, write_volume)
        write_manifest(self.path("masks/0000.json"), MasksFacts, CASES, write_masks)

    def path(self, name: str) -> Path:
        return self.root / name

    def encode(self, config: EncodeLatentsConfig = EncodeLatentsConfig()) -> None:
        encode_latents(
            GRID,
            config,
            register=self.path("register/0000.json"),
            masks=self.path("masks/0000.json"),
            tokenizer=self.path("train_tokenizer/tokenizer.json"),
            manifest=self.path("encode_latents/0000.json"),
            settings=canonical_json(config.model_dump(mode="json")),
        )

    @property
    def store(self) -> LatentStore:
        return LatentStore.open(self.path("encode_latents/0000.zarr"))

    def files(self) -> dict[str, tuple[bytes, int]]:
        return {
            path.relative_to(self.root).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in sorted(self.path("encode_latents").rglob("[!.]*"))
            if path.is_file()
        }


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    return Shard(tmp_path)


def encoded_here(shard: Shard, values: np.ndarray) -> np.ndarray:
    config, state = load_component(shard.path("train_tokenizer/tokenizer.json"), "tokenizer")
    network = CausalVideoVAE(**config).eval()
    network.load_state_dict(state)
    with torch.inference_mode():
        return network.encode(torch.from_numpy(values)[None, None]).mode()[0].numpy()


def test_the_store_holds_the_posterior_means_of_volumes_and_masks(shard: Shard) -> None:
    shard.encode()
    store = shard.store
    for case in ("a", "b"):
        image = encoded_here(shard, hu_to_unit(hu_of(case), GRID.clip_hu))
        lobes = encoded_here(shard, np.where(mask_of(case), 0.5, -0.5).astype(np.float32))
        np.testing.assert_array_equal(store.image(case), image.astype(np.float16))
        np.testing.assert_array_equal(store.mask(case, "lobes"), lobes.astype(np.float16))
    empty = encoded_here(shard, np.full(GRID.shape, -0.5, np.float32)).astype(np.float16)
    np.testing.assert_array_equal(store.mask("a", "heart"), empty)
    assert store.mask("a", "airways") is None
    assert store.mask("d", "lobes") is None
    assert store.mask("a", "nodules") is None


def test_the_facts_carry_states_and_the_sums_of_the_statistics(shard: Shard) -> None:
    shard.encode()
    records = load_manifest(shard.path("encode_latents/0000.json"), LatentsFacts).records
    assert sorted(records) == ["a", "b", "d"]
    facts = records["a"].facts
    assert facts.subject == "a"
    assert facts.split == "train"
    assert {name: facts.masks[name] for name in ("lobes", "heart", "airways", "nodules")} == {
        "lobes": "present",
        "heart": "empty",
        "airways": "absent",
        "nodules": "absent",
    }
    for name, latents in (("image", shard.store.image("a")), ("mask", shard.store.mask("a", "lobes"))):
        assert latents is not None
        values = latents.astype(np.float64).reshape(4, -1)
        assert facts["sums"][name]["count"] == values.shape[1]
        np.testing.assert_allclose(facts["sums"][name]["sum"], values.sum(axis=1))
        np.testing.assert_allclose(facts["sums"][name]["sum_of_squares"], np.square(values).sum(axis=1))
    assert records["d"].facts["sums"]["mask"] == {"count": 0, "sum": [], "sum_of_squares": []}


def test_two_runs_leave_the_same_bytes_and_a_second_does_nothing(tmp_path: Path) -> None:
    first, second = Shard(tmp_path / "one"), Shard(tmp_path / "two")
    first.encode()
    second.encode()
    assert {n: b for n, (b, _) in first.files().items()} == {n: b for n, (b, _) in second.files().items()}
    before = first.files()
    first.path("encode_latents/0000.json").unlink()
    first.encode()
    after = first.files()
    assert {n: t for n, (_, t) in after.items()} | {"encode_latents/0000.json": 0} == {
        n: t for n, (_, t) in before.items()
    } | {"encode_latents/0000.json": 0}


@pytest.mark.parametrize("damage", ["remove", "flip"])
@pytest.mark.parametrize("array", ["image", "masks", "states", "written"])
def test_only_the_damaged_row_is_made_again(shard: Shard, array: str, damage: str) -> None:
    shard.encode()
    before = shard.files()
    row = shard.store.store.rows["b"]
    place = shard.path(f"encode_latents/0000.zarr/{array}/c/{row}")
    path = place if place.is_file() else next(path for path in place.rglob("*") if path.is_file())
    if damage == "remove":
        path.unlink()
    else:
        whole = path.read_bytes()
        path.write_bytes(whole[:3] + bytes([whole[3] ^ 4]) + whole[4:])
    shard.encode()
    after = shard.files()
    assert {name: content for name, (content, _) in before.items()} == {
        name: content for name, (content, _) in after.items()
    }
    changed = {name for name in before if before[name][1] != after[name][1]}
    assert all("/b" in name or f"/c/{row}" in name or name.endswith("0000.json") for name in changed)
    assert f"encode_latents/0000.zarr/image/c/{row}/0/0/0/0" in changed


def test_a_case_that_joins_leaves_the_others_alone(shard: Shard) -> None:
    shard.write("register", write_volume, ["b", "d"])
    shard.encode()
    before = shard.files()
    shard.write("register", write_volume, list(CASES))
    shard.encode()
    after = shard.files()
    assert sorted(load_manifest(shard.path("encode_latents/0000.json"), LatentsFacts).records) == [
        "a",
        "b",
        "d",
    ]
    rows = [name for name in before if "/c/" in name]
    assert rows
    assert all(before[name] == after[name] for name in rows)


def test_another_window_encodes_everything_anew(shard: Shard) -> None:
    shard.encode()
    whole = shard.store.image("a")
    shard.encode(EncodeLatentsConfig(window=(8, 16, 16), overlap=0.25, dtype="float32"))
    assert shard.store.image("a").dtype == np.float32
    assert shard.store.about["window"] == [8, 16, 16]
    assert not np.array_equal(shard.store.image("a").astype(np.float16), whole)


def test_a_damaged_volume_of_an_earlier_stage_stops_the_run(shard: Shard) -> None:
    path = shard.path("register/0000/b/ct.nii.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(IntegrityError, match="artefact-damaged"):
        shard.encode()
    assert shard.path("encode_latents/0000/a.json").exists()
    assert not shard.path("encode_latents/0000.json").exists()
