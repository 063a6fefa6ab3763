"""Two-stage bootstrap of fooling rates: raters, then trials within each.

The statistic is the mean over raters of their mean over trials. The paper's +- rests on this bootstrap
(docs/paper-protocol.md#plus-minus). It treats items as fixed and counts the chance variance of single answers twice;
claims rest on `components`.

Draws depend on the seed and on the names of algorithms and raters, never on the order of rows. Raters who share an
algorithm, directly or through others, are resampled together: with one algorithm per session, each algorithm's raters
on their own; where sessions mix algorithms, all raters jointly.

A single rater does not show how raters vary: such rates have no interval.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

REPLICATES = 10_000
_BLOCK = 100_000  # elements of each working array, so that a handful of them fit the cache


class Estimate(NamedTuple):
    """A value with its 95 % interval.

    Attributes:
        value: The statistic of the observed answers.
        error: Standard error.
        low: Lower end of the interval.
        high: Upper end.

    Error and ends are NaN where there is no interval.
    """

    value: float
    error: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return not math.isnan(self.low)


class Replicates(NamedTuple):
    """Bootstrap replicates of the rates of all algorithms, from joint draws.

    Attributes:
        algorithms: The A names, sorted.
        observed: Observed rates (A,), 0 to 1.
        values: Rates (replicates, A); NaN where a draw left an algorithm without a trial, or it has a single rater.
    """

    algorithms: tuple[str, ...]
    observed: NDArray[np.float64]
    values: NDArray[np.float64]

    def estimate(self, algorithm: str) -> Estimate:
        """Rate of one algorithm, 0 to 1, with its interval."""
        i = self.algorithms.index(algorithm)
        return estimate(float(self.observed[i]), self.values[:, i])


class _Algorithm(NamedTuple):
    """Raters of one algorithm by index, with their trials and fooled."""

    raters: NDArray[np.intp]
    trials: NDArray[np.int64]
    fooled: NDArray[np.int64]


class _Alike(NamedTuple):
    """Groups of raters with equal counts; members indicates them (groups, raters)."""

    trials: NDArray[np.int64]
    fooled: NDArray[np.int64]
    members: NDArray[np.float64]


class _Study(NamedTuple):
    """Algorithms, groups of raters drawn together, and number of raters."""

    names: tuple[str, ...]
    algorithms: tuple[_Algorithm, ...]
    together: tuple[tuple[str, NDArray[np.intp]], ...]
    raters: int


def estimate(value: float, replicates: NDArray[np.float64]) -> Estimate:
    """Standard error and 95 % percentile interval from defined replicates.

    There is no interval where no replicate is defined, or all are equal.
    """
    defined = replicates[np.isfinite(replicates)]
    if not defined.size or defined.min() == defined.max():
        return Estimate(value, math.nan, math.nan, math.nan)
    # Percentile method: Efron and Tibshirani, An introduction to the bootstrap, 1993, chapter 13.
    low, high = np.percentile(defined, [2.5, 97.5])
    return Estimate(value, float(defined.std()), float(low), float(high))


def two_stage(answers: pd.DataFrame, replicates: int = REPLICATES, seed: int = 0) -> Replicates:
    """Resample raters, then trials within each drawn rater.

    The sum of n trials drawn from a rater with s of n fooled is binomial(n, s/n), and raters with equal s and n can be
    drawn as one: the draws are exact without resampling single trials.

    Args:
        answers: Answered trials (`table.scored`), with columns algorithm, rater and fooled; at least one.
        replicates: Number of draws.
        seed: Seed of the draws.
    """
    study = _study(answers)
    alike = [_alike(algorithm) for algorithm in study.algorithms]
    # The smallest integer type that holds the counts, as there is one per group of raters and replicate.
    drawn = [np.empty((len(groups.trials), replicates), np.min_scalar_type(study.raters)) for groups in alike]
    for rows, counts in _rater_counts(study, replicates, seed):
        for times, groups, algorithm in zip(drawn, alike, study.algorithms, strict=True):
            times[:, rows] = groups.members @ counts[:, algorithm.raters].T
    # A second stage with draws of its own per algorithm, so that adding an algorithm changes no other's.
    values = [
        _two_stage(times, groups, generator(seed, "trials", name))
        for times, groups, name in zip(drawn, alike, study.names, strict=True)
    ]
    return _replicates(study, np.stack(values, axis=1))


def draw_counts(random: np.random.Generator, rows: int, n: int) -> NDArray[np.intp]:
    """Multiplicities (rows, n) of n elements drawn n times with replacement."""
    # One bincount for all rows: each row counts in a range of its own.
    drawn = random.integers(n, size=(rows, n)) + np.arange(rows)[:, None] * n
    return np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)


def generator(seed: int, *words: str) -> np.random.Generator:
    """Random generator for one purpose.

    Adding an algorithm thus leaves the draws of the others unchanged.
    """
    digest = hashlib.sha256("\0".join(words).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:16], "big")])


def _study(answers: pd.DataFrame) -> _Study:
    if answers.empty:
        raise ValueError("expected at least one answered trial")
    algorithm, names = pd.factorize(answers["algorithm"].to_numpy(object), sort=True)
    rater, raters = pd.factorize(answers["rater"].to_numpy(object), sort=True)
    fooled = answers["fooled"].to_numpy(np.int64)
    algorithms = []
    for i in range(len(names)):
        own_answers = algorithm == i
        own, column = np.unique(rater[own_answers], return_inverse=True)
        hits = np.bincount(column, fooled[own_answers]).astype(np.int64)
        algorithms.append(_Algorithm(own, np.bincount(column), hits))
    # Connected components of the graph of raters and algorithms are drawn together.
    nodes = len(names) + len(raters)
    edges = coo_array((np.ones(len(rater)), (algorithm, rater + len(names))), shape=(nodes, nodes))
    component = connected_components(edges, directed=False)[1]
    together = tuple(
        ("\0".join(names[component[: len(names)] == i]), np.flatnonzero(component[len(names) :] == i))
        for i in range(component.max() + 1)
    )
    return _Study(tuple(names), tuple(algorithms), together, len(raters))


def _alike(algorithm: _Algorithm) -> _Alike:
    groups, group = np.unique(np.stack([algorithm.trials, algorithm.fooled], 1), axis=0, return_inverse=True)
    members = np.zeros((len(groups), len(group)))
    members[group.ravel(), np.arange(len(group))] = 1
    return _Alike(groups[:, 0], groups[:, 1], members)


def _two_stage(drawn: NDArray[np.unsignedinteger], alike: _Alike, random: np.random.Generator) -> NDArray[np.float64]:
    """Rates (replicates,) from the multiplicities of each group of raters (groups, replicates)."""
    sums = np.zeros(drawn.shape[1])
    for times, n, s in zip(drawn, alike.trials.tolist(), alike.fooled.tolist(), strict=True):
        # Sorted by size, as numpy sets up its sampler anew whenever the size changes.
        order = np.argsort(times, kind="stable")
        sums[order] += random.binomial(times[order].astype(np.int64) * n, s / n) / n
    return _ratio(sums, drawn.sum(axis=0))


def _rater_counts(study: _Study, replicates: int, seed: int) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield blocks of replicates with each rater's multiplicity (rows, raters)."""
    randoms = [generator(seed, "two-stage", names) for names, _ in study.together]
    block = max(1, _BLOCK // study.raters)
    for start in range(0, replicates, block):
        rows = slice(start, min(start + block, replicates))
        counts = np.empty((rows.stop - start, study.raters))
        for random, (_, raters) in zip(randoms, study.together, strict=True):
            # Each connected group has a generator of its own, so new raters elsewhere leave its draws unchanged.
            counts[:, raters] = draw_counts(random, len(counts), len(raters))
        yield rows, counts


def _ratio(sums: NDArray[np.float64], drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = np.divide(sums, drawn, out=np.full(len(sums), np.nan), where=drawn > 0)
    return ratio


def _replicates(study: _Study, values: NDArray[np.float64]) -> Replicates:
    observed = [float((algorithm.fooled / algorithm.trials).mean()) for algorithm in study.algorithms]
    alone = np.array([len(algorithm.raters) < 2 for algorithm in study.algorithms])
    return Replicates(study.names, np.array(observed), np.where(alone, np.nan, values))
