"""The researcher's password: given out once, chosen once, tries counted. On both databases, with real argon2."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from amt.errors import Refusal
from amt.folders import Studies
from amt.store import logins
from amt.store.database import Database, open_database
from amt.store.schema import about, attempts
from amt.store.schema import logins as table

NOW = 1_800_000_000.0
OWN = "correct horse battery"


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that cost little."""
    monkeypatch.setattr(logins, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def tried(database: Database, password: str, now: float = NOW) -> bool:
    return logins.log_in(database, password, now) is not None


def valid(database: Database, token: str, now: float = NOW) -> bool:
    with database.reading() as connection:
        return logins.valid(connection, token, now)


def chosen(database: Database, password: str = OWN) -> str:
    """The token of a login with a password of one's own."""
    first = logins.one_time(database)
    assert first is not None
    entry = logins.log_in(database, first, NOW)
    assert entry is not None
    after = logins.choose(database, entry.token, password, NOW)
    assert after is not None
    return after.token


def test_the_password_is_given_out_once(database: Database) -> None:
    first = logins.one_time(database)
    assert first is not None
    assert re.fullmatch(r"[A-Z2-9]{8}(-[A-Z2-9]{8}){2}", first)
    assert logins.one_time(database) is None
    entry = logins.log_in(database, f" {first}\n", NOW)  # as it comes out of a terminal
    assert entry is not None
    assert entry.must_choose
    logins.choose(database, entry.token, OWN, NOW)
    assert logins.one_time(database) is None


def test_a_login_with_it_is_for_choosing_only(database: Database) -> None:
    first = logins.one_time(database)
    assert first is not None
    entry = logins.log_in(database, first, NOW)
    assert entry is not None
    assert not valid(database, entry.token)
    later = logins.choose(database, entry.token, OWN, NOW + logins.CHOICE_SECONDS + 1)
    assert later is None
    after = logins.choose(database, entry.token, OWN, NOW)
    assert after is not None
    assert not after.must_choose
    assert valid(database, after.token)
    assert not tried(database, first)
    assert tried(database, OWN)
    assert logins.choose(database, entry.token, "another password", NOW) is None
    assert logins.choose(database, after.token, "another password", NOW) is None


@pytest.mark.parametrize("password", ["", "elevenchars", "x" * 1001])
def test_a_password_has_a_length(database: Database, password: str) -> None:
    first = logins.one_time(database)
    assert first is not None
    entry = logins.log_in(database, first, NOW)
    assert entry is not None
    with pytest.raises(Refusal, match=f"has {len(password)} characters"):
        logins.choose(database, entry.token, password, NOW)
    with pytest.raises(Refusal, match="one-time password; choose another"):
        logins.choose(database, entry.token, first, NOW)
    assert tried(database, first)


@pytest.mark.long
def test_only_hashes_are_stored(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    token = chosen(database)
    with database.reading() as connection:
        kept = {key: value for key, value in connection.execute(select(about.c.key, about.c.value))}
        tokens = connection.scalars(select(table.c.token)).all()
    assert kept["password"].startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert set(kept) == {"schema", "password"}
    assert [len(digest) for digest in tokens] == [64]
    assert token not in tokens


def test_letters_of_one_look_are_one(database: Database) -> None:
    chosen(database, "Zu\u0308rich am See")
    assert tried(database, "Z\u00fcrich am See")


def test_five_wrong_tries_in_a_quarter_of_an_hour(database: Database) -> None:
    chosen(database)
    assert [tried(database, "wrong", NOW + 60 * minute) for minute in range(5)] == [False] * 5
    with pytest.raises(Refusal, match="Try again in 10 min") as caught:
        tried(database, OWN, NOW + 5 * 60)
    assert (caught.value.status, caught.value.more["retry_after"]) == (429, 600)
    assert tried(database, OWN, NOW + 15 * 60 + 1)
    assert [tried(database, "wrong", NOW + 15 * 60 + 2) for _ in range(5)] == [False] * 5  # the login wiped the count
    with pytest.raises(Refusal):
        tried(database, OWN, NOW + 15 * 60 + 3)


def test_tries_at_one_moment_count_in_all_processes(
    database: Database, studies: Studies, request: pytest.FixtureRequest
) -> None:
    chosen(database)
    where = studies.database if database.kind == "sqlite" else request.getfixturevalue("postgresql")
    other = open_database(where)

    def one(number: int) -> str:
        try:
            return str(tried((database, other)[number % 2], "wrong"))
        except Refusal as refusal:
            return refusal.word

    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(one, range(24)))
    other.close()
    assert sorted(found) == ["False"] * 5 + ["tries"] * 19
    with database.reading() as connection:
        assert connection.execute(select(attempts.c.at)).scalars().all() == [NOW] * 5


def test_a_login_ends_by_itself_and_on_demand(database: Database) -> None:
    token = chosen(database)
    assert valid(database, token, NOW + 12 * 3600 - 1)
    assert not valid(database, token, NOW + 12 * 3600)
    other = logins.log_in(database, OWN, NOW)
    assert other is not None
    with database.writing() as connection:
        logins.log_out(connection, token)
    assert not valid(database, token)
    assert valid(database, other.token)
    assert not valid(database, "")


def test_a_new_one_time_password_ends_everything(database: Database) -> None:
    token = chosen(database)
    for _ in range(5):
        tried(database, "wrong")
    renewed = logins.one_time(database, renew=True)
    assert renewed is not None
    assert not valid(database, token)
    assert not tried(database, OWN)
    assert tried(database, renewed)


def test_without_a_password_nobody_gets_in(database: Database) -> None:
    assert not tried(database, "")
