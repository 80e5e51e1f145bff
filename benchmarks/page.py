r"""Measure the page in Chromium with volumes of 448 x 448 x 448 voxels: load, slice, brush, window, memory.

    python benchmarks/page.py

Needs the extra `browser`, chromium and chromium-driver. The server is the page's own, with the model that ships on a
grid of 448 x 448 x 448: it is looked at and drawn on, nothing is generated. Times are of the browser's main thread,
until the pixels are on the canvas and the page is laid out, without a GPU; the least of 25, and of 3 loads, as other
work may share the cores.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.server.session import Session
from medsyn2.server.voxels import add_volume
from medsyn2.weights.bundled import bundled_model
from medsyn2.weights.model_folder import GridDescription, read_description, write_description

GOALS = {
    "load of a volume": "2 s",
    "slice, axial": "15 ms",
    "slice, coronal": "15 ms",
    "slice, sagittal": "15 ms",
    "brush, ball of 22 voxels": "10 ms",
    "window": "5 ms",
    "memory of the browser, two volumes and masks": "1.5 GB",
}
SPACING_MM = 0.75
MEASURE = """
const [id, radius_mm, done] = [arguments[0], arguments[1], arguments[2]];
(async () => {
  const page = await (await import("/static/app.js")).page, {viewer} = page, out = {};
  const drawn = () => {
    viewer.draw();
    for (const {canvas, pane} of viewer.views) if (pane.isShown) canvas.getContext("2d").getImageData(0, 0, 1, 1);
    document.body.getBoundingClientRect();
  };
  const frame = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  const time = act => Math.min(...Array.from({length: 25}, (_, i) => {
    const start = performance.now();
    act(i);
    drawn();
    return performance.now() - start;
  }));
  await page.showMain(page.template.id);
  const loads = [];
  for (let i = 0; i < 3; i++) {
    await page.showBeside(null);
    page.volumes.kept.delete(id);
    const start = performance.now();
    await page.showBeside(id);
    loads.push(performance.now() - start);
  }
  out["load of a volume"] = Math.min(...loads);
  viewer.setLayout("one");
  await frame();
  for (const [axis, name] of ["axial", "coronal", "sagittal"].entries())
    out[`slice, ${name}`] = time(i => viewer.step(axis, i % 2 ? 9 : -7));
  viewer.tool.name = "brush";
  viewer.tool.radius_mm = radius_mm;
  viewer.tool.down(viewer.at_mm, viewer.views[3].plane, null);
  const at = [...viewer.at_mm];
  out["brush, ball of 22 voxels"] = time(i => viewer.tool.move([at[0], at[1] + 2 * i, at[2] + 5 * i]));
  viewer.tool.up(true);
  out["window"] = time(i => viewer.setLimits([-1000 + i, 400]));
  viewer.setLayout("pair");
  await frame();
  done(out);
})();
"""


def write_model(folder: Path, size: int) -> None:
    """Copy the model that ships, on a grid of `size` voxels an axis."""
    shutil.copytree(bundled_model(), folder, dirs_exist_ok=True)
    corner = -SPACING_MM * size / 2
    affine = axis_aligned_affine((SPACING_MM,) * 3, (corner,) * 3)
    description = read_description(folder)
    grid = GridDescription((size,) * 3, tuple(map(tuple, affine.tolist())), description.grid.clip_hu)
    write_description(folder, replace(description, grid=grid))


def add_noise(session: Session, size: int) -> str:
    """Put a volume into the session that compresses as badly as a CT does, and return its id."""
    rng = np.random.default_rng(0)
    hu = rng.normal(-500, 60, (size, size, size)).astype(np.int16)
    affine = axis_aligned_affine((SPACING_MM,) * 3, (-SPACING_MM * size / 2,) * 3)
    with session.hold():
        header = add_volume(session, CTVolume(hu, affine), "real", "noise")
    return str(header["id"])


def start_server(model: Path, session: Path, log: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start the page's server, and return it with the link."""
    command = [sys.executable, "-m", "medsyn2", "page", "--model", str(model), "--session", str(session)]
    with log.open("wb") as file:
        server = subprocess.Popen([*command, "--port", "0", "--no-browser"], stdout=file, stderr=file)
    while not (link := re.search(r"http://\S+", log.read_text("utf-8"))):
        if server.poll() is not None:
            raise SystemExit(log.read_text("utf-8"))
        time.sleep(0.2)
    return server, link.group(0)


def start_browser() -> Any:
    """Start Chromium without a window and without a GPU."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1440,1000"):
        options.add_argument(f"--{argument}")
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    browser.set_script_timeout(300)
    return browser


def memory_gb(root: int) -> float:
    """Return the memory of a process and its descendants; pages that they share count once."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        fields = stat.read_text("utf-8").rsplit(")", 1)[1].split()
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    total, todo = 0, [root]
    while todo:
        number = todo.pop()
        todo += children.get(number, [])
        rollup = Path(f"/proc/{number}/smaps_rollup").read_text("utf-8")
        total += int(re.search(r"^Pss:\s+(\d+)", rollup, re.M).group(1))  # type: ignore[union-attr]
    return total / 1e6


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=448, metavar="N", help="voxels along each axis (default: 448)")
    size = parser.parse_args().size
    with tempfile.TemporaryDirectory(prefix="medsyn2-page-") as name:
        folder = Path(name)
        write_model(folder / "model", size)
        volume = add_noise(Session(folder / "session"), size)
        server, link = start_server(folder / "model", folder / "session", folder / "log")
        browser = start_browser()
        try:
            browser.get(link)
            while not browser.find_elements("css selector", "[data-ready]"):
                time.sleep(0.2)
            times = browser.execute_async_script(MEASURE, volume, 22 * SPACING_MM)
            measured = {
                key: f"{ms / 1000:.1f} s" if key.startswith("load") else f"{ms:.1f} ms" for key, ms in times.items()
            }
            memory = memory_gb(browser.service.process.pid)
            measured["memory of the browser, two volumes and masks"] = f"{memory:.2f} GB"
        finally:
            browser.quit()
            server.terminate()
            server.wait()
    print(f"| {size} x {size} x {size} | measured | goal |\n|---|---|---|")
    for key, goal in GOALS.items():
        print(f"| {key} | {measured[key]} | {goal} |")


if __name__ == "__main__":
    main()
