"""The cells of a grid as the algorithms of a study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from amt.sources import Sources, folder, matched
from amt.store.studies import Clusters
from p2pbench.datasets.clusters import find_clusters
from p2pbench.datasets.pictures import passed_over_line
from p2pbench.errors import UserError
from p2pbench.image_scoring import clusters_now
from p2pbench.segmentation.outputs import find_outputs
from reports import filled
from reports.arithmetic import check_pictures
from reports.grids import Range
from reports.layout import Grid, Run, grids


class Material(NamedTuple):
    """A study's pictures.

    Attributes:
        sources: The files.
        origin: Where they came from: runs as paths in the results folder, or folders.
        values: Those of the pictures that are black and white; None is all of 8 or 16 bits.
        clusters: Which items vary together; None where each stands alone, or nobody has said.
    """

    sources: Sources
    origin: Mapping[str, str]
    values: Range | None = None
    clusters: Clusters | None = None


def from_results(
    results: Path,
    grid_name: str | None,
    seed: int | None,
    *,
    allow_partial: bool,
    clusters: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Material:
    """Each cell of a grid as an algorithm, its outputs as fakes, the ground truth as real.

    Args:
        results: A results folder.
        grid_name: Which grid; None if there is one.
        seed: Which run of each cell; None for the first.
        allow_partial: Whether to go on with the items that all have.
        clusters: Which items vary together, as the setting of this name; None takes the grid's.
        say: Called with a line where the grid's range clips some values, or items are in clusters of an odd kind.

    Raises:
        UserError: There is no such grid, or a cell has no run of that seed, or clusters do not fit the items.
        ReportError: The grid's range is not that of its pictures, or a picture is not as its run made it.
        AmtError: Items lack pictures.
    """
    grid = _grid(results, grid_name)
    chosen: dict[str, Run] = {}
    for run in grid.runs():
        if run.pictures() and (seed is None or run.seed == seed):
            chosen.setdefault(run.cell, run)
    for run in (grid.real, *chosen.values()):
        check_pictures(run)
    if not chosen:
        which = "" if seed is None else f" of seed {seed}"
        raise UserError(f"{grid.folder}: found no outputs{which}; finish its training, or give another --seed")
    sources = matched(
        grid.real.pictures(), {cell: run.pictures() for cell, run in chosen.items()}, allow_partial=allow_partial
    )
    origin = {cell: run.folder.relative_to(results).as_posix() for cell, run in chosen.items()}
    together = _clusters(grid, chosen.values(), sources.items, say, clusters)
    return Material(sources, origin, filled.ranges(grid, say).output, together)


def from_folders(
    results: Path,
    real: Path,
    fakes: Mapping[str, Path],
    *,
    allow_partial: bool,
    clusters: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Material:
    """Plain folders of pictures; those of the fakes may be named by any tool that `fcn-score` knows.

    Outputs of a run in the results folder are known as the run's, so that several seeds of a cell can be judged.

    Args:
        results: The results folder of the study.
        real: The real pictures.
        fakes: The fakes of each algorithm.
        allow_partial: Whether to go on with the items that all have.
        clusters: Which items vary together, as the setting of this name; None takes that of a grid whose runs they are.
        say: Called with a line for each folder that holds more than the pictures that are used.

    Raises:
        AmtError: A folder has no pictures, or items lack pictures.
        UserError: A folder of fakes cannot be used.
        ReportError: A picture is not as its run made it.
    """
    passed_over: Counter[str] = Counter()
    originals = folder(real, passed_over)
    outputs = {name: find_outputs(path, originals) for name, path in fakes.items()}
    sources = matched(originals, {name: found.files for name, found in outputs.items()}, allow_partial=allow_partial)
    of_fakes = [f"{fakes[name]}: {found.passed_over}" for name, found in outputs.items() if found.passed_over]
    for line in (passed_over_line(real, passed_over), *of_fakes):
        if line:
            say(line)
    runs = {place.resolve(): run for run in _runs(results) for place in (run.folder, run.images)}
    origin = {"real": str(real), **{name: str(path) for name, path in fakes.items()}}
    judged = {name: run for name, path in fakes.items() if (run := runs.get(path.resolve()))}
    for name, run in judged.items():
        check_pictures(run)
        origin[name] = run.folder.relative_to(results).as_posix()
    of_grids = {run.folder.parents[1] for run in judged.values()}
    if len(of_grids) == 1 and len(judged) == len(fakes):
        together = _clusters(Grid(of_grids.pop()), judged.values(), sources.items, say, clusters)
    else:
        found = find_clusters(clusters, None, sources.items).clusters
        together = None if found is None else Clusters(found.by, found.of)
    return Material(sources, origin, clusters=together)


def run_of(results: Path, origin: str) -> Run | None:
    """The run that an algorithm's fakes came from, if it is still there."""
    folder = results / origin
    return next((run for run in _runs(results) if run.folder == folder), None)


def _clusters(
    grid: Grid, runs: Iterable[Run], items: Sequence[str], say: Callable[[str], None], asked: str | None
) -> Clusters | None:
    """Which of a study's items vary together; of runs that say nothing of their dataset by what is asked alone."""
    run = next((run for run in runs if run.config.exists()), None)
    found = find_clusters(asked, None, items).clusters if run is None else clusters_now(grid, run, say, asked)
    if found is None or not found.of.keys() >= set(items):
        return None
    return Clusters(found.by, {item: found.of[item] for item in items})


def _runs(results: Path) -> Iterator[Run]:
    return (run for grid in grids(results) for run in grid.runs())


def _grid(results: Path, name: str | None) -> Grid:
    found = {grid.name: grid for grid in grids(results)}
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if name in found:
        return found[name]
    there = f"the grids {', '.join(found)}" if found else "no grid"
    raise UserError(f"{results}: found {there}, expected one; say which with --grid, or give --real and --fake folders")
