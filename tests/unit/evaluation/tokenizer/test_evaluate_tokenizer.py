"""What a tokenizer loses of two volumes and their masks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medsyn2.ct.intensity import hu_to_unit, unit_to_hu
from medsyn2.errors import EnvironmentFault
from medsyn2.evaluation.similarity.overlap import DISTANCES, OVERLAPS, overlap
from medsyn2.evaluation.similarity.volumes import (
    inside_body,
    mean_absolute_error_hu,
    psnr_db,
    ssim_3d_box,
    ssim_3d_gaussian,
)
from medsyn2.evaluation.tokenizer.evaluate_tokenizer import IMAGE_VALUES, evaluate_tokenizer
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from tests.unit.evaluation.tokenizer.small_cases import (
    CLIP_HU,
    hu_of,
    make_network,
    mask_of,
    reconstruct_cases,
    save_network,
    there_and_back,
)

ENDS = ("", "_low", "_high")
SUMMARY = [
    "structure", "segmenter", "num", "num_present", "num_patients",
    *(f"{name}{end}" for name in OVERLAPS for end in ENDS),
    "dice_median", "num_distances", *(f"{name}{end}" for name in DISTANCES for end in ENDS),
    "num_missed", "miss_rate", "num_false_alarm", "num_both_empty",
]  # fmt: skip


@pytest.fixture
def network() -> CausalVideoVAE:
    return make_network()


@pytest.fixture
def run(tmp_path: Path, network: CausalVideoVAE) -> Callable[..., tuple[pd.DataFrame, pd.DataFrame]]:
    """Evaluate the network; return the table of volumes and the one of masks."""
    tokenizer = save_network(tmp_path, network)

    def evaluated(cases: str = "abcd", masked: str = "ab", **changes: object) -> tuple[pd.DataFrame, pd.DataFrame]:
        images, masks_table = tmp_path / "reconstruction.csv", tmp_path / "mask_reconstruction.csv"
        manifest = reconstruct_cases(tokenizer, cases, masked, **changes)
        evaluate_tokenizer(reconstructions=[manifest], images=images, masks_table=masks_table)
        return pd.read_csv(images), pd.read_csv(masks_table)

    return evaluated


def test_volumes_are_compared_with_what_comes_back(run, network) -> None:
    images, _ = run()
    assert list(images.columns) == ["case", "patient", *IMAGE_VALUES, "num", "num_patients"]
    assert images["case"].tolist() == ["mean", "known", "a", "b", "d"]
    assert images.loc[2:, "patient"].tolist() == ["patient a", "patient b", "patient d"]
    before = np.clip(hu_of("a"), *CLIP_HU)
    after = unit_to_hu(there_and_back(network, hu_to_unit(hu_of("a"), CLIP_HU)), CLIP_HU)
    expected = [
        ssim_3d_gaussian(before, after, 2048.0),
        ssim_3d_box(before, after, 2048.0),
        psnr_db(before, after, 2048.0),
        psnr_db(before, after, 2048.0, inside_body(before)),
        mean_absolute_error_hu(before, after),
        mean_absolute_error_hu(before, after, inside_body(before)),
    ]
    np.testing.assert_allclose(images.loc[2, IMAGE_VALUES].astype(float), expected, rtol=1e-3, atol=1e-5)
    mean, known = (images.loc[row, IMAGE_VALUES].astype(float) for row in range(2))
    np.testing.assert_allclose(mean, images.loc[2:, IMAGE_VALUES].mean(), rtol=1e-3)
    assert (known == 3).all()
    assert images.loc[0, ["num", "num_patients"]].tolist() == [3, 3]


def test_masks_are_compared_with_what_comes_back(run, network) -> None:
    _, table = run()
    assert list(table.columns) == [*SUMMARY]
    row = table.iloc[0]
    assert (row["structure"], row["num"], len(table)) == ("heart", 2, 1)
    after = {case: there_and_back(network, mask_of(case).astype(np.float32) - 0.5) > 0 for case in "ab"}
    values = [overlap(after[case], mask_of(case), (4.0, 4.0, 4.0), 5.0) for case in "ab"]
    assert row["dice"] == pytest.approx(np.mean([value.dice for value in values]), rel=1e-3, abs=1e-5)
    assert row["num_missed"] == sum(value.missed for value in values)


def test_the_threshold_decides_what_of_a_mask_comes_back(run) -> None:
    _, all_of_it = run(mask_threshold=-0.5)
    _, none_of_it = run(mask_threshold=0.5)
    assert all_of_it["num_missed"].tolist() == [0]
    assert all_of_it["dice"][0] > none_of_it["dice"].fillna(0)[0]


def test_at_most_so_many_cases(run) -> None:
    images, _ = run(max_cases=1)
    assert images["case"].tolist() == ["mean", "known", "a"]


def test_without_masks_the_table_of_masks_has_only_its_columns(run) -> None:
    images, table = run(masked="")
    assert len(images) == 5
    assert table.empty
    assert list(table.columns) == [*SUMMARY]


def test_without_held_out_cases_it_says_so(run) -> None:
    with pytest.raises(EnvironmentFault, match=r"too-few-cases.*cohort\.test_every"):
        run(cases="c", masked="c")
