"""Photo -> labels models scored by their label maps (paper, Table 6), in results folders and in plain folders.

The authors took the nearest label colour and then the FCN-score's own confusion matrix (facts section 5.4). Which
palette and distance, and at which size, they do not say; ours are in the protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p2pbench.datasets.dataset import PHOTO_TO_LABELS
from p2pbench.metrics.label_maps import At, label_matrix, protocol
from p2pbench.segmentation.outcome import Compared, Outcome, Scored, Scorers, folder_notes, folder_origin, score_row
from p2pbench.segmentation.outcome import notes as compared_notes
from p2pbench.segmentation.outputs import find_outputs, match_outputs, read_output
from p2pbench.segmentation.paper import LABEL_TABLES
from p2pbench.segmentation.ready import Ready, check_something, ready_grids
from p2pbench.segmentation.score_table import ScoreRow
from p2pbench.segmentation.truth import Truth
from reports import ledger

BEYOND = "void"  # what a prediction outside the classes is
SCORERS = Scorers(official="labels-official", strict="labels")
Advance = Callable[[str, int, int], None]
"""Called with the name of a grid or folder, and the number of its items done and of all."""


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
    (compared,) = _compare(truth, [matched], at, lambda done, total: advance(str(folder), done, total))
    row = _row(str(folder), truth, compared, at, folder_origin(outputs, truth))
    notes = [*folder_notes(outputs, truth), *compared_notes(compared, BEYOND)]
    return Outcome([Scored(row, {"folder": str(folder)}, truth.table.classes, compared, notes)])


def score_ready(ready: Ready, at: At, advance: Advance, outcome: Outcome) -> None:
    """Score one grid. Raises what `score_results` does."""
    compared = _compare(
        ready.truth, list(ready.outputs.values()), at, lambda done, total: advance(ready.grid.name, done, total)
    )
    for run, of_run in zip(ready.outputs, compared, strict=True):
        row = _row(ready.name(run), ready.truth, of_run, at, ready.origin(run))
        for scores in row.scores:
            ledger.write(run, scores)
        row = row._replace(paper=ready.paper(run, LABEL_TABLES))
        notes = compared_notes(of_run, BEYOND)
        outcome.scored.append(Scored(row, ready.place(run), ready.truth.table.classes, of_run, notes))


def _compare(
    truth: Truth, folders: Sequence[Mapping[str, Path]], at: At, advance: Callable[[int, int], None]
) -> list[dict[str, Compared]]:
    """Compare the outputs of several folders, item by item, so that each item's labels are read once."""

    def compare(id_: str) -> dict[int, Compared]:
        labels: dict[int | None, NDArray[np.uint8]] = {}
        found = {}
        for place, files in enumerate(folders):
            if id_ in files:
                pixels, changed = read_output(files[id_])
                height, width, _ = pixels.shape
                # Squares are what networks make: their labels are those of the sample of that size, as of `real/`.
                size = width if at == "output" and width == height else None
                if size not in labels:
                    labels[size] = truth.labels(id_, size)
                counts = label_matrix(pixels, labels[size], truth.table, at)
                found[place] = Compared(counts, f"{width}x{height}", changed)
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
