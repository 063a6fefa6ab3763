"""FCN-scores of runs on the nodes of a Ray cluster, a job per run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fcn.scoring import Scorer as Network
from fcn.segmenting import settled
from p2pbench.cluster.jobs import Cluster, Job
from p2pbench.cluster.worker import Line, given_device
from p2pbench.config import RunConfig
from p2pbench.runtime.interrupt import Stopped
from p2pbench.scoring.label_scores import LabelsScored
from p2pbench.scoring.scorer import Outputs
from p2pbench.scoring.segmentation import SegmentationOptions, score_run
from p2pbench.scoring.truth import run_truth
from reports.store.layout import Grid


def score_on_cluster(
    cluster: Cluster, runs: Sequence[Outputs], network: Network, options: SegmentationOptions
) -> list[LabelsScored]:
    """Score runs on a cluster, whose nodes write the scores.

    Args:
        cluster: Where.
        runs: The runs, all with the same labels.
        network: The network, on the CPU; it is sent to the nodes, which need not see its file.
        options: Progress and stop flag.

    Raises:
        UserError: A node has another version, does not see the results, or could not score its run.
        FcnError: As `fcn.scoring.score`.
        Stopped: The user asked to stop; what was segmented is kept.
    """
    needs = cluster.needs(str(options.device), None)
    first = runs[0]
    results = first.run.folder if first.grid is None else first.grid.folder  # which all nodes must see
    absolute = [_anywhere(outputs) for outputs in runs]
    jobs = [Job(of.name, _score_run, (of,), needs, of.run.confusion) for of in absolute]
    shared = (network, first.against_labels().config.with_absolute_root())
    scored: dict[int, LabelsScored] = {}
    errors: list[Exception] = []
    for i, answer in cluster.carry_out(jobs, results, options.reporter, options.stop, shared):
        if answer.error is not None:
            errors.append(answer.error)
        else:
            scored[i] = answer.result
    for error in sorted(errors, key=lambda error: not isinstance(error, Stopped)):
        raise error
    return [replace(scored[i], outputs=outputs) for i, outputs in enumerate(runs)]


def _anywhere(outputs: Outputs) -> Outputs:
    """The same outputs for a process with another working directory, which opens the labels itself."""
    return replace(
        outputs,
        run=replace(outputs.run, folder=outputs.run.folder.absolute()),
        files={id_: path.absolute() for id_, path in outputs.files.items()},
        grid=outputs.grid and Grid(outputs.grid.folder.absolute()),
        truth=None,
    )


def _score_run(line: Line, network: Network, config: RunConfig, outputs: Outputs) -> LabelsScored:
    """Score one run in a worker process."""
    device = given_device(line.attempt.gpus, None)
    settled(network.network, device)
    here = replace(outputs, truth=run_truth(config))
    scored = score_run(here, network, SegmentationOptions(None, device, line.progress, line))
    return replace(scored, outputs=outputs)  # labels are not sent back
