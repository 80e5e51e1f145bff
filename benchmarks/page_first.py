"""Measure the time from the command `medsyn2 page` to the first volume on the page, as somebody who presses *Generate*.

    python benchmarks/page_first.py

Needs the extra `browser`, chromium and chromium-driver. It is the page as it is, with the model that ships, its own
sampling and an empty session; a browser that is driven opens the link, writes a sentence and presses the button.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.page import start_browser, start_server
from medsyn2.weights.bundled import bundled_model

REPORT = "There is a moderate right pleural effusion."
PIXELS = """
const canvas = document.querySelector("canvas[data-plane=axial][data-column='1']");
return Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data);
"""


def wait(condition: Callable[[], Any]) -> None:
    """Wait until a condition holds."""
    while not condition():
        time.sleep(0.1)


def main() -> None:
    """Measure and print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    browser = start_browser()
    with tempfile.TemporaryDirectory(prefix="medsyn2-page-") as name:
        folder, rows = Path(name), []
        start_s = time.monotonic()
        server, link = start_server(bundled_model(), folder / "session", folder / "log")
        try:
            rows.append(("link printed", time.monotonic() - start_s))
            browser.get(link)
            wait(lambda: browser.find_elements("css selector", "[data-ready]"))
            rows.append(("page ready to draw and write", time.monotonic() - start_s))
            browser.find_element("id", "findings").send_keys(REPORT)
            browser.find_element("id", "generate").click()
            wait(lambda: browser.find_elements("css selector", "#items button"))
            wait(lambda: not browser.find_element("id", "progress").is_displayed())
            shown = np.array(browser.execute_script(PIXELS)).std()
            assert shown > 20, "a volume is on the page"
            rows.append(("generated volume on the page", time.monotonic() - start_s))
        finally:
            browser.quit()
            server.terminate()
            server.wait()
    print(f"| after the command (load {os.getloadavg()[0]:.0f}) | seconds |\n|---|---|")
    for step, after_s in rows:
        print(f"| {step} | {after_s:.0f} |")


if __name__ == "__main__":
    main()
