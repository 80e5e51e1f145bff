"""A server of the page with the model that ships, and a real Chromium that is driven over it.

Marked `browser` and deselected by default (`make test-browser`); skipped with the reason where Chromium, its driver or
Selenium's client is missing.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from medsyn2.weights.bundled import bundled_model

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PATIENCE_S = 90.0
PIXELS = """
const canvas = arguments[0], [x, y, w, h] = arguments[1];
return Array.from(canvas.getContext("2d").getImageData(x, y, w, h).data);
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


class Server:
    """The page's server in a process of its own, which can be killed and started again at the same port."""

    def __init__(self, folder: Path) -> None:
        self.session, self.log = folder / "session", folder / "server.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Start it, and return the link that opens the page."""
        command = [sys.executable, "-m", "medsyn2", "page", "--model", str(bundled_model()), "--no-browser"]
        command += ["--port", str(self.port), "--session", str(self.session)]
        with self.log.open("wb") as log:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        return wait(lambda: re.search(r"http://\S+", self.log.read_text("utf-8"))).group(0)

    def kill(self) -> None:
        """End it and its workers at once, as a lack of memory does."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def wait(condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Return the first true answer of a condition, which may fail until then because a part of the page is missing."""
    from selenium.common.exceptions import WebDriverException

    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        with suppress(WebDriverException, OSError):
            if found := condition():
                return found
        time.sleep(0.05)
    raise AssertionError(f"not within {patience_s:g} s")


class Tab:
    """A tab of the browser on the page, with the words that the tests need."""

    def __init__(self, driver: Any) -> None:
        self.driver, self.handle = driver, driver.current_window_handle

    def open(self, address: str) -> "Tab":
        self.driver.get(address)
        return self.ready()

    def ready(self) -> "Tab":
        wait(lambda: self.all("[data-ready]"))
        return self

    def show(self) -> "Tab":
        self.driver.switch_to.window(self.handle)
        return self

    def all(self, css: str) -> list[Any]:
        return self.driver.find_elements("css selector", css)

    def get(self, name: str) -> Any:
        return self.driver.find_element("id", name)

    def click(self, name: str) -> None:
        self.run(
            "arguments[0].closest('details')?.setAttribute('open', '');arguments[0].scrollIntoView({block: 'center'});",
            self.get(name),
        )
        self.get(name).click()

    def text(self, name: str) -> str:
        return self.get(name).text

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def set(self, name: str, value: object) -> None:
        """Set a field as a person does, whether it is shown or in a part that is folded."""
        self.run(
            "const e = arguments[0]; e.closest('details')?.setAttribute('open', ''); e.value = arguments[1];"
            "for (const n of ['input', 'change']) e.dispatchEvent(new Event(n, {bubbles: true}));",
            self.get(name),
            str(value),
        )

    def canvas(self, plane: str, column: int = 1) -> Any:
        return self.all(f"canvas[data-plane={plane}][data-column='{column}']")[0]

    def drag(self, canvas: Any, *points: tuple[float, float], button: int = 0) -> None:
        """Press at the first point, in pixels from the canvas's middle, and release at the last."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.actions.mouse_button import MouseButton

        chain = ActionChains(self.driver, duration=10)
        mouse = chain.w3c_actions.pointer_action
        chain.move_to_element_with_offset(canvas, *map(round, points[0]))
        mouse.pointer_down(MouseButton.RIGHT if button == 2 else MouseButton.LEFT)
        for (x0, y0), (x1, y1) in pairwise(points):
            chain.move_by_offset(round(x1) - round(x0), round(y1) - round(y0))
        mouse.pointer_up(MouseButton.RIGHT if button == 2 else MouseButton.LEFT)
        chain.perform()
        self.frame()

    def frame(self) -> None:
        """Wait until what has changed is drawn."""
        self.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")

    def pixels(self, canvas: Any, box: tuple[int, int, int, int] | None = None) -> Any:
        """Return red, green and blue of a part of a canvas, as it is on the screen."""
        import numpy as np

        x, y, w, h = box or (
            0,
            0,
            self.run("return arguments[0].width", canvas),
            self.run("return arguments[0].height", canvas),
        )
        return np.array(self.run(PIXELS, canvas, [x, y, w, h]), dtype=int).reshape(h, w, 4)[..., :3]

    def generate(self, num_steps: int = 1) -> Any:
        """Press generate and wait for the result; few steps, as the picture is not judged here."""
        num = len(self.all("#items button"))
        self.set("num-steps", num_steps)
        self.click("generate")
        wait(lambda: len(self.all("#items button")) > num)
        wait(lambda: not self.get("progress").is_displayed())
        return self.all("#items button")[0]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # A snap or a container's browser may write below the temporary folder only.
    with tempfile.TemporaryDirectory(prefix="medsyn2-browser-") as path:
        yield Path(path)


@pytest.fixture(scope="module")
def driver(folder: Path) -> Iterator[Any]:
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs chromium and chromedriver: apt install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs Selenium's client: pip install -e '.[browser]'")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    arguments = ["headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1440,1000"]
    for argument in [*arguments, "force-device-scale-factor=1", "force-color-profile=srgb", "lang=en-GB"]:
        options.add_argument(f"--{argument}")
    (folder / "downloads").mkdir()
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "downloads")})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chromium = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield chromium
    chromium.quit()


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    made = Server(folder)
    yield made
    made.kill()


@pytest.fixture(scope="module")
def first_tab(driver: Any, server: Server) -> Tab:
    return Tab(driver).open(server.start())


@pytest.fixture
def tab(first_tab: Tab, server: Server) -> Iterator[Tab]:
    """The page as a person finds it: nothing drawn, nothing written."""
    first_tab.show()
    address = f"http://127.0.0.1:{server.port}/"
    first_tab.driver.get(address + "static/icon.svg")  # The page keeps its draft when it is left
    first_tab.run("sessionStorage.clear()")
    first_tab.driver.get(address)
    yield first_tab.ready()
    assert not first_tab.get("problem").is_displayed(), first_tab.text("problem")
    # A preview is gone when the next one is there: the browser notes that, the page takes it lightly.
    lines = [line for line in first_tab.driver.get_log("browser") if line["level"] == "SEVERE"]
    severe = [line["message"] for line in lines if not re.search(r"favicon|/api/volumes/.*404", line["message"])]
    assert severe == []
