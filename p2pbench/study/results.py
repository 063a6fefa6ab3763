"""Analyses and exports of studies, and fooling rates as scores."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel

from amt import safe_csv
from amt.protocol import Protocol
from amt.statistics import components, old_batches, study_report, table
from amt.statistics.analysis import Analysis, analyse
from amt.statistics.resampling import generator
from amt.statistics.table import scored
from amt.store import export
from amt.store.studies import Study
from p2pbench.datasets.clusters import ItemClusters, of_clusters, weights_of
from p2pbench.scoring.scorer import Outputs, Scored
from p2pbench.study.new_study import run_of
from p2pbench.study.study_access import Chosen, look
from reports.store import bootstrap, json_files, ledger, made
from reports.store.bootstrap import Interval
from reports.store.layout import Run
from reports.store.metrics import STUDY
from reports.store.names import counted, typed
from reports.store.scores import Metric, Scores

_BEGINNING = b'{\n "title": '  # of analysis.json
_BEGINNINGS = b"Study ", b"The raters of this study were", b"This study was looked at"  # of analysis.txt
_WORKER = "WorkerId"  # a column of every results CSV of Mechanical Turk


def analyse_study(results: Path, chosen: Chosen, seed: int, *, peek: bool = False) -> tuple[Analysis, list[str]]:
    """Analyse a study, and write its analysis and fooling rates.

    Returns:
        What came out, and a line on each thing that was written.

    Raises:
        AmtError: The study is open and nobody asked to look early, or there are no answers yet.
        ReportError: Another's file is where the analysis goes, or the analysis there was changed by hand.
    """
    study = look(chosen, peek=peek)
    answers = export.answer_table(chosen.database, study)
    analysis = analyse(answers, study.protocol, seed)
    remarks = []
    if study.revealed is not None:
        remarks.append("This study was looked at before it was closed.")
    document = _about(study) | study_report.document(analysis)
    made.check_free(chosen.folder.analysis_text, _BEGINNINGS)
    made.put(chosen.folder.analysis, json.dumps(document, indent=1).encode() + b"\n", _BEGINNING)
    made.put(chosen.folder.analysis_text, "\n".join([*remarks, study_report.text(analysis), ""]).encode(), _BEGINNINGS)
    notes = [*remarks, f"analysis: {chosen.folder.analysis_text}"]
    written = write_fooling_rates(results, study, answers, analysis)
    if written:
        notes.append(f"fooling rates of {counted(len(written), 'run')} written; p2pbench report {typed(results)}")
    return analysis, notes


def analyse_file(path: Path, seed: int, practice: int) -> Analysis:
    """Analyse a CSV: an export of answers, or an old AMT batch.

    The first `practice` trials of a batch are not scored.

    The rules are those of the study.json beside an export; without one the defaults, for as many trials as there are.

    Raises:
        AmtError: It is neither, or the study.json is damaged.
    """
    if is_old_batch(path):
        # A key that nobody keeps: nothing leads from the pseudonyms of this analysis back to workers.
        answers = old_batches.read(path, secrets.token_bytes(32), practice=practice)
    else:
        answers = table.read(path)
    return analyse(answers, _protocol(path.with_name("study.json"), answers), seed)


def is_old_batch(path: Path) -> bool:
    """Whether a CSV is of Mechanical Turk.

    Raises:
        AmtError: It cannot be read.
    """
    header, _ = safe_csv.read(path)
    return _WORKER in header


def _about(study: Study) -> dict[str, object]:
    """Fields of an analysis on the study itself."""
    return {
        "title": study.title,
        "looked_at_early": study.revealed is not None,
        "origin": dict(study.origin),
    }


class _Described(BaseModel):
    """study.json, as far as an analysis needs it."""

    protocol: Protocol


def _protocol(description: Path, answers: pd.DataFrame) -> Protocol:
    if description.is_file():
        return json_files.read(description, _Described, "restore it, or move the CSV away from it").protocol
    scored = answers[(answers["phase"] == "scored") & answers["void"].isna()]
    most = int(scored.groupby("session").size().max()) if len(scored) else 0
    return Protocol(scored=max(2, most - most % 2))


def export_study(chosen: Chosen, study: Study) -> None:
    """Write `answers.csv` and `sessions.csv` into the folder of a study.

    Files of an earlier export are replaced, others refused.

    Raises:
        ReportError: Another's file is there, an earlier export was changed by hand, or the folder cannot be written.
    """
    texts = export.texts(chosen.database, study, chosen.folder)
    files = {path: text.encode() for path, text in texts.items()}
    headers = {path: content[: content.index(b"\n") + 1] for path, content in files.items()}
    for path, header in headers.items():  # all, before any is written
        made.check_free(path, header)
    for path, content in files.items():
        made.put(path, content, headers[path])


_PERCENT = 100.0


def write_fooling_rates(results: Path, study: Study, answers: pd.DataFrame, analysis: Analysis) -> list[Run]:
    """Write each algorithm's fooling rate into its run's scores.

    Args:
        results: The results folder that the study was made from.
        study: The study.
        answers: Its table of answers.
        analysis: Analysis of these answers, without the raters excluded by the protocol's rules.

    Returns:
        The runs that have scores now; algorithms that came from elsewhere have none.

    Raises:
        ReportError: A user's file is where a score goes, or a score was changed by hand.
    """
    counted = scored(analysis.exclusions.kept(answers))
    if counted.empty:
        return []
    scorer, runs = StudyScorer(study, counted), list(_judged(results, study, analysis))
    for outputs in runs:
        scorer.check_free(outputs.run)
    return [result.outputs.run for result in scorer.score(runs)]


def _judged(results: Path, study: Study, analysis: Analysis) -> Iterator[Outputs]:
    """Outputs of the runs in the results folder that a study judged, named as its algorithms."""
    for algorithm in analysis.kept.algorithms:
        run = run_of(results, study.origin.get(algorithm.name, ""))
        if run is not None:
            pictures = run.pictures()
            files = {item: pictures[item] for item in study.items if item in pictures}
            yield Outputs(run, algorithm.name, files, len(study.items), origin={}, clusters=_clusters(study))


class StudyScorer:
    """Fooling rates of a study's algorithms.

    Args:
        study: The study.
        counted: Scored answers (one per row) of raters who were not excluded.
    """

    def __init__(self, study: Study, counted: pd.DataFrame) -> None:
        self._study, self._name = study, f"{STUDY}{study.name}"
        self._rates = fooling_metrics(study, counted)

    def check_free(self, run: Run) -> None:
        """Refuse a user's file where the score goes; see `Scorer`."""
        ledger.check_free(run, self._name)

    def score(self, runs: Sequence[Outputs]) -> Iterator[Scored]:
        """Write the rate of each run; see `Scorer`.

        Outputs are named as the study's algorithms.
        """
        items, protocol = self._study.items, _fooling_protocol(self._study)
        for outputs in runs:
            scores = Scores(self._name, protocol, items, len(items), {"fooling_rate": self._rates[outputs.name]})
            ledger.write(outputs.run, scores)
            yield Scored(outputs, [scores])


def fooling_metrics(study: Study, counted: pd.DataFrame) -> dict[str, Metric]:
    """Rates of the algorithms in percent, with intervals for claims.

    Args:
        study: Whose items are drawn.
        counted: The answers that count.
    """
    rates, draws = components.rates(counted), fooling_replicates(study, counted)
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


def fooling_replicates(study: Study, counted: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Draws of each algorithm's rate (replicates,), 0 to 1.

    For differences from rates of other analyses.

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


def _fooling_protocol(study: Study) -> dict[str, object]:
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


def _clusters(study: Study) -> ItemClusters | None:
    return None if study.clusters is None else ItemClusters(study.clusters.by, study.clusters.of)
