from pathlib import Path

import numpy as np
import pytest

from medsyn2.errors import ConfigError, ReportError
from medsyn2.facts import ChannelSums, LatentsFacts, LatentSums, TextFacts
from medsyn2.store.latents import LatentStore
from medsyn2.store.text_embeddings import TextStore
from medsyn2.training.dit.split import load_split
from medsyn2.vocabulary import STRUCTURES
from tests.unit.records import latents_facts, write_manifest

SHAPE = (2, 1, 2, 2)


def latents_of(case: str) -> np.ndarray:
    return np.random.default_rng(ord(case)).normal(2.0, 3.0, SHAPE).astype(np.float32)


def sums(volumes: list[np.ndarray]) -> ChannelSums:
    flat = (
        np.concatenate([volume.reshape(2, -1) for volume in volumes], axis=1) if volumes else np.zeros((2, 0))
    )
    totals, squares = flat.sum(axis=1).tolist(), np.square(flat).sum(axis=1).tolist()
    return ChannelSums(flat.shape[1], tuple(totals), tuple(squares))


class Shards:
    """Manifests and stores of latents and text as the stages leave them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.latents: list[Path] = []
        self.text: list[Path] = []

    def add(
        self,
        cases: str,
        *,
        test: str = "",
        masked: str = "",
        silent: str = "",
        refused: str = "",
        tokenizer: str = "t",
    ) -> None:
        name = f"{len(self.latents):04d}.json"
        self.latents.append(self.root / "latents" / name)
        self.text.append(self.root / "text" / name)
        store = LatentStore.open_for_writing(
            self.latents[-1].with_suffix(".zarr"),
            list(cases),
            shape=SHAPE,
            dtype="float32",
            about={"tokenizer": tokenizer},
        )
        texts = TextStore.open_for_writing(
            self.text[-1].with_suffix(".zarr"), list(cases), max_tokens=6, width=3, encoder={"model": "e"}
        )

        def encode(case: str, folder: Path) -> LatentsFacts:
            lobes = [2 * latents_of(case)] if case in masked else []
            states = {**dict.fromkeys(STRUCTURES, "absent"), "heart": "empty"}
            states |= {"lobes": "present"} if lobes else {}
            store.write(case, latents_of(case), dict(zip(["lobes"], lobes, strict=False)), states)
            split = "test" if case in test else "train"
            return latents_facts(case, split, states, LatentSums(sums([latents_of(case)]), sums(lobes)))

        def write(case: str, folder: Path) -> TextFacts:
            if case in refused:
                raise ReportError("no", code="report", remedy="none")
            if case not in silent:
                texts.write(case, np.zeros((6, 3), np.float32), 2)
            return TextFacts(case, "train", case not in silent)

        write_manifest(self.latents[-1], LatentsFacts, cases, encode)
        write_manifest(self.text[-1], TextFacts, cases, write)


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    return Shards(tmp_path)


def test_training_cases_with_both_records_are_joined_in_order(shards: Shards) -> None:
    shards.add("abc", test="b", masked="ab", silent="a")
    shards.add("def", masked="f", refused="e")
    split = load_split(shards.latents, shards.text)
    assert [case.id for case in split.cases] == ["a", "c", "d", "f"]
    assert [case.structures for case in split.cases] == [("lobes",), (), (), ("lobes",)]
    assert all(case.empty == ("heart",) for case in split.cases)
    assert [case.reports is not None for case in split.cases] == [False, True, True, True]
    images = np.stack([latents_of(case) for case in "acdf"]).transpose(1, 0, 2, 3, 4).reshape(2, -1)
    np.testing.assert_allclose(split.image.mean, images.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(split.image.std, images.std(axis=1), rtol=1e-6)
    masks = np.stack([2 * latents_of(case) for case in "af"]).transpose(1, 0, 2, 3, 4).reshape(2, -1)
    np.testing.assert_allclose(split.mask.mean, masks.mean(axis=1), rtol=1e-6)
    assert split.max_report_tokens == 6
    assert split.encoder == {"model": "e"}


def test_a_cohort_without_masks_and_reports_can_be_trained_on(shards: Shards) -> None:
    shards.add("ab", silent="ab")
    split = load_split(shards.latents, shards.text)
    assert (split.mask.mean, split.mask.std) == ((0.0, 0.0), (1.0, 1.0))
    assert split.max_report_tokens == 0
    assert all(case.reports is None and case.structures == () for case in split.cases)


def test_what_it_is_made_from_follows_the_cases(shards: Shards) -> None:
    shards.add("ab")
    first = load_split(shards.latents, shards.text).made_from
    assert load_split(shards.latents, shards.text).made_from == first
    shards.add("c")
    assert load_split(shards.latents, shards.text).made_from[:2] == first


def test_shards_that_do_not_fit_are_refused(shards: Shards) -> None:
    shards.add("ab")
    shards.add("cd", tokenizer="other")
    with pytest.raises(ConfigError, match="shards-differ"):
        load_split(shards.latents, shards.text)
    with pytest.raises(ConfigError, match="shards-differ"):
        load_split(shards.latents, shards.text[::-1])
    with pytest.raises(ConfigError, match="no-training-cases"):
        load_split([], [])


def test_a_split_without_training_cases_is_refused(shards: Shards) -> None:
    shards.add("ab", test="ab")
    with pytest.raises(ConfigError, match="no-training-cases"):
        load_split(shards.latents, shards.text)
