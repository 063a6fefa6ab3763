"""Studies in the database: read by name or number, opened and closed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from amt import identity
from amt.protocol import Protocol
from amt.recruitment import Consent, Recruitment
from amt.store.schema import about, pictures, sessions, slots, studies, trials

State = Literal["open", "closed"]

# Statements of frequent requests are built once: building one takes six times as long as executing it.
_NAMED = (
    select(studies.c.name, trials.c.real, trials.c.fake, trials.c.fake_side, trials.c.left, trials.c.right)
    .join(sessions, sessions.c.id == trials.c.session)
    .join(studies, studies.c.id == sessions.c.study)
    .where(
        sessions.c.token == bindparam("digest"),
        sessions.c.consent_version.is_not(None),
        trials.c.position.is_not(None),  # a spare gets its side when it replaces a trial
    )
)


@dataclass(frozen=True)
class StudyClusters:
    """Clusters of items that vary together, as frames of one drive do.

    Attributes:
        by: What a cluster is, such as "sequences".
        of: Cluster of each item by its id.
    """

    by: str
    of: Mapping[str, str]


@dataclass(frozen=True)
class Study:
    """Settings of a study; only `state` and `revealed` ever change.

    Attributes:
        id: Its number in the database.
        name: Its name in links.
        title: Heading for raters.
        created: Seconds since 1970.
        state: Whether new raters may start.
        simulated: Whether its raters are programs.
        protocol: Trials and exclusion rules.
        seed: Seed of all its schedules.
        key: Key of the raters' pseudonyms.
        items: Ids of the items.
        algorithms: Their names.
        origin: Origin of the pictures, by algorithm and "real".
        consent: Consent text.
        recruitment: Recruitment of raters.
        revealed: Time of the first reveal of fooling rates before closing; None if there was none.
        clusters: Items that vary together; None where each stands alone, or this is unknown.
    """

    id: int
    name: str
    title: str
    created: float
    state: State
    simulated: bool
    protocol: Protocol
    seed: int
    key: str
    items: tuple[str, ...]
    algorithms: tuple[str, ...]
    origin: Mapping[str, str]
    consent: Consent
    recruitment: Recruitment
    revealed: float | None
    clusters: StudyClusters | None = None


@dataclass(frozen=True)
class Picture:
    """Picture by kind (real, fake, broken), algorithm (None for real) and item."""

    kind: str
    algorithm: str | None
    item: str


def find(connection: Connection, name: str) -> Study | None:
    """Find a study by name."""
    row = connection.execute(select(studies).where(studies.c.name == name)).mappings().one_or_none()
    return None if row is None else _study(connection, row)


def get(connection: Connection, number: int) -> Study:
    """Read a study by number; it must exist."""
    return _study(connection, connection.execute(select(studies).where(studies.c.id == number)).mappings().one())


def names(connection: Connection) -> list[str]:
    """Names of all studies, oldest first."""
    return list(connection.scalars(select(studies.c.name).order_by(studies.c.id)))


def pictures_of(connection: Connection, study: int) -> dict[int, Picture]:
    """Pictures of a study by number."""
    rows = connection.execute(
        select(pictures.c.id, pictures.c.kind, pictures.c.algorithm, pictures.c.item).where(pictures.c.study == study)
    )
    return {number: Picture(kind, algorithm, item) for number, kind, algorithm, item in rows}


def first_schedule(connection: Connection, study: int) -> str:
    """Schedule of the slot that is assigned first, as JSON."""
    first = select(slots.c.schedule).where(slots.c.study == study).order_by(slots.c.sequence).limit(1)
    return str(connection.execute(first).scalar_one())


def named_pictures(connection: Connection, session_token: str) -> dict[str, tuple[str, int]]:
    """Study and picture number by picture token, for a consenting session.

    The result changes only with a withdrawal or a newer token of the session.
    """
    named: dict[str, tuple[str, int]] = {}
    for study, real, fake, fake_side, left, right in connection.execute(
        _NAMED, {"digest": identity.digest(session_token)}
    ):
        # Tokens are stored by side, pictures by kind: the side of the fake joins them.
        numbers = (fake, real) if fake_side == "left" else (real, fake)
        named |= {token: (study, number) for token, number in zip((left, right), numbers, strict=True)}
    return named


def set_state(connection: Connection, study: int, state: State) -> None:
    """Open or close a study to new raters."""
    connection.execute(update(studies).where(studies.c.id == study).values(state=state))


def reveal(connection: Connection, study: int) -> None:
    """Record the first reveal of fooling rates before the study was closed."""
    connection.execute(
        update(studies).where(studies.c.id == study, studies.c.revealed.is_(None)).values(revealed=time.time())
    )


def store_clusters(connection: Connection, study: int, clusters: StudyClusters) -> None:
    """Store a study's clusters in `about`, as older databases lack a column."""
    text = json.dumps({"by": clusters.by, "of": dict(clusters.of)})
    connection.execute(insert(about).values(key=_clusters_key(study), value=text))


def _clusters_key(study: int) -> str:
    return f"clusters {study}"


def _study(connection: Connection, row: RowMapping) -> Study:
    clusters = connection.scalar(select(about.c.value).where(about.c.key == _clusters_key(row["id"])))
    return Study(
        id=row["id"],
        name=row["name"],
        title=row["title"],
        created=row["created"],
        state=row["state"],
        simulated=row["simulated"],
        protocol=Protocol.model_validate_json(row["protocol"]),
        seed=row["seed"],
        key=row["key"],
        items=tuple(json.loads(row["items"])),
        algorithms=tuple(json.loads(row["algorithms"])),
        origin=json.loads(row["origin"]),
        consent=Consent.model_validate_json(row["consent"]),
        recruitment=Recruitment.model_validate_json(row["recruitment"]),
        revealed=row["revealed"],
        clusters=None if clusters is None else StudyClusters(**json.loads(clusters)),
    )
