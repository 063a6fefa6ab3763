"""A rehearsal: a study's own server in a process beside this one, with simulated raters at it."""

from __future__ import annotations

import multiprocessing
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.error import URLError

from amt.errors import AmtError
from amt.layout import Studies
from amt.server.run import alone, bound, serve
from amt.simulation.outcome import Outcome
from amt.simulation.raters import Kind
from amt.simulation.simulate import simulate
from amt.store.database import Database
from amt.store.studies import Study
from amt.store.truth import truth

_START_SECONDS = 60.0


def rehearse(
    folder: Studies,
    where: str | Path,
    database: Database,
    study: Study,
    raters: Mapping[Kind, int],
    fooling: Mapping[str, float],
    seed: int = 0,
) -> Outcome:
    """Serve a study on a free port of this machine, and let simulated raters take part in it.

    Args:
        folder: Where its pictures are.
        where: Its database, as for `open_database`.
        database: The same, opened.
        study: Made for simulated raters.
        raters: How many of each kind.
        fooling: The wanted fooling rate by algorithm, in [0, 1].
        seed: What each rater does follows from it.

    Returns:
        What the raters saw.

    Raises:
        AmtError: The study is one for people, or another server has it, or ours does not start.
    """
    with alone(folder, database.kind), hosted(folder, where, study.name) as url:
        known = partial(truth, database)
        return simulate(url, study.name, raters, truth=known, fooling=fooling, seed=seed, retries=0.0)


@contextmanager
def hosted(folder: Studies, where: str | Path, name: str) -> Iterator[str]:
    """A server process on a free port of this machine; its URL, once it answers for the study of that name."""
    sock = bound("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, where, sock, url, 1), daemon=True)
    server.start()
    sock.close()
    try:
        _wait(f"{url}/api/studies/{name}")
        yield url
    finally:
        server.terminate()
        server.join()


def _wait(url: str) -> None:
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=_START_SECONDS):
                return
        except (URLError, ConnectionError) as error:
            if time.monotonic() > end:
                raise AmtError(
                    f"{url}: the server did not answer ({error}); try again on a less busy machine"
                ) from None
            time.sleep(0.05)
