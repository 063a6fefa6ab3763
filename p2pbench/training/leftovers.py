"""Outputs, leftovers and foreign files in a run's folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from p2pbench.datasets import label_images
from p2pbench.errors import UserError
from reports.store import ledger
from reports.store.layout import RECORD, Run
from reports.store.made import Made, digest

LOSSES = b"step,epoch,"  # with which losses.csv begins


def check_outputs(run: Run) -> None:
    """Refuse foreign or replaced pictures in a run's `images/`.

    They would be scored.

    A replaced generator is refused too, as it would make the missing pictures. Runs that an older version finished have
    no record of their files, which are accepted as they are.

    Raises:
        UserError: There is one; it is named.
    """
    made = Made(run.folder)
    if not made and run.generator.exists():
        return
    check_generator(run, made)
    for path in run.pictures().values():
        if not made.holds(path):
            what = "was replaced since this run made it" if made.names(path) else "was not made by this run"
            raise UserError(
                f"{path}: {what}, and would be scored as its output; move it away, and rerun the same command to resume"
            )


def check_generator(run: Run, made: Made) -> None:
    """Refuse a finished run's generator that was replaced.

    Only where its hash is recorded.

    Raises:
        UserError: It was replaced, or is damaged.
    """
    if made.names(run.generator) and run.generator.exists() and not made.holds(run.generator):
        raise UserError(
            f"{run.generator}: is not the one that this run trained; put that back, or keep this file elsewhere and "
            f"delete {run.folder} to train anew"
        )


def check_leftovers(run: Run) -> None:
    """Refuse foreign files in a run that is trained again.

    They would be reported with it.

    Raises:
        UserError: There is one; it is named.
    """
    foreign = [
        *(path for path in _files(run.scores, "*.json") if not ledger.is_score(path)),
        *(path for path in _files(run.segmentations, "*.png") if label_images.source_of_label_image(path) is None),
        *Made(run.scores).changed(),
        *(path for path in (run.losses,) if path.exists() and not _are_losses(path)),
    ]
    if foreign:
        raise UserError(
            f"{foreign[0]}: was not written by this program, or was changed since, and would be reported with a run "
            "that is trained anew; move it away, or use another results folder"
        )


def remove_leftovers(run: Run) -> None:
    """Remove the files of an earlier training of a run.

    Pictures, losses and scores; a user's files stay.

    Raises:
        UserError: As `check_outputs` and `check_leftovers`; nothing was removed.
    """
    check_outputs(run)
    check_leftovers(run)
    # Only files that the program is known to have written; scores of the old weights must not stand beside the new
    # outputs.
    for path in [*Made(run.folder).files(), *_scores(run)]:
        path.unlink(missing_ok=True)
    label_images.remove_other_label_images(run.segmentations, ())
    for folder in (run.folder, run.scores):
        # Last: as long as the record is there, a killed call can still tell the remaining files from a user's.
        (folder / RECORD).unlink(missing_ok=True)


def adopt(run: Run) -> Made:
    """Open the record of a finished run's pictures.

    For a run of an older version it is made from its files.
    """
    made = Made(run.folder)
    if not made:
        for path in run.pictures().values():
            made.note(path, digest(path))
    return made


def _are_losses(path: Path) -> bool:
    return path.is_file() and path.read_bytes().startswith(LOSSES)


def _scores(run: Run) -> Iterator[Path]:
    """Yield the files that scorers have written about a run, and its losses."""
    scorers = run.scorers()
    for scorer in scorers:
        yield run.score(scorer)
        yield run.bootstrap(scorer)
        yield run.classes(scorer)
        yield run.confusion_table(scorer)
    yield from (run.missing(scorer) for scorer in run.unscored())
    yield from (run.confusion, run.lab_histograms, run.losses)
    if any(scorer.startswith("fcn-") for scorer in scorers):  # else it may be what the published script wrote
        yield run.published


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
