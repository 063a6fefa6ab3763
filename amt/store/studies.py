"""Studies: created whole, read, and the pictures that tokens name."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from amt import identity
from amt.design import Planned
from amt.errors import AmtError
from amt.protocol import Protocol
from amt.recruitment import Consent, Recruitment
from amt.store.schema import about, pictures, places, sessions, studies, trials

State = Literal["open", "closed"]


@dataclass(frozen=True)
class Clusters:
    """Which items of a study vary together, as frames of one drive do.

    Attributes:
        by: What tells them, such as "sequences".
        of: The cluster of each item by its id.
    """

    by: str
    of: Mapping[str, str]


@dataclass(frozen=True)
class Study:
    """What a study is; nothing of it but `state` and `revealed` ever changes.

    Attributes:
        id: Its number in the database.
        name: As in its links.
        title: What raters read.
        created: Seconds since 1970.
        state: Whether new raters may start.
        simulated: Whether its raters are programs.
        protocol: What raters see and whose answers count.
        seed: All its schedules came from it.
        key: Of the raters' pseudonyms.
        items: The items' ids.
        algorithms: Their names.
        origin: Where the pictures came from, by algorithm and "real".
        consent: What raters agree to.
        recruitment: How they come and with what code they go.
        revealed: When fooling rates were first looked at before it was closed; None if they were not.
        clusters: Which items vary together; None where each stands alone, or nobody has said.
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
    clusters: Clusters | None = None


@dataclass(frozen=True)
class Picture:
    """A picture of a study: its kind (real, fake or broken), algorithm (none for real) and item."""

    kind: str
    algorithm: str | None
    item: str


def create(
    connection: Connection,
    *,
    name: str,
    title: str,
    simulated: bool,
    protocol: Protocol,
    seed: int,
    items: Sequence[str],
    origin: Mapping[str, str],
    consent: Consent,
    recruitment: Recruitment,
    algorithms: Sequence[str],
    clusters: Clusters | None = None,
) -> int:
    """Add a study without pictures and places.

    Returns:
        Its number.

    Raises:
        AmtError: The name is in use.
    """
    row = {
        "name": name,
        "title": title,
        "created": time.time(),
        "state": "open",
        "simulated": simulated,
        "protocol": protocol.model_dump_json(),
        "fingerprint": protocol.fingerprint,
        "seed": seed,
        "key": secrets.token_hex(32),
        "items": json.dumps(list(items)),
        "algorithms": json.dumps(list(algorithms)),
        "origin": json.dumps(dict(origin)),
        "consent": consent.model_dump_json(),
        "recruitment": recruitment.model_dump_json(),
    }
    try:
        number = int(connection.execute(insert(studies).returning(studies.c.id), row).scalar_one())
    except IntegrityError:
        raise AmtError(f"{name}: found a study of that name, expected a new one; give another name") from None
    if clusters is not None:
        text = json.dumps({"by": clusters.by, "of": dict(clusters.of)})
        connection.execute(insert(about).values(key=_clusters_key(number), value=text))
    return number


def add_pictures(connection: Connection, study: int, found: Sequence[Picture]) -> list[int]:
    """Give pictures their numbers, in the order given."""
    rows = [{"study": study, "kind": one.kind, "algorithm": one.algorithm, "item": one.item} for one in found]
    statement = insert(pictures).returning(pictures.c.id, sort_by_parameter_order=True)
    return [int(number) for number in connection.execute(statement, rows).scalars()]


def add_places(connection: Connection, study: int, planned: Sequence[tuple[str, list[Planned]]]) -> None:
    """Make the places, in the order in which they will be given out, each of an algorithm with its schedule.

    The indexes in the schedules must be the pictures' numbers by now.
    """
    rows = [
        {"study": study, "sequence": sequence, "algorithm": algorithm, "schedule": json.dumps(schedule), "lease": 0.0}
        for sequence, (algorithm, schedule) in enumerate(planned)
    ]
    connection.execute(insert(places), rows)


def find(connection: Connection, name: str) -> Study | None:
    """The study of this name."""
    row = connection.execute(select(studies).where(studies.c.name == name)).mappings().one_or_none()
    return None if row is None else _study(connection, dict(row))


def get(connection: Connection, number: int) -> Study:
    """The study of this number, which must exist."""
    row = connection.execute(select(studies).where(studies.c.id == number)).mappings().one()
    return _study(connection, dict(row))


def names(connection: Connection) -> list[str]:
    """The names of all studies, oldest first."""
    return list(connection.scalars(select(studies.c.name).order_by(studies.c.id)))


def pictures_of(connection: Connection, study: int) -> dict[int, Picture]:
    """A study's pictures by number."""
    rows = connection.execute(
        select(pictures.c.id, pictures.c.kind, pictures.c.algorithm, pictures.c.item).where(pictures.c.study == study)
    )
    return {number: Picture(kind, algorithm, item) for number, kind, algorithm, item in rows}


def first_schedule(connection: Connection, study: int) -> str:
    """The schedule of the place that is given out first, JSON."""
    first = select(places.c.schedule).where(places.c.study == study).order_by(places.c.sequence).limit(1)
    return str(connection.execute(first).scalar_one())


def set_state(connection: Connection, study: int, state: State) -> None:
    """Open or close a study to new raters."""
    connection.execute(update(studies).where(studies.c.id == study).values(state=state))


def reveal(connection: Connection, study: int) -> None:
    """Keep when fooling rates were first looked at before the study was closed."""
    connection.execute(
        update(studies).where(studies.c.id == study, studies.c.revealed.is_(None)).values(revealed=time.time())
    )


def _clusters_key(study: int) -> str:
    return f"clusters {study}"


def _study(connection: Connection, row: Mapping[str, Any]) -> Study:
    said = connection.scalar(select(about.c.value).where(about.c.key == _clusters_key(row["id"])))
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
        clusters=None if said is None else Clusters(**json.loads(said)),
    )


_NAMED = (
    select(studies.c.name, trials.c.real, trials.c.fake, trials.c.fake_side, trials.c.left, trials.c.right)
    .join(sessions, sessions.c.id == trials.c.session)
    .join(studies, studies.c.id == sessions.c.study)
    .where(
        sessions.c.token == bindparam("digest"),
        sessions.c.consent_version.is_not(None),
        trials.c.position.is_not(None),  # a spare gets its side when it stands in
    )
)


def named_pictures(connection: Connection, session_token: str) -> dict[str, tuple[str, int]]:
    """The study and the number of the picture that each token names to this session, which has given consent.

    What is found here never changes, but by a withdrawal or a newer token of the session.
    """
    named: dict[str, tuple[str, int]] = {}
    for study, real, fake, fake_side, left, right in connection.execute(
        _NAMED, {"digest": identity.digest(session_token)}
    ):
        shown = (fake, real) if fake_side == "left" else (real, fake)
        named |= {token: (study, number) for token, number in zip((left, right), shown, strict=True)}
    return named
