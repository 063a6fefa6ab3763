"""Commands for segmentation scores: `fcn-import`, `fcn-train`, `fcn-score` and `label-score`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pbench.commands import options
from p2pbench.errors import UserError

if TYPE_CHECKING:
    from fcn.score_protocols import Protocol
    from p2pbench.config import RunConfig
    from p2pbench.metrics.label_maps import At
    from p2pbench.scoring.label_files import Reading
    from p2pbench.scoring.label_scores import Outcome
    from p2pbench.scoring.self_test import SelfTest

_positive = click.IntRange(min=1)
_labels = click.option(
    "--labels",
    metavar="DATASET:ROOT[:SPLIT]",
    help="Treat RESULTS as a plain folder of any model's outputs, scored against these labels.",
)
_scores_folder = click.option(
    "--out", type=options.PATH, metavar="DIR", help="With --labels: folder that gets scores/. Default: RESULTS."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object per run and protocol.")


@click.command(epilog="Example: p2pbench fcn-import fcn-8s-cityscapes.caffemodel fcn8s.safetensors")
@click.argument("caffemodel", type=options.PATH)
@click.argument("out", type=options.PATH)
def fcn_import(caffemodel: Path, out: Path) -> None:
    """Import the FCN-8s weights published with pix2pix, CAFFEMODEL, as OUT.

    Caffe is not needed.

    Every layer's name and shape is checked. Use OUT by `p2pbench fcn-score --weights OUT`. An existing OUT is never
    overwritten.
    """
    from fcn import weights
    from p2pbench.runtime.files import write_once
    from reports.store import apart

    apart.check(out, [caffemodel])
    network, card = weights.from_caffe(caffemodel)
    written = write_once(out, lambda path: weights.save(path, network, card))
    values = list(network.parameters())
    click.echo(f"{caffemodel}: {len(list(network.children()))} layers, {sum(v.numel() for v in values):,} parameters")
    click.echo(
        f"{out}: {'written' if written else 'is there already, the same'}; the source's SHA-256 is {card.source_sha256}"
    )


@click.command(epilog="Example: p2pbench fcn-train --dataset camvid --root data/camvid --out camvid.safetensors")
@click.option("--dataset", metavar="NAME", required=True, help="A dataset with labels; see `p2pbench datasets`.")
@options.root
@click.option("--out", type=options.PATH, metavar="FILE", required=True, help="File for the trained weights.")
@click.option(
    "--init",
    default="vgg16",
    show_default=True,
    metavar="vgg16|scratch|FILE",
    help="Initial weights: torchvision's VGG-16, which is downloaded; random; or a file with VGG-16's state dict.",
)
@click.option(
    "--width",
    type=click.FloatRange(0, 4, min_open=True),
    default=1.0,
    show_default=True,
    help="Channel multiplier; 1 is VGG-16.",
)
@click.option(
    "--photo-size",
    type=click.IntRange(min=0),
    default=256,
    show_default=True,
    help="The paper's size rule: resize photos to a square of this side, then to their labels' size; 0: no resize.",
)
@click.option("--epochs", type=_positive, default=40, show_default=True)
@click.option("--batch-size", type=_positive, default=1, show_default=True)
@click.option(
    "--learning-rate", type=click.FloatRange(0, min_open=True), help="Default: 1e-3 from scratch, otherwise 1e-4."
)
@click.option("--train-items", type=_positive, metavar="N", help="Use only the first N.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--checkpoint-seconds", type=click.FloatRange(min=0), default=120.0, show_default=True)
@options.device
def fcn_train(
    dataset: str,
    root: str | None,
    out: Path,
    init: str,
    width: float,
    photo_size: int,
    epochs: int,
    batch_size: int,
    learning_rate: float | None,
    train_items: int | None,
    seed: int,
    checkpoint_seconds: float,
    device: str | None,
) -> None:
    """Train your own FCN-8s to score a dataset's photos.

    One in ten training items is held out to choose the best checkpoint; test items are never used. Rerun the same
    command to resume an interrupted training.
    """
    data = _data("fcn-train", dataset=dataset, root=root, train_items=train_items)
    from p2pbench.runtime.device import pick_device
    from p2pbench.runtime.interrupt import stop_request
    from p2pbench.runtime.terminal import Terminal
    from p2pbench.scoring.own_scorer import SCRATCH, VGG16, ScorerPlan, train_scorer
    from reports.store import apart

    if init not in (VGG16, SCRATCH):
        apart.check(out, [Path(init)])
    plan = ScorerPlan(data, init, width, photo_size or None, epochs, batch_size, learning_rate, seed)
    with Terminal().watching() as terminal, stop_request() as stop:
        line = train_scorer(plan, out, pick_device(device or "auto"), checkpoint_seconds, terminal, stop)
    click.echo(line)


@click.command(
    epilog="Example: p2pbench fcn-score results; or "
    "p2pbench fcn-score my-outputs --labels cityscapes:/data/cityscapes:val --weights fcn8s.safetensors"
)
@click.argument("results", type=options.PATH, required=False)
@click.option(
    "--weights", type=options.PATH, metavar="FILE", help="Weights of the segmentation network; streets needs none."
)
@click.option(
    "--protocol",
    type=click.Choice(["official", "strict"]),
    help="Print only this protocol; both are computed and written.",
)
@_labels
@_scores_folder
@click.option("--classes", is_flag=True, help="Also print scores per class: strict unless --protocol official.")
@options.allow_partial
@_json
@click.option(
    "--self-test",
    "test",
    is_flag=True,
    help="Sanity-check the scorer on --dataset: labels against themselves, real photos, shuffled labels.",
)
@click.option("--dataset", metavar="NAME", help="With --self-test: a dataset with labels.")
@options.root_now
@options.clusters
@click.option("--test-items", type=_positive, metavar="N", help="With --self-test: use only the first N.")
@options.device
@options.engine
@options.address
def fcn_score(
    results: Path | None,
    weights: Path | None,
    protocol: Protocol | None,
    labels: str | None,
    out: Path | None,
    classes: bool,
    allow_partial: bool,
    as_json: bool,
    test: bool,
    dataset: str | None,
    root: str | None,
    clusters: str | None,
    test_items: int | None,
    device: str | None,
    engine: str,
    address: str | None,
) -> None:
    """Compute the FCN-score of labels-to-photo outputs.

    They are segmented by an FCN and compared with the labels.

    RESULTS is a results folder, whose runs of that direction are all scored, ground truth included; or, with --labels,
    a folder of images. Confusion matrices of unchanged images are reused: rerun the same command to resume.
    """
    if test == (results is not None) or test == (dataset is None):
        raise click.UsageError("give RESULTS, or --self-test with --dataset NAME and its --root DIR")
    if out is not None and labels is None:
        raise click.UsageError("--out is for a plain folder: give --labels DATASET:ROOT[:SPLIT] too")
    if test and engine == "ray":
        raise click.UsageError("--self-test runs on this machine: leave out --engine ray")
    if test:
        options.without_effect(
            "with --self-test", "labels", "protocol", "classes", "as_json", "allow_partial", "clusters"
        )
    else:
        options.without_effect("without --self-test", "test_items")
    if labels is not None:
        options.without_effect("with --labels, which name the root", "root")
    if as_json:
        options.without_effect("with --json", "classes")
    if test:
        config = _data("fcn-score --self-test", dataset=dataset, root=root, test_items=test_items)
    from p2pbench.datasets.dataset import LABELS_TO_PHOTO
    from p2pbench.runtime.interrupt import stop_request
    from p2pbench.runtime.terminal import Terminal
    from p2pbench.scoring import score
    from p2pbench.scoring.outputs import PlainFolder
    from p2pbench.scoring.runs import LabelRequest
    from p2pbench.scoring.segmentation import SegmentationOptions, segmentation_device
    from p2pbench.scoring.self_test import self_test
    from p2pbench.scoring.truth import open_truth, run_truth

    with options.cluster(engine, address) as cluster, Terminal().watching() as terminal, stop_request() as stop:
        on = segmentation_device(device or "auto", cluster)
        segmentation = SegmentationOptions(weights, on, terminal, stop, cluster)
        if results is None:
            answers = self_test(run_truth(config), segmentation)
        elif labels is not None:
            plain = PlainFolder(results, open_truth(labels, clusters), out or results, allow_partial)
            outcome = score.fcn_score_folder(plain, segmentation)
        else:
            request = LabelRequest(LABELS_TO_PHOTO, root, clusters, allow_partial)
            outcome = score.score_labels(results, request, score.segmentation_scorer(segmentation))
    if results is None:
        _print_self_test(answers)
        return
    _print_scores(outcome, protocol, results if labels is None else None, as_json=as_json)
    if classes and not as_json:
        _print_classes(outcome, protocol or "strict")


@click.command(epilog="Example: p2pbench label-score results")
@click.argument("results", type=options.PATH)
@_labels
@_scores_folder
@click.option(
    "--read",
    "reading",
    type=click.Choice(["colours", "label-ids", "train-ids", "train-ids-from-1"]),
    help="With --labels: encoding of the label maps, if their files are ambiguous. train-ids: 0 to 18, and 19 or 255 "
    "for void; train-ids-from-1: 1 to 19, and 0 for void.",
)
@click.option(
    "--at",
    type=click.Choice(["output", "label"]),
    default="output",
    show_default=True,
    help="Compare at the outputs' size, as generated, or at the size of the dataset's own labels.",
)
@options.root_now
@options.clusters
@options.allow_partial
@_json
def label_score(
    results: Path,
    labels: str | None,
    out: Path | None,
    reading: Reading | None,
    at: At,
    root: str | None,
    clusters: str | None,
    allow_partial: bool,
    as_json: bool,
) -> None:
    """Score photo-to-labels outputs (paper, Table 6).

    Each pixel is assigned the class of the nearest label colour.

    RESULTS is a results folder, whose runs of that direction are all scored; or, with --labels, a folder of images.
    Those may hold colours or ids: label ids, train ids, palettes.
    """
    if labels is not None:
        options.without_effect("with --labels, which name the root", "root")
    elif (out, reading) != (None, None):
        raise click.UsageError("--out and --read are for a plain folder: give --labels DATASET:ROOT[:SPLIT] too")
    from p2pbench.datasets.dataset import PHOTO_TO_LABELS
    from p2pbench.runtime.interrupt import Stopped, stop_request
    from p2pbench.runtime.terminal import Terminal
    from p2pbench.scoring import score
    from p2pbench.scoring.label_scorer import LabelScorer
    from p2pbench.scoring.outputs import PlainFolder
    from p2pbench.scoring.runs import LabelRequest
    from p2pbench.scoring.truth import open_truth

    with Terminal().watching() as terminal, stop_request() as stop:

        def advance(name: str, done: int, total: int) -> None:
            terminal.count(f"{name}: label maps", done, total)
            if stop and done < total:
                raise Stopped(
                    f"{name}: stopped after {done} of {total} label maps; scores of runs before it are written, and "
                    "rerun the same command to start over"
                )

        if labels is not None:
            plain = PlainFolder(results, open_truth(labels, clusters), out or results, allow_partial)
            outcome = score.label_score_folder(plain, at, reading, advance)
        else:
            request = LabelRequest(PHOTO_TO_LABELS, root, clusters, allow_partial)
            outcome = score.score_labels(results, request, LabelScorer(at, advance))
    _print_scores(outcome, None, results if labels is None else None, as_json=as_json)


def _data(where: str, **settings: object) -> RunConfig:
    """Check settings of a dataset, without torch: a refusal need not wait for its import."""
    from p2pbench.config import run_config
    from p2pbench.datasets.catalogue import check_settings

    data = run_config(settings, where)
    check_settings(data, where)
    return data


def _print_scores(outcome: Outcome, protocol: Protocol | None, results: Path | None, *, as_json: bool) -> None:
    """Print scores as a table or as JSON lines, remarks on standard error.

    Args:
        outcome: Scores of all runs.
        protocol: The only one to print; None prints both.
        results: The results folder that was scored; None for a plain folder.
        as_json: Whether to print JSON.
    """
    from p2pbench.scoring.score_table import json_lines, print_scores
    from reports import trainings

    rows = [scored.row.only(protocol) for scored in outcome.scored]
    if as_json:
        for row, scored in zip(rows, outcome.scored, strict=True):
            for line in json_lines(row, scored.outputs.place):
                click.echo(line)
    else:
        print_scores(rows)
    for line in [*outcome.remarks(), *(trainings.lines(results) if results else [])]:
        options.remark(line)


def _print_classes(outcome: Outcome, protocol: Protocol) -> None:
    from p2pbench.scoring.score_table import print_classes

    for scored in outcome.scored:
        click.echo()
        print_classes(scored.outputs.name, scored.class_rows(protocol))


def _print_self_test(test: SelfTest) -> None:
    click.echo(f"{'':<26}{'pixel accuracy':>16}{'class accuracy':>16}{'class IoU':>12}")
    for answer in test.answers:
        verdict = "WRONG" if not answer.right else "" if answer.expected is None else "right"
        click.echo(f"{answer.question:<26}{_numbers(answer.scores)}  {verdict}".rstrip())
        if answer.expected is not None:
            click.echo(f"{'  expected':<26}{_numbers(answer.expected)}")
        if answer.note:
            click.echo(f"  {answer.note}")
    if test.warning:
        click.echo(f"warning: {test.warning}", err=True)
    if not all(answer.right for answer in test.answers):
        raise UserError("the self-test failed" + "".join(f"; look at {line}" for line in test.likely))


def _numbers(scores: tuple[float, ...]) -> str:
    return "".join(f"{value:>{width}.3f}" for value, width in zip(scores, (16, 16, 12), strict=True))
