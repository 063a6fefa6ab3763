"""The page: what it says, what it escapes, what it does in a browser, and what stays when it fails."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reports import html
from reports.page import dataset_line
from reports.reproduce import plain_fields
from reports.store import ledger
from reports.store.errors import ReportError
from reports.store.layout import Grid
from reports.store.scores import Scores, fingerprint
from tests.reports.parsed import Page, rows, write

INJECTION = '<img src=x onerror="alert(1)">'


def test_the_page_shows_each_part_of_a_grid(results: Path) -> None:
    page = write(results)
    for part in (
        "What the loss does",
        "a paper, table 1",
        "streets · val · 4 test items",
        "Image scores",
        "0.2150",
        "0.4150",
        "All 4 items.",
        "Generator: L1 to the target",
        "Metrics and protocol",
        "ssim_window",
        "Settings and versions",
        "optimizer.name",
        "abc123",
    ):
        assert part in page.text, part
    assert fingerprint({"scale": "0..1", "ssim_window": 11}, "image") in page.text
    assert "Incomplete" not in page.text
    assert "Cannot be read" not in page.text


def test_a_dataset_is_told_in_one_line() -> None:
    dataset = {"name": "camvid", "direction": "labels-to-photo", "test_split": None, "train": {"n": 40}, "note": "old"}
    assert dataset_line(dataset) == "camvid · labels-to-photo · 40 train items · old"
    assert dataset_line({}) == ""


def test_settings_are_told_by_dotted_name() -> None:
    fields = {"a": {"b": [1, 0.5], "c": {}}, "d": None, "e": "text", "f": True}
    assert plain_fields(fields) == {"a.b": "[1, 0.5]", "a.c": "{}", "d": "not set", "e": "text", "f": "true"}


def test_the_markup_is_that_of_tables_with_heads_and_captions(results: Path) -> None:
    page = write(results)
    headings = [int(tag[1]) for tag, _ in page.tags if tag in {"h1", "h2", "h3", "h4"}]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(headings, headings[1:], strict=False))
    assert len(page.named("table")) == len(page.named("caption")) == 3  # the scores, their ranks, the classes
    assert all(head.get("scope") in {"row", "col", "rowgroup"} for head in page.named("th"))
    images = page.named("img")
    assert len(images) == 16 + 1
    assert all(image["alt"] and image["loading"] == "lazy" for image in images)
    assert [script.get("src") for script in page.named("script")] == ["assets/grid0.js", None]
    assert [link["href"] for link in page.named("link")] == ["data:,"]
    assert page.named("html") == [{"lang": "en"}]


def test_every_picture_and_table_that_the_page_names_is_there(results: Path) -> None:
    page = write(results)
    names = [image["src"] for image in page.named("img")]
    links = {link["href"] or "" for link in page.named("a")}
    files = {link for link in links if not link.startswith("#")}
    assert len(names) == 17
    assert files - {"tables/scores.csv", "tables/paper.csv"} == {
        "tables/losses--image.csv",
        "tables/losses--image.tex",
        "tables/losses.toml",
    }
    for name in {*names, *files}:
        assert name is not None
        assert (results / "report" / name).is_file(), name


@pytest.mark.long
def test_every_place_in_the_page_that_a_link_names_is_there(results: Path) -> None:
    page = write(results)
    places = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    named = {(link["href"] or "")[1:] for link in page.named("a") if (link["href"] or "").startswith("#")}
    assert len({name for name in named if "/" not in name}) >= 4
    assert {name for name in named if "/" not in name} <= places  # those with a slash are for the script
    assert {name for name in named if "/" in name} == {
        f"grid0/{item}/{place}" for item in range(4) for place in range(4)
    }


@pytest.mark.long
def test_the_best_is_bold_and_a_tie_says_so(build: Callable[..., Path]) -> None:
    results = build(cells=("L1", "L1+cGAN"), seeds=(0, 1))
    text = (html.write_report(results, results / "report")).read_text("utf-8")
    assert "<strong>0.2150</strong>" in text
    assert ">tie</abbr>" not in text
    assert "One training per cell:" not in text
    grid = Grid(results / "losses")
    for seed in (0, 1):
        for scores in ledger.read(grid.run("L1", seed)):
            ledger.write(grid.run("L1+cGAN", seed), scores)
    text = (html.write_report(results, results / "report")).read_text("utf-8")
    assert "<strong>0.2150</strong>" not in text
    assert text.count(">tie</abbr>") == 2


def test_one_training_a_cell_is_said_on_top_with_what_would_decide(build: Callable[..., Path]) -> None:
    results = build(cells=("L1", "L1+cGAN"))
    for run in Grid(results / "losses").runs():
        run.losses.write_text("step,epoch,images_per_second,G_L1\n100,1,2.0,0.5\n300,2,1.0,0.5\n")
    page = write(results)
    assert "One training per cell: intervals are over test items only, and other trainings" in page.text
    assert "train 4 more runs, about 17 min at the speed of the first" in page.text  # four times 50 s + 200 s
    assert re.search(r"p2pbench train-ablation losses\.toml .*--out results --seeds 0,1,2", page.text)
    assert "ahead on these items" in page.text
    text = (results / "report/index.html").read_text("utf-8")
    assert "<strong>0.2150</strong>" not in text
    assert "over items only, of one training per cell" in page.text


def test_a_choice_of_items_says_of_how_many(build: Callable[..., Path]) -> None:
    assert "12 of 20 items, evenly spaced." in write(build(items=[f"{number:02}" for number in range(20)])).text


def test_another_protocol_is_named(results: Path) -> None:
    run = Grid(results / "losses").run("L1+cGAN", 0)
    (scores,) = ledger.read(run)
    ledger.write(run, Scores("image", {**scores.protocol, "ssim_window": 7}, scores.item_ids, 4, scores.metrics))
    page = write(results)
    assert "Not comparable with the rows above, not ranked" in page.text
    assert "ssim_window : 7 here, 11 above" in page.text


def test_fewer_items_than_expected_are_shown_as_such(results: Path) -> None:
    for run in [Grid(results / "losses").run(cell, 0) for cell in ("L1", "L1+cGAN")]:
        (scores,) = ledger.read(run)
        ledger.write(run, Scores("image", scores.protocol, scores.item_ids, 9, scores.metrics))
    assert "4 of 9" in write(results).text


def test_runs_that_are_missing_are_named_and_the_rest_is_shown(build: Callable[..., Path]) -> None:
    results = build(cells=("whole", "absent", "training", "dull", "blind"))
    grid = Grid(results / "losses")
    shutil.rmtree(grid.run("absent", 0).folder)
    grid.run("training", 0).generator.unlink()
    shutil.rmtree(grid.run("dull", 0).scores)
    shutil.rmtree(grid.run("blind", 0).scores)
    shutil.rmtree(grid.run("blind", 0).images)
    text = write(results).text
    assert "absent , seed 0: not started" in text
    assert "training , seed 0: training not finished" in text
    assert "dull , seed 0: not scored by image" in text
    assert "blind , seed 0: no images" in text
    assert "whole , seed 0:" not in text


def test_runs_that_the_grid_does_not_name_are_named_and_in_no_table(results: Path) -> None:
    grid = Grid(results / "losses")
    shutil.copytree(grid.run("L1", 0).folder, grid.run("L1", 7).folder)
    page = write(results)
    assert "On disk but not in grid.json, and therefore in no table L1 , seed 7" in page.text
    assert [row["seeds"] for row in rows(results / "report/tables/losses--image.csv")] == ["0", "0", ""]


def test_damaged_files_are_named_and_the_rest_is_shown(results: Path) -> None:
    grid = Grid(results / "losses")
    score = grid.run("L1", 0).score("image")
    score.write_text("{")
    log = grid.run("L1", 0).losses
    log.write_text("nothing")
    photo = grid.run("L1", 0).images / "church.png"
    photo.write_bytes(b"")
    text = write(results).text
    for path in (score, log, photo):
        assert f"{path}: found" in text
    assert "0.4150" in text
    assert "not scored" not in text


def test_a_grid_that_cannot_be_read_is_named_beside_the_others(build: Callable[..., Path]) -> None:
    build()
    results = build(name="patches", title="How large a patch")
    (results / "losses/grid.json").write_text('{"cells": {"../../secret": {}}, "seeds": [0]}')
    text = write(results).text
    assert "losses/grid.json: found cell '../../secret', expected a folder's name" in text
    assert "How large a patch" in text


def test_several_grids_have_a_contents(build: Callable[..., Path]) -> None:
    build()
    page = write(build(name="patches", title="How large a patch"))
    assert [link["href"] for link in page.named("a")][:2] == ["#grid0", "#grid1"]
    assert [section["id"] for section in page.named("section")] == ["grid0", "grid1", "words"]


@pytest.mark.long
def test_cells_of_one_name_in_two_grids_stay_apart(build: Callable[..., Path]) -> None:
    build()
    results = build(name="patches", title="How large a patch")
    (results / "patches/L1/seed-0/images/church.png").unlink()
    page = write(results)
    assert [row["cell"] for row in rows(results / "report/tables/patches--image.csv")] == ["L1", "L1+cGAN", "real"]
    assert len([image for image in page.named("img") if image["alt"] == "L1, church"]) == 1
    assert len([image for image in page.named("img") if image["alt"] == "L1, bridge"]) == 2


def test_the_tables_hold_full_precision(results: Path) -> None:
    write(results)
    l1, cgan, real = rows(results / "report/tables/losses--image.csv")
    (scores,) = ledger.read(Grid(results / "losses").run("L1", 0))
    assert (l1["cell"], l1["seeds"], l1["n"]) == ("L1", "0", "4")
    assert float(l1["l1"]) == scores.metrics["l1"].value
    assert (float(l1["l1_low"]), float(l1["l1_high"])) == scores.interval("l1")
    assert (cgan["cell"], real["cell"], real["seeds"]) == ("L1+cGAN", "real", "")
    assert (l1["ranked"], real["ranked"]) == ("True", "False")
    tidy = rows(results / "report/tables/scores.csv")
    assert len(tidy) == 3 * (1 + 4)
    assert [float(row["value"]) for row in tidy[1:5]] == [0.2 + 0.01 * number for number in range(4)]


def test_names_are_shown_as_text(build: Callable[..., Path]) -> None:
    title = "<script>alert(1)</script>"
    results = build(cells=[INJECTION, "道路 & \"'"], items=[INJECTION, "صورة"], title=title)
    path = html.write_report(results, results / "report")
    text, page = path.read_text("utf-8"), Page(path)
    assert text.count("<script") == text.count("</script") == 2
    assert "<script>alert" not in text + (results / "report/assets/grid0.js").read_text()
    assert "onerror" not in {name for _, attributes in page.tags for name in attributes}
    assert title in page.text
    assert INJECTION in page.texts
    assert "道路 & \"'" in page.texts
    assert "صورة" in page.texts


@pytest.mark.long
def test_writing_twice_gives_the_same_files(results: Path, tmp_path: Path) -> None:
    first, second = (html.write_report(results, tmp_path / name).parent for name in ("one", "two"))
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    for file in files:
        assert (first / file).read_bytes() == (second / file).read_bytes(), file


@pytest.mark.long
def test_a_report_takes_the_place_of_the_last(results: Path) -> None:
    write(results)
    before = {path.name for path in (results / "report/assets").rglob("*")}
    html.write_report(results, results / "report", items=1)
    assert {path.name for path in (results / "report/assets").rglob("*")} < before
    assert sorted(path.name for path in results.iterdir()) == ["losses", "report"]


@pytest.mark.process
def test_a_report_that_fails_leaves_the_last(build: Callable[..., Path]) -> None:
    results = build()
    write(results)
    before = (results / "report/index.html").read_bytes()
    full = (
        "import resource, signal, sys; from pathlib import Path; from reports import html\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "html.write_report(Path(sys.argv[1]), Path(sys.argv[1]) / 'report')"
    )
    failed = subprocess.run([sys.executable, "-c", full, str(results)], capture_output=True, text=True, check=False)
    assert "ReportError" in failed.stderr
    assert "File too large; put the report elsewhere" in failed.stderr
    assert (results / "report/index.html").read_bytes() == before
    assert (results / "report/tables/losses--image.csv").is_file()
    assert [path.name for path in results.iterdir() if path.name.startswith(".")] == []


@pytest.mark.long
@pytest.mark.parametrize(
    "there", ["assets/mine.png", "tables/notes/mine.txt", "tables/losses--image.tex", "index.html"]
)
def test_what_was_put_into_a_report_or_changed_is_not_lost(results: Path, there: str) -> None:
    write(results)
    path = results / "report" / there
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write("by hand")
    content = path.read_bytes()
    with pytest.raises(ReportError, match="was changed since the report was written, or is not part of it") as error:
        write(results)
    assert str(error.value).startswith(str(path))
    assert path.read_bytes() == content
    path.unlink()
    write(results)


def test_a_report_is_not_put_into_the_data_of_its_runs(build: Callable[..., Path], tmp_path: Path) -> None:
    results = build()
    description = json.loads((results / "losses/grid.json").read_text())
    root = tmp_path / "data"
    root.mkdir()
    description["dataset"] = {"name": "paired", "root": str(root)}
    (results / "losses/grid.json").write_text(json.dumps(description))
    for out in (root / "page", root / "page.html"):
        with pytest.raises(ReportError, match="lies in .*data, which is read"):
            html.write_report(results, out, single_file=out.suffix == ".html")
    assert not list(root.iterdir())
    moved = Path(shutil.move(results, root / "results"))  # results may lie there, and the report in them
    write(moved)


@pytest.mark.long
def test_a_report_of_an_older_version_is_replaced(results: Path) -> None:
    write(results)
    (results / "report/made.jsonl").unlink()
    (results / "report/assets/.DS_Store").touch()
    write(results)
    assert (results / "report/made.jsonl").exists()


@pytest.mark.parametrize("there", ["thesis.txt", "index.html"])
def test_a_folder_of_other_things_is_never_replaced(results: Path, tmp_path: Path, there: str) -> None:
    out = tmp_path / "documents"
    out.mkdir()
    (out / there).write_text("years of work")
    with pytest.raises(ReportError, match=f"found '{there}', expected an earlier report or nothing"):
        html.write_report(results, out)
    assert (out / there).read_text() == "years of work"


def test_a_report_with_something_beside_it_is_never_replaced(results: Path) -> None:
    write(results)
    (results / "report/notes.txt").write_text("mine")
    for _ in range(2):
        with pytest.raises(ReportError, match=r"found 'notes\.txt', expected an earlier report or nothing"):
            write(results)
        (results / "report/made.jsonl").unlink(missing_ok=True)  # as of an older version
    assert (results / "report/notes.txt").read_text() == "mine"


def test_an_empty_folder_may_be_used(results: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert html.write_report(results, tmp_path / "empty").is_file()


def test_a_place_that_cannot_be_written_is_named(results: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ReportError, match="file is a file, where a folder is expected"):
        html.write_report(results, tmp_path / "file/report")


def test_nothing_to_report_names_the_command(results: Path, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"no such folder.*`p2pbench train-ablation"):
        html.write_report(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "bare").mkdir()
    with pytest.raises(ReportError, match=r"found no grid.*`p2pbench image-score"):
        html.write_report(tmp_path / "bare", tmp_path / "out")
    for folder in results.rglob("scores"):
        shutil.rmtree(folder)
    with pytest.raises(ReportError, match=f"found no scores; run `p2pbench image-score {results}`"):
        html.write_report(results, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_but_damage_says_so(results: Path, tmp_path: Path) -> None:
    for path in results.rglob("image.json"):
        path.write_text("{")
    with pytest.raises(ReportError, match=r"found no scores; 3 files cannot be read, such as .*image\.json"):
        html.write_report(results, tmp_path / "out")


def test_grid_files_of_other_shapes_are_refused(results: Path) -> None:
    for text in ("", "[]", "{}", json.dumps({"cells": [], "seeds": 3})):
        (results / "losses/grid.json").write_text(text)
        with pytest.raises(ReportError, match=r"grid\.json"):
            write(results)


def test_ranks_and_wins_stand_below_the_table(build: Callable[..., Path]) -> None:
    page = write(build(cells=("L1", "L1+cGAN", "GAN"), seeds=(0, 1)))
    assert "Possible ranks of each cell, 1 the best, with 95 % confidence for a whole column" in page.text.replace(
        "\xa0", " "
    )
    bars = [tag["style"] for tag in page.named("span") if tag.get("class") == "rank-bar"]
    assert bars == [f"--low: {rank}; --high: {rank}; --cells: 3" for rank in (1, 2, 3)]
    assert "Number of metrics, of 1, by which the row's cell is ahead" in page.text
    wins = [tag.get("title") for tag in page.named("td") if tag.get("title") == "L1"]
    assert len(wins) == 3  # the first of the second and the third, the second of the third
