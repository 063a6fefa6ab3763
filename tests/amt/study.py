"""Small studies: their pictures, and a rater who goes through the store step by step."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from amt.folders import Studies
from amt.protocol import Protocol, Side
from amt.recruitment import Recruitment
from amt.store import sessions, trials
from amt.store.create import StudyPlan, create
from amt.store.database import Database
from amt.store.sessions import Session, StartedSession
from amt.store.studies import Study
from amt.store.trials import TrialAnswer
from amt.study_pictures import folder, matched

SMALL = Protocol(raters=3, practice=2, scored=4, spares=2, voids=1, width=16, height=16)
ALGORITHMS = ("L1", "cGAN")
MEASURED = {"frame_ms": 16.7, "hertz": 60.0}


def make_pictures(root: Path, items: int = 12, names: Iterable[str] = ("real", *ALGORITHMS)) -> None:
    """A folder of pictures for each name: the later the name, the smoother."""
    rng = np.random.default_rng(0)
    for smoothness, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for item in range(items):
            pixels = rng.integers(0, 256, (32 >> smoothness, 32 >> smoothness, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((32, 32)).save(root / name / f"item-{item:02d}.png")


def make_study(
    database: Database,
    studies: Studies,
    pictures: Path,
    protocol: Protocol = SMALL,
    *,
    name: str = "small",
    recruitment: Recruitment | None = None,
    simulated: bool = False,
    seed: int = 0,
) -> Study:
    """A study of those pictures."""
    sources = matched(folder(pictures / "real"), {name: folder(pictures / name) for name in ALGORITHMS})
    plan = StudyPlan(
        name, "Which?", sources, {}, protocol, seed, recruitment=recruitment or Recruitment(), simulated=simulated
    )
    studies.folder.mkdir(exist_ok=True, parents=True)
    return create(database, studies, plan)


@contextmanager
def no_commits(database: Database, table: str) -> Iterator[None]:
    """An SQLite database that takes rows of a table and then refuses to commit them."""
    with database.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        connection.exec_driver_sql(
            "CREATE TABLE late (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)"
        )
        connection.exec_driver_sql(
            f"CREATE TRIGGER refuse AFTER INSERT ON {table} BEGIN INSERT INTO late VALUES (7); END"
        )
    yield
    with database.writing() as connection:
        connection.exec_driver_sql("DROP TRIGGER refuse")


class Rater:
    """A rater who does everything at once, through the store; the clock is the rater's own."""

    def __init__(self, database: Database, study: Study, name: str) -> None:
        self.database = database
        self.study = study
        self.name = name
        self.clock = time.time()
        self.started: StartedSession = sessions.start(database, study, name, "open", "Firefox/128.0")

    def session(self) -> Session:
        """As it is now."""
        with self.database.reading() as connection:
            return sessions.identify(connection, self.started.session, self.started.token)

    def agree(self) -> None:
        """Consent."""
        with self.database.writing() as connection:
            sessions.consent(connection, self.session(), self.study.consent.version, agreed=True)

    def to_come(self) -> list[trials.Trial] | None:
        """What the server says comes next."""
        with self.database.writing() as connection:
            return trials.to_come(connection, self.session())

    def show(self, k: int) -> None:
        """A trial is about to be shown."""
        with self.database.writing() as connection:
            trials.show(connection, self.session(), k, self.clock)

    def answer(
        self, k: int, choice: Side = "left", response_ms: float = 500.0, after: float = 3.0
    ) -> trials.StoredTrial:
        """Answer a trial, some seconds after it was shown."""
        self.clock += after
        given = TrialAnswer(choice, response_ms, MEASURED)
        with self.database.writing() as connection:
            least = self.study.protocol.timing.least
            return trials.answer(connection, self.session(), k, given, least, self.clock)

    def finish(self, choice: Side = "left") -> trials.Completion:
        """Answer all that is left, and complete."""
        for trial in self.to_come() or []:
            self.show(trial.k)
            self.answer(trial.k, choice)
        return self.complete()

    def complete(self, code: str = "CODE") -> trials.Completion:
        """Ask for the code."""
        with self.database.writing() as connection:
            return trials.complete(connection, self.session(), code)
