"""The page that says what changed between two results folders: what stands in it, and that it works from disk."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reports import comparison_page, html
from reports.store import ledger
from reports.store.errors import ReportError
from reports.store.layout import Grid
from tests.reports.browsing import Visits, expect_item, leave_item, load_pictures, overflow
from tests.reports.parsed import Page, rows
from tests.reports.test_comparison import ITEMS, rescore

INJECTION = '<img src=x onerror="alert(1)">'


@pytest.fixture
def changed(build: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    """A folder and its copy in which L1 got worse, most of all in `harbour`: l1 is .30 .31 .62 .33."""
    a = build()
    b = Path(shutil.copytree(a, tmp_path / "after"))
    rescore(Grid(b / "losses").run("L1", 0), [0.30, 0.31, 0.33, 0.34])
    return a, b


def script(index: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """The data of the first grid, and which column stands beside which."""
    data, against = (index.parent / "assets/grid0.js").read_text("utf-8").splitlines()
    return json.loads(data.split(" = ", 1)[1].rstrip(";")), json.loads(against.split(" = ", 1)[1].rstrip(";"))


def test_the_page_says_what_became_of_each_number(changed: tuple[Path, Path]) -> None:
    a, b = changed
    page = Page(comparison_page.write(a, b, b / "comparison"))
    assert "A results B after What changed from A to B." in page.text
    assert "1 behind on these items, 1 level on these items." in page.text
    assert re.search(
        r"L1 behind on these items \+0\.1050 \+0\.09\d{2} to \+0\.11\d{2} A 0\.2150 · B 0\.3200 4", page.text
    )
    assert "L1+cGAN level on these items 0 0 to 0 A 0.4150 · B 0.4150 4" in page.text
    assert "Unchanged: settings, dataset, versions and git revision." in page.text
    last = [tag for tag in page.named("tr") if tag.get("class") == "real"]
    assert len(last) == 1


def test_the_table_holds_full_precision(changed: tuple[Path, Path]) -> None:
    a, b = changed
    index = comparison_page.write(a, b, b / "comparison")
    l1, cgan, real = rows(index.parent / "tables/losses--image.csv")
    assert (l1["cell"], l1["metric"], l1["verdict"], l1["n_a"], l1["seeds_b"]) == (
        "L1",
        "l1",
        "behind on these items",
        "4",
        "0",
    )
    before, after = (float(np.mean(values)) for values in ([0.20, 0.21, 0.22, 0.23], [0.30, 0.31, 0.33, 0.34]))
    assert (float(l1["a"]), float(l1["b"]), float(l1["b_minus_a"])) == (before, after, after - before)
    assert float(l1["b_minus_a_low"]) < after - before < float(l1["b_minus_a_high"])
    assert (cgan["b_minus_a"], cgan["b_minus_a_low"], cgan["verdict"]) == ("0.0", "0.0", "level on these items")
    assert (real["cell"], real["not_compared_because"]) == ("real", "")


def test_rows_that_may_not_be_compared_say_why(changed: tuple[Path, Path]) -> None:
    a, b = changed
    rescore(Grid(b / "losses").run("L1", 0), [0.125] * 3, ITEMS[:3], ssim_window=7)
    index = comparison_page.write(a, b, b / "comparison")
    text = Page(index).text
    assert "1 level on these items. 1 row not comparable, see below." in text
    assert "ssim_window : 11 in A, 7 in B items : 4 of 4 with 1 of its own in A, 3 of 4 in B" in text
    _, _, l1 = rows(index.parent / "tables/losses--image.csv")
    assert (l1["cell"], l1["b"], l1["b_minus_a"], l1["verdict"]) == ("L1", "0.125", "", "")
    assert l1["not_compared_because"] == "ssim_window: 11 | 7; items: 4 of 4 with 1 of its own | 3 of 4"
    data, _ = script(index)
    assert [metric["key"] for metric in data["metrics"]] == ["image.l1, change", "image.l1"]
    assert data["metrics"][0]["values"][2] is None


def test_the_pictures_of_both_sides_stand_beside_each_other(changed: tuple[Path, Path]) -> None:
    a, b = changed
    Image.new("RGB", (16, 16), "red").save(b / "losses/L1/seed-0/images/church.png")
    index = comparison_page.write(a, b, b / "comparison")
    data, against = script(index)
    names = [column["name"] for column in data["columns"]]
    assert names == ["input", "A: L1", "B: L1", "A: L1+cGAN", "B: L1+cGAN", "real"]
    assert against == {"1": 2, "2": 1, "3": 4, "4": 3}
    for place, source in ((1, a), (2, b)):
        with (
            Image.open(index.parent / f"assets/grid0/{place:02}-0001.png") as copy,
            Image.open(source / "losses/L1/seed-0/images/church.png") as original,
        ):
            np.testing.assert_array_equal(np.asarray(copy), np.asarray(original))
    change, value = data["metrics"]
    assert (change["label"], change["better"], value["label"]) == ("L1, change", "low", "L1")
    assert change["values"] == [None, None, [0.1, 0.1, 0.11, 0.11], None, [0, 0, 0, 0], None]
    assert value["values"][1:3] == [[0.2, 0.21, 0.22, 0.23], [0.3, 0.31, 0.33, 0.34]]


def test_the_items_that_changed_most_have_pictures_where_not_all_have(
    build: Callable[..., Path], tmp_path: Path
) -> None:
    ids = [f"item-{number:02}" for number in range(12)]
    a = build(items=ids)
    b = Path(shutil.copytree(a, tmp_path / "after"))
    values = [0.2 + 0.01 * number for number in range(12)]
    values[3] += 0.5
    values[8] -= 0.1
    rescore(Grid(b / "losses").run("L1", 0), values, ids, n_expected=12)
    data, _ = script(comparison_page.write(a, b, b / "comparison", 6))
    assert len(data["items"]) == 6
    assert {"item-03", "item-08"} < set(data["items"])


def test_only_items_with_pictures_on_both_sides_are_shown(changed: tuple[Path, Path]) -> None:
    a, b = changed
    for path in (b / "losses").glob("*/seed-0/images/square.png"):
        path.unlink()
    Image.new("RGB", (16, 16), "red").save(a / "losses/real/images/church.png")
    index = comparison_page.write(a, b, b / "comparison")
    data, _ = script(index)
    assert data["items"] == ["bridge", "church", "harbour"]
    text = Page(index).text
    assert "Items with pictures on one side only are omitted: 1 in A, such as square." in text
    assert "Inputs or targets differ between A and B for 1 of 3 items" in text


def test_folders_without_common_pictures_or_scorers_still_compare_settings(changed: tuple[Path, Path]) -> None:
    a, b = changed
    for path in [*b.rglob("images"), *a.rglob("scores")]:
        shutil.rmtree(path)
    (b / "losses/grid.json").write_text((b / "losses/grid.json").read_text().replace("abc123", INJECTION[:8]))
    index = comparison_page.write(a, b, b / "comparison")
    page = Page(index)
    assert "No item has a picture on both sides." in page.text
    assert "Nothing is scored by the same scorer on both sides" in page.text
    assert "Scorers in B only: Image scores" in page.text
    assert "git revision abc123 <img src" in page.text
    assert not (index.parent / "assets/grid0.js").exists()


def test_damaged_files_are_named_and_the_rest_is_shown(changed: tuple[Path, Path]) -> None:
    a, b = changed
    (a / "losses/L1/seed-0/scores/image.json").write_text("{")
    (b / "losses/L1+cGAN/seed-0/images/church.png").write_text("no picture")
    (a / "broken").mkdir()
    (a / "broken/grid.json").write_text("[]")
    page = Page(comparison_page.write(a, b, b / "comparison"))
    for name in (
        "L1/seed-0/scores/image.json: found something else, expected scores",
        "images/church.png: found no picture",
        "broken/grid.json",
    ):
        assert name in page.text
    assert "L1+cGAN level on these items 0" in page.text
    assert "Scored in B only: L1" in page.text


def test_names_are_shown_as_text(build: Callable[..., Path], tmp_path: Path) -> None:
    a = build(cells=[INJECTION, "=1+1"], items=[INJECTION, "صورة"], name="a & b", title=INJECTION)
    b = Path(shutil.copytree(a, tmp_path / "<b>"))
    rescore(Grid(b / "a & b").run(INJECTION, 0), [0.1, 0.2], [INJECTION, "صورة"])
    index = comparison_page.write(a, b, b / "comparison")
    page, text = Page(index), index.read_text("utf-8")
    assert text.count("<script") == text.count("</script") == 2
    assert "onerror" not in {name for _, attributes in page.tags for name in attributes}
    assert INJECTION in page.texts
    assert "<b>" in page.texts
    (table,) = (index.parent / "tables").iterdir()
    assert re.fullmatch(r"a___b-[0-9a-f]{8}--image\.csv", table.name)
    assert [row["cell"] for row in rows(table)] == [INJECTION, "'=1+1", "real"]


def test_the_same_folder_twice_has_no_change(results: Path, tmp_path: Path) -> None:
    page = Page(comparison_page.write(results, results, tmp_path / "out"))
    assert "A and B are the same folder." in page.text
    assert "No change: all scores are equal." in page.text


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("x/before", "x/after", ("before", "after")),
        ("x/old/results", "x/new/results", ("old/results", "new/results")),
        ("x/old/run/results", "x/new/run/results", ("old/run/results", "new/run/results")),
        ("results", "results/results", None),
        ("x/results", "x/results", ("results", "results")),
    ],
)
def test_folders_are_called_by_the_shortest_names_that_tell_them_apart(
    tmp_path: Path, a: str, b: str, expected: tuple[str, str] | None
) -> None:
    called = comparison_page.names(tmp_path / a, tmp_path / b)
    assert called == (expected or (f"{tmp_path.name}/results", "results/results"))


def test_an_earlier_page_is_replaced_and_nothing_else(changed: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = changed
    first = comparison_page.write(a, b, b / "comparison").read_bytes()
    assert comparison_page.write(a, b, b / "comparison").read_bytes() == first
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents/thesis.txt").write_text("years of work")
    with pytest.raises(ReportError, match=r"found 'thesis\.txt'"):
        comparison_page.write(a, b, tmp_path / "documents")
    with pytest.raises(ReportError, match="expected an earlier report"):
        comparison_page.write_single(a, b, tmp_path / "documents/thesis.txt")


@pytest.mark.long
def test_a_report_of_a_folder_with_a_comparison_leaves_it_alone(changed: tuple[Path, Path]) -> None:
    a, b = changed
    index = comparison_page.write(a, b, b / "comparison")
    html.write_report(b, b / "report")
    assert index.is_file()
    assert "comparison" not in [grid["grid"] for grid in rows(b / "report/tables/scores.csv")]


@pytest.mark.parametrize("single", [False, True])
def test_the_page_works_in_a_browser_from_disk(changed: tuple[Path, Path], visit: Visits, single: bool) -> None:
    a, b = changed
    if single:
        index = comparison_page.write_single(a, b, b / "comparison.html")
        shutil.rmtree(a)
    else:
        index = comparison_page.write(a, b, b / "comparison")
    for width in (390, 1440):
        page = visit(index, width)
        assert overflow(page) <= 0
        page.locator("a[data-cell='B: L1']").click()
        chosen = page.locator(".controls select").evaluate_all("all => all.map(one => one.selectedOptions[0].text)")
        assert chosen == ["L1, change", "B: L1", "worst first"]
        first = page.locator(".pictures tbody tr").first
        assert first.locator(".item").inner_text() == "harbour"
        assert first.locator(".score").all_inner_texts() == ["0.1100", "0.0000"]
        for opened, other in (("B: L1", "A: L1"), ("A: L1+cGAN", "B: L1+cGAN"), ("real", "B: L1+cGAN")):
            first.locator(f"a.tile:has([alt='{opened}, harbour'])").click()
            expect_item(page, "harbour")
            sides = page.locator("#item select").evaluate_all("all => all.map(one => one.selectedOptions[0].text)")
            assert sides == [opened, other]
            assert load_pictures(page, ".stage") == 2
            widths = page.locator(".stage img").evaluate_all("images => images.map(image => image.naturalWidth)")
            assert widths == [16, 16]
            leave_item(page)
    assert {request.split(":")[0] for request in visit.requests} <= {"file", "data"}
    assert not single or len([request for request in visit.requests if request.startswith("file")]) == 2


def test_few_clusters_are_said_once_per_grid(changed: tuple[Path, Path]) -> None:
    for results in changed:
        grid = Grid(results / "losses")
        for run in [*grid.runs(), grid.real]:
            for scores in ledger.read(run):
                clusters = {"clusters": {"by": "cities", "n": 2, "effective": 2, "hash": "ab"}}
                of_cities = replace(scores, protocol={**scores.protocol, **clusters})
                ledger.write(run, of_cities)
                ledger.write(run, replace(of_cities, scorer="fcn-strict"))
    a, b = changed
    said: list[str] = []
    text = Page(comparison_page.write(a, b, b / "comparison", say=said.append)).text
    doubt = "2 clusters of items (cities): too few for meaningful intervals; use 5 or more"
    assert text.count(doubt) == 1
    assert [line for line in said if doubt in line] == [f"losses: {doubt}"]
    assert "its own 95 % interval over 2 clusters of items (cities) only, of one training per cell" in text


@pytest.mark.long
def test_one_training_beside_several_decides_on_these_items(build: Callable[..., Path], tmp_path: Path) -> None:
    a = build(seeds=(0, 1, 2))
    b = Path(shutil.copytree(a, tmp_path / "after"))
    for seed in (1, 2):
        shutil.rmtree(Grid(b / "losses").run("L1", seed).folder)
    rescore(Grid(b / "losses").run("L1", 0), [0.30, 0.31, 0.33, 0.34])
    for seed in (0, 1, 2):
        rescore(Grid(b / "losses").run("L1+cGAN", seed), [0.5 + 0.001 * seed] * 4)
    said: list[str] = []
    text = Page(comparison_page.write(a, b, b / "comparison", say=said.append)).text
    assert re.search(r"L1 behind on these items \+0\.1050 .* seeds A 3 · B 1", text)
    assert "L1+cGAN worse +0.0860" in text
    assert "over trainings and items, of one training on a side or both over items only, paired by item" in text
    caution = 'Some cells have one training on a side: verdicts "on these items" or "with this training"'
    assert caution in text
    assert [line.startswith(caution) for line in said] == [False, True, False]
    todo = "train 2 more runs, about 10 s at the speed of the first: "
    train = "p2pbench report {0} && p2pbench train-ablation {0}/report/tables/losses.toml --root {1} --out {0} "
    train += "--seeds 0,1,2"
    assert said[2] == f"losses in B: {todo}{train.format(b, '/data')}"
    meaning = "One training of a cell in B: to see whether other trainings give the same result, "
    assert f"{meaning}{todo}{train.format('B', 'DATASET')}" in text
    assert "One training of a cell in A" not in text
    assert said[0].startswith("2 numbers compared, 2 changed. Decided together: at most 5 % of the changes")
    assert "expected to be chance, of items only where a side has one training (Benjamini" in said[0]
    assert said[0] in text
    assert "One training per cell" not in text
    html.write_report(b, b / "report")  # writes the grid's file
    shutil.rmtree(b / "comparison")
    text = Page(comparison_page.write(a, b, b / "comparison")).text
    assert f"{todo}{train.format('B', 'DATASET').partition(' && ')[2]}" in text
