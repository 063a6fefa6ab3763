"""Label scores of photo -> labels models (paper, Table 6).

The authors took the nearest label colour and then the FCN-score's own confusion matrix
(docs/paper-protocol.md#label-maps). They name neither palette nor distance nor size; ours are in the protocol. Other
models' label maps may be ids: see `label_reading`. The label maps are written into the run's `segmentations/`, for
viewing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fcn.confusion import ImageMatrix
from p2pbench.datasets import label_images
from p2pbench.metrics.label_maps import At, LabelMaps, label_maps, protocol
from p2pbench.scoring import label_scores
from p2pbench.scoring.label_files import COLOURS, Reading, describe, read_map
from p2pbench.scoring.label_scores import LabelsScored, ScorerNames, write_scores
from p2pbench.scoring.scorer import Outputs
from reports.store.layout import Run

if TYPE_CHECKING:
    from p2pbench.scoring.truth import Truth


LABELS = ScorerNames(official="labels-official", strict="labels")
BEYOND = "void"  # a prediction outside the classes, in notes

Advance = Callable[[str, int, int], None]
"""Progress callback: name of a grid or folder, number of items done, number of all items."""


class LabelScorer:
    """Accuracies and IoU of outputs that are label maps, by both protocols.

    Args:
        at: The size at which outputs and labels are compared.
        advance: Receives progress.
        reading: The reading of the label maps; those of runs are in colours.
    """

    def __init__(self, at: At, advance: Advance, reading: Reading = COLOURS) -> None:
        self._at, self._advance, self._reading = at, advance, reading

    def check_free(self, run: Run, mend: str = "move it away") -> None:
        """Refuse a user's file where scores or tables go; see `Scorer`."""
        label_scores.check_free(run, LABELS, mend)

    def score(self, runs: Sequence[Outputs]) -> Iterator[LabelsScored]:
        """Compare all runs item by item; see `Scorer`.

        So each item's labels are read once.
        """
        truth, grid, reading = runs[0].against_labels(), runs[0].grid, self._reading
        source = f"label-score at {self._at}"

        def write_maps(id_: str, maps: Mapping[int, LabelMaps]) -> None:
            for i, of_run in maps.items():
                path = runs[i].run.segmentations / f"{id_}.png"
                label_images.write_label_image(path, of_run.predicted, truth.table, source)
            if grid is not None:  # all outputs of a grid have one size, so the truth of any run serves for all
                first = next(iter(maps.values()))
                label_images.write_label_image(grid.labels / f"{id_}.png", first.truth, truth.table, source)

        compared = self._compare(runs, truth, write_maps)
        if grid is not None:
            label_images.remove_other_label_images(grid.labels, set().union(*(of.files for of in runs)))
        ids = None if reading == "colours" else describe(truth.table, reading)
        for outputs, of_run in zip(runs, compared, strict=True):
            label_images.remove_other_label_images(outputs.run.segmentations, of_run.keys())
            sizes = sorted({output.size for output in of_run.values()})
            rules = {**protocol(truth.table, self._at, ids), "output_sizes": sizes}
            yield write_scores(outputs, LABELS, of_run, rules, BEYOND)

    def _compare(
        self, runs: Sequence[Outputs], truth: Truth, write_maps: Callable[[str, Mapping[int, LabelMaps]], None]
    ) -> list[dict[str, ImageMatrix]]:
        """Compare the outputs of each run in several threads, by item id; writes the label maps."""

        def compare(id_: str) -> dict[int, ImageMatrix]:
            labels: dict[int | None, NDArray[np.uint8]] = {}
            of_item: dict[int, ImageMatrix] = {}
            maps: dict[int, LabelMaps] = {}
            for i, outputs in enumerate(runs):
                if id_ in outputs.files:
                    predicted, changed = read_map(outputs.files[id_], self._reading, truth.table)
                    height, width = predicted.shape
                    # A square output is from a network that was trained on square samples: its labels are resized in
                    # the same way, as those of `real/` are. Other sizes have the dataset's own aspect.
                    size = width if self._at == "output" and width == height else None
                    if size not in labels:
                        labels[size] = truth.labels(id_, size)
                    maps[i] = label_maps(predicted, labels[size], self._at)
                    counts = maps[i].matrix(len(truth.table.classes))
                    of_item[i] = ImageMatrix(counts, f"{width}x{height}", changed)
            write_maps(id_, maps)
            return of_item

        name = runs[0].name if runs[0].grid is None else runs[0].grid.name
        compared: list[dict[str, ImageMatrix]] = [{} for _ in runs]
        ids = [id_ for id_ in truth.items if any(id_ in outputs.files for outputs in runs)]
        with ThreadPoolExecutor() as pool:
            for done, (id_, of_item) in enumerate(zip(ids, pool.map(compare, ids), strict=True), 1):
                for i, output in of_item.items():
                    compared[i][id_] = output
                self._advance(name, done, len(ids))
        return compared
