"""The studies with raters in a results folder, read from `study/NAME/analysis.json`, and the grids they belong to.

Rates are in percent here, as in the ledger.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from reports import json_files, layout
from reports.bootstrap import NO_INTERVAL, Interval
from reports.errors import ReportError
from reports.json_files import LONGEST_COMPLAINT
from reports.layout import Run
from reports.ledger import Damage, Entry
from reports.made import Made
from reports.metrics import STUDY
from reports.names import counted, printable

FORMAT = 2
"""Of the analyses that can be read."""

_MOST = 10**9  # of anything that a study counts


class Block(NamedTuple):
    """Trials at neighbouring positions of the sessions: the share right in percent, with its 95 % interval.

    The interval is Wilson's, with answers of one rater in a block counted by their correlation.
    """

    first: int
    last: int
    trials: int
    fooled: int
    correct: float
    interval: Interval


class Halves(NamedTuple):
    """Share right in percent in both halves of the trials, by raters who did both, and the change in points.

    The interval of the change is by Student's t, paired over raters; None where it is undefined.
    """

    raters: int
    first: float
    second: float
    change: float
    interval: Interval | None


@dataclass(frozen=True)
class Curve:
    """How often raters were right in the course of a session: position by position, in blocks, practice apart."""

    positions: tuple[Block, ...]
    blocks: tuple[Block, ...]
    practice: tuple[Block, ...]
    halves: Halves | None


class Judged(NamedTuple):
    """How many trials showed the output of an item, and in how many it was taken for real."""

    trials: int
    fooled: int

    @property
    def rate(self) -> float:
        """The fooling rate of the item in percent."""
        return 100 * self.fooled / self.trials


@dataclass(frozen=True)
class StudyCell:
    """What raters say about one cell.

    Attributes:
        cell: Its name in the study; of a study that belongs to a grid, that of the grid's cell.
        origin: Where its outputs came from: GRID/CELL/seed-N in the results folder, or a folder elsewhere.
        seed: Of the run that made them; None as long as no grid is known.
        raters: How many raters count.
        trials: How many of their answers.
        rate: The fooling rate: the mean over raters of their mean over trials.
        error: Its standard error over raters and trials: the paper's +-; NaN of a single rater, who has no interval.
        over_trials: 95 % interval over raters and trials, with these very items, as the paper's.
        over_items: 95 % interval over raters and items: the one for claims.
        curve: The share right in the course of sessions.
        items: Judgments by item id.
    """

    cell: str
    origin: str
    seed: int | None
    raters: int
    trials: int
    rate: float
    error: float
    over_trials: Interval
    over_items: Interval
    curve: Curve
    items: Mapping[str, Judged]


@dataclass(frozen=True)
class Study:
    """A study with raters, analysed.

    Attributes:
        name: As in its links.
        title: The question on top of the raters' page.
        fingerprint: Of its protocol.
        protocol: What raters saw and whose answers count.
        sessions: How many began and had answers.
        excluded: How many of those do not count.
        reasons: For how many sessions each rule of exclusion is a reason; a session can have several.
        simulated: Whether its raters were programs.
        looked_at_early: Whether its rates were looked at before it was closed.
        replicates: Draws behind the bootstrap intervals.
        cells: Those that were judged in sessions that count, by name.
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

    @property
    def scorer(self) -> str:
        """The scorer of its rates in the ledger."""
        return f"{STUDY}{self.name}"

    @property
    def raters(self) -> int:
        """How many raters count, over all cells; who judged two cells counts twice."""
        return sum(cell.raters for cell in self.cells)

    @property
    def trials(self) -> int:
        """How many answers count."""
        return sum(cell.trials for cell in self.cells)


class Found(NamedTuple):
    """The studies of a results folder.

    Attributes:
        studies: Those that can be read, by name.
        damages: Files that cannot, one sentence each.
        waiting: Studies without an analysis, one sentence each.
    """

    studies: tuple[Study, ...]
    damages: tuple[str, ...]
    waiting: tuple[str, ...]


class Placed(NamedTuple):
    """Studies by the grid whose outputs they judged, and a sentence on each study that judged none of them."""

    by_grid: Mapping[str, tuple[Study, ...]]
    strangers: tuple[str, ...]


def collect(results: Path) -> Found:
    """All studies of a results folder; what cannot be read is named, and never raised."""
    studies, damages, waiting = [], [], []
    for name, path in layout.analyses(results).items():
        again = f"run `p2pbench amt analyse {results} --name {name}`"
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
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            damages.append(printable(f"{path}: {str(error)[:LONGEST_COMPLAINT]}; {away}"))
    return Found(tuple(studies), tuple(damages), tuple(waiting))


def place(studies: Iterable[Study], entries: Sequence[Entry], damages: Sequence[Damage] = ()) -> Placed:
    """Find the grid of each study by its rates in the ledger.

    A study is a grid's when the ledger holds its rates under the same protocol for the run of each of its cells, over
    items among which are all that it judged.

    Args:
        studies: As `collect` gives them.
        entries: The scores of all grids.
        damages: Scores that cannot be read, which are named elsewhere.
    """
    by_grid: dict[str, list[Study]] = {}
    strangers = []
    for study in studies:
        rates = {_origin(entry.run): entry for entry in entries if entry.scores.scorer == study.scorer}
        unread = [_origin(each.run) for each in damages if each.scorer == study.scorer]
        if unread:
            strangers.append(printable(f"Study {study.name} is not shown: its scores of {unread[0]} cannot be read."))
            continue
        problem = _problem(study, rates)
        if problem:
            said = f"Study {study.name} is of another results folder: {problem}. It is not shown."
            strangers.append(printable(said))
            continue
        runs = [rates[cell.origin].run for cell in study.cells]
        cells = [replace(cell, cell=run.cell, seed=run.seed) for cell, run in zip(study.cells, runs, strict=True)]
        by_grid.setdefault(rates[study.cells[0].origin].grid, []).append(replace(study, cells=tuple(cells)))
    return Placed({grid: tuple(its) for grid, its in by_grid.items()}, tuple(strangers))


def _problem(study: Study, rates: Mapping[str, Entry]) -> str:
    """Why a study is none of these runs', or nothing."""
    if not study.cells:
        return "no session of it counts, so that nothing ties it to a grid"
    for cell in study.cells:
        entry = rates.get(cell.origin)
        if entry is None:
            return f"it judged {cell.cell} from {cell.origin or 'an unknown place'}, which has no scores of it here"
        if entry.scores.protocol.get("study_fingerprint") != study.fingerprint:
            found = entry.scores.protocol.get("study_fingerprint")
            return f"its protocol is {study.fingerprint}, and the scores of {cell.origin} are of {found}"
        foreign = sorted(cell.items.keys() - set(entry.scores.item_ids))
        if foreign:
            return (
                f"it judged {counted(len(foreign), 'item')} of {cell.cell} not among those scored, such as {foreign[0]}"
            )
    grids = sorted({rates[cell.origin].grid for cell in study.cells})
    return f"its cells are of {len(grids)} grids, {', '.join(grids)}" if len(grids) > 1 else ""


def _origin(run: Run) -> str:
    """A run as studies name it: GRID/CELL/seed-N."""
    return "/".join(run.folder.parts[-3:])


def _study(name: str, document: Mapping[str, Any]) -> Study:
    if document.get("format") != FORMAT:
        raise ValueError(f"found format {document.get('format')!r}, expected {FORMAT}, of this version of p2pbench")
    if document["study"] != name:
        raise ValueError(f"found the study {document['study']!r}, expected {name!r} as its folder is called")
    kept, origin, excluded = document["kept"], document["origin"], document["exclusions"]["excluded"]
    return Study(
        name=name,
        title=str(document["title"]),
        fingerprint=str(document["fingerprint"]),
        protocol=dict(document["protocol"]),
        sessions=_count(document["everything"]["sessions"], "sessions"),
        excluded=len(excluded),
        reasons=dict(Counter(reason["rule"] for each in excluded for reason in each["reasons"]).most_common()),
        simulated=bool(document["simulated"]),
        looked_at_early=bool(document["looked_at_early"]),
        replicates=_count(document["replicates"], "replicates"),
        cells=tuple(_cell(fields, str(origin.get(fields["name"], ""))) for fields in kept["algorithms"]),
    )


def _cell(fields: Mapping[str, Any], origin: str) -> StudyCell:
    staged, crossed, curve = fields["two_stage"], fields["crossed"], fields["curve"]
    alone = len(fields["raters"]) < 2  # earlier versions gave one rater an interval
    return StudyCell(
        cell=str(fields["name"]),
        origin=origin,
        seed=None,
        raters=len(fields["raters"]),
        trials=_count(fields["trials"], "trials"),
        rate=_percent(crossed["value"]),
        error=math.nan if alone else _percent(staged["error"]),
        over_trials=NO_INTERVAL if alone else _interval(staged),
        over_items=NO_INTERVAL if alone or crossed["low"] is None else _interval(crossed),
        curve=Curve(
            positions=tuple(_block(each, each["position"], each["position"]) for each in curve["positions"]),
            blocks=tuple(_block(each, each["first"], each["last"]) for each in curve["blocks"]),
            practice=tuple(_block(each, each["first"], each["last"]) for each in curve["practice"]),
            halves=None if curve["halves"] is None else _halves(curve["halves"]),
        ),
        items={str(item["item"]): _judged(item) for item in fields["items"]},
    )


def _block(fields: Mapping[str, Any], first: object, last: object) -> Block:
    judged = _judged(fields)
    correct = _percent(fields["correct"])
    return Block(_count(first, "first"), _count(last, "last"), judged.trials, judged.fooled, correct, _interval(fields))


def _halves(fields: Mapping[str, Any]) -> Halves:
    known = fields["low"] is not None and fields["high"] is not None
    ends = Interval(100 * _number(fields["low"]), 100 * _number(fields["high"])) if known else None
    first, second = _percent(fields["first"]), _percent(fields["second"])
    return Halves(_count(fields["raters"], "raters"), first, second, 100 * _number(fields["change"]), ends)


def _judged(fields: Mapping[str, Any]) -> Judged:
    judged = Judged(_count(fields["trials"], "trials"), _count(fields["fooled"], "fooled"))
    if not judged.fooled <= judged.trials or judged.trials < 1:
        raise ValueError(f"found {judged.fooled} fooled of {judged.trials} trials, expected at most all of 1 or more")
    return judged


def _interval(fields: Mapping[str, Any]) -> Interval:
    low, high = _percent(fields["low"]), _percent(fields["high"])
    if low > high:
        raise ValueError(f"found an interval from {low} to {high} %, expected its lower end first")
    return Interval(low, high)


def _percent(share: object) -> float:
    number = _number(share)
    if not 0 <= number <= 1:
        raise ValueError(f"found a share of {number}, expected 0 to 1")
    return 100 * number


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"found {value!r}, expected a number")
    return float(value)


def _count(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MOST:
        raise ValueError(f"found {what} = {value!r}, expected a count")
    return value
