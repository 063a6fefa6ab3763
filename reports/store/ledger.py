"""The scores in a results folder, two files a scorer: `scores/SCORER.json` and `scores/SCORER-bootstrap.npz`.

The JSON is for people and other tools: protocol and fingerprint, n of n_expected items, every metric with its 95 %
interval, and the items with their own values; null stands for what there is not. The npz holds the replicates behind
the intervals (float32, one array a metric), so that differences between runs can be paired later. Of a study's rate the
interval is that of its analysis.
"""

from __future__ import annotations

import io
import json
import math
import os
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.store import json_files, layout, made
from reports.store.arithmetic import mark
from reports.store.bootstrap import Interval, interval
from reports.store.errors import ReportError
from reports.store.layout import REAL, Run
from reports.store.metrics import STUDY, describe_scorer
from reports.store.scores import Metric, Scores, fingerprint, null_if_nan

__all__ = [
    "Damage",
    "Entry",
    "Metric",
    "Scores",
    "collect",
    "fingerprint",
    "read",
    "read_scorer",
    "tidy",
    "write",
]


# What numpy raises for archives that are damaged; it reads headers as Python, and believes the sizes in them.
_UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    EOFError,
    TypeError,
    SyntaxError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


COLUMNS = (
    "grid",
    "cell",
    "seed",
    "item",
    "metric",
    "value",
    "low",
    "high",
    "n",
    "n_expected",
    "fingerprint",
    "scorer",
    "scorer_title",
    "note",
)


ALL_ITEMS = "all"


_REHEARSED = "the raters were programs: a rehearsal, which says nothing about the images"


_AGAIN, _AWAY = "score the run again", "move it away and score the run again"


@dataclass(frozen=True, eq=False)
class Entry:
    """The scores of one scorer for one run of a grid."""

    grid: str
    run: Run
    scores: Scores


@dataclass(frozen=True)
class Damage:
    """Scores that are there and cannot be read, and what to do about it."""

    grid: str
    run: Run
    scorer: str
    message: str


def write(run: Run, scores: Scores) -> None:
    """Write what one scorer says into the run's folder, over what it said before.

    The JSON comes last: where it is, its replicates are.

    Raises:
        ReportError: A value is not finite, the parts do not fit together, the folder cannot be written, or another's
            file is there, or scores that were changed by hand.
    """
    check_free(run, scores.scorer)
    start = _replicates_start(run, scores.scorer)  # before there are scores of this call
    try:
        scores.check()
    except ValueError as error:
        raise ReportError(f"{run.score(scores.scorer)}: {error}; leave that out or mend what computes it") from error
    stored = replace(scores, metrics={name: _as_stored(metric) for name, metric in scores.metrics.items()})
    document = json.dumps(_document(run, stored), indent=1, allow_nan=False)
    made.put(run.bootstrap(scores.scorer), _archive(stored.metrics), start)
    made.put(run.score(scores.scorer), document.encode() + b"\n", b"")


def read(run: Run) -> list[Scores]:
    """The scores of a run, by scorer; none where there is no file.

    Raises:
        ReportError: A file is damaged.
    """
    return [read_scorer(run, scorer) for scorer in run.scorers()]


def read_scorer(run: Run, scorer: str) -> Scores:
    """What one scorer says about a run.

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
    except (TypeError, ValueError, AttributeError, ArithmeticError, RecursionError, ReportError) as error:
        raise _damaged(path, str(error)) from error
    known = made.Made(run.scores)
    for part in (path, run.bootstrap(scorer)):
        known.check_as_made(part, _AWAY)
    return scores


def is_score(path: Path) -> bool:
    """Whether a file begins as those that `write` writes, so that one of a user's is not taken for it."""
    try:
        with path.open("rb") as file:
            start = file.read(200)
    except OSError:
        return False
    return start.lstrip().startswith(b"{") and b'"scorer"' in start


def check_free(run: Run, scorer: str, mend: str = "move it away") -> None:
    """Refuse to write scores over a file that is none, or that was changed by hand.

    Raises:
        ReportError: There is one; it is named, with what to do about it.
    """
    path = run.score(scorer)
    if os.path.lexists(path) and not is_score(path) and not made.Made(path.parent).names(path):
        raise ReportError(f"{path}: found something else, expected earlier scores or nothing; {mend}")
    made.check_free(path, b"", mend)
    made.check_free(run.bootstrap(scorer), _replicates_start(run, scorer), mend)


def _replicates_start(run: Run, scorer: str) -> bytes | tuple[bytes, ...]:
    """How a file of replicates begins that an older version wrote, if there are scores that it would be of."""
    return b"PK" if is_score(run.score(scorer)) else ()


def collect(grid: layout.Grid) -> tuple[list[Entry], list[Damage]]:
    """All scores of a grid's runs, by cell, seed and scorer, the ground truth last; and those that cannot be read."""
    entries, damages = [], []
    for found in each(grid):
        if isinstance(found, Entry):
            entries.append(found)
        else:
            damages.append(found)
    return entries, damages


def each(grid: layout.Grid) -> Iterator[Entry | Damage]:
    """What `collect` gives, one after the other, so that nobody needs to hold all replicates at once."""
    for run in [*grid.runs(), grid.real]:
        for scorer in run.scorers():
            try:
                yield Entry(grid.name, run, read_scorer(run, scorer))
            except ReportError as error:
                yield Damage(grid.name, run, scorer, str(error))


def tidy(entries: Iterable[Entry]) -> pd.DataFrame:
    """Scores as a table with the columns of `COLUMNS`, one row a run, metric and item.

    The row of the metric over all items has the item "all" and its interval, if there is one; the rows of single items
    have none. What is undefined is NaN. The ground truth has no seed. The title of a scorer says which network it saw
    with; a note says what is, or may be, wrong with the run's training or its raters, and is None elsewhere.
    """
    columns: dict[str, list[object]] = {name: [] for name in COLUMNS}
    notes: dict[Run, str | None] = {}
    for entry in entries:
        if entry.run not in notes:
            notes[entry.run] = mark(entry.run)
        for name, metric in sorted(entry.scores.metrics.items()):
            for column, values in _rows(entry, name, metric, notes[entry.run]).items():
                columns[column] += values
    seeds = pd.Series(columns["seed"], dtype="Int64")  # which among missing ones would be floats, and so not exact
    return pd.DataFrame(columns).assign(seed=seeds).astype({"value": float, "low": float, "high": float})


def _rows(entry: Entry, name: str, metric: Metric, note: str | None) -> dict[str, Sequence[object]]:
    """The columns of one metric, the row of all items first."""
    scores = entry.scores
    per_item = () if metric.per_item is None else metric.per_item.tolist()
    none = [math.nan] * len(per_item)
    ends = scores.interval(name)
    same = {
        "grid": entry.grid,
        "cell": entry.run.cell,
        "seed": entry.run.seed,
        "metric": name,
        "n": scores.n,
        "n_expected": scores.n_expected,
        "fingerprint": scores.fingerprint,
        "scorer": scores.scorer,
        "scorer_title": describe_scorer(scores.scorer, scores.protocol).title,
        "note": "; ".join(filter(None, (note, _REHEARSED if scores.protocol.get("simulated") else None))) or None,
    }
    return {
        "item": [ALL_ITEMS, *(scores.item_ids if per_item else ())],
        "value": [float(metric.value), *per_item],
        "low": [ends.low, *none],
        "high": [ends.high, *none],
        **{column: [value] * (1 + len(per_item)) for column, value in same.items()},
    }


def _as_stored(metric: Metric) -> Metric:
    """The metric as it will be read again, so that its interval comes from what is stored."""
    return replace(metric, value=float(metric.value), replicates=np.asarray(metric.replicates, np.float32))


def _archive(metrics: Mapping[str, Metric]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, metric in metrics.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as member:
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
            warnings.simplefilter("ignore")  # those about headers that are no good Python
            with np.load(file, allow_pickle=False) as archive:
                return {name: _replicates(path, name, archive[name]) for name in archive.files}
    except _UNREADABLE as error:
        why = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""  # numpy's own misleads
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
    """The interval of a fooling rate, which is the analysis' own; others follow from their replicates."""
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
    """A JSON number; text that looks like one, and true, are none."""
    if type(value) not in (int, float):
        raise TypeError(f"found {value!r}, expected a number")
    return float(value)  # type: ignore[arg-type]


def _check_summary(scores: Scores, document: dict[str, Any], scorer: str) -> None:
    """Refuse a file whose summary does not follow from its parts: changed by hand, or half of an older pair."""
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
    """Refuse scores of another run of a grid, copied here; older versions, and plain folders, do not say whose."""
    found = document.get("cell"), document.get("seed")
    if "cell" in document and (run.seed is not None or run.cell == REAL) and found != (run.cell, run.seed):
        raise ValueError(f"found scores of {found[0]}, seed {found[1]}, expected those of {run.cell}, seed {run.seed}")


def _damaged(path: Path, what: str) -> ReportError:
    return json_files.damaged(path, what, _AWAY if os.path.lexists(path) else _AGAIN)
