"""An own scorer, and a training that is not right, are named wherever numbers stand that they made."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import reports
from fcn.labels import CITYSCAPES
from p2pbench.cli import cli
from reports import html
from reports.store.arithmetic import flaw
from reports.store.layout import Grid
from tests.p2pbench.drawn_scorer import make_scorer, score, train

pytestmark = pytest.mark.long

NAME = "own scorer: FCN-8s trained on 16 items of streets"
SOURCE = "p2pbench fcn-train: streets, 16 items (made up)"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of two cells, scored by an own scorer; one of them was trained by an older version."""
    folder = tmp_path_factory.mktemp("named")
    train(folder / "results", "tiny", threads=1)
    run = old_run(folder / "results")
    record = json.loads(run.config.read_text())
    del record["arithmetic"]
    run.config.write_text(json.dumps(record))
    weights = make_scorer(folder / "own.safetensors", CITYSCAPES, 20, source=SOURCE)
    printed = score(folder / "results", "--weights", weights)
    assert printed.stdout.splitlines()[0] == f"official and strict rules, {NAME}"
    return folder / "results"


def old_run(results: Path) -> Any:  # noqa: ANN401
    return Grid(results / "tiny").run("L1", 0)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_an_own_scorer_is_named_in_the_report(results: Path, tmp_path: Path) -> None:
    index = html.write_report(results, tmp_path / "report")
    page = index.read_text()
    assert f'<h3 id="grid0-fcn-official">official rules, {NAME}</h3>' in page
    assert f"IoU of each class <small>strict rules, {NAME}</small>" in page
    assert "FCN-score, official" not in page
    assert "FCN-score, strict" not in page
    assert "and another scorer than here" in page
    assert f"official rules, {NAME}" in (index.parent / "assets" / "grid0.js").read_text()
    tables = index.parent / "tables"
    assert f"official rules, {NAME}." in (tables / "tiny--fcn-official.tex").read_text()
    for file, rules in (
        ("tiny--fcn-official.csv", "official"),
        ("tiny--fcn-strict.csv", "strict"),
        ("tiny--fcn-strict.classes.csv", "strict"),
        ("tiny--fcn-strict.confusion.csv", "strict"),
    ):
        assert {row["scorer"] for row in rows(tables / file)} == {f"{rules} rules, {NAME}"}, file
    titles = {(row["scorer"], row["scorer_title"]) for row in rows(tables / "scores.csv")}
    assert {pair for pair in titles if pair[0].startswith("fcn")} == {
        ("fcn-official", f"official rules, {NAME}"),
        ("fcn-strict", f"strict rules, {NAME}"),
    }


def test_both_are_named_in_tables_for_programs(results: Path, tmp_path: Path) -> None:
    wrong = flaw(old_run(results))
    assert wrong is not None
    html.write_report(results, tmp_path / "report")
    read = reports.read(results).astype(object).where(lambda table: table.notna(), "").to_dict("records")
    for table in (read, rows(tmp_path / "report/tables/scores.csv")):
        assert {(row["cell"], row["note"]) for row in table} == {("L1", wrong), ("cGAN", ""), ("real", "")}
        strict = {row["scorer_title"] for row in table if row["scorer"] == "fcn-strict"}
        assert strict == {f"strict rules, {NAME}"}


def test_both_are_named_in_json(results: Path) -> None:
    wrong = flaw(old_run(results))
    scored = score(results, "--weights", results.parent / "own.safetensors", "--json")
    lines = [json.loads(line) for line in scored.stdout.splitlines()]
    assert {(line["cell"], line["note"]) for line in lines} == {("L1", wrong), ("cGAN", None), ("real", None)}
    assert {line["scorer_title"] for line in lines} == {f"official rules, {NAME}", f"strict rules, {NAME}"}
    done = CliRunner().invoke(cli, ["image-score", str(results), "--json"])
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {(line["cell"], line["note"]) for line in lines} == {("L1", wrong), ("cGAN", None)}
    assert "Image scores" in {line["scorer_title"] for line in lines}


def test_generate_says_what_is_wrong_with_its_generator(results: Path, tmp_path: Path) -> None:
    inputs = Grid(results / "tiny").input.images
    for cell, said in (("L1", flaw(old_run(results))), ("cGAN", None)):
        generator = Grid(results / "tiny").run(cell, 0).generator
        for given in (generator, generator.parent):
            arguments = ["generate", str(given), str(inputs), "--out", str(tmp_path / cell), "--overwrite"]
            done = CliRunner().invoke(cli, arguments)
            assert done.exit_code == 0, done.output
            assert (f"{generator}: {said}" in done.output) == (said is not None)
            assert ("wrong gradients" in done.output) == (said is not None)
