"""A CT that is edited inside a region: what stays, what changes, what is refused, and the same edit again."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from medsyn2.ct.edit_region import find_edit_region
from medsyn2.ct.nifti.files import read_ct, read_labels
from medsyn2.ct.nifti.storage import open_storage
from medsyn2.ct.registration.alignment import Alignment
from medsyn2.ct.volume import CTVolume, LabelMap, axis_aligned_affine
from medsyn2.errors import ConfigError, IntegrityError, MaskError, WeightsError
from medsyn2.facts import HuScale
from medsyn2.flow import Sampling
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.ct_edit import align_ct
from medsyn2.pipeline.edited import Source, hash_ct
from medsyn2.vocabulary import EDITED_REGION

SHIFT_MM = 40.0
"""The CT's world lies so far to the left of the model's."""
SHAPE, SPACING_MM = (30, 40, 44), (2.0, 2.5, 2.0)
AFFINE = axis_aligned_affine(SPACING_MM, (-46.0 + SHIFT_MM, -42.0, -31.0))
FAST = {"seed": 3, "sampling": Sampling("euler", 2), "margin_mm": 4.0, "blend_mm": 3.0}
WORDS = "lung nodules"


def align(_ct: CTVolume) -> Alignment:
    matrix = np.eye(4)
    matrix[0, 3] = SHIFT_MM
    return Alignment(matrix, 1.0, 1.0, 1.0, 4000.0, 1.0)


@pytest.fixture(scope="module")
def pipeline(tiny_model):
    return MedSyn2Pipeline.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def ct():
    return CTVolume(np.random.default_rng(0).integers(-900, 100, SHAPE).astype(np.int16), AFFINE)


@pytest.fixture(scope="module")
def nodule():
    inside = np.zeros(SHAPE, bool)
    inside[10:15, 15:20, 18:24] = True
    return LabelMap(inside, AFFINE)


@pytest.fixture(scope="module")
def edited(pipeline, ct, nodule):
    return pipeline.edit(ct, "A nodule of 5 mm.", mask=nodule, mask_text=WORDS, align=align, **FAST)


def test_outside_the_region_every_voxel_is_that_of_the_ct_and_inside_few_are(edited, ct, nodule):
    region = edited.order.region
    assert edited.volume.grid == ct.grid
    assert edited.volume.hu.dtype == ct.hu.dtype
    assert edited.volume.hu[~region].tobytes() == ct.hu[~region].tobytes()
    assert (edited.volume.hu != ct.hu)[nodule.binary()].mean() > 0.9
    assert (nodule.binary() & ~region).sum() == 0
    np.testing.assert_array_equal(edited.order.mask, nodule.binary())


def test_inside_are_the_values_of_the_volume_that_was_made(edited, ct, nodule):
    at = (12, 17, 21)
    world = AFFINE @ [*at, 1.0]
    world[0] -= SHIFT_MM
    index = np.rint(np.linalg.inv(edited.made.affine_mm) @ world).astype(int)[:3]
    near = edited.made.hu[tuple(slice(i - 1, i + 2) for i in index)]
    assert near.min() <= edited.volume.hu[at] <= near.max()


def test_the_model_s_region_is_a_part_of_its_latents_and_the_rest_is_the_ct_s_own(pipeline, edited, ct):
    place, _ = find_edit_region(
        ct.grid, pipeline.grid, lambda: edited.order.model_to_ct_lps_mm,
        mask=None, remove=None, region=LabelMap(edited.order.region, AFFINE), margin_mm=None,
    )  # fmt: skip
    region = pipeline.latent_region(place.model_region)
    assert 0 < region.float().mean() < 0.5


def test_the_seed_the_report_and_the_mask_change_it_and_the_same_give_the_same(pipeline, edited, ct, nodule):
    def edit(report="A nodule of 5 mm.", **changed):
        asked = {"mask": nodule, "mask_text": WORDS, "align": align, **FAST, **changed}
        return pipeline.edit(ct, report, **asked).volume

    region = LabelMap(edited.order.region, AFFINE)
    fixed = {"margin_mm": None, "region": region}
    assert edit(**fixed) == edited.volume
    others = [edit(seed=4), edit("Large pleural effusion."), edit(mask=None, remove=nodule), edit(resamplings=2)]
    assert not any(one == edited.volume for one in others)


def test_removing_asks_for_an_empty_mask_around_what_was_there(pipeline, ct, nodule):
    gone = pipeline.edit(ct, mask_text=WORDS, remove=nodule, align=align, **FAST)
    assert not gone.order.mask.any()
    assert not gone.order.recipe.mask.any()
    assert gone.order.recipe.mode == "mask"
    there = LabelMap(np.roll(nodule.labels, 8, axis=1), AFFINE)
    moved = pipeline.edit(ct, mask=there, mask_text=WORDS, remove=nodule, align=align, **FAST)
    assert (moved.order.region & nodule.binary()).any()
    assert (moved.order.region & there.binary()).any()


def test_a_mask_on_the_model_s_grid_is_brought_by_the_registration(pipeline, ct, tiny_mask):
    made = pipeline.edit(ct, mask=LabelMap(tiny_mask, pipeline.grid.affine_mm), mask_text="heart", align=align, **FAST)
    centre = AFFINE[:3, :3] @ np.argwhere(made.order.mask).mean(axis=0) + AFFINE[:3, 3]
    expected = pipeline.grid.affine_mm[:3, :3] @ np.argwhere(tiny_mask).mean(axis=0) + pipeline.grid.affine_mm[:3, 3]
    assert centre == pytest.approx([expected[0] + SHIFT_MM, *expected[1:]], abs=1.0)


def test_a_strength_of_zero_brings_back_what_the_tokenizer_makes_of_the_ct(pipeline, ct, nodule):
    one, other = (
        pipeline.edit(ct, mask=nodule, mask_text=WORDS, strength=0.0, align=align, **FAST | {"seed": seed})
        for seed in (1, 2)
    )
    assert one.volume == other.volume


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"region": np.ones(SHAPE, bool), "margin_mm": None}, "mask-full"),
        ({"region": np.zeros(SHAPE, bool), "margin_mm": None}, "region-empty"),
        ({"mask": np.zeros(SHAPE, bool)}, "region-empty"),
        ({"margin_mm": 60.0}, "region-too-large"),
        ({"region": np.roll(np.pad(np.ones((3, 3, 3), bool), [(0, n - 3) for n in SHAPE]), 1), "margin_mm": None},
         "mask-outside-region"),
        ({"mask_text": None}, "mask-without-words"),
    ],
)  # fmt: skip
def test_regions_and_masks_that_make_no_edit_are_refused(pipeline, ct, nodule, changed, code):
    asked = {"mask": nodule, "mask_text": WORDS, "align": align, **FAST}
    changed = {key: LabelMap(one, AFFINE) if isinstance(one, np.ndarray) else one for key, one in changed.items()}
    with pytest.raises(MaskError) as caught:
        pipeline.edit(ct, **asked | changed)
    assert caught.value.code == code


def test_masks_elsewhere_are_refused_before_the_ct_is_registered(pipeline, ct, nodule):
    far = AFFINE.copy()
    far[0, 3] += 500

    def never(_ct: CTVolume) -> Alignment:
        pytest.fail("registered")

    with pytest.raises(MaskError, match="mask-outside-grid"):
        pipeline.edit(ct, mask=LabelMap(nodule.labels, far), mask_text=WORDS, align=never, **FAST)
    with pytest.raises(ConfigError, match="seed-invalid"):
        pipeline.edit(ct, mask=nodule, mask_text=WORDS, align=never, **FAST | {"seed": -1})
    with pytest.raises(ConfigError, match="region-twice"):
        pipeline.edit(ct, mask=nodule, mask_text=WORDS, align=never, region=nodule, **FAST)
    with pytest.raises(ConfigError, match="edit-numbers"):
        pipeline.edit(ct, mask=nodule, mask_text=WORDS, align=never, **FAST | {"blend_mm": -1})


def test_a_region_where_the_model_makes_nothing_is_refused(pipeline, ct, nodule):
    def far(_ct: CTVolume) -> Alignment:
        return replace(align(_ct), template_to_native_lps_mm=np.eye(4) + np.pad([[300.0]], ((0, 3), (3, 0))))

    with pytest.raises(MaskError, match="region-outside-grid"):
        pipeline.edit(ct, mask=nodule, mask_text=WORDS, align=far, **FAST)


def test_a_model_without_a_template_knows_no_place_for_a_ct(pipeline, ct):
    with pytest.raises(WeightsError, match="model-without-template"):
        align_ct(pipeline, ct)


def test_what_belongs_to_a_real_ct_is_refused_for_a_generated_volume(pipeline):
    made = pipeline(seed=3, sampling=FAST["sampling"])
    with pytest.raises(ConfigError, match="margin_mm"):
        pipeline.edit(made, margin_mm=3.0)


def test_the_sidecar_makes_the_same_files_again_from_the_same_ct_alone(pipeline, edited, ct, tmp_path):
    edited.save(tmp_path / "one.nii.gz")
    again = pipeline.remake_edit(tmp_path / "one.json", ct)
    again.save(tmp_path / "two.nii.gz")
    for name in (".nii.gz", "_mask.nii.gz", "_region.nii.gz"):
        assert (tmp_path / f"one{name}").read_bytes() == (tmp_path / f"two{name}").read_bytes()
    assert read_labels(tmp_path / "one_mask.nii.gz").grid == read_ct(tmp_path / "one.nii.gz").grid
    other = CTVolume(ct.hu + np.int16(1), ct.affine_mm)
    with pytest.raises(IntegrityError, match="source-another"):
        pipeline.remake_edit(tmp_path / "one.json", other)
    with pytest.raises(IntegrityError, match="sidecar-of-edit"):
        pipeline.remake(tmp_path / "one.json")
    (tmp_path / "one_region.nii.gz").unlink()
    with pytest.raises(IntegrityError, match="sidecar-mask"):
        pipeline.remake_edit(tmp_path / "one.json", ct)


def test_a_file_keeps_its_axes_type_and_numbers_and_loses_its_texts(edited, ct, tmp_path):
    stored = (ct.hu.transpose(2, 1, 0)[::-1] + 1024).astype(np.uint16)
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ ct.affine_mm[:, [2, 1, 0, 3]] @ np.diag([-1.0, 1.0, 1.0, 1.0])
    ras[:3, 3] = (np.diag([-1.0, -1.0, 1.0, 1.0]) @ ct.affine_mm @ [0, 0, SHAPE[2] - 1, 1])[:3]
    image = nib.Nifti1Image(stored, ras)
    image.header["descrip"], image.header["aux_file"], image.header["db_name"] = b"DOE^JOHN", b"DOE^JOHN", b"DOE^JOHN"
    image.header["intent_name"] = b"DOE^JOHN"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"DOE^JOHN 1950-01-01"))
    nib.save(image, tmp_path / "DOE_JOHN.nii.gz")
    path = tmp_path / "DOE_JOHN.nii.gz"
    source = Source(read_ct(path), HuScale("stored", 1.0, -1024.0, None), open_storage(path))
    edited.save(tmp_path / "out.nii.gz", source)
    found, region, mask = (nib.load(tmp_path / f"out{name}.nii.gz") for name in ("", "_region", "_mask"))
    assert found.get_data_dtype() == np.uint16
    np.testing.assert_array_equal(found.affine, nib.load(tmp_path / "DOE_JOHN.nii.gz").affine)
    outside = np.asarray(region.dataobj) == 0
    np.testing.assert_array_equal(np.asarray(found.dataobj)[outside], stored[outside])
    assert 0 < (np.asarray(found.dataobj) != stored).sum() <= (~outside).sum()
    np.testing.assert_array_equal(found.affine, mask.affine)
    shown = edited.volume.hu.transpose(2, 1, 0)[::-1]
    np.testing.assert_array_equal(np.asarray(found.dataobj).astype(int) - 1024, shown)
    for name in ("out.nii.gz", "out_region.nii.gz", "out_mask.nii.gz"):
        header = nib.load(tmp_path / name).header
        assert header["descrip"].item().startswith(b"SYNTHETIC")
        assert b"DOE" not in header.binaryblock
        assert len(header.extensions) == 0
    assert "DOE" not in (tmp_path / "out.json").read_text("utf-8")


def test_the_sidecar_says_that_it_is_synthetic_and_names_the_ct_by_its_hash(edited, ct, tmp_path):
    edited.save(tmp_path / "out.nii.gz")
    values = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert values["synthetic"] is True
    assert values["edit"]["source_sha256"] == hash_ct(ct)
    assert values["strength"] == 1.0
    assert hash_ct(CTVolume(ct.hu, ct.affine_mm + 1e-7)) == hash_ct(ct)


def test_an_edited_ct_shows_itself_in_a_notebook_with_its_region(edited):
    bundle = edited._repr_mimebundle_()
    assert bundle["text/plain"].startswith(f"EditedCT(seed 3, strength 1, mask of {WORDS!r}, 'A nodule of 5 mm.', ")
    for text in (EDITED_REGION, WORDS, "SYNTHETIC"):
        assert f"&quot;{text}&quot;" in edited._repr_html_()
