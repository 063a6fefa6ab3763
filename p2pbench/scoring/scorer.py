"""Interface of all scorers: from outputs of runs to scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from reports.store.arithmetic import mark
from reports.store.layout import Grid, Run
from reports.store.scores import Scores

if TYPE_CHECKING:
    from p2pbench.datasets.clusters import ItemClusters
    from p2pbench.datasets.decoders import Picture
    from p2pbench.datasets.transforms import Range
    from p2pbench.scoring.truth import Truth


@dataclass(frozen=True)
class Targets:
    """Target pictures of test items.

    Attributes:
        read: Reads an item's target by its id.
        native: Targets have their own size and aspect, and outputs are resized to it; else sizes must be equal.
    """

    read: Callable[[str], Picture]
    native: bool = False


@dataclass(frozen=True)
class Outputs:
    """Output pictures of a run or plain folder, with their reference.

    Attributes:
        run: The folder that gets the scores.
        name: Its name in tables and messages.
        files: The output pictures by item id.
        n_expected: The number of items in the split.
        origin: How the outputs were made, for protocols.
        ends: Values that are black and white in outputs and targets; None is all of their depth.
        clusters: Items that vary together, if any.
        grid: The grid of the run; None for a plain folder.
        targets: Target pictures, for scorers that compare pictures.
        truth: True labels, for scorers that compare label maps.
        source: Source of the grid, such as a table of the paper.
        notes: What a user should know of the files, one line each.
    """

    run: Run
    name: str
    files: Mapping[str, Path]
    n_expected: int
    origin: Mapping[str, object]
    ends: Range | None = None
    clusters: ItemClusters | None = None
    grid: Grid | None = None
    targets: Targets | None = None
    truth: Truth | None = None
    source: str = ""
    notes: Sequence[str] = ()

    @cached_property
    def place(self) -> dict[str, str | int | None]:
        """Fields for --json: folder; or grid, cell, seed and a note.

        The note names known or possible defects of its training.
        """
        if self.grid is None:
            return {"folder": self.name}
        return {"grid": self.grid.name, "cell": self.run.cell, "seed": self.run.seed, "note": mark(self.run)}

    def against_targets(self) -> Targets:
        """The target pictures, which every scorer of pictures needs."""
        assert self.targets is not None, f"{self.name}: gathered without target pictures"
        return self.targets

    def against_labels(self) -> Truth:
        """The true labels, which every scorer of label maps needs."""
        assert self.truth is not None, f"{self.name}: gathered without labels"
        return self.truth


@dataclass(frozen=True, eq=False)
class Scored:
    """Outputs with their new scores.

    Attributes:
        outputs: What was scored.
        scores: The scores by each of the scorer's names.
        notes: What a user should know of these outputs, one line each.
    """

    outputs: Outputs
    scores: Sequence[Scores]
    notes: Sequence[str] = ()


class Scorer(Protocol):
    """Turns outputs into scores and writes them into the run's folder."""

    def check_free(self, run: Run) -> None:
        """Refuse to score over a user's file, before anything is written.

        Raises:
            ReportError: There is one, or a file of the scorer's was changed by hand; it is named.
        """

    def score(self, runs: Sequence[Outputs]) -> Iterator[Scored]:
        """Score the runs of one grid, or one plain folder.

        Runs come together so that what they share is read once: labels, features of real pictures, networks.

        Raises:
            UserError: A picture cannot be decoded, or does not fit what it is compared with.
            Stopped: The user asked to stop.
        """
