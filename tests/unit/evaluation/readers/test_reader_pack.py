"""The folder holds the voxels exactly, and its order and names follow from nothing that tells."""

import base64
import json
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

from medsyn2.ct.volume import CTVolume, Grid, LabelMap, axis_aligned_affine
from medsyn2.errors import GeometryError
from medsyn2.evaluation.readers.reader_pack import (
    Frame,
    ReaderCase,
    case_body,
    case_script,
    common_frame,
    number_cases,
    page_files,
    page_values,
    questions,
    reading_orders,
)

FRAME = Frame((2.0, 1.0, 1.0), (4, 6, 5), (-1024.0, 1024.0))


def grid(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Grid:
    return Grid(shape, axis_aligned_affine(spacing, (-10.0, 5.0, 3.0)))


def unpacked(body: str, frame: Frame) -> np.ndarray:
    """The HU of a case, as reader.html unpacks them: differences along the width, low bytes before high bytes."""
    planes = np.frombuffer(zlib.decompress(base64.b64decode(json.loads(body)["volume"])), dtype=np.uint8)
    low, high = planes.astype(np.uint16).reshape(2, *frame.shape)
    return np.cumsum(low + 256 * high, axis=2, dtype=np.uint16).astype(np.int16) + np.int16(frame.clip_hu[0])


def test_voxels_survive_exactly() -> None:
    hu = np.random.default_rng(0).integers(-1024, 1025, FRAME.shape).astype(np.int16)
    body = case_body(ReaderCase(CTVolume(hu, np.eye(4)), None, "nodules", "A nodule."), FRAME)
    np.testing.assert_array_equal(unpacked(body, FRAME), hu)
    assert set(json.loads(body)) == {"volume", "mask", "pathology", "report"}


def test_case_files_have_one_length_and_are_ascii() -> None:
    short, long = case_script("001", '{"report": null}', 40), case_script("002", "x" * 40, 40)
    assert len(short) == len(long)
    assert short.startswith(b'receive("001",{"report": null} ')


def test_the_frame_is_the_coarsest_and_the_smallest() -> None:
    frame = common_frame([grid((40, 50, 60), (1, 2, 1)), grid((30, 100, 50), (2, 1, 1.5))], (-1024, 600))
    assert frame.spacing_mm == (2, 2, 1.5)
    assert frame.shape == (20, 50, 40)  # 39 mm, 98 mm and 59 mm between the outer voxels' centres
    assert common_frame([grid((40, 40, 40), (1, 1, 1))], (-1024, 600), finest_mm=(3, 1, 1)).spacing_mm[0] == 3


def test_edges_are_trimmed_from_all_alike() -> None:
    grids = [grid((40, 50, 60), (1, 1, 1)), grid((45, 50, 70), (1, 1, 1))]
    assert common_frame(grids, (-1024, 600), trim_mm=(3, 0, 10)).shape == (34, 50, 40)
    with pytest.raises(GeometryError, match="after trimming"):
        common_frame(grids, (-1024, 600), trim_mm=(20, 0, 0))


def test_a_volume_is_cut_in_its_middle_and_never_padded() -> None:
    source = grid((9, 12, 15), (2, 1, 1))
    hu = np.full(source.shape, -100, np.int16)
    hu[4, 6, 7] = 3000
    frame = Frame((2.0, 1.0, 1.0), (5, 6, 7), (-1024.0, 1024.0))
    shown = frame.volume(CTVolume(hu, source.affine_mm))
    # The middle of 12 is between two voxels, and of 6 too: no interpolation.
    assert shown.hu.shape == frame.shape
    assert shown.hu[2, 3, 3] == 1024
    assert np.count_nonzero(shown.hu == -100) == shown.hu.size - 1
    mask = frame.mask(LabelMap((hu > 0).astype(np.uint8), source.affine_mm))
    assert np.argwhere(mask).tolist() == [[2, 3, 3]]


def test_a_box_that_fits_all_pads_none() -> None:
    grids = [grid((10, 20, 30), (1.5, 1, 1)), grid((12, 17, 40), (1, 1.3, 0.9))]
    frame = common_frame(grids, (-1024, 1024))
    for one in grids:
        assert frame.volume(CTVolume(np.full(one.shape, 7, np.int16), one.affine_mm)).hu.min() == 7


def test_numbers_and_orders_follow_from_contents_and_seed() -> None:
    digests = [f"{i:064x}" for i in range(20)]
    names = number_cases(digests, seed=3)
    assert sorted(names.values()) == [f"{i:03d}" for i in range(1, 21)]
    assert names == number_cases(reversed(digests), seed=3) != number_cases(digests, seed=4)
    assert list(names.values()) != sorted(names.values())


@pytest.mark.parametrize("repeated", [0.0, 0.1, 0.3])
def test_each_reader_has_an_order_with_repeats_far_from_the_first_time(repeated: float) -> None:
    names = [f"{i:03d}" for i in range(40)]
    orders = reading_orders(names, 3, repeated, seed=1)
    assert orders == reading_orders(names[::-1], 3, repeated, seed=1)
    assert len({tuple(order) for order in orders}) == 3
    for order in orders:
        assert set(order) == set(names)
        again = [name for name in names if order.count(name) == 2]
        assert len(order) - 40 == len(again) == round(repeated * 40)
        second = [len(order) - 1 - order[::-1].index(name) for name in again]
        assert all(place > len(names) // 2 for place in second)


def test_what_is_asked_for_follows_from_what_is_given() -> None:
    asked = [[question.id for question in questions(given)] for given in ({"report", "mask"}, {"mask"}, ())]
    assert [names[:-3] for names in asked] == [["report", "mask"], ["mask"], ["finding"]]
    assert all(names[-3:] == ["origin", "confidence", "quality"] for names in asked)


def test_the_page_loads_nothing_from_elsewhere() -> None:
    files = page_files(page_values(FRAME, [["001"]], questions(())), "of this study")
    page = files["index.html"].decode()
    assert "default-src 'none'" in page
    assert "://" not in page
    assert "of this study" in files["study.js"].decode()


DRIVER = """
<script>
const expected = [];
(async () => {
  document.getElementById("years").value = 17;
  await begin();
  for (let i = 0; i < order().length; i++) {
    if (i) await go(i);
    expected.push([order()[i], shown.hu.reduce((a, v, j) => a + v * (j % 97), 0),
                   shown.inside.reduce((a, v, j) => a + v * j, 0)]);
    for (const box of document.querySelectorAll(".choices")) box.querySelectorAll("button")[i % 2].click();
  }
  document.getElementById("comment").value = "=1+1, \\"so\\"";
  document.getElementById("comment").oninput({target: document.getElementById("comment")});
  const result = {expected, rows: exported(), csv: csv(exported()), note: document.getElementById("note").textContent};
  document.body.dataset.result = JSON.stringify(result);
})();
</script>
</body>
"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")
def test_a_browser_reads_the_voxels_and_saves_the_answers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    bodies, sums = {}, {}
    for name in ("001", "002", "003"):
        hu = rng.integers(-1024, 1025, FRAME.shape).astype(np.int16)
        mask = rng.random(FRAME.shape) < 0.3
        bodies[name] = case_body(ReaderCase(CTVolume(hu, np.eye(4)), mask, "nodules", "<b>A nodule.</b>"), FRAME)
        places = np.arange(hu.size)
        sums[name] = [int((hu.ravel().astype(int) * (places % 97)).sum()), int(places[mask.ravel()].sum())]
    orders = reading_orders(list(bodies), 1, 0.4, seed=0)
    files = page_files(page_values(FRAME, orders, questions({"report", "mask"})), "a study")
    files |= {f"cases/{name}.js": case_script(name, body, 2000) for name, body in bodies.items()}
    files["index.html"] = files["index.html"].replace(b"</body>", DRIVER.encode())
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    command = ["chromium", *options, f"--user-data-dir={tmp_path}/profile", f"file://{tmp_path}/index.html"]
    dom = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=True).stdout
    found = re.search(r'data-result="([^"]*)"', dom)
    assert found, dom[-2000:]
    result = json.loads(found[1].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert result["expected"] == [[name, *sums[name]] for name in orders[0]]
    assert [row["case"] for row in result["rows"]] == orders[0]
    assert {(row["study"], row["reader"], row["years"]) for row in result["rows"]} == {("a study", 1, 17)}
    assert [row["origin"] for row in result["rows"]] == ["real", "synthetic"] * 2
    assert [row["mask"] for row in result["rows"]] == ["match", "partial"] * 2
    assert result["csv"].splitlines()[0].startswith("study,reader,years,position,case,report,mask,origin")
    assert '"\'=1+1, ""so"""' in result["csv"]
    assert result["note"].startswith("All cases are answered")
