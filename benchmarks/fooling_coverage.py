"""How often 95 % intervals of fooling rates hold the truth, and how often two equal algorithms seem to differ.

    python benchmarks/fooling_coverage.py [--studies 1000] [--replicates 2000] [--json FILE]

A study of one algorithm: 50 raters see 40 of 100 items each, items used equally often. A rater is fooled by an item
with probability expit(b + u + v), b = logit(0.25), where u is normal with SD 0.5 (raters) and v normal with SD 0.8
(items); every study draws its own raters and items. The truth that an interval should hold is the fooling rate of the
population of raters and items, the mean of that probability over u and v (28.28 %), not that of the 100 items drawn.

False alarms: two algorithms with the same truth and other raters, on the same 100 items; rho is the correlation of an
item's v under one algorithm with its v under the other (1: an item that is hard for one is as hard for the other).

Last, the time of the two-stage bootstrap against two plain loops that do the same with the trials themselves.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from record import Record, options

import numpy as np
import pandas as pd
import scipy.special
from numpy.typing import NDArray

from amt.statistics.bootstrap import crossed, draw_counts, two_stage
from amt.statistics.pairs import pairs
from amt.statistics.rates import wilson

RATERS, TRIALS, ITEMS = 50, 40, 100
BASE, RATER_SD, ITEM_SD = 0.25, 0.5, 0.8
METHODS = ("naive Wilson", "raters only", "two-stage", "crossed")
TESTS = ("z-test", "two-stage", "crossed")


def truth() -> float:
    """The fooling rate of the population, by Gauss-Hermite quadrature over u + v."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    logits = scipy.special.logit(BASE) + np.hypot(RATER_SD, ITEM_SD) * nodes
    return float(weights @ scipy.special.expit(logits) / weights.sum())


def balanced(random: np.random.Generator) -> NDArray[np.intp]:
    """Items (raters, trials): each rater has different ones, and uses of the items are equal to within 1."""
    uses = np.zeros(ITEMS, int)
    rows: list[NDArray[np.intp]] = []
    for _ in range(RATERS):
        rows.append(np.lexsort((random.random(ITEMS), uses))[:TRIALS])
        uses[rows[-1]] += 1
    return np.array(rows)


def study(random: np.random.Generator, effects: NDArray[np.float64], algorithm: str) -> pd.DataFrame:
    """The answers of one algorithm's raters to items with these effects (items,)."""
    items = balanced(random)
    logits = scipy.special.logit(BASE) + random.normal(0, RATER_SD, (RATERS, 1)) + effects[items]
    fooled = random.random(items.shape) < scipy.special.expit(logits)
    raters = np.repeat(np.arange(RATERS), TRIALS)
    return pd.DataFrame(
        {
            "algorithm": algorithm,
            "rater": [f"{algorithm} {rater}" for rater in raters],
            "item": items.ravel(),
            "fooled": fooled.ravel().astype(int),
        }
    )


def coverage(studies: int, replicates: int, random: np.random.Generator) -> dict[str, tuple[float, float]]:
    """By method: the share of intervals that hold the truth, and their mean width in percentage points."""
    rate = truth()
    held: dict[str, list[bool]] = {method: [] for method in METHODS}
    widths: dict[str, list[float]] = {method: [] for method in METHODS}
    for seed in range(studies):
        answers = study(random, random.normal(0, ITEM_SD, ITEMS), "a")
        rates = answers["fooled"].to_numpy().reshape(RATERS, TRIALS).mean(axis=1)
        raters_only = draw_counts(random, replicates, RATERS) @ rates / RATERS
        intervals = {
            "naive Wilson": tuple(map(float, wilson(answers["fooled"].sum(), len(answers)))),
            "raters only": tuple(np.percentile(raters_only, [2.5, 97.5])),
            "two-stage": two_stage(answers, replicates, seed).estimate("a")[2:4],
            "crossed": crossed(answers, replicates, seed).estimate("a")[2:4],
        }
        for method, (low, high) in intervals.items():
            held[method].append(bool(low <= rate <= high))
            widths[method].append(100 * (high - low))
    return {method: (statistics.mean(held[method]), statistics.mean(widths[method])) for method in METHODS}


def false_alarms(studies: int, replicates: int, rho: float, random: np.random.Generator) -> dict[str, float]:
    """By test: the share of studies in which it finds a difference at 5 % where there is none."""
    alarms: dict[str, list[bool]] = {test: [] for test in TESTS}
    for seed in range(studies):
        one = random.normal(0, ITEM_SD, ITEMS)
        two = rho * one + np.sqrt(1 - rho**2) * random.normal(0, ITEM_SD, ITEMS)
        answers = pd.concat([study(random, one, "a"), study(random, two, "b")])
        rates = answers.groupby("algorithm")["fooled"].mean()
        pooled = rates.mean()
        z = (rates["a"] - rates["b"]) / np.sqrt(pooled * (1 - pooled) * 2 / (RATERS * TRIALS))
        alarms["z-test"].append(bool(abs(z) > 1.96))
        alarms["two-stage"].append(pairs(two_stage(answers, replicates, seed))[0].p < 0.05)
        alarms["crossed"].append(pairs(crossed(answers, replicates, seed))[0].p < 0.05)
    return {test: statistics.mean(found) for test, found in alarms.items()}


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
    answers = study(random, random.normal(0, ITEM_SD, ITEMS), "a")
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
    simulated = f"{arguments.studies} studies of {arguments.replicates} replicates"
    record.table(
        f"95 % intervals, {simulated}, truth {100 * truth():.2f} %",
        [
            {"method": method, "coverage": share, "width_points": width}
            for method, (share, width) in coverage(arguments.studies, arguments.replicates, random).items()
        ],
    )
    record.table(
        f"False alarms at 5 %, {simulated}, by the correlation of items' effects",
        [{"rho": rho, **false_alarms(arguments.studies, arguments.replicates, rho, random)} for rho in (0.0, 0.5, 1.0)],
    )
    error = np.sqrt(0.05 * 0.95 / arguments.studies)
    print(f"the standard error of a share near 0.05 or 0.95 is {error:.3f}", flush=True)
    record.table(f"10,000 two-stage replicates of {RATERS} x {TRIALS} answers", speed(random))
    record.save()


if __name__ == "__main__":
    main()
