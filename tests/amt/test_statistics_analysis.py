"""A small study from its table to its document and its text."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.special
import scipy.stats

from amt.errors import AmtError
from amt.protocol import Protocol
from amt.statistics import study_report, table
from amt.statistics.analysis import Analysis, analyse
from tests.amt.answers import Row, drawn, session

PROTOCOL = Protocol(scored=20)
DRAWS = 400


def _rows() -> list[Row]:
    rng = np.random.default_rng(0)
    rows = drawn("L1", 8, 20, 30, 0.1, rng) + drawn("L1+cGAN", 8, 20, 30, 0.4, rng) + drawn("real", 8, 20, 30, 0.5, rng)
    rows += session("left early", [1] * 5, "L1", state="abandoned")
    return rows


@pytest.fixture(scope="module")
def answers() -> pd.DataFrame:
    return table.build(_rows())


@pytest.fixture(scope="module")
def analysis(answers: pd.DataFrame) -> Analysis:
    return analyse(answers, PROTOCOL, 1, DRAWS)


def test_rates_stand_side_by_side_with_and_without_exclusions(answers: pd.DataFrame, analysis: Analysis) -> None:
    kept, everything = analysis.kept.algorithms[0], analysis.everything.algorithms[0]
    counted = answers[(answers["algorithm"] == "L1") & (answers["state"] == "completed")]
    own = counted.groupby("rater")["fooled"].mean()
    assert [algorithm.name for algorithm in analysis.kept.algorithms] == ["L1", "L1+cGAN", "real"]
    assert kept.two_stage.value == pytest.approx(own.mean())
    assert kept.claims.value == pytest.approx(own.mean())
    assert everything.two_stage.value == pytest.approx((own.sum() + 1) / 9)  # the one who left was always fooled
    assert (len(kept.raters), kept.trials, len(everything.raters), everything.trials) == (8, 160, 9, 165)
    assert (analysis.kept.sessions, analysis.everything.sessions) == (24, 25)
    assert [each.session for each in analysis.exclusions.excluded] == ["left early"]
    assert analysis.kept.algorithms[1] == analysis.everything.algorithms[1]


def test_every_number_is_that_of_its_own_function(answers: pd.DataFrame, analysis: Analysis) -> None:
    kept = analysis.kept.algorithms[0]
    assert kept.chance == "below"
    assert analysis.kept.algorithms[2].chance == "not distinguishable"
    dprime = np.sqrt(2) * scipy.special.ndtri(1 - np.array([kept.claims.value, kept.claims.high, kept.claims.low]))
    assert kept.sensitivity == pytest.approx(tuple(dprime))
    assert kept.response is not None
    assert kept.response.median == 500
    assert kept.exposures is not None
    assert (kept.exposures.measured, kept.exposures.within_a_frame, kept.exposures.off) == (320, 1, 0)
    assert kept.learning is not None
    assert kept.left.low < 0.5 < kept.left.high
    assert sum(item.trials for item in kept.items) == 160
    assert sum(rater.fooled for rater in kept.raters) == sum(item.fooled for item in kept.items)
    assert [(pair.first, pair.second) for pair in analysis.kept.pairs] == [
        ("L1", "L1+cGAN"),
        ("L1", "real"),
        ("L1+cGAN", "real"),
    ]
    assert analysis.kept.pairs[0].adjusted < 0.05


def test_claims_are_about_other_items_too() -> None:
    # All raters are fooled by the same 7 of 20 items: 35 % is below chance on these items, and may not be on others.
    rows = [row for number in range(10) for row in session(f"s{number}", [1] * 7 + [0] * 13)]
    rows += [row for number in range(10) for row in session(f"t{number}", [0] * 9 + [1] * 11, "b")]
    found = analyse(table.build(rows), PROTOCOL, 0, DRAWS).everything
    first = found.algorithms[0]
    assert first.two_stage.high < 0.5 < first.claims.high
    assert first.chance == "not distinguishable"
    assert found.algorithms[1].two_stage.low > first.two_stage.high  # on these items the two differ
    [difference] = found.pairs
    assert difference.difference.low < 0 < difference.difference.high
    assert difference.p > 0.05


@pytest.mark.long
def test_void_practice_and_attention_trials_never_count(answers: pd.DataFrame, analysis: Analysis) -> None:
    more: list[Row] = []
    for name in ("L10", "L11"):
        rows = session(name, [1] * 30, "L1", [f"new {number}" for number in range(30)])
        more += [row | {"phase": "practice"} for row in rows[:10]]
        more += [row | {"trial": 50 + number, "void": "blur"} for number, row in enumerate(rows[10:20])]
        more += [row | {"trial": 60 + number, "choice": None, "fooled": None} for number, row in enumerate(rows[10:20])]
        more += [row | {"phase": "attention", "fooled": 0, "choice": row["fake_side"]} for row in rows[20:29]]
        more += [row | {"phase": "attention"} for row in rows[29:]]
    found = analyse(table.build(_rows() + more), PROTOCOL, 1, DRAWS)
    alone = [replace(each, curve=each.curve._replace(practice=())) for each in found.kept.algorithms]
    assert alone == list(analysis.kept.algorithms)
    assert [(block.raters, block.trials) for block in found.kept.algorithms[0].curve.practice] == [(2, 10), (2, 10)]
    assert found.kept.pairs == analysis.kept.pairs
    assert (found.kept.attention.trials, found.kept.attention.passed) == (20, 18)
    assert "18 of 20 passed (90.0 %)" in study_report.text(found)
    assert "Attention" not in study_report.text(analysis)


@pytest.mark.long
def test_same_answers_in_any_order_give_the_same_numbers(answers: pd.DataFrame, analysis: Analysis) -> None:
    shuffled = analyse(answers.sample(frac=1, random_state=3), PROTOCOL, 1, DRAWS)
    assert study_report.document(shuffled) == study_report.document(analysis)
    assert study_report.document(analyse(answers, PROTOCOL, 2, DRAWS)) != study_report.document(analysis)


def test_the_document_is_json_at_full_precision(analysis: Analysis) -> None:
    document = json.loads(json.dumps(study_report.document(analysis), allow_nan=False))
    assert document["format"] == 3
    assert document["fingerprint"] == PROTOCOL.fingerprint
    assert document["protocol"] == PROTOCOL.model_dump(mode="json")
    assert (document["seed"], document["replicates"]) == (1, DRAWS)
    first = document["kept"]["algorithms"][0]
    assert first["claims"] == analysis.kept.algorithms[0].claims._asdict()
    assert first["curve"]["positions"][0].keys() == {"position", "trials", "fooled", "correct", "low", "high"}
    assert [block["trials"] for block in first["curve"]["blocks"]] == [40] * 4
    assert first["curve"]["practice"] == []
    assert first["items"][0].keys() == {"item", "fooled", "trials", "rate", "low", "high"}
    assert document["everything"]["pairs"][2]["second"] == "real"
    assert document["exclusions"]["excluded"][0]["reasons"][0]["rule"] == "incomplete"


def test_what_is_undefined_is_none() -> None:
    rows = session("s", [0], response_ms=None, frame_ms=None)
    found = analyse(table.build(rows), PROTOCOL, 0, 10)
    document = json.loads(json.dumps(study_report.document(found), allow_nan=False))
    [algorithm] = document["everything"]["algorithms"]
    assert [algorithm[name] for name in ("learning", "response", "exposures", "intraclass")] == [None] * 4
    assert document["kept"]["algorithms"] == []
    assert "No session counts" in study_report.text(found)


def test_one_rater_has_no_interval_and_no_verdict() -> None:
    rng = np.random.default_rng(0)
    rows = (
        session("s", [1, 0, 0, 0, 1] * 4, "alone") + drawn("b", 8, 20, 30, 0.1, rng) + drawn("c", 8, 20, 30, 0.4, rng)
    )
    found = analyse(table.build(rows), PROTOCOL, 0, DRAWS)
    alone, *others = found.kept.algorithms
    assert alone.two_stage.value == alone.claims.value == 0.4
    assert alone.learning is not None
    unknown = (alone.two_stage, alone.claims, alone.left, alone.learning)
    assert not any(estimate.known for estimate in unknown)
    assert (alone.chance, [each.chance for each in others]) == ("no interval", ["below", "not distinguishable"])
    *untested, known = found.kept.pairs
    assert np.isnan([(pair.p, pair.adjusted, pair.probability, pair.difference.low) for pair in untested]).all()
    assert known.adjusted == known.p < 0.05  # the one test there is
    document = json.loads(json.dumps(study_report.document(found), allow_nan=False))["kept"]
    for kind in ("two_stage", "claims"):
        assert document["algorithms"][0][kind] == {"value": 0.4, "error": None, "low": None, "high": None}
    lines = [line.split() for line in study_report.text(found).splitlines() if line.startswith("alone ")]
    assert lines[0] == ["alone", "1", "20", "40.0", "%", "-", "-", "-", "40.0", "%", "+-", "-"]
    assert (
        " ".join(lines[1])
        == f"alone d' {alone.sensitivity.value:.2f} (-) unknown with a single rater, item or cluster of items"
    )
    assert lines[2][:2] == ["alone", "b"]
    assert lines[2][3:] == ["-"] * 4
    assert lines[4][:4] == ["alone", "50.0", "%,", "-"]
    assert lines[4][5] == "-"
    assert (
        "- under claims: a single rater, item or cluster of items does not show how others vary."
        in study_report.text(found)
    )


def test_the_text_says_what_counts(analysis: Analysis) -> None:
    text = study_report.text(analysis)
    kept = analysis.kept.algorithms[0]
    rate, claims, staged = kept.two_stage.value, kept.claims, kept.two_stage
    cells = ["L1", "8", "160", f"{100 * rate:.1f}", "%", f"{100 * staged.error:.1f}"]
    cells += [f"{100 * claims.low:.1f}", "to", f"{100 * claims.high:.1f}", "%"]
    cells += [f"{100 * staged.low:.1f}", "to", f"{100 * staged.high:.1f}", "%"]
    [row] = [line for line in text.splitlines() if line.split()[:3] == ["L1", "8", "160"]]
    assert row.split()[: len(cells)] == cells
    assert f"protocol {PROTOCOL.fingerprint}, 400 bootstrap draws, seed 1" in text
    assert "25 sessions: 24 count, 1 excluded" in text
    assert "other trainings of the model: report this one." in " ".join(text.split())
    assert "not distinguishable from chance" in text
    trend = kept.curve.halves
    assert trend is not None
    shares = [f"{100 * trend.first:.1f}", "%", f"{100 * trend.second:.1f}", "%", f"{100 * trend.change:+.1f}"]
    [halves] = [line.split() for line in text.splitlines() if line.split()[:2] == ["L1", "8"] and "160" not in line]
    assert halves[2:7] == shares
    assert "3 pairs, p adjusted for all of them" in text
    assert "left early (L1): The session is abandoned, not completed." in text
    assert "incomplete: 1, few trials: 1" in text


@pytest.mark.parametrize("name", ["a", "x" * 17, "x" * 18, "very long/path/of " * 12, "y" * 300])
def test_the_text_is_never_wider_than_100_columns(name: str) -> None:
    rows = []
    for number in range(4):
        rows += session(f"{name}{number}", [1] * 20, f"{name}1", [f"{name} {item}" for item in range(20)])
        rows += session(f"{name}b{number}", [0, 0, 1, 1] * 5, f"{name}2")
    rows += session(name, [1], name, state="running", response_ms=123456.0)
    text = study_report.text(analyse(table.build(rows), PROTOCOL, 0, 20))
    assert max(map(len, text.splitlines())) <= 100
    assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_a_rate_that_never_varies_has_an_interval_for_claims_and_none_by_bootstrap() -> None:
    rows = [row for number in range(5) for row in session(f"s{number}", [0] * 20)]
    rows += [row for number in range(5) for row in session(f"t{number}", [0, 0, 1, 1] * 5, "b")]
    found = analyse(table.build(rows), PROTOCOL, 0, 50)
    square = scipy.stats.t.ppf(0.975, 4) ** 2  # Wilson's interval of 0 of 100, with Student's t
    assert f"0.0 % - 0.0 to {100 * square / (100 + square):.1f} % - " in " ".join(study_report.text(found).split())
    assert "- under two-stage: all raters gave the same answers" in study_report.text(found)
    assert found.kept.pairs[0].adjusted < 0.001


def test_one_algorithm_has_no_section_of_differences() -> None:
    rows = [row for number in range(3) for row in session(f"s{number}", [0, 0, 1, 1] * 5)]
    found = analyse(table.build(rows), PROTOCOL, 0, 50)
    assert found.kept.pairs == ()
    assert "Differences" not in study_report.text(found)
    assert found.kept is found.everything


def test_several_studies_or_none_are_refused(answers: pd.DataFrame) -> None:
    with pytest.raises(AmtError, match=r"answers of 2 studies \(other, toy\)"):
        analyse(table.build(_rows() + session("x", [0], study="other")), PROTOCOL)
    with pytest.raises(AmtError, match="found no answers"):
        analyse(table.build([]), PROTOCOL)
    with pytest.raises(AmtError, match="none of 2 trials is scored and answered"):
        analyse(table.build(session("x", [None, None])), PROTOCOL)
    with pytest.raises(AmtError, match="no column fooled"):
        analyse(answers.drop(columns="fooled"), PROTOCOL)
