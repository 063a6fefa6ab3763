"""Table and JSON lines of label scores."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.text import Text

from fcn.score_protocols import Protocol
from p2pbench.errors import UserError
from p2pbench.runtime.result_tables import Displayed, ShownCell, ShownTable
from p2pbench.scoring.confusion_scores import METRICS, ClassRow
from p2pbench.scoring.scorer import Scored
from reports import tidy
from reports.paper import PaperRow
from reports.store.bootstrap import NO_INTERVAL, Interval
from reports.store.ledger import LedgerEntry
from reports.store.metrics import FCN_RULES, cost_of_absent, describe, describe_scorer, own_scorer
from reports.store.names import counted, printable
from reports.store.scores import Scores

if TYPE_CHECKING:  # a second to import
    import pandas as pd

DIGITS = 3
WIDTH = 80
BOTH = "both"
SAME = f"{BOTH}: the official and the strict protocol give the same"
_LABEL, _CELL = 12, 22  # columns; three cells and a label fit a terminal of 80


class ScoreRow(NamedTuple):
    """Scores of a run in the table.

    Attributes:
        name: Name of any length, on a line of its own.
        official: Scores by the official protocol, if they are shown.
        strict: Scores by the strict protocol, if they are shown.
        paper: The paper's row, if there is one.
        dropped: Number of items that the official protocol drops whole.
        absent: Number of classes without a true pixel in the items that it does not drop.
        classes: Number of classes.
    """

    name: str
    official: Scores | None
    strict: Scores | None
    paper: PaperRow | None = None
    dropped: int = 0
    absent: int = 0
    classes: int = 0

    def only(self, protocol: Protocol | None) -> ScoreRow:
        """Row with one protocol; None leaves both."""
        if protocol is None:
            return self
        return self._replace(strict=None) if protocol == "official" else self._replace(official=None)

    @property
    def scores(self) -> list[Scores]:
        """Scores that are shown."""
        return [scores for scores in (self.official, self.strict) if scores is not None]


@dataclass(frozen=True, repr=False, eq=False)
class RunScores(Displayed):
    """Scores of runs; shows as a table per scorer.

    Attributes:
        scored: The runs with their scores, each grid's ground truth after them; or the one plain folder.
        remarks: What a user should know of them, one line each: runs left out, doubts, one training per cell.
    """

    scored: Sequence[Scored]
    remarks: Sequence[str] = ()

    @property
    def scorers(self) -> list[str]:
        """Names of the scorers, such as "image", "fcn-official" and "fcn-strict"."""
        return list(dict.fromkeys(scores.scorer for of_run in self.scored for scores in of_run.scores))

    def only(self, *scorers: str) -> RunScores:
        """Take the scores by some scorers alone.

        Raises:
            UserError: One of them made no score here.
        """
        if unknown := [name for name in scorers if name not in self.scorers]:
            raise UserError(f"scorer {unknown[0]!r}: made no score here; expected one of {', '.join(self.scorers)}")
        kept = (
            replace(each, scores=[of for of in each.scores if of.scorer in scorers])
            for each in self.scored
            if any(of.scorer in scorers for of in each.scores)
        )
        return replace(self, scored=list(kept))

    def frame(self) -> pd.DataFrame:
        """Make a table of all numbers with the columns of `read_scores`.

        Those of single items too.
        """
        return tidy.tabulate(
            LedgerEntry(of.outputs.grid.name if of.outputs.grid else "", of.outputs.run, scores)
            for of in self.scored
            for scores in of.scores
        )

    def tables(self) -> list[ShownTable]:
        """A table per scorer, with a row per run."""
        shown = []
        for scorer in self.scorers:
            rows = [(of.outputs, scores) for of in self.scored for scores in of.scores if scores.scorer == scorer]
            first = rows[0][1]
            names = list(dict.fromkeys(name for _, scores in rows for name in scores.metrics))
            over = dict.fromkeys(scores.over for _, scores in rows for name in names if _interval(scores, name).known)
            shown.append(
                ShownTable(
                    describe_scorer(scorer, first.protocol).title,
                    ("", *(describe(name).label for name in names), "items", "fingerprint"),
                    [
                        [
                            ShownCell(outputs.name),
                            *(_shown(scores, name) for name in names),
                            ShownCell(f"{scores.n} of {scores.n_expected}"),
                            ShownCell(scores.fingerprint),
                        ]
                        for outputs, scores in rows
                    ],
                    [f"in brackets: 95 % intervals over {' or '.join(over)}"] * bool(over),
                )
            )
        return [*shown[:-1], *(replace(last, notes=[*last.notes, *self.remarks]) for last in shown[-1:])]


def print_scores(rows: Sequence[ScoreRow], console: Console | None = None) -> None:
    """Print a table of runs with a line per protocol.

    It is at most 80 columns wide but for names.

    Protocols whose numbers are equal to the last digit share a line. A scorer other than the published one is named
    on top.
    """
    console = console or Console(highlight=False)
    known = any(scores.interval(name).known for row in rows for scores in row.scores for name in scores.metrics)
    over = dict.fromkeys(scores.over for row in rows for scores in row.scores)
    notes = [f"in brackets: 95 % intervals over {' or '.join(over)}"] * known
    for title in dict.fromkeys(filter(None, map(_own_scorer, rows))):
        _print(console, Text(title, "bold"))
    _print(console, _line("", [Text(describe(name).label, "bold") for name in METRICS]))
    for row in rows:
        _print(console, _title(row))
        lines = _protocols(row)
        if BOTH in lines and SAME not in notes:
            notes.append(SAME)
        for label, cells in lines.items():
            _print(console, _line(f"  {label}", cells))
        if row.paper is not None:
            _print(console, _line("  paper", [Text(f"{row.paper[name].value:.2f}", "dim") for name in METRICS]))
    counting = (row for row in rows if row.official is not None and row.official.counted)  # else there are no numbers
    costs = (cost_of_absent(row.absent, row.classes) for row in counting)
    notes += [f"official: {cost}" for cost in dict.fromkeys(costs) if cost]
    for line in (line for note in notes for line in textwrap.wrap(note, WIDTH, subsequent_indent="  ")):
        _print(console, Text(line, "dim"))


def print_classes(name: str, rows: Sequence[ClassRow], console: Console | None = None) -> None:
    """Print a run's class scores with true pixels and images.

    "-" if undefined.
    """
    console = console or Console(highlight=False)
    rows = [row._replace(name=printable(row.name)) for row in rows]
    width = max(len(row.name) for row in rows) + 2
    _print(console, Text(printable(name), "bold"))
    head = [Text(title, "bold") for title in ("accuracy", "IoU")]
    _print(console, _line("", head, width, Text(f"{'pixels':>11}{'images':>7}", "bold")))
    for row in rows:
        cells = [_estimate(row.accuracy, row.accuracy_interval), _estimate(row.iou, row.iou_interval)]
        _print(console, _line(row.name, cells, width, Text(f"{row.pixels:>11}{row.images:>7}")))


def json_lines(row: ScoreRow, place: Mapping[str, object]) -> list[str]:
    """Scores of a run as JSON, one object per protocol.

    Each begins with `place`.
    """
    return [
        json.dumps(
            {
                **place,
                **scores.summary(),
                **({"dropped": row.dropped, "absent_classes": row.absent} if scores is row.official else {}),
            }
        )
        for scores in row.scores
    ]


def _protocols(row: ScoreRow) -> dict[str, list[Text]]:
    """Cells of the shown protocols, by label."""
    given = {"official": row.official, "strict": row.strict}
    lines = {label: _estimates(scores) for label, scores in given.items() if scores is not None}
    if len(lines) == 2 and lines["official"] == lines["strict"]:
        return {BOTH: lines["strict"]}
    return lines


def _own_scorer(row: ScoreRow) -> str:
    """Title for a network other than the published one; "" for that, and without a network."""
    by_network = (scores for scores in row.scores if scores.scorer in FCN_RULES)
    own = [(FCN_RULES[scores.scorer], own_scorer(scores.protocol)) for scores in by_network]
    if not own or not own[0][1]:
        return ""
    return f"{' and '.join(rules for rules, _ in own)} rules, own scorer: {own[0][1]}"


def _title(row: ScoreRow) -> Text:
    title = Text(printable(row.name), "bold")
    for scores in row.scores[:1]:  # both are of the same items
        style = "not bold dim" if scores.n == scores.n_expected else "not bold yellow"
        title.append(f"  {scores.n} of {counted(scores.n_expected, 'item')}", style)
    return title


def _line(label: str, cells: Sequence[Text], width: int = _LABEL, end: Text | None = None) -> Text:
    line = Text(label.ljust(width))
    for cell in cells:
        line.append_text(cell).append(" " * (_CELL - len(cell)))
    if end is not None:
        line.append_text(end)
    line.rstrip()
    return line


def _estimates(scores: Scores) -> list[Text]:
    return [_estimate(scores.metrics[name].value, scores.interval(name)) for name in METRICS]


def _shown(scores: Scores, name: str) -> ShownCell:
    if name not in scores.metrics or math.isnan(scores.metrics[name].value):
        return ShownCell("-")
    digits, interval = describe(name).digits, _interval(scores, name)
    return ShownCell(f"{scores.metrics[name].value:.{digits}f}", f"[{interval.text(digits)}]" if interval.known else "")


def _interval(scores: Scores, name: str) -> Interval:
    return scores.interval(name) if name in scores.metrics else NO_INTERVAL


def _estimate(value: float, interval: Interval) -> Text:
    if math.isnan(value):
        return Text("-")
    return Text(f"{value:.{DIGITS}f}").append(f" [{interval.text(DIGITS)}]", "dim")


def _print(console: Console, line: Text) -> None:
    console.print(line, soft_wrap=True)  # a long name is broken by the terminal, and not at all in a file
