from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from medsyn2.errors import ConfigError
from medsyn2.reports.prompts import all_prompts, prompt_id
from medsyn2.store.latents import EMPTY_MASK, read_empty_mask, read_image, read_mask, write_latents
from medsyn2.store.text_embeddings import read_report, write_report
from medsyn2.training.dit.conditions import (
    ConditionedLatents,
    TrainingCase,
    drop_conditions,
    mode_probabilities,
    pad_texts,
    possible_mode,
)
from medsyn2.training.dit.mask_region import loss_weights, mask_region
from medsyn2.vocabulary import MODES, Structure
from medsyn2.weights.model_folder import ChannelStatistics

SHAPE, WIDTH = (4, 2, 3, 3), 5
IMAGE = ChannelStatistics((0.5, -1.0, 0.0, 2.0), (2.0, 1.0, 0.5, 3.0))
MASK = ChannelStatistics((3.0, 0.0, 1.0, -2.0), (0.1, 1.0, 2.0, 0.5))
PROBABILITIES = (0.25, 0.25, 0.4, 0.1)
PROMPTS = {name: np.full((3 + index % 4, WIDTH), index, np.float32) for index, name in enumerate(all_prompts())}
HAS: dict[str, tuple[tuple[Structure, ...], int]] = {
    "full": (("lobes", "heart", "nodules"), 7),
    "no_report": (("airways",), 0),
    "no_mask": ((), 4),
    "nothing": ((), 0),
}


def normalised(latents: np.ndarray, statistics: ChannelStatistics) -> np.ndarray:
    """The same in NumPy, which sampling and training share no code with."""
    mean, std = (np.array(v, np.float32)[:, None, None, None] for v in (statistics.mean, statistics.std))
    return (latents.astype(np.float32) - mean) / std


@pytest.fixture
def cases(tmp_path: Path) -> list[TrainingCase]:
    draw = np.random.default_rng(0)
    empty = tmp_path / EMPTY_MASK
    empty.mkdir()
    write_latents(empty, EMPTY_MASK, draw.normal(size=SHAPE), {})
    made = []
    for case, (structures, length) in HAS.items():
        folder = tmp_path / case
        folder.mkdir()
        write_latents(folder, case, draw.normal(size=SHAPE), {name: draw.normal(size=SHAPE) for name in structures})
        if length:
            write_report(folder, draw.normal(size=(length, WIDTH)))
        made.append(TrainingCase(case, folder, folder if length else None, structures, ("pleural_effusion",)))
    return made


def data_of(
    cases: list[TrainingCase],
    seed: int = 0,
    weights: dict[str, float] | None = None,
    empty_share: float = 0.0,
    **more: object,
) -> ConditionedLatents:
    settings = {"image": IMAGE, "mask": MASK, "probabilities": PROBABILITIES, "seed": seed, **more}
    return ConditionedLatents(cases, PROMPTS, weights=weights or {}, empty_share=empty_share, **settings)


def test_modes_structures_and_wordings_are_drawn_as_asked(cases: list[TrainingCase]) -> None:
    samples = [data_of(cases[:1]).draw(position) for position in range(8000)]
    modes = Counter(sample.mode for sample in samples)
    counts = [modes[mode] for mode in MODES]
    assert stats.chisquare(counts, [8000 * p for p in PROBABILITIES]).pvalue > 1e-3
    with_mask = Counter(sample.prompt for sample in samples if sample.structure)
    assert set(with_mask) == {prompt_id(name, n) for name in ("lobes", "heart", "nodules") for n in range(5)}
    assert stats.chisquare(list(with_mask.values())).pvalue > 1e-3
    drop_conditions = Counter(sample.prompt for sample in samples if not sample.structure)
    assert set(drop_conditions) == {prompt_id(None, n) for n in range(3)}
    assert stats.chisquare(list(drop_conditions.values())).pvalue > 1e-3


def test_a_structure_of_weight_six_is_drawn_six_times_as_often(cases: list[TrainingCase]) -> None:
    data = data_of(cases[:1], weights={"lobes": 6.0})
    drawn = Counter(sample.structure for sample in map(data.draw, range(6000)) if sample.structure)
    total = sum(drawn.values())
    counts = [drawn[name] for name in ("lobes", "heart", "nodules")]
    assert stats.chisquare(counts, [total * weight / 8 for weight in (6, 1, 1)]).pvalue > 1e-3


def test_a_share_of_the_masks_are_empty_ones_of_what_the_case_does_not_have(cases: list[TrainingCase]) -> None:
    data = data_of(cases[:1], empty_share=0.3)
    drawn = [(position, data.draw(position).structure) for position in range(4000)]
    masks = [structure for _, structure in drawn if structure]
    num_empty = masks.count("pleural_effusion")
    assert stats.binomtest(num_empty, len(masks), 0.3).pvalue > 1e-3
    position = next(position for position, structure in drawn if structure == "pleural_effusion")
    np.testing.assert_array_equal(
        data.batch([position]).conditioning.mask_latents[0].numpy(),
        normalised(read_empty_mask(cases[0].latents.parent), MASK),
    )


def test_a_share_of_the_loss_lies_inside_the_mask_of_each_sample(cases: list[TrainingCase]) -> None:
    data = data_of(cases, empty_share=0.3, loss_share=0.4)
    positions = range(64)
    batch = data.batch(positions)
    assert batch.loss_weights is not None
    seen = set()
    for position, weights in zip(positions, batch.loss_weights, strict=True):
        sample = data.draw(position)
        shard = sample.case.latents.parent
        region = torch.zeros(SHAPE[1:], dtype=torch.bool)
        if sample.structure in sample.case.structures:
            stored = read_mask(sample.case.latents, sample.structure), read_empty_mask(shard)
            region = mask_region(*(torch.from_numpy(latents.astype(np.float32)) for latents in stored))
        torch.testing.assert_close(weights, loss_weights(region, 0.4))
        seen.add((sample.structure in sample.case.empty, bool(region.any())))
    assert seen == {(True, False), (False, False), (False, True)}


def test_all_voxels_count_alike_without_a_share(cases: list[TrainingCase]) -> None:
    assert data_of(cases).batch([0, 1]).loss_weights is None


def test_a_case_is_trained_in_the_mode_that_remains(cases: list[TrainingCase]) -> None:
    remaps = {case.id: [possible_mode(mode, case) for mode in MODES] for case in cases}
    assert remaps == {
        "full": ["report", "mask", "both", "neither"],
        "no_report": ["neither", "mask", "mask", "neither"],
        "no_mask": ["report", "neither", "report", "neither"],
        "nothing": ["neither"] * 4,
    }
    assert mode_probabilities(cases, PROBABILITIES) == pytest.approx(
        {
            "report": (0.25 + 0.65) / 4,
            "mask": (0.25 + 0.65) / 4,
            "both": 0.4 / 4,
            "neither": (0.1 + 0.35 + 0.35 + 1.0) / 4,
        }
    )


def test_a_sample_is_what_was_drawn(cases: list[TrainingCase]) -> None:
    data = data_of(cases)
    for position in range(60):
        sample, batch = data.draw(position), data.batch([position])
        condition = batch.conditioning
        np.testing.assert_array_equal(
            batch.clean_latents[0].numpy(), normalised(read_image(sample.case.latents), IMAGE)
        )
        assert (condition.mask_latents == 0).all().item() == (sample.structure is None)
        assert (sample.structure is None) == sample.prompt.startswith("absent")
        if sample.structure:
            stored = read_mask(sample.case.latents, sample.structure)
            np.testing.assert_array_equal(condition.mask_latents[0].numpy(), normalised(stored, MASK))
        expected = PROMPTS[sample.prompt]
        if sample.mode in ("report", "both"):
            assert sample.case.report is not None
            expected = np.concatenate([expected, read_report(sample.case.report)])
        np.testing.assert_array_equal(condition.text[0].numpy(), expected)
        assert condition.text_mask is not None
        assert condition.text_mask.all()


def test_a_structure_with_statistics_of_its_own_is_normalised_with_them(cases: list[TrainingCase]) -> None:
    own = ChannelStatistics((-1.0, 2.0, 0.0, 5.0), (2.0, 0.1, 1.0, 3.0))
    data = data_of(cases, empty_share=0.2, masks={"heart": own, "pleural_effusion": own})
    seen = set()
    for position in range(80):
        sample = data.draw(position)
        if sample.structure:
            seen.add(sample.structure)
            is_empty = sample.structure in sample.case.empty
            folder = sample.case.latents
            stored = read_empty_mask(folder.parent) if is_empty else read_mask(folder, sample.structure)
            used = own if sample.structure in {"heart", "pleural_effusion"} else MASK
            found = data.batch([position]).conditioning.mask_latents[0].numpy()
            np.testing.assert_array_equal(found, normalised(stored, used))
    assert {"heart", "lobes", "pleural_effusion"} <= seen


def test_a_batch_is_its_samples(cases: list[TrainingCase]) -> None:
    data, again = data_of(cases), data_of(cases)
    batch = data.batch(range(10, 22))
    for row, position in enumerate(range(10, 22)):
        one = again.batch([position])
        assert torch.equal(batch.clean_latents[row], one.clean_latents[0])
        assert torch.equal(batch.conditioning.mask_latents[row], one.conditioning.mask_latents[0])
        real = batch.conditioning.text_mask[row]
        assert torch.equal(batch.conditioning.text[row][real], one.conditioning.text[0])
        assert (batch.conditioning.text[row][~real] == 0).all()


def test_every_case_is_seen_once_an_epoch(cases: list[TrainingCase]) -> None:
    data = data_of(cases)
    for epoch in range(5):
        assert sorted(data.names(range(4 * epoch, 4 * epoch + 4))) == sorted(HAS)


def test_an_empty_mask_is_never_drawn(cases: list[TrainingCase]) -> None:
    data = data_of(cases)
    assert "pleural_effusion" not in {data.draw(position).structure for position in range(400)}


def test_padding_is_at_the_end_and_marked() -> None:
    text, real = pad_texts([np.ones((2, 3), np.float32), np.ones((4, 3), np.float32)])
    assert text.shape == (2, 4, 3)
    assert real.tolist() == [[True, True, False, False], [True] * 4]
    assert text[0, 2:].abs().sum() == 0


def test_no_case_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no-training-cases"):
        data_of([])


def test_a_structure_left_out_is_never_drawn_and_the_others_share_its_draws(cases: list[TrainingCase]) -> None:
    kept = [drop_conditions(case, ["nodules", "pleural_effusion", "airways"]) for case in cases]
    data = data_of(kept, empty_share=0.5)
    drawn = Counter(data.draw(position).structure for position in range(6000))
    assert set(drawn) == {"lobes", "heart", None}
    assert stats.chisquare([drawn["lobes"], drawn["heart"]]).pvalue > 1e-3
    modes = {case.id: {possible_mode(mode, case) for mode in MODES} for case in kept}
    assert modes["no_report"] == {"neither"}  # its airways were all it had
    assert modes["full"] == set(MODES)
    assert [case.report is None for case in kept] == [case.report is None for case in cases]


def test_nothing_left_out_changes_no_draw(cases: list[TrainingCase]) -> None:
    plain, same = data_of(cases), data_of([drop_conditions(case, []) for case in cases])
    for position in range(50):
        assert plain.draw(position).prompt == same.draw(position).prompt
