"""The page in a real browser: what a person does with it, by what is on the screen and in the files."""

import math
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from medsyn2.ct.nifti.files import write_ct
from medsyn2.server.session import Session
from medsyn2.server.sources import alignment_of
from tests.browser.conftest import Tab, wait
from tests.unit.chests import scan_phantom

GRID = (64, 96, 96)  # Of the model that ships
SPACING_MM = (4.9, 3.2667, 3.2667)
RADIUS_MM = 20
WORDS = "lung nodules"


def draw_ball(tab: Tab, *, at: tuple[int, int] = (60, 20), radius_mm: int = RADIUS_MM) -> None:
    tab.click("tool-brush")
    tab.set("radius", radius_mm)
    tab.drag(tab.canvas("axial"), at)
    wait(lambda: "ml" in tab.text("structures"))


def scale_of(tab: Tab, canvas) -> float:
    """Return the pixels of a millimetre in an axial plane that fits its canvas."""
    width, height = (tab.run(f"return arguments[0].{side}", canvas) for side in ("width", "height"))
    return min(width / (GRID[2] * SPACING_MM[2]), height / (GRID[1] * SPACING_MM[1]))


def colour_share(pixels, tint) -> float:
    """Return the share of pixels that are clearly of a colour: brighter in it than in the other channels."""
    channels = pixels.reshape(-1, 3)
    others = [c for c in range(3) if c != tint]
    return float(np.mean(channels[:, tint] > channels[:, others].max(axis=1) + 25))


def download(tab: Tab, folder, button: str, suffix: str):
    before = set((folder / "downloads").iterdir())
    tab.click(button)

    def fresh():
        return [path for path in set((folder / "downloads").iterdir()) - before if path.name.endswith(suffix)]

    return wait(fresh)[0]


def test_a_lesion_is_drawn_generated_compared_saved_and_opened_again(tab, folder) -> None:
    canvas = tab.canvas("axial")
    assert tab.pixels(canvas).std() > 20, "a chest is shown to draw on"
    before = colour_share(tab.pixels(canvas), 0)
    draw_ball(tab)
    assert colour_share(tab.pixels(canvas), 0) > before + 0.005
    assert tab.all("#structures input[type=text]")[0].get_attribute("value") == WORDS
    volume_ml = float(tab.all("#structures .ml")[0].text.split()[0])
    assert volume_ml == pytest.approx(4 / 3 * math.pi * RADIUS_MM**3 / 1000, rel=0.1)

    tab.get("findings").send_keys("There is a solid nodule in the left upper lobe, 40 mm.")
    wait(lambda: "of" in tab.text("tokens-text"))
    k = scale_of(tab, canvas)
    tab.generate()
    assert tab.pixels(canvas).std() > 20
    readout = tab.text("readout")

    tab.set("item-format", "zip")
    with zipfile.ZipFile(download(tab, folder, "item-save", ".zip")) as archive:
        archive.extractall(folder / "opened")
    files = sorted(path.name for path in (folder / "opened").rglob("*.nii.gz"))
    volume = next(p for p in (folder / "opened").rglob("*.nii.gz") if not p.name.endswith("_mask.nii.gz"))
    hu = sitk.GetArrayFromImage(sitk.ReadImage(str(volume)))
    assert hu.shape == GRID, files

    mask = sitk.ReadImage(str(download(tab, folder, "mask-save", ".nii.gz")))
    inside = sitk.GetArrayFromImage(mask)
    assert inside.shape == GRID
    assert inside.sum() * math.prod(mask.GetSpacing()) / 1000 == pytest.approx(volume_ml, rel=0.02)
    # The brush was 60 pixels to the patient's left and 20 to the back of the middle of the picture.
    centre = np.argwhere(inside).mean(axis=0)
    expected = [(n - 1) / 2 for n in GRID]
    expected[1] += 20 / k / SPACING_MM[1]
    expected[2] += 60 / k / SPACING_MM[2]
    np.testing.assert_allclose(centre, expected, atol=0.8)
    # HU under the crosshair are those of the file.
    signs = {"L": 1, "R": -1, "P": 1, "A": -1, "H": 1, "F": -1}
    x, y, z = (signs[letter] * float(mm) for letter, mm in re.findall(r"([LRPAHF]) (\d+)", readout.split("HU")[1]))
    index = sitk.ReadImage(str(volume)).TransformPhysicalPointToIndex((x, y, z))
    assert hu[index[::-1]] == int(readout.split(" HU")[0].replace(",", ""))


def test_two_volumes_share_a_crosshair_and_differ_in_colour(tab) -> None:
    tab.set("seed", 1)
    tab.generate()
    main = tab.get("main-volume").get_attribute("value")
    # In one call: the page may fill the list anew at any time.
    options = tab.run("return Array.from(document.querySelectorAll('#beside-volume option'), one => one.value)")
    other = next(value for value in options[1:] if value != main)
    tab.set("beside-volume", other)
    wait(lambda: tab.all("#columns[data-layout=pair]"))
    tab.frame()
    left, right = (tab.pixels(tab.canvas("axial", column)) for column in (0, 1))
    assert left.shape == right.shape
    assert (left != right).any()
    tab.click("layout-difference")
    tab.frame()
    shown = tab.pixels(tab.canvas("axial"))
    assert colour_share(shown, 2) > 0.005, "blue: darker than before"
    assert np.mean(shown[..., 0] > shown[..., 2] + 25) > 0.005, "orange: brighter than before"
    tab.set("beside-volume", main)
    wait(lambda: tab.all("#columns[data-layout=pair]"))
    tab.click("layout-difference")
    tab.frame()
    assert colour_share(tab.pixels(tab.canvas("coronal")), 2) < 0.005, "no difference from itself"


LOOK = """
const done = arguments[0];
(async () => {
  const {viewer} = await (await import("/static/app.js")).page,
    {mmOf, voxelOf} = await import("/static/grid.js"),
    {id, grid} = viewer.main;
  done([id, grid.shape, mmOf(grid, voxelOf(grid, viewer.at_mm)), viewer.valuesAt(viewer.at_mm).main]);
})();
"""


def test_a_scan_is_looked_at_changed_and_compared_in_its_own_voxels(tab, folder, server) -> None:
    ct = scan_phantom(3, spacing_mm=1.5)
    write_ct(folder / "scan.nii.gz", ct)
    tab.get("file-ct").send_keys(str(folder / "scan.nii.gz"))
    wait(lambda: "is open" in tab.text("status"))
    spacing = " × ".join(f"{step_mm:.2f}" for step_mm in ct.spacing_mm[::-1])
    assert f"voxels of {spacing} mm" in tab.text("scan-facts")
    canvas = tab.canvas("axial")
    tab.drag(canvas, (70, -30))
    scan, shape, at_mm, hu = tab.driver.execute_async_script(LOOK)
    to_ct = alignment_of(Session(server.session), scan).template_to_native_lps_mm
    steps_mm = np.array(SPACING_MM) * GRID / shape * np.linalg.norm(to_ct[:3, [2, 1, 0]], axis=0)
    np.testing.assert_allclose(steps_mm, ct.spacing_mm, rtol=0.02)
    place_mm = (to_ct @ [*at_mm[::-1], 1.0])[:3]
    image = sitk.Cast(sitk.ReadImage(str(folder / "scan.nii.gz")), sitk.sitkFloat32)
    assert hu == pytest.approx(image.EvaluateAtPhysicalPoint(place_mm.tolist()), abs=1.0)

    draw_ball(tab, at=(70, -30), radius_mm=10)
    ball_ml = 4 / 3 * math.pi
    assert float(tab.all("#structures .ml")[0].text.split()[0]) == pytest.approx(ball_ml, rel=0.15), "of the patient"
    assert tab.text("generate") == "Change the scan"
    tab.set("strength", 0.5)
    tab.generate(num_steps=4)
    wait(lambda: tab.all("#columns[data-layout=pair]"))
    edited, same_shape, _, _ = tab.driver.execute_async_script(LOOK)
    assert (edited != scan, same_shape) == (True, shape)
    tab.driver.refresh()
    tab.ready()
    assert tab.text("generate") == "Change the scan"
    wait(lambda: tab.all("#columns[data-layout=pair]"))
    tab.click("layout-difference")
    tab.frame()
    shown = tab.pixels(tab.canvas("axial"))
    near = np.zeros(shown.shape[:2], bool)
    height, width = near.shape
    near[height // 2 - 110 : height // 2 + 50, width // 2 - 10 : width // 2 + 150] = True
    change = shown[..., 0] - shown[..., 2]
    coloured = (change > 40) | (change < -80)  # orange or blue; the crosshair is paler
    coloured[:40] = False  # the badge
    assert coloured[near].mean() > 0.005
    assert not coloured[~near].any(), "the scan itself"

    tab.set("beside-volume", tab.run("return document.querySelector('#beside-volume').options[1].value"))
    wait(lambda: tab.all("#columns[data-layout=pair]"))
    tab.click("layout-difference")
    tab.frame()
    assert colour_share(tab.pixels(tab.canvas("axial")), 2) > 0.01, "the mean chest, on the grid that both have"

    tab.run("window.confirm = () => true")
    tab.click("scan-forget")
    wait(lambda: not tab.get("scan-forget").is_displayed())
    tab.driver.refresh()
    tab.ready()
    assert not tab.get("problem").is_displayed(), "the edit stays, without the scan"
    assert tab.all("#columns[data-layout=one]")
    tab.run("window.confirm = () => true")
    num = len(tab.all("#items button"))
    tab.click("item-forget")
    wait(lambda: len(tab.all("#items button")) < num)


def test_the_mouse_goes_through_slices_zooms_and_changes_the_window(tab) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    canvas = tab.canvas("axial")
    first = tab.pixels(canvas)
    ActionChains(tab.driver).scroll_from_origin(ScrollOrigin.from_element(canvas), 0, -300).perform()
    tab.frame()
    slider = canvas.find_element("xpath", "following-sibling::input")
    assert int(slider.get_attribute("value")) > GRID[0] // 2
    assert (tab.pixels(canvas) != first).any()
    before = tab.text("window-text")
    tab.drag(canvas, (0, 0), (40, 30), button=2)
    assert tab.text("window-text") != before
    tab.click("window-bone")
    assert "level 300, width 2,000" in tab.text("window-text")
    assert tab.get("window-bone").get_attribute("aria-pressed") == "true"


def test_the_keyboard_alone_draws_and_takes_back(tab) -> None:
    from selenium.webdriver.common.keys import Keys

    canvas = tab.canvas("axial")
    tab.run("arguments[0].focus()", canvas)
    canvas.send_keys("b", Keys.ARROW_LEFT, Keys.ARROW_UP, Keys.PAGE_UP, Keys.ENTER)
    wait(lambda: "ml" in tab.text("structures"))
    canvas.send_keys(Keys.CONTROL, "z")
    wait(lambda: "empty" in tab.text("structures"))
    canvas.send_keys(Keys.CONTROL + Keys.SHIFT, "z")
    wait(lambda: "ml" in tab.text("structures"))
    canvas.send_keys("m")
    assert tab.get("marks").get_attribute("aria-pressed") == "false"


def test_a_mask_is_moved_flipped_grown_and_taken_back(tab) -> None:
    draw_ball(tab)
    volume = tab.text("structures")
    canvas, left = tab.canvas("axial"), colour_share
    half = tab.pixels(canvas).shape[1] // 2

    def sides():
        pixels = tab.pixels(canvas)
        return left(pixels[:, :half], 0), left(pixels[:, half:], 0)

    base = sides()
    assert base[1] > base[0]
    tab.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    tab.click("change-flip")
    tab.frame()
    assert sides()[0] > sides()[1]
    assert tab.text("structures") == volume
    tab.click("change-grow")
    assert tab.text("structures") != volume
    tab.click("undo")
    tab.click("undo")
    assert tab.text("structures") == volume
    tab.click("tool-move")
    tab.drag(canvas, (60, 20), (0, 20), (-60, 20))
    moved = sides()
    assert moved[0] > moved[1]
    assert float(tab.all("#structures .ml")[0].text.split()[0]) == pytest.approx(float(volume.split()[0]), rel=0.01)


def test_a_reload_keeps_the_draft_and_the_job_and_a_job_can_be_cancelled(tab) -> None:
    draw_ball(tab)
    drawn = tab.text("structures")
    tab.get("impression").send_keys("A nodule.")
    tab.set("num-steps", 1000)
    tab.click("generate")
    wait(lambda: "Solves" in tab.text("progress-text"))
    tab.driver.refresh()
    tab.ready()
    assert tab.text("structures") == drawn
    assert tab.get("impression").get_attribute("value") == "A nodule."
    assert tab.get("progress").is_displayed()
    num = len(tab.all("#items button"))
    tab.click("cancel")
    wait(lambda: not tab.get("progress").is_displayed())
    wait(lambda: tab.text("status") == "Cancelled.")
    assert len(tab.all("#items button")) == num


def test_two_tabs_show_the_same_results_and_keep_their_own_drafts(tab) -> None:
    tab.get("findings").send_keys("Mine.")
    tab.driver.switch_to.new_window("tab")
    other = Tab(tab.driver).open(tab_address(tab))
    assert other.get("findings").get_attribute("value") == ""
    other.generate()
    num = len(other.all("#items button"))
    other.driver.close()
    tab.show()
    wait(lambda: len(tab.all("#items button")) == num)
    assert tab.get("findings").get_attribute("value") == "Mine."


def tab_address(tab: Tab) -> str:
    handle = tab.driver.current_window_handle
    tab.show()
    address = tab.driver.current_url
    tab.driver.switch_to.window(handle)
    return address


def test_names_and_contrast_serve_those_who_see_little(tab) -> None:
    tab.driver.execute_cdp_cmd("Accessibility.enable", {})
    nodes = tab.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = {"button", "slider", "textbox", "combobox", "spinbutton", "checkbox", "radio", "application", "meter"}
    controls = [node for node in nodes if not node["ignored"] and node["role"]["value"].lower() in roles]
    assert len(controls) > 40
    assert [node["role"]["value"] for node in controls if not node.get("name", {}).get("value", "").strip()] == []
    assert tab.run(Path(__file__).with_name("contrast.js").read_text("utf-8")) == []


def test_a_phone_has_room_for_all_and_fingers_draw(tab) -> None:
    send = tab.driver.execute_cdp_cmd
    send("Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True})
    send("Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 2})
    try:
        tab.frame()
        assert tab.run("return document.documentElement.scrollWidth") <= 390
        assert [view.is_displayed() for view in tab.all(".column[data-column='1'] canvas")] == [True, False, False]
        tab.click("plane-coronal")
        assert tab.canvas("coronal").is_displayed()
        tab.click("plane-axial")
        tab.click("tool-brush")
        canvas = tab.canvas("axial")
        tab.run("arguments[0].scrollIntoView({block: 'center'})", canvas)
        box = tab.run(
            "const b = arguments[0].getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]", canvas
        )
        touch(send, [[box]], [[[box[0] + 30, box[1]]]])
        wait(lambda: "ml" in tab.text("structures"))
        drawn = tab.text("structures")
        still = tab.pixels(canvas)
        x, y = box
        touch(send, [[(x - 20, y)], [(x - 20, y), (x + 20, y)]], [[(x - 60, y), (x + 60, y)]])
        tab.frame()
        assert (tab.pixels(canvas) != still).any(), "two fingers zoom"
        assert tab.get("generate").is_displayed()
        assert drawn
    finally:
        send("Emulation.setTouchEmulationEnabled", {"enabled": False})
        send("Emulation.clearDeviceMetricsOverride", {})


def touch(send, starts, moves) -> None:
    for kind, steps in (("touchStart", starts), ("touchMove", moves)):
        for points in steps:
            send(
                "Input.dispatchTouchEvent",
                {"type": kind, "touchPoints": [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]},
            )
    send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_a_killed_server_comes_back_to_the_same_page(tab, server) -> None:
    draw_ball(tab)
    num = len(tab.all("#items button"))
    server.kill()
    wait(lambda: tab.get("away").is_displayed())
    link = server.start()
    tab.driver.switch_to.new_window("tab")
    Tab(tab.driver).open(link)
    tab.driver.close()
    tab.show()
    wait(lambda: not tab.get("away").is_displayed())
    assert "ml" in tab.text("structures")
    assert len(tab.all("#items button")) == num
    tab.generate()
    tab.driver.get_log("browser")  # Of the time without a server
