"""What `amt create` and `amt plan` are told, without a study."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from amt.recruitment import Recruitment
from p2pbench.cli import cli
from p2pbench.errors import UserError
from p2pbench.study.choices import consent, recruitment


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
    ("arguments", "said"),
    [
        (["--difference", "6.1"], "50 raters an algorithm x 40 trials: a difference of 6.1 percentage points"),
        (["--raters", "50", "--icc", "0"], "a difference of 3.5 percentage points near 20 %"),
        (["--raters", "50", "--icc", "0.1"], "a difference of 7.8 percentage points"),
    ],
)
def test_plans_are_those_of_the_specification(arguments: list[str], said: str) -> None:
    assert said in plan(*arguments).output


@pytest.mark.parametrize(
    "arguments", [[], ["--difference", "5", "--raters", "5"], ["--raters", "5", "--algorithms", "1"]]
)
def test_plans_need_one_question(arguments: list[str]) -> None:
    assert plan(*arguments).exit_code == 2
