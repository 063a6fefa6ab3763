"""The exports, against sessions played by hand. On both databases."""

from __future__ import annotations

import csv
from datetime import datetime

import pandas as pd
import pytest
from sqlalchemy import insert

from amt.folders import Studies, StudyFolder
from amt.statistics import table
from amt.store import counts, export, sessions, studies, trials
from amt.store.database import Database
from amt.store.schema import links
from amt.store.studies import Study
from tests.amt.researcher_study import (
    OTHER,
    algorithm_of,
    answer,
    end_lease,
    fill,
    measured,
    schedule,
    side_of_fake,
    take_part,
)
from tests.amt.study import Rater

EVIL = "=cmd|' /C calc'!A0\n<script>alert(1)</script>"


def write(database: Database, study: Study, folder: StudyFolder) -> None:
    for path, text in export.texts(database, study, folder).items():
        path.write_text(text, "utf-8", newline="")


def played(rater: Rater) -> list[tuple[int, int | None]]:
    """Practice, then scored trials of which the second is interrupted; each trial with whether it fooled."""
    answer(rater, 0, 0, 700.0)
    answer(rater, 1, 1, 710.0)
    answer(rater, 2, 1, 720.0, measured(left=1016.7, right=983.3, gap=33.4))
    rater.show(3)
    rater.clock += 1
    with rater.database.writing() as connection:
        assert trials.interrupt(connection, rater.session(), 3, "blur", rater.study.protocol)
    answer(rater, 6, 0, 730.0)  # the first spare
    answer(rater, 4, 0, 740.0)
    answer(rater, 5, 1, 750.0)
    rater.complete()
    return [(0, 0), (1, 1), (2, 1), (3, None), (6, 0), (4, 0), (5, 1)]


def test_answers_are_what_was_played(database: Database, study: Study, rater: Rater) -> None:
    outcomes = played(rater)
    found = export.answer_table(database, study)
    table.check(found)
    assert list(found.columns) == list(table.COLUMNS)
    assert found["phase"].tolist() == ["practice"] * 2 + ["scored"] * 5
    assert found["trial"].tolist() == [1, 2, 1, 2, 3, 4, 5]  # the voided one and its stand-in have a number each
    assert found["fooled"].fillna(-1).tolist() == [-1 if fooled is None else fooled for _, fooled in outcomes]
    assert found["void"].fillna("").tolist() == ["", "", "", "blur", "", "", ""]
    assert found["response_ms"].dropna().tolist() == [700, 710, 720, 730, 740, 750]
    with database.reading() as connection:
        pictures = studies.pictures_of(connection, study.id)
    planned = schedule(rater)
    for row, (k, fooled) in zip(found.to_dict("records"), outcomes, strict=True):
        _, real, fake, _ = planned[k]
        assert (row["item"], row["real_item"]) == (pictures[fake].item, pictures[real].item)
        assert row["fake_side"] == side_of_fake(rater, k)
        if fooled is not None:
            assert row["choice"] == (OTHER[row["fake_side"]] if fooled else row["fake_side"])
    assert set(found["study"]) == {"small"}
    assert set(found["algorithm"]) == {algorithm_of(rater)}
    assert set(found["session"]) == {rater.started.session}
    assert set(found["state"]) == {"completed"}
    assert found["frame_ms"].dropna().tolist() == [16.7] * 6
    third = found.iloc[2]
    assert third["left_ms"] == pytest.approx(1016.7)
    assert third["right_ms"] == pytest.approx(983.3)
    assert third[["left_gap_ms", "right_gap_ms"]].tolist() == [33.4, 33.4]
    at = [datetime.fromisoformat(text) for text in found["answered_at"].dropna()]
    assert at == sorted(at)
    assert at[-1].timestamp() == pytest.approx(rater.clock, abs=0.001)


def test_a_trial_on_the_screen_is_a_row_without_an_answer(database: Database, study: Study, rater: Rater) -> None:
    rater.show(0)
    found = export.answer_table(database, study)
    assert found[["state", "phase", "trial"]].values.tolist() == [["running", "practice", 1]]
    assert found[["choice", "fooled", "response_ms", "void", "left_ms", "answered_at"]].isna().all(axis=None)


def test_nobody_came(database: Database, study: Study, studies: Studies) -> None:
    assert export.answer_table(database, study).empty
    assert export.session_table(database, study).empty
    write(database, study, studies.study(study.name))
    assert table.read(studies.study(study.name).answers).empty


def test_who_is_away_too_long_has_abandoned(database: Database, study: Study, rater: Rater) -> None:
    answer(rater, 0, 0)
    end_lease(rater)
    assert export.answer_table(database, study)["state"].tolist() == ["abandoned"]
    listed = export.session_table(database, study)
    assert listed[["state", "excluded"]].values.tolist() == [["abandoned", "incomplete; few trials"]]
    with database.reading() as connection:
        tally = counts.tallies(connection, study.id, rater.clock)[algorithm_of(rater)]
    assert (tally.slots, tally.free, tally.running, tally.done, tally.abandoned) == (3, 3, 0, 0, 1)


def test_measurements_that_cannot_be_are_missing(database: Database, study: Study, rater: Rater) -> None:
    answer(rater, 0, 0, facts=measured(left=-1.0, frame=0.0))
    answer(rater, 1, 0, facts=measured(frame=1e-12))
    found = export.answer_table(database, study)
    assert found["frame_ms"].isna().all()
    assert found["left_ms"].isna().tolist() == [True, False]
    assert found["right_ms"].tolist() == [1000.0, 1000.0]


@pytest.mark.long
def test_who_leaves_in_the_middle(database: Database, study: Study) -> None:
    raters = [Rater(database, study, name) for name in ("declines", "unfit", "withdraws")]
    for rater in raters:
        rater.agree()
        answer(rater, 0, 0)
    declines, unfit, withdraws = raters
    with database.writing() as connection:
        sessions.consent(connection, declines.session(), "text", agreed=False)
        sessions.environment(connection, unfit.session(), {}, eligible=False)
        sessions.withdraw(connection, withdraws.session())
    found = export.answer_table(database, study)
    assert found[["session", "state"]].values.tolist() == [[unfit.started.session, "ended"]]
    listed = export.session_table(database, study)
    assert listed["state"].tolist() == ["declined", "ineligible", "withdrawn"]
    assert listed["excluded"].tolist() == ["incomplete", "incomplete; few trials", "incomplete"]
    assert listed["browser"].fillna("").tolist() == ["Firefox 128", "Firefox 128", ""]


def test_sessions_and_counts(database: Database, study: Study) -> None:
    raters = fill(database, study, [EVIL])
    listed = export.session_table(database, study)
    assert list(listed.columns) == list(export.SESSIONS)
    assert listed["session"].tolist() == [rater.started.session for rater in raters]
    assert listed["algorithm"].tolist() == [algorithm_of(rater) for rater in raters]
    assert listed["place"].tolist() == [1, 2, 3, 4, 5, 6]
    one = listed.iloc[0]
    assert one[["state", "browser", "viewport", "hertz", "source", "voids"]].tolist() == [
        "completed",
        "Firefox 128",
        "1280x720",
        59.94,
        "open",
        0,
    ]
    assert not one["verified"]
    assert one["consent_version"] == study.consent.version
    assert one["comment"] == EVIL
    assert one["created"] < one["finished"]
    assert listed["excluded"].isna().all()
    with database.reading() as connection:
        tallied = counts.tallies(connection, study.id, raters[0].clock)
        assert export.codes(connection, study.id) == [f"CODE-rater-{number}" for number in range(6)]
    assert list(tallied) == ["L1", "cGAN"]
    assert tallied["L1"] == counts.Tally(slots=3, done=3, answers=12)
    assert counts.total(tallied) == counts.Tally(slots=6, done=6, answers=24)


def test_the_answers_of_a_rater_on_one_side_do_not_count(database: Database, study: Study, rater: Rater) -> None:
    rater.finish("left")
    assert export.session_table(database, study)["excluded"].tolist() == ["one side"]


@pytest.mark.long
def test_files_are_read_back_and_name_nobody(database: Database, studies: Studies, study: Study) -> None:
    folder = studies.study(study.name)
    prolific = "5f8d0e2b1c9d440000c0ffee"
    take_part(database, study, prolific, 1, EVIL)
    write(database, study, folder)
    pd.testing.assert_frame_equal(table.read(folder.answers), export.answer_table(database, study))
    with folder.sessions.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["comment"] == f"'{EVIL}"
    assert row["verified"] == "False"
    written = folder.answers.read_text("utf-8") + folder.sessions.read_text("utf-8")
    for secret in (prolific, "128.0", study.key):
        assert secret not in written
    take_part(database, study, "another", 1)
    write(database, study, folder)
    assert len(table.read(folder.answers)) == 12
    assert {path.name for path in folder.folder.iterdir()} == {"answers.csv", "sessions.csv", "study.json", "pictures"}


def test_links_made_and_used(database: Database, study: Study, rater: Rater) -> None:
    used = export.session_table(database, study)["rater"].iloc[0]
    with database.writing() as connection:
        rows = [{"study": study.id, "rater": name, "label": "x"} for name in (used, "f" * 32)]
        connection.execute(insert(links), rows)
    with database.reading() as connection:
        assert counts.links_of(connection, study.id) == counts.Links(made=2, used=1)
