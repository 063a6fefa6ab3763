"""Names and places in a results folder: the only file that knows them.

A results folder holds grids, a grid holds cells, a cell holds one run a seed:

    results/GRID/grid.json
    results/GRID/CELL/seed-0/{config.json, losses.csv, checkpoint.pt, generator.safetensors, made.jsonl,
                              samples/, images/, scores/, segmentations/}
    results/GRID/contents/       hashes of the items that runs were made from, JSON
    results/GRID/input/images/   what the generators got, as pictures
    results/GRID/real/{images/, scores/, segmentations/, labels/}   the targets under the same resizing: the
                                                                    ground-truth row; and the true labels
    results/study/NAME/analysis.json   what came out of a study with raters
    results/report/{index.html, assets/, tables/}   what people read

Pictures hold data: their values are those of the dataset. Which of them are black and white, grid.json says in
`settings.input_range` (of input/) and `settings.output_range` (of real/ and all runs' images/), each null or two
numbers; null is all of 8 or 16 bits. Scorers and whoever shows pictures clip to that range and scale by it, and read it
with `reports.store.grids.ranges`. A run's config.json has the same values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from reports.store.names import file_name, item_id

INPUT, REAL, CONTENTS = "input", "real", "contents"  # of a grid's folder, beside its cells


REPORT, STUDIES = "report", "study"  # of a results folder, beside its grids


SEEDS = 10**18  # seeds are below it: a 64-bit number holds them


_SEED = re.compile(r"seed-(0|[1-9][0-9]{0,17})")


_BOOTSTRAP = "-bootstrap.npz"


_MISSING = "-missing.txt"


_STUDY, _ANALYSIS, _SOURCES = "study.json", "analysis.json", "made-from.json"


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
        """One JSON file a scorer, and its tables, whose hashes are in made.jsonl."""
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

    def confusion_table(self, scorer: str) -> Path:
        """How many pixels of each class a scorer of label maps took for which, summed over all items, CSV.

        The counts are the same for every protocol: they lie under the name of the strict one alone.
        """
        return self.scores / f"{scorer}-confusion.csv"

    @property
    def published(self) -> Path:
        """The FCN-score by the official protocol, in the format of the published script."""
        return self.scores / "evaluation_results.txt"

    @property
    def segmentations(self) -> Path:
        """What the scorer of label maps saw in the outputs, ITEM.png: class indices in the classes' colours.

        255 is void or a channel beyond the classes; at most 512 pixels on the longest side.
        """
        return self.folder / "segmentations"

    @property
    def lab_histograms(self) -> Path:
        """Pixel counts over L, a and b of all scored outputs and targets, CSV; of RGB in 8 bits or a declared range."""
        return self.scores / "image-lab.csv"

    def missing(self, scorer: str) -> Path:
        """Why a scorer could not score this run and what to do about it, one line; gone as soon as it has."""
        return self.scores / f"{scorer}{_MISSING}"

    def unscored(self) -> list[str]:
        """The scorers that have said why they could not score this run, by name."""
        return sorted(path.name.removesuffix(_MISSING) for path in self.scores.glob(f"*{_MISSING}"))

    def scorers(self) -> list[str]:
        """The scorers that have scored this run, by name."""
        return sorted(path.stem for path in self.scores.glob("*.json") if path.stem[0] != ".")

    def pictures(self) -> dict[str, Path]:
        """The output pictures there are, by item id, in the order of the ids."""
        if not self.images.is_dir():
            return {}
        found = (path for path in self.images.iterdir() if path.suffix in {".png", ".tif"} and path.stem[0] != ".")
        return dict(sorted((item_id(path.stem), path) for path in found))


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

    @property
    def labels(self) -> Path:
        """The true labels of the items, ITEM.png, of the size and kind of the segmentations; 255 is ignored."""
        return self.real.folder / "labels"

    @property
    def lock(self) -> Path:
        """Locked by the call that makes ready what the runs share; empty."""
        return self.folder / ".lock"

    def contents(self, digest: str) -> Path:
        """The hash of each item's content by its id, of a split whose contents have that hash together, JSON."""
        return self.folder / CONTENTS / f"{digest}.json"

    @property
    def references(self) -> Path:
        """What the pictures in `real` were made from: a hash by item id, JSON."""
        return self.real.folder / _SOURCES

    @property
    def input_references(self) -> Path:
        """The same of those in `input`; older versions kept one for both."""
        return self.input.folder / _SOURCES

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


def found_at(path: Path) -> str:
    """What is where a folder is expected and there is none, for messages."""
    return "found a file" if path.exists() else "found no such folder"


def grids(results: Path) -> list[Grid]:
    """The grids in a results folder, by name; a folder is a grid when it holds grid.json."""
    return [Grid(path.parent) for path in sorted(results.glob("*/grid.json"))]


def inputs(results: Path) -> list[Path]:
    """The folders that a report of a results folder is made from."""
    return [*(grid.folder for grid in grids(results)), results / STUDIES]


def analyses(results: Path) -> dict[str, Path]:
    """The analysis of each study in a results folder by the study's name, whether or not it exists yet."""
    found = {path.parent for name in (_STUDY, _ANALYSIS) for path in (results / STUDIES).glob(f"*/{name}")}
    return {folder.name: folder / _ANALYSIS for folder in sorted(found)}


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
        """The numbers of the page, CSV and LaTeX."""
        return self.folder / "tables"

    @property
    def scores(self) -> Path:
        """Every score of every run and item, one a row."""
        return self.tables / "scores.csv"

    @property
    def paper(self) -> Path:
        """The paper's own numbers, one a row, CSV."""
        return self.tables / "paper.csv"

    def table(self, grid: str, scorer: str) -> Path:
        """What one scorer says about a grid, one row a cell, CSV; the names of both are made those of files."""
        return self.tables / f"{file_name(grid)}--{file_name(scorer)}.csv"

    def latex(self, grid: str, scorer: str) -> Path:
        """The same table for a paper, LaTeX."""
        return self.table(grid, scorer).with_suffix(".tex")

    def numbers(self, grid: str, scorer: str, what: str) -> Path:
        """Other numbers of a scorer that the page shows, such as those of classes, CSV; no scorer's name has a dot."""
        return self.tables / f"{file_name(grid)}--{file_name(scorer)}.{what}.csv"

    def grid_file(self, grid: str) -> Path:
        """The grid as a file that trains it again, TOML."""
        return self.tables / f"{file_name(grid)}.toml"

    def relative(self, path: Path) -> str:
        """A file of the report as its page names it."""
        return path.relative_to(self.folder).as_posix()

    def entries(self) -> set[str]:
        """What a report folder holds, by file name; anything else in it is someone else's."""
        return {self.index.name, self.assets.name, self.tables.name, RECORD}


def report(results: Path) -> Report:
    """The report of a results folder, where nobody asks for another place."""
    return Report(results / REPORT)


def comparison(results: Path) -> Report:
    """What changed in a results folder since another, where nobody asks for another place."""
    return Report(results / "comparison")


RECORD = "made.jsonl"
