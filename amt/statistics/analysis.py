"""A study's answers, analysed: rates with and without exclusions, comparisons, items, and what lies behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from amt.errors import AmtError, counted
from amt.protocol import Protocol
from amt.statistics import curve, rates, report
from amt.statistics.bootstrap import REPLICATES, Estimate, two_stage
from amt.statistics.components import rates as over_raters_and_items
from amt.statistics.curve import Curve, Exposures
from amt.statistics.exclusions import Exclusions, exclusions
from amt.statistics.pairs import Chance, Pair, against_chance, pairs
from amt.statistics.planning import intraclass
from amt.statistics.rates import Quartiles, Sensitivity
from amt.statistics.table import attention, check, clustered, practice, scored, simulated


class RaterRate(NamedTuple):
    """How often one rater was fooled."""

    rater: str
    fooled: int
    trials: int
    rate: float


class ItemRate(NamedTuple):
    """How often an item's fake fooled its raters, with its 95 % Wilson interval."""

    item: str
    fooled: int
    trials: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Algorithm:
    """One algorithm's results; rates are 0 to 1, times milliseconds.

    Attributes:
        name: Of the algorithm.
        trials: How many answers count.
        claims: The fooling rate with its interval over raters and items, from `components`: the one for claims.
        two_stage: The same rate, resampling raters and trials: the error is the paper's +-.
        chance: Where the interval for claims lies to 50 %.
        sensitivity: d' with the ends of the interval for claims.
        left: Share of answers that called the left image fake.
        learning: Percentage points by which 10 trials change the share correct.
        curve: The share correct in the course of the sessions, practice apart.
        response: Response times.
        exposures: Timing quality.
        intraclass: Intra-class correlation of answers within raters, for planning.
        raters: Rates by rater, by pseudonym.
        items: Rates by item, by id.
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
    exposures: Exposures | None
    intraclass: float | None
    raters: tuple[RaterRate, ...]
    items: tuple[ItemRate, ...]


ENOUGH_CLUSTERS = 5
"""With fewer, Student's t makes intervals so wide that little can be seen."""


@dataclass(frozen=True)
class Attention:
    """Attention checks, apart from everything else: answered ones, and how many found the broken fake."""

    trials: int
    passed: int


@dataclass(frozen=True)
class Results:
    """What some sessions say.

    Attributes:
        sessions: How many they are.
        algorithms: Sorted by name.
        pairs: All pairs of algorithms, over raters and items, adjusted for one another.
        attention: Attention checks.
    """

    sessions: int
    algorithms: tuple[Algorithm, ...]
    pairs: tuple[Pair, ...]
    attention: Attention


class Clustered(NamedTuple):
    """Clusters of items: how many there are, and as many equal ones as tell as much (see `components`)."""

    n: int
    worth: float

    @classmethod
    def of(cls, answers: pd.DataFrame) -> Clustered:
        """Those of the items that were judged."""
        sizes = answers.groupby("cluster")["item"].nunique()
        return cls(len(sizes), float(sizes.sum() ** 2 / (sizes**2).sum()))

    @property
    def things(self) -> str:
        """Them in words."""
        return f"{counted(self.n, 'cluster')} of items"

    @property
    def doubt(self) -> str:
        """What readers must know where they are few, a sentence; else empty."""
        if self.worth >= ENOUGH_CLUSTERS:
            return ""
        worth = f", of sizes that tell as much as {self.worth:.1f} equal ones" if self.worth < self.n - 0.05 else ""
        return f"{self.things}{worth}: too few for intervals that mean much; have {ENOUGH_CLUSTERS} or more."


@dataclass(frozen=True)
class Analysis:
    """A study's results.

    Attributes:
        study: Its name.
        simulated: Whether its raters were programs.
        protocol: What raters saw and whose answers count.
        seed: Of the two-stage bootstrap, and of those of sides and learning.
        replicates: Draws of each.
        kept: Results of the sessions that count.
        everything: Results of all sessions, excluded ones included.
        exclusions: Which sessions do not count, and why.
        clusters: Which clusters the judged items are of; None where each stands alone, or nobody has said.
    """

    study: str
    simulated: bool
    protocol: Protocol
    seed: int
    replicates: int
    kept: Results
    everything: Results
    exclusions: Exclusions
    clusters: Clustered | None

    @property
    def over(self) -> str:
        """What intervals for claims are over."""
        return "raters and items" if self.clusters is None else f"raters and {self.clusters.things}"

    def document(self) -> dict[str, object]:
        """All of it at full precision, for JSON; what is undefined is None."""
        return report.document(self)

    def text(self) -> str:
        """A plain text report of at most 100 columns."""
        return report.text(self)


def analyse(table: pd.DataFrame, protocol: Protocol, seed: int = 0, replicates: int = REPLICATES) -> Analysis:
    """Analyse the answers of one study. Void trials and practice never count; attention checks count apart.

    Args:
        table: The table of answers.
        protocol: Of the study.
        seed: Of the bootstraps of +-, sides and learning; same table, protocol and seed: same numbers.
        replicates: Draws of each bootstrap.

    Raises:
        AmtError: The table does not hold the answers of exactly one study, or no scored trial was answered.
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
    kept = _results(left_out.kept(table), protocol, seed, replicates) if left_out.excluded else everything
    clusters = Clustered.of(scored(table)) if clustered(table) else None
    return Analysis(names[0], simulated(table), protocol, seed, replicates, kept, everything, left_out, clusters)


def _results(table: pd.DataFrame, protocol: Protocol, seed: int, replicates: int) -> Results:
    answers, checks = scored(table), attention(table)
    passed = Attention(len(checks), int((checks["fooled"] == 0).sum()))
    sessions = table["session"].nunique()
    if answers.empty:
        return Results(sessions, (), (), passed)
    staged, claims = two_stage(answers, replicates, seed), over_raters_and_items(answers)
    left = rates.left_share(answers, replicates, seed)
    answers, warming_up = (each.assign(position=curve.positions(each)) for each in (answers, practice(table)))
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
