"""Import of old Mechanical Turk batches of AMT_Real_vs_Fake.

Both generations of that tool are read: Matlab (2016 to 2018; trials from 1, images without extension, one algorithm per
session) and Python (2020; trials from 0, images with extension, algorithms mixed within a session). A batch's CSV has
one row per assignment: Mechanical Turk's own columns, and for each trial the inputs `gt_side` (the side of the real
image), `images_left` and `images_right`, and the answer `selection`: the side called fake, or "unset".

Differences from that tool's own analysis: an unanswered trial is missing, not a click on the left; final trials that
no rater answered were never shown (the page of 2016 stopped at 50 of 60) and get no rows; the rate of an algorithm is
the mean over raters. Those pages measured nothing, so the columns of times are missing; `answered_at` is the time when
the whole assignment was submitted.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from amt import safe_csv
from amt.errors import AmtError
from amt.statistics.table import build

# Matlab's readtable writes underscores for the dots.
_COLUMN = re.compile(r"(?:Input|Answer)[._](gt_side|images_left|images_right|selection)(\d+)")
_NEEDED = ("WorkerId", "AssignmentId", "AssignmentStatus")
_STATES = {"approved": "completed", "submitted": "completed", "rejected": "ended"}
_OTHER = {"left": "right", "right": "left"}
_EXTENSION = re.compile(r"\.(?:png|jpe?g|gif|bmp|webp)$", re.IGNORECASE)
# Such as "Mon Jul 20 10:00:00 PDT 2020". `strptime` would read months by the locale, and few names of zones.
_WRITTEN = re.compile(r"\w{3} (\w{3}) (\d\d?) (\d\d):(\d\d):(\d\d) (\w{3}) (\d{4})")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ZONES = {"UTC": 0, "GMT": 0, "PST": -8, "PDT": -7}


class _Trial(NamedTuple):
    """Column indices of one trial; selection may be absent."""

    gt_side: int
    images_left: int
    images_right: int
    selection: int | None


class _Image(NamedTuple):
    folder: str
    item: str


@dataclass(frozen=True)
class _Row:
    """Cells of one assignment, with its position for error messages."""

    path: Path
    number: int
    header: list[str]
    cells: list[str]

    def cell(self, column: str | int) -> str:
        """Stripped cell of a column, by name or index."""
        return self.cells[column if isinstance(column, int) else self.header.index(column)].strip()

    def wrong(self, column: int, expected: str) -> AmtError:
        return AmtError(
            f"{self.path}, row {self.number}, column {self.header[column]}: found {self.cells[column]!r}; "
            f"expected {expected}; was the file changed since it was downloaded?"
        )


def read(path: Path, key: bytes, study: str = "", practice: int = 10, vigilance: str = "vigilance") -> pd.DataFrame:
    """Read a results CSV into a table of answers.

    Worker and assignment ids are replaced by their HMAC with the key and stored nowhere. A rejected assignment has the
    state "ended", so that the protocol's rules exclude it; others are "completed".

    Args:
        path: The results CSV as downloaded from Mechanical Turk, its `Input.` and `Answer.` columns untouched.
        key: Secret of the study; the same key gives a worker the same pseudonym in another batch.
        study: Name of the study; by default that of the file.
        practice: Number of practice trials at the start of each session (10 in that tool).
        vigilance: Folder of obviously broken fakes; its trials have the phase "attention".

    Returns:
        One row per trial; the algorithm is the folder of the fake's image, items are file names without extension.

    Raises:
        AmtError: The file is no such CSV, a cell is invalid, or the key is empty.
    """
    if not key:
        raise AmtError("the key for pseudonyms is empty; expected a secret, at least 16 random bytes; give one")
    header, rows = safe_csv.read(path)
    missing = [column for column in _NEEDED if column not in header]
    trials = _trials(header)
    if missing or not trials:
        lacks = ", ".join(missing) or "Input.gt_side, Input.images_left, Input.images_right for any trial"
        raise AmtError(
            f"{path}: no column {lacks}; expected a results CSV of AMT_Real_vs_Fake as downloaded from Mechanical Turk "
            "(for an export of this program, use its own reader)"
        )
    assignments = [_Row(path, i, header, row) for i, row in enumerate(rows, 2)]
    _refuse_duplicates(assignments)
    answered = [i for i, trial in enumerate(trials, 1) if any(_choice(row, trial) for row in assignments)]
    if not answered:
        raise AmtError(
            f"{path}: no answer in {len(rows)} assignments; expected Answer.selection columns with left, right"
        )
    shown = trials[: answered[-1]]
    return build(
        answer for row in assignments for answer in _answers(row, shown, key, practice, vigilance, study or path.stem)
    )


def _refuse_duplicates(assignments: list[_Row]) -> None:
    first: dict[str, _Row] = {}
    for row in assignments:
        earlier = first.setdefault(row.cell("AssignmentId"), row)
        if earlier is not row:
            raise AmtError(
                f"{row.path}, row {row.number}: the assignment of row {earlier.number} again; expected each once; "
                "remove one of the rows"
            )


def _trials(header: list[str]) -> list[_Trial]:
    columns: dict[int, dict[str, int]] = {}
    for i, column in enumerate(header):
        if match := _COLUMN.fullmatch(column.strip()):
            columns.setdefault(int(match[2]), {})[match[1]] = i
    return [
        _Trial(trial["gt_side"], trial["images_left"], trial["images_right"], trial.get("selection"))
        for _, trial in sorted(columns.items())
        if {"gt_side", "images_left", "images_right"} <= trial.keys()
    ]


def _answers(
    row: _Row, trials: list[_Trial], key: bytes, practice: int, vigilance: str, study: str
) -> Iterator[dict[str, object]]:
    for column in ("WorkerId", "AssignmentId"):
        if not row.cell(column):
            raise row.wrong(row.header.index(column), "an id")
    session = {
        "study": study,
        "rater": _pseudonym(key, "worker", row.cell("WorkerId")),
        "session": _pseudonym(key, "assignment", row.cell("AssignmentId")),
        "state": _state(row),
    }
    submitted = _submitted(row)
    numbers: Counter[str] = Counter()
    for position, trial in enumerate(trials):
        real_side = row.cell(trial.gt_side)
        if real_side not in _OTHER:
            raise row.wrong(trial.gt_side, "left or right")
        images = {"left": _image(row, trial.images_left), "right": _image(row, trial.images_right)}
        real, fake = images[real_side], images[_OTHER[real_side]]
        choice = _choice(row, trial)
        phase = "practice" if position < practice else "attention" if fake.folder == vigilance else "scored"
        numbers[phase] += 1
        yield session | {
            "algorithm": fake.folder,
            "phase": phase,
            "trial": numbers[phase],
            "item": fake.item,
            "real_item": real.item,
            "fake_side": _OTHER[real_side],
            "choice": choice,
            "fooled": None if choice is None else int(choice == real_side),
            "answered_at": None if choice is None else submitted,
        }


def _choice(row: _Row, trial: _Trial) -> str | None:
    """Side called fake; None for a trial without an answer."""
    if trial.selection is None or row.cell(trial.selection) in ("", "unset"):
        return None
    if row.cell(trial.selection) not in _OTHER:
        raise row.wrong(trial.selection, "left, right or unset")
    return row.cell(trial.selection)


def _image(row: _Row, column: int) -> _Image:
    folder, slash, name = row.cell(column).rpartition("/")
    if not (folder and slash and name):
        raise row.wrong(column, "the path of an image below its algorithm's folder, such as L1/12")
    return _Image(folder, _EXTENSION.sub("", name))


def _state(row: _Row) -> str:
    state = _STATES.get(row.cell("AssignmentStatus").lower())
    if state is None:
        raise row.wrong(row.header.index("AssignmentStatus"), "Approved, Submitted or Rejected")
    # Filled in by the requester before uploading the file to Mechanical Turk.
    return "ended" if "Reject" in row.header and row.cell("Reject") else state


def _submitted(row: _Row) -> str | None:
    """Time of submission in ISO 8601, UTC; None if unparsable."""
    written = _WRITTEN.fullmatch(row.cell("SubmitTime")) if "SubmitTime" in row.header else None
    if not written or written[1] not in _MONTHS or written[6] not in _ZONES:
        return None
    month, day, hour, minute, second, zone, year = written.groups()
    try:
        time = datetime(int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second))
    except ValueError:
        return None
    return time.replace(tzinfo=timezone(timedelta(hours=_ZONES[zone]))).astimezone(UTC).isoformat()


def _pseudonym(key: bytes, kind: str, name: str) -> str:
    # A plain hash could be undone by hashing every known worker id; without the key that is not possible.
    return hmac.new(key, f"{kind}:{name}".encode(), hashlib.sha256).hexdigest()[:32]
