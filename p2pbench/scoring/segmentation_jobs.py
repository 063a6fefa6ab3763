"""FCN-scores of runs as jobs on a Ray cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from fcn.scoring import ScoringNetwork
from fcn.segmenting import settled
from p2pbench.cluster.jobs import Cluster, Job
from p2pbench.cluster.worker import WorkerLink, given_device
from p2pbench.config import RunConfig
from p2pbench.runtime.interrupt import Stopped
from p2pbench.scoring.label_scores import LabelsScored
from p2pbench.scoring.networks import open_network
from p2pbench.scoring.scorer import Outputs
from p2pbench.scoring.segmentation import SegmentationOptions, SegmentationScorer, score_run
from p2pbench.scoring.truth import Truth, run_truth
from reports.store.layout import Grid


class ClusterSegmentationScorer(SegmentationScorer):
    """FCN-score by both protocols, one job per run."""

    def __init__(self, options: SegmentationOptions, cluster: Cluster) -> None:
        super().__init__(options)
        self._cluster = cluster

    def score_runs(self, runs: Sequence[Outputs], truth: Truth) -> list[LabelsScored]:
        """Score runs that are compared with the same labels.

        Raises:
            UserError: A node has another version, does not see the results, or could not score its run.
            FcnError: As `fcn.scoring.score`.
            Stopped: The user asked to stop; what was segmented is kept.
        """
        options, first = self.options, runs[0]
        # One network for all nodes, which need not see its file: where each trained its own for street scenes, their
        # last bits might differ.
        network = open_network(truth, options.weights, torch.device("cpu"), options.reporter)
        needs = self._cluster.needs(str(options.device), None)
        results = first.run.folder if first.grid is None else first.grid.folder  # which all nodes must see
        absolute = [_anywhere(outputs) for outputs in runs]
        jobs = [Job(of.name, _score_run, (of,), needs, of.run.confusion) for of in absolute]
        shared = (network, truth.config.with_absolute_root())
        scored: dict[int, LabelsScored] = {}
        errors: list[Exception] = []
        for i, answer in self._cluster.execute(jobs, results, options.reporter, options.stop, shared):
            if answer.error is not None:
                errors.append(answer.error)
            else:
                scored[i] = answer.result
        for error in sorted(errors, key=lambda error: not isinstance(error, Stopped)):
            raise error
        return [replace(scored[i], outputs=outputs) for i, outputs in enumerate(runs)]


def _anywhere(outputs: Outputs) -> Outputs:
    """Outputs with absolute paths and without labels, which the worker opens itself."""
    return replace(
        outputs,
        run=replace(outputs.run, folder=outputs.run.folder.absolute()),
        files={id_: path.absolute() for id_, path in outputs.files.items()},
        grid=outputs.grid and Grid(outputs.grid.folder.absolute()),
        truth=None,
    )


def _score_run(link: WorkerLink, network: ScoringNetwork, config: RunConfig, outputs: Outputs) -> LabelsScored:
    """Score one run in a worker process."""
    device = given_device(link.attempt.gpus, None)
    settled(network.network, device)
    here = replace(outputs, truth=run_truth(config))
    scored = score_run(here, network, SegmentationOptions(None, device, link.progress, link))
    return replace(scored, outputs=outputs)  # labels are not sent back
