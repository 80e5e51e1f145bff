from pathlib import Path

import numpy as np
import pytest

from medsyn2.errors import ConfigError, ReportError, WeightsError
from medsyn2.facts import ChannelSums, LatentOrigin, LatentsFacts, LatentSums, MaskState, TextFacts
from medsyn2.store.artefacts import CaseWork, process_shard
from medsyn2.store.latents import write_latents
from medsyn2.store.text_embeddings import write_report
from medsyn2.training.dit.split import channel_statistics, load_split
from medsyn2.vocabulary import STRUCTURES, Structure

SHAPE = (2, 1, 2, 2)


def latents_of(case: str) -> np.ndarray:
    return np.random.default_rng(ord(case)).normal(2.0, 3.0, SHAPE).astype(np.float32)


def sums(volumes: list[np.ndarray]) -> ChannelSums:
    flat = np.concatenate([volume.reshape(2, -1) for volume in volumes], axis=1) if volumes else np.zeros((2, 0))
    return ChannelSums(flat.shape[1], tuple(flat.sum(axis=1).tolist()), tuple(np.square(flat).sum(axis=1).tolist()))


class Shards:
    """Manifests of latents and text as the stages leave them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.latents: list[Path] = []
        self.text: list[Path] = []

    def add(
        self, cases: str, *, test: str = "", masked: str = "", silent: str = "", refused: str = "", tokenizer: str = "t"
    ) -> None:
        name = f"{len(self.latents):04d}.json"
        self.latents.append(self.root / "latents" / name)
        self.text.append(self.root / "text" / name)
        todo = [CaseWork(case, case) for case in cases]

        def encode(case: CaseWork, folder: Path) -> LatentsFacts:
            lobes = [2 * latents_of(case.case)] if case.case in masked else []
            states: dict[Structure, MaskState] = {**dict.fromkeys(STRUCTURES, "absent"), "heart": "empty"}
            states |= {"lobes": "present"} if lobes else {}
            masks = dict(zip(["lobes"], lobes, strict=False))
            write_latents(folder, case.case, latents_of(case.case), masks)
            one = {name: sums([latents]) for name, latents in masks.items()}
            both = LatentSums(sums([latents_of(case.case)]), one)
            origin = LatentOrigin(tokenizer, (-1000.0, 600.0), None, 0.25, SHAPE)
            return LatentsFacts(case.case, "test" if case.case in test else "train", states, both, origin)

        def write(case: CaseWork, folder: Path) -> TextFacts:
            if case.case in refused:
                raise ReportError("no", code="report", remedy="none")
            if case.case not in silent:
                write_report(folder, np.zeros((2, 3), np.float32))
            return TextFacts(case.case, "train", {"model": "e"}, 6, case.case not in silent)

        process_shard("encode_latents", self.latents[-1], todo, encode, settings="", facts=LatentsFacts)
        process_shard("encode_text", self.text[-1], todo, write, settings="", facts=TextFacts)


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
    assert [case.report is not None for case in split.cases] == [False, True, True, True]
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
    assert (split.mask.mean, split.mask.std, split.masks) == ((0.0, 0.0), (1.0, 1.0), {})
    assert split.max_report_tokens == 0
    assert all(case.report is None and case.structures == () for case in split.cases)


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


def sums_of(values: np.ndarray) -> ChannelSums:
    flat = values.reshape(len(values), -1)
    return ChannelSums(flat.shape[1], tuple(flat.sum(axis=1).tolist()), tuple(np.square(flat).sum(axis=1).tolist()))


def test_sums_of_cases_give_numpy_s_statistics_of_all() -> None:
    draw = np.random.default_rng(0)
    cases = [draw.normal([[3.0], [-40.0]], [[0.5], [7.0]], (2, n)) for n in (100, 37, 512)]
    found = channel_statistics([sums_of(case) for case in cases], subject="image")
    together = np.concatenate(cases, axis=1)
    assert found is not None
    np.testing.assert_allclose(found.mean, together.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.std, together.std(axis=1), rtol=1e-9)


def test_normalised_latents_have_mean_zero_and_standard_deviation_one() -> None:
    values = np.random.default_rng(1).normal(5.0, 3.0, (4, 1000))
    found = channel_statistics([sums_of(values)], subject="image")
    assert found is not None
    normal = (values - np.array(found.mean)[:, None]) / np.array(found.std)[:, None]
    np.testing.assert_allclose(normal.mean(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(normal.std(axis=1), 1, rtol=1e-9)


def test_cases_without_latents_do_not_count() -> None:
    empty = ChannelSums(0, (), ())
    values = sums_of(np.random.default_rng(2).normal(size=(2, 50)))
    assert channel_statistics([empty, values, empty], subject="mask") == channel_statistics([values], subject="mask")
    assert channel_statistics([empty], subject="mask") is None
    assert channel_statistics([], subject="mask") is None


def test_a_constant_channel_is_refused() -> None:
    with pytest.raises(WeightsError, match="latents-constant"):
        channel_statistics([sums_of(np.ones((2, 10)))], subject="image")
