"""A volume as a notebook shows it: what is in the document, and what is not. ``tests/browser`` looks at it."""

import base64
import json
import re
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest

from medsyn2.ct.notebook import MAX_VOXELS, block_factors, block_means, block_touches, pack_voxels, show_volume
from medsyn2.ct.volume import CTVolume, LabelMap, axis_aligned_affine

SPACING_MM = (2.0, 1.0, 1.0)
AFFINE = axis_aligned_affine(SPACING_MM, (0.0, 0.0, 0.0))
SHAPE = (5, 6, 7)
PAPER = (448, 448, 448)


class Elements(HTMLParser):
    """The elements of a document, with their attributes as a browser reads them."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


def document_of(bundle):
    (frame,) = Elements(bundle["text/html"]).all("iframe")
    assert frame["sandbox"] == "allow-scripts"
    return frame["srcdoc"]


def content_of(bundle):
    return json.loads(re.search(r'id="content">(.*?)</script>', document_of(bundle), re.DOTALL)[1])


def voxels_of(content):
    """Undo `pack_voxels` as the browser does."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(content["voxels"])), np.uint8).reshape(2, -1)
    steps = planes[0].astype(np.uint16) | planes[1].astype(np.uint16) << 8
    return np.cumsum(steps.reshape(content["shape"]), axis=2, dtype=np.uint16).view(np.int16)


@pytest.fixture(scope="module")
def hu():
    return np.random.default_rng(0).integers(-32768, 32767, SHAPE, dtype=np.int16)


def test_a_small_volume_is_there_voxel_for_voxel(hu):
    content = content_of(CTVolume(hu, AFFINE)._repr_mimebundle_())
    assert (content["factors"], content["spacing_mm"], content["badge"]) == ([1, 1, 1], [2.0, 1.0, 1.0], "")
    np.testing.assert_array_equal(voxels_of(content), hu)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_type_and_order_of_voxels_is_shown(dtype, order):
    values = np.asarray(np.arange(np.prod(SHAPE)).reshape(SHAPE), dtype=dtype, order=order)
    content = content_of(CTVolume(values, AFFINE)._repr_mimebundle_())
    np.testing.assert_array_equal(voxels_of(content), values)


def test_values_beyond_16_bits_are_the_nearest():
    values = np.array([[[np.nan, 1e9, -np.inf, 0.6]]], np.float32)
    np.testing.assert_array_equal(block_means(values, (1, 1, 1)), [[[-32768, 32767, -32768, 1]]])


@pytest.mark.parametrize(
    ("shape", "spacing_mm"),
    [
        (PAPER, (0.75, 0.75, 0.75)),
        ((700, 512, 512), (0.5, 0.7, 0.7)),
        ((40, 1024, 1024), (10.0, 0.4, 0.4)),
        ((1, 4000, 4000), (1.0, 0.1, 0.1)),
        ((9_000_000, 1, 2), (1.0, 1.0, 1.0)),
    ],
)
def test_a_large_volume_is_bounded_and_its_voxels_are_nearly_cubic(shape, spacing_mm):
    factors = block_factors(shape, spacing_mm)
    left = [-(-n // f) for n, f in zip(shape, factors, strict=True)]
    assert MAX_VOXELS / 4 < np.prod(left) <= MAX_VOXELS
    sizes = [s * f for n, s, f in zip(shape, spacing_mm, factors, strict=True) if 1 < f < n]
    assert not sizes or max(sizes) < 2 * min(sizes)


def test_the_papers_volume_is_a_third_along_each_axis():
    assert block_factors(PAPER, (0.75, 0.75, 0.75)) == (3, 3, 3)


def test_no_volume_makes_a_cell_of_more_than_ten_megabytes():
    noise = np.random.default_rng(0).integers(-32768, 32767, (150, 150, 150), dtype=np.int16)
    assert len(pack_voxels(noise)) < 10e6, "white noise of all 16 bits, which nothing compresses"


@pytest.mark.parametrize("factors", [(1, 1, 1), (2, 3, 2), (5, 4, 7), (3, 6, 1)])
def test_blocks_are_means_and_touched_by_any_voxel(hu, factors):
    mask = hu > 20000
    means, touched = block_means(hu, factors), block_touches(mask, factors)
    for index in np.ndindex(means.shape):
        block = tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factors, strict=True))
        assert abs(means[index] - hu[block].mean()) <= 0.5
        assert touched[index] == mask[block].any()


def test_a_reduced_volume_says_so_and_keeps_its_smallest_lesion(monkeypatch, hu):
    monkeypatch.setattr("medsyn2.ct.notebook.MAX_VOXELS", 30)
    mask = np.zeros(SHAPE, bool)
    mask[4, 5, 6] = True
    bundle = show_volume(hu, SPACING_MM, {"nodule": mask}, "text")
    content = content_of(bundle)
    assert np.prod(content["shape"]) <= 30
    assert f"; shown are means of {' x '.join(map(str, content['factors']))} voxels" in document_of(bundle)
    assert sum(zlib.decompress(base64.b64decode(content["labels"]))) == 1
    assert content["at"] == [n - 1 for n in content["shape"]]


def test_a_synthetic_volume_says_so_in_each_plane_and_in_the_text(hu):
    bundle = CTVolume(hu, AFFINE, is_synthetic=True)._repr_mimebundle_()
    assert content_of(bundle)["badge"] == "SYNTHETIC"
    assert all("SYNTHETIC" in bundle[kind] for kind in ("text/plain", "text/html"))


def test_there_is_a_picture_for_those_who_run_no_script(hu):
    bundle = CTVolume(hu, AFFINE)._repr_mimebundle_()
    png = base64.b64decode(bundle["image/png"])
    assert png.startswith(b"\x89PNG")
    (image,) = Elements(bundle["text/html"]).all("img")
    assert image["src"] == f"data:image/png;base64,{bundle['image/png']}"
    assert image["alt"] == repr(CTVolume(hu, AFFINE))


EVIL = ["</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "<!--", "$\\frac{", "$text ${x}"]


@pytest.mark.parametrize("words", EVIL)
def test_no_text_becomes_markup(hu, words):
    bundle = show_volume(hu, SPACING_MM, {words: hu > 0}, words)
    plain = show_volume(hu, SPACING_MM, {"mask": hu > 0}, "text")
    tags = [[tag for tag, _ in Elements(text).found] for text in (bundle["text/html"], document_of(bundle))]
    assert tags == [[tag for tag, _ in Elements(text).found] for text in (plain["text/html"], document_of(plain))]
    assert content_of(bundle)["marks"][0]["name"] == words


def test_nothing_comes_from_elsewhere(hu):
    document = document_of(CTVolume(hu, AFFINE)._repr_mimebundle_())
    assert "default-src 'none'" in document
    assert not re.search(r"(src|href)=|https?:|\bimport\b|\bexport\b|fetch\(|XMLHttp", document)


def test_labels_show_themselves_in_their_colours():
    labels = np.zeros(SHAPE, np.uint8)
    labels[1, 2, 3:5] = 1
    labels[2, 2, 3] = 7
    content = content_of(LabelMap(labels, AFFINE, {1: "heart", 7: "lungs"})._repr_mimebundle_())
    assert [mark["name"] for mark in content["marks"]] == ["heart", "lungs"]
    assert len({mark["colour"] for mark in content["marks"]}) == 2
    shown = np.frombuffer(zlib.decompress(base64.b64decode(content["labels"])), np.uint8).reshape(SHAPE)
    np.testing.assert_array_equal(shown, np.where(labels == 7, 2, labels))


def test_more_labels_than_a_byte_counts_are_cut(monkeypatch, hu):
    monkeypatch.setattr("medsyn2.ct.notebook.MAX_MARKS", 3)
    bundle = show_volume(hu, SPACING_MM, {f"label {n}": hu == n for n in range(5)}, "")
    assert [mark["name"] for mark in content_of(bundle)["marks"]] == ["label 0", "label 1", "label 2"]


def test_an_empty_volume_is_a_line():
    empty = CTVolume(np.zeros((0, 3, 4), np.int16), AFFINE)
    assert empty._repr_mimebundle_() == {"text/plain": repr(empty)}
    assert empty._repr_html_() == repr(empty)
