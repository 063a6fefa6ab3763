"""Photo -> labels models scored by their label maps (paper, Table 6), in results folders and in plain folders.

The authors took the nearest label colour and then the FCN-score's own confusion matrix
(docs/paper-protocol.md#label-maps). Which palette and distance, and at which size, they do not say; ours are in the
protocol. Other models keep label maps as ids, too: see `reading`. The label maps are written beside the scores, to be
looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from p2pbench.datasets import label_images
from p2pbench.datasets.dataset import PHOTO_TO_LABELS
from p2pbench.metrics.label_maps import At, LabelMaps, label_maps, protocol
from p2pbench.scoring import score_files
from p2pbench.scoring.label_files import COLOURS, Reading, describe, read_map
from p2pbench.scoring.label_reading import decide_reading
from p2pbench.scoring.outcome import Compared, Outcome, Scored, Scorers, folder_notes, folder_origin, score_row
from p2pbench.scoring.outcome import notes as compared_notes
from p2pbench.scoring.outputs import find_outputs, match_outputs
from p2pbench.scoring.runs import Ready, check_something, ready_grids
from p2pbench.scoring.score_table import ScoreRow
from p2pbench.scoring.truth import Truth
from p2pbench.scoring.truth_doubts import check_labelled, doubts
from reports.paper import PaperRow, paper_row
from reports.store.layout import Run

BEYOND = "void"  # what a prediction outside the classes is


SCORERS = Scorers(official="labels-official", strict="labels")


Advance = Callable[[str, int, int], None]


"""Called with the name of a grid or folder, and the number of its items done and of all."""


Show = Callable[[str, Mapping[int, LabelMaps]], None]


"""Called with an item's id and the label maps of its outputs, by the place of their folder; from several threads."""


def score_results(
    results: Path,
    at: At,
    advance: Advance,
    *,
    root: str | None = None,
    allow_partial: bool = False,
    clusters: str | None = None,
) -> Outcome:
    """Score every finished run from photos to labels, and the ground truth beside them, and write the scores.

    Args:
        results: A results folder.
        at: At which size outputs and labels are compared.
        advance: Told how far it is.
        root: Where the dataset is now; None looks where the runs found it.
        allow_partial: Whether to score runs that lack some of their pictures, too.
        clusters: Which test items vary together; None takes what each grid has.

    Raises:
        UserError: Nothing can be scored, a dataset is no longer where its runs found it, or a file cannot be read.
    """
    outcome = Outcome()
    for ready in ready_grids(
        results, PHOTO_TO_LABELS, root, allow_partial=allow_partial, outcome=outcome, clusters=clusters
    ):
        score_ready(ready, at, advance, outcome)
    check_something(results, outcome)
    return outcome


def score_folder(
    folder: Path, truth: Truth, out: Path, at: At, reading: Reading | None, *, allow_partial: bool, advance: Advance
) -> Outcome:
    """Score a plain folder of any model's outputs, and write the scores.

    Args:
        folder: The outputs.
        truth: What they are compared with.
        out: Where `scores/` and `segmentations/` are written.
        at: At which size the two are compared.
        reading: How the label maps are kept; None decides it by what they hold.
        allow_partial: Whether some outputs may be missing.
        advance: Called with how far it is.

    Raises:
        UserError: No output is of a test item, some are missing and may not be, a file cannot be read, the files may
            be of several kinds, or another's pictures are where label maps go.
    """
    outputs = find_outputs(folder, truth.items)
    files = match_outputs(outputs, truth.items, folder, allow_partial=allow_partial)
    run = score_files.folder_run(out, folder, files, truth, SCORERS)
    decided = decide_reading(folder, files, truth, reading)
    paper = paper_row(SCORERS.official, "", run.cell) if truth.is_papers else None

    def show(id_: str, maps: Mapping[int, LabelMaps]) -> None:
        _show(run, id_, maps[0], truth, at)

    (compared,) = _compare(truth, [files], at, decided.reading, partial(advance, str(folder)), show)
    row = _row(str(folder), truth, compared, at, decided.reading, folder_origin(outputs, truth))
    scored = _finish(run, row, {"folder": str(folder)}, truth, compared, paper)
    scored.notes[:0] = [*([decided.seen] if decided.seen else []), *folder_notes(outputs, truth)]
    return Outcome([scored])


def score_ready(ready: Ready, at: At, advance: Advance, outcome: Outcome) -> None:
    """Score one grid, whose label maps are colours. Raises what `score_results` does."""
    runs = list(ready.outputs)
    for run in runs:
        score_files.check_free(run, SCORERS)

    def show(id_: str, maps: Mapping[int, LabelMaps]) -> None:
        for place, of_run in maps.items():
            _show(runs[place], id_, of_run, ready.truth, at)
        # All outputs of a grid have one size, so the truth is the same beside each.
        truth = next(iter(maps.values())).truth
        label_images.write_label_image(ready.grid.labels / f"{id_}.png", truth, ready.truth.table, _source(at))

    counted = partial(advance, ready.grid.name)
    compared = _compare(ready.truth, list(ready.outputs.values()), at, COLOURS, counted, show)
    label_images.remove_other_label_images(ready.grid.labels, set().union(*ready.outputs.values()))
    for run, of_run in zip(runs, compared, strict=True):
        row = _row(ready.name(run), ready.truth, of_run, at, COLOURS, ready.origin(run))
        paper = ready.paper(run, SCORERS.official)
        outcome.scored.append(_finish(run, row, ready.place(run), ready.truth, of_run, paper))


def _show(run: Run, id_: str, maps: LabelMaps, truth: Truth, at: At) -> None:
    """Write the label map of an output, to be looked at."""
    label_images.write_label_image(run.segmentations / f"{id_}.png", maps.predicted, truth.table, _source(at))


def _source(at: At) -> str:
    return f"label-score at {at}"


def _finish(
    run: Run,
    row: ScoreRow,
    place: dict[str, str | int | None],
    truth: Truth,
    compared: Mapping[str, Compared],
    paper: PaperRow | None,
) -> Scored:
    """Write the scores of a folder of outputs, whose label maps are written."""
    label_images.remove_other_label_images(run.segmentations, compared.keys())
    score_files.write(run, SCORERS, row, compared, truth)
    notes = [*compared_notes(compared, BEYOND), *doubts(truth, row, compared, run)]
    return Scored(row._replace(paper=paper), place, truth.table.classes, compared, truth.clusters, notes)


def _compare(
    truth: Truth,
    folders: Sequence[Mapping[str, Path]],
    at: At,
    reading: Reading,
    advance: Callable[[int, int], None],
    show: Show,
) -> list[dict[str, Compared]]:
    """Compare the outputs of several folders, item by item, so that each item's labels are read once."""

    def compare(id_: str) -> dict[int, Compared]:
        labels: dict[int | None, NDArray[np.uint8]] = {}
        found, shown = {}, {}
        for place, files in enumerate(folders):
            if id_ in files:
                predicted, changed = read_map(files[id_], reading, truth.table)
                height, width = predicted.shape
                # Squares are what networks make: their labels are those of the sample of that size, as of `real/`.
                size = width if at == "output" and width == height else None
                if size not in labels:
                    labels[size] = truth.labels(id_, size)
                shown[place] = label_maps(predicted, labels[size], at)
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


def _row(
    name: str,
    truth: Truth,
    compared: Mapping[str, Compared],
    at: At,
    reading: Reading,
    origin: Mapping[str, object],
) -> ScoreRow:
    check_labelled(truth, compared)
    sizes = sorted({one.size for one in compared.values()})
    ids = None if reading == "colours" else describe(truth.table, reading)
    whole = {**origin, **protocol(truth.table, at, ids), "output_sizes": sizes}
    return score_row(name, SCORERS, compared, len(truth.items), whole, truth.clusters)
