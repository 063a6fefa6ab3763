"""What each item scored in each cell: what the gallery is ordered by, and what is said beside a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.gallery import Column
from reports.layout import REAL
from reports.ledger import Entry
from reports.metrics import STUDY, Scorer, describe, describe_scorer
from reports.scores import Scores


@dataclass(frozen=True, eq=False)
class ItemMetric:
    """A metric by item.

    Attributes:
        scorer: Which scorer gave it.
        metric: Its name.
        label: What it is called where scorers are mixed.
        short: What it is called among those of its scorer.
        values: By cell, as in the heads of the gallery, then by item.
        title: What its scorer is called.
    """

    scorer: str
    metric: str
    label: str
    short: str
    values: Mapping[str, Mapping[str, float]]
    title: str = ""


def of_columns(columns: Sequence[Column], entries: Sequence[Entry]) -> list[ItemMetric]:
    """The metrics that have values by item, for the runs whose pictures are shown, studies with raters last."""
    shown = {column.run: column.name for column in columns}
    found: dict[tuple[str, str], dict[str, Mapping[str, float]]] = {}
    scorers: dict[str, Scorer] = {}
    for entry in entries:
        if entry.run not in shown:
            continue
        scorers.setdefault(entry.scores.scorer, describe_scorer(entry.scores.scorer, entry.scores.protocol))
        for name in entry.scores.metrics:
            if values := entry.scores.by_item(name):
                found.setdefault((entry.scores.scorer, name), {})[shown[entry.run]] = values
    several = {name for scorer, name in found if sum(other == name for _, other in found) > 1}
    ordered = sorted(found, key=lambda key: key[0].startswith(STUDY))
    return [
        ItemMetric(
            scorer,
            name,
            _label(scorers[scorer], name, name in several),
            describe(name).label,
            found[scorer, name],
            scorers[scorer].title,
        )
        for scorer, name in ordered
    ]


def notable(metrics: Sequence[ItemMetric]) -> list[str]:
    """The items to show first where not all can be: lowest, median and highest by each metric, means first."""
    means, alone = [], []
    for metric in metrics:
        of_cells = [values for cell, values in metric.values.items() if cell != REAL]
        means += _three(of_cells)
        alone += [item for values in of_cells for item in _three([values])]
    return list(dict.fromkeys([*means, *alone]))


def _three(of_cells: Sequence[Mapping[str, float]]) -> list[str]:
    shared = set.intersection(*map(set, of_cells)) if of_cells else set()
    ordered = sorted(shared, key=lambda item: (sum(values[item] for values in of_cells), item))
    return [ordered[0], ordered[len(ordered) // 2], ordered[-1]] if ordered else []


def without_pictures(metrics: Sequence[ItemMetric], items: Sequence[str]) -> list[str]:
    """The items that have scores and no picture of the grid's: left over from another set of items, or removed."""
    scored = {item for metric in metrics for values in metric.values.values() for item in values}
    return sorted(scored - set(items))


def _label(scorer: Scorer, metric: str, ambiguous: bool) -> str:
    label = describe(metric).label
    return f"{label} ({scorer.brief or scorer.title})" if ambiguous else label


def changes(a: Scores, b: Scores) -> dict[str, dict[str, float]]:
    """B less A by metric and item, for what both have; nothing where the protocols differ."""
    if a.fingerprint != b.fingerprint:
        return {}
    found = {}
    for name in (name for name in b.metrics if name in a.metrics):
        before = a.by_item(name)
        found[name] = {item: value - before[item] for item, value in b.by_item(name).items() if item in before}
    return {name: values for name, values in found.items() if values}
