"""Analyses of studies with raters, read from `study/NAME/analysis.json`.

Rates are in percent here, as in the ledger.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from reports.store import json_files, layout
from reports.store.bootstrap import NO_INTERVAL, Interval
from reports.store.errors import DAMAGED, ReportError
from reports.store.json_files import LONGEST_COMPLAINT
from reports.store.made import Made
from reports.store.metrics import STUDY
from reports.store.names import counted, printable, typed

FORMATS = (2, 3)
"""Readable formats; analyses of format 2 have intervals and pairs by a bootstrap of raters and items."""
RATE = "fooling_rate"
"""The metric of a study."""
_MOST = 10**9  # of any count


class TrialBlock(NamedTuple):
    """Consecutive trials of the sessions: percentage correct with its interval.

    The interval is Wilson's, with the effective number of answers, as those of one rater are correlated.
    """

    first: int
    last: int
    trials: int
    fooled: int
    correct: float
    interval: Interval


class SessionHalves(NamedTuple):
    """Percentage correct in both halves of a session, and the change.

    The interval of the change is by Student's t, paired over raters; None where it is undefined.
    """

    raters: int
    first: float
    second: float
    change: float
    interval: Interval | None


@dataclass(frozen=True)
class LearningCurve:
    """Percentage correct over a session: by position, in blocks, and in practice."""

    positions: tuple[TrialBlock, ...]
    blocks: tuple[TrialBlock, ...]
    practice: tuple[TrialBlock, ...]
    halves: SessionHalves | None


class Judged(NamedTuple):
    """Numbers of trials of an item's output, and of fooled answers."""

    trials: int
    fooled: int

    @property
    def rate(self) -> float:
        """Fooling rate of the item in percent."""
        return 100 * self.fooled / self.trials


@dataclass(frozen=True)
class StudyCell:
    """Ratings of one cell.

    Attributes:
        cell: Its name in the study, or that of the grid's cell if the study belongs to a grid.
        label: The name, with the seed where several runs of the cell were judged.
        origin: Source of its outputs: GRID/CELL/seed-N in the results folder, or another folder.
        seed: Seed of the run; None until the grid is known.
        raters: Number of raters after exclusions.
        trials: Number of their answers.
        rate: Fooling rate: mean over raters of their mean over trials.
        error: Its standard error over raters and trials, the paper's +-; NaN where `over_trials` is unknown.
        over_trials: 95 % interval over raters and trials, for these items only, like the paper's; unknown for a single
            rater, and where all raters gave the same answers.
        over_items: 95 % interval over raters and items, the one for claims; unknown for a single rater or item.
        curve: Percentage correct over a session.
        items: Judgments by item id.
    """

    cell: str
    label: str
    origin: str
    seed: int | None
    raters: int
    trials: int
    rate: float
    error: float
    over_trials: Interval
    over_items: Interval
    curve: LearningCurve
    items: Mapping[str, Judged]


class RatePair(NamedTuple):
    """Difference between the fooling rates of two cells.

    Attributes:
        first: A cell, named as in the study's cells.
        second: Another cell.
        difference: First minus second in percentage points.
        interval: Its own 95 % interval; unknown if either rate has none.
        p: Two-sided p-value of no difference; NaN without an interval.
        adjusted: The p-value adjusted for all pairs of the study.
    """

    first: str
    second: str
    difference: float
    interval: Interval
    p: float
    adjusted: float


@dataclass(frozen=True)
class StudyRecord:
    """An analysed study with raters.

    Attributes:
        name: Its name, as in its links.
        title: Question at the top of the raters' page.
        fingerprint: Fingerprint of its protocol.
        protocol: Display and exclusion settings.
        sessions: Number of sessions with answers.
        excluded: Number of excluded sessions.
        reasons: Number of sessions by rule of exclusion; a session can have several.
        simulated: Whether its raters were programs.
        looked_at_early: Whether its rates were viewed before it was closed.
        replicates: Number of draws behind the bootstrap intervals.
        cells: The cells judged in sessions that count, by name.
        pairs: All pairs of cells.
        over: Scope of the intervals for claims.
    """

    name: str
    title: str
    fingerprint: str
    protocol: Mapping[str, object]
    sessions: int
    excluded: int
    reasons: Mapping[str, int]
    simulated: bool
    looked_at_early: bool
    replicates: int
    cells: tuple[StudyCell, ...]
    pairs: tuple[RatePair, ...]
    over: str

    @property
    def scorer(self) -> str:
        """Name of the study's scorer in the ledger."""
        return f"{STUDY}{self.name}"

    @property
    def raters(self) -> int:
        """Number of raters after exclusions, counted once per cell."""
        return sum(cell.raters for cell in self.cells)

    @property
    def trials(self) -> int:
        """Number of trials after exclusions."""
        return sum(cell.trials for cell in self.cells)


class CollectedStudies(NamedTuple):
    """The studies of a results folder.

    Attributes:
        studies: Readable studies by name.
        damages: Unreadable files, one sentence each.
        waiting: Studies without an analysis, one sentence each.
    """

    studies: tuple[StudyRecord, ...]
    damages: tuple[str, ...]
    waiting: tuple[str, ...]


def collect(results: Path) -> CollectedStudies:
    """Read all studies of a results folder, damaged ones as messages."""
    studies, damages, waiting = [], [], []
    for name, path in layout.analyses(results).items():
        again = f"run `p2pbench amt analyse {typed(results)} --name {name}`"
        away = f"move it away and {again}"  # an analysis is not written over something else
        if not path.is_file():
            waiting.append(printable(f"Study {name} has no analysis yet; close it, then {again}."))
            continue
        try:
            document = json_files.read_object(path, away)
            Made(path.parent).check_as_made(path, away)
            studies.append(_study(name, document))
        except ReportError as error:
            damages.append(str(error))
        except KeyError as error:
            damages.append(printable(f"{path}: found no {error}, expected it; {away}"))
        except DAMAGED as error:
            damages.append(printable(f"{path}: {str(error)[:LONGEST_COMPLAINT]}; {away}"))
    return CollectedStudies(tuple(studies), tuple(damages), tuple(waiting))


def _study(name: str, document: Mapping[str, Any]) -> StudyRecord:
    version = document.get("format")
    if version not in FORMATS:
        raise ValueError(f"found format {version!r}, expected {' or '.join(map(str, FORMATS))}, of this p2pbench")
    if document["study"] != name:
        raise ValueError(f"found the study {document['study']!r}, expected {name!r} as its folder is called")
    kept, origin, excluded = document["kept"], document["origin"], document["exclusions"]["excluded"]
    cells = tuple(_cell(fields, str(origin.get(fields["name"], ""))) for fields in kept["algorithms"])
    known = {cell.cell for cell in cells if cell.over_items.known}
    pairs = tuple(_pair(fields, known) for fields in kept["pairs" if version == FORMATS[-1] else "pairs_crossed"])
    if {frozenset(pair[:2]) for pair in pairs} != {*map(frozenset, combinations([cell.cell for cell in cells], 2))}:
        raise ValueError(f"found {len(pairs)} pairs of {len(cells)} algorithms, expected each pair once")
    return StudyRecord(
        name=name,
        title=str(document["title"]),
        fingerprint=str(document["fingerprint"]),
        protocol=dict(document["protocol"]),
        sessions=_count(document["everything"]["sessions"], "sessions"),
        excluded=len(excluded),
        reasons=dict(Counter(reason["rule"] for session in excluded for reason in session["reasons"]).most_common()),
        simulated=bool(document["simulated"]),
        looked_at_early=bool(document["looked_at_early"]),
        replicates=_count(document["replicates"], "replicates"),
        cells=cells,
        pairs=pairs,
        over=_over(document.get("clusters")),  # older analyses have no such field
    )


def _over(clusters: Mapping[str, Any] | None) -> str:
    if clusters is None:
        return "raters and items"
    return f"raters and {counted(_count(clusters['n'], 'clusters'), 'cluster')} of items"


def _cell(fields: Mapping[str, Any], origin: str) -> StudyCell:
    staged, curve = fields["two_stage"], fields["curve"]
    claims = fields["claims" if "claims" in fields else "crossed"]
    alone = len(fields["raters"]) < 2  # earlier versions gave one rater an interval
    return StudyCell(
        cell=str(fields["name"]),
        label=str(fields["name"]),
        origin=origin,
        seed=None,
        raters=len(fields["raters"]),
        trials=_count(fields["trials"], "trials"),
        rate=_percent(claims["value"]),
        error=math.nan if alone or staged["low"] is None else _percent(staged["error"]),
        over_trials=NO_INTERVAL if alone or staged["low"] is None else _interval(staged),
        over_items=NO_INTERVAL if alone or claims["low"] is None else _interval(claims),
        curve=LearningCurve(
            positions=tuple(_block(block, block["position"], block["position"]) for block in curve["positions"]),
            blocks=tuple(_block(block, block["first"], block["last"]) for block in curve["blocks"]),
            practice=tuple(_block(block, block["first"], block["last"]) for block in curve["practice"]),
            halves=None if curve["halves"] is None else _halves(curve["halves"]),
        ),
        items={str(item["item"]): _judged(item) for item in fields["items"]},
    )


def _pair(fields: Mapping[str, Any], known: Collection[str]) -> RatePair:
    """Pair of an analysis, without p-values if a rate has no interval."""
    first, second, ends = str(fields["first"]), str(fields["second"]), fields["difference"]
    difference = 100 * _number(ends["value"])
    if not {first, second} <= set(known):
        return RatePair(first, second, difference, NO_INTERVAL, math.nan, math.nan)
    adjusted = fields["adjusted" if "adjusted" in fields else "holm"]
    p, adjusted = (_percent(each) / 100 for each in (fields["p"], adjusted))
    return RatePair(
        first, second, difference, _ordered(*(100 * _number(ends[end]) for end in ("low", "high"))), p, adjusted
    )


def _block(fields: Mapping[str, Any], first: object, last: object) -> TrialBlock:
    judged = _judged(fields)
    correct = _percent(fields["correct"])
    return TrialBlock(
        _count(first, "first"), _count(last, "last"), judged.trials, judged.fooled, correct, _interval(fields)
    )


def _halves(fields: Mapping[str, Any]) -> SessionHalves:
    known = fields["low"] is not None and fields["high"] is not None
    ends = Interval(100 * _number(fields["low"]), 100 * _number(fields["high"])) if known else None
    first, second = _percent(fields["first"]), _percent(fields["second"])
    return SessionHalves(_count(fields["raters"], "raters"), first, second, 100 * _number(fields["change"]), ends)


def _judged(fields: Mapping[str, Any]) -> Judged:
    judged = Judged(_count(fields["trials"], "trials"), _count(fields["fooled"], "fooled"))
    if not judged.fooled <= judged.trials or judged.trials < 1:
        raise ValueError(f"found {judged.fooled} fooled of {judged.trials} trials, expected at most all of 1 or more")
    return judged


def _interval(fields: Mapping[str, Any]) -> Interval:
    return _ordered(_percent(fields["low"]), _percent(fields["high"]))


def _ordered(low: float, high: float) -> Interval:
    if low > high:
        raise ValueError(f"found an interval from {low} to {high}, expected its lower end first")
    return Interval(low, high)


def _percent(share: object) -> float:
    number = _number(share)
    if not 0 <= number <= 1:
        raise ValueError(f"found a share of {number}, expected 0 to 1")
    return 100 * number


def _number(value: object) -> float:
    # bool is a subclass of int, and JSON such as 1e999 is read as infinity.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"found {value!r}, expected a number")
    return float(value)


def _count(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MOST:
        raise ValueError(f"found {what} = {value!r}, expected a count")
    return value
