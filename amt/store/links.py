"""Single-use links: made, counted, known again; their secrets are given out once and kept nowhere."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from amt import identity
from amt.store import counts, looks
from amt.store.refusal import Refusal
from amt.store.schema import links
from amt.store.studies import Study


def make(connection: Connection, study: Study, count: int, label: str) -> dict[str, str]:
    """Make links; a number follows the label of each, on from those that there are.

    Returns:
        The links' secrets with their labels.

    Raises:
        Refusal: 409 raters come to this study another way, or their identities are forgotten.
    """
    if study.recruitment.by != "link":
        raise Refusal(409, "links", f"Raters come to this study by {study.recruitment.by}, not by links.")
    if looks.when(connection, study, "forgotten") is not None:
        raise Refusal(409, "forgotten", "Its raters' identities are forgotten; links would let them come twice.")
    first = 1 + counts.links_of(connection, study.id).made
    secrets = {identity.new_token(): f"{label} {number}" for number in range(first, first + count)}
    connection.execute(
        insert(links),
        [
            {"study": study.id, "rater": identity.pseudonym(study.key, "link", secret), "label": text}
            for secret, text in secrets.items()
        ],
    )
    return secrets


def known(connection: Connection, study: Study, rater: str) -> bool:
    """Whether a pseudonym is that of a link."""
    return connection.scalar(select(links.c.rater).where(links.c.study == study.id, links.c.rater == rater)) is not None
