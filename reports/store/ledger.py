"""Scores in a results folder: `scores/SCORER.json` and `scores/SCORER-bootstrap.npz`.

The JSON is for people and other tools: protocol and fingerprint, n of n_expected items, every metric with its 95 %
interval, and the values of items; null stands for undefined values. The npz holds the bootstrap replicates behind the
intervals (float32, one array per metric), so that differences between runs can be paired later. The interval of a
study's fooling rate is that of its analysis.
"""

from __future__ import annotations

import io
import json
import math
import os
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.store import json_files, layout, made
from reports.store.bootstrap import Interval, interval
from reports.store.errors import DAMAGED, ReportError
from reports.store.layout import REAL, Run
from reports.store.metrics import STUDY
from reports.store.scores import Metric, Scores, null_if_nan

_AGAIN, _AWAY = "score the run again", "move it away and score the run again"


@dataclass(frozen=True, eq=False)
class LedgerEntry:
    """The scores of one scorer for one run of a grid."""

    grid: str
    run: Run
    scores: Scores


@dataclass(frozen=True)
class Damage:
    """Scores that cannot be read, with the fix."""

    grid: str
    run: Run
    scorer: str
    message: str


def write(run: Run, scores: Scores) -> None:
    """Write the scores of one scorer, replacing earlier ones.

    The JSON is written last: where it exists, its replicates do too.

    Raises:
        ReportError: A value is not finite, the parts are inconsistent, the folder cannot be written, or a foreign file
            or scores changed by hand would be overwritten.
    """
    check_free(run, scores.scorer)
    start = _replicates_start(run, scores.scorer)  # before this call writes scores
    try:
        scores.check()
    except ValueError as error:
        raise ReportError(f"{run.score(scores.scorer)}: {error}; leave that out or mend what computes it") from error
    stored = replace(
        scores, metrics={name: _as_stored(metric) for name, metric in scores.metrics.items()}
    )  # intervals follow from float32
    document = json.dumps(_document(run, stored), indent=1, allow_nan=False)
    made.put(run.bootstrap(scores.scorer), _archive(stored.metrics), start)
    made.put(run.score(scores.scorer), document.encode() + b"\n", b"")


def read(run: Run) -> list[Scores]:
    """Read all scores of a run, by scorer.

    Raises:
        ReportError: A file is damaged.
    """
    return [read_scorer(run, scorer) for scorer in run.scorers()]


def read_scorer(run: Run, scorer: str) -> Scores:
    """Read the scores of one scorer for a run.

    Raises:
        ReportError: A file is missing, half-written or changed by hand; the message names it.
    """
    path = run.score(scorer)
    if path.exists() and not is_score(path):
        found = "something else" if path.stat().st_size else "an empty file"
        raise json_files.damaged(path, f"found {found}, expected scores", _AWAY)
    document = json_files.read_object(path, _AWAY)
    replicates = _load_archive(run.bootstrap(scorer))
    try:
        scores = _scores(document, replicates)
        scores.check()
        _check_summary(scores, document, scorer)
        _check_whose(run, document)
    except KeyError as error:
        raise _damaged(path, f"found no {error}, expected it") from error
    except (*DAMAGED, ReportError) as error:
        raise _damaged(path, str(error)) from error
    # After the parse, as a damaged file has a more useful message than a changed one.
    known = made.Made(run.scores)
    for part in (path, run.bootstrap(scorer)):
        known.check_as_made(part, _AWAY)
    return scores


def is_score(path: Path) -> bool:
    """Whether a file begins like those that `write` writes."""
    try:
        with path.open("rb") as file:
            start = file.read(200)
    except OSError:
        return False
    return start.lstrip().startswith(b"{") and b'"scorer"' in start


def check_free(run: Run, scorer: str, mend: str = "move it away") -> None:
    """Refuse to overwrite a foreign file or scores changed by hand.

    Raises:
        ReportError: There is one; the message names it and the fix.
    """
    path = run.score(scorer)
    if os.path.lexists(path) and not is_score(path) and not made.Made(path.parent).names(path):
        raise ReportError(f"{path}: found something else, expected earlier scores or nothing; {mend}")
    made.check_free(path, b"", mend)
    made.check_free(run.bootstrap(scorer), _replicates_start(run, scorer), mend)


def _replicates_start(run: Run, scorer: str) -> bytes | tuple[bytes, ...]:
    """First bytes of replicates by older versions, if their scores exist."""
    return b"PK" if is_score(run.score(scorer)) else ()


def collect(grid: layout.Grid) -> tuple[list[LedgerEntry], list[Damage]]:
    """Read all scores of a grid by cell, seed and scorer.

    The ground truth comes last; scores that cannot be read are returned apart.
    """
    readable, damages = [], []
    for entry in entries(grid):
        if isinstance(entry, LedgerEntry):
            readable.append(entry)
        else:
            damages.append(entry)
    return readable, damages


def entries(grid: layout.Grid) -> Iterator[LedgerEntry | Damage]:
    """Iterate over what `collect` returns, without holding all replicates in memory."""
    # The ground truth last, as tables show it.
    for run in [*grid.runs(), grid.real]:
        for scorer in run.scorers():
            try:
                yield LedgerEntry(grid.name, run, read_scorer(run, scorer))
            except ReportError as error:
                yield Damage(grid.name, run, scorer, str(error))


def _as_stored(metric: Metric) -> Metric:
    """The metric with the precision of its file."""
    return replace(metric, value=float(metric.value), replicates=np.asarray(metric.replicates, np.float32))


def _archive(metrics: Mapping[str, Metric]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, metric in metrics.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as member:  # a fixed date: equal scores, equal bytes
                np.lib.format.write_array(member, metric.replicates, allow_pickle=False)
    return buffer.getvalue()


def _document(run: Run, scores: Scores) -> dict[str, object]:
    metrics = scores.metrics
    per_item = {name: metric.per_item for name, metric in metrics.items() if metric.per_item is not None}
    ends = {name: scores.interval(name) for name in metrics}
    return {
        "scorer": scores.scorer,
        "cell": run.cell,
        "seed": run.seed,
        "protocol": dict(scores.protocol),
        "fingerprint": scores.fingerprint,
        "n": scores.n,
        "n_expected": scores.n_expected,
        "metrics": {
            name: {
                "value": null_if_nan(metric.value),
                "low": null_if_nan(ends[name].low),
                "high": null_if_nan(ends[name].high),
                **({} if metric.freedom is None else {"freedom": metric.freedom}),
            }
            for name, metric in metrics.items()
        },
        "items": {
            item: {name: null_if_nan(values[index]) for name, values in per_item.items()}
            for index, item in enumerate(scores.item_ids)
        },
    }


def _load_archive(path: Path) -> dict[str, NDArray[np.float32]]:
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # about headers that are no valid Python
            with np.load(file, allow_pickle=False) as archive:
                return {name: _replicates(path, name, archive[name]) for name in archive.files}
    except DAMAGED as error:
        why = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""  # NumPy's text misleads
        raise _damaged(path, f"found no replicates{why}, expected an npz file of this program") from error


def _replicates(path: Path, name: str, array: object) -> NDArray[np.float32]:
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        kind = getattr(array, "dtype", "no array")
        raise _damaged(path, f"found no replicates ({name} is {kind}, expected float32)")
    if not np.isfinite(array).all() and not np.isnan(array).all():
        raise _damaged(path, f"found a replicate of {name} that is not finite, expected numbers")
    return array


def _scores(document: dict[str, Any], replicates: dict[str, NDArray[np.float32]]) -> Scores:
    items: dict[str, dict[str, object]] = document["items"]
    scorer = document["scorer"]
    if set(replicates) != set(document["metrics"]):
        raise ValueError(f"found replicates of {sorted(replicates)}, expected those of {sorted(document['metrics'])}")
    metrics = {
        name: Metric(
            _number_or_nan(metric["value"]),
            replicates[name],
            _per_item(name, items),
            _given(scorer, metric),
            _number(metric["freedom"]) if metric.get("freedom") is not None else None,
        )
        for name, metric in document["metrics"].items()
    }
    n_expected = document["n_expected"]
    if type(n_expected) is not int:
        raise TypeError(f"found n_expected = {n_expected!r}, expected a count")
    return Scores(scorer, dict(document["protocol"]), tuple(items), n_expected, metrics)


def _given(scorer: str, metric: dict[str, object]) -> Interval | None:
    """Interval of a fooling rate, given by the study's analysis; else None."""
    if not scorer.startswith(STUDY):
        return None
    return Interval(_number_or_nan(metric["low"]), _number_or_nan(metric["high"]))


def _per_item(name: str, items: dict[str, dict[str, object]]) -> NDArray[np.float64] | None:
    if not any(name in values for values in items.values()):
        return None
    return np.array([_number_or_nan(values[name]) for values in items.values()], dtype=np.float64)


def _number_or_nan(value: object) -> float:
    """A JSON number, or NaN for null."""
    return math.nan if value is None else _number(value)


def _number(value: object) -> float:
    """A JSON number; neither text nor a boolean."""
    if type(value) not in (int, float):
        raise TypeError(f"found {value!r}, expected a number")
    return float(value)  # type: ignore[arg-type]


def _check_summary(scores: Scores, document: dict[str, Any], scorer: str) -> None:
    """Refuse a summary that does not follow from its parts.

    It was changed by hand, or is half of an older pair of files.
    """
    if scores.scorer != scorer:
        raise ValueError(f"found scorer {scores.scorer!r}, expected {scorer!r} as in the file's name")
    if document["fingerprint"] != scores.fingerprint:
        raise ValueError(
            f"found fingerprint {document['fingerprint']!r}, expected {scores.fingerprint!r} from protocol"
        )
    if document["n"] != scores.n:
        raise ValueError(f"found n = {document['n']}, expected {scores.n} as it has items")
    for name, metric in scores.metrics.items():
        ends, expected = [document["metrics"][name][end] for end in ("low", "high")], scores.interval(name)
        if not expected.known:
            continue  # earlier versions wrote one for a single item
        # Earlier versions wrote percentiles of the replicates.
        if not any(np.allclose(ends, known, rtol=1e-4, atol=1e-7) for known in (expected, interval(metric.replicates))):
            raise ValueError(f"found {name} in {ends}, expected {list(expected)} from its replicates")


def _check_whose(run: Run, document: dict[str, Any]) -> None:
    """Refuse scores copied here from another run of a grid.

    Older versions, and plain folders, do not name the run.
    """
    found = document.get("cell"), document.get("seed")
    if "cell" in document and (run.seed is not None or run.cell == REAL) and found != (run.cell, run.seed):
        raise ValueError(f"found scores of {found[0]}, seed {found[1]}, expected those of {run.cell}, seed {run.seed}")


def _damaged(path: Path, what: str) -> ReportError:
    return json_files.damaged(path, what, _AWAY if os.path.lexists(path) else _AGAIN)
