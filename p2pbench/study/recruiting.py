"""Single-use links for a study."""

from __future__ import annotations

from amt import identity
from amt.errors import AmtError
from amt.store import studies
from p2pbench.study.place import Chosen


def new_links(chosen: Chosen, count: int, label: str) -> dict[str, str]:
    """Make links, of which the database keeps only pseudonyms.

    Returns:
        The links' secrets with their labels.

    Raises:
        AmtError: Raters come to this study another way.
    """
    study = chosen.study
    if study.recruitment.by != "link":
        raise AmtError(
            f"{study.name}: found a study recruited by {study.recruitment.by}, expected --recruit link; make another"
        )
    with chosen.database.writing() as connection:
        first = studies.count_links(connection, study.id) + 1
        secrets = {identity.new_token(): f"{label} {number}" for number in range(first, first + count)}
        pseudonyms = {identity.pseudonym(study.key, "link", secret): name for secret, name in secrets.items()}
        studies.add_links(connection, study.id, pseudonyms)
    return secrets
