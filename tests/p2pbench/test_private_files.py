"""Files with secrets, which their owner alone may read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from p2pbench.cli import cli
from tests.amt.study import make_pictures

SMALL = ("--raters", "2", "--practice", "2", "--trials", "4", "--size", "16x16")


@pytest.fixture(autouse=True)
def _usual_mask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def run(*arguments: str) -> None:
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.exception


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_databases_links_and_codes_are_their_owners(tmp_path: Path) -> None:
    make_pictures(tmp_path / "pictures")
    results = tmp_path / "results"
    fakes = sorted(path for path in (tmp_path / "pictures").iterdir() if path.name != "real")
    given = ["--real", str(tmp_path / "pictures" / "real"), *SMALL]
    for fake in fakes:
        given += ["--fake", f"{fake.name}={fake}"]
    run("amt", "create", str(results), "--name", "invited", "--recruit", "link", *given)
    codes = ("--prolific-code", "completed=C0DE")
    run("amt", "create", str(results), "--name", "paid", "--recruit", "prolific", *codes, *given)
    links = tmp_path / "links.csv"
    made = ("--count", "2", "--public-url", "https://lab.example.org", "--out", str(links))
    run("amt", "links", str(results), "--name", "invited", *made)
    study = results / "study"
    kept = [path for path in study.glob("study.sqlite*") if path.stat().st_size]
    assert study / "study.sqlite" in kept
    for path in (*kept, links, study / "paid" / "study.json"):
        assert mode(path) == 0o600, path
    assert mode(study / "invited" / "study.json") == 0o644  # holds no secret
