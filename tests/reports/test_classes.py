"""Classes and confusion: means over seeds and shares by hand, files of other classes, damaged files, odd names."""

from __future__ import annotations

from collections.abc import Sequence
from csv import DictReader
from pathlib import Path

import numpy as np
import pytest

from reports import classes, csv_tables
from reports.classes import Classes
from reports.store.layout import Grid, Run

HEAD = "class,accuracy,accuracy_low,accuracy_high,iou,iou_low,iou_high,pixels,images"
GOOD = f"{HEAD}\nroad,0.5,0.4,0.6,0.25,0.2,0.3,100,2\nsky,0.75,0.7,0.8,0.5,0.4,0.6,50,1\nbus,,,,0.0,,,0,0\n"
COUNTS = "truth,road,sky,bus,beyond the classes\nroad,50,40,0,10\nsky,5,37,8,0\nbus,0,0,0,0\nignored,7,7,7,7\n"


def table(*ious: object, names: Sequence[str] = ("road", "sky")) -> str:
    rows = [f"{name},0.5,0.4,0.6,{iou},0.1,0.9,100,2" for name, iou in zip(names, ious, strict=True)]
    return "\n".join([HEAD, *rows, ""])


def put(run: Run, content: str, scorer: str = "fcn-strict", confusion: str = "") -> Path:
    run.scores.mkdir(parents=True, exist_ok=True)
    run.classes(scorer).write_text(content, "utf-8")
    if confusion:
        run.confusion_table(scorer).write_text(confusion, "utf-8")
    return run.classes(scorer)


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    return Grid(tmp_path / "losses")


def read(grid: Grid, cells: Sequence[str] = ("L1",), seeds: Sequence[int] = (0,)) -> Classes:
    (found,) = classes.read(grid, [*(grid.run(cell, seed) for cell in cells for seed in seeds), grid.real])
    return found


def test_nothing_scored_is_nothing(grid: Grid) -> None:
    assert classes.read(grid, [grid.run("L1", 0), grid.real]) == []


def test_each_scorer_is_apart(grid: Grid) -> None:
    put(grid.run("L1", 0), table(0.1, 0.2))
    put(grid.run("L1", 0), table(0.3, 0.4), "labels")
    found = classes.read(grid, [grid.run("L1", 0)])
    assert [(each.scorer, each.cells.to_numpy().tolist()) for each in found] == [
        ("fcn-strict", [[0.1, 0.2]]),
        ("labels", [[0.3, 0.4]]),
    ]


def test_the_iou_of_a_cell_is_the_mean_over_its_seeds(grid: Grid) -> None:
    for seed, ious in enumerate([(0.25, 0.5), (0.5, ""), (0.75, 0.75)]):
        put(grid.run("L1", seed), table(*ious))
    put(grid.run("GAN", 1), table(0.125, ""))
    put(grid.real, table(1, 0.875))
    found = read(grid, ("L1", "GAN"), (0, 1, 2))
    assert list(found.cells.index) == ["L1", "GAN", "real"]
    np.testing.assert_array_equal(found.cells.to_numpy(), [[0.5, 0.625], [0.125, np.nan], [1, 0.875]])
    assert found.damages == ()
    rows = found.rows({})
    mean = rows.loc[rows["seed"].isna(), ["cell", "class", "iou"]]
    assert mean.to_numpy().tolist() == [
        ["real", "road", 1],
        ["real", "sky", 0.875],
        ["L1", "road", 0.5],
        ["L1", "sky", 0.625],
    ]
    assert rows["seed"].dropna().tolist() == [0, 0, 1, 1, 2, 2, 1, 1]
    assert rows["seed"].dtype == "Int64"


def test_counts_are_whole_numbers_in_the_reports_table(grid: Grid, tmp_path: Path) -> None:
    for seed in (0, 1):
        put(grid.run("L1", seed), GOOD.replace(",50,1", ",17379,1"))
    csv_tables.write(read(grid, seeds=(0, 1)).rows({}), tmp_path / "classes.csv")
    with (tmp_path / "classes.csv").open() as file:
        counts = [(row["seed"], row["pixels"], row["images"]) for row in DictReader(file) if row["class"] == "sky"]
    assert counts == [("0", "17379", "1"), ("1", "17379", "1"), ("", "", "")]
    path = put(grid.run("L1", 0), GOOD.replace(",50,1", ",50.5,1"))
    (damage,) = read(grid).damages
    assert damage.startswith(f"{path}: found no table of classes (a count that is no whole number)")


def test_with_one_seed_the_rows_are_those_of_the_runs(grid: Grid) -> None:
    put(grid.run("L1", 0), GOOD)
    rows = read(grid).rows({})
    assert rows[["cell", "seed", "class", "iou"]].to_numpy().tolist() == [
        ["L1", 0, "road", 0.25],
        ["L1", 0, "sky", 0.5],
        ["L1", 0, "bus", 0.0],
    ]
    numbers = rows[["accuracy", "accuracy_low", "accuracy_high", "pixels", "images"]].to_numpy()
    assert numbers[1].tolist() == [0.75, 0.7, 0.8, 50, 1]


def test_classes_that_the_truth_does_not_have_are_set_apart(grid: Grid) -> None:
    put(grid.run("L1", 0), GOOD, confusion=COUNTS)
    found = read(grid)
    assert found.names == ("road", "sky", "bus")
    assert found.labelled == ["road", "sky"]
    assert found.with_iou == ["road", "sky", "bus"]  # bus is predicted: it counts 0 in the mean, so it is shown
    put(grid.run("L1", 0), GOOD.replace("bus,,,,0.0", "bus,,,,"), confusion=COUNTS)
    assert read(grid).with_iou == ["road", "sky"]


def test_confusion_is_in_shares_of_the_true_class(grid: Grid) -> None:
    put(grid.run("L1", 0), GOOD, confusion=COUNTS)
    put(grid.run("L1", 1), GOOD, confusion=COUNTS.replace("road,50,40,0,10", "road,100,0,0,0"))
    found = read(grid, seeds=(0, 1))
    assert found.predictions == ("road", "sky", "bus", "beyond the classes")
    assert found.confusion["L1"].tolist() == [[150, 40, 0, 10], [10, 74, 16, 0], [0, 0, 0, 0]]
    assert found.predicted == ["road", "sky", "bus", "beyond the classes"]
    assert found.shown("L1").to_numpy().tolist() == [[0.75, 0.2, 0, 0.05], [0.1, 0.74, 0.16, 0]]
    counts = found.counts({"L1": {0: "one", 1: "another"}})
    assert counts.columns.tolist() == ["cell", "truth", "prediction", "pixels", "share", "scorer"]
    assert counts.iloc[3].tolist() == ["L1", "road", "beyond the classes", 10, 0.05, "one; another"]
    assert counts.iloc[9, :4].tolist() == ["L1", "bus", "sky", 0]
    assert counts["share"].isna().tolist() == [False] * 8 + [True] * 4


def test_predictions_of_less_than_half_a_percent_are_not_shown(grid: Grid) -> None:
    counts = "truth,road,sky,bus,beyond the classes\nroad,199,0,1,0\nsky,0,1000,0,4\nbus,0,0,0,0\n"
    put(grid.run("L1", 0), GOOD, confusion=counts)
    assert read(grid).predicted == ["road", "sky", "bus"]


@pytest.mark.parametrize("names", [("nan", "<b>", "=x"), ("NA", "", "None"), ('a,"b"', "日本語", "1.5")])
def test_class_names_are_text(grid: Grid, names: tuple[str, ...]) -> None:
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    lines = [f"{name},{'9,' * len(names)}0" for name in quoted]
    confusion = "\n".join([f"truth,{','.join(quoted)},beyond the classes", *lines, ""])
    if "" in names:  # the CSV of a class without a name: pandas calls its column otherwise, so it has no confusion here
        confusion = ""
    for cell in ("L1", "GAN"):
        put(grid.run(cell, 0), table(0.1, 0.2, 0.3, names=quoted), confusion=confusion)
    found = read(grid, ("L1", "GAN"))
    assert found.damages == ()
    assert found.names == names
    assert found.labelled == list(names)
    assert found.cells.loc["GAN"].to_dict() == dict(zip(names, (0.1, 0.2, 0.3), strict=True))
    assert found.rows({})["class"].tolist() == [*names, *names]
    if confusion:
        assert found.counts({})["truth"].drop_duplicates().tolist() == list(names)
        assert found.shown("L1").to_numpy().tolist() == [[1 / 3] * 3] * 3


def test_a_run_of_other_classes_is_named_and_left_out(grid: Grid) -> None:
    path = put(grid.run("L1", 0), table(0.9, 0.9, names=("sky", "road")), confusion=COUNTS)
    put(grid.run("L1", 1), table(0.1, 0.2))
    put(grid.run("GAN", 0), table(0.3, 0.4))
    found = read(grid, ("L1", "GAN"), (0, 1))
    assert found.damages == (f"{path}: found other classes than those of most runs; score all runs again",)
    assert found.cells.to_numpy().tolist() == [[0.1, 0.2], [0.3, 0.4]]
    assert found.confusion == {}


@pytest.mark.parametrize("counts", ["truth,road\nroad,1\nsky,2\nbus,3\n", COUNTS.replace("truth,road", "truth,void")])
def test_a_run_of_other_predictions_is_named_and_left_out(grid: Grid, counts: str) -> None:
    for seed, confusion in enumerate([COUNTS, counts, COUNTS]):
        put(grid.run("L1", seed), GOOD, confusion=confusion)
    found = read(grid, seeds=(0, 1, 2))
    path = grid.run("L1", 1).confusion_table("fcn-strict")
    assert found.damages == (f"{path}: found other predictions than those of most runs; score all runs again",)
    assert found.confusion["L1"][0].tolist() == [100, 80, 0, 20]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n",
        "class,iou\nroad,0.5\n",
        HEAD,
        GOOD.replace("0.25", "good"),
        GOOD.replace("0.25", "-0.25"),
        GOOD.replace("0.25", "1.25"),
        GOOD.replace("0.25", "inf"),
        GOOD.replace("100,2", "-100,2"),
        GOOD.replace("100,2", ",2"),
        GOOD.replace("100,2", "nan,2"),
        GOOD.replace("100,2", "inf,2"),
        GOOD.replace("sky", "road"),
        f'{GOOD}"',
        "\x00" * 100,
    ],
)
def test_a_damaged_table_of_classes_is_named_in_one_line(grid: Grid, content: str) -> None:
    path = put(grid.run("L1", 0), content, confusion=COUNTS)
    put(grid.run("GAN", 0), GOOD)
    found = read(grid, ("L1", "GAN"))
    (damage,) = found.damages
    assert damage.startswith(f"{path}: found no table of classes (")
    assert damage.endswith("); move it away and score the run again")
    assert "\n" not in damage
    assert list(found.cells.index) == ["GAN"]


def test_bytes_that_are_no_text_are_named(grid: Grid) -> None:
    path = put(grid.run("L1", 0), "")
    path.write_bytes(b"\xff\xfe\x00")
    found = read(grid)
    assert found.damages[0].startswith(f"{path}: found no table of classes (")
    assert found.names == ()
    assert found.cells.empty
    assert found.rows({}).empty


@pytest.mark.parametrize(
    "content",
    [
        "",
        "truth,road\n",
        COUNTS.replace("sky,5", "cloud,5"),
        COUNTS.replace("50,40", "-50,40"),
        COUNTS.replace("50,40", "many,40"),
        COUNTS.replace("50,40", "5.5,40"),
        COUNTS.replace("50,40", ",40"),
        COUNTS.replace("50,40", "nan,40"),
        COUNTS.replace("50,40", f"{10**30},40"),
        COUNTS.replace("bus,0", "road,0"),
        COUNTS + "road,1,1,1,1\n",
    ],
)
def test_a_damaged_confusion_matrix_is_named_and_the_classes_are_shown(grid: Grid, content: str) -> None:
    run = grid.run("L1", 0)
    put(run, GOOD)
    run.confusion_table("fcn-strict").write_text(content)
    found = read(grid)
    (damage,) = found.damages
    assert damage.startswith(f"{run.confusion_table('fcn-strict')}: found no confusion matrix (")
    assert "\n" not in damage
    assert found.confusion == {}
    assert found.cells.loc["L1", "sky"] == 0.5
