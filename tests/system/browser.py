"""A real browser, Debian's chromium in headless mode, that waits for what a user would see."""

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

CHROMIUM = Path("/usr/bin/chromium")
CHROMEDRIVER = Path("/usr/bin/chromedriver")
WIDTH, HEIGHT = 1600, 1000
WAIT_S = 60.0
FAILED = "Something went wrong"
RELOADS = 2
"""MLflow's page sometimes fails to load on a busy machine; a user would reload it."""

KEPT = "cookies,indexeddb,local_storage,service_workers"
"""Storage in which a page may remember a visitor. Storage of a single tab is cleared by loading `about:blank`."""

LOOPBACK = ("127.0.0.1", "localhost", "")
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # root cannot use a sandbox
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4",  # a mouse
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    f"--window-size={WIDTH},{HEIGHT}",
)
READ_TABLE = """
const shown = (element) => element.getClientRects().length > 0;
const heads = {};
for (const head of document.querySelectorAll("[role=columnheader][col-id]"))
    if (shown(head)) heads[head.getAttribute("col-id")] = head.innerText.trim();
const rows = {};
for (const cell of document.querySelectorAll("[role=row][row-index] [role=gridcell][col-id]")) {
    if (!shown(cell)) continue;
    const row = rows[cell.closest("[role=row]").getAttribute("row-index")] ??= {};
    const name = heads[cell.getAttribute("col-id")];
    if (name) row[name] = cell.innerText.trim().split("\\n").pop();
}
return Object.entries(rows).sort((one, other) => one[0] - other[0]).map((entry) => entry[1]);
"""
"""A table row is split over two parts of the page; its index and the column names join them."""

Answer = TypeVar("Answer")


class Browser:
    """One window. A wait that exceeds `WAIT_S` fails with a picture of the page."""

    def __init__(self, driver: webdriver.Chrome, pictures: Path) -> None:
        self.driver = driver
        self._pictures = pictures
        self._origins: set[str] = set()
        self._pictures.mkdir(parents=True, exist_ok=True)

    def open(self, address: str) -> None:
        """Open the address."""
        place = urlsplit(address)
        self._origins.add(f"{place.scheme}://{place.netloc}")
        self.driver.get("about:blank")  # a change only after # would not reload the page
        self.driver.get(address)

    def picture(self, name: str) -> Path:
        """Save a picture of the page."""
        path = self._pictures / f"{name}.png"
        self.driver.save_screenshot(str(path))
        return path

    def wait(self, what: str, condition: Callable[[], Answer | None]) -> Answer:
        """Poll until the condition returns a value; the page may change between two calls."""

        def ask() -> Answer | None:
            with contextlib.suppress(WebDriverException):
                return condition()
            return None

        deadline = time.monotonic() + WAIT_S
        while not (found := ask()):
            if time.monotonic() > deadline:
                there = self.picture("missing-" + re.sub("[^a-z0-9]+", "-", what.lower())[:60])
                said = [entry["message"] for entry in self._log("browser")]
                raise AssertionError(f"not seen within {WAIT_S:g} s: {what}; picture: {there}\n{said}\n{self.text()}")
            time.sleep(0.1)
        return found

    def text(self) -> str:
        """Return the text of the page."""
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    def sees(self, *texts: str) -> None:
        """Wait until all these texts are on the page."""
        self.wait(" and ".join(texts), lambda: all(text in self.text() for text in texts))

    def sees_one_of(self, *texts: str) -> str:
        """Wait until one of these texts is on the page; return it."""
        return self.wait(" or ".join(texts), lambda: next((text for text in texts if text in self.text()), None))

    def find(self, xpath: str) -> WebElement:
        """Return the first visible element, waiting until there is one."""
        return self.wait(xpath, lambda: next(iter(self.all(xpath)), None))

    def all(self, xpath: str) -> list[WebElement]:
        """Return the visible elements."""
        return [element for element in self.driver.find_elements(By.XPATH, xpath) if element.is_displayed()]

    def click(self, xpath: str) -> None:
        """Click the first of these elements, once that is possible."""

        def done() -> bool:
            found = self.all(xpath)
            if found:
                found[0].click()
            return bool(found)

        self.wait(f"to click {xpath}", done)

    @contextlib.contextmanager
    def frame(self) -> Iterator[None]:
        """Switch to the page inside this page."""
        self.driver.switch_to.frame(self.find("//iframe"))
        yield
        self.driver.switch_to.default_content()

    def to_newest_tab(self) -> None:
        """Switch to the tab that a click has opened."""
        self.wait("a second tab", lambda: len(self.driver.window_handles) > 1)
        self.driver.switch_to.window(self.driver.window_handles[-1])

    def forget(self) -> None:
        """Close all tabs except the first, and clear what pages have stored; their cached files stay."""
        first, *others = self.driver.window_handles
        for other in others:
            self.driver.switch_to.window(other)
            self.driver.close()
        self.driver.switch_to.window(first)
        self.driver.get("about:blank")
        for origin in self._origins:
            self.driver.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": KEPT})
        self._origins.clear()

    def requests_beyond_loopback(self) -> list[str]:
        """Return the non-local addresses that pages have requested since the last call."""
        asked = []
        for entry in self._log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = urlsplit(message["params"]["request"]["url"])
                if url.scheme in ("http", "https", "ws", "wss") and url.hostname not in LOOPBACK:
                    asked.append(url.geturl())
        return asked

    def _log(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return found


@contextlib.contextmanager
def browser(pictures: Path) -> Iterator[Browser]:
    """Start a new browser without a history.

    Raises:
        FileNotFoundError: If no browser is installed; none is downloaded.
    """
    for program in (CHROMIUM, CHROMEDRIVER):
        if not program.exists():
            raise FileNotFoundError(f"{program} is not installed: apt-get install chromium chromium-driver")
    os.environ.update(SE_OFFLINE="true", SE_AVOID_STATS="true")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for argument in ARGUMENTS:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "SEVERE"})
    driver = webdriver.Chrome(options=options, service=Service(str(CHROMEDRIVER)))
    try:
        driver.set_page_load_timeout(WAIT_S)
        yield Browser(driver, pictures)
    finally:
        driver.quit()


class MlflowPages:
    """MLflow's pages on the server at `uri`."""

    def __init__(self, window: Browser, uri: str) -> None:
        self.window = window
        self._uri = uri
        self._tidy = False

    def experiment(self, experiment_id: str, view: str | None = None) -> None:
        """Open an experiment's runs, in a view of its menu."""
        self.follow(runs_page(self._uri, experiment_id, view))

    def run(self, experiment_id: str, run_id: str, tab: str = "") -> None:
        """Open a run's page."""
        self._open(f"/experiments/{experiment_id}/runs/{run_id}{tab}?workflowType=machine_learning")

    def comparison(self, experiment_id: str, runs: list[str]) -> None:
        """Open the comparison of runs."""
        asked = f"runs={quote(json.dumps(runs))}&experiments={quote(json.dumps([experiment_id]))}"
        self._open(f"/compare-runs?{asked}&workflowType=machine_learning")

    def _open(self, place: str) -> None:
        self.follow(f"{self._uri}/#{place}")

    def follow(self, address: str) -> None:
        """Open a page by its full address."""
        self.window.open(address)
        for _ in range(RELOADS):
            if self.window.sees_one_of("Settings", FAILED) != FAILED:
                break
            self.window.driver.refresh()
        if not self._tidy:  # it stays closed afterwards
            self.window.sees("MLflow Assistant")
            self.window.click("//button[@aria-label='Close']")
            self._tidy = True

    def rows(self) -> list[dict[str, str]]:
        """Return the table of runs: the text of each row by column header."""
        found: list[dict[str, str]] = self.window.driver.execute_script(READ_TABLE)
        return found


def runs_page(uri: str, experiment_id: str, view: str | None = None) -> str:
    """Return the address of an experiment's runs, in a view of its menu."""
    shared = f"&viewStateShareKey={view}" if view else ""
    return f"{uri}/#/experiments/{experiment_id}/runs?workflowType=machine_learning{shared}"


def axes(window: Browser) -> set[str]:
    """Return the axis titles of a parallel coordinates plot."""
    return {text.text for text in window.all("//*[contains(@class, 'axis-title')]")}
