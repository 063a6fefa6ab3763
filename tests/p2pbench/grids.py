"""Grids trained and scored as the commands do, from Python."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from p2pbench.ablation import dry_run, runner
from p2pbench.ablation.grid import GridPlan, PlannedRun, plan_grid
from p2pbench.cluster.jobs import Cluster
from p2pbench.config import GridConfig, RunConfig
from p2pbench.datasets.decoders import Picture
from p2pbench.datasets.transforms import Range
from p2pbench.runtime.interrupt import stop_request
from p2pbench.runtime.progress import ProgressReporter
from p2pbench.scoring.after_training import score_new_pictures
from p2pbench.scoring.image_scores import ImageScorer, ImageScores, image_scores
from p2pbench.scoring.score import score_pictures
from p2pbench.scoring.scorer import Outputs, Scored, Scorer, Targets
from reports.store.layout import Grid, Run


def run_grid(
    results: Path,
    name: str,
    grid: GridConfig,
    where: str,
    overrides: Mapping[str, Any],
    seeds: Sequence[int] | None,
    reporter: ProgressReporter,
    parallel: int = 1,
    cluster: Cluster | None = None,
) -> Grid:
    """Train a grid and score its pictures."""
    plan = plan_grid(Grid(results / name), grid, where, overrides, seeds)
    trained = runner.run_grid(plan, reporter, parallel, cluster, stop_request)
    score_new_pictures(trained, reporter)
    return trained.grid


def estimate_lines(
    results: Path, name: str, grid: GridConfig, where: str, overrides: Mapping[str, Any], seeds: Sequence[int] | None
) -> list[str]:
    """The lines of a dry run."""
    return list(dry_run.estimate_lines(plan_grid(Grid(results / name), grid, where, overrides, seeds)))


def difference_lines(results: Path, name: str, config: RunConfig, seeds: Sequence[int]) -> list[str]:
    """What a dry run says of detectable differences in a grid of one cell."""
    grid = Grid(results / name)
    runs = [PlannedRun(grid.run("one", seed), config.model_copy(update={"seed": seed})) for seed in seeds]
    return list(dry_run.difference_lines(GridPlan(grid, GridConfig(title="grid", cells={"one": {}}), "test", runs)))


def image_score(results: Path, *more: Scorer, native: bool = False) -> list[Scored]:
    """Score a results folder by its pictures."""
    return list(score_pictures(results, [ImageScorer(), *more], native=native))


def score_images(
    files: Mapping[str, Path],
    read: Callable[[str], Picture],
    n_expected: int,
    *,
    native: bool = False,
    ends: Range | None = None,
) -> ImageScores:
    """Score pictures against targets, without a results folder."""
    run = Run(Path("nowhere"), "cell", None)
    return image_scores(Outputs(run, "outputs", files, n_expected, {}, ends, targets=Targets(read, native)))
