"""Studies served over real HTTP, and raters in a real browser who go through them."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
import uvicorn
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page
from sqlalchemy import select

from amt.folders import Studies
from amt.protocol import Protocol, Side, Timing
from amt.recruitment import Consent, Recruitment
from amt.server.app import PAGE, create_app
from amt.server.context import Context
from amt.server.raters import REQUIREMENTS
from amt.store import schema
from amt.store.create import StudyPlan, create
from amt.store.database import Database, open_database
from amt.study_pictures import Sources
from tests.browser import launch as launch  # pictures of the documentation and benchmarks use it, too
from tests.browser import shared_browser
from tests.patience import PATIENCE, wait_until

QUICK = Timing(blank=150, exposure=200, gap=100, prompt=50, feedback=500)
SMALL = Protocol(raters=20, practice=2, scored=2, spares=5, timing=QUICK)
SIZE = {"width": 1280, "height": 720}
Phase = Literal["blank", "left", "gap", "right", "pause", "prompt", "feedback"]

# What breaks the content security policy is printed by the browser too, but not always.
_COMPLAIN = """addEventListener("securitypolicyviolation",
  (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));"""


_AT_PHASE = """phases => document.body.dataset.view === 'stage' &&
  phases.includes(document.querySelector('#stage').dataset.phase)"""
_AFTER_PROMPT = "() => document.querySelector('#stage').dataset.phase !== 'prompt'"
_MOMENT = 10
"""Milliseconds by which a held clock moves on: as many as `wait_until` sleeps, since the server's clock is not held."""


class Trial(NamedTuple):
    """A trial as the server has it."""

    k: int
    position: int | None
    phase: str
    fake_side: Side
    void: str | None
    choice: Side | None
    response_ms: float | None
    measured: dict[str, Any] | None
    shown: bool


class Studio:
    """A server of studies, and what it stores."""

    def __init__(self, folder: Path, database: Database, url: str) -> None:
        self.folder = Studies(folder)
        self.database = database
        self.url = url
        self.page = PAGE / "index.html"
        self._count = 0

    def study(self, protocol: Protocol = SMALL, recruitment: Recruitment | None = None) -> str:
        """Make a study with pictures of noise. Returns its name."""
        self._count += 1
        name = f"study-{self._count}"
        plan = StudyPlan(
            name=name,
            title="Streets, real and fake",
            sources=_noise(self.folder.folder / f"sources-{name}", protocol.items),
            origin={"real": "drawn", "blur": "drawn"},
            protocol=protocol,
            consent=Consent(contact="study@example.org"),
            recruitment=recruitment or Recruitment(),
        )
        create(self.database, self.folder, plan)
        return name

    def sessions(self, study: str) -> list[dict[str, Any]]:
        """The sessions of a study."""
        with self.database.reading() as connection:
            query = select(schema.sessions).join(schema.studies).where(schema.studies.c.name == study)
            return [dict(row) for row in connection.execute(query).mappings()]

    def trials(self, study: str) -> list[Trial]:
        """The trials of a study's only session, in the order shown; spares that were not needed are last."""
        (session,) = self.sessions(study)
        with self.database.reading() as connection:
            rows = connection.execute(select(schema.trials).where(schema.trials.c.session == session["id"])).mappings()
            found = [
                Trial(
                    row["k"],
                    row["position"],
                    row["phase"],
                    row["fake_side"],
                    row["void"],
                    row["choice"],
                    row["response_ms"],
                    json.loads(row["measured"]) if row["measured"] else None,
                    row["shown"] is not None,
                )
                for row in rows
            ]
        return sorted(found, key=lambda trial: (trial.position is None, trial.position, trial.k))

    def picture(self, token: str) -> Image.Image:
        """The picture that a trial's token names."""
        with self.database.reading() as connection:
            query = select(schema.trials, schema.studies.c.name).join(
                schema.sessions, schema.sessions.c.id == schema.trials.c.session
            )
            rows = connection.execute(query.join(schema.studies, schema.studies.c.id == schema.sessions.c.study))
            (row,) = [row for row in rows.mappings() if token in {row["left"], row["right"]}]
        side = "left" if row["left"] == token else "right"
        number = row["fake"] if row["fake_side"] == side else row["real"]
        return Image.open(self.folder.study(row["name"]).picture(number))


class Rater:
    """A person at the page, who also notes what the browser complains about.

    Phases last for milliseconds, and a test may look at them late. Where it must find what it waited for, it holds the
    page's clock, which then moves only while something is waited for.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._held = False
        page.set_default_timeout(1000 * PATIENCE)
        page.add_init_script(_COMPLAIN)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type != "log" else None)
        page.on("request", lambda request: self.requests.append(f"{request.method} {request.url}"))

    def open(self, study: str, query: str = "") -> None:
        """Open a study's page."""
        self.page.goto(f"{self.url}/s/{study}/{query}")

    def press(self, button: str) -> None:
        """Click a button."""
        self.page.get_by_role("button", name=button, exact=True).click()

    def reads(self, title: str) -> None:
        """Wait for a card of this title."""
        heading = self.page.get_by_role("heading", name=title, exact=True)
        if self._held:
            self._moves_on_until(heading.is_visible, title)
        heading.wait_for()

    def starts(self, study: str, query: str = "", held: bool = False) -> None:
        """Go through all that comes before the first trial; from then on with a held clock, if asked for."""
        self.open(study, query)
        self.press("Begin")
        self.press("I agree")
        self.reads("How it works")
        if held:
            self.holds()
        self.press("Start the practice")

    def holds(self) -> None:
        """Hold the page's clock."""
        self.page.clock.install()
        self.page.clock.pause_at(self.page.evaluate("Date.now()") / 1000 + 3600)
        self._held = True

    def lets_go(self) -> None:
        """Let the page's clock run again."""
        self.page.clock.resume()
        self._held = False

    def _moves_on_until(self, holds: Callable[[], object], what: str) -> None:
        """Move the held clock on until something holds."""

        def reached() -> bool:
            if holds():
                return True
            self.page.clock.run_for(_MOMENT)
            return False

        wait_until(reached, what)

    def sees(self, *phases: Phase) -> None:
        """Wait until the stage has come to one of these."""
        if self._held:
            self._moves_on_until(lambda: self.page.evaluate(_AT_PHASE, phases), " or ".join(phases))
        else:
            self.page.wait_for_function(_AT_PHASE, arg=phases)

    def answers(self, side: Side = "left") -> None:
        """Answer the next trial by the keyboard."""
        self.sees("prompt")
        self.page.keyboard.press("f" if side == "left" else "j")
        self.page.wait_for_function(_AFTER_PROMPT)

    def answers_all(self) -> None:
        """Answer all that is left."""
        while not self._done():
            self.answers()

    def finishes(self) -> None:
        """Answer all that is left, and go to the end."""
        self.answers_all()
        self.press("Finish")
        self.reads("Thank you!")

    def _done(self) -> bool:
        """Wait for the next prompt, also past the end of the practice, or for the comment."""
        self.page.wait_for_function(
            "() => document.querySelector("
            "'[data-view=stage] #stage[data-phase=prompt], [data-view=screen] button.main:enabled')"
        )
        if self.page.get_by_role("heading", name="The practice is over").is_visible():
            self.press("Start")
            return self._done()
        return self.page.get_by_role("textbox").is_visible()

    def says(self, note: str) -> None:
        """Wait until the quiet line at the bottom begins like this."""
        self.page.wait_for_function("note => document.querySelector('#note').textContent.startsWith(note)", arg=note)

    def note(self) -> str:
        """The quiet line at the bottom."""
        return self.page.locator("#note").inner_text()

    def expects(self, *parts: str) -> None:
        """Forget the complaints that hold one of these; they are what the test provokes."""
        self.complaints = [text for text in self.complaints if not any(part in text for part in parts)]


Visit = Callable[..., Rater]


@pytest.fixture(scope="module")
def chromium() -> Browser:
    """The browser that tests share."""
    return shared_browser()


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A server for the tests of a module."""
    with serving(tmp_path_factory.mktemp("studies")) as studio:
        yield studio


@pytest.fixture
def visit(chromium: Browser, studio: Studio) -> Iterator[Visit]:
    """Lets raters in, each with a browser profile of their own; at the end nobody may have complained."""
    contexts: list[BrowserContext] = []
    raters: list[Rater] = []

    def come(context: BrowserContext | None = None, url: str | None = None, **settings: Any) -> Rater:  # noqa: ANN401
        if context is None:
            context = chromium.new_context(**{"viewport": SIZE, **settings})
            contexts.append(context)
        raters.append(Rater(context.new_page(), url or studio.url))
        return raters[-1]

    yield come
    for context in contexts:
        context.close()
    for rater in raters:
        assert rater.complaints == []
        assert [request for request in rater.requests if f" {rater.url}/" not in request] == []


FIXTURES = chromium, studio, visit  # a module that uses them says so: chromium, studio, visit = FIXTURES


@contextmanager
def serving(folder: Path) -> Iterator[Studio]:
    """Serve an empty folder of studies on a free port."""
    studies = Studies(folder)
    database = open_database(studies.database, create=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        app = create_app(Context(database, studies, url))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [free]})
        thread.start()
        wait_until(lambda: server.started, "the server's start")
        try:
            with pytest.MonkeyPatch.context() as patch:
                # A busy machine shows fewer frames a second than raters need.
                patch.setitem(REQUIREMENTS, "hertz", 1)
                yield Studio(folder, database, url)
        finally:
            server.should_exit = True
            thread.join()


def _noise(folder: Path, items: int) -> Sources:
    """Real pictures in reds and fakes in blues, so that a picture on the screen is not mistaken for another."""
    files: dict[str, dict[str, Path]] = {"real": {}, "fake": {}}
    for number, (kind, channel) in enumerate((("real", 0), ("fake", 2))):
        (folder / kind).mkdir(parents=True)
        for item in range(items):
            pixels = np.random.default_rng((number, item)).integers(0, 90, (16, 16, 3), dtype=np.uint8)
            pixels[..., channel] += 120
            path = folder / kind / f"{item:03}.png"
            Image.fromarray(pixels).save(path)
            files[kind][path.stem] = path
    return Sources(files["real"], {"blur": files["fake"]})
