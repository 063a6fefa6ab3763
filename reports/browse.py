"""What the page's script knows of a grid's pictures: a JavaScript file, since a page on disk may not fetch JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from reports.gallery import Column, Gallery, Tile
from reports.items import ItemMetric
from reports.metrics import describe, describe_scorer
from reports.segmentations import Seen

NONE, UNREADABLE, PNG, JPEG = "-xpj"
"""A picture's state, a letter each: not there, not readable, a PNG, a JPEG with a thumbnail."""


def script(anchor: str, gallery: Gallery, metrics: Sequence[ItemMetric], seen: Seen | None) -> str:
    """The data of one grid as a statement that the page's script reads as `grids[anchor]`.

    Values are rounded to what can be seen; the tidy CSV has them at full precision.
    """
    items = [row.item for row in gallery.rows]
    data = {
        "items": items,
        "columns": [_column(place, gallery) for place in range(len(gallery.columns))],
        "enlarge": gallery.width,
        "truth": _flags(seen.truth, len(items)) if seen else "",
        "segmented": [_flags(numbers, len(items)) for numbers in seen.segmented] if seen else [],
        "metrics": [_metric(metric, gallery.columns, items) for metric in metrics],
    }
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    # Nothing in it may end the script element, or begin a comment, once the page is one file.
    return f"(window.grids ??= {{}})[{json.dumps(anchor)}] = {text.replace('<', chr(92) + 'u003c')};\n"


def _column(place: int, gallery: Gallery) -> dict[str, object]:
    column = gallery.columns[place]
    tiles = [row.tiles[place] for row in gallery.rows]
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
    return "".join("1" if number in numbers else "0" for number in range(count))


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
