"""`p2pbench fcn-score`."""

from __future__ import annotations

from pathlib import Path

import click

from fcn.protocol import Protocol
from p2pbench.commands import options
from p2pbench.commands.outcomes import print_outcome
from p2pbench.config import run_config
from p2pbench.datasets.catalogue import check_settings
from p2pbench.datasets.dataset import LABELS_TO_PHOTO
from p2pbench.errors import UserError
from p2pbench.runtime.interrupt import stop_request
from p2pbench.runtime.terminal import Terminal
from p2pbench.scoring.outputs import PlainFolder
from p2pbench.scoring.runs import LabelRequest
from p2pbench.scoring.score import fcn_score, fcn_score_folder
from p2pbench.scoring.score_table import print_classes
from p2pbench.scoring.segmentation import SegmentationOptions, segmentation_device
from p2pbench.scoring.self_test import SelfTest, self_test
from p2pbench.scoring.truth import open_truth, run_truth


@click.command(
    epilog="Example: p2pbench fcn-score results; or "
    "p2pbench fcn-score my-outputs --labels cityscapes:/data/cityscapes:val --weights fcn8s.safetensors"
)
@click.argument("results", type=options.PATH, required=False)
@click.option("--weights", type=options.PATH, metavar="FILE", help="The scorer; streets need none.")
@click.option(
    "--protocol",
    type=click.Choice(["official", "strict"]),
    help="Print one protocol alone; both are computed and written.",
)
@click.option(
    "--labels",
    metavar="DATASET:ROOT[:SPLIT]",
    help="Take RESULTS as a plain folder of any model's outputs, and score them against these labels.",
)
@click.option("--out", type=options.PATH, metavar="DIR", help="With --labels: where scores/ goes; default RESULTS.")
@click.option("--classes", is_flag=True, help="Print the scores of each class too: strict unless --protocol official.")
@click.option("--allow-partial", is_flag=True, help="Score what is there where outputs are missing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a run and protocol, all choices included.")
@click.option(
    "--self-test", "test", is_flag=True, help="Ask of --dataset what is known: labels themselves, real photos, chance."
)
@click.option("--dataset", metavar="NAME", help="With --self-test: a dataset with labels.")
@options.root_now
@options.clusters
@click.option("--test-items", type=click.IntRange(min=1), metavar="N", help="With --self-test: the first so many.")
@options.device
@options.engine
@options.address
def command(
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
    """Score labels-to-photo outputs by the FCN-score: segmented by an FCN, compared with the labels.

    RESULTS is a results folder, of which every run of that direction is scored, the ground truth too; or with --labels
    a folder of pictures. Matrices of images that did not change are kept, and a killed call goes on where it was.
    """
    if test == (results is not None) or test == (dataset is None):
        raise click.UsageError("give RESULTS, or --self-test with --dataset NAME and its --root DIR")
    if out is not None and labels is None:
        raise click.UsageError("--out is for a plain folder: give --labels DATASET:ROOT[:SPLIT] too")
    if test and engine == "ray":
        raise click.UsageError("--self-test is done on this machine: leave out --engine ray")
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
    with options.cluster(engine, address) as cluster, Terminal().watching() as terminal, stop_request() as stop:
        job = SegmentationOptions(weights, segmentation_device(device or "auto", cluster), terminal, stop, cluster)
        if results is None:
            data = {"dataset": dataset, "root": root, "test_items": test_items}
            config = run_config(data, "fcn-score --self-test")
            check_settings(config, "fcn-score --self-test")
            answers = self_test(run_truth(config), job)
        elif labels is not None:
            plain = PlainFolder(results, open_truth(labels, clusters), out or results, allow_partial)
            outcome = fcn_score_folder(plain, job)
        else:
            outcome = fcn_score(results, LabelRequest(LABELS_TO_PHOTO, root, clusters, allow_partial), job)
    if results is None:
        _print_answers(answers)
    else:
        print_outcome(outcome, protocol, results if labels is None else None, as_json=as_json)
        if classes and not as_json:
            for scored in outcome.scored:
                click.echo()
                print_classes(scored.outputs.name, scored.class_rows(protocol or "strict"))


def _print_answers(test: SelfTest) -> None:
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
