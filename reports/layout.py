"""Names and places in a results folder: the only file that knows them.

A results folder holds grids, a grid holds cells, a cell holds one run a seed:

    results/GRID/grid.json
    results/GRID/CELL/seed-0/{config.json, losses.csv, checkpoint.pt, generator.safetensors,
                              samples/, images/, scores/}
    results/GRID/input/images/   what the generators got, as pictures
    results/GRID/real/{images/, scores/}   the targets under the same resizing: the ground-truth row
    results/report/{index.html, assets/, tables/}   what people read
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

INPUT, REAL = "input", "real"
_SEED = re.compile(r"seed-(\d+)")
_BOOTSTRAP = "-bootstrap.npz"


@dataclass(frozen=True)
class Run:
    """One folder of outputs with its scores: a training of one cell with one seed, or the ground truth.

    `seed` is None for the rows that were not trained: `real` and `input`.
    """

    folder: Path
    cell: str
    seed: int | None

    @property
    def config(self) -> Path:
        """Every setting of the run and the identity of its data, JSON."""
        return self.folder / "config.json"

    @property
    def losses(self) -> Path:
        """One row a logged step, CSV, stitched across resumes."""
        return self.folder / "losses.csv"

    @property
    def checkpoint(self) -> Path:
        """The latest state of an unfinished or finished training."""
        return self.folder / "checkpoint.pt"

    @property
    def generator(self) -> Path:
        """The trained generator that made the images; it exists when, and only when, training is finished."""
        return self.folder / "generator.safetensors"

    @property
    def samples(self) -> Path:
        """Pictures drawn while training."""
        return self.folder / "samples"

    @property
    def images(self) -> Path:
        """The outputs, one picture an item, named ITEM.png (or .tif where PNG cannot hold it)."""
        return self.folder / "images"

    @property
    def scores(self) -> Path:
        """One JSON file a scorer."""
        return self.folder / "scores"

    def score(self, scorer: str) -> Path:
        """Values, intervals, items and protocol of one scorer, JSON."""
        return self.scores / f"{scorer}.json"

    def bootstrap(self, scorer: str) -> Path:
        """The bootstrap replicates behind the intervals of one scorer, one array a metric."""
        return self.scores / f"{scorer}{_BOOTSTRAP}"

    def classes(self, scorer: str) -> Path:
        """What a scorer of label maps says about each class, CSV."""
        return self.scores / f"{scorer}-classes.csv"

    @property
    def confusion(self) -> Path:
        """The FCN-score's matrices, one an image."""
        return self.scores / "fcn-confusion.npz"

    @property
    def published(self) -> Path:
        """The FCN-score by the official protocol, in the format of the published script."""
        return self.scores / "evaluation_results.txt"

    def scorers(self) -> list[str]:
        """The scorers that have scored this run, by name."""
        return sorted(path.stem for path in self.scores.glob("*.json") if path.stem[0] != ".")

    def pictures(self) -> dict[str, Path]:
        """The output pictures there are, by item id, in the order of the ids."""
        if not self.images.is_dir():
            return {}
        found = (path for path in self.images.iterdir() if path.suffix in {".png", ".tif"} and path.stem[0] != ".")
        return {path.stem: path for path in sorted(found)}


@dataclass(frozen=True)
class Grid:
    """The folder of one ablation."""

    folder: Path

    @property
    def name(self) -> str:
        """The grid's name, which is its folder's."""
        return self.folder.name

    @property
    def json(self) -> Path:
        """Cells, seeds, dataset, versions."""
        return self.folder / "grid.json"

    @property
    def input(self) -> Run:
        """What the generators got, as pictures."""
        return Run(self.folder / INPUT, INPUT, None)

    @property
    def real(self) -> Run:
        """The ground-truth row."""
        return Run(self.folder / REAL, REAL, None)

    def run(self, cell: str, seed: int) -> Run:
        """The run of one cell with one seed, whether or not it exists yet."""
        return Run(self.folder / cell / f"seed-{seed}", cell, seed)

    def runs(self) -> list[Run]:
        """The runs that exist, by cell name, then seed."""
        found = []
        for folder in self.folder.glob("*/seed-*"):
            match = _SEED.fullmatch(folder.name)
            if match and folder.is_dir():
                found.append(Run(folder, folder.parent.name, int(match[1])))
        return sorted(found, key=lambda run: (run.cell, run.seed))


def grids(results: Path) -> list[Grid]:
    """The grids in a results folder, by name; a folder is a grid when it holds grid.json."""
    return [Grid(path.parent) for path in sorted(results.glob("*/grid.json"))]


@dataclass(frozen=True)
class Report:
    """The folder of one report: a page that opens from disk, its pictures and its tables."""

    folder: Path

    @property
    def index(self) -> Path:
        """The page."""
        return self.folder / "index.html"

    @property
    def assets(self) -> Path:
        """The pictures and drawings of the page."""
        return self.folder / "assets"

    @property
    def tables(self) -> Path:
        """The numbers of the page, CSV."""
        return self.folder / "tables"

    @property
    def scores(self) -> Path:
        """Every score of every run and item, one a row."""
        return self.tables / "scores.csv"

    def table(self, grid: str) -> Path:
        """The table of one grid: one row a cell and scorer."""
        path = self.tables / f"{grid}.csv"
        return path if path != self.scores else self.tables / "grid-scores.csv"

    def entries(self) -> set[str]:
        """What a report folder holds, by file name; anything else in it is someone else's."""
        return {self.index.name, self.assets.name, self.tables.name}


def report(results: Path) -> Report:
    """The report of a results folder, where nobody asks for another place."""
    return Report(results / "report")
