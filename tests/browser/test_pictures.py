"""The pictures of the how-to, taken from the page as it is.

`make page-pictures` writes them into `docs/images`. Otherwise they are taken, looked at by a program, and thrown away.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from safetensors.torch import load_file

from medsyn2.ct.nifti.files import read_ct
from medsyn2.pipeline import Synthetic
from medsyn2.pipeline.outputs import sidecar_path
from medsyn2.pipeline.synthetic import read_sidecar
from medsyn2.server.session import Session, item_file
from tests.browser.conftest import Tab, wait

IMAGES = Path(__file__).parents[2] / "docs/images"
NAMES = ("page-draw.png", "page-result.png", "page-compare.png")
NOTEBOOK = "notebook.png"
REPORT = "There is a solid nodule in the left upper lobe, 40 mm."


@pytest.fixture(scope="module")
def target(folder) -> Path:
    return Path(os.environ.get("MEDSYN2_PICTURES", folder)).absolute()


def take(tab: Tab, path: Path) -> None:
    tab.run("document.activeElement?.blur()")
    tab.frame()
    assert tab.driver.save_screenshot(str(path))
    picture = imread(path)
    assert min(picture.shape[:2]) > 700
    assert 0.05 < np.std(picture[..., :3]) < 0.5


def go_to_slice(tab: Tab, index: int) -> None:
    tab.run(
        "const s = arguments[0].nextElementSibling; s.value = arguments[1]; s.dispatchEvent(new Event('input'));",
        tab.canvas("axial"),
        index,
    )
    tab.frame()


def tidy(tab: Tab) -> None:
    tab.run("document.querySelectorAll('details').forEach(d => d.open = false)")
    tab.run("document.querySelector('.steps').scrollTop = 0")


def take_effusion(tab: Tab) -> None:
    tab.click("shelf-open")
    wait(lambda: tab.get("shelf-filter").is_displayed())
    tab.set("shelf-filter", "right pleural effusion")
    wait(lambda: tab.all("#shelf-list button"))[0].click()
    wait(lambda: tab.all("#structures li"))
    tab.set("findings", "There is a moderate right pleural effusion.")
    wait(lambda: "of" in tab.text("tokens-text"))


def test_the_pictures_of_the_how_to(tab, target) -> None:
    canvas = tab.canvas("axial")
    tab.click("tool-brush")
    tab.set("radius", 16)
    tab.drag(canvas, (100, 10), (108, 40))
    tab.get("findings").send_keys(REPORT)
    wait(lambda: "of" in tab.text("tokens-text"))
    tab.run("document.querySelector('.steps').scrollTop = 0")
    take(tab, target / NAMES[0])

    steps = int(tab.get("num-steps").get_attribute("value"))
    tab.all("#structures li button:last-child")[0].click()
    take_effusion(tab)
    tab.generate(num_steps=steps)
    tab.click("item-check")
    wait(lambda: tab.all("#item-facts dd"))
    tidy(tab)
    take(tab, target / NAMES[1])

    tab.click("item-change")
    tab.set("findings", "There is a solid nodule measuring 25 mm in diameter in the left lower lobe.")
    tab.click("structure-add")
    go_to_slice(tab, 38)
    tab.click("tool-brush")
    tab.set("radius", 13)
    tab.drag(canvas, (110, 10))
    tab.generate(num_steps=steps)
    wait(lambda: tab.all("#columns[data-layout=pair]"))
    tidy(tab)
    take(tab, target / NAMES[2])


def test_the_picture_of_a_notebook(tab, server, folder, target) -> None:
    """The effusion of the pictures above as a notebook shows it."""
    session = Session(server.session)
    item = next(one for one in session.all("items") if one["words"] == "pleural effusion")
    path = item_file(session, item["id"])
    recipe, model = read_sidecar(sidecar_path(path))
    made = Synthetic(read_ct(path), recipe, model, load_file(path.with_name("latents.safetensors"))["latents"])
    cell = folder / "cell.html"
    cell.write_text(f"<!doctype html><meta charset=utf-8>{made._repr_html_()}", encoding="utf-8")
    tab.driver.get(cell.as_uri())
    frame = tab.all("iframe")[0]
    tab.driver.switch_to.frame(frame)
    wait(lambda: tab.run("return document.documentElement.dataset.ready"))
    tab.frame()
    tab.driver.switch_to.default_content()
    assert frame.screenshot(str(target / NOTEBOOK))
    assert 0.1 < np.std(imread(target / NOTEBOOK)[..., :3]) < 0.5
    tab.open(f"http://127.0.0.1:{server.port}/")
