"""Loss logs read, smoothed and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from reports import plots, run_states
from reports.store.errors import ReportError
from reports.store.layout import Run

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, "L1", 0)


def _table(count: int = 100, **columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"step": np.arange(count) * 10, **columns})


def _curves(svg: str, colour: str) -> int:
    """How many polylines of a colour a drawing has."""
    root = ElementTree.fromstring(svg)
    return sum(colour in path.get("style", "") for path in root.iter(f"{SVG}path"))


def test_a_log_is_read_without_the_columns_that_are_no_losses(run: Run) -> None:
    run.losses.write_text("step,epoch,images_per_second,G_GAN,G_L1\n10,1,60.1,,0.5\n20,1,60.2,,0.25\n")
    table = run_states.read_losses(run)
    assert table is not None
    assert list(table.columns) == ["step", "G_GAN", "G_L1"]
    assert table["G_L1"].tolist() == [0.5, 0.25]
    assert table["G_GAN"].isna().all()


def test_a_run_without_a_log_has_none(run: Run) -> None:
    assert run_states.read_losses(run) is None
    for begun in ("", "step,epoch,images_per_second,G_GAN\n"):
        run.losses.write_text(begun)
        assert run_states.read_losses(run) is None


def test_a_last_line_cut_short_is_a_gap(run: Run) -> None:
    run.losses.write_text("step,epoch,images_per_second,G_L1\n10,1,60,0.5\n20,1")
    table = run_states.read_losses(run)
    assert table is not None
    assert table["G_L1"].isna().tolist() == [False, True]


def test_a_line_without_a_step_is_left_out(run: Run) -> None:
    run.losses.write_text("step,epoch,images_per_second,G_L1\n10,1,60,0.5\n,1,60,0.25\n")
    table = run_states.read_losses(run)
    assert table is not None
    assert table["step"].tolist() == [10]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "step,G_L1\n1,x\n", 'step,G_L1\n"1,2\n', "step\n1,2\n1,2,3,4\n"])
def test_a_file_that_is_no_log_is_refused(run: Run, text: str) -> None:
    run.losses.write_text(text)
    with pytest.raises(ReportError, match=r"losses\.csv: found .*expected numbers in columns step"):
        run_states.read_losses(run)


def test_smoothing_is_a_centred_rolling_mean() -> None:
    values = [0.0] * 75
    values[37] = 3.0
    smooth = plots.smooth(_table(75, G_L1=values), "G_L1")  # 75 / 25: a window of 3
    assert smooth["G_L1"].iloc[35:40].tolist() == pytest.approx([0, 1, 1, 1, 0])
    assert smooth["step"].tolist() == [10 * step for step in range(75)]


def test_long_logs_are_thinned_and_gaps_and_infinities_left_out() -> None:
    values = np.ones(10_000)
    values[::3] = np.nan
    values[1] = np.inf
    smooth = plots.smooth(_table(10_000, G_L1=list(values)), "G_L1")
    assert 400 <= len(smooth) <= 450
    assert (smooth["G_L1"] == 1).all()


def test_one_drawing_a_loss_one_curve_a_run_in_the_colour_of_its_cell() -> None:
    one, two = list(np.linspace(1, 0, 100)), list(np.linspace(2, 1, 100))
    runs = {"L1": [_table(G_L1=one), _table(G_L1=two)], "L1+cGAN": [_table(G_L1=two, D_real=one)]}
    strokes = plots.strokes(list(runs))
    drawings = plots.draw_losses(runs, strokes)
    assert [drawing.name for drawing in drawings] == ["G_L1", "D_real"]
    l1, real = (drawing.svg for drawing in drawings)
    assert strokes["L1"].colour != strokes["L1+cGAN"].colour
    assert _curves(l1, strokes["L1"].colour) == 2
    assert _curves(l1, strokes["L1+cGAN"].colour) == 1
    assert _curves(real, strokes["L1"].colour) == 0
    assert _curves(real, strokes["L1+cGAN"].colour) == 1


def test_a_loss_without_a_value_is_not_drawn() -> None:
    runs = {"L1": [_table(G_GAN=[float("nan")] * 100)]}
    assert plots.draw_losses(runs, plots.strokes(["L1"])) == []


def test_a_log_of_one_step_is_drawn() -> None:
    strokes = plots.strokes(["L1"])
    (drawing,) = plots.draw_losses({"L1": [_table(1, G_L1=[0.5])]}, strokes)
    assert ElementTree.fromstring(drawing.svg).tag.endswith("}svg")
    assert strokes["L1"].colour in drawing.svg


@pytest.mark.long
def test_drawings_are_the_same_bytes_each_time_and_have_no_background() -> None:
    runs = {"L1": [_table(G_L1=list(np.linspace(1, 0, 100)))]}
    strokes = plots.strokes(["L1"])
    (first,), (second,) = plots.draw_losses(runs, strokes), plots.draw_losses(runs, strokes)
    assert first.svg == second.svg
    assert "dc:date" not in first.svg
    assert "#ffffff" not in first.svg
    assert "#000000" not in first.svg


@pytest.mark.parametrize("setting", ["figure.autolayout", "figure.constrained_layout.use"])
def test_a_users_settings_do_not_move_the_curves(setting: str) -> None:
    runs, strokes = {"L1": [_table(G_L1=list(np.linspace(1, 0, 100)))]}, plots.strokes(["L1"])
    (usual,) = plots.draw_losses(runs, strokes)
    theirs_too: Any = {setting: True}
    with mpl.rc_context(theirs_too):
        (theirs,) = plots.draw_losses(runs, strokes)
    assert theirs.svg == usual.svg


def test_more_cells_than_colours_are_told_apart_by_dashes() -> None:
    strokes = plots.strokes([f"cell {number}" for number in range(20)])
    assert len(set(strokes.values())) == 20


def _luminance(colour: str) -> float:
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("page", ["#fdfdfb", "#131416"], ids=["light", "dark"])
def test_curves_keep_a_contrast_of_three_to_one_on_both_pages(page: str) -> None:
    for colour in plots.PALETTE:
        lighter, darker = sorted([_luminance(colour), _luminance(page)], reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 3, colour
