"""What two grids of one name differ in: the settings and the choices of protocols that are not the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from reports.grids import Description
from reports.page import plain, plain_fields

NOT_THERE = "–"


class Change(NamedTuple):
    """A setting, or a choice of a protocol, as text on both sides; a dash where there is none."""

    field: str
    a: str
    b: str


def of_settings(a: Description, b: Description) -> tuple[Change, ...]:
    """What two descriptions of a grid differ in, of the cells that both have."""
    shared = [cell for cell in b.cells if cell in a.cells]
    before, after = _fields(a, shared), _fields(b, shared)
    fields = dict.fromkeys([*after, *before])
    changes = (Change(field, before.get(field, NOT_THERE), after.get(field, NOT_THERE)) for field in fields)
    return tuple(change for change in changes if change.a != change.b)


def _fields(description: Description, cells: Sequence[str]) -> dict[str, str]:
    own = {cell: description.cells[cell] for cell in cells}
    return {
        "title": description.title,
        "source": plain(description.source or None),
        "seeds": ", ".join(map(str, description.seeds)),
        **plain_fields(description.settings),
        **{field: text for cell in own for field, text in plain_fields(own[cell], f"cells.{cell}.").items()},
        **plain_fields(description.dataset, "dataset."),
        **plain_fields(description.versions, "versions."),
        "git revision": description.git_revision or "unknown",
    }
