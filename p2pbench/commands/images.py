"""Command `image-score`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from p2pbench.commands import options
from reports.store.names import counted, printable


@click.command(epilog="Example: p2pbench image-score results; or p2pbench image-score results --fid --download-weights")
@click.argument("results", type=options.PATH)
@click.option(
    "--native", is_flag=True, help="Compare at the targets' original size and aspect; needs the dataset's root."
)
@click.option(
    "--fid", is_flag=True, help="Also FID and KID; on a CPU this takes minutes per run of some hundred items."
)
@click.option(
    "--download-weights",
    is_flag=True,
    help="Download published network weights that are missing: 233 MB for LPIPS, 91 MB for --fid.",
)
@click.option(
    "--inception-weights",
    type=options.PATH,
    metavar="FILE",
    help="With --fid: torch-fidelity's Inception weights, if they are not in torch's download folder.",
)
@options.clusters
@options.device
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per run and scorer, with the protocol.")
def image_score(
    results: Path,
    native: bool,
    fid: bool,
    download_weights: bool,
    inception_weights: Path | None,
    clusters: str | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Score every run of RESULTS against the real pictures.

    \b
    Always, without any network:
      l1           mean absolute difference to the target      lower is better
      psnr         peak signal-to-noise ratio in dB            higher
      ssim         structural similarity                       higher
      gmsd         deviation of gradient magnitude similarity  lower
      sharpness    energy of edges relative to the targets     closest to 1
      histogram_*  overlap of all outputs' colours with real   higher

    LPIPS (lower is better) is the distance of AlexNet features between output and target. It needs the extra
    `pip install 'p2pbench[perceptual]'` and AlexNet's published weights; nothing is downloaded without
    --download-weights. If either is missing, scores/lpips-missing.txt in the run's folder gives the reason.

    FID and KID (lower is better) compare the Inception features of all outputs with those of all real pictures. FID is
    biased upwards below 2048 items: compare it only with an FID of the same number of items.
    """  # noqa: D301 (click takes the character \\b for "do not wrap")
    if fid and native:
        raise click.UsageError("--fid compares with real/, at the size of the outputs: give it without --native")
    if inception_weights is not None and not fid:
        raise click.UsageError("--inception-weights is for --fid: give that too")
    from p2pbench.runtime.device import pick_device
    from p2pbench.runtime.interrupt import Stopped, stop_request
    from p2pbench.runtime.terminal import Terminal
    from p2pbench.scoring.image_scores import IMAGE
    from p2pbench.scoring.perceptual import download_weights as fetch_weights
    from p2pbench.scoring.score import picture_remarks, picture_scorers, score_pictures

    if download_weights:
        fetch_weights(fid=fid and inception_weights is None)
    written = 0
    said: list[str] = []
    over: dict[str, None] = {}  # what intervals are over, each once
    with Terminal().watching() as terminal, stop_request() as stop:
        scorers = picture_scorers(results, pick_device(device or "auto"), terminal, fid=inception_weights or fid)
        for scored in score_pictures(results, scorers, native=native, say=said.append, clusters=clusters):
            outputs, (scores,) = scored.outputs, scored.scores
            written += 1
            if stop:
                raise Stopped(
                    f"stopped; {counted(written, 'score')} written, the last {scores.scorer} of {outputs.name}, and "
                    "rerun the same command to start over"
                )
            if as_json:
                click.echo(json.dumps(outputs.place | scores.summary()))
                continue
            if scores.scorer == IMAGE:  # the first of each run
                click.echo(f"{printable(outputs.name)}, {scores.n} of {counted(scores.n_expected, 'item')}:")
            for name, metric in scores.metrics.items():
                interval = scores.interval(name)
                over |= dict.fromkeys([scores.over] * interval.known)
                click.echo(f"    {name:<12} {metric.value:.4f}  [{interval.text(4)}]")
    if over:
        click.echo(f"in brackets: 95 % intervals over {' or '.join(over)}")
    for line in picture_remarks(results, said):
        options.remark(line)
