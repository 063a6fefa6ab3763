"""Batches of both generations of the old tool, written by hand in the columns of Mechanical Turk."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from amt.errors import AmtError
from amt.protocol import Protocol
from amt.statistics import table
from amt.statistics.analysis import analyse
from amt.statistics.old_batches import read
from tests.amt.answers import put

KEY = b"a secret of this study"
OWN = ["HITId", "AssignmentId", "WorkerId", "AssignmentStatus", "SubmitTime"]
Trial = tuple[str, str, str, str]  # side of the real image, left image, right image, the side called fake

MATLAB: list[list[Trial]] = [
    [
        ("left", "gt/7", "L1/7", "right"),  # practice
        ("left", "gt/1", "L1/1", "right"),  # found
        ("right", "L1/2", "gt/2", "right"),  # fooled
        ("right", "L1/3", "gt/3", "left"),  # found
        ("left", "gt/4", "L1/4", "unset"),  # unanswered, not a click on the left
    ],
    [
        ("left", "gt/8", "L1cGAN/9", "right"),
        ("left", "gt/5", "L1cGAN/1", "left"),  # fooled, unpaired
        ("left", "gt/6", "vigilance/2", "right"),
        ("right", "L1cGAN/3", "gt/7", "right"),  # fooled
        ("left", "gt/2", "L1cGAN/4", "right"),
    ],
]
PYTHON: list[list[Trial]] = [
    [
        ("left", "gt/0.jpg", "mine/0.jpg", "right"),
        ("left", "gt/1.jpg", "mine/1.jpg", "left"),  # fooled
        ("right", "expt/base/2.jpg", "gt/2.jpg", "left"),  # found
        ("right", "mine/1.jpg", "gt/1.jpg", "left"),  # the same item again, found
    ]
]


def _write(
    path: Path, sessions: list[list[Trial]], own: dict[str, str] | None = None, first: int = 1, dot: str = "."
) -> Path:
    names = ("gt_side", "images_left", "images_right")
    # Columns sorted by name, as Mechanical Turk does with answers: 10 comes before 2.
    places = sorted(range(len(sessions[0])), key=lambda place: str(place + first))
    header = [*OWN, *(f"Input{dot}{name}{place + first}" for name in names for place in places)]
    header += [f"Answer{dot}selection{place + first}" for place in places] + ["Approve", "Reject"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(header)
        for number, trials in enumerate(sessions):
            mine = {
                "HITId": f"HIT{number}",
                "AssignmentId": f"ASSIGNMENT{number}",
                "WorkerId": f"WORKER{number}",
                "AssignmentStatus": "Approved",
                "SubmitTime": "Sat Nov 12 16:45:03 PST 2016",
                "Reject": "",
            } | (own or {})
            of_trials = [trials[place][field] for field in range(4) for place in places]
            writer.writerow([*(mine[name] for name in OWN), *of_trials, "x", mine["Reject"]])
    return path


def test_a_matlab_batch_by_hand(tmp_path: Path) -> None:
    found = read(_write(tmp_path / "maps.csv", MATLAB), KEY, practice=1)
    first = found[found["session"] == found["session"].iloc[0]]
    assert first["study"].unique().tolist() == ["maps"]
    assert first["phase"].tolist() == ["practice", "scored", "scored", "scored", "scored"]
    assert first["trial"].tolist() == [1, 1, 2, 3, 4]
    assert first["algorithm"].tolist() == ["L1"] * 5
    assert first["item"].tolist() == ["7", "1", "2", "3", "4"]
    assert first["fake_side"].tolist() == ["right", "right", "left", "left", "right"]
    assert first["choice"].fillna("").tolist() == ["right", "right", "right", "left", ""]
    assert first["fooled"].fillna(-1).tolist() == [0, 0, 1, 0, -1]
    second = found[found["session"] != found["session"].iloc[0]]
    assert second["phase"].tolist() == ["practice", "scored", "attention", "scored", "scored"]
    assert second["algorithm"].tolist() == ["L1cGAN", "L1cGAN", "vigilance", "L1cGAN", "L1cGAN"]
    assert second["real_item"].tolist() == ["8", "5", "6", "7", "2"]
    assert second["item"].tolist() == ["9", "1", "2", "3", "4"]
    assert second["fooled"].tolist() == [0, 1, 0, 1, 0]
    assert found["answered_at"].dropna().unique().tolist() == ["2016-11-13T00:45:03+00:00"]
    assert found["state"].unique().tolist() == ["completed"]


def test_a_python_batch_by_hand(tmp_path: Path) -> None:
    found = read(_write(tmp_path / "batch.csv", PYTHON, first=0), KEY, study="mine", practice=1)
    assert found["study"].unique().tolist() == ["mine"]
    assert found["algorithm"].tolist() == ["mine", "mine", "expt/base", "mine"]
    assert found["item"].tolist() == ["0", "1", "2", "1"]
    assert found["fooled"].tolist() == [0, 1, 0, 0]


def test_a_batch_can_be_analysed_and_says_which_rules_could_not_be_applied(tmp_path: Path) -> None:
    answers = read(_write(tmp_path / "maps.csv", MATLAB), KEY, practice=1)
    found = analyse(answers, Protocol(scored=4, practice=10), replicates=50)
    rates = {algorithm.name: algorithm.two_stage.value for algorithm in found.everything.algorithms}
    assert rates == {"L1": pytest.approx(1 / 3), "L1cGAN": pytest.approx(2 / 3)}
    assert found.everything.attention.trials == 1
    assert [each.reasons[0].sentence for each in found.exclusions.excluded] == [
        "3 of 4 scored trials are valid; at least 4 must be."
    ] * 2
    assert len(found.exclusions.notes) == 2
    put(answers, tmp_path / "answers.csv")
    assert table.read(tmp_path / "answers.csv").equals(answers)


def test_ten_practice_trials_and_the_order_of_numbers_by_default(tmp_path: Path) -> None:
    trials: list[Trial] = [("left", f"gt/{number}", f"L1/{number}", "left") for number in range(1, 13)]
    found = read(_write(tmp_path / "maps.csv", [trials]), KEY)
    assert found["phase"].tolist() == ["practice"] * 10 + ["scored"] * 2
    assert found["item"].tolist() == [str(number) for number in range(1, 13)]
    assert found["trial"].tolist() == [*range(1, 11), 1, 2]


def test_trials_at_the_end_that_nobody_answered_were_never_shown(tmp_path: Path) -> None:
    def trials(*clicks: str) -> list[Trial]:
        return [("left", f"gt/{number}", f"L1/{number}", click) for number, click in enumerate(clicks)]

    sessions = [trials("unset", "left", "unset", "unset", "unset"), trials("unset", "left", "right", "unset", "")]
    found = read(_write(tmp_path / "maps.csv", sessions), KEY, practice=1)
    assert found["item"].tolist() == ["0", "1", "2"] * 2
    assert found["fooled"].fillna(-1).tolist() == [-1, 1, -1, -1, 1, 0]
    assert found["answered_at"].notna().tolist() == [False, True, False, False, True, True]


@pytest.mark.parametrize(
    ("own", "state"),
    [
        ({"AssignmentStatus": "Rejected"}, "ended"),
        ({"AssignmentStatus": "Submitted"}, "completed"),
        ({"AssignmentStatus": "Submitted", "Reject": "too fast"}, "ended"),
    ],
)
def test_rejected_assignments_end_and_others_are_completed(tmp_path: Path, own: dict[str, str], state: str) -> None:
    found = read(_write(tmp_path / "maps.csv", PYTHON, own), KEY)
    assert found["state"].unique().tolist() == [state]


def test_workers_are_pseudonyms_that_only_the_key_can_tell(tmp_path: Path) -> None:
    path = _write(tmp_path / "maps.csv", MATLAB)
    found, again, other = read(path, KEY), read(path, KEY), read(path, b"another")
    written = table.text(found)
    assert "WORKER" not in written
    assert "ASSIGNMENT" not in written
    assert found.equals(again)
    assert found["rater"].nunique() == found["session"].nunique() == 2
    assert found["rater"].str.fullmatch("[0-9a-f]{32}").all()
    assert not set(found["rater"]) & (set(other["rater"]) | set(found["session"]))
    with pytest.raises(AmtError, match="the key for pseudonyms is empty"):
        read(path, b"")


def test_a_worker_with_two_assignments_is_one_rater(tmp_path: Path) -> None:
    found = read(_write(tmp_path / "maps.csv", MATLAB, {"WorkerId": "SAME"}), KEY)
    assert found["rater"].nunique() == 1
    assert found["session"].nunique() == 2


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("Fri Jun 19 10:11:12 PDT 2020", "2020-06-19T17:11:12+00:00"),
        ("Fri Jun 19 10:11:12 GMT 2020", "2020-06-19T10:11:12+00:00"),
        ("Fri Jun 31 10:11:12 GMT 2020", None),
        ("Fri Jun 19 10:11:12 XYZ 2020", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times_are_utc_and_unknown_ones_missing(tmp_path: Path, written: str, read_as: str | None) -> None:
    found = read(_write(tmp_path / "maps.csv", PYTHON, {"SubmitTime": written}), KEY)
    assert found["answered_at"].dropna().unique().tolist() == ([read_as] if read_as else [])


def test_columns_as_matlab_renames_them(tmp_path: Path) -> None:
    dotted, underscored = (read(_write(tmp_path / f"{dot}.csv", MATLAB, dot=dot), KEY, "s") for dot in "._")
    assert dotted.equals(underscored)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"WorkerId"', '"Worker"', r"maps\.csv: no column WorkerId; expected a results CSV of AMT_Real_vs_Fake"),
        ("Input.gt_side", "Input.side", r"no column Input\.gt_side"),
        ('"unset"', '"up"', r"row 2, column Answer\.selection5: found 'up'; expected left, right or unset"),
        ('"gt/7"', '"7"', r"row 2, column Input\.images_left1"),
        ('"left","left","right"', '"left","top","right"', r"row 2, column Input\.gt_side2: found 'top'"),
        ('"Approved"', '"Perhaps"', r"row 2, column AssignmentStatus: found 'Perhaps'"),
        ('"WORKER0"', '" "', r"row 2, column WorkerId: found ' '; expected an id"),
        ("ASSIGNMENT1", "ASSIGNMENT0", r"row 3: the assignment of row 2 again"),
        ("Answer.", "Ans.", r"no answer in 2 assignments; expected Answer\.selection columns"),
    ],
)
def test_other_files_and_changed_ones_are_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = _write(tmp_path / "maps.csv", MATLAB)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(AmtError, match=said) as refused:
        read(path, KEY)
    assert "\n" not in str(refused.value)


def test_our_own_export_is_no_old_batch(tmp_path: Path) -> None:
    put(read(_write(tmp_path / "maps.csv", PYTHON), KEY), tmp_path / "answers.csv")
    with pytest.raises(AmtError, match="no column WorkerId, AssignmentId, AssignmentStatus"):
        read(tmp_path / "answers.csv", KEY)
