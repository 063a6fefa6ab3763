"""Clusters of test items, such as the frames of one drive.

They are given by item names, a pattern, or a table.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from p2pbench.config import is_table
from p2pbench.datasets.contents import digest
from p2pbench.datasets.dataset import Naming
from p2pbench.errors import UserError
from reports.store import bootstrap
from reports.store.bootstrap import FIELD, effective
from reports.store.names import counted, item_id, printable

ALONE = r"(.*)"
"""Pattern that makes each item a separate cluster."""


@dataclass(frozen=True)
class ItemClusters:
    """Clusters of items.

    Attributes:
        by: How they were found, for protocols and captions.
        of: The cluster of each item by its id.
    """

    by: str
    of: Mapping[str, str]


class FoundClusters(NamedTuple):
    """Clusters of the test items, and lines on their detection.

    None where items are independent.
    """

    clusters: ItemClusters | None
    notices: tuple[str, ...] = ()


def of_clusters(clusters: ItemClusters | None, item_ids: Sequence[str]) -> dict[str, object]:
    """Protocol entry on the clusters of these items; empty without clusters."""
    if clusters is None:
        return {}
    of_items = {item: clusters.of[item] for item in item_ids}
    # Of the scored items only, which may be fewer than the clusters' table has.
    sizes = list(Counter(of_items.values()).values())
    return {FIELD: {"by": clusters.by, "n": len(sizes), "effective": effective(sizes), "hash": digest(of_items)}}


def weights_of(item_ids: Sequence[str], clusters: ItemClusters | None) -> NDArray[np.float32]:
    """Counts (draws, n) of each item in each bootstrap draw.

    Items are drawn alone, or as clusters.
    """
    return bootstrap.item_weights(item_ids, clusters=None if clusters is None else clusters.of)


def find_clusters(setting: str | None, naming: Naming | None, item_ids: Sequence[str]) -> FoundClusters:
    """Find the clusters of a dataset's test items.

    Args:
        setting: A pattern or a table's path, as the setting `clusters`; None takes the dataset's naming.
        naming: Pattern of the dataset's own names, if any.
        item_ids: Ids of all test items.

    Raises:
        UserError: The pattern or the table cannot be used, does not have all items, or puts them all into one cluster.
    """
    if setting is None:
        return _named(naming, item_ids)
    by, of = _of_table(setting, item_ids) if is_table(setting) else _of_pattern(setting, item_ids)
    count = len(set(of.values()))
    if count == len(item_ids):
        notice = f"{_place(setting)}: each of {count} items is a cluster of its own, which is as without any"
        return FoundClusters(None, (notice,) if count > 1 else ())
    if count == 1:
        only = printable(next(iter(of.values()))) or "an empty name"
        raise UserError(
            f"{_place(setting)}: found 1 cluster, {only}, with all {len(item_ids)} items; expected several, as one "
            f"says nothing of others; change it, or give '{ALONE}' to take each item alone"
        )
    return FoundClusters(ItemClusters(by, of))


def _place(setting: str) -> str:
    return printable(setting) if is_table(setting) else f"clusters {printable(setting)}"


def _named(naming: Naming | None, item_ids: Sequence[str]) -> FoundClusters:
    """Find clusters by the dataset's own names; none where some items have other names."""
    if naming is None:
        return FoundClusters(None)
    matches = {item: naming.pattern.fullmatch(item) for item in item_ids}
    of = {item: match[1] for item, match in matches.items() if match}
    if len(of) < len(item_ids):
        other = next(item for item in item_ids if item not in of)
        notice = (
            f"{len(item_ids) - len(of)} of {len(item_ids)} items are not named as published, such as "
            f"{printable(other)}: {naming.by} are not known, and intervals are over items; say which by `clusters`"
        )
        return FoundClusters(None, (notice,) if of else ())
    alone = len(set(of.values())) == len(item_ids)
    return FoundClusters(None if alone else ItemClusters(naming.by, of))


def _of_pattern(pattern: str, item_ids: Sequence[str]) -> tuple[str, dict[str, str]]:
    of: dict[str, str] = {}
    for item in item_ids:
        match = re.search(pattern, item)
        if match and match[1] is not None:
            of[item] = match[1]
    if not of:
        raise UserError(
            f"{_place(pattern)}: found it in none of {counted(len(item_ids), 'item')}, such as "
            f"{printable(item_ids[0])}; expected it in every one; change the pattern"
        )
    _check_all(of, item_ids, _place(pattern), "change the pattern")
    return f"pattern {pattern}", of


def _of_table(setting: str, item_ids: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Read clusters from a table's lines.

    Lines of other items are passed over, and so is a header.
    """
    path = Path(setting).expanduser()
    wanted, of = set(item_ids), dict[str, str]()
    for line_number, line in enumerate(_lines(path), 1):
        if not line:
            continue
        if len(line) == 2 and not all(map(str.strip, line)):
            raise UserError(f"{path}: line {line_number}: found no item or no cluster, expected both; mend that line")
        if len(line) != 2:
            raise UserError(
                f"{path}: line {line_number}: found {counted(len(line), 'column')}, expected two with a comma between "
                "them, an item and its cluster; mend that line"
            )
        item, cluster = item_id(line[0].strip()), line[1].strip()
        if printable(cluster) != cluster:  # it would look like another cluster's name
            raise UserError(
                f"{path}: line {line_number}: found cluster {printable(cluster)}, expected a name without invisible "
                "characters; delete those"
            )
        if item in of:
            raise UserError(
                f"{path}: line {line_number}: found {printable(item)} again, expected each item once; delete one"
            )
        if item in wanted:
            of[item] = cluster
    _check_all(of, item_ids, str(path), "add a line for each, with the item's id, the file's name without its ending")
    return "a CSV table", of  # not the file's name: a copy gives the same protocol


def _lines(path: Path) -> list[list[str]]:
    if not path.is_file():
        found = "a folder" if path.is_dir() else "no such file"
        raise UserError(f"{path}: found {found}, expected a table of items and clusters; put it there, or name another")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        what = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({what}); expected a CSV file in UTF-8; save it as such") from None


def _check_all(of: Mapping[str, str], item_ids: Sequence[str], place: str, mend: str) -> None:
    missing = [item for item in item_ids if item not in of]
    if missing:
        raise UserError(
            f"{place}: found no cluster for {len(missing)} of {counted(len(item_ids), 'item')}, such as "
            f"{printable(missing[0])}; expected one for each; {mend}"
        )
