"""The scores that see with a published network, of runs of a results folder: LPIPS, and if asked for FID and KID.

What such a score needs may not be here. Then a line in the run's folder says what is missing, and the command goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from p2pbench.datasets import pictures
from p2pbench.datasets.clusters import ItemClusters
from p2pbench.datasets.contents import picture_hash
from p2pbench.datasets.decoders import Picture
from p2pbench.datasets.transforms import Range
from p2pbench.errors import UserError
from p2pbench.metrics.published import ALEXNET, INCEPTION, Missing, MissingPackage, MissingWeights
from p2pbench.runtime.device import pick_device
from p2pbench.runtime.progress import ProgressReporter
from p2pbench.scoring import distribution_scores
from p2pbench.scoring.distribution_scores import FID, KID
from p2pbench.scoring.image_scores import Target, truth
from p2pbench.training.records import origin
from reports.store import grids, ledger
from reports.store import made as store_made
from reports.store.layout import Grid, Run
from reports.store.names import typed
from reports.store.scores import Scores

if TYPE_CHECKING:  # these import the packages of the extra, which may not be there
    from p2pbench.metrics.inception import Inception
    from p2pbench.metrics.lpips import Lpips


LPIPS = "lpips"


class Seen(NamedTuple):
    """Features (n, 2048) of pictures in the order of their ids, and a hash of each picture by id."""

    features: NDArray[np.float32]
    hashes: dict[str, str]


class PerceptualScorer:
    """Scores runs one after the other; networks are loaded once, and what is missing is said once.

    Args:
        results: the results folder, for the commands in messages.
        device: the name of the device on which the networks compute, or auto.
        reporter: receives progress.
        inception_weights: Inception's file; None takes the published one, if it has been downloaded.

    Raises:
        UserError: Inception's file, or the device, is not there.
    """

    def __init__(
        self, results: Path, device: str, reporter: ProgressReporter, inception_weights: Path | None = None
    ) -> None:
        if inception_weights is not None and not inception_weights.is_file():
            found = "a folder" if inception_weights.is_dir() else "no such file"
            raise UserError(f"{inception_weights}: found {found}, expected Inception's weights; check the path")
        self._results, self._device, self._reporter = results, pick_device(device), reporter
        self._inception_weights = inception_weights
        self._said: set[str] = set()
        self._real: dict[Path, Seen] = {}

    def score_lpips(
        self,
        run: Run,
        outputs: Mapping[str, Path],
        target: Target,
        n_expected: int,
        native: bool,
        ends: Range | None,
        clusters: ItemClusters | None,
    ) -> list[Scores]:
        """Score a run by LPIPS and write the score, or the line that says why there is none; see `score_images`.

        Raises:
            UserError: a picture does not fit its target, or the file of weights is damaged.
        """

        def score() -> Scores:
            network = self._lpips
            from p2pbench.scoring.lpips_scores import score_lpips

            return score_lpips(
                outputs, target, n_expected, network, native=native, ends=ends, origin=origin(run), clusters=clusters
            )

        return self._write(run, {LPIPS: score}, f"p2pbench image-score {typed(self._results)} --download-weights")

    def score_distributions(
        self, grid: Grid, run: Run, outputs: Mapping[str, Path], clusters: ItemClusters | None = None
    ) -> list[Scores]:
        """Score a run by FID and KID against `real/` and write the scores, or the line that says why there are none.

        Raises:
            UserError: a picture cannot be decoded, or the file of weights is damaged.
        """
        ids = sorted(outputs)
        ends = grids.ranges(grid).output
        features: list[NDArray[np.float32]] = []

        def seen() -> tuple[NDArray[np.float32], NDArray[np.float32], int, dict[str, object]]:
            if not features:
                made, _ = self._features(f"{grid.name}/{run.cell} seed {run.seed}", outputs, ends)
                features.append(made)
            real, targets = self._real_features(grid, ids, ends)
            return features[0], real, len(ids), {**self._inception.protocol(ends), **truth(targets), **origin(run)}

        scorers = {
            FID: lambda: distribution_scores.score_fid(ids, *seen(), clusters),
            KID: lambda: distribution_scores.score_kid(ids, *seen(), clusters),
        }
        found = self._write(run, scorers, f"p2pbench image-score {typed(self._results)} --fid --download-weights")
        if found and (warning := distribution_scores.warning(len(ids))):
            self._say(warning)
        return found

    @cached_property
    def _lpips(self) -> Lpips:
        ALEXNET.require_package()
        ALEXNET.require_weights()
        from p2pbench.metrics.lpips import Lpips

        return Lpips(self._device)

    @cached_property
    def _inception(self) -> Inception:
        INCEPTION.require_package()
        if self._inception_weights is None:
            INCEPTION.require_weights()
        from p2pbench.metrics.inception import Inception

        return Inception(self._inception_weights or INCEPTION.file, self._device)

    def _real_features(self, grid: Grid, ids: Sequence[str], ends: Range | None) -> Seen:
        """Of the targets of all runs of a grid, once."""
        if grid.folder not in self._real:
            targets = grid.real.pictures()
            self._real[grid.folder] = self._features(f"{grid.name}/real", {id_: targets[id_] for id_ in ids}, ends)
        return self._real[grid.folder]

    def _features(self, name: str, files: Mapping[str, Path], ends: Range | None) -> Seen:
        hashes: dict[str, str] = {}

        def read() -> Iterator[Picture]:
            for id_ in sorted(files):
                picture = pictures.read(files[id_])
                hashes[id_] = picture_hash(picture)
                yield picture

        features = self._inception.features(
            read(), lambda done: self._reporter.count(f"{name}: Inception's features", done, len(files)), ends
        )
        return Seen(features, hashes)

    def _write(self, run: Run, scorers: Mapping[str, Callable[[], Scores]], mend: str) -> list[Scores]:
        """Write what each scorer says of a run; where one cannot, and has not before, write why."""
        found = []
        for name, score in scorers.items():
            try:
                scores = score()
            except Missing as error:
                line = _with_command(error, mend)
                self._say(f"no {name.upper()}: {line}")
                _write_missing(run, name, f"{line}\n")
                continue
            ledger.write(run, scores)
            run.missing(name).unlink(missing_ok=True)
            found.append(scores)
        return found

    def _say(self, line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            self._reporter.say(line)


def download_weights(*, fid: bool) -> None:
    """Fetch the weights of LPIPS' network, and if asked for of FID's, unless they are there.

    Raises:
        UserError: a package is not installed, or a file cannot be fetched.
    """
    try:
        for weights in [ALEXNET, *([INCEPTION] if fid else [])]:
            weights.require_package()
            weights.download()
    except MissingPackage as error:
        raise UserError(str(error)) from error


def check_reason(run: Run, scorer: str) -> None:
    """Refuse a file that is another's, or was changed by hand, where the reason why a run has no score would be.

    Raises:
        ReportError: There is one; it is named.
    """
    path = run.missing(scorer)
    store_made.check_free(path, _older_reason(path, scorer))


def _write_missing(run: Run, scorer: str, line: str) -> None:
    """Say why a run has no score, unless it has one from before, or the same is said already."""
    path = run.missing(scorer)
    if not run.score(scorer).exists() and not (path.is_file() and path.read_bytes() == line.encode()):
        store_made.put(path, line.encode(), _older_reason(path, scorer))


def _older_reason(path: Path, scorer: str) -> bytes | tuple[bytes, ...]:
    """How the file begins if an older version may have written it: it holds one line, on the scorer."""
    content = path.read_bytes() if path.is_file() else b""
    return content if scorer.upper().encode() in content and content.count(b"\n") == 1 else ()


def _with_command(error: Missing, command: str) -> str:
    """What is missing, with the command that scores once it is there; nothing mends pictures that do not suit."""
    match error:
        case MissingPackage():
            return f"{error}, then `{command}`"
        case MissingWeights():
            return f"{error}; run `{command}`"
    return str(error)
