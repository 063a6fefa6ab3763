"""Scoring of results folders and plain folders of outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from p2pbench.config import RunConfig, run_config
from p2pbench.datasets.dataset import LABELS_TO_PHOTO, MOST_NAMED
from p2pbench.errors import UserError
from p2pbench.metrics.label_maps import At
from p2pbench.runtime.device import pick_device
from p2pbench.runtime.progress import QUIET, ProgressReporter, TrainingProgress
from p2pbench.scoring.image_scores import ImageScorer
from p2pbench.scoring.label_files import Reading
from p2pbench.scoring.label_reading import decide_reading
from p2pbench.scoring.label_scorer import Advance, LabelScorer
from p2pbench.scoring.label_scores import Outcome
from p2pbench.scoring.outputs import PlainFolder, folder_outputs
from p2pbench.scoring.perceptual import DistributionScorer, LpipsScorer
from p2pbench.scoring.runs import LabelRequest, label_outputs, picture_outputs
from p2pbench.scoring.score_table import RunScores
from p2pbench.scoring.scorer import Scored, Scorer
from p2pbench.scoring.segmentation import SegmentationOptions, SegmentationScorer
from p2pbench.scoring.truth import open_truth, run_truth
from reports import trainings
from reports.store import arithmetic, layout
from reports.store.arithmetic import check_pictures
from reports.store.errors import checked_arguments
from reports.store.grids import check_ranges

OTHER_OUT = "move it away, or give --out DIR"


def picture_scorers(
    results: Path, device: torch.device, reporter: ProgressReporter, *, fid: bool | str | Path = False
) -> list[Scorer]:
    """Make the scorers that compare outputs with target pictures.

    Image scores, LPIPS, and on request FID and KID.

    Args:
        results: The results folder, for the commands in messages.
        device: What networks compute on.
        reporter: Receives progress, and what is missing.
        fid: Whether to compute FID and KID too; a path is the file of Inception's weights.

    Raises:
        UserError: The file of weights is not there.
    """
    scorers: list[Scorer] = [ImageScorer(), LpipsScorer(results, device, reporter)]
    if fid:
        scorers.append(DistributionScorer(results, device, reporter, None if fid is True else Path(fid)))
    return scorers


@checked_arguments(UserError)
def image_score(
    results: str | Path,
    *,
    native: bool = False,
    fid: bool | str | Path = False,
    clusters: str | None = None,
    device: str = "auto",
    reporter: ProgressReporter = QUIET,
) -> RunScores:
    """Score a results folder by comparing outputs with real pictures.

    L1, PSNR, SSIM, GMSD, sharpness and overlap of colour histograms; LPIPS where its package and weights are there,
    else a remark says what is missing. The scores are also written into the runs' folders, for `write_report`.

    Args:
        results: The results folder.
        native: Compare at the targets' original size and aspect; needs the dataset's root.
        fid: Also FID and KID, minutes per run on a CPU; a path is the file of Inception's weights.
        clusters: Test items that vary together, as the setting of this name; intervals are then over clusters.
        device: auto, cpu, cuda or cuda:1.
        reporter: Receives progress.

    Raises:
        UserError: There is no run, one cannot be scored, or `clusters` do not fit the items.
        ReportError: A picture is not as its run made it, or a user's file is where scores go.

    Example:
        >>> from p2pbench import image_score
        >>> scores = image_score("results", device="cpu").only("image")
        >>> [of_run.outputs.name for of_run in scores.scored]
        ['losses/L1 seed 0', 'losses/cGAN seed 0']
        >>> table = scores.frame()  # a pandas table; scores by themselves show as a table in a notebook
        >>> sorted(table["metric"].unique())[:5]
        ['gmsd', 'histogram_a', 'histogram_b', 'histogram_l', 'l1']
    """
    if fid and native:
        raise UserError("fid compares with real/, at the size of the outputs: give it without native")
    results, said = Path(results), list[str]()
    wanted = clusters and run_config({"clusters": clusters}, "image_score").clusters
    scorers = picture_scorers(results, pick_device(device), _Noted(reporter, said), fid=fid)
    scored = list(score_pictures(results, scorers, native=native, say=said.append, clusters=wanted))
    return RunScores(scored, picture_remarks(results, said))


def picture_remarks(results: Path, said: Iterable[str]) -> list[str]:
    """Gather remarks on scores by pictures: messages, flaws, trainings per cell."""
    return [*dict.fromkeys(said), *arithmetic.lines([results]), *trainings.lines(results)]


class _Noted:
    """Progress reporter that also notes down what is said."""

    def __init__(self, reporter: ProgressReporter, said: list[str]) -> None:
        self._reporter, self._said = reporter, said

    def say(self, text: str) -> None:
        self._said.append(text)
        self._reporter.say(text)

    def count(self, work: str, done: int, total: int) -> None:
        self._reporter.count(work, done, total)

    def train(self, work: str, progress: TrainingProgress) -> None:
        self._reporter.train(work, progress)


def score_pictures(
    results: Path,
    scorers: Sequence[Scorer],
    *,
    native: bool,
    say: Callable[[str], None] = lambda line: None,
    clusters: str | None = None,
) -> Iterator[Scored]:
    """Score the runs in a results folder by comparing pictures.

    Args:
        results: The results folder.
        scorers: What scores each run, in this order.
        native: Compare with the dataset's own targets instead of `real/`.
        say: Called with a line where a grid's range clips some values, or items are in clusters of an odd kind or few.
        clusters: Which items vary together, as the setting of this name; None takes what each grid has.

    Raises:
        UserError: There is no run, or one cannot be scored.
        ReportError: A grid's range is not that of its pictures; or a picture is not as its run made it; or a user's
            file, or one that was changed by hand, is where scores go.
    """
    runs = [(grid, run) for grid in layout.grids(results) for run in grid.runs()]
    if not runs:
        what = "no run found" if results.is_dir() else layout.found_at(results)
        raise UserError(f"{results}: {what}; expected a results folder as training writes it")
    for grid in {grid: None for grid, _ in runs}:
        check_ranges(grid, say)
    for row in {row: None for grid, run in runs for row in (grid.real, run)}:
        check_pictures(row)
    for _, run in runs:
        for scorer in scorers:
            scorer.check_free(run)
    for grid, run in runs:
        outputs = picture_outputs(grid, run, native=native, say=say, clusters=clusters)
        for scorer in scorers:
            for scored in scorer.score([outputs]):
                for scores in scored.scores:
                    if scores.clusters is not None and scores.clusters.doubt:
                        say(f"{grid.name}: {scores.clusters.doubt}")
                yield scored


def segmentation_scorer(options: SegmentationOptions) -> SegmentationScorer:
    """The scorer by segmentation, on the cluster if there is one."""
    if options.cluster is None:
        return SegmentationScorer(options)
    from p2pbench.scoring.segmentation_jobs import ClusterSegmentationScorer  # imports Ray, which is an extra

    return ClusterSegmentationScorer(options, options.cluster)


@checked_arguments(UserError)
def segmentation_score(
    outputs: str | Path,
    weights: str | Path | None = None,
    *,
    labels: str | RunConfig | Mapping[str, Any] | None = None,
    allow_partial: bool = False,
    device: str = "auto",
    reporter: ProgressReporter = QUIET,
) -> RunScores:
    """Compute the FCN-score of labels-to-photo outputs.

    An FCN segments them, and its label maps are compared with the labels.

    By both protocols, `official` and `strict`: scorers "fcn-official" and "fcn-strict" of the result. Confusion
    matrices of unchanged images are reused: repeat the same call to resume.

    Args:
        outputs: A results folder, whose runs of that direction are all scored, ground truth included; or with `labels`
            a folder of any model's outputs, which gets `scores/`.
        weights: The network's file; None for street scenes, which train theirs once, in about a minute.
        labels: The labels of a plain folder: `DATASET:ROOT[:SPLIT]`, or settings with dataset, root, test_split,
            test_items and clusters.
        allow_partial: Score the outputs that exist if some are missing.
        device: auto, cpu, cuda or cuda:1.
        reporter: Receives progress.

    Raises:
        UserError: Nothing can be scored, outputs are missing, or a file cannot be read.
        FcnError: The network's file cannot be used.
        ReportError: A user's file is where scores go, or the labels' folder and that of the scores are not apart.

    Example:
        >>> from p2pbench import RunConfig, segmentation_score
        >>> scores = segmentation_score("results", "fcn.safetensors", device="cpu")
        >>> scores.scorers
        ['fcn-official', 'fcn-strict']
        >>> [of_run.outputs.name for of_run in scores.scored]
        ['losses/L1 seed 0', 'losses/cGAN seed 0', 'losses/real']
        >>> streets = RunConfig(dataset="streets", test_items=3)
        >>> theirs = segmentation_score("photos", "fcn.safetensors", labels=streets, device="cpu")
        >>> theirs.frame().query("metric == 'class_iou' and item == 'all'")["n"].tolist()
        [3, 3]
    """
    file, folder = None if weights is None else Path(weights), Path(outputs)
    options = SegmentationOptions(file, pick_device(device), reporter)
    if labels is None:
        request = LabelRequest(LABELS_TO_PHOTO, allow_partial=allow_partial)
        outcome = score_labels(folder, request, segmentation_scorer(options))
        return RunScores(outcome.scored, [*outcome.remarks(), *trainings.lines(folder)])
    if isinstance(labels, Mapping):
        labels = run_config(labels, "labels")
    truth = open_truth(labels) if isinstance(labels, str) else run_truth(labels)
    outcome = fcn_score_folder(PlainFolder(folder, truth, folder, allow_partial), options)
    return RunScores(outcome.scored, outcome.remarks())


def score_labels(results: Path, request: LabelRequest, scorer: SegmentationScorer | LabelScorer) -> Outcome:
    """Score finished runs and ground truth of every grid by label maps.

    Raises:
        UserError: Nothing can be scored, a dataset is no longer where its runs found it, or a file cannot be read.
        FcnError: The network's file cannot be used.
        Stopped: The user asked to stop; what was segmented is kept.
    """
    outcome = Outcome()
    for runs in label_outputs(results, request, outcome):
        for outputs in runs:
            scorer.check_free(outputs.run)
        outcome.scored.extend(scorer.score(runs))
    if not outcome.scored:
        reasons = [*outcome.skipped, *outcome.unfinished] or ["its grids hold no runs"]
        raise UserError(f"{results}: nothing can be scored: {'; '.join(reasons[:MOST_NAMED])}")
    return outcome


def fcn_score_folder(plain: PlainFolder, options: SegmentationOptions) -> Outcome:
    """Score a plain folder of any model's outputs.

    Raises as `folder_outputs` and `SegmentationScorer`.
    """
    outputs, scorer = folder_outputs(plain), segmentation_scorer(options)
    scorer.check_free(outputs.run, OTHER_OUT)
    return Outcome(list(scorer.score([outputs])))


def label_score_folder(plain: PlainFolder, at: At, reading: Reading | None, advance: Advance) -> Outcome:
    """Score a plain folder of any model's label maps.

    Args:
        plain: The folder.
        at: The size at which outputs and labels are compared.
        reading: How the label maps are kept; None decides it by what they hold.
        advance: Receives progress.

    Raises:
        UserError: As `folder_outputs`; also where the files may be of several kinds.
        ReportError: As `folder_outputs`; also where a user's file is in the way.
    """
    outputs = folder_outputs(plain)
    LabelScorer(at, advance).check_free(outputs.run, OTHER_OUT)
    decided = decide_reading(plain.folder, outputs.files, plain.truth, reading)
    outputs = replace(outputs, notes=[*([decided.seen] if decided.seen else []), *outputs.notes])
    return Outcome(list(LabelScorer(at, advance, decided.reading).score([outputs])))
