"""Simulated raters at a real server in a process of its own: what each kind does, and what a kill leaves."""

from __future__ import annotations

import multiprocessing
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest
from sqlalchemy import select

from amt.errors import AmtError
from amt.folders import Studies
from amt.protocol import Protocol
from amt.server.app import listening_socket, serve
from amt.simulation import simulate as rehearsal
from amt.simulation.crowd import KINDS, RATER_SD, Crowd, FoolingModel, Rater, SimulatedAnswer, SimulationRecord
from amt.simulation.simulate import hosted, rehearse, simulate
from amt.statistics.exclusions import exclusions
from amt.store import export, schema
from amt.store.database import Database, open_database
from amt.store.studies import Study
from amt.store.trials import TrialTruth, truth
from tests.amt.study import make_study
from tests.patience import wait_until

PROTOCOL = Protocol(raters=10, practice=2, scored=8, spares=2, width=16, height=16)
FOOLING = {"L1": 0.1, "cGAN": 0.6}


@pytest.fixture
def opened(studies: Studies) -> Iterator[Database]:
    """An SQLite database without studies."""
    with closing(open_database(studies.database, create=True)) as database:
        yield database


@pytest.fixture
def simulated(opened: Database, studies: Studies, pictures: Path) -> Study:
    """A study for programs, of two algorithms with ten slots each."""
    return make_study(opened, studies, pictures, PROTOCOL, simulated=True)


def states(database: Database) -> Counter[str]:
    with database.reading() as connection:
        return Counter(connection.scalars(select(schema.sessions.c.state)))


def stored(database: Database) -> dict[tuple[str, int], tuple[str, float]]:
    columns = schema.trials.c
    with database.reading() as connection:
        rows = connection.execute(
            select(columns.session, columns.k, columns.choice, columns.response_ms).where(columns.answered.is_not(None))
        )
        return {(session, k): (choice, response) for session, k, choice, response in rows}


def told(outcome: SimulationRecord) -> dict[tuple[str, int], tuple[str, float]]:
    found = {(one.session, one.k): (str(one.choice), one.response_ms) for one in outcome.answers}
    assert len(found) == len(outcome.answers), "an answer was acknowledged twice"
    return found


@pytest.mark.usefixtures("unhurried_server")
def test_each_kind_does_what_it_is_for(opened: Database, studies: Studies, simulated: Study) -> None:
    outcome = rehearse(studies, studies.database, opened, "small", Crowd(dict.fromkeys(KINDS, 3), FOOLING))
    endings = {kind: {how for (who, how) in outcome.endings if who == kind} for kind in KINDS}
    assert endings == {kind: {"left" if kind == "leaving" else "completed"} for kind in KINDS}
    assert states(opened) == {"completed": 15, "running": 3}
    assert told(outcome) == stored(opened)
    assert any(word == "token" for (_, _, word) in outcome.refusals), "the first start of a double one is dead"
    table = export.answer_table(opened, simulated)
    table = table[table["session"].isin(table.loc[table["state"] == "completed", "session"])]
    per_session = table.groupby("session")
    assert sum(set(rows["choice"]) == {"left"} for _, rows in per_session) == 3  # one_sided
    lazy = per_session["response_ms"].median() < 250
    assert lazy.sum() == 3
    reasons = Counter(reason.rule for each in exclusions(table, PROTOCOL).excluded for reason in each.reasons)
    assert sum(reasons.values()) >= 6  # the rules find them


@pytest.mark.usefixtures("unhurried_server")
def test_all_slots_are_filled_and_the_rest_turned_away(opened: Database, studies: Studies, simulated: Study) -> None:
    outcome = rehearse(studies, studies.database, opened, "small", Crowd({"careful": 23}, FOOLING))
    assert (outcome.ended("completed"), outcome.ended("full")) == (20, 3)
    with opened.reading() as connection:
        held = Counter(connection.scalars(select(schema.sessions.c.slot)))
    assert set(held.values()) == {1}
    assert len(held) == 20
    table = export.answer_table(opened, simulated)
    rates = table[table["phase"] == "scored"].groupby("algorithm")["fooled"].mean()
    for algorithm, wanted in FOOLING.items():  # 80 answers each, with raters and items apart
        assert rates[algorithm] == pytest.approx(wanted, abs=0.2)


def test_the_seed_and_the_number_make_the_rater() -> None:
    shown = [TrialTruth("L1", f"item {number}", "left") for number in range(30)]

    def answers(number: int, seed: int) -> list[SimulatedAnswer]:
        rater = Rater(number, "careful", FoolingModel({"L1": 0.5}, seed), seed)
        return [rater.answer(one) for one in shown]

    assert answers(0, 1) == answers(0, 1)
    assert len({tuple(answers(*pair)) for pair in ((0, 1), (1, 1), (0, 2))}) == 3


@pytest.mark.parametrize("wanted", [0.0, 0.05, 0.3, 0.5, 0.9, 1.0])
def test_programs_are_fooled_as_often_as_asked(wanted: float) -> None:
    model = FoolingModel({"L1": wanted}, 0)
    raters = np.random.default_rng(0).normal(0, RATER_SD, 40)
    shown = [TrialTruth("L1", f"item {number}", "left") for number in range(100)]
    found = np.mean([model.fooled(one, float(rater)) for one in shown for rater in raters])
    assert found == pytest.approx(wanted, abs=0.04)


@pytest.mark.usefixtures("unhurried_server")
def test_people_are_not_mixed_with_programs(opened: Database, studies: Studies, pictures: Path) -> None:
    study = make_study(opened, studies, pictures, PROTOCOL)
    crowd = Crowd({"careful": 1}, FOOLING)
    with pytest.raises(AmtError, match="found a study for people"):
        rehearse(studies, studies.database, opened, study.name, crowd)
    assert not states(opened)
    with hosted(studies, studies.database, study.name) as url, pytest.raises(AmtError, match="found no study other"):
        simulate(url, "other", crowd, partial(truth, opened))
    with pytest.raises(AmtError, match="found no study server there"):
        simulate("http://127.0.0.1:9", "other", crowd, partial(truth, opened))


@pytest.mark.long
def test_a_kill_in_the_middle_loses_nothing(opened: Database, studies: Studies, simulated: Study) -> None:
    processes = multiprocessing.get_context("spawn")
    sock = listening_socket("127.0.0.1", 0)
    port = sock.getsockname()[1]
    url = f"http://127.0.0.1:{port}"

    def start() -> multiprocessing.process.BaseProcess:
        listening = listening_socket("127.0.0.1", port)
        server = processes.Process(target=serve, args=(studies, studies.database, listening, url, 1), daemon=True)
        server.start()
        listening.close()
        return server

    sock.close()
    servers = [start()]

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/api/studies/small").is_success
        except httpx.TransportError:
            return False

    wait_until(answers, "an answer of the server")

    def kill_and_restart() -> None:
        wait_until(lambda: len(stored(opened)) >= 40, "the fortieth answer")
        servers[0].kill()
        servers[0].join()
        servers.append(start())

    killer = threading.Thread(target=kill_and_restart)
    killer.start()
    crowd = Crowd({"careful": 18, "double": 2}, FOOLING, pace=0.2, retries=0.1)
    outcome = simulate(url, "small", crowd, partial(truth, opened))
    killer.join()
    servers[1].kill()
    servers[1].join()
    assert outcome.lost > 0
    assert outcome.ended("completed") == 20
    assert told(outcome) == stored(opened)
    assert all(len(codes) == 1 for codes in outcome.codes.values())
    assert states(opened) == {"completed": 20}


def test_a_server_that_never_answers_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "_START_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections, and says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(AmtError, match=f"{url}: the server did not answer"):
            rehearsal._wait(url)
