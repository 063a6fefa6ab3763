"""Colour distributions: shares by hand, seeds together, other bins, damaged files, and their drawings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from reports import histograms, plots
from reports.histograms import LabHistograms
from reports.store.layout import Grid, Run

EDGES = {"L": (0, 50, 100), "a": (-110, 0, 110), "b": (-110, 0, 110)}
Counts = Mapping[str, Sequence[object]]
OUTPUT: Counts = {"L": (1, 3), "a": (4, 0), "b": (2, 2)}
TARGET: Counts = {"L": (2, 2), "a": (1, 3), "b": (0, 4)}


def put(run: Run, output: Counts = OUTPUT, target: Counts = TARGET, edges: Mapping[str, Sequence[int]] = EDGES) -> Path:
    lines = ["channel,low,high,output,target"]
    for channel, ends in edges.items():
        bins = zip(ends[:-1], ends[1:], output[channel], target[channel], strict=True)
        lines += [f"{channel},{low},{high},{made},{wanted}" for low, high, made, wanted in bins]
    run.scores.mkdir(parents=True, exist_ok=True)
    run.lab_histograms.write_text("\n".join([*lines, ""]))
    return run.lab_histograms


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    return Grid(tmp_path / "losses")


def read(grid: Grid, cells: Sequence[str] = ("L1",), seeds: Sequence[int] = (0,)) -> LabHistograms:
    found = histograms.read([grid.run(cell, seed) for cell in cells for seed in seeds], "real")
    assert found
    return found


def shares(found: LabHistograms, cell: str, channel: str) -> list[float]:
    return histograms.curves(found, channel)[cell]["share"].tolist()


def test_nothing_stored_is_nothing(grid: Grid) -> None:
    assert histograms.read([grid.run("L1", 0)], "real") is None


def test_counts_become_shares_of_all_pixels(grid: Grid) -> None:
    put(grid.run("L1", 0))
    put(grid.run("GAN", 0), {"L": (0, 8), "a": (1, 7), "b": (8, 0)})
    found = read(grid, ("L1", "GAN"))
    assert found.damages == ()
    assert found.shares.columns.tolist() == ["cell", "channel", "low", "high", "share"]
    assert list(histograms.curves(found, "a")) == ["L1", "GAN", "real"]
    assert [shares(found, "L1", channel) for channel in "Lab"] == [[0.25, 0.75], [1, 0], [0.5, 0.5]]
    assert [shares(found, "GAN", channel) for channel in "Lab"] == [[0, 1], [0.125, 0.875], [1, 0]]
    assert [shares(found, "real", channel) for channel in "Lab"] == [[0.5, 0.5], [0.25, 0.75], [0, 1]]
    bins = histograms.curves(found, "a")["L1"][["low", "high"]]
    assert bins.to_numpy().tolist() == [[-110, 0], [0, 110]]


def test_seeds_are_pooled_by_their_pixels(grid: Grid) -> None:
    put(grid.run("L1", 0))
    put(grid.run("L1", 1), {"L": (12, 0), "a": (0, 4), "b": (1, 3)})
    put(grid.run("L1", 2), {"L": (0, 4), "a": (8, 0), "b": (1, 3)})
    found = read(grid, seeds=(0, 1, 2))
    assert shares(found, "L1", "L") == [13 / 20, 7 / 20]  # not the mean of the seeds' shares
    assert shares(found, "L1", "a") == [12 / 16, 4 / 16]
    assert shares(found, "real", "L") == [0.5, 0.5]


@pytest.mark.parametrize(
    "edges",
    [
        {**EDGES, "L": (0, 40, 100)},
        {**EDGES, "L": (0, 50, 100, 150)},
        {channel: EDGES[channel] for channel in "baL"},
    ],
)
def test_other_bins_are_named_and_never_mixed(grid: Grid, edges: Mapping[str, Sequence[int]]) -> None:
    counts = {channel: [1] * (len(ends) - 1) for channel, ends in edges.items()}
    other = put(grid.run("L1", 0), counts, counts, edges)
    put(grid.run("L1", 1))
    put(grid.run("GAN", 0))
    found = read(grid, ("L1", "GAN"), (0, 1))
    mend = "move it away and run p2pbench image-score again"
    assert found.damages == (f"{other}: found other bins than those of most runs; {mend}",)
    assert shares(found, "L1", "L") == [0.25, 0.75]
    assert len(found.shares) == 3 * 6


GOOD = (
    "channel,low,high,output,target\nL,0,50,1,2\nL,50,100,3,2\na,-110,0,4,1\na,0,110,0,3\nb,-110,0,2,0\nb,0,110,2,4\n"
)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "channel,low,high,output,target\n",
        "channel,low,high,output\nL,0,1,2\n",
        GOOD.replace("L,0,50,1", "L,0,50,one"),
        GOOD.replace("L,0,50,1", "L,0,50,-1"),
        GOOD.replace("L,0,50,1", "L,0,50,"),
        GOOD.replace("L,0,50,1", "L,0,50,inf"),
        GOOD.replace("L,0,", "L,,"),
        GOOD.replace("b,", "c,"),
        GOOD + "c,0,1,1,1\n",
        GOOD.replace("a,-110,0,4", "a,-110,0,0"),
        GOOD.replace("L,0,50,1,2\nL,50,100,3,2", "L,0,50,1,0\nL,50,100,3,0"),
        GOOD + '"',
    ],
)
def test_damaged_histograms_are_named_and_the_rest_is_shown(grid: Grid, content: str) -> None:
    path = put(grid.run("L1", 0))
    assert path.read_text() == GOOD
    path.write_text(content)
    alone = read(grid)
    assert alone.shares.empty
    put(grid.run("GAN", 0))
    found = read(grid, ("L1", "GAN"))
    assert found.damages == alone.damages
    (damage,) = found.damages
    assert damage.startswith(f"{path}: found no ")
    assert damage.endswith("; move it away and run p2pbench image-score again")
    assert "\n" not in damage
    assert found.shares["cell"].drop_duplicates().tolist() == ["GAN", "real"]


@pytest.mark.long
def test_each_channel_has_a_drawing_with_a_curve_a_cell(grid: Grid) -> None:
    put(grid.run("L1", 0))
    put(grid.run("GAN", 0), {"L": (0, 8), "a": (1, 7), "b": (8, 0)})
    strokes = plots.strokes(["L1", "GAN"])
    drawings = plots.draw_colours(read(grid, ("L1", "GAN")), strokes)
    assert [drawing.name for drawing in drawings] == ["lab-L", "lab-a", "lab-b"]
    for drawing in drawings:
        for stroke in strokes.values():
            assert stroke.colour in drawing.svg
        assert plots.GREY in drawing.svg
    assert drawings == plots.draw_colours(read(grid, ("L1", "GAN")), strokes)


def test_shares_add_up_to_one(grid: Grid) -> None:
    random = np.random.default_rng(0)
    for seed in range(3):
        output, target = ({channel: random.integers(1, 10**9, 2).tolist() for channel in "Lab"} for _ in range(2))
        put(grid.run("L1", seed), output, target)
    sums = read(grid, seeds=(0, 1, 2)).shares.groupby(["cell", "channel"])["share"].sum()
    assert len(sums) == 6
    np.testing.assert_allclose(sums, 1, rtol=1e-12)
