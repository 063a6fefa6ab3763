"""All scores of a results folder in one call, whatever its files hold."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import reports
from reports import tidy
from reports.store import ledger, scores
from reports.store.bootstrap import item_weights
from reports.store.layout import Grid

IDS = ("b", "a", "ü ' <i>")
# How often b, a and the third are drawn in 100 replicates.
WEIGHTS = item_weights(IDS, 100)


def _scores(l1: tuple[float, ...] = (0.25, 0.5, 0.75)) -> scores.Scores:
    values = np.array(l1)
    metrics = {
        "l1": scores.Metric(float(values.mean()), WEIGHTS @ values.astype(np.float32) / 3, values),
        "histogram_l": scores.Metric(0.5, WEIGHTS[:, 0] / 3),
    }
    return scores.Scores("image", {"scale": "0..1"}, IDS, 5, metrics)


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    """A grid of one run and the ground truth."""
    grid = Grid(tmp_path / "results/losses")
    ledger.write(grid.run("L1", 0), _scores())
    ledger.write(grid.real, _scores((0.0, 0.0, 0.0)))
    grid.json.write_text("{}")
    return grid


def test_each_metric_has_a_row_for_all_items_and_one_for_each(grid: Grid) -> None:
    table = reports.read(grid.folder.parent)
    low, high = _scores().interval("l1")
    assert list(table.columns) == [
        "grid",
        "cell",
        "seed",
        "item",
        "metric",
        "value",
        "low",
        "high",
        "n",
        "n_expected",
        "fingerprint",
        "scorer",
        "scorer_title",
        "note",
    ]
    assert table["cell"].tolist() == ["L1"] * 5 + ["real"] * 5
    trained = table[table["cell"] == "L1"]
    assert trained["seed"].tolist() == [0] * 5
    assert table[table["cell"] == "real"]["seed"].isna().all()
    assert trained["item"].tolist() == ["all", "all", *IDS]
    assert trained["metric"].tolist() == ["histogram_l", "l1", "l1", "l1", "l1"]
    assert trained["value"].tolist() == [0.5, 0.5, 0.25, 0.5, 0.75]
    assert trained["low"].tolist()[1] == pytest.approx(low)
    assert trained["high"].tolist()[1] == pytest.approx(high)
    assert trained["low"].isna().tolist() == [False, False, True, True, True]
    assert set(trained["n"]) == {3}
    assert set(trained["n_expected"]) == {5}
    assert set(trained["fingerprint"]) == {_scores().fingerprint}
    assert set(trained["scorer"]) == {"image"}
    assert set(trained["scorer_title"]) == {"Image scores"}
    assert table["note"].isna().all()
    assert set(trained["grid"]) == {"losses"}
    assert table.attrs["damaged"] == []


def test_several_grids_stand_in_one_table(build: Callable[..., Path]) -> None:
    build(name="losses", seeds=(0, 1))
    table = reports.read(str(build(name="patches", cells=("1x1",))))
    of_all = table[table["item"] == "all"].groupby("grid")["cell"].agg(list).to_dict()
    assert of_all == {"losses": ["L1", "L1", "L1+cGAN", "L1+cGAN", "real"], "patches": ["1x1", "real"]}


def test_a_grid_without_scores_is_a_table_without_rows(grid: Grid) -> None:
    for run in (grid.run("L1", 0), grid.real):
        run.score("image").unlink()
    table = reports.read(grid.folder.parent)
    assert tuple(table.columns) == tidy.COLUMNS
    assert len(table) == 0
    assert table["value"].dtype == float


def test_damage_is_named_and_the_rest_is_there(grid: Grid) -> None:
    path = grid.run("L1", 0).score("image")
    path.write_text("{")
    with pytest.warns(reports.DamagedScores, match="1 left out") as caught:
        table = reports.read(grid.folder.parent)
    assert table["cell"].unique().tolist() == ["real"]
    (line,) = table.attrs["damaged"]
    assert line.startswith(f"{path}: found something else, expected scores; move it away")
    assert line in str(caught[0].message)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(("there", "message"), [(True, "found no grid"), (False, "found no such folder")])
def test_nothing_to_read_is_an_error_of_one_line(tmp_path: Path, there: bool, message: str) -> None:
    folder = tmp_path / "results"
    if there:
        folder.mkdir()
    with pytest.raises(reports.ReportError, match=f"^{folder}: {message}, expected GRID/grid.json in it; .*$"):
        reports.read(folder)


@pytest.mark.process
def test_the_package_alone_brings_no_pandas() -> None:
    code = "import sys, reports; sys.exit('pandas' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


ODD: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


def _places(value: object, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The ways to all values of the objects inside a JSON document."""
    inside = value.items() if isinstance(value, dict) else ()
    return [path, *(place for key, inner in inside for place in _places(inner, (*path, key)))]


def _with(document: object, path: tuple[str, ...], value: object) -> object:
    if not path:
        return value
    assert isinstance(document, dict)
    return {**document, path[0]: _with(document[path[0]], path[1:], value)}


@st.composite
def mangled(draw: st.DrawFn, content: bytes, json_file: bool) -> bytes:
    """A file cut short, with bytes changed, or with another value somewhere in its JSON."""
    how = draw(st.sampled_from(["cut", "bytes", "value"] if json_file else ["cut", "bytes"]))
    if how == "cut":
        return content[: draw(st.integers(0, len(content)))]
    if how == "bytes":
        changed = bytearray(content)
        for _ in range(draw(st.integers(1, 4))):
            changed[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
        return bytes(changed)
    document = json.loads(content)
    return json.dumps(_with(document, draw(st.sampled_from(_places(document))), draw(ODD))).encode()


@pytest.mark.long
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data(), json_file=st.booleans())
def test_whatever_a_file_holds_it_is_read_or_named(grid: Grid, data: st.DataObject, json_file: bool) -> None:
    run = grid.run("L1", 0)
    path = run.score("image") if json_file else run.bootstrap("image")
    whole = path.read_bytes()
    try:
        path.write_bytes(data.draw(mangled(whole, json_file)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", reports.DamagedScores)
            table = reports.read(grid.folder.parent)
    finally:
        path.write_bytes(whole)
    cells = table["cell"].unique().tolist()
    if cells == ["L1", "real"]:
        assert table.attrs["damaged"] == []
        assert not np.isinf(table["value"]).any()
    else:
        assert cells == ["real"]
        (line,) = table.attrs["damaged"]
        assert line.startswith((str(run.score("image")), str(run.bootstrap("image"))))  # which of the pair is wrong
        assert "\n" not in line


@pytest.mark.process
@pytest.mark.parametrize("module", ["reports", "reports.store.ledger", "reports.trainings"])
def test_importing_what_commands_share_loads_no_slow_library(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'pandas', 'scipy', 'matplotlib', 'tifffile'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
