"""The scores of runs of a results folder that compare an output with its target, or all outputs with all targets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from p2pbench.ablation.listener import Listener
from p2pbench.ablation.references import recorded
from p2pbench.datasets import pictures
from p2pbench.datasets.catalogue import open_dataset, run_items
from p2pbench.datasets.dataset import MOST_NAMED
from p2pbench.datasets.pictures import Picture
from p2pbench.datasets.scale import Range
from p2pbench.errors import UserError
from p2pbench.metrics import colour
from p2pbench.metrics.distribution_score import FID, KID
from p2pbench.metrics.image_score import SCORER, ImageScores, Target, score_images
from p2pbench.origin import origin
from p2pbench.perceptual_scoring import LPIPS, PerceptualScorer, check_reason
from p2pbench.results import check_test_items, found_now, grid_of, read_run
from reports import filled, grids, layout, ledger, made
from reports.arithmetic import check_pictures
from reports.layout import Grid, Run
from reports.names import counted
from reports.scores import Scores


class Pairs(NamedTuple):
    """A run's outputs and what they are compared with.

    Attributes:
        outputs: The output files by item id.
        target: Finds an item's target.
        n_expected: How many items the split has.
        native: Targets have their own size and aspect, and outputs are resized to it.
        ends: The values of both that are black and white; None is all of their depth.
    """

    outputs: dict[str, Path]
    target: Target
    n_expected: int
    native: bool
    ends: Range | None


def pairs(grid: Grid, run: Run, n_expected: int) -> Pairs:
    """A run's pictures and those of `real/`, under the same resizing.

    Raises:
        UserError: pictures of the run or of `real/` are missing.
    """
    targets = grid.real.pictures()
    if gone := sorted(recorded(grid).keys() - targets.keys()):
        raise UserError(
            f"{grid.real.images}: found no picture of {', '.join(gone[:MOST_NAMED])}, which runs of {grid.name} were "
            "tested on; give the command that trained one of them again, which makes it"
        )
    outputs = _outputs(run, targets.keys())
    return Pairs(outputs, lambda id_: pictures.read(targets[id_]), n_expected, False, grids.ranges(grid).output)


def native_pairs(grid: Grid, run: Run) -> Pairs:
    """A run's pictures and the dataset's own targets, at their own size and aspect.

    Raises:
        UserError: pictures are missing, or the dataset is no longer where the run found it.
    """
    record = read_run(run)
    config = found_now(record.settings, grid_of(run))
    dataset = open_dataset(config)
    items = {item.id: item for item in run_items(dataset, config).test}
    check_test_items(run, record, dataset, list(items.values()))

    def target(id_: str) -> Picture:
        sample = dataset.load(items[id_], None)
        return dataset.to_picture(sample.input, sample.target)

    return Pairs(_outputs(run, items.keys()), target, len(items), True, grids.ranges(grid).output)


def score_run(run: Run, found: Pairs) -> Scores:
    """Score a run's pictures by all that needs no network, and write the scores and the colour histograms.

    Raises:
        UserError: a picture cannot be decoded, or does not fit its target.
    """
    scored = score_images(
        found.outputs, found.target, found.n_expected, native=found.native, ends=found.ends, origin=origin(run)
    )
    _write_histograms(run, scored)  # before the scores: where those are, the histograms are theirs
    ledger.write(run, scored.scores)
    return scored.scores


def score_results(
    results: Path,
    *,
    native: bool,
    perceptual: PerceptualScorer | None = None,
    fid: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[tuple[Grid, Run, Scores]]:
    """Score every run in a results folder, one after the other, and each by one scorer after the other.

    Args:
        results: the results folder.
        native: compare with the dataset's own targets instead of `real/`.
        perceptual: scores by LPIPS too, if given.
        fid: has it score by FID and KID too, against `real/`.
        say: called with a line where a grid's range clips some values.

    Raises:
        UserError: there is no run, or one cannot be scored.
        ReportError: a grid's range is not that of its pictures; or a picture is not as its run made it; or a file that
            is another's, or was changed by hand, is where scores go.
    """
    runs = [(grid, run) for grid in layout.grids(results) for run in grid.runs()]
    if not runs:
        what = "no run found" if results.is_dir() else layout.found_at(results)
        raise UserError(f"{results}: {what}; expected a results folder as training writes it")
    for grid in {grid: None for grid, _ in runs}:
        filled.ranges(grid, say)
    for row in {row: None for grid, run in runs for row in (grid.real, run)}:
        check_pictures(row)
    for _, run in runs:
        _check_free(run)
    for grid, run in runs:
        found = native_pairs(grid, run) if native else pairs(grid, run, len(grid.real.pictures()))
        yield grid, run, score_run(run, found)
        if perceptual is not None:
            for scores in perceptual.score_lpips(run, *found):
                yield grid, run, scores
            for scores in perceptual.score_distributions(grid, run, found.outputs) if fid else []:
                yield grid, run, scores


def score_new(grid: Grid, runs: Iterable[tuple[Run, int]], device: str, listener: Listener) -> None:
    """Score runs, each with the number of items its split has, by what has not scored them yet: image scores, LPIPS.

    Raises:
        UserError: pictures are missing, or do not fit their targets.
        ReportError: the grid's range is not that of its pictures.
    """
    filled.ranges(grid)
    perceptual = PerceptualScorer(grid.folder.parent, device, listener)
    for run, n_expected in runs:
        done = {scorer for scorer in run.scorers() if not _lacks_range(grid, run, scorer)}
        if SCORER not in done:
            score_run(run, pairs(grid, run, n_expected))
        if LPIPS not in done:
            perceptual.score_lpips(run, *pairs(grid, run, n_expected))


def _lacks_range(grid: Grid, run: Run, scorer: str) -> bool:
    """Whether a score is of a version that took all of the depth although the grid declares a range."""
    if scorer not in {SCORER, LPIPS} or grids.ranges(grid).output is None:
        return False
    return "output_range" not in ledger.read_scorer(run, scorer).protocol


def _write_histograms(run: Run, scored: ImageScores) -> None:
    made.check_free(run.lab_histograms, colour.HEADER)
    if scored.histograms is None:
        run.lab_histograms.unlink(missing_ok=True)
    else:
        made.put(run.lab_histograms, colour.histogram_csv(*scored.histograms).encode(), colour.HEADER)


def _check_free(run: Run) -> None:
    """Refuse to score a run by another's files, or ones that were changed by hand, where its scores go.

    Raises:
        ReportError: There is one; it is named.
    """
    for scorer in (SCORER, LPIPS, FID, KID):
        ledger.check_free(run, scorer)
    for scorer in (LPIPS, FID, KID):
        check_reason(run, scorer)
    made.check_free(run.lab_histograms, colour.HEADER)


def _outputs(run: Run, expected: Collection[str]) -> dict[str, Path]:
    outputs = run.pictures()
    missing = sorted(set(expected) - outputs.keys())
    if not expected:
        raise UserError(f"{run.folder}: there are no targets to score against; give the command that trained it again")
    if missing:
        raise UserError(
            f"{run.images}: {len(expected) - len(missing)} of {counted(len(expected), 'picture')} there; missing "
            f"{', '.join(missing[:MOST_NAMED])}; give the command that trained it again, to make the rest"
        )
    return {id_: outputs[id_] for id_ in expected}
