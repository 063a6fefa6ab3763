"""Scores by published networks: LPIPS, and on request FID and KID.

If a network's package or weights are missing, a line in the run's folder says so, and scoring continues.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from p2pbench.datasets import pictures
from p2pbench.datasets.clusters import of_clusters, weights_of
from p2pbench.datasets.contents import picture_hash
from p2pbench.datasets.decoders import Picture
from p2pbench.datasets.transforms import Range, declared
from p2pbench.errors import UserError
from p2pbench.metrics.published import ALEXNET, INCEPTION, Missing, MissingPackage, MissingWeights
from p2pbench.runtime.progress import ProgressReporter
from p2pbench.scoring.distribution_scores import FID, KID, ItemFeatures, few_items_warning, score_fid, score_kid
from p2pbench.scoring.image_scores import compared, mean, read_output, truth
from p2pbench.scoring.scorer import Outputs, Scored
from reports.store import ledger
from reports.store import made as store_made
from reports.store.layout import Grid, Run
from reports.store.names import typed
from reports.store.scores import Scores

if TYPE_CHECKING:  # these import packages of an extra, which may not be installed
    from p2pbench.metrics.inception import Inception
    from p2pbench.metrics.lpips import Lpips

LPIPS = "lpips"


class LpipsScorer:
    """LPIPS of each output and its target, by AlexNet.

    Args:
        results: The results folder, for the commands in messages.
        device: The device of AlexNet.
        reporter: Receives progress and missing parts.
    """

    def __init__(self, results: Path, device: torch.device, reporter: ProgressReporter) -> None:
        self._device, self._reasons = device, _Reasons(reporter)
        self._mend = f"p2pbench image-score {typed(results)} --download-weights"

    def check_free(self, run: Run) -> None:
        """Refuse a user's file where score or reason goes."""
        ledger.check_free(run, LPIPS)
        check_reason(run, LPIPS)

    def score(self, runs: Sequence[Outputs]) -> Iterator[Scored]:
        """Score each run, or write the reason for a missing score.

        See `Scorer`.
        """
        for outputs in runs:
            scores = self._reasons.written(outputs.run, LPIPS, partial(self._scores, outputs), self._mend)
            if scores is not None:
                yield Scored(outputs, [scores])

    def _scores(self, outputs: Outputs) -> Scores:
        network, targets = self._network, outputs.against_targets()
        ids = sorted(outputs.files)
        hashes: dict[str, str] = {}

        def pair(id_: str) -> tuple[Picture, Picture]:
            target = targets.read(id_)
            # Hashed as the network takes the pictures, so that no target is read twice; complete once all distances are
            # there.
            hashes[id_] = picture_hash(target)
            return read_output(outputs.files[id_], target, native=targets.native), target

        values = network.distances(map(pair, ids), outputs.ends)
        protocol = {
            **network.protocol(),
            "pictures": compared(native=targets.native),
            **declared(outputs.ends),
            **truth(hashes),
            **outputs.origin,
            **of_clusters(outputs.clusters, ids),
        }
        metric = mean(values, weights_of(ids, outputs.clusters))
        return Scores(LPIPS, protocol, tuple(ids), outputs.n_expected, {LPIPS: metric})

    @cached_property
    def _network(self) -> Lpips:
        ALEXNET.require_package()
        ALEXNET.require_weights()
        from p2pbench.metrics.lpips import Lpips

        return Lpips(self._device)


class _Features(NamedTuple):
    """Features (n, 2048) of pictures in the order of their ids, and a hash of each picture by id."""

    values: NDArray[np.float32]
    hashes: dict[str, str]


class DistributionScorer:
    """FID and KID of all outputs against `real/`, by Inception-v3.

    Args:
        results: The results folder, for the commands in messages.
        device: The device of Inception.
        reporter: Receives progress and missing parts.
        weights: Inception's file; None takes the published one, if it has been downloaded.

    Raises:
        UserError: The file of weights is not there.
    """

    def __init__(
        self, results: Path, device: torch.device, reporter: ProgressReporter, weights: Path | None = None
    ) -> None:
        if weights is not None and not weights.is_file():
            found = "a folder" if weights.is_dir() else "no such file"
            raise UserError(f"{weights}: found {found}, expected Inception's weights; check the path")
        self._device, self._reporter, self._weights = device, reporter, weights
        self._reasons = _Reasons(reporter)
        self._mend = f"p2pbench image-score {typed(results)} --fid --download-weights"
        self._real: dict[Path, _Features] = {}

    def check_free(self, run: Run) -> None:
        """Refuse a user's file where scores or reasons go."""
        for scorer in (FID, KID):
            ledger.check_free(run, scorer)
            check_reason(run, scorer)

    def score(self, runs: Sequence[Outputs]) -> Iterator[Scored]:
        """Score each run, or write the reason for missing scores; see `Scorer`."""
        for outputs in runs:
            yield from (Scored(outputs, [scores]) for scores in self._written(outputs))

    def _written(self, outputs: Outputs) -> list[Scores]:
        features = cache(partial(self._run_features, outputs))  # one pass of Inception for both
        fid = self._reasons.written(outputs.run, FID, lambda: score_fid(features()), self._mend)
        kid = self._reasons.written(outputs.run, KID, lambda: score_kid(features()), self._mend)
        if (fid or kid) and (warning := few_items_warning(len(outputs.files))):
            self._reasons.say(warning)
        return [scores for scores in (fid, kid) if scores is not None]

    def _run_features(self, outputs: Outputs) -> ItemFeatures:
        grid, run, ends = outputs.grid, outputs.run, outputs.ends
        assert grid is not None, "FID and KID are of runs of a grid, which has real/"
        ids = sorted(outputs.files)
        features, _ = self._features(f"{grid.name}/{run.cell} seed {run.seed}", outputs.files, ends)
        real, targets = self._real_features(grid, ids, ends)
        protocol = {**self._inception.protocol(ends), **truth(targets), **outputs.origin}
        return ItemFeatures(ids, features, real, len(ids), protocol, outputs.clusters)

    @cached_property
    def _inception(self) -> Inception:
        INCEPTION.require_package()
        if self._weights is None:
            INCEPTION.require_weights()
        from p2pbench.metrics.inception import Inception

        return Inception(self._weights or INCEPTION.file, self._device)

    def _real_features(self, grid: Grid, ids: Sequence[str], ends: Range | None) -> _Features:
        """Features of the targets of all runs of a grid, computed once."""
        if grid.folder not in self._real:
            targets = grid.real.pictures()
            self._real[grid.folder] = self._features(f"{grid.name}/real", {id_: targets[id_] for id_ in ids}, ends)
        return self._real[grid.folder]

    def _features(self, name: str, files: Mapping[str, Path], ends: Range | None) -> _Features:
        hashes: dict[str, str] = {}

        def read() -> Iterator[Picture]:
            for id_ in sorted(files):
                picture = pictures.read(files[id_])
                hashes[id_] = picture_hash(picture)
                yield picture

        values = self._inception.features(
            read(), lambda done: self._reporter.count(f"{name}: Inception's features", done, len(files)), ends
        )
        return _Features(values, hashes)


class _Reasons:
    """Writes scores, or the reason for missing ones; reports each reason once."""

    def __init__(self, reporter: ProgressReporter) -> None:
        self._reporter = reporter
        self._said: set[str] = set()

    def written(self, run: Run, scorer: str, compute: Callable[[], Scores], mend: str) -> Scores | None:
        """Compute and write a run's scores.

        None if a part is missing, which is written instead.
        """
        try:
            scores = compute()
        except Missing as error:
            line = _with_command(error, mend)
            self.say(f"no {scorer.upper()}: {line}")
            _write_missing(run, scorer, f"{line}\n")
            return None
        ledger.write(run, scores)
        run.missing(scorer).unlink(missing_ok=True)
        return scores

    def say(self, line: str) -> None:
        """Report a line that was not reported before."""
        if line not in self._said:
            self._said.add(line)
            self._reporter.say(line)


def download_weights(*, fid: bool) -> None:
    """Download the weights for LPIPS, and optionally FID, unless they are there.

    Raises:
        UserError: A package is not installed, or a file cannot be fetched.
    """
    try:
        for weights in [ALEXNET, *([INCEPTION] if fid else [])]:
            weights.require_package()
            weights.download()
    except MissingPackage as error:
        raise UserError(str(error)) from error


def check_reason(run: Run, scorer: str) -> None:
    """Refuse a foreign or edited file with the reason.

    Raises:
        ReportError: There is such a file; it is named.
    """
    path = run.missing(scorer)
    store_made.check_free(path, _older_reason(path, scorer))


def _write_missing(run: Run, scorer: str, line: str) -> None:
    """Write the reason for a missing score, unless there is a score, or the same reason."""
    path = run.missing(scorer)
    if not run.score(scorer).exists() and not (path.is_file() and path.read_bytes() == line.encode()):
        store_made.put(path, line.encode(), _older_reason(path, scorer))


def _older_reason(path: Path, scorer: str) -> bytes | tuple[bytes, ...]:
    """Content of a reason file that an older version may have written: one line naming the scorer."""
    content = path.read_bytes() if path.is_file() else b""
    return content if scorer.upper().encode() in content and content.count(b"\n") == 1 else ()


def _with_command(error: Missing, command: str) -> str:
    """Missing part with the command that scores once it is there, if a command helps."""
    match error:
        case MissingPackage():
            return f"{error}, then `{command}`"
        case MissingWeights():
            return f"{error}; run `{command}`"
    return str(error)
