"""Data of the page's picture browser: scores by item and cell."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from reports.gallery import Column, Gallery, GalleryLabelMaps, Tile
from reports.store.layout import REAL
from reports.store.ledger import LedgerEntry
from reports.store.metrics import STUDY, ScorerInfo, describe, describe_scorer
from reports.store.scores import Scores

NONE, UNREADABLE, PNG, JPEG = "-xpj"
"""State of a picture: missing, unreadable, PNG, JPEG with a thumbnail."""


@dataclass(frozen=True, eq=False)
class ItemMetric:
    """A metric with one value per item.

    Attributes:
        scorer: Its scorer's name.
        metric: Its name.
        label: Its label among metrics of all scorers.
        short: Its label among those of its scorer.
        values: Values by cell, as in the heads of the gallery, then by item.
        title: Its scorer's title.
    """

    scorer: str
    metric: str
    label: str
    short: str
    values: Mapping[str, Mapping[str, float]]
    title: str = ""


def gallery_script(
    anchor: str, gallery: Gallery, metrics: Sequence[ItemMetric], label_maps: GalleryLabelMaps | None
) -> str:
    """JavaScript statement that defines one grid's data as `grids[anchor]`.

    Values are rounded as displayed; scores.csv has them at full precision.
    """
    items = [row.item for row in gallery.rows]
    data = {
        "items": items,
        "columns": [_column(index, gallery) for index in range(len(gallery.columns))],
        "enlarge": gallery.width,
        "truth": _flags(label_maps.truth, len(items)) if label_maps else "",
        "segmented": [_flags(numbers, len(items)) for numbers in label_maps.segmented] if label_maps else [],
        "metrics": [_metric(metric, gallery.columns, items) for metric in metrics],
    }
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    # In a page of one file, no `<` may end the script element or begin a comment.
    return f"(window.grids ??= {{}})[{json.dumps(anchor)}] = {text.replace('<', chr(92) + 'u003c')};\n"


def _column(index: int, gallery: Gallery) -> dict[str, object]:
    column = gallery.columns[index]
    tiles = [row.tiles[index] for row in gallery.rows]
    return {
        "name": column.name,
        "seed": column.seed,
        "given": column.given,
        "pictures": "".join(map(_state, tiles)),
        "widths": sorted({tile.shown.width for tile in tiles if tile.shown}),
    }


def _state(tile: Tile) -> str:
    if tile.shown is None:
        return UNREADABLE if tile.damage else NONE
    return JPEG if tile.shown.name.endswith(".jpg") else PNG


def _flags(numbers: Collection[int], count: int) -> str:
    return "".join("1" if i in numbers else "0" for i in range(count))


def _metric(metric: ItemMetric, columns: Sequence[Column], items: Sequence[str]) -> dict[str, object]:
    about = describe(metric.metric)
    return {
        "key": f"{metric.scorer}.{metric.metric}",
        "label": metric.label,
        "short": metric.short,
        "scorer": metric.title or describe_scorer(metric.scorer).title,
        "better": {True: "high", False: "low", None: ""}[about.higher_is_better],
        "digits": about.digits,
        "values": [_values(metric.values.get(column.name), items, about.digits) for column in columns],
    }


def _values(values: Mapping[str, float] | None, items: Sequence[str], digits: int) -> list[float | None] | None:
    if values is None:
        return None
    return [round(values[item], digits) if item in values else None for item in items]


def of_columns(columns: Sequence[Column], entries: Sequence[LedgerEntry]) -> list[ItemMetric]:
    """Metrics with values by item, for the runs shown, studies last."""
    shown = {column.run: column.name for column in columns}
    values_by_metric: dict[tuple[str, str], dict[str, Mapping[str, float]]] = {}
    scorers: dict[str, ScorerInfo] = {}
    for entry in entries:
        if entry.run not in shown:
            continue
        scorers.setdefault(entry.scores.scorer, describe_scorer(entry.scores.scorer, entry.scores.protocol))
        for name in entry.scores.metrics:
            if values := entry.scores.by_item(name):
                values_by_metric.setdefault((entry.scores.scorer, name), {})[shown[entry.run]] = values
    # Two scorers have a metric of one name, such as both protocols' class IoU: their labels tell them apart.
    several = {name for scorer, name in values_by_metric if sum(other == name for _, other in values_by_metric) > 1}
    ordered = sorted(values_by_metric, key=lambda key: key[0].startswith(STUDY))
    return [
        ItemMetric(
            scorer,
            name,
            _label(scorers[scorer], name, name in several),
            describe(name).label,
            values_by_metric[scorer, name],
            scorers[scorer].title,
        )
        for scorer, name in ordered
    ]


def notable(metrics: Sequence[ItemMetric]) -> list[str]:
    """Items to show first: lowest, median and highest by each metric.

    Those by the mean of cells come before those by single cells.
    """
    means, alone = [], []
    for metric in metrics:
        of_cells = [values for cell, values in metric.values.items() if cell != REAL]
        means += _three(of_cells)
        alone += [item for values in of_cells for item in _three([values])]
    return list(dict.fromkeys([*means, *alone]))


def _three(of_cells: Sequence[Mapping[str, float]]) -> list[str]:
    shared = set.intersection(*map(set, of_cells)) if of_cells else set()
    # By id among equals, so that a report written again shows the same items.
    ordered = sorted(shared, key=lambda item: (sum(values[item] for values in of_cells), item))
    return [ordered[0], ordered[len(ordered) // 2], ordered[-1]] if ordered else []


def without_pictures(metrics: Sequence[ItemMetric], items: Sequence[str]) -> list[str]:
    """Items with scores and no picture: of another item set, or deleted."""
    scored = {item for metric in metrics for values in metric.values.values() for item in values}
    return sorted(scored - set(items))


def _label(scorer: ScorerInfo, metric: str, ambiguous: bool) -> str:
    label = describe(metric).label
    return f"{label} ({scorer.brief or scorer.title})" if ambiguous else label


def changes_by_item(a: Scores, b: Scores) -> dict[str, dict[str, float]]:
    """Differences B minus A by metric and item.

    Only of metrics and items that both have; empty if the protocols differ.
    """
    # Another protocol may move every value: such changes say nothing about the outputs.
    if a.fingerprint != b.fingerprint:
        return {}
    changes = {}
    for name in (name for name in b.metrics if name in a.metrics):
        before = a.by_item(name)
        changes[name] = {item: value - before[item] for item, value in b.by_item(name).items() if item in before}
    return {name: values for name, values in changes.items() if values}
