"""Coverage of intervals, and rate of false verdicts, by simulation and by real trainings.

    python benchmarks/verdicts.py [--trials 1000] [--results FOLDER] [--json FILE]

Simulated, with the product's own functions: scores of cells whose expected scores are known, from seeds and items with
normal effects. The standard error of a score over items is 1 for one seed; half of an item's variance is shared by all
seeds of a cell. Class scores: 19 classes, four of them in less than 16 % of the images, with image and class effects.
FID and KID: features of outputs that depend on their targets.

FOLDER is a results folder whose cells have eight seeds or more: in all splits of a cell's seeds into two sides, no
number differs in truth, so each one that is called different is a false verdict.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from itertools import combinations, islice, product
from pathlib import Path

from record import Record, options

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from fcn.score_protocols import counted, scores
from p2pbench.datasets.clusters import ItemClusters, of_clusters, weights_of
from p2pbench.metrics import distributions
from p2pbench.metrics.image_metrics import intersection
from p2pbench.scoring.confusion_scores import confusion_scores
from p2pbench.scoring.image_scores import mean
from reports.store import bootstrap, ledger, variance
from reports.store.layout import REAL, grids
from reports.store.scores import Scores, cell_sample
from reports.store.variance import LEVEL, ScoreSample, difference, estimate
from reports.verdicts import decide, discoveries

ITEMS = 100
RATIOS = (0.0, 0.5, 1.0, 2.0, 4.0)
Z = 1.959964
WORLDS = 8
"""Sets of classes, each more or less common and more or less often found, that class scores are simulated in."""
UNEQUAL = [5] * 9 + [100]
"""Items in clusters of which one has most."""


def cell(
    random: np.random.Generator, seeds: int, ratio: float, shift: float = 0, common: NDArray[np.float64] | None = None
) -> ScoreSample:
    """A cell of so many trainings; `common` are effects of items (ITEMS,) that all cells share."""
    values = (
        (0 if common is None else common)
        + random.normal(0, np.sqrt(ITEMS / 2), ITEMS)
        + random.normal(0, np.sqrt(ITEMS / 2), (seeds, ITEMS))
        + random.normal(shift, ratio or 1e-12, (seeds, 1))
    )
    means = values.mean(axis=1)
    # Numbers with the variances and covariances that bootstrap replicates of the means have, made 100 times sooner.
    return variance.sample(means.tolist(), (values - means[:, None]) / np.sqrt(ITEMS), ITEMS)


def over_seeds(trials: int, random: np.random.Generator) -> Iterator[dict[str, object]]:
    """Coverage of a cell's interval, and its width over that of an oracle who knows the variances."""
    for seeds in (1, 2, 3, 5, 10):
        for ratio in RATIOS:
            found = [estimate(cell(random, seeds, ratio)).interval for _ in range(trials)]
            oracle = 2 * Z * np.sqrt(ratio**2 / seeds + 0.5 + 0.5 / seeds)
            yield {
                "seeds": seeds,
                "seed SD / item SE": ratio,
                "held": _percent(low <= 0 <= high for low, high in found),
                "width": f"{statistics.median(high - low for low, high in found) / oracle:.2f}",
            }


def differences(trials: int, random: np.random.Generator) -> Iterator[dict[str, object]]:
    """Two cells: false verdicts where they are equal, and power at three standard errors, 85 % for an oracle."""
    for sides in ((2, 2), (3, 3), (4, 4), (5, 5), (2, 5), (3, 10)):
        for ratios in ((0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (4.0, 4.0), (0.0, 4.0)):
            error = np.sqrt(sum(r**2 / k + 0.5 + 0.5 / k for k, r in zip(sides, ratios, strict=True)))
            shares = [
                _percent(
                    difference(cell(random, sides[0], ratios[0], shift), cell(random, sides[1], ratios[1])).p < LEVEL
                    for _ in range(trials)
                )
                for shift in (0.0, 3 * error)
            ]
            yield {
                "seeds": "{} and {}".format(*sides),
                "seed SD / item SE": "{:g} and {:g}".format(*ratios),
                "false": shares[0],
                "power at 3 SE": shares[1],
            }


def tables(trials: int, random: np.random.Generator) -> Iterator[dict[str, object]]:
    """Tables of equal cells: in how many some cell is shown as behind."""
    for seeds, ratio in ((1, 0.0), (2, 1.0), (2, 4.0), (3, 1.0), (3, 4.0), (5, 4.0)):
        for cells in (2, 5, 10, 20):
            wrong = []
            for _ in range(max(1, trials // cells * 2)):
                common = random.normal(0, 2 * np.sqrt(ITEMS), ITEMS)
                samples = {str(i): cell(random, seeds, ratio, 0, common) for i in range(cells)}
                wrong.append(any(pair.decided for pair in decide(samples, higher_is_better=True).pairs))
            yield {
                "seeds": seeds,
                "seed SD / item SE": ratio,
                "equal cells": cells,
                "tables with a false verdict": _percent(wrong),
            }


def pages(trials: int, random: np.random.Generator) -> Iterator[dict[str, object]]:
    """Pages of 70 compared numbers of which none, or 20, changed by five standard errors."""
    for seeds, ratio, changed in product((2, 3), (1.0, 4.0), (0, 20)):
        false, all_ = [], []
        for _ in range(max(1, trials // 5)):
            shift = 5 * np.sqrt(2 * (ratio**2 / seeds + 0.5 + 0.5 / seeds))
            sides = ((cell(random, seeds, ratio, shift * (i < changed)), cell(random, seeds, ratio)) for i in range(70))
            p = [difference(*pair).p for pair in sides]
            level = discoveries(p)
            found = [each <= level for each in p]
            false.append(sum(found[changed:]))
            all_.append(sum(found))
        rate = statistics.mean(f / n if n else 0 for f, n in zip(false, all_, strict=True))
        yield {
            "seeds": seeds,
            "seed SD / item SE": ratio,
            "changed of 70": changed,
            "false verdicts per page": f"{statistics.mean(false):.2f}",
            "false among verdicts": f"{100 * rate:.1f} %",
            "found": f"{statistics.mean(n - f for f, n in zip(false, all_, strict=True)):.1f}",
        }


def few_items(trials: int, random: np.random.Generator) -> Iterator[dict[str, object]]:
    """Coverage of means, skewed ones too, of class scores from confusion matrices, and of histograms, at few items.

    The truth of a mean and of class scores is that of endless items. Few items make a histogram's intersection and
    class IoU too low (a class that is predicted and not there counts 0): for the first, and for the second in a column
    of its own, it is the mean over samples of so many items.
    """
    for n in (5, 10, 20, 50, 100):
        ids = [f"{i:03}" for i in range(n)]
        held: dict[str, list[bool]] = {}
        overlap = statistics.mean(_overlap(*_histograms(random, n)) for _ in range(4 * trials))
        for _ in range(WORLDS):
            drawn = _Streets(random)
            expected = drawn.expected()
            samples = np.stack([drawn.matrices(n).sum(axis=0) for _ in range(max(1, trials // WORLDS))])
            iou = float(np.mean(scores(counted(samples, "strict"), "strict").class_iou))
            for _ in range(max(1, trials // 4 // WORLDS)):
                for name, values, truth in (
                    ("normal mean", random.normal(0, 1, n), 0.0),
                    ("skewed mean", random.gamma(4, 1, n), 4.0),
                ):
                    replicates = bootstrap.item_weights(ids, 2000) @ values / n
                    low, high = estimate(variance.sample([float(values.mean())], replicates[None], n)).interval
                    held.setdefault(name, []).append(low <= truth <= high)
                sides = _histograms(random, n)
                weights = bootstrap.item_weights(ids, 2000)
                replicates = intersection(*(weights @ side for side in sides))
                low, high = estimate(variance.sample([_overlap(*sides)], replicates[None], n)).interval
                held.setdefault("histogram", []).append(low <= overlap <= high)
                matrices = dict(zip(ids, drawn.matrices(n), strict=True))
                made = confusion_scores("x", matrices, "strict", n, {})
                present = np.stack(list(matrices.values()))[:, :-1].sum(axis=(0, 2)) > 0
                for name in ("pixel_accuracy", "class_accuracy", "class_iou"):
                    low, high = made.interval(name)
                    held.setdefault(name, []).append(low <= drawn.truth(expected, name, present) <= high)
                low, high = made.interval("class_iou")
                held.setdefault("class_iou of so many", []).append(low <= iou <= high)
        yield {"items": n, **{name: _percent(each) for name, each in held.items()}}


def clusters(trials: int, random: np.random.Generator) -> Iterator[dict[str, object]]:
    """Coverage where items of a cluster vary together, by draws of items and by draws of clusters."""
    drawn = _Streets(random)
    expected = drawn.expected()
    kinds = ([50] * 2, 0.5), ([25] * 4, 0.3), ([20] * 5, 0.3), ([10] * 10, 0.3), ([10] * 10, 0.0), (UNEQUAL, 0.3)
    for sizes, icc in kinds:
        of_items = np.repeat(np.arange(len(sizes)), sizes)
        ids = tuple(f"{i:03}" for i in range(len(of_items)))
        together = ItemClusters("sequences", {item: str(of) for item, of in zip(ids, of_items, strict=True)})
        ways = {"items": None, "clusters": together}
        weights = {over: weights_of(ids, known) for over, known in ways.items()}
        held: dict[str, list[bool]] = {}
        for trial in range(trials):
            effects = np.sqrt(icc) * random.normal(size=len(sizes))[of_items]
            effects = effects + np.sqrt(1 - icc) * random.normal(size=len(ids))
            for over, known in ways.items():
                metrics = {"mean": mean(effects, weights[over])}
                low, high = Scores("x", of_clusters(known, ids), ids, len(ids), metrics).interval("mean")
                held.setdefault(f"mean, over {over}", []).append(low <= 0 <= high)
            if trial >= trials // 5:
                continue
            matrices = drawn.matrices(len(ids), effects[:, None])
            present = matrices[:, :-1].sum(axis=(0, 2)) > 0
            truth = drawn.truth(expected, "class_iou", present)
            for over, known in ways.items():
                by_item = dict(zip(ids, matrices, strict=True))
                low, high = confusion_scores("x", by_item, "strict", len(ids), {}, known).interval("class_iou")
                held.setdefault(f"class IoU, over {over}", []).append(low <= truth <= high)
        yield {
            "clusters": f"{len(sizes)} of {min(sizes)}" + (f" to {max(sizes)}" if len(set(sizes)) > 1 else ""),
            "ICC": icc,
            **{name: _percent(each) for name, each in held.items()},
        }


def _histograms(random: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lightness of n targets and of their outputs, which are flatter: pixel counts (n, 100) each."""
    centre, width = random.normal(50, 15, (n, 1)), random.gamma(9, 1.5, (n, 1))
    bins = np.arange(100) + 0.5
    target = scipy.stats.norm.pdf(bins, centre, width)
    output = scipy.stats.norm.pdf(bins, centre + random.normal(2, 4, (n, 1)), 0.7 * width)
    return 4096 * target, 4096 * output


def _overlap(target: NDArray[np.float64], output: NDArray[np.float64]) -> float:
    return float(intersection(target.sum(axis=0), output.sum(axis=0)))


class _Streets:
    """Confusion matrices of made-up segmentations, with rare classes, good and bad images."""

    classes = 19

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._there = np.r_[np.full(7, 0.98), np.linspace(0.9, 0.2, 8), 0.15, 0.1, 0.08, 0.05]
        self._size = np.exp(random.normal(0, 1.2, self.classes)) * np.r_[np.full(7, 3.0), np.full(12, 0.3)]
        found = np.clip(random.normal(0.7, 0.15, self.classes), 0.2, 0.95)
        self._found = np.log(found / (1 - found))
        mistaken = random.gamma(0.5, 1, (self.classes, self.classes)) * self._there
        np.fill_diagonal(mistaken, 0)
        self._mistaken = mistaken / mistaken.sum(axis=1, keepdims=True)

    def matrices(self, n: int, effects: NDArray[np.float64] | None = None) -> NDArray[np.int64]:
        """Of n images; how well each is segmented goes by its effect (n, 1), standard normal."""
        shape = (n, self.classes)
        there = self._random.random(shape) < self._there
        pixels = np.where(there, self._random.gamma(1.5, self._size, shape) * 3000, 0)
        effects = self._random.normal(size=(n, 1)) if effects is None else effects
        logits = self._found + 0.6 * effects + self._random.normal(0, 0.5, shape)
        right = pixels / (1 + np.exp(-logits))
        found = (pixels - right)[..., None] * self._mistaken
        found[:, np.arange(self.classes), np.arange(self.classes)] += right
        whole = np.zeros((n, self.classes + 1, self.classes + 1), np.int64)
        whole[:, :-1, :-1] = found
        return whole

    def expected(self) -> NDArray[np.float64]:
        return np.asarray(np.sum([self.matrices(1000).sum(axis=0) for _ in range(20)], axis=0), np.float64)

    def truth(self, expected: NDArray[np.float64], name: str, present: NDArray[np.bool_]) -> float:
        """The score of endless items, over the classes that the sample has."""
        counts = expected[:-1, :-1]
        right, rows, columns = np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)
        if name == "pixel_accuracy":
            return float(right.sum() / rows.sum())
        of_classes = right / rows if name == "class_accuracy" else right / (rows + columns - right)
        kept = present if name == "class_accuracy" else np.ones(self.classes, bool)
        return float(of_classes[kept].mean())


def distances(trials: int, random: np.random.Generator) -> Iterator[dict[str, object]]:
    """The estimated standard deviation of FID and KID over the true one."""
    for n, shift in ((20, 0.5), (50, 0.5), (50, 0.0), (200, 0.3), (500, 0.3)):
        halves = bootstrap.halves([str(i) for i in range(n)], 40)
        values, variances = [], []
        for trial in range(max(20, trials // 4)):
            target = random.normal(size=(n, 64)) * np.arange(1, 65) ** -0.3
            output = (0.6 * target + 0.8 * random.normal(size=(n, 64))) * (1 + 0.3 * shift) + 0.3 * shift
            values.append((distributions.fid(output, target), distributions.kid(output, target)))
            if trial < 60:
                variances.append(
                    (distributions.fid_variance(output, target, halves), distributions.kid_variance(output, target))
                )
        ratio = np.sqrt(np.mean(variances, axis=0)) / np.std(values, axis=0, ddof=1)
        yield {"items": n, "shift": shift, "FID": f"{ratio[0]:.2f}", "KID": f"{ratio[1]:.2f}"}


def trainings(results: Path) -> Iterator[dict[str, object]]:
    """In splits of a cell's seeds into two sides, how many numbers are called different."""
    of_cells: dict[tuple[str, str, str], list[Scores]] = {}
    for grid in grids(results):
        for entry in ledger.entries(grid):
            if isinstance(entry, ledger.LedgerEntry) and entry.run.cell != REAL:
                of_cells.setdefault((grid.name, entry.run.cell, entry.scores.scorer), []).append(entry.scores)
    for seeds in (2, 3, 4):
        ours, welch = [], []
        for runs in (runs for runs in of_cells.values() if len(runs) >= 2 * seeds):
            for sides in islice(_splits(len(runs), seeds), 200):
                for name in runs[0].metrics:
                    a, b = (cell_sample([runs[i] for i in side], name, trained=True) for side in sides)
                    found = difference(a, b)
                    if np.isfinite(found.p):
                        ours.append(found.p < LEVEL)
                        values = [[runs[i].metrics[name].value for i in side] for side in sides]
                        welch.append(scipy.stats.ttest_ind(*values, equal_var=False).pvalue < LEVEL)
        yield {"seeds per side": seeds, "numbers": len(ours), "different": _percent(ours), "by Welch": _percent(welch)}


def _splits(runs: int, seeds: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    for first in combinations(range(runs), seeds):
        for second in combinations([i for i in range(runs) if i not in first and i > first[0]], seeds):
            yield first, second


def _percent(cases: Sequence[bool] | Iterator[bool]) -> str:
    known = list(cases)
    return f"{100 * sum(known) / len(known):.1f} %" if known else "-"


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--trials", type=int, default=1000, help="simulated cells of each kind")
    parser.add_argument("--results", type=Path, help="trainings of equal cells, eight seeds or more of each")
    arguments = parser.parse_args()
    record = Record("verdicts", arguments)
    random = np.random.default_rng(0)
    record.table("intervals over trainings and items", list(over_seeds(arguments.trials, random)))
    record.table("differences of two cells", list(differences(arguments.trials, random)))
    record.table("tables of equal cells", list(tables(arguments.trials, random)))
    record.table("pages of 70 compared numbers", list(pages(arguments.trials, random)))
    record.table("coverage at few items", list(few_items(arguments.trials, random)))
    record.table("coverage with clusters of items", list(clusters(arguments.trials, random)))
    record.table("estimated over true standard deviation", list(distances(arguments.trials, random)))
    if arguments.results:
        record.table("trainings of the same cell", list(trainings(arguments.results)))
    record.save()


if __name__ == "__main__":
    main()
