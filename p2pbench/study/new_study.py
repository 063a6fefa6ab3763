"""Settings and pictures of a new study."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from amt.protocol import Protocol
from amt.recruitment import Consent, Recruitment, SessionOutcome, Source
from amt.store.studies import StudyClusters
from amt.study_pictures import Sources, folder, matched
from p2pbench.datasets.catalogue import DATASETS
from p2pbench.datasets.clusters import find_clusters
from p2pbench.datasets.pictures import passed_over_line
from p2pbench.errors import UserError
from p2pbench.scoring.outputs import find_outputs
from p2pbench.training.records import found_now, read_run
from reports.store import json_files
from reports.store.arithmetic import check_pictures
from reports.store.grids import check_ranges
from reports.store.layout import Grid, Run, grids
from reports.store.ranges import Range


class Material(NamedTuple):
    """Pictures of a study.

    Attributes:
        sources: The files.
        origin: Their origin: runs as paths in the results folder, or folders.
        values: The pixel values that are black and white; None is the full range of 8 or 16 bits.
        clusters: Items that vary together; None if items are independent, or nothing is known.
    """

    sources: Sources
    origin: Mapping[str, str]
    values: Range | None = None
    clusters: StudyClusters | None = None


def from_results(
    results: Path,
    grid_name: str | None,
    seed: int | None,
    *,
    allow_partial: bool,
    clusters: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Material:
    """Take cells of a grid as algorithms.

    Their outputs are the fakes, the ground truth is real.

    Args:
        results: A results folder.
        grid_name: The grid; None if there is only one.
        seed: The run of each cell; None for the first.
        allow_partial: Use the items that all algorithms have, instead of requiring all.
        clusters: Items that vary together, as the setting of this name; None takes the grid's.
        say: Receives a line if the grid's range clips values, or clusters of items are unusual.

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
    return Material(sources, origin, check_ranges(grid, say).output, together)


def from_folders(
    results: Path,
    real: Path,
    fakes: Mapping[str, Path],
    *,
    allow_partial: bool,
    clusters: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Material:
    """Take plain folders of pictures.

    Fakes may be named by any tool that `fcn-score` knows.

    Outputs of a run in the results folder are recognised as the run's, so a study can show several seeds of a cell.

    Args:
        results: The results folder of the study.
        real: The real pictures.
        fakes: The fakes of each algorithm.
        allow_partial: Use the items that all algorithms have, instead of requiring all.
        clusters: Items that vary together, as the setting of this name; None takes the grid's, if all fakes are of one.
        say: Receives a line for each folder that holds more than the pictures that are used.

    Raises:
        AmtError: A folder has no pictures, or items lack pictures.
        UserError: A folder of fakes cannot be used.
        ReportError: A picture is not as its run made it.
    """
    passed_over: Counter[str] = Counter()
    originals = folder(real, passed_over)
    outputs = {name: find_outputs(path, originals) for name, path in fakes.items()}
    sources = matched(originals, {name: of.files for name, of in outputs.items()}, allow_partial=allow_partial)
    of_fakes = [f"{fakes[name]}: {of.passed_over}" for name, of in outputs.items() if of.passed_over]
    for line in (passed_over_line(real, passed_over), *of_fakes):
        if line:
            say(line)
    runs = {path.resolve(): run for run in _runs(results) for path in (run.folder, run.images)}
    origin = {"real": str(real), **{name: str(path) for name, path in fakes.items()}}
    of_runs = {name: run for name, path in fakes.items() if (run := runs.get(path.resolve()))}
    for name, run in of_runs.items():
        check_pictures(run)
        origin[name] = run.folder.relative_to(results).as_posix()
    of_grids = {run.folder.parents[1] for run in of_runs.values()}
    # Only if all fakes are of one grid do its settings say how the items depend on one another.
    if len(of_grids) == 1 and len(of_runs) == len(fakes):
        together = _clusters(Grid(of_grids.pop()), of_runs.values(), sources.items, say, clusters)
    else:
        known = find_clusters(clusters, None, sources.items).clusters
        together = None if known is None else StudyClusters(known.by, known.of)
    return Material(sources, origin, clusters=together)


def run_of(results: Path, origin: str) -> Run | None:
    """The run that an algorithm's fakes came from.

    None if it was removed.
    """
    folder = results / origin
    return next((run for run in _runs(results) if run.folder == folder), None)


def _clusters(
    grid: Grid, runs: Iterable[Run], items: Sequence[str], say: Callable[[str], None], setting: str | None
) -> StudyClusters | None:
    """Clusters of a study's items, by the setting or else the grid's own."""
    run = next((run for run in runs if run.config.exists()), None)
    if run is None:  # imported outputs: nothing is known of their dataset
        found = find_clusters(setting, None, items)
    else:
        config = found_now(read_run(run).settings, grid, clusters=setting)
        found = find_clusters(config.clusters, DATASETS[config.dataset].naming, sorted(grid.real.pictures()))
        for line in found.notices:
            say(line)
    clusters = found.clusters
    if clusters is None or not clusters.of.keys() >= set(items):
        return None
    return StudyClusters(clusters.by, {item: clusters.of[item] for item in items})


def _runs(results: Path) -> Iterator[Run]:
    return (run for grid in grids(results) for run in grid.runs())


def _grid(results: Path, name: str | None) -> Grid:
    by_name = {grid.name: grid for grid in grids(results)}
    if name is None and len(by_name) == 1:
        return next(iter(by_name.values()))
    if name in by_name:
        return by_name[name]
    there = f"the grids {', '.join(by_name)}" if by_name else "no grid"
    raise UserError(f"{results}: found {there}, expected one; choose it by --grid, or give --real and --fake folders")


_OPTIONS = {"scored": "--trials", "width": "--size", "height": "--size"}  # options not named as their setting
_OUTCOMES: dict[str, SessionOutcome] = {
    "completed": "completed",
    "no_consent": "no_consent",
    "ineligible": "ineligible",
}


def protocol(settings: Mapping[str, object]) -> Protocol:
    """Validate the settings of a protocol.

    Raises:
        UserError: A setting is invalid; the message names its option.
    """
    try:
        return Protocol.model_validate(settings)
    except ValidationError as error:
        field, colon, what = json_files.problem(error).partition(": ")
        option = _OPTIONS.get(field, f"--{field}") if field in settings else field
        raise UserError(f"{option}{colon}{what}; change it") from None


def consent(path: Path | None, contact: str) -> Consent:
    """Read the consent text, paragraphs separated by empty lines.

    None takes the built-in text.

    Raises:
        UserError: The file holds no text.
    """
    if path is None:
        return Consent(contact=contact)
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path}: found no UTF-8 text, expected paragraphs; save it as UTF-8") from None
    paragraphs = tuple(" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip())
    if not paragraphs:
        raise UserError(f"{path}: found no text, expected the consent text; write it, or leave out --consent")
    return Consent(paragraphs=paragraphs, contact=contact)


def recruitment(by: Source, given: Mapping[str, str]) -> Recruitment:
    """Recruitment by link or Prolific, with Prolific's codes by outcome.

    Raises:
        UserError: A code is for an unknown outcome or another recruitment, or the one for completion is missing.
    """
    unknown = sorted(given.keys() - _OUTCOMES.keys())
    if unknown:
        raise UserError(f"--prolific-code {unknown[0]}: expected one of {', '.join(_OUTCOMES)}; change it")
    if given and by != "prolific":
        raise UserError("--prolific-code goes with --recruit prolific; give both or neither")
    if by == "prolific" and "completed" not in given:
        raise UserError("--recruit prolific: expected --prolific-code completed=CODE too; Prolific shows the code")
    return Recruitment(by=by, codes={_OUTCOMES[key]: code for key, code in given.items()})
