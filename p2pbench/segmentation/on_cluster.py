"""Folders of outputs segmented on the machines of a Ray cluster, each folder a job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fcn.scoring import Scorer
from fcn.segmenting import settled
from p2pbench.cluster.device import given_device
from p2pbench.cluster.jobs import Cluster, Job
from p2pbench.cluster.line import Line
from p2pbench.config import RunConfig
from p2pbench.segmentation.outcome import Scored
from p2pbench.segmentation.truth import Truth, run_truth
from p2pbench.segmentation.work import Work
from p2pbench.training.interrupt import Stopped

Score = Callable[[Any, Truth, Scorer, Work], Scored]
"""Scores one folder of outputs; a function of a module."""


class Folder(NamedTuple):
    """A folder of outputs: its name, the file of its matrices, and what the function that scores it takes."""

    name: str
    kept: Path
    outputs: object


def score_on(
    cluster: Cluster, score: Score, folders: Sequence[Folder], truth: Truth, scorer: Scorer, results: Path, work: Work
) -> list[Scored]:
    """Score folders of outputs on a cluster, and write their scores there.

    Args:
        cluster: Where.
        score: What scores one.
        folders: All of them, with absolute paths.
        truth: What they are compared with.
        scorer: What segments, on the CPU; it is sent to the machines, which need not see its file.
        results: A folder that they all see.
        work: How.

    Raises:
        UserError: A machine has another version, does not see the results, or could not score its folder.
        FcnError: As `fcn.scoring.score`.
        Stopped: The user asked to stop; what was segmented is kept.
    """
    needs = cluster.needs(str(work.device), None)
    jobs = [Job(one.name, _score_one, (score, one.outputs), needs, one.kept) for one in folders]
    shared = (scorer, truth.config.with_absolute_root())
    scored: dict[int, Scored] = {}
    errors: list[Exception] = []
    for number, answer in cluster.carry_out(jobs, results, work.listener, work.stop, shared):
        if answer.error is not None:
            errors.append(answer.error)
        else:
            scored[number] = answer.result
    for error in sorted(errors, key=lambda error: not isinstance(error, Stopped)):
        raise error
    return [scored[number] for number in range(len(jobs))]


def _score_one(line: Line, scorer: Scorer, config: RunConfig, score: Score, outputs: object) -> Scored:
    """One folder in a worker."""
    device = given_device(line.attempt.gpus, None)
    settled(scorer.network, device)
    return score(outputs, run_truth(config), scorer, Work(None, device, True, line.news, line))
