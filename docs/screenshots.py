"""The pictures of the README: the report of a results folder and the study's page, as a browser shows them.

    make screenshots        # of the results of `make demo`, into docs/images
    python docs/screenshots.py RESULTS --report --images FOLDER     # the report's alone

The report is written anew, into a temporary folder; the results stay as they are.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # the rater in the browser is among the tests

from PIL import Image  # noqa: E402
from playwright.sync_api import Page, sync_playwright  # noqa: E402

from amt.protocol import Protocol, Timing  # noqa: E402
from amt.store.create import StudyPlan, create  # noqa: E402
from p2pbench.study.new_study import from_results  # noqa: E402
from reports import html  # noqa: E402
from tests.amt.page_driver import Rater, launch, serving  # noqa: E402

IMAGES = Path(__file__).parent / "images"
SIZE = {"width": 1440, "height": 900}
SMALL = {"width": 960, "height": 660}
STILL = Timing(exposure=3000)  # long enough to take a picture of


def shoot(page: Page, file: Path) -> None:
    """Keep what the browser shows."""
    Image.open(io.BytesIO(page.screenshot())).save(file, quality=88, method=6)
    print(file)


def report(page: Page, index: Path, images: Path) -> None:
    """The tables, the pictures in an order of one's own, an item, and the classes."""
    page.goto(index.as_uri())
    page.wait_for_timeout(500)
    shoot(page, images / "report.webp")
    controls = page.locator(".controls select")
    controls.nth(0).select_option(label="SSIM")
    controls.nth(2).select_option("spread")
    page.locator("h3", has_text="Pictures").first.evaluate("head => head.scrollIntoView()")
    page.wait_for_timeout(1000)
    shoot(page, images / "pictures.webp")
    page.locator(".pictures tbody tr").nth(5).locator("td a").nth(4).click()
    page.wait_for_timeout(1000)
    shoot(page, images / "item.webp")
    page.keyboard.press("Escape")
    page.locator("h3", has_text="IoU of each class").first.evaluate("head => head.scrollIntoView()")
    page.wait_for_timeout(500)
    shoot(page, images / "classes.webp")


def study(rater: Rater, name: str, images: Path) -> None:
    """A practice trial: an image on the screen, and the question."""
    rater.starts(name)
    rater.sees("left")
    rater.page.wait_for_timeout(500)
    shoot(rater.page, images / "study-image.webp")
    rater.sees("prompt")
    rater.page.wait_for_timeout(500)
    shoot(rater.page, images / "study-question.webp")


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="a results folder, such as that of quickstart")
    parser.add_argument("--report", action="store_true", help="nothing but the report")
    parser.add_argument("--images", type=Path, default=IMAGES, metavar="FOLDER")
    options = parser.parse_args()
    options.images.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = launch(playwright)
        index = html.write_report(options.results, Path(folder) / "report")
        report(browser.new_page(viewport=SIZE), index, options.images)  # type: ignore[arg-type]
        if not options.report:
            studies = Path(folder) / "study"
            studies.mkdir()
            with serving(studies) as studio:
                material = from_results(options.results, None, None, allow_partial=False)
                protocol = Protocol(raters=1, timing=STILL, values=material.values)
                plan = StudyPlan("streets", "Which image is fake?", material.sources, material.origin, protocol)
                create(studio.database, studio.folder, plan)
                page = browser.new_page(viewport=SMALL)  # type: ignore[arg-type]
                study(Rater(page, studio.url), plan.name, options.images)
        browser.close()


if __name__ == "__main__":
    main()
