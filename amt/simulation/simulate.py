"""Simulation of concurrent raters against an own or a running server."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from amt.errors import AmtError
from amt.folders import Studies
from amt.server.app import listening_socket, serve, serving_lock
from amt.simulation.crowd import KINDS, Crowd, FoolingModel, Rater, SimulationRecord
from amt.simulation.visit import Connection, Truth, Visit, VisitSettings
from amt.store.database import Database
from amt.store.trials import truth

_START_SECONDS = 60.0


def simulate(base_url: str, study: str, crowd: Crowd, truth: Truth) -> SimulationRecord:
    """Run a crowd of simulated raters through a study.

    Args:
        base_url: Root of the server.
        study: Name of the study.
        crowd: The raters.
        truth: Returns the truth of a session's trials by k, such as `partial(trials.truth, database)`: the server keeps
            it secret, but raters need it to be fooled at the given rate.

    Raises:
        AmtError: The server cannot be reached, has no such study, or one for people.
    """
    return uvloop.run(_simulate(base_url, study, crowd, truth))


async def _simulate(base_url: str, study: str, crowd: Crowd, truth: Truth) -> SimulationRecord:
    about = await _about(base_url, study)
    rng = np.random.default_rng((crowd.seed, crowd.first, 1))
    kinds = [kind for kind in KINDS for _ in range(crowd.raters.get(kind, 0))]
    model = FoolingModel(crowd.fooling, crowd.seed)
    settings = VisitSettings(base_url, about, truth, crowd.pace, crowd.retries)
    record = SimulationRecord()

    async def visit(rater: Rater, after: float) -> None:
        await asyncio.sleep(after)
        ending = await Visit(rater, settings, record).run()
        record.endings[rater.kind, ending] += 1

    began = time.monotonic()
    await asyncio.gather(
        *(
            visit(Rater(index, kinds[i], model, crowd.seed), float(rng.uniform(0, crowd.arrivals)))
            for index, i in enumerate(rng.permutation(len(kinds)), crowd.first)
        )
    )
    record.seconds = time.monotonic() - began
    return record


async def _about(base_url: str, study: str) -> dict[str, Any]:
    connection = Connection(base_url)
    try:
        reply = await connection.request("GET", f"api/studies/{study}")
        about = reply.json()
    except (OSError, json.JSONDecodeError) as error:
        raise AmtError(f"{base_url}: found no study server there ({error}); start one, or correct the URL") from None
    finally:
        connection.close()
    if reply.status != 200:
        raise AmtError(f"{base_url}: found no study {study}, expected one that the server has; correct the name")
    if not about["simulated"]:
        raise AmtError(
            f"{study}: found a study for people, expected a rehearsal, created for simulated raters; invented answers "
            "are not mixed with theirs"
        )
    if about["recruitment"] == "link":
        raise AmtError(f"{study}: found a study by single-use links, expected an open one; simulated raters have none")
    return about


def rehearse(folder: Studies, where: str | Path, database: Database, study: str, crowd: Crowd) -> SimulationRecord:
    """Serve a study on a free local port, and simulate its raters.

    Args:
        folder: Folder of its pictures.
        where: Its database, as for `open_database`.
        database: The same database, opened.
        study: Name of a study for simulated raters.
        crowd: The raters.

    Raises:
        AmtError: The study is one for people, another server holds it, or this one does not start.
    """
    with serving_lock(folder, database.kind), hosted(folder, where, study) as url:
        return simulate(url, study, crowd, partial(truth, database))


@contextmanager
def hosted(folder: Studies, where: str | Path, name: str) -> Iterator[str]:
    """Run a server process on a free port, and yield its URL."""
    sock = listening_socket("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    # Spawned, not forked: a fork would inherit the locks and connections of the database.
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(folder, where, sock, url, 1), daemon=True)
    server.start()
    # The child has its own copy, so that connections are refused once it ends.
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
        except OSError as error:  # refused, reset, no answer in time, or a status of an error
            if time.monotonic() > end:
                raise AmtError(
                    f"{url}: the server did not answer ({error}); try again on a less busy machine"
                ) from None
            time.sleep(0.05)
