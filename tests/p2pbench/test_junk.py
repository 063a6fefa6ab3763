"""Files of scores that hold something else: the report says what mends them, and following it does."""

from __future__ import annotations

import html
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from p2pbench.cli import cli
from reports.store.layout import Grid, Run
from tests.p2pbench.drawn_scorer import train

pytestmark = pytest.mark.long

JUNK = [b"junk", b"[]", b'{"l1": 0.5}', b""]
SCORED_BY = {
    "scores/image.json": "image-score",
    "scores/image-lab.csv": "image-score",
    "scores/labels.json": "label-score",
    "scores/labels-classes.csv": "label-score",
    "scores/labels-confusion.csv": "label-score",
    "segmentations/ITEM.png": "label-score",
}


def said(*arguments: object) -> str:
    """The one line that a command ends with; nothing where it ends well."""
    error = CliRunner().invoke(cli, [*map(str, arguments)]).exception
    return "" if error is None else str(error)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("junk") / "results"
    train(results, "tiny", ("L1",), direction="photo-to-labels")
    assert [said(command, results) for command in ("label-score", "image-score")] == ["", ""]
    return results


@pytest.fixture
def run(scored: Path, tmp_path: Path) -> Run:
    return Grid(shutil.copytree(scored, tmp_path / "results") / "tiny").run("L1", 0)


@pytest.mark.parametrize("junk", JUNK[:1])
@pytest.mark.parametrize(("name", "command"), SCORED_BY.items())
def test_the_report_names_what_mends_a_file_of_something_else(run: Run, name: str, command: str, junk: bytes) -> None:
    results = run.folder.parents[2]
    path = run.folder / name.replace("ITEM", next(iter(run.pictures())))
    path.write_bytes(junk)
    assert said("report", results, "--items", 1) == ""
    page = html.unescape((results / "report" / "index.html").read_text())
    (line,) = {line for line in page.replace("<", "\n").splitlines() if f"{path}: " in line}
    assert "; move it away and " in line
    assert "move it away" in said(command, results)  # which writes over nothing of another's
    assert path.read_bytes() == junk
    path.unlink()
    assert said(command, results) == ""
    assert said("report", results, "--items", 1) == ""
    assert str(path) not in (results / "report" / "index.html").read_text()


@pytest.mark.parametrize("junk", JUNK)
def test_where_no_score_can_be_read_the_first_message_says_what_to_do(run: Run, junk: bytes) -> None:
    results = run.folder.parents[2]
    shutil.rmtree(run.scores)
    shutil.rmtree(Grid(results / "tiny").real.scores)
    run.scores.mkdir()
    run.score("image").write_bytes(junk)
    path = run.score("image")
    found = "something else" if junk else "an empty file"
    assert said("report", results) == (
        f"{results}: found no scores; 1 file cannot be read, such as {path}: found {found}, expected scores; "
        f"move it away and score the run again; mend that, then run `p2pbench image-score {results}`"
    )
    path.unlink()
    assert said("image-score", results) == ""
    assert said("report", results) == ""
