"""Coverage of intervals of fooling rates, rate of false differences, and power.

    python benchmarks/fooling_coverage.py [--studies 1000] [--replicates 2000] [--json FILE]

A study of one algorithm: raters see 40 of 100 items each, items used equally often. A rater is fooled by an item with
probability expit(b + u + v), where u is normal (raters) and v normal (items); every study draws its own raters and
items. The truth that an interval should hold is the fooling rate of the population of raters and items, the mean of
that probability over u and v, not that of the 100 items drawn.

Two algorithms have other raters and the same 100 items; rho is the correlation of an item's v under one with its v
under the other (1: an item that is hard for one is as hard for the other). False alarms: both have the same truth.
Power: their truths differ by what the number of raters of `amt plan` detects at 80 %.

Last, the time of the two-stage bootstrap against two plain loops that do the same with the trials themselves.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

from record import Record, options

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.special
from numpy.typing import NDArray

from amt.statistics.components import rates as components
from amt.statistics.planning import ITEMS_ICC, Assumptions, raters_needed
from amt.statistics.rates import wilson
from amt.statistics.resampling import draw_counts, two_stage

RATERS, TRIALS, ITEMS = 50, 40, 100
RATER_SD, ITEM_SD = 0.5, 0.8
METHODS = ("naive Wilson", "raters only", "two-stage", "components")
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(60)
WEIGHTS /= WEIGHTS.sum()
PLANS = ((0.06, 0.2, 0.05), (0.08, 0.4, 0.1), (0.05, 0.1, 0.02))  # difference, rate, intra-class correlation


class Kind(NamedTuple):
    """Raters and items of a kind: the logit of one in the middle, and standard deviations of both."""

    base: float
    rater_sd: float
    item_sd: float

    def rates(self) -> NDArray[np.float64]:
        """The rates (nodes,) of raters at the nodes of `WEIGHTS`, over all items."""
        spread = self.rater_sd * NODES[:, None] + self.item_sd * NODES
        return np.asarray(scipy.special.expit(self.base + spread) @ WEIGHTS)

    def truth(self) -> float:
        """The fooling rate of the population."""
        return float(WEIGHTS @ self.rates())

    def intraclass(self) -> float:
        """The share of an answer's variance that lies between raters."""
        truth = self.truth()
        return float(WEIGHTS @ self.rates() ** 2 - truth**2) / (truth * (1 - truth))

    def items_intraclass(self, rho: float) -> float:
        """The share that lies between items and that two algorithms do not have in common.

        Args:
            rho: Correlation of an item's effects under both.
        """
        truth, by_item = self.truth(), self._replace(rater_sd=self.item_sd, item_sd=self.rater_sd)
        together = np.sqrt([rho, 1 - rho])  # effects that are shared, and those that are an algorithm's own
        spread = self.item_sd * (together[0] * NODES[:, None] + together[1] * NODES)
        shared = _over(self.base + spread, self.rater_sd) @ WEIGHTS
        of_items = WEIGHTS @ by_item.rates() ** 2 - WEIGHTS @ shared**2
        return max(0.0, float(of_items) / (truth * (1 - truth)))

    def with_rate(self, rate: float) -> Kind:
        """The kind with another truth."""
        return self._replace(base=_root(lambda base: self._replace(base=base).truth() - rate, -20, 20))

    def with_intraclass(self, rate: float, icc: float) -> Kind:
        """The kind with this truth, whose raters differ as much as this."""
        found = _root(lambda sd: self._replace(rater_sd=sd).with_rate(rate).intraclass() - icc, 0, 10)
        return self._replace(rater_sd=found).with_rate(rate)


def _over(logits: NDArray[np.float64], sd: float) -> NDArray[np.float64]:
    """The probability at each logit (...), over a normal addition to it with this deviation."""
    return np.asarray(scipy.special.expit(logits[..., None] + sd * NODES) @ WEIGHTS)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(scipy.optimize.brentq(function, low, high, xtol=1e-6))


def balanced(random: np.random.Generator, raters: int) -> NDArray[np.intp]:
    """Items (raters, trials): each rater has different ones, and uses of the items are equal to within 1."""
    uses = np.zeros(ITEMS, int)
    rows: list[NDArray[np.intp]] = []
    for _ in range(raters):
        rows.append(np.lexsort((random.random(ITEMS), uses))[:TRIALS])
        uses[rows[-1]] += 1
    return np.array(rows)


def study(
    random: np.random.Generator, kind: Kind, effects: NDArray[np.float64], raters: int, algorithm: str
) -> pd.DataFrame:
    """The answers of one algorithm's raters to items with these effects (items,)."""
    items = balanced(random, raters)
    logits = kind.base + random.normal(0, kind.rater_sd, (raters, 1)) + effects[items]
    fooled = random.random(items.shape) < scipy.special.expit(logits)
    return pd.DataFrame(
        {
            "algorithm": algorithm,
            "rater": [f"{algorithm} {rater}" for rater in np.repeat(np.arange(raters), TRIALS)],
            "item": items.ravel(),
            "fooled": fooled.ravel().astype(int),
        }
    )


def coverage(studies: int, kind: Kind, raters: int, random: np.random.Generator) -> dict[str, float]:
    """Coverage of intervals by components, and their mean width against that of an oracle.

    The oracle's interval is the truth +- 1.96 standard deviations of the rates that were found.
    """
    truth, found = kind.truth(), []
    for _ in range(studies):
        effects = random.normal(0, kind.item_sd, ITEMS)
        found.append(components(study(random, kind, effects, raters, "a")).rate("a"))
    widths = statistics.mean(each.high - each.low for each in found)
    return {
        "coverage": statistics.mean(each.low <= truth <= each.high for each in found),
        "width_points": 100 * widths,
        "width_to_oracle": widths / (2 * 1.96 * statistics.stdev(each.value for each in found)),
    }


def methods(studies: int, replicates: int, random: np.random.Generator) -> dict[str, tuple[float, float]]:
    """By method: the share of intervals that hold the truth, and their mean width in percentage points."""
    kind = Kind(scipy.special.logit(0.25), RATER_SD, ITEM_SD)
    rate = kind.truth()
    held: dict[str, list[bool]] = {method: [] for method in METHODS}
    widths: dict[str, list[float]] = {method: [] for method in METHODS}
    for seed in range(studies):
        answers = study(random, kind, random.normal(0, ITEM_SD, ITEMS), RATERS, "a")
        rates = answers["fooled"].to_numpy().reshape(RATERS, TRIALS).mean(axis=1)
        raters_only = draw_counts(random, replicates, RATERS) @ rates / RATERS
        intervals = {
            "naive Wilson": tuple(map(float, wilson(answers["fooled"].sum(), len(answers)))),
            "raters only": tuple(np.percentile(raters_only, [2.5, 97.5])),
            "two-stage": two_stage(answers, replicates, seed).estimate("a")[2:4],
            "components": components(answers).rate("a")[2:4],
        }
        for method, (low, high) in intervals.items():
            held[method].append(bool(low <= rate <= high))
            widths[method].append(100 * (high - low))
    return {method: (statistics.mean(held[method]), statistics.mean(widths[method])) for method in METHODS}


def found_different(
    studies: int, kinds: tuple[Kind, Kind], raters: int, rho: float, random: np.random.Generator
) -> dict[str, float]:
    """By test: the share of studies in which it finds a difference at 5 %."""
    found: dict[str, list[bool]] = {"z-test": [], "components": []}
    for _ in range(studies):
        one = random.normal(0, 1, ITEMS)
        two = rho * one + np.sqrt(1 - rho**2) * random.normal(0, 1, ITEMS)
        parts = [
            study(random, kind, kind.item_sd * effects, raters, name)
            for kind, effects, name in zip(kinds, (one, two), "ab", strict=True)
        ]
        rates = [part["fooled"].mean() for part in parts]
        pooled = statistics.mean(rates)
        z = (rates[0] - rates[1]) / np.sqrt(pooled * (1 - pooled) * 2 / (raters * TRIALS))
        found["z-test"].append(bool(abs(z) > 1.96))
        found["components"].append(components(pd.concat(parts)).difference("a", "b").p < 0.05)
    return {test: statistics.mean(each) for test, each in found.items()}


def power(studies: int, random: np.random.Generator) -> list[dict[str, object]]:
    """Rate of detected differences with the raters of `amt plan`, at a power of 80 %.

    It is told the intra-class correlations of raters and items; where it says "default", not that of items.
    """
    rows: list[dict[str, object]] = []
    for difference, rate, icc in PLANS:
        for item_sd, rho, told in ((0.0, 0.0, True), (ITEM_SD, 1.0, True), (ITEM_SD, 0.5, True), (ITEM_SD, 0.5, False)):
            kind = Kind(0, 0, item_sd).with_intraclass(rate, icc)
            items_icc = kind.items_intraclass(rho) if told else ITEMS_ICC
            raters = raters_needed(difference, Assumptions(rate, TRIALS, icc, items=ITEMS, items_icc=items_icc))
            kinds = kind.with_rate(rate - difference / 2), kind.with_rate(rate + difference / 2)
            shares = found_different(studies, kinds, raters, rho, random)
            rows.append(
                {
                    "difference_points": 100 * difference,
                    "rate_percent": 100 * rate,
                    "icc": icc,
                    "item_sd": item_sd,
                    "rho": rho,
                    "items_icc": round(items_icc, 4) if told else "default",
                    "raters": raters,
                    "power": shares["components"],
                }
            )
    return rows


def tight_loop(fooled: NDArray[np.int64], replicates: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Two-stage replicates, one at a time, each in three numpy calls."""
    raters, trials = fooled.shape
    values = []
    for _ in range(replicates):
        drawn = random.integers(raters, size=(raters, 1))
        values.append(fooled[drawn, random.integers(trials, size=fooled.shape)].mean())
    return np.array(values)


def plain_loop(fooled: NDArray[np.int64], replicates: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Two-stage replicates, rater by rater, as one would first write it."""
    raters, trials = fooled.shape
    values = []
    for _ in range(replicates):
        drawn = [random.choice(fooled[random.integers(raters)], size=trials) for _ in range(raters)]
        values.append(np.mean([answers.mean() for answers in drawn]))
    return np.array(values)


def speed(random: np.random.Generator) -> list[dict[str, object]]:
    """The seconds of 10,000 replicates and their results, side by side; rates in percent."""
    kind = Kind(scipy.special.logit(0.25), RATER_SD, ITEM_SD)
    answers = study(random, kind, random.normal(0, ITEM_SD, ITEMS), RATERS, "a")
    fooled = answers["fooled"].to_numpy().reshape(RATERS, TRIALS)
    ways: dict[str, Callable[[], NDArray[np.float64]]] = {
        "two_stage": lambda: two_stage(answers, 10_000, 0).values[:, 0],
        "tight loop": lambda: tight_loop(fooled, 10_000, random),
        "plain loop": lambda: plain_loop(fooled, 10_000, random),
    }
    seconds: dict[str, float] = {}
    rows: list[dict[str, object]] = []
    for name, way in ways.items():
        times = []
        for _ in range(2 if name == "plain loop" else 7):
            start = time.perf_counter()
            values = way()
            times.append(time.perf_counter() - start)
        seconds[name] = statistics.median(times)
        low, high = np.percentile(values, [2.5, 97.5])
        rows.append(
            {
                "way": name,
                "seconds": seconds[name],
                "ratio_to_two_stage": seconds[name] / seconds["two_stage"],
                "mean_percent": 100 * values.mean(),
                "error_percent": 100 * values.std(),
                "low_percent": 100 * low,
                "high_percent": 100 * high,
            }
        )
    return rows


def main() -> None:
    """Simulate and print."""
    parser = options(__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--replicates", type=int, default=2000)
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    record = Record("fooling_coverage", arguments)
    studies = arguments.studies
    record.table(
        f"95 % intervals, {studies} studies of {arguments.replicates} replicates, {RATERS} raters",
        [
            {"method": method, "coverage": share, "width_points": width}
            for method, (share, width) in methods(studies, arguments.replicates, random).items()
        ],
    )
    record.table(
        f"95 % intervals by components, {studies} studies",
        [
            {
                "rate_percent": 100 * rate,
                "raters": raters,
                "item_sd": item_sd,
                **coverage(studies, kind, raters, random),
            }
            for rate in (0.01, 0.05, 0.2, 0.49)
            for raters in (10, 20, 50)
            for item_sd in (0.0, ITEM_SD)
            for kind in [Kind(0, RATER_SD, item_sd).with_rate(rate)]
        ],
    )
    same = Kind(scipy.special.logit(0.25), RATER_SD, ITEM_SD)
    record.table(
        f"False alarms at 5 %, {studies} studies of {RATERS} raters, by the correlation of items' effects",
        [{"rho": rho, **found_different(studies, (same, same), RATERS, rho, random)} for rho in (0.0, 0.5, 1.0)],
    )
    record.table(f"Power at amt plan's sizes for 80 %, {studies} studies", power(studies, random))
    error = np.sqrt(0.05 * 0.95 / studies)
    print(f"the standard error of a share near 0.05 or 0.95 is {error:.3f}", flush=True)
    record.table(f"10,000 two-stage replicates of {RATERS} x {TRIALS} answers", speed(random))
    record.save()


if __name__ == "__main__":
    main()
