"""A run that is trained anew: what its earlier training left is gone, what the user put there is not touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

import reports
from p2pbench.cli import cli
from p2pbench.config import GridConfig
from p2pbench.errors import UserError
from p2pbench.study.new_study import from_results
from reports.store import ledger
from reports.store.errors import ReportError
from reports.store.layout import Grid, Run
from tests.p2pbench.grids import run_grid
from tests.p2pbench.test_ablation import Notes
from tests.p2pbench.tiny import TINY, picture

pytestmark = pytest.mark.long

Train = Callable[..., Run]


@pytest.fixture
def train(folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    monkeypatch.setenv("P2PBENCH_CACHE", str(tmp_path / "cache"))

    def start(**changed: object) -> Run:
        grid = GridConfig(title="One", cells={"L1": {"objective": "L1"}})
        settings = {**TINY, "root": str(folders), "device": "cpu", "epochs": 2, "log_every": 1, **changed}
        return run_grid(tmp_path / "results", "one", grid, "own.toml", settings, [0], Notes()).run("L1", 0)

    return start


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def forget(run: Run) -> None:
    """Remove the weights alone, as a user does who wants a new training."""
    run.checkpoint.unlink()
    run.generator.unlink()


@pytest.mark.parametrize("without", [(), ("config.json",)])
def test_new_weights_get_pictures_scores_and_losses_of_their_own(train: Train, without: tuple[str, ...]) -> None:
    run = train(learning_rate=0.01)
    before = [contents(folder) for folder in (run.images, run.scores)]
    losses = run.losses.read_bytes()
    forget(run)
    for name in without:
        (run.folder / name).unlink()
    for path in (run.scores / "fcn-strict-classes.csv", run.published):  # of no scorer that is there: they stay
        path.write_text("mine\n")
    train(learning_rate=0.0001)
    after = [contents(folder) for folder in (run.images, run.scores)]
    assert after[0].keys() == before[0].keys()
    assert all(after[0][name] != before[0][name] for name in after[0])
    assert after[1]["image.json"] != before[1]["image.json"]
    assert after[1]["fcn-strict-classes.csv"] == after[1][run.published.name] == b"mine\n"
    assert run.losses.read_bytes() != losses


def test_a_training_anew_that_fails_at_once_has_no_old_scores(train: Train) -> None:
    run = train()
    forget(run)
    with pytest.raises(UserError, match="G_L1 is nan"):
        train(learning_rate=1e30)
    assert run.scorers() == []
    assert run.pictures() == {}
    assert not list(run.samples.iterdir())


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("images/t0.png", "was replaced since this run made it"),
        ("images/mine.png", "was not made by this run"),
        ("scores/mine.json", "was not written by this program"),
        ("scores/image.json", "was not written by this program"),
        ("segmentations/t0.png", "was not written by this program"),
        ("losses.csv", "was not written by this program"),
    ],
)
def test_a_users_files_are_neither_removed_nor_reported(train: Train, name: str, complaint: str) -> None:
    run = train()
    name = name.replace("t0", next(iter(run.pictures())))
    forget(run)
    path = run.folder / name
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(picture(9)).save(path)
    else:
        path.write_text(json.dumps({"l1": 0.5}))
    kept = {each: each.read_bytes() for each in run.folder.rglob("*") if each.is_file()}
    with pytest.raises(UserError, match=complaint) as error:
        train()
    assert str(path) in str(error.value)
    assert {each: each.read_bytes() for each in run.folder.rglob("*") if each.is_file()} == kept


def test_pictures_that_lie_there_first_are_not_the_runs(train: Train, tmp_path: Path) -> None:
    images = tmp_path / "results" / "one" / "L1" / "seed-0" / "images"
    images.mkdir(parents=True)
    Image.fromarray(picture(9)).save(images / "t0.png")
    with pytest.raises(UserError, match=r"t0\.png: was not made by this run"):
        train()


def test_a_replaced_picture_of_a_finished_run_is_refused_and_a_missing_one_made_again(train: Train) -> None:
    run = train()
    whole = contents(run.images)
    first = next(iter(run.pictures().values()))
    first.unlink()
    train()
    assert contents(run.images) == whole
    Image.fromarray(picture(9, 32)).save(first)
    with pytest.raises(UserError, match="was replaced since this run made it"):
        train()
    first.unlink()
    train()
    assert contents(run.images) == whole


def test_pictures_of_an_older_version_are_taken_as_they_are(train: Train) -> None:
    run = train()
    whole = contents(run.images)
    (run.folder / "made.jsonl").unlink()
    next(iter(run.pictures().values())).unlink()
    train()
    assert contents(run.images) == whole
    assert len((run.folder / "made.jsonl").read_text().splitlines()) == len(whole)


def test_a_torn_record_names_what_it_holds(train: Train) -> None:
    run = train()
    whole, record = contents(run.images), run.folder / "made.jsonl"
    record.write_bytes(record.read_bytes()[:-20])
    last = json.loads((run.folder / "made.jsonl").read_text().splitlines()[-2])["file"]
    torn = [path for path in run.pictures().values() if path.name > Path(last).name]
    for path in torn:  # as when a call is killed between the line and the picture
        path.unlink()
    train()
    assert contents(run.images) == whole
    assert all("file" in json.loads(line) for line in record.read_text().splitlines())


def test_what_a_score_looks_like(train: Train, tmp_path: Path) -> None:
    assert ledger.is_score(train().score("image"))
    for text in ("", "[]", '{"l1": 1}', "scorer"):
        (tmp_path / "a.json").write_text(text)
        assert not ledger.is_score(tmp_path / "a.json")
    assert not ledger.is_score(tmp_path / "none.json")


def test_pictures_that_were_replaced_are_named_wherever_their_scores_stand(train: Train) -> None:
    run = train()
    results, real = run.folder.parents[2], run.folder.parents[1] / "real"
    assert "not as made" not in CliRunner().invoke(cli, ["image-score", str(results)]).stderr
    (run.images / "p00.png").write_bytes((run.images / "p01.png").read_bytes())
    (real / "images" / "p01.png").write_bytes((real / "images" / "p00.png").read_bytes())
    said = CliRunner().invoke(cli, ["report", str(results)]).stderr
    assert "one/L1 seed 0: 1 picture in images/ not as made, such as p00.png\n" in said
    assert "one/real: 1 picture in images/ not as made, such as p01.png\n" in said
    notes = reports.read(results).groupby("cell")["note"].unique()
    assert list(notes["L1"]) == ["1 picture in images/ not as made, such as p00.png"]
    assert "not as made" in (results / "report" / "index.html").read_text()


@pytest.mark.parametrize("whose", ["run", "real"])
def test_pictures_that_were_replaced_are_not_scored(train: Train, whose: str) -> None:
    run = train()
    results, grid = run.folder.parents[2], run.folder.parents[1]
    right = run.score("image").read_bytes()
    images = {"run": run, "real": Grid(grid).real}[whose].images
    (images / "p00.png").write_bytes((images / "p01.png").read_bytes())
    for native in [[], ["--native"]] if whose == "run" else [[]]:
        error = str(CliRunner().invoke(cli, ["image-score", str(results), *native]).exception)
        assert error.startswith(f"{images / 'p00.png'}: was not made by this run, or was replaced since; move it away")
    with pytest.raises(ReportError, match=r"p00\.png: was not made by this run"):
        from_results(results, None, None, allow_partial=False)
    (images / "p00.png").unlink()
    train()
    assert CliRunner().invoke(cli, ["image-score", str(results)]).exit_code == 0
    assert run.score("image").read_bytes() == right


def test_scores_want_every_target(train: Train) -> None:
    run = train()
    results, real = run.folder.parents[2], run.folder.parents[1] / "real"
    kept = (real / "images" / "p01.png").read_bytes()
    (real / "images" / "p01.png").unlink()
    said = str(CliRunner().invoke(cli, ["image-score", str(results)]).exception)
    assert said.startswith(f"{real / 'images'}: found no picture of p01, which runs of one were tested on; give the")
    train()
    assert (real / "images" / "p01.png").read_bytes() == kept
    assert CliRunner().invoke(cli, ["image-score", str(results)]).exit_code == 0
