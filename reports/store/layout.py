"""Names and paths in a results folder, defined only here.

A results folder holds grids, a grid holds cells, a cell holds one run per seed:

    results/GRID/grid.json
    results/GRID/CELL/seed-0/{config.json, losses.csv, checkpoint.pt, generator.safetensors, made.jsonl,
                              samples/, images/, scores/, segmentations/}
    results/GRID/contents/       hashes of the items that runs were made from, JSON
    results/GRID/input/images/   inputs of the generators, as pictures
    results/GRID/real/{images/, scores/, segmentations/, labels/}   the targets under the same resizing: the
                                                                    ground-truth row; and the true labels
    results/study/NAME/analysis.json   results of a study with raters
    results/report/{index.html, assets/, tables/}   page, pictures and tables

Pictures hold data: their values are those of the dataset. The values of black and white are in grid.json:
`settings.input_range` (of input/) and `settings.output_range` (of real/ and all runs' images/), each null or two
numbers; null is the full range of 8 or 16 bits. Scorers and viewers clip to that range and scale by it; they read it
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
RECORD = "made.jsonl"


@dataclass(frozen=True)
class Run:
    """Folder of outputs and scores: one training, or the ground truth.

    `seed` is None for the rows that were not trained: `real` and `input`.
    """

    folder: Path
    cell: str
    seed: int | None

    @property
    def config(self) -> Path:
        """All settings of the run and the identity of its data, JSON."""
        return self.folder / "config.json"

    @property
    def losses(self) -> Path:
        """Losses, one row per logged step, stitched across resumes, CSV."""
        return self.folder / "losses.csv"

    @property
    def checkpoint(self) -> Path:
        """Latest state of an unfinished or finished training."""
        return self.folder / "checkpoint.pt"

    @property
    def generator(self) -> Path:
        """Trained generator; exists if and only if training is finished."""
        return self.folder / "generator.safetensors"

    @property
    def samples(self) -> Path:
        """Pictures drawn during training."""
        return self.folder / "samples"

    @property
    def images(self) -> Path:
        """Outputs, one per item: ITEM.png, or .tif where PNG cannot hold it."""
        return self.folder / "images"

    @property
    def scores(self) -> Path:
        """Scores: one JSON file per scorer, with tables; hashes in made.jsonl."""
        return self.folder / "scores"

    def score(self, scorer: str) -> Path:
        """Values, intervals, items and protocol of one scorer, JSON."""
        return self.scores / f"{scorer}.json"

    def bootstrap(self, scorer: str) -> Path:
        """Bootstrap replicates of one scorer, one array per metric."""
        return self.scores / f"{scorer}{_BOOTSTRAP}"

    def classes(self, scorer: str) -> Path:
        """Scores of each class by a scorer of label maps, CSV."""
        return self.scores / f"{scorer}-classes.csv"

    @property
    def confusion(self) -> Path:
        """Confusion matrices of the FCN-score, one per image."""
        return self.scores / "fcn-confusion.npz"

    def confusion_table(self, scorer: str) -> Path:
        """Confusion matrix by a scorer of label maps, summed over items, CSV.

        The counts are the same for every protocol: they lie under the name of the strict one alone.
        """
        return self.scores / f"{scorer}-confusion.csv"

    @property
    def published(self) -> Path:
        """FCN-score by the official protocol, in the published script's format."""
        return self.scores / "evaluation_results.txt"

    @property
    def segmentations(self) -> Path:
        """Predicted segmentations of the outputs, ITEM.png, as palette PNG.

        255 is void or a channel beyond the classes; at most 512 pixels on the longest side.
        """
        return self.folder / "segmentations"

    @property
    def lab_histograms(self) -> Path:
        """Lab histograms of all scored outputs and targets, CSV.

        Of RGB in 8 bits or a declared range.
        """
        return self.scores / "image-lab.csv"

    def missing(self, scorer: str) -> Path:
        """Reason why a scorer could not score this run; removed on success."""
        return self.scores / f"{scorer}{_MISSING}"

    def unscored(self) -> list[str]:
        """Names of the scorers that could not score this run."""
        return sorted(path.name.removesuffix(_MISSING) for path in self.scores.glob(f"*{_MISSING}"))

    def scorers(self) -> list[str]:
        """Names of the scorers that have scored this run."""
        return sorted(path.stem for path in self.scores.glob("*.json") if path.stem[0] != ".")

    def pictures(self) -> dict[str, Path]:
        """Existing output pictures by item id, sorted."""
        if not self.images.is_dir():
            return {}
        paths = (path for path in self.images.iterdir() if path.suffix in {".png", ".tif"} and path.stem[0] != ".")
        return dict(sorted((item_id(path.stem), path) for path in paths))


@dataclass(frozen=True)
class Grid:
    """The folder of one ablation."""

    folder: Path

    @property
    def name(self) -> str:
        """Name of the grid: that of its folder."""
        return self.folder.name

    @property
    def json(self) -> Path:
        """Cells, seeds, dataset, settings, versions."""
        return self.folder / "grid.json"

    @property
    def input(self) -> Run:
        """Inputs of the generators, as pictures."""
        return Run(self.folder / INPUT, INPUT, None)

    @property
    def real(self) -> Run:
        """The ground-truth row."""
        return Run(self.folder / REAL, REAL, None)

    @property
    def labels(self) -> Path:
        """True labels, ITEM.png, in the segmentations' format; 255 is ignored."""
        return self.real.folder / "labels"

    @property
    def lock(self) -> Path:
        """Lock file of the command that prepares shared files; empty."""
        return self.folder / ".lock"

    def contents(self, digest: str) -> Path:
        """Content hash of each item of a split, JSON.

        The file is named by the hash of all of them.
        """
        return self.folder / CONTENTS / f"{digest}.json"

    @property
    def references(self) -> Path:
        """Hashes of the sources of the pictures in `real`, by item, JSON."""
        return self.real.folder / _SOURCES

    @property
    def input_references(self) -> Path:
        """Hashes of the sources of the pictures in `input`.

        Older versions kept one file for both.
        """
        return self.input.folder / _SOURCES

    def run(self, cell: str, seed: int) -> Run:
        """Run of one cell with one seed, existing or not."""
        return Run(self.folder / cell / f"seed-{seed}", cell, seed)

    def runs(self) -> list[Run]:
        """Existing runs by cell name, then seed."""
        runs = []
        for folder in self.folder.glob("*/seed-*"):
            match = _SEED.fullmatch(folder.name)
            if match and folder.is_dir():
                runs.append(Run(folder, folder.parent.name, int(match[1])))
        return sorted(runs, key=lambda run: (run.cell, run.seed))


@dataclass(frozen=True)
class Report:
    """Folder of one report: page, pictures and tables."""

    folder: Path

    @property
    def index(self) -> Path:
        """The page."""
        return self.folder / "index.html"

    @property
    def assets(self) -> Path:
        """Pictures and drawings of the page."""
        return self.folder / "assets"

    @property
    def tables(self) -> Path:
        """Tables of the page, CSV and LaTeX."""
        return self.folder / "tables"

    @property
    def scores(self) -> Path:
        """Every score of every run and item, one per row, CSV."""
        return self.tables / "scores.csv"

    @property
    def paper(self) -> Path:
        """The paper's numbers, one per row, CSV."""
        return self.tables / "paper.csv"

    def table(self, grid: str, scorer: str) -> Path:
        """Table of one scorer for a grid, one row per cell, CSV."""
        return self.tables / f"{file_name(grid)}--{file_name(scorer)}.csv"

    def latex(self, grid: str, scorer: str) -> Path:
        """Table of one scorer for a grid, LaTeX."""
        return self.table(grid, scorer).with_suffix(".tex")

    def numbers(self, grid: str, scorer: str, what: str) -> Path:
        """Further table of a scorer, such as that of classes, CSV.

        Scorers' names contain no dot, so that these names are unique.
        """
        return self.tables / f"{file_name(grid)}--{file_name(scorer)}.{what}.csv"

    def grid_file(self, grid: str) -> Path:
        """The grid as a file that trains it again, TOML."""
        return self.tables / f"{file_name(grid)}.toml"

    def relative(self, path: Path) -> str:
        """Path of a file relative to the report's page."""
        return path.relative_to(self.folder).as_posix()

    def entries(self) -> set[str]:
        """Names of the report's own files and folders."""
        return {self.index.name, self.assets.name, self.tables.name, RECORD}


def found_at(path: Path) -> str:
    """Description of a path that is no folder, for messages."""
    return "found a file" if path.exists() else "found no such folder"


def grids(results: Path) -> list[Grid]:
    """Grids in a results folder by name: folders with grid.json."""
    return [Grid(path.parent) for path in sorted(results.glob("*/grid.json"))]


def inputs(results: Path) -> list[Path]:
    """Folders that a report of a results folder reads."""
    return [*(grid.folder for grid in grids(results)), results / STUDIES]


def analyses(results: Path) -> dict[str, Path]:
    """Analysis file of each study by its name, existing or not."""
    folders = {path.parent for name in (_STUDY, _ANALYSIS) for path in (results / STUDIES).glob(f"*/{name}")}
    return {folder.name: folder / _ANALYSIS for folder in sorted(folders)}


def report(results: Path) -> Report:
    """Default report of a results folder."""
    return Report(results / REPORT)


def comparison(results: Path) -> Report:
    """Default folder of a comparison with another results folder."""
    return Report(results / "comparison")
