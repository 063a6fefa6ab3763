"""The report in a real browser: pages that are opened as a reader opens them, and watched all the while."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.patience import PATIENCE

HEIGHT = 800
expect.set_options(timeout=1000 * PATIENCE)


class Settings(TypedDict, total=False):
    """What a reader's browser is set to."""

    color_scheme: Literal["light", "dark"]
    java_script_enabled: bool
    permissions: list[str]


class Visits:
    """Pages on disk, opened in a browser.

    Attributes:
        requests: The addresses that they asked for.
        complaints: What the browser said in its console, errors, and dialogs that a page opened.
    """

    def __init__(self, browser: Browser) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._browser = browser
        self._open = ExitStack()

    def __call__(self, path: Path, width: int = 1440, fragment: str = "", **settings: Unpack[Settings]) -> Page:
        """Open a page in a window of its own; without settings as most readers have it."""
        context = self._open.enter_context(
            self._browser.new_context(viewport={"width": width, "height": HEIGHT}, **settings)
        )
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        page.goto(path.as_uri() + fragment)
        return page

    def close(self) -> None:
        """Close the windows."""
        self._open.close()

    def check(self) -> None:
        """Nothing was asked of anybody but the disk, and nothing went wrong."""
        assert self.complaints == []
        assert {request.split(":")[0] for request in self.requests} <= {"file", "data", "blob"}

    def _hear(self, message: ConsoleMessage) -> None:
        self.complaints.append(message.text)


def overflow(page: Page, selector: str = "html") -> int:
    """By how many pixels the content of an element is wider than it."""
    return int(page.eval_on_selector(selector, "element => element.scrollWidth - element.clientWidth"))


def load_pictures(page: Page, within: str = "body") -> int:
    """Load the pictures, those out of view as well; how many there are. All must be good."""
    count = page.evaluate(
        """async (within) => {
          const images = [...document.querySelector(within).querySelectorAll("img")];
          for (const image of images) image.loading = "eager";
          await Promise.all(images.map((image) => image.decode()));
          return images.length;
        }""",
        within,
    )
    return int(count)


def expect_item(page: Page, item: str) -> None:
    """Wait until the view of an item is open; a click on a picture changes the address first."""
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.locator("dialog h2")).to_have_text(item)


def expect_address(page: Page, fragment: str) -> None:
    """Wait until the address ends so; the driver learns of it later than the page."""
    expect(page).to_have_url(re.compile(f"{re.escape(fragment)}$"))


def leave_item(page: Page) -> None:
    """Press Escape, and wait until the view of the item is closed; the address changes last."""
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    page.wait_for_function("!location.hash")


def focused(page: Page) -> str:
    """The address or the text of what has the focus."""
    return str(page.evaluate("document.activeElement.getAttribute('href') ?? document.activeElement.textContent"))
