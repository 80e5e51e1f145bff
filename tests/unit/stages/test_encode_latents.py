from pathlib import Path

import numpy as np
import pytest
import torch

from medsyn2.config import EncodeLatentsConfig, GridConfig, InferenceConfig, TokenizerConfig
from medsyn2.ct.intensity import hu_to_unit
from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import CTVolume, LabelMap, axis_aligned_affine
from medsyn2.errors import IntegrityError
from medsyn2.facts import LatentsFacts, MaskState
from medsyn2.fingerprints import canonical_json
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.stages.encode_latents import encode_latents
from medsyn2.store.artefacts import load_manifest
from medsyn2.store.latents import EMPTY_MASK, LATENTS, read_empty_mask, read_image, read_mask
from medsyn2.vocabulary import STRUCTURES, Split, Structure
from medsyn2.weights.tensors import load_component, save_component
from tests.unit.records import masks_facts, register_facts, write_manifest

GRID = GridConfig(shape=(16, 16, 24), spacing_mm=(4.0, 4.0, 4.0))
TOKENIZER = TokenizerConfig(hidden_channels=4, latent_channels=4, norm_groups=2)
AFFINE = axis_aligned_affine((4.0, 4.0, 4.0), (0.0, 0.0, 0.0))
CASES: dict[str, Split] = {"a": "train", "b": "train", "c": "test", "d": "train"}


def hu_of(case: str) -> np.ndarray:
    return np.random.default_rng(ord(case)).integers(-1200, 1200, GRID.shape).astype(np.int16)


def mask_of(case: str) -> np.ndarray:
    return hu_of(case) > 600


def write_volume(case: str, folder: Path) -> None:
    write_ct(folder / "ct.nii.gz", CTVolume(hu_of(case), AFFINE))


def write_masks(case: str, folder: Path) -> None:
    if case != "d":
        write_labels(folder / "lobes.nii.gz", LabelMap(mask_of(case).astype(np.uint8), AFFINE))


def states_of(case: str) -> dict[Structure, MaskState]:
    states: dict[Structure, MaskState] = {name: "absent" for name in STRUCTURES if name != "airways"}
    states["heart"] = "empty"
    return states if case == "d" else {**states, "lobes": "present"}


class Shard:
    """One shard of registered volumes and masks, with a tokenizer."""

    def __init__(self, root: Path) -> None:
        self.root = root
        torch.manual_seed(0)
        config = TOKENIZER.model_dump()
        save_component(
            self.path("train_tokenizer/tokenizer.json"), CausalVideoVAE(**config), kind="tokenizer", config=config
        )
        self.register(list(CASES))
        masks = {case: masks_facts(case, split, states_of(case)) for case, split in CASES.items()}
        write_manifest(self.path("masks/0000.json"), masks, write_masks)

    def path(self, name: str) -> Path:
        return self.root / name

    def register(self, cases: list[str]) -> None:
        facts = {case: register_facts(case, CASES[case]) for case in cases}
        write_manifest(self.path("register/0000.json"), facts, write_volume)

    def encode(self, config: EncodeLatentsConfig = EncodeLatentsConfig()) -> None:
        encode_latents(
            GRID,
            config,
            InferenceConfig(),
            register=self.path("register/0000.json"),
            masks=self.path("masks/0000.json"),
            tokenizer=self.path("train_tokenizer/tokenizer.json"),
            manifest=self.path("encode_latents/0000.json"),
            settings=canonical_json(config.model_dump(mode="json")),
        )

    def folder(self, case: str) -> Path:
        return self.path(f"encode_latents/0000/{case}")

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


def test_latents_are_the_posterior_means_of_volumes_and_masks(shard: Shard) -> None:
    shard.encode()
    for case in ("a", "b"):
        image = encoded_here(shard, hu_to_unit(hu_of(case), GRID.clip_hu))
        lobes = encoded_here(shard, np.where(mask_of(case), 0.5, -0.5).astype(np.float32))
        np.testing.assert_array_equal(read_image(shard.folder(case)), image.astype(np.float16))
        np.testing.assert_array_equal(read_mask(shard.folder(case), "lobes"), lobes.astype(np.float16))
    empty = encoded_here(shard, np.full(GRID.shape, -0.5, np.float32)).astype(np.float16)
    np.testing.assert_array_equal(read_empty_mask(shard.path("encode_latents/0000")), empty)
    for case, structure in (("a", "airways"), ("d", "lobes"), ("a", "heart")):
        with pytest.raises(IntegrityError, match="store-damaged"):
            read_mask(shard.folder(case), structure)


def test_the_facts_carry_states_and_the_sums_of_the_statistics(shard: Shard) -> None:
    shard.encode()
    records = load_manifest(shard.path("encode_latents/0000.json"), LatentsFacts).records
    assert sorted(records) == [EMPTY_MASK, "a", "b", "d"]
    facts = records["a"].facts
    assert facts.origin.shape == read_image(shard.folder("a")).shape
    assert facts.origin.window is None
    assert (facts.subject, facts.split) == ("a", "train")
    assert {name: facts.masks[name] for name in ("lobes", "heart", "airways", "nodules")} == {
        "lobes": "present",
        "heart": "empty",
        "airways": "absent",
        "nodules": "absent",
    }
    folder = shard.folder("a")
    for sums, latents in (
        (facts.sums.image, read_image(folder)),
        (facts.sums.masks["lobes"], read_mask(folder, "lobes")),
    ):
        values = latents.astype(np.float64).reshape(4, -1)
        assert sums.count == values.shape[1]
        np.testing.assert_allclose(sums.sum, values.sum(axis=1))
        np.testing.assert_allclose(sums.sum_of_squares, np.square(values).sum(axis=1))
    assert records["d"].facts.sums.masks == {}


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
@pytest.mark.parametrize("case", ["b", EMPTY_MASK])
def test_only_the_damaged_case_is_made_again(shard: Shard, case: str, damage: str) -> None:
    shard.encode()
    before = shard.files()
    path = shard.folder(case) / LATENTS
    if damage == "remove":
        path.unlink()
    else:
        whole = path.read_bytes()
        path.write_bytes(whole[:99] + bytes([whole[99] ^ 4]) + whole[100:])
    shard.encode()
    after = shard.files()
    assert {name: content for name, (content, _) in before.items()} == {
        name: content for name, (content, _) in after.items()
    }
    changed = {name for name in before if before[name][1] != after[name][1]}
    names = ("0000.json", f"0000/{case}.json", f"0000/{case}/{LATENTS}")
    assert changed == {f"encode_latents/{name}" for name in names}


def test_a_case_that_joins_leaves_the_others_alone(shard: Shard) -> None:
    shard.register(["b", "d"])
    shard.encode()
    before = shard.files()
    shard.register(list(CASES))
    shard.encode()
    after = shard.files()
    assert sorted(load_manifest(shard.path("encode_latents/0000.json"), LatentsFacts).records) == [
        EMPTY_MASK,
        "a",
        "b",
        "d",
    ]
    assert all(before[name] == after[name] for name in before if name != "encode_latents/0000.json")


def test_another_window_encodes_everything_anew(shard: Shard) -> None:
    shard.encode()
    whole = read_image(shard.folder("a"))
    shard.encode(EncodeLatentsConfig(window=(8, 16, 16), overlap=0.25, dtype="float32"))
    image = read_image(shard.folder("a"))
    assert image.dtype == np.float32
    facts = load_manifest(shard.path("encode_latents/0000.json"), LatentsFacts).records["a"].facts
    assert facts.origin.window == (8, 16, 16)
    assert not np.array_equal(image.astype(np.float16), whole)


def test_a_damaged_volume_of_an_earlier_stage_stops_the_run(shard: Shard) -> None:
    path = shard.path("register/0000/b/ct.nii.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(IntegrityError, match="artefact-damaged"):
        shard.encode()
    assert shard.path("encode_latents/0000/a.json").exists()
    assert not shard.path("encode_latents/0000.json").exists()
