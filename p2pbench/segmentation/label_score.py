"""Photo -> labels models scored by their label maps (paper, Table 6), in results folders and in plain folders.

The authors took the nearest label colour and then the FCN-score's own confusion matrix
(docs/paper-protocol.md#label-maps). Which palette and distance, and at which size, they do not say; ours are in the
protocol. The label maps are written beside the scores, to be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p2pbench.datasets.dataset import PHOTO_TO_LABELS
from p2pbench.metrics.label_maps import At, LabelMaps, label_maps, protocol
from p2pbench.segmentation import label_pictures, score_files
from p2pbench.segmentation.outcome import Compared, Outcome, Scored, Scorers, folder_notes, folder_origin, score_row
from p2pbench.segmentation.outcome import notes as compared_notes
from p2pbench.segmentation.outputs import find_outputs, match_outputs, read_output
from p2pbench.segmentation.ready import Ready, check_something, ready_grids
from p2pbench.segmentation.score_table import ScoreRow
from p2pbench.segmentation.truth import Truth

BEYOND = "void"  # what a prediction outside the classes is
SCORERS = Scorers(official="labels-official", strict="labels")
Advance = Callable[[str, int, int], None]
"""Called with the name of a grid or folder, and the number of its items done and of all."""
Show = Callable[[str, Mapping[int, LabelMaps]], None]
"""Called with an item's id and the label maps of its outputs, by the place of their folder; from several threads."""


def score_results(
    results: Path, at: At, advance: Advance, *, root: str | None = None, allow_partial: bool = False
) -> Outcome:
    """Score every finished run from photos to labels, and the ground truth beside them, and write the scores.

    Args:
        results: A results folder.
        at: At which size outputs and labels are compared.
        advance: Told how far it is.
        root: Where the dataset is now; None looks where the runs found it.
        allow_partial: Whether to score runs that lack some of their pictures, too.

    Raises:
        UserError: Nothing can be scored, a dataset is no longer where its runs found it, or a file cannot be read.
    """
    outcome = Outcome()
    for ready in ready_grids(results, PHOTO_TO_LABELS, root, allow_partial=allow_partial, outcome=outcome):
        score_ready(ready, at, advance, outcome)
    check_something(results, outcome)
    return outcome


def score_folder(folder: Path, truth: Truth, at: At, *, allow_partial: bool, advance: Advance) -> Outcome:
    """Score a plain folder of any model's outputs; nothing is written.

    Raises:
        UserError: No output is of a test item, some are missing and may not be, or a file cannot be read.
    """
    outputs = find_outputs(folder)
    matched = match_outputs(outputs, truth.items, folder, allow_partial=allow_partial)
    counted = partial(advance, str(folder))
    (compared,) = _compare(truth, [matched], at, counted, lambda _id, _maps: None)
    row = _row(str(folder), truth, compared, at, folder_origin(outputs, truth))
    notes = [*folder_notes(outputs, truth), *compared_notes(compared, BEYOND)]
    return Outcome([Scored(row, {"folder": str(folder)}, truth.table.classes, compared, notes)])


def score_ready(ready: Ready, at: At, advance: Advance, outcome: Outcome) -> None:
    """Score one grid. Raises what `score_results` does."""
    runs, table, source = list(ready.outputs), ready.truth.table, f"label-score at {at}"

    def show(id_: str, maps: Mapping[int, LabelMaps]) -> None:
        for place, of_run in maps.items():
            label_pictures.write(runs[place].segmentations / f"{id_}.png", of_run.predicted, table, source)
        # All outputs of a grid have one size, so the truth is the same beside each.
        truth = next(iter(maps.values())).truth
        label_pictures.write(ready.grid.labels / f"{id_}.png", truth, table, source)

    counted = partial(advance, ready.grid.name)
    compared = _compare(ready.truth, list(ready.outputs.values()), at, counted, show)
    label_pictures.remove_others(ready.grid.labels, set().union(*ready.outputs.values()))
    for run, of_run in zip(runs, compared, strict=True):
        label_pictures.remove_others(run.segmentations, of_run.keys())
        row = _row(ready.name(run), ready.truth, of_run, at, ready.origin(run))
        score_files.write(run, SCORERS, row, of_run, table.classes)
        row = row._replace(paper=ready.paper(run, SCORERS.official))
        notes = compared_notes(of_run, BEYOND)
        outcome.scored.append(Scored(row, ready.place(run), ready.truth.table.classes, of_run, notes))


def _compare(
    truth: Truth, folders: Sequence[Mapping[str, Path]], at: At, advance: Callable[[int, int], None], show: Show
) -> list[dict[str, Compared]]:
    """Compare the outputs of several folders, item by item, so that each item's labels are read once."""

    def compare(id_: str) -> dict[int, Compared]:
        labels: dict[int | None, NDArray[np.uint8]] = {}
        found, shown = {}, {}
        for place, files in enumerate(folders):
            if id_ in files:
                pixels, changed = read_output(files[id_])
                height, width, _ = pixels.shape
                # Squares are what networks make: their labels are those of the sample of that size, as of `real/`.
                size = width if at == "output" and width == height else None
                if size not in labels:
                    labels[size] = truth.labels(id_, size)
                shown[place] = label_maps(pixels, labels[size], truth.table, at)
                counts = shown[place].matrix(len(truth.table.classes))
                found[place] = Compared(counts, f"{width}x{height}", changed)
        show(id_, shown)
        return found

    compared: list[dict[str, Compared]] = [{} for _ in folders]
    ids = [id_ for id_ in truth.items if any(id_ in files for files in folders)]
    with ThreadPoolExecutor() as pool:
        for done, (id_, of_item) in enumerate(zip(ids, pool.map(compare, ids), strict=True), 1):
            for place, one in of_item.items():
                compared[place][id_] = one
            advance(done, len(ids))
    return compared


def _row(name: str, truth: Truth, compared: Mapping[str, Compared], at: At, origin: Mapping[str, object]) -> ScoreRow:
    sizes = sorted({one.size for one in compared.values()})
    whole = {**origin, **protocol(truth.table, at), "output_sizes": sizes}
    return score_row(name, SCORERS, compared, len(truth.items), whole)
