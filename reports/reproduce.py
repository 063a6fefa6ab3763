"""Commands and grid file that reproduce a report, and differences between grids."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from reports.store.grids import GridDescription
from reports.store.metrics import STUDY
from reports.tables import ScoreTable

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPED = re.compile(r'[\x00-\x1f"\\\x7f\ud800-\udfff]')
NOT_THERE = "–"


class Change(NamedTuple):
    """A setting or protocol field as text on both sides."""

    field: str
    a: str
    b: str


def grid_toml(description: GridDescription) -> str:
    """Grid file for `p2pbench train-ablation`, without the machine-specific dataset root."""
    settings = {name: value for name, value in description.settings.items() if name != "root"}
    lines = [f"title = {_toml(description.title)}", f"source = {_toml(description.source)}"]
    lines += [f"seeds = {_toml(list(description.seeds))}", "", "[settings]", *_pairs(settings)]
    for cell, own in description.cells.items():
        lines += ["", f"[cells.{_toml(cell)}]", *_pairs(own)]
    return "\n".join([*lines, ""])


def train_command(description: GridDescription, file: str, results: str = "results", root: str = "DATASET") -> str:
    """Command that trains a grid.

    Args:
        description: The grid.
        file: The grid file, see `grid_toml`.
        results: The results folder, as typed in the command.
        root: The dataset's folder, as typed in the command; unused for built-in datasets.
    """
    place = f" --root {root}" if description.dataset.get("root") else ""
    return f"p2pbench train-ablation {file}{place} --out {results}"


def commands(description: GridDescription, tables: Sequence[ScoreTable], file: str) -> list[str]:
    """Commands that train and score the grid and write the report."""
    scorers = [table.scorer for table in tables]
    rooted = bool(description.dataset.get("root"))
    lines = [train_command(description, file)]
    if any(scorer.startswith("fcn-") for scorer in scorers):
        lines.append(f"p2pbench fcn-score results{' --weights WEIGHTS' if rooted else ''}")
    if any(scorer.startswith("labels") for scorer in scorers):
        lines.append("p2pbench label-score results")
    if not {"image", "lpips", "fid", "kid"}.isdisjoint(scorers):
        lines.append(f"p2pbench image-score results{'' if {'fid', 'kid'}.isdisjoint(scorers) else ' --fid'}")
    for scorer in scorers:
        if scorer.startswith(STUDY):
            name = scorer.removeprefix(STUDY)
            lines += [f"p2pbench amt create results --name {name}", "p2pbench amt serve results"]
            lines += [f"p2pbench amt close results --name {name}", f"p2pbench amt analyse results --name {name}"]
    return [*lines, "p2pbench report results"]


def made_by() -> str:
    """Name and version of the program."""
    try:
        return f"p2pbench {version('p2pbench')}"
    except PackageNotFoundError:  # used from a folder, not installed
        return "p2pbench"


def _pairs(settings: Mapping[str, object]) -> list[str]:
    # TOML has no null: a setting that is not set is omitted, and gets its default, which is not set.
    return [f"{_key(name)} = {_toml(value)}" for name, value in settings.items() if value is not None]


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _toml(name)


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(str(name))} = {_toml(each)}" for name, each in value.items() if each is not None)
        return f"{{{inner}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(each) for each in value if each is not None)}]"
    if isinstance(value, str):
        return f'"{_ESCAPED.sub(_escape, value)}"'
    if isinstance(value, float):
        return repr(value)  # TOML writes nan and inf like Python
    return json.dumps(value)


def _escape(found: re.Match[str]) -> str:
    # TOML has no surrogates: they are written out, as in the page.
    code = ord(found[0])
    return f"\\\\u{code:04x}" if 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}"


def of_settings(a: GridDescription, b: GridDescription) -> tuple[Change, ...]:
    """Differences between two grid descriptions, over the cells of both."""
    shared = [cell for cell in b.cells if cell in a.cells]
    before, after = _fields(a, shared), _fields(b, shared)
    fields = dict.fromkeys([*after, *before])
    changes = (Change(field, before.get(field, NOT_THERE), after.get(field, NOT_THERE)) for field in fields)
    return tuple(change for change in changes if change.a != change.b)


def _fields(description: GridDescription, cells: Sequence[str]) -> dict[str, str]:
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


def plain_fields(fields: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Settings as text by dotted name, nested mappings flattened, lists as JSON."""
    flat: dict[str, str] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping) and value:
            flat |= plain_fields(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = plain(value)
    return flat


def plain(value: object) -> str:
    """A setting as text."""
    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
