"""What is missing, damaged or foreign in a results folder is told in words, and the rest is shown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from reports import html, paper, run_states
from reports.run_states import Unscored
from reports.store import layout, ledger, made
from reports.store.errors import ReportError
from reports.store.layout import Grid, Run, grids
from reports.tidy import read_scores as results_table
from tests.reports import analysed
from tests.reports.parsed import Page, rows
from tests.reports.scored import (
    STREETS,
    label_scores,
    put_grid,
    score,
)


def complain(run: Run, scorer: str, why: bytes) -> None:
    run.scores.mkdir(parents=True, exist_ok=True)
    run.missing(scorer).write_bytes(why)


def test_what_could_not_be_scored_is_told_by_reason(tmp_path: Path) -> None:
    grid = Grid(tmp_path / "losses")
    runs = [grid.run(cell, seed) for cell in ("L1", "GAN") for seed in (0, 1)]
    for run in runs:
        complain(run, "lpips", b"no weights;\n  get them\n")
    complain(runs[2], "fid", b"too \xff few")
    for run in runs[1:3]:  # scored since, and the word not yet taken back
        run.score("lpips").write_text("{}")
    complain(runs[0], "kid", b"no weights; get them")
    runs[3].missing("lpips").unlink()
    assert run_states.unscored(runs) == [
        Unscored("kid", ("L1",), "no weights; get them"),
        Unscored("lpips", ("L1",), "no weights; get them"),
        Unscored("fid", ("GAN",), "too \N{REPLACEMENT CHARACTER} few"),
    ]
    assert run_states.unscored([grid.run("none", 0)]) == []


@pytest.fixture
def losses(tmp_path: Path) -> Grid:
    """A grid of two cells, with pictures and image scores."""
    grid = Grid(tmp_path / "results/losses")
    for run in [*put_grid(grid, STREETS, ("L1", "GAN"), (0,)), grid.real]:
        score(run, "image", {"scale": "0..1"}, 0, "l1")
    return grid


def page_of(grid: Grid) -> str:
    results = grid.folder.parent
    return Page(html.write_report(results, results / "report")).text


def test_a_grid_with_nothing_scored_names_the_command(losses: Grid, tmp_path: Path) -> None:
    for folder in losses.folder.rglob("scores"):
        shutil.rmtree(folder)
    results = losses.folder.parent
    for single_file in (False, True):
        with pytest.raises(ReportError, match=f"^{results}: found no scores; run `p2pbench image-score {results}`$"):
            html.write_report(results, tmp_path / "out", single_file=single_file)
    assert not (tmp_path / "out").exists()


def test_scores_of_items_that_are_gone_are_named(losses: Grid) -> None:
    for folder in (losses.real.images, losses.run("L1", 0).images, losses.run("GAN", 0).images):
        (folder / "street 3.png").unlink()
        (folder / "street 5.png").unlink()
    text = page_of(losses)
    assert "Scored, but without pictures: 2 items, such as street 3." in text
    assert "All 4 items." in text


def test_a_study_of_another_folder_is_named_and_not_shown(losses: Grid) -> None:
    results = losses.folder.parent
    analysed.write(results, analysed.document([analysed.algorithm("L1", 0.2, {"elsewhere": (3, 1)})]))
    text = page_of(losses)
    assert "The raters of study first are not shown: it judged L1 from losses/L1/seed-0, which has no scores" in text
    assert not list((results / "report/tables").glob("*amt*"))


@pytest.mark.parametrize("name", ["seed-99999999999999999999999", "seed-00", "seed-٣", "seed--1", "seed-1e3", "seed-"])
def test_a_folder_that_is_no_seed_is_no_run(losses: Grid, name: str) -> None:
    shutil.copytree(losses.run("L1", 0).folder, losses.folder / "L1" / name)
    assert [run.folder.name for run in losses.runs()] == ["seed-0", "seed-0"]
    assert "On disk but not in grid.json" not in page_of(losses)


def test_the_largest_seed_is_a_run(losses: Grid) -> None:
    seed = 10**18 - 1
    for scores in ledger.read(losses.run("L1", 0)):
        ledger.write(losses.run("L1", seed), scores)
    for run in (losses.run("L1", seed), losses.real):
        label_scores(run)
    document = json.loads(losses.json.read_text())
    losses.json.write_text(json.dumps(document | {"seeds": [0, seed]}))
    page_of(losses)
    tables = losses.folder.parent / "report/tables"
    assert rows(tables / "losses--image.csv")[0]["seeds"] == f"0 {seed}"
    assert {row["seed"] for row in rows(tables / "losses--fcn-strict.classes.csv")} == {str(seed), ""}
    assert str(seed) in {row["seed"] for row in rows(tables / "scores.csv")}


@pytest.mark.parametrize("seed", [10**18, 10**30, -1])
def test_a_seed_that_no_folder_can_have_is_named(losses: Grid, seed: int) -> None:
    document = json.loads(losses.json.read_text())
    losses.json.write_text(json.dumps(document | {"seeds": [0, seed]}))
    with pytest.raises(
        ReportError, match=f"grid\\.json: found seed {seed}, expected 0 to 9{{18}}; .*train the grid again"
    ):
        page_of(losses)


def test_damage_is_named_and_the_rest_is_shown(losses: Grid) -> None:
    run = losses.run("L1", 0)
    run.classes("fcn-strict").write_text("no table")
    run.lab_histograms.write_text("no table")
    run.segmentations.mkdir()
    (run.segmentations / "street 0.png").write_bytes(b"no picture")
    text = page_of(losses)
    for path in (run.classes("fcn-strict"), run.lab_histograms, run.segmentations / "street 0.png"):
        assert f"{path}: found no" in text
    assert "Image scores" in text
    tables = losses.folder.parent / "report/tables"
    assert {path.name for path in tables.iterdir()} == {
        *("losses--image.csv", "losses--image.tex", "losses.toml", "paper.csv", "scores.csv")
    }


def test_a_folder_with_a_study_and_no_grid_leads_to_its_analysis(tmp_path: Path) -> None:
    analysed.write(tmp_path, analysed.document([analysed.algorithm("L1", 0.2, {"street 0": (3, 1)})]))
    with pytest.raises(ReportError, match=r"found studies and no grid .*their numbers are in study/NAME/analysis\.txt"):
        html.write_report(tmp_path, tmp_path / "report")


def test_no_grid_is_found_in_an_empty_folder(tmp_path: Path) -> None:
    assert grids(tmp_path) == []
    assert len(paper.TABLES) == 8


@pytest.mark.long
def test_what_was_changed_since_it_was_written_is_named_and_not_shown(losses: Grid) -> None:
    run, results = losses.run("L1", 0), losses.folder.parent
    header = "class,accuracy,accuracy_low,accuracy_high,iou,iou_low,iou_high,pixels,images"
    labels = "".join(f"{channel},0,100,{count},{count}\n" for channel, count in (("L", 5), ("a", 6), ("b", 7)))
    analysis = analysed.write(results, analysed.document([analysed.algorithm("L1", 0.2, {"street 0": (3, 1)})]))
    whole = {
        run.classes("fcn-strict"): f"{header}\nroad,0.5,0.4,0.6,0.3,0.2,0.4,9,2\n",
        run.confusion_table("fcn-strict"): "truth,road,beyond the classes\nroad,5,4\n",
        run.lab_histograms: f"channel,low,high,output,target\n{labels}",
        analysis: analysis.read_text(),
    }
    analysis.unlink()
    for path, text in whole.items():
        made.put(path, text.encode(), b"")
    assert "was changed" not in page_of(losses)
    shown = {path.name for path in (results / "report/tables").iterdir()}
    for path, text in whole.items():
        path.write_text(text.replace("9", "8").replace("5", "6"))
        assert f"{path}: was changed since it was written; move it away" in page_of(losses)
        assert {path.name for path in (results / "report/tables").iterdir()} < shown or path == analysis
        path.write_text(text)


@pytest.mark.parametrize("junk", ["", "junk", '{"file": "ima'])
def test_scores_whose_record_is_damaged_are_not_believed(losses: Grid, junk: str) -> None:
    record = losses.run("L1", 0).scores / layout.RECORD
    record.write_text(junk)
    assert f"{record}: found " in page_of(losses)
    with pytest.warns(UserWarning, match=r"made\.jsonl: found (something else|no complete line)"):
        found = results_table(losses.folder.parent)
    assert "L1" not in set(found["cell"])
    record.unlink()  # as older versions left it
    assert "L1" in set(results_table(losses.folder.parent)["cell"])


def test_a_study_whose_scores_are_damaged_is_none_of_another_folder(losses: Grid) -> None:
    results, run = losses.folder.parent, losses.run("L1", 0)
    analysed.write(results, analysed.document([analysed.algorithm("L1", 0.2, {"street 0": (3, 1)})]))
    run.score("amt-first").write_text('{"scorer": ')
    text = page_of(losses)
    assert "Study first is not shown: its scores of losses/L1/seed-0 cannot be read." in text
    assert "are not shown" not in text
