"""A study's fooling rates as scores of the runs that its fakes came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from amt.statistics import components
from amt.statistics.analysis import Analysis
from amt.statistics.bootstrap import generator
from amt.statistics.table import scored
from amt.store.studies import Study
from p2pbench.datasets.clusters import Clusters, of_clusters, weights_of
from p2pbench.study.cells import run_of
from reports import bootstrap, ledger
from reports.bootstrap import Interval
from reports.layout import Run
from reports.metrics import STUDY
from reports.scores import Metric, Scores

_PERCENT = 100.0


def write(results: Path, study: Study, answers: pd.DataFrame, analysis: Analysis) -> list[Run]:
    """Write each algorithm's fooling rate into its run's scores, with the analysis' interval for claims.

    Args:
        results: The results folder that the study was made from.
        study: The study.
        answers: Its table of answers.
        analysis: What came out of them, with some raters left out by the protocol's rules.

    Returns:
        The runs that have scores now; algorithms that came from elsewhere have none.
    """
    counted = scored(analysis.exclusions.kept(answers))
    if counted.empty:
        return []
    rates = metrics(study, counted)
    scorer, protocol = f"{STUDY}{study.name}", _protocol(study)
    written = []
    for algorithm in analysis.kept.algorithms:
        run = run_of(results, study.origin.get(algorithm.name, ""))
        if run is None:
            continue
        rate = {"fooling_rate": rates[algorithm.name]}
        ledger.write(run, Scores(scorer, protocol, study.items, len(study.items), rate))
        written.append(run)
    return written


def metrics(study: Study, counted: pd.DataFrame) -> dict[str, Metric]:
    """Each algorithm's rate in percent, with its interval for claims and what other analyses need to compare with it.

    Args:
        study: Whose items are drawn.
        counted: The answers that count.
    """
    rates, draws = components.rates(counted), replicates(study, counted)
    found = {}
    for algorithm in rates.algorithms:
        rate = rates.rate(algorithm)
        found[algorithm] = Metric(
            _PERCENT * rate.value,
            _PERCENT * draws[algorithm],
            _by_item(study, counted, algorithm),
            Interval(_PERCENT * rate.low, _PERCENT * rate.high),
            components.summed(*rates.parts(algorithm)).freedom if rate.known else None,
        )
    return found


def replicates(study: Study, counted: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Draws of each algorithm's rate (replicates,), 0 to 1, for differences from rates that other analyses hold.

    They are sums of draws of the raters and draws of the items, each scaled to its part of the variance. All algorithms
    have the same draws, so that rates by the same raters, or of the same items, move together. Where all raters have
    the same rate their draws say nothing, and random numbers take their place. NaN where there is no interval.

    Args:
        study: Whose items are drawn.
        counted: The answers that count.
    """
    rates = components.rates(counted)
    raters = sorted(counted["rater"].unique())
    clusters = _clusters(study)
    of_raters, of_items = bootstrap.item_weights(raters), weights_of(study.items, clusters)
    units = len(study.items) if clusters is None else len({clusters.of[item] for item in study.items})
    found = {}
    for algorithm, rate in zip(rates.algorithms, rates.observed.tolist(), strict=True):
        if not rates.rate(algorithm).known:
            found[algorithm] = np.full(len(of_items), np.nan)
            continue
        own = counted[counted["algorithm"] == algorithm]
        mean = own.groupby("rater")["fooled"].mean()
        beyond = (own["fooled"] - rate) / own.groupby("rater")["fooled"].transform("size")
        drawn = of_raters @ (mean - rate).reindex(raters, fill_value=0).to_numpy(np.float64)
        if not drawn.std() > 0:
            drawn = generator(0, study.name, algorithm).standard_normal(len(drawn))
        drawn_items = of_items @ beyond.groupby(own["item"]).sum().reindex(study.items, fill_value=0).to_numpy(float)
        by_raters, by_items = rates.parts(algorithm)
        found[algorithm] = bootstrap.scaled(drawn, rate, by_raters.variance, units) + bootstrap.scaled(
            drawn_items, 0, by_items.variance, units
        )
    return found


def _by_item(study: Study, counted: pd.DataFrame, algorithm: str) -> NDArray[np.float64] | None:
    """The rate of each item, in percent; None unless every item was asked about."""
    rates = counted[counted["algorithm"] == algorithm].groupby("item")["fooled"].mean().reindex(study.items)
    return None if rates.isna().any() else _PERCENT * rates.to_numpy(np.float64)


def _protocol(study: Study) -> dict[str, object]:
    return {
        "study": study.name,
        "study_fingerprint": study.protocol.fingerprint,
        "simulated": study.simulated,
        "looked_at_early": study.revealed is not None,
        "interval": "variance components of raters and items, Wilson with an effective number of answers",
        "replicates": "draws of raters and of items, each scaled to its component of the variance",
        **study.protocol.model_dump(mode="json"),
        **of_clusters(_clusters(study), study.items),
    }


def _clusters(study: Study) -> Clusters | None:
    return None if study.clusters is None else Clusters(study.clusters.by, study.clusters.of)
