"""Analysis of a study: fooling rates, comparisons, items, rater behaviour, exclusions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from amt.errors import AmtError, counted
from amt.protocol import Protocol
from amt.statistics import components, curve, rates
from amt.statistics.comparisons import Chance, Pair, against_chance, pairs
from amt.statistics.curve import Curve, ExposureQuality
from amt.statistics.exclusions import Exclusions, exclusions
from amt.statistics.rates import Quartiles, Sensitivity, intraclass
from amt.statistics.resampling import REPLICATES, Estimate, two_stage
from amt.statistics.table import attention, check, clustered, practice, scored, simulated

ENOUGH_CLUSTERS = 5
"""With fewer, Student's t makes intervals so wide that they show little."""


class RaterRate(NamedTuple):
    """Fooling rate of one rater."""

    rater: str
    fooled: int
    trials: int
    rate: float


class ItemRate(NamedTuple):
    """Fooling rate of one item's fake, with its 95 % Wilson interval."""

    item: str
    fooled: int
    trials: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Algorithm:
    """Results of one algorithm; rates are 0 to 1, times in milliseconds.

    Attributes:
        name: Its name.
        trials: Number of counted answers.
        claims: Fooling rate with its interval over raters and items, from `components`: the one to report.
        two_stage: The same rate, resampled over raters and trials: its error is the paper's +-.
        chance: Position of the interval for claims relative to 50 %.
        sensitivity: d' with the ends of the interval for claims.
        left: Share of answers that called the left image fake.
        learning: Percentage points by which 10 trials change the share correct.
        curve: Share correct over the session, practice apart.
        response: Response times.
        exposures: Timing quality.
        intraclass: Intra-class correlation of answers within raters, for planning.
        raters: Rates per rater, by pseudonym.
        items: Rates per item, by id.
    """

    name: str
    trials: int
    claims: Estimate
    two_stage: Estimate
    chance: Chance
    sensitivity: Sensitivity
    left: Estimate
    learning: Estimate | None
    curve: Curve
    response: Quartiles | None
    exposures: ExposureQuality | None
    intraclass: float | None
    raters: tuple[RaterRate, ...]
    items: tuple[ItemRate, ...]


@dataclass(frozen=True)
class Attention:
    """Numbers of answered and passed attention checks, which count in no rate."""

    trials: int
    passed: int


@dataclass(frozen=True)
class Results:
    """Results of a set of sessions.

    Attributes:
        sessions: Number of sessions.
        algorithms: Results per algorithm, sorted by name.
        pairs: Comparisons of all pairs of algorithms, adjusted for their number.
        attention: Attention checks.
    """

    sessions: int
    algorithms: tuple[Algorithm, ...]
    pairs: tuple[Pair, ...]
    attention: Attention


class JudgedClusters(NamedTuple):
    """Number of judged clusters of items, and their effective number."""

    n: int
    worth: float

    @classmethod
    def of(cls, answers: pd.DataFrame) -> JudgedClusters:
        """Count the clusters of judged items."""
        # Distinct items, not answers: a cluster is no larger for being judged more often.
        sizes = answers.groupby("cluster")["item"].nunique()
        # Kish's effective number, as in `components`.
        return cls(len(sizes), float(sizes.sum() ** 2 / (sizes**2).sum()))

    @property
    def things(self) -> str:
        """Number of clusters in words."""
        return f"{counted(self.n, 'cluster')} of items"

    @property
    def doubt(self) -> str:
        """Caveat for readers where clusters are few; else empty."""
        if self.worth >= ENOUGH_CLUSTERS:
            return ""
        worth = f", with as much information as {self.worth:.1f} equal ones" if self.worth < self.n - 0.05 else ""
        return f"{self.things}{worth}: too few for meaningful intervals; use {ENOUGH_CLUSTERS} or more."


@dataclass(frozen=True)
class Analysis:
    """Results of a study.

    Attributes:
        study: Its name.
        simulated: Whether its raters were programs.
        protocol: Trials and exclusion rules.
        seed: Seed of the bootstraps of +-, sides and learning.
        replicates: Draws of each bootstrap.
        kept: Results of the sessions that count.
        everything: Results of all sessions, excluded ones included.
        exclusions: Excluded sessions with the reasons.
        clusters: Clusters of the judged items; None where each item stands alone, or this is unknown.
    """

    study: str
    simulated: bool
    protocol: Protocol
    seed: int
    replicates: int
    kept: Results
    everything: Results
    exclusions: Exclusions
    clusters: JudgedClusters | None

    @property
    def over(self) -> str:
        """Sources of variance in intervals for claims, in words."""
        return "raters and items" if self.clusters is None else f"raters and {self.clusters.things}"


def analyse(table: pd.DataFrame, protocol: Protocol, seed: int = 0, replicates: int = REPLICATES) -> Analysis:
    """Analyse the answers of one study.

    Void trials and practice never count; attention checks are counted apart. The same table, protocol and seed give the
    same numbers.

    Args:
        table: The table of answers.
        protocol: The study's protocol.
        seed: Seed of the bootstraps of +-, sides and learning.
        replicates: Draws of each bootstrap.

    Raises:
        AmtError: The table does not hold answers of exactly one study, or no scored trial was answered.
    """
    check(table)
    names = sorted(table["study"].unique())
    if not names:
        raise AmtError("found no answers, expected those of a study; wait until raters have taken part")
    if len(names) != 1:
        raise AmtError(f"the table has answers of {len(names)} studies ({', '.join(names)}); expected one; split it")
    if scored(table).empty:
        raise AmtError(f"study {names[0]}: none of {len(table)} trials is scored and answered; expected answers; wait")
    left_out = exclusions(table, protocol)
    everything = _results(table, protocol, seed, replicates)
    # Without exclusions both are the same, and computed once.
    kept = _results(left_out.kept(table), protocol, seed, replicates) if left_out.excluded else everything
    clusters = JudgedClusters.of(scored(table)) if clustered(table) else None
    return Analysis(names[0], simulated(table), protocol, seed, replicates, kept, everything, left_out, clusters)


def _results(table: pd.DataFrame, protocol: Protocol, seed: int, replicates: int) -> Results:
    answers, checks = scored(table), attention(table)
    passed = Attention(len(checks), int((checks["fooled"] == 0).sum()))
    sessions = table["session"].nunique()
    if answers.empty:
        return Results(sessions, (), (), passed)
    staged, claims = two_stage(answers, replicates, seed), components.rates(answers)
    left = rates.left_share(answers, replicates, seed)
    # Positions are counted over all algorithms of a session, before the answers are split by algorithm.
    answers, warming_up = (phase.assign(position=curve.positions(phase)) for phase in (answers, practice(table)))
    algorithms = tuple(
        _algorithm(
            name,
            answers[answers["algorithm"] == name],
            warming_up[warming_up["algorithm"] == name],
            (claims.rate(name), staged.estimate(name), left[name]),
            protocol,
            (seed, replicates),
        )
        for name in staged.algorithms
    )
    return Results(sessions, algorithms, pairs(claims), passed)


def _algorithm(
    name: str,
    answers: pd.DataFrame,
    warming_up: pd.DataFrame,
    estimates: tuple[Estimate, Estimate, Estimate],
    protocol: Protocol,
    draws: tuple[int, int],
) -> Algorithm:
    claims, staged, left = estimates
    seed, replicates = draws
    raters = rates.by_rater(answers).drop(columns="algorithm").itertuples(index=False, name=None)
    items = rates.by_item(answers).drop(columns="algorithm").itertuples(index=False, name=None)
    return Algorithm(
        name=name,
        trials=len(answers),
        claims=claims,
        two_stage=staged,
        chance=against_chance(claims),
        sensitivity=rates.sensitivity(claims, len(answers)),
        left=left,
        learning=rates.learning(answers, replicates, seed),
        curve=curve.curve(answers, warming_up),
        response=rates.response_times(answers),
        exposures=curve.exposure_quality(answers, protocol),
        intraclass=intraclass(answers),
        raters=tuple(RaterRate(*row) for row in raters),
        items=tuple(ItemRate(*row) for row in items),
    )
