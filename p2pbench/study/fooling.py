"""A study's fooling rates as scores of the runs that its fakes came from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from amt.statistics.analysis import Analysis
from amt.statistics.bootstrap import REPLICATES, crossed
from amt.statistics.table import scored
from amt.store.studies import Study
from p2pbench.study.cells import run_of
from reports import ledger
from reports.layout import Run
from reports.metrics import STUDY
from reports.scores import Metric, Scores

_PERCENT = 100.0


def write(results: Path, study: Study, answers: pd.DataFrame, analysis: Analysis) -> list[Run]:
    """Write each algorithm's fooling rate into its run's scores, with the crossed bootstrap's interval.

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
    drawn = crossed(counted, REPLICATES, analysis.seed)
    written = []
    for place, algorithm in enumerate(drawn.algorithms):
        run = run_of(results, study.origin.get(algorithm, ""))
        if run is None:
            continue
        observed, values = float(drawn.observed[place]), drawn.values[:, place]
        if not np.isnan(values).all():  # else there is no interval
            values = np.where(np.isnan(values), observed, values)  # a draw without any of its trials says nothing new
        rate = Metric(_PERCENT * observed, _PERCENT * values, _by_item(study, counted, algorithm))
        scorer = f"{STUDY}{study.name}"
        ledger.write(
            run, Scores(scorer, _protocol(study, analysis), study.items, len(study.items), {"fooling_rate": rate})
        )
        written.append(run)
    return written


def _by_item(study: Study, counted: pd.DataFrame, algorithm: str) -> NDArray[np.float64] | None:
    """The rate of each item, in percent; None unless every item was asked about."""
    rates = counted[counted["algorithm"] == algorithm].groupby("item")["fooled"].mean().reindex(study.items)
    return None if rates.isna().any() else _PERCENT * rates.to_numpy(np.float64)


def _protocol(study: Study, analysis: Analysis) -> dict[str, object]:
    return {
        "study": study.name,
        "study_fingerprint": study.protocol.fingerprint,
        "simulated": study.simulated,
        "looked_at_early": study.revealed is not None,
        "replicates": "crossed bootstrap over raters and items",
        "seed": analysis.seed,
        **study.protocol.model_dump(mode="json"),
    }
