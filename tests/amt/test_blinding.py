"""An adversary who reads all that a rater's browser receives, but for the pixels, guesses no better than a coin.

The fakes of the test are blurred, so that compression, sizes or times of their files would give them away.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from sqlalchemy import select

from amt.folders import Studies
from amt.protocol import Protocol
from amt.store.database import Database, open_database
from amt.store.schema import trials
from tests.amt.served import Client, served
from tests.amt.study import make_pictures, make_study
from tests.amt.test_raters_api import QUICK

RATERS, SCORED = 26, 40
SIDES = ("left", "right")
STANDARD_ERRORS = 4.0  # of a coin; with some 20 rules the worst passes it once in 800 runs


class Seen(NamedTuple):
    """What a browser gets for one trial."""

    session: str
    order: int
    trial: dict[str, Any]
    tokens: dict[str, str]
    images: dict[str, httpx.Response]
    seconds: dict[str, float]
    answer: httpx.Response


@pytest.fixture(scope="module")
def spied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, list[Seen]]]:
    """Everything that the browsers of enough raters receive."""
    root = tmp_path_factory.mktemp("blind")
    make_pictures(root / "pictures", items=60)
    folder = Studies(root / "study")
    folder.folder.mkdir()
    database = open_database(folder.database, create=True)
    protocol = Protocol(raters=RATERS // 2, timing=QUICK, width=32, height=32)
    make_study(database, folder, root / "pictures", protocol)
    with served(database, folder) as http:
        seen = [one for rater in range(RATERS) for one in spy(http, str(rater))]
    yield database, seen
    database.close()


def spy(http: httpx.Client, name: str) -> Iterator[Seen]:
    rater = Client(http, "small", name).agree()
    order = 0
    while (found := rater.next())["trial"]:
        trial = found["trial"]
        images, seconds = {}, {}
        for side in SIDES:
            start = time.perf_counter()
            images[side] = rater.image(trial[side])
            seconds[side] = time.perf_counter() - start
        rater.show(trial["k"])
        answer = rater.answer(trial["k"])
        yield Seen(rater.session, order, trial, {side: trial[side] for side in SIDES}, images, seconds, answer)
        order += 1


def truth(database: Database, seen: list[Seen]) -> list[str]:
    with database.reading() as connection:
        rows = connection.execute(select(trials.c.session, trials.c.k, trials.c.fake_side))
        known = {(session, k): side for session, k, side in rows}
    return [known[one.session, one.trial["k"]] for one in seen]


def scored(seen: list[Seen]) -> list[Seen]:
    return [one for one in seen if one.trial["phase"] == "scored"]


def bytes_of(token: str) -> list[int]:
    return list(token.encode())


# Each gives a number for an image; the adversary says that the larger, or else the smaller, is the fake.
CLUES: dict[str, Callable[[Seen, str], float]] = {
    "length of the body": lambda one, side: len(one.images[side].content),
    "length of the pixels' chunk": lambda one, side: chunks(one.images[side].content)[b"IDAT"],
    "seconds": lambda one, side: one.seconds[side],
    "headers": lambda one, side: len(str(sorted(one.images[side].headers.items()))),
    "token in order": lambda one, side: int.from_bytes(one.tokens[side].encode()[:7], "big"),
    "token's sum": lambda one, side: sum(bytes_of(one.tokens[side])),
    "token's last letter": lambda one, side: bytes_of(one.tokens[side])[-1],
    "capitals in the token": lambda one, side: sum(map(str.isupper, one.tokens[side])),
    "token's hash": lambda one, side: hash(one.tokens[side]),
}
# Each says a side.
HABITS: dict[str, Callable[[Seen], str]] = {
    "always left": lambda one: "left",
    "by the trial's number": lambda one: SIDES[one.trial["k"] % 2],
    "by the order": lambda one: SIDES[one.order // 2 % 2],
    "early left, late right": lambda one: SIDES[one.order >= 30],
    "by the session's name": lambda one: SIDES[(int(one.session, 16) + one.trial["k"]) % 2],
    "by the answer to an answer": lambda one: SIDES[len(one.answer.content) % 2],
}


def chunks(png: bytes) -> dict[bytes, int]:
    """A PNG's chunks with their lengths, in order."""
    found, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        found[png[at + 4 : at + 8]] = length
        at += length + 12
    return found


def chance(right: np.ndarray[Any, np.dtype[np.bool_]]) -> bool:
    return bool(abs(right.mean() - 0.5) <= STANDARD_ERRORS * 0.5 / np.sqrt(len(right)))


def test_there_are_enough_trials(spied: tuple[Database, list[Seen]]) -> None:
    assert len(scored(spied[1])) == RATERS * SCORED > 1000


@pytest.mark.parametrize("clue", CLUES)
def test_no_clue_tells_the_fake(spied: tuple[Database, list[Seen]], clue: str) -> None:
    database, seen = spied
    values = np.array([[CLUES[clue](one, side) for side in SIDES] for one in scored(seen)])
    guesses = np.where(values[:, 0] > values[:, 1], "left", np.where(values[:, 0] < values[:, 1], "right", ""))
    guesses[guesses == ""] = np.random.default_rng(0).choice(SIDES, (guesses == "").sum())
    assert chance(guesses == truth(database, scored(seen)))


@pytest.mark.parametrize("habit", HABITS)
def test_no_habit_finds_the_fake(spied: tuple[Database, list[Seen]], habit: str) -> None:
    database, seen = spied
    guesses = np.array([HABITS[habit](one) for one in scored(seen)])
    assert chance(guesses == truth(database, scored(seen)))


def test_who_learns_in_practice_knows_nothing_of_the_rest(spied: tuple[Database, list[Seen]]) -> None:
    """A linear rule over all clues, fitted to practice, where the truth is told, and tried on the scored trials."""
    database, seen = spied

    def features(some: list[Seen]) -> np.ndarray[Any, np.dtype[np.float64]]:
        rows = [
            [CLUES[clue](one, "left") - CLUES[clue](one, "right") for clue in CLUES] + [one.order, 1] for one in some
        ]
        return np.array(rows, np.float64)

    practice = [one for one in seen if one.trial["phase"] == "practice"]
    told = np.array([1.0 if one.answer.json()["fake"] == "left" else -1.0 for one in practice])
    known, asked = features(practice), features(scored(seen))
    scale = known.std(0)
    scale[scale == 0] = 1
    rule = np.linalg.lstsq(known / scale, told, rcond=None)[0]
    guesses = np.where(asked / scale @ rule > 0, "left", "right")
    assert chance(guesses == truth(database, scored(seen)))


def test_all_files_are_alike_but_for_their_pixels(spied: tuple[Database, list[Seen]]) -> None:
    images = [image for one in spied[1] for image in one.images.values()]
    assert len({tuple(chunks(image.content).items()) for image in images}) == 1
    assert len({image.content[: 8 + 25 + 13 + 8 + 7] for image in images}) == 1  # up to the first pixel
    headers = [{name: value for name, value in image.headers.items() if name != "date"} for image in images]
    assert all(one == headers[0] for one in headers)
    assert not {"etag", "last-modified", "set-cookie"} & headers[0].keys()


def test_no_token_is_ever_used_twice(spied: tuple[Database, list[Seen]]) -> None:
    tokens = [token for one in spied[1] for token in one.tokens.values()]
    assert len(set(tokens)) == len(tokens)
    assert min(map(len, tokens)) == max(map(len, tokens)) == 22


def test_no_name_of_an_algorithm_or_item_is_sent(spied: tuple[Database, list[Seen]]) -> None:
    for one in spied[1]:
        sent = repr({**one.trial, **dict.fromkeys(SIDES)}).encode() + one.answer.content
        assert not any(word in sent for word in (b"L1", b"GAN", b"item", b"real", b"algorithm"))
        assert one.trial["phase"] == "practice" or one.answer.content == b"{}"
