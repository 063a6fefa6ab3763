"""How small a difference between two cells more seeds could tell, from the variances of cells that are scored.

The variance of a difference between two cells of K seeds each has the seeds' part of both cells as measured, divided by
K, and the items' part of their paired difference, which more seeds do not make smaller (`reports.variance`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

from reports.metrics import STUDY, describe, describe_scorer
from reports.tables import Table
from reports.variance import planned

SEEDS = (2, 3, 5, 10)
POWER = 0.8
MEANING = "the smallest difference between two cells that is found with 80 % power"
NO_SEEDS = "no two cells with several seeds each"
NO_INTERVALS = "several seeds per cell and no interval of two of them"
_TYPICAL = 3  # seeds, by whose variance the pair is chosen that stands for all


class Sensitivity(NamedTuple):
    """What one metric could tell.

    Attributes:
        metric: Its name.
        pairs: How many pairs of cells it is measured on.
        smallest: By the number of seeds per cell, the difference that is found in 80 % of cases: of one pair, whose
            variance is the median of all at three seeds.
    """

    metric: str
    pairs: int
    smallest: dict[int, float]

    def shown(self, seeds: int, beyond: str = "-") -> str:
        """The difference with so many seeds as text, `beyond` where it is more than the metric's whole scale."""
        about, size = describe(self.metric), self.smallest[seeds]
        if size > about.most - about.least:
            return beyond
        text = f"{size:.{about.digits}f}"
        return text if float(text) else f"<{10.0**-about.digits:.{about.digits}f}"


def lines(table: Table, seeds: Sequence[int] = SEEDS) -> list[str]:
    """The same for a terminal: the scorer's title and a line a metric; nothing where nobody knows."""
    rows = of_table(table, seeds)
    if not rows:
        return []
    found = [
        describe_scorer(table.scorer, table.protocol).title,
        f"  {'seeds per cell':<20}" + "".join(f"{count:>9}" for count in seeds),
    ]
    texts = [[row.shown(count) for count in seeds] for row in rows]
    for row, values in zip(rows, texts, strict=True):
        found.append(f"  {describe(row.metric).label:<20}" + "".join(f"{text:>9}" for text in values))
    if any("-" in values for values in texts):
        found.append("  -: more than the metric's whole scale")
    return found


def lacking(tables: Iterable[Table]) -> str:
    """What tables lack for differences to be planned, where `of_table` says nothing of any."""
    counts = [sum(len(row.seeds) > 1 for row in table.rows) for table in tables if not table.scorer.startswith(STUDY)]
    return NO_SEEDS if max(counts, default=0) < 2 else NO_INTERVALS


def of_table(table: Table, seeds: Sequence[int] = SEEDS) -> list[Sensitivity]:
    """The metrics of a table by which two or more cells have several seeds; none of a study's.

    Args:
        table: What one scorer says.
        seeds: Numbers of seeds per cell to look at, at least 2.
    """
    if table.scorer.startswith(STUDY):
        return []
    found = []
    for name in table.metrics:
        samples = [row.numbers[name].sample for row in table.rows if name in row.numbers]
        known = [
            (plan.variance, pair) for pair in combinations(samples, 2) if (plan := planned(*pair, _TYPICAL)) is not None
        ]
        if known:  # of one pair: working it out for each of many cells would take minutes
            _, median = sorted(known, key=lambda each: each[0])[(len(known) - 1) // 2]
            plans = {count: plan for count in seeds if (plan := planned(*median, count)) is not None}
            found.append(Sensitivity(name, len(known), {count: of.detectable(POWER) for count, of in plans.items()}))
    return found
