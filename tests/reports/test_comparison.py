"""What changed between two results folders: what is paired with what, and every difference with its interval."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reports import browse, comparison, comparison_verdicts
from reports.comparison import ComparisonTable, GridComparison, PairedNames
from reports.comparison_page import read
from reports.reproduce import Change
from reports.store import bootstrap, ledger
from reports.store.errors import ReportError
from reports.store.layout import Grid, Run
from reports.store.scores import Metric, Scores
from reports.verdicts import Verdict

ITEMS = ("bridge", "church", "harbour", "square")
PROTOCOL = {"scale": "0..1", "ssim_window": 11}
REPLICATES = 200


def rescore(
    run: Run,
    values: Sequence[float],
    items: Sequence[str] = ITEMS,
    metric: str = "l1",
    scorer: str = "image",
    replicates: int = REPLICATES,
    n_expected: int = len(ITEMS),
    **protocol: object,
) -> None:
    per_item = np.array(values)
    weights = bootstrap.item_weights(items, replicates)
    means = weights @ per_item.astype(np.float32) / len(items)
    metrics = {metric: Metric(float(per_item.mean()), means, per_item)}
    ledger.write(run, Scores(scorer, {**PROTOCOL, **protocol}, tuple(items), n_expected, metrics))


@pytest.fixture
def both(build: Callable[..., Path], tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """A function that makes a results folder and its copy."""

    def make(**choices: object) -> tuple[Path, Path]:
        a = build(**choices)
        return a, Path(shutil.copytree(a, tmp_path / "after"))

    return make


def losses(a: Path, b: Path) -> GridComparison:
    (found,) = comparison_verdicts.judged(comparison.compare(read(a), read(b))[0])
    return found


def image(a: Path, b: Path) -> ComparisonTable:
    (table,) = losses(a, b).tables
    return table


def test_a_difference_is_paired_over_the_same_draws(both: Callable[..., tuple[Path, Path]]) -> None:
    a, b = both()
    values = [0.25, 0.19, 0.26, 0.29]
    rescore(Grid(b / "losses").run("L1", 0), values[::-1], ITEMS[::-1])  # the order of the items does not matter
    row = image(a, b).rows[0]
    pair = row.pairs["l1"]
    assert pair.a is not None
    assert pair.b is not None
    assert pair.difference is not None
    assert pair.a.value == pytest.approx(0.215)
    assert pair.b.value == pytest.approx(0.2475)
    assert pair.difference.value == pytest.approx(0.0325)
    changes = [0.05, -0.02, 0.04, 0.06]
    drawn = bootstrap.item_weights(ITEMS, REPLICATES)
    means = [sum(count * change for count, change in zip(draw, changes, strict=True)) / 4 for draw in drawn.tolist()]
    half = 3.182446 * np.std(means) * np.sqrt(4 / 3)  # Student's t of three degrees of freedom
    assert pair.difference.interval == pytest.approx((0.0325 - half, 0.0325 + half), abs=1e-5)
    assert not pair.difference.trainings


def test_several_seeds_are_averaged_and_their_spread_counts_on_each_side(
    both: Callable[..., tuple[Path, Path]],
) -> None:
    a, b = both(seeds=(0, 1))
    rescore(Grid(b / "losses").run("L1", 1), [0.5, 0.1, 0.4, 0.2])
    pair = image(a, b).rows[0].pairs["l1"]
    assert pair.difference is not None
    assert pair.difference.value == pytest.approx((0.215 + 0.3) / 2 - 0.215)
    assert pair.difference.trainings
    # The seeds of B are 0.085 apart, those of A alike: a variance of 0.085**2 / 4 with one degree of freedom, and
    # little of the items.
    low, high = pair.difference.interval
    assert (high - low) / 2 == pytest.approx(12.7 * 0.085 / 2, rel=0.4)


def test_scores_say_what_became_of_a_cell(both: Callable[..., tuple[Path, Path]]) -> None:
    a, b = both()
    rescore(Grid(b / "losses").run("L1", 0), [0.1, 0.11, 0.12, 0.13])
    rescore(Grid(b / "losses").run("L1+cGAN", 0), [0.5, 0.51, 0.52, 0.53])
    table = image(a, b)
    assert [(row.cell, row.pairs["l1"].verdict) for row in table.rows] == [
        ("L1", "ahead on these items"),
        ("L1+cGAN", "behind on these items"),
    ]
    assert table.real is not None
    assert table.real.pairs["l1"].verdict == "tie"
    assert [table.count(each) for each in (Verdict.AHEAD, Verdict.BEHIND, Verdict.LEVEL)] == [1, 1, 0]
    assert not table.unchanged


@pytest.mark.parametrize("same", [True, False])
def test_nothing_changed(both: Callable[..., tuple[Path, Path]], same: bool) -> None:
    a, b = both(seeds=(0, 1))
    found = losses(a, a if same else b)
    (table,) = found.tables
    assert table.unchanged
    assert found.settings == ()
    assert table.count(Verdict.TIE) == 2
    for row in table.all_rows():
        difference = row.pairs["l1"].difference
        assert difference is not None
        assert (difference.value, *difference.interval) == (0, 0, 0)


def test_equal_means_of_other_items_are_no_equality(both: Callable[..., tuple[Path, Path]]) -> None:
    a, b = both()
    rescore(Grid(b / "losses").run("L1", 0), [0.23, 0.22, 0.21, 0.20])
    table = image(a, b)
    assert table.rows[0].pairs["l1"].verdict == "level on these items"
    assert not table.unchanged


@pytest.mark.parametrize(
    ("choices", "reasons"),
    [
        ({"ssim_window": 7}, [("ssim_window", "11", "7")]),
        ({"size": {"w": 64}}, [("size", "–", '{"w": 64}')]),
        ({"size": None}, [("size", "–", "not set")]),
        ({"scale": "0..1", "ssim_window": 11.0}, [("ssim_window", "11", "11.0")]),
        ({"items": (*ITEMS[:2], "tower")}, [("items", "4 of 4 with 2 of its own", "3 of 4 with 1 of its own")]),
        ({"replicates": 100}, [("bootstrap replicates", "200", "100")]),
    ],
)
def test_other_protocols_items_and_draws_are_never_compared(
    both: Callable[..., tuple[Path, Path]], choices: dict[str, object], reasons: list[tuple[str, str, str]]
) -> None:
    a, b = both()
    items = choices.get("items", ITEMS)
    rescore(Grid(b / "losses").run("L1", 0), [0.1] * len(items), **{"items": items, **choices})  # type: ignore[arg-type]
    table = image(a, b)
    (row,) = table.apart
    assert (row.cell, list(row.reasons)) == ("L1", [Change(*reason) for reason in reasons])
    pair = row.pairs["l1"]
    assert pair.a is not None
    assert pair.b is not None
    assert (pair.a.value, pair.b.value) == pytest.approx((0.215, 0.1))
    assert (pair.difference, pair.verdict) == (None, None)
    assert [row.cell for row in table.rows] == ["L1+cGAN"]
    assert not table.unchanged


def test_a_seed_without_its_like_on_the_other_side_is_left_out(both: Callable[..., tuple[Path, Path]]) -> None:
    a, b = both(seeds=(0, 1))
    rescore(Grid(b / "losses").run("L1", 0), [0.9] * 4, ssim_window=7)
    row = image(a, b).rows[0]
    assert (row.a.seeds, row.a.left_out) == ((0, 1), ())
    assert (row.b.seeds, row.b.left_out) == ((1,), (0,))
    assert row.pairs["l1"].difference is not None
    assert row.pairs["l1"].difference.value == pytest.approx(0)


def test_a_metric_of_one_side_has_no_difference(both: Callable[..., tuple[Path, Path]]) -> None:
    a, b = both()
    rescore(Grid(b / "losses").run("L1", 0), [0.9] * 4, metric="psnr")
    table = image(a, b)
    assert table.metrics == ("psnr", "l1")
    pairs = table.rows[0].pairs
    assert {name: (pair.a is None, pair.b is None, pair.difference) for name, pair in pairs.items()} == {
        "psnr": (True, False, None),
        "l1": (False, True, None),
    }
    assert not table.unchanged


def test_what_only_one_side_has_is_listed(both: Callable[..., tuple[Path, Path]], build: Callable[..., Path]) -> None:
    a, b = both(cells=("L1", "old", "L1+cGAN"))
    text = (b / "losses/grid.json").read_text()
    (b / "losses/grid.json").write_text(text.replace('"old"', '"new"'))
    build(name="patches")
    rescore(Grid(b / "losses").run("L1", 0), [1, 2, 3, 4], scorer="other")
    (b / "losses/L1+cGAN/seed-0/scores/image.json").unlink()
    (found,), grids = comparison.compare(read(a), read(b))
    assert grids == PairedNames(("losses",), ("patches",), ())
    assert found.cells == PairedNames(("L1", "L1+cGAN"), ("old",), ("new",))
    assert found.scorers == PairedNames(("image",), (), ("other",))
    assert found.tables[0].cells == PairedNames(("L1", "real"), ("L1+cGAN",), ())


def test_settings_that_differ_are_named_on_both_sides(both: Callable[..., tuple[Path, Path]]) -> None:
    a, b = both()
    path = b / "losses/grid.json"
    for old, new in (
        ('"name": "adam"', '"name": "sgd", "momentum": 0.9'),
        ('"steps": 300', '"steps": 400'),
        ('"l1_weight": 100', '"l1_weight": 10'),
        ('"numpy": "2.0"', '"scipy": "1.0"'),
        ("abc123", "def456"),
    ):
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
    assert losses(a, b).settings == (
        Change("steps", "300", "400"),
        Change("optimizer.name", "adam", "sgd"),
        Change("optimizer.momentum", "–", "0.9"),
        Change("cells.L1+cGAN.l1_weight", "100", "10"),
        Change("versions.scipy", "–", "1.0"),
        Change("git revision", "abc123", "def456"),
        Change("versions.numpy", "2.0", "–"),
    )


def test_changes_by_item_are_of_shared_items_under_one_protocol(both: Callable[..., tuple[Path, Path]]) -> None:
    a, b = both()
    run = Grid(b / "losses").run("L1", 0)
    rescore(run, [0.1, 0.5, 0.9], ("square", "bridge", "tower"))
    (before,), (after,) = ledger.read(Grid(a / "losses").run("L1", 0)), ledger.read(run)
    assert browse.changes_by_item(before, after) == {"l1": pytest.approx({"square": 0.1 - 0.23, "bridge": 0.5 - 0.2})}
    assert browse.changes_by_item(before, replace(after, protocol={"scale": "0..255"})) == {}


def test_folders_without_a_common_cell_say_what_each_has(
    both: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    a, b = both(cells=("L1",))
    (b / "losses").rename(b / "patches")
    with pytest.raises(
        ReportError, match=r"after: found the cells patches/L1, expected .*results: losses/L1; give two"
    ):
        comparison.compare(read(a), read(b))
    with pytest.raises(ReportError, match=r"nowhere: found no such folder, expected GRID/grid\.json in it; give"):
        read(tmp_path / "nowhere")
    (tmp_path / "bare").mkdir()
    with pytest.raises(ReportError, match="bare: found no grid"):
        read(tmp_path / "bare")
    (a / "losses/grid.json").write_text("{")
    with pytest.raises(ReportError, match=r"losses/grid\.json: .* train the grid again"):
        read(a)


def test_the_page_counts_its_verdicts(both: Callable[..., tuple[Path, Path]]) -> None:
    a, b = both()
    rescore(Grid(b / "losses").run("L1", 0), [0.1, 0.11, 0.12, 0.13])
    found = losses(a, b)
    assert comparison_verdicts.summary([found]) == comparison_verdicts.Summary(
        compared=2, changed=1, expected_false=0.05, once="items"
    )
    assert found.tables[0].over == "items only, of one training per cell"
