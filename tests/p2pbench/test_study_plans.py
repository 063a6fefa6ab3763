"""What `amt create` and `amt plan` are told, without a study."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from amt.recruitment import Recruitment
from p2pbench.cli import cli
from p2pbench.errors import UserError
from p2pbench.study.new_study import consent, recruitment


def plan(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["amt", "plan", *arguments])


def test_a_consent_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "consent.txt"
    path.write_text("We ask\nyou.\n\n  You may stop.  \n", "utf-8")
    found = consent(path, "lab@example.org")
    assert found.paragraphs == ("We ask you.", "You may stop.")
    assert found.version != consent(None, "lab@example.org").version
    path.write_text(" \n\n ")
    with pytest.raises(UserError, match="found no text"):
        consent(path, "")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="no UTF-8"):
        consent(path, "")


def test_prolific_needs_its_code() -> None:
    assert recruitment("prolific", {"completed": "C1"}) == Recruitment(by="prolific", codes={"completed": "C1"})
    for by, given in (("prolific", {}), ("open", {"completed": "C1"}), ("prolific", {"done": "C1"})):
        with pytest.raises(UserError, match="prolific"):
            recruitment(by, given)  # type: ignore[arg-type] # as the command line passes it


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--practice", "1", "found 1, expected an even number such as 0 or 2, as half of the trials have the fake on"),
        ("--practice", "3", "found 3, expected an even number such as 2 or 4, as half of the trials have the fake on"),
        ("--trials", "1", "found 1, expected an even number such as 2, as half of the trials have the fake on the"),
        ("--trials", "0", "expected greater than 0, found 0"),
        ("--practice", "-1", "expected greater than or equal to 0, found -1"),
        ("--raters", "0", "expected greater than 0, found 0"),
        ("--attention", "-1", "expected greater than or equal to 0, found -1"),
        ("--size", "0", "expected greater than 0, found '0'"),
    ],
)
def test_a_number_that_cannot_be_is_named_by_its_option(tmp_path: Path, option: str, value: str, said: str) -> None:
    done = CliRunner().invoke(cli, ["amt", "create", str(tmp_path / "results"), "--name", "first", option, value])
    assert isinstance(done.exception, UserError)
    assert str(done.exception).startswith(f"{option}: {said}")
    assert str(done.exception).endswith("; change it")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--difference", "6.15", "--items-icc", "0"],
            "50 raters per algorithm with 40 trials each on 100 items detect a",
        ),
        (["--raters", "50"], "a difference of 7.1 percentage points near 20 %"),
        (["--raters", "50", "--icc", "0", "--items-icc", "0"], "a difference of 3.6 percentage points near 20 %"),
        (
            ["--difference", "6", "--trials", "150"],
            "150 trials each on 150 items detect a difference of 6.0 percentage points",
        ),
        (["--raters", "50", "--icc", "0.1", "--items-icc", "0"], "a difference of 7.9 percentage points"),
    ],
)
def test_plans_are_those_of_the_specification(arguments: list[str], said: str) -> None:
    assert said in plan(*arguments).output


def test_a_plan_that_needs_more_items_says_so_in_one_line() -> None:
    done = plan("--difference", "3", "--items", "40")
    assert isinstance(done.exception, UserError)
    assert "3 percentage points on 40 items; expected at least 5.7 points, or more items" in str(done.exception)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--difference", "90"],
            "two rates near 20 % do not differ by 90 percentage points, as one would be below 0 %",
        ),
        (["--difference", "6", "--rate", "1"], "near 1 % do not differ by 6 percentage points"),
        (
            ["--raters", "2", "--rate", "50", "--icc", "0.9"],
            "2 raters per algorithm detect no difference that two rates",
        ),
        (["--difference", "6", "--rate", "0"], "--rate 0: expected percent, above 0 and below 100; change that option"),
        (["--raters", "50", "--rate", "120"], "--rate 120: expected percent"),
        (["--difference", "0"], "--difference 0: expected percent, above 0 and below 100"),
        (["--difference", "200"], "--difference 200: expected percent, above 0 and below 100"),
        (["--difference", "6", "--items", "5"], "trials is 40 and items 5; expected at least 40 items"),
    ],
)
def test_plans_that_cannot_be_are_refused_in_one_line(arguments: list[str], said: str) -> None:
    done = plan(*arguments)
    assert isinstance(done.exception, UserError)
    assert said in str(done.exception)
    assert "\n" not in str(done.exception)


@pytest.mark.parametrize(
    "arguments", [[], ["--difference", "5", "--raters", "5"], ["--raters", "5", "--algorithms", "1"]]
)
def test_plans_need_one_question(arguments: list[str]) -> None:
    assert plan(*arguments).exit_code == 2
