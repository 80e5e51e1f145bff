"""A volume in a notebook: the page that an export of a notebook is, opened from a file, without kernel and server."""

import html
from pathlib import Path

import numpy as np
import pytest

from medsyn2.ct.notebook import show_volume
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from tests.browser.conftest import Tab, wait

SHAPE = (40, 48, 56)
CELL = "<!doctype html><meta charset=utf-8><body style='margin:0;height:3000px;background:#fff'>{cell}</body>"
WORDS = "</script><b>nodule"


@pytest.fixture(scope="module")
def volume() -> CTVolume:
    """Air on the patient's right, soft tissue on the left, bone in one voxel of it."""
    hu = np.full(SHAPE, -1000, np.int16)
    hu[:, :, SHAPE[2] // 2 :] = 40
    hu[10, 12, 42] = 1000
    return CTVolume(hu, axis_aligned_affine((2.0, 1.5, 1.5), (0.0, 0.0, 0.0)), is_synthetic=True)


@pytest.fixture(scope="module")
def exported(folder: Path, volume: CTVolume) -> str:
    mask = np.sum((np.indices(SHAPE).T - [10, 12, 42]) ** 2, axis=-1).T < 30
    path = folder / "notebook.html"
    path.write_text(
        CELL.format(
            cell=show_volume(volume.hu, volume.spacing_mm, {WORDS: mask}, WORDS, is_synthetic=True)["text/html"]
        ),
        encoding="utf-8",
    )
    return path.as_uri()


@pytest.fixture
def cell(driver, exported):
    driver.get(exported)
    driver.switch_to.frame(driver.find_element("css selector", "iframe"))
    tab = Tab(driver)
    wait(lambda: tab.run("return document.documentElement.dataset.ready"))
    tab.frame()
    yield tab
    assert [line["message"] for line in driver.get_log("browser")] == []
    driver.switch_to.default_content()


def go_to(tab: Tab, plane: str, index: int) -> None:
    tab.run(
        "const s = arguments[0].nextElementSibling; s.value = arguments[1]; s.dispatchEvent(new Event('input'));",
        tab.canvas(plane),
        index,
    )
    tab.frame()


def test_planes_windows_and_sliders_work_without_a_kernel(cell: Tab) -> None:
    canvas = cell.canvas("axial")
    assert "1000 HU at [10, 12, 42]" in cell.text("readout"), "it begins in the largest slices of the mask"
    shown = cell.pixels(canvas)
    height, width = shown.shape[:2]
    edge = (height // 3, slice(width // 5, width // 4)), (height // 3, slice(-width // 4, -width // 5))
    right, left = (shown[place].mean() for place in edge)
    assert right < 80, "air, of the patient's right, on the left of the picture"
    assert left > 200
    cell.all("#bar button")[1].click()
    cell.frame()
    windowed = cell.pixels(canvas)
    assert windowed[edge[0]].mean() < 5
    assert 80 < windowed[edge[1]].mean() < 160, "40 HU in a window from -125 to 225"
    assert "level 50, width 350" in cell.text("readout")
    sliders = cell.all("input[type=range]")
    assert [int(slider.get_attribute("max")) for slider in sliders] == [n - 1 for n in SHAPE]
    go_to(cell, "sagittal", 5)
    assert "-1000 HU at [10, 12, 5]" in cell.text("readout")
    assert cell.pixels(cell.canvas("sagittal"))[height // 3, width // 5 : width // 4].mean() < 5


def test_synthetic_and_the_outline_stand_in_the_picture(cell: Tab) -> None:
    for plane in ("axial", "coronal", "sagittal"):
        corner = cell.pixels(cell.canvas(plane))[:25, -110:].reshape(-1, 3)
        assert np.mean((corner[:, 0] > 200) & (corner[:, 1] > 140) & (corner[:, 2] < 130)) > 0.02, plane
    pixels = cell.pixels(cell.canvas("axial")).reshape(-1, 3)
    assert np.mean((pixels[:, 0] > 200) & (pixels[:, 1] > 170) & (pixels[:, 2] < 60)) > 0.001, "#ffd400, an outline"
    assert cell.all("#bar span")[0].text == WORDS
    assert cell.text("text") == WORDS
    assert cell.all("b") == []


def test_a_click_the_wheel_and_the_keys_go_through_the_volume(cell: Tab) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
    from selenium.webdriver.common.keys import Keys

    canvas = cell.canvas("coronal")

    def turn() -> None:
        ActionChains(cell.driver).scroll_from_origin(ScrollOrigin.from_element(canvas), 0, 100).perform()

    before = cell.text("readout")
    turn()
    assert cell.text("readout") == before, "the wheel turns the notebook"
    cell.driver.switch_to.default_content()
    wait(lambda: cell.run("return window.scrollY") > 0)
    cell.run("window.scrollTo(0, 0)")
    cell.driver.switch_to.frame(cell.driver.find_element("css selector", "iframe"))
    canvas.click()
    cell.frame()
    clicked = cell.text("readout")
    assert clicked != before
    turn()
    cell.frame()
    assert cell.text("readout") != clicked, "after a click it turns the slices"
    canvas.send_keys(Keys.ARROW_LEFT)
    cell.frame()
    assert "HU at" in cell.text("readout")


def test_the_document_loads_nothing_and_reaches_nothing(cell: Tab) -> None:
    assert cell.run("return performance.getEntriesByType('resource').length") == 0
    assert cell.run("try { return parent.document.title } catch { return 'refused' }") == "refused"


def test_where_scripts_may_not_run_the_picture_shows(driver, folder: Path, volume: CTVolume) -> None:
    path = folder / "untrusted.html"
    cell = volume._repr_html_().replace('sandbox="allow-scripts"', 'sandbox=""')
    path.write_text(CELL.format(cell=cell), encoding="utf-8")
    driver.get(path.as_uri())
    picture = folder / "untrusted.png"
    driver.save_screenshot(str(picture))
    from matplotlib.image import imread

    shown = imread(picture)[100:300, 20:900, :3]
    assert shown.std() > 0.2, "three planes, and no white sheet over them"
    driver.get_log("browser")
    assert html.escape(repr(volume)) in cell
