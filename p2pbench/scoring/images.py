"""The scores of runs of a results folder that compare an output with its target, or all outputs with all targets."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from p2pbench.ablation.references import recorded
from p2pbench.config import RunConfig
from p2pbench.datasets import pictures
from p2pbench.datasets.catalogue import DATASETS, open_dataset, run_items
from p2pbench.datasets.clusters import ItemClusters, find_clusters, of_clusters
from p2pbench.datasets.dataset import MOST_NAMED
from p2pbench.datasets.decoders import Picture
from p2pbench.datasets.transforms import Range
from p2pbench.errors import UserError
from p2pbench.metrics import images
from p2pbench.runtime.progress import ProgressReporter
from p2pbench.scoring.distribution_scores import FID, KID
from p2pbench.scoring.image_scores import SCORER, ImageScores, Target, compared, score_images
from p2pbench.scoring.perceptual import LPIPS, PerceptualScorer, check_reason
from p2pbench.training.records import check_test_items, found_now, origin, read_run, read_runs
from reports.store import grids, layout, ledger, made
from reports.store.arithmetic import check_pictures
from reports.store.bootstrap import FIELD
from reports.store.errors import ReportError
from reports.store.layout import Grid, Run
from reports.store.names import counted, typed
from reports.store.scores import Scores


class Pairs(NamedTuple):
    """A run's outputs and what they are compared with.

    Attributes:
        outputs: The output files by item id.
        target: Finds an item's target.
        n_expected: How many items the split has.
        native: Targets have their own size and aspect, and outputs are resized to it.
        ends: The values of both that are black and white; None is all of their depth.
        clusters: Which items vary together, if any.
    """

    outputs: dict[str, Path]
    target: Target
    n_expected: int
    native: bool
    ends: Range | None
    clusters: ItemClusters | None


Say = Callable[[str], None]


def pairs(grid: Grid, run: Run, n_expected: int, say: Say, clusters: str | None = None) -> Pairs:
    """A run's pictures and those of `real/`, under the same resizing.

    Args:
        grid: the grid.
        run: one of its runs.
        n_expected: how many items the split has.
        say: called with a line where items are in clusters of an odd kind.
        clusters: which items vary together, as the setting of this name; None takes the grid's.

    Raises:
        UserError: pictures of the run or of `real/` are missing, or clusters do not fit the items.
    """
    targets = grid.real.pictures()
    if gone := sorted(recorded(grid).keys() - targets.keys()):
        raise UserError(
            f"{grid.real.images}: found no picture of {', '.join(gone[:MOST_NAMED])}, which runs of {grid.name} were "
            "tested on; give the command that trained one of them again, which makes it"
        )
    outputs = _outputs(run, targets.keys())
    config = found_now(read_run(run).settings, grid, clusters=clusters)
    ends = grids.ranges(grid).output
    return Pairs(
        outputs, lambda id_: pictures.read(targets[id_]), n_expected, False, ends, _clusters(config, outputs, say)
    )


def native_pairs(grid: Grid, run: Run, say: Say, clusters: str | None = None) -> Pairs:
    """A run's pictures and the dataset's own targets, at their own size and aspect; the arguments are those of `pairs`.

    Raises:
        UserError: pictures are missing, the dataset is no longer where the run found it, or clusters do not fit.
    """
    record = read_run(run)
    config = found_now(record.settings, grid, clusters=clusters)
    dataset = open_dataset(config)
    items = {item.id: item for item in run_items(dataset, config).test}
    check_test_items(run, record, dataset, list(items.values()))

    def target(id_: str) -> Picture:
        sample = dataset.load(items[id_], None)
        return dataset.to_picture(sample.input, sample.target)

    ends = grids.ranges(grid).output
    return Pairs(_outputs(run, items.keys()), target, len(items), True, ends, _clusters(config, items, say))


def clusters_now(grid: Grid, run: Run, say: Say, clusters: str | None = None) -> ItemClusters | None:
    """Which of a grid's test items vary together, as given or as the grid has it now; None where each stands alone.

    Raises:
        ReportError: the run's settings are missing or damaged.
        UserError: clusters do not fit the items.
    """
    return _clusters(found_now(read_run(run).settings, grid, clusters=clusters), grid.real.pictures(), say)


def _clusters(config: RunConfig, item_ids: Iterable[str], say: Say) -> ItemClusters | None:
    found = find_clusters(config.clusters, DATASETS[config.dataset].naming, sorted(item_ids))
    for line in found.notices:
        say(line)
    return found.clusters


def score_run(run: Run, found: Pairs) -> Scores:
    """Score a run's pictures by all that needs no network, and write the scores and the colour histograms.

    Raises:
        UserError: a picture cannot be decoded, or does not fit its target.
    """
    scored = score_images(
        found.outputs,
        found.target,
        found.n_expected,
        native=found.native,
        ends=found.ends,
        origin=origin(run),
        clusters=found.clusters,
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
    say: Say = lambda line: None,
    clusters: str | None = None,
) -> Iterator[tuple[Grid, Run, Scores]]:
    """Score every run in a results folder, one after the other, and each by one scorer after the other.

    Args:
        results: the results folder.
        native: compare with the dataset's own targets instead of `real/`.
        perceptual: scores by LPIPS too, if given.
        fid: has it score by FID and KID too, against `real/`.
        say: called with a line where a grid's range clips some values, or items are in clusters of an odd kind or few.
        clusters: which items vary together, as the setting of this name; None takes what each grid has.

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
        grids.check_ranges(grid, say)
    for row in {row: None for grid, run in runs for row in (grid.real, run)}:
        check_pictures(row)
    for _, run in runs:
        _check_free(run)
    for grid, run in runs:
        if native:
            found = native_pairs(grid, run, say, clusters)
        else:
            found = pairs(grid, run, len(grid.real.pictures()), say, clusters)
        scores = score_run(run, found)
        if scores.clusters is not None and scores.clusters.doubt:
            say(f"{grid.name}: {scores.clusters.doubt}")
        yield grid, run, scores
        if perceptual is not None:
            for scores in perceptual.score_lpips(run, *found):
                yield grid, run, scores
            for scores in perceptual.score_distributions(grid, run, found.outputs, found.clusters) if fid else []:
                yield grid, run, scores


def score_new(grid: Grid, runs: Iterable[tuple[Run, int]], device: str, reporter: ProgressReporter) -> None:
    """Score runs, each with the number of items its split has, by what has not scored them yet: image scores, LPIPS.

    Scores of any of the grid's runs that are over other clusters than the grid has now are made again, as all of a
    table must be over the same. FID and KID are only named, for they may take minutes a run.

    Raises:
        UserError: pictures are missing, or do not fit their targets.
        ReportError: the grid's range is not that of its pictures.
    """
    grids.check_ranges(grid)
    perceptual = PerceptualScorer(grid.folder.parent, device, reporter)
    said: list[str] = []
    items = dict(runs)
    other = {run: scorers for run, _ in read_runs(grid) if (scorers := _over_other_clusters(grid, run))}
    for run, scores in other.items():
        if run not in items and run.pictures().keys() >= set(scores[0].item_ids):
            items[run] = scores[0].n_expected
    for run, n_expected in items.items():
        again = {scores.scorer for scores in other.get(run, [])}
        done = {scorer for scorer in run.scorers() if scorer not in again and not _lacks_range(grid, run, scorer)}
        native = any(scores.protocol.get("pictures") == compared(native=True) for scores in other.get(run, []))
        say = said.append
        found = partial(native_pairs, grid, run, say) if native else partial(pairs, grid, run, n_expected, say)
        if SCORER not in done:
            scored = score_run(run, found())
            said += [scored.clusters.doubt] if scored.clusters else []
        if LPIPS not in done:
            perceptual.score_lpips(run, *found())
    left = {run: scores for run in other if (scores := _over_other_clusters(grid, run))}
    for line in [*_again_lines(grid, other, left), *filter(None, dict.fromkeys(said))]:
        reporter.say(line)


def _over_other_clusters(grid: Grid, run: Run) -> list[Scores]:
    """The scores of a trained run, of those that are made here, that are over other clusters than the grid has now."""
    config, found = found_now(read_run(run).settings, grid), []
    for scorer in {SCORER, LPIPS, FID, KID}.intersection(run.scorers()):
        try:
            scores = ledger.read_scorer(run, scorer)
        except ReportError:  # which the report says
            continue
        now = of_clusters(_clusters(config, scores.item_ids, lambda line: None), scores.item_ids)
        if scores.protocol.get(FIELD) != now.get(FIELD):
            found.append(scores)
    return found


def _again_lines(
    grid: Grid, other: Mapping[Run, Sequence[Scores]], left: Mapping[Run, Sequence[Scores]]
) -> Iterator[str]:
    """Which runs had scores over other clusters, those that are made again and those that still have them."""

    def named(runs: Iterable[Run]) -> str:
        return ", ".join(f"{run.cell} seed {run.seed}" for run in runs)

    if made_again := [run for run, scores in other.items() if len(left.get(run, [])) < len(scores)]:
        yield f"{named(made_again)}: scored again, as scores were over other clusters than the grid has now"
    if left:
        scorers = sorted({scores.scorer for of_run in left.values() for scores in of_run})
        fid = " --fid" if {FID, KID}.intersection(scorers) else ""
        yield (
            f"{named(left)}: {', '.join(scorers)} over other clusters than the grid has now; to score again: "
            f"p2pbench image-score {typed(grid.folder.parent)}{fid}"
        )


def _lacks_range(grid: Grid, run: Run, scorer: str) -> bool:
    """Whether a score is of a version that took all of the depth although the grid declares a range."""
    if scorer not in {SCORER, LPIPS} or grids.ranges(grid).output is None:
        return False
    return "output_range" not in ledger.read_scorer(run, scorer).protocol


def _write_histograms(run: Run, scored: ImageScores) -> None:
    made.check_free(run.lab_histograms, images.HISTOGRAM_HEADER)
    if scored.histograms is None:
        run.lab_histograms.unlink(missing_ok=True)
    else:
        made.put(run.lab_histograms, images.histogram_csv(*scored.histograms).encode(), images.HISTOGRAM_HEADER)


def _check_free(run: Run) -> None:
    """Refuse to score a run by another's files, or ones that were changed by hand, where its scores go.

    Raises:
        ReportError: There is one; it is named.
    """
    for scorer in (SCORER, LPIPS, FID, KID):
        ledger.check_free(run, scorer)
    for scorer in (LPIPS, FID, KID):
        check_reason(run, scorer)
    made.check_free(run.lab_histograms, images.HISTOGRAM_HEADER)


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
