"""Simulated raters run concurrently against a server, their own or a running one."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.error import URLError

import numpy as np
import uvloop

from amt.errors import AmtError
from amt.layout import Studies
from amt.server.app import alone, bound, serve
from amt.simulation.raters import KINDS, Crowd, Kind, Outcome, Rater
from amt.simulation.visit import Connection, Setting, Visit
from amt.store.database import Database
from amt.store.studies import Study
from amt.store.trials import Truth, truth


def simulate(
    base_url: str,
    study: str,
    raters: Mapping[Kind, int],
    *,
    truth: Callable[[str], Mapping[int, Truth]],
    fooling: Mapping[str, float],
    seed: int = 0,
    first: int = 0,
    pace: float = 0.0,
    arrivals: float = 0.0,
    retries: float = 0.05,
    rehearsal: bool = False,
) -> Outcome:
    """Let simulated raters take part in a study.

    Args:
        base_url: The server's root.
        study: The study's name.
        raters: How many of each kind; they come in random order.
        truth: The truth of a session's trials by k, such as `partial(trials.truth, database)`: the server does
            not tell, and without it nobody could be fooled as often as wanted.
        fooling: The wanted probability by algorithm that a fake is taken for real, in [0, 1].
        seed: What each rater does follows from it; the order in which the server hears of it does not.
        first: The first rater's number. The same seed and number are the same rater to the server.
        pace: Seconds from one trial of a rater to the next; 0: as fast as the server answers.
        arrivals: Seconds over which raters arrive; 0: all at once.
        retries: The share of requests that are sent a second time, as after a lost reply.
        rehearsal: Whether the study is a copy that will be thrown away, although it is not marked as simulated.

    Returns:
        What the raters saw.

    Raises:
        AmtError: The server cannot be reached, has no such study, or one for people.
    """
    return uvloop.run(
        _simulate(base_url, study, raters, Crowd(fooling, seed), truth, seed, first, pace, arrivals, retries, rehearsal)
    )


async def _simulate(
    base_url: str,
    name: str,
    raters: Mapping[Kind, int],
    crowd: Crowd,
    truth: Callable[[str], Mapping[int, Truth]],
    seed: int,
    first: int,
    pace: float,
    arrivals: float,
    retries: float,
    rehearsal: bool,
) -> Outcome:
    about = await _about(base_url, name, rehearsal=rehearsal)
    rng = np.random.default_rng((seed, first, 1))
    kinds = [kind for kind in KINDS for _ in range(raters.get(kind, 0))]
    setting = Setting(base_url, about, truth, pace, retries)
    outcome = Outcome()

    async def come(rater: Rater, after: float) -> None:
        await asyncio.sleep(after)
        ending = await Visit(rater, setting, outcome).run()
        outcome.endings[rater.kind, ending] += 1

    began = monotonic()
    await asyncio.gather(
        *(
            come(Rater(number, kinds[index], crowd, seed), float(rng.uniform(0, arrivals)))
            for number, index in enumerate(rng.permutation(len(kinds)), first)
        )
    )
    outcome.seconds = monotonic() - began
    return outcome


async def _about(base_url: str, name: str, *, rehearsal: bool) -> dict[str, Any]:
    connection = Connection(base_url)
    try:
        reply = await connection.request("GET", f"api/studies/{name}")
        about = reply.json()
    except (OSError, json.JSONDecodeError) as error:
        raise AmtError(f"{base_url}: found no study server there ({error}); start one, or mend the URL") from None
    finally:
        connection.close()
    if reply.status != 200:
        raise AmtError(f"{base_url}: found no study {name}, expected one that the server has; mend the name")
    if not about["simulated"] and not rehearsal:
        raise AmtError(
            f"{name}: found a study for people, expected a rehearsal, made for simulated raters; invented answers are "
            "not mixed with theirs"
        )
    if about["recruitment"] == "link":
        raise AmtError(f"{name}: found a study by single-use links, expected an open one; simulated raters have none")
    return about


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
