"""FCN-score: outputs segmented by an FCN, compared with labels.

Written into the run's `scores/`: the confusion matrices, from which any protocol can be computed; the scores by both
protocols; those of each class; and the file of the published script. The FCN's segmentation of each output is in
`segmentations/`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from fcn import score_protocols, scoring
from fcn.confusion import ImageMatrix
from fcn.scoring import Example, Loaded, ScoringNetwork
from p2pbench.datasets import label_images
from p2pbench.datasets.transforms import Range
from p2pbench.runtime.device import device_errors, pick_device
from p2pbench.runtime.interrupt import Stop, Stopped
from p2pbench.runtime.progress import ProgressReporter
from p2pbench.scoring import label_scores
from p2pbench.scoring.label_reading import check_labelled
from p2pbench.scoring.label_scores import LabelsScored, ScorerNames, write_scores
from p2pbench.scoring.networks import network_protocol, open_network
from p2pbench.scoring.outputs import read_output
from p2pbench.scoring.scorer import Outputs
from p2pbench.scoring.truth import Truth, read_bytes
from reports.store import made
from reports.store.layout import Grid, Run
from reports.store.ranges import shown

if TYPE_CHECKING:  # Ray is an extra
    from p2pbench.cluster.jobs import Cluster

FCN = ScorerNames(official="fcn-official", strict="fcn-strict")
PUBLISHED_START = b"Mean pixel accuracy: "
BEYOND = "a channel outside the classes"


@dataclass(frozen=True)
class SegmentationOptions:
    """Options of segmentation: network, device, progress, stop flag.

    Attributes:
        weights: The network's file; None for datasets that bring their own.
        device: The network's device, here or on the cluster.
        reporter: Receives progress.
        stop: The stop flag.
        cluster: Segments on this cluster instead of here.
    """

    weights: Path | None
    device: torch.device
    reporter: ProgressReporter
    stop: Stop = False
    cluster: Cluster | None = None

    def advance(self, name: str) -> Callable[[int, int], None]:
        """Progress callback for images under a name; it raises Stopped on request."""

        def advance(done: int, total: int) -> None:
            self.reporter.count(f"{name}: segmented", done, total)
            if self.stop and done < total:
                raise Stopped(f"{name}: stopped after {done} of {total} images; rerun the same command to resume")

        return advance


def segmentation_device(name: str, cluster: Cluster | None) -> torch.device:
    """Device by name, here or on the nodes of the cluster.

    Raises:
        UserError: No such device there.
    """
    if cluster is None:
        return pick_device(name)
    return torch.device("cuda" if cluster.needs(name, None).gpus else "cpu")


class SegmentationScorer:
    """FCN-score by both protocols, sequentially on this machine."""

    def __init__(self, options: SegmentationOptions) -> None:
        self.options = options

    def check_free(self, run: Run, mend: str = "move it away") -> None:
        """Refuse a user's file where scores, matrices or tables go; see `Scorer`."""
        label_scores.check_free(run, FCN, mend)
        made.check_free(run.published, _published_start(run), mend)

    def score(self, runs: Sequence[Outputs]) -> Iterator[LabelsScored]:
        """Segment new outputs of each run, and score all; see `Scorer`.

        Raises:
            FcnError: The network's file cannot be used.
        """
        truth, grid = runs[0].against_labels(), runs[0].grid
        yield from self.score_runs(runs, truth)
        if grid is not None:
            ids = set().union(*(outputs.files for outputs in runs))
            label_images.remove_other_label_images(grid.labels, ids)
            for id_ in sorted(ids):  # most were written when their outputs were read
                _write_labels(grid, truth, id_)

    def score_runs(self, runs: Sequence[Outputs], truth: Truth) -> Iterable[LabelsScored]:
        """Score runs that are compared with the same labels."""
        options = self.options
        network = open_network(truth, options.weights, options.device, options.reporter)
        return (score_run(outputs, network, options) for outputs in runs)


def score_run(outputs: Outputs, network: ScoringNetwork, options: SegmentationOptions) -> LabelsScored:
    """Segment new outputs, and write the scores of all."""
    run, files, truth = outputs.run, outputs.files, outputs.against_labels()
    with ThreadPoolExecutor() as pool:
        keys = dict(zip(files, pool.map(lambda id_: _key(id_, files[id_], truth, outputs.ends), files), strict=True))
    sources = {id_: f"{network.digest} {key}" for id_, key in keys.items()}
    segmentations = {id_: run.segmentations / f"{id_}.png" for id_ in files}

    def write_segmentation(id_: str, prediction: NDArray[np.uint8]) -> None:
        label_images.write_label_image(segmentations[id_], prediction, truth.table, sources[id_])

    label_images.remove_other_label_images(run.segmentations, files.keys())
    lost = {id_ for id_ in files if label_images.source_of_label_image(segmentations[id_]) != sources[id_]}
    examples = [_example(id_, path, keys[id_], truth, outputs) for id_, path in files.items()]
    with device_errors(options.device):
        advance = options.advance(outputs.name)
        compared = scoring.score(network, examples, run.confusion, advance, predicted=write_segmentation, again=lost)
    check_labelled(truth, compared)
    _write_published(run, compared, truth.table.classes)
    return write_scores(outputs, FCN, compared, network_protocol(network), BEYOND)


def _key(id_: str, path: Path, truth: Truth, ends: Range | None) -> str:
    scaled = "" if ends is None else f" {shown(ends)}"
    return hashlib.sha256(read_bytes(path) + f"{truth.key(id_)}{scaled}".encode()).hexdigest()


def _example(id_: str, path: Path, key: str, truth: Truth, outputs: Outputs) -> Example:
    def load() -> Loaded:
        (photo, changed), labels = read_output(path, outputs.ends), truth.labels(id_)
        if outputs.grid is not None:
            _write_labels(outputs.grid, truth, id_, labels)
        return Loaded(photo, labels, changed)

    return Example(id_, lambda: key, load)


def _write_labels(grid: Grid, truth: Truth, id_: str, labels: NDArray[np.uint8] | None = None) -> None:
    """Write the picture of an item's true labels if it is missing or outdated."""
    path, source = grid.labels / f"{id_}.png", truth.key(id_)
    if label_images.source_of_label_image(path) != source:
        label_images.write_label_image(path, truth.labels(id_) if labels is None else labels, truth.table, source)


def _published_start(run: Run) -> bytes | tuple[bytes, ...]:
    """First bytes of our file of the published script's scores; empty if it is a user's."""
    # The published script writes the same bytes: only beside scores of ours is the file ours.
    return PUBLISHED_START if run.score(FCN.official).exists() else ()


def _write_published(run: Run, compared: Mapping[str, ImageMatrix], classes: Sequence[str]) -> None:
    """Write the file of the published script."""
    summed = score_protocols.counted(np.stack([output.counts for output in compared.values()]), "official").sum(axis=0)
    published = score_protocols.published_text(score_protocols.scores(summed, "official"), classes)
    made.put(run.published, published.encode(), _published_start(run))
