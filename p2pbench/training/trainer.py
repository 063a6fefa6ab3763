"""Training of one run, from its last checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch

from fcn.segmenting import is_out_of_memory
from p2pbench.config import RunConfig
from p2pbench.datasets.cache import Samples
from p2pbench.datasets.dataset import Dataset
from p2pbench.errors import UserError
from p2pbench.runtime.device import DeviceLost, has_failed, keep_freed_memory
from p2pbench.runtime.interrupt import Stop, Stopped
from p2pbench.runtime.precision import set_up
from p2pbench.runtime.progress import TrainingProgress
from p2pbench.training import checkpoint
from p2pbench.training.batches import Batches
from p2pbench.training.cuda_graph import Say, open_steps
from p2pbench.training.loss_log import LossLog
from p2pbench.training.model import Model, build, out_of_memory
from p2pbench.training.optimizer import learning_rate
from p2pbench.training.records import Description, how_to_change, identity
from p2pbench.training.step import NonFiniteLoss
from reports.store.layout import Run

SAMPLES_PER_TRAINING = 10  # times that sample pictures are drawn


class TrainingData(NamedTuple):
    """Dataset with its training samples and their description.

    The description identifies a run.
    """

    dataset: Dataset
    samples: Samples
    description: Description


@dataclass(frozen=True)
class Callbacks:
    """Functions that a training calls, and its stop flag.

    Attributes:
        report: Receives the progress, after a step.
        sample: Draws sample pictures of the model after an epoch, counted from 1.
        say: Receives messages.
        stop: Whether a stop is requested.
    """

    report: Callable[[TrainingProgress], None]
    sample: Callable[[Model, int], None]
    say: Say
    stop: Stop = False


def train(run: Run, config: RunConfig, data: TrainingData, device: torch.device, callbacks: Callbacks) -> Model:
    """Train a run to its end, from its last checkpoint.

    Raises:
        UserError: a loss was not finite, the checkpoint does not fit the settings, or the step does not fit into the
            device's memory.
        DeviceLost: the device stopped working.
        Stopped: a stop was requested; the state is saved.
    """
    keep_freed_memory()
    set_up(config, device)
    try:
        return _train(run, config, data, device, callbacks)
    except RuntimeError as error:
        kind: type[UserError] = UserError
        if is_out_of_memory(error):
            problem = f"{out_of_memory(config, data.samples.channels, device)}; {how_to_change(run, shared=True)}"
        elif has_failed(error):
            reason = str(error).splitlines()[0]
            problem = f"{device} stopped working ({reason}); rerun the same command once it is back"
            kind = DeviceLost
        else:
            raise
    # Raised here, not in the block above, whose error holds the model's memory.
    kept = ". The last checkpoint is as it was" if run.checkpoint.exists() else ""
    raise kind(f"{run.folder}: {problem}{kept}")


def _train(run: Run, config: RunConfig, data: TrainingData, device: torch.device, callbacks: Callbacks) -> Model:
    model = build(config, data.samples.channels, device)
    batches = Batches(data.dataset, data.samples, config, device)
    total = batches.per_epoch * config.epochs
    run_identity = identity(config, data.description)
    step = first = checkpoint.load(run.checkpoint, model, run_identity) if run.checkpoint.exists() else 0
    model.generator.train()
    steps = open_steps(model, batches, range(step, total), callbacks.say)
    sample_every = batches.per_epoch * max(1, config.epochs // SAMPLES_PER_TRAINING)
    images = 0
    log = LossLog(run.losses, step, run.folder / "tensorboard" if config.tensorboard else None)
    saved_at = started = time.monotonic()
    try:
        with steps.stream():
            while step < total:
                epoch = step // batches.per_epoch
                model.set_learning_rate(learning_rate(config, epoch))
                try:
                    images += steps.take(step)
                    step += 1
                    to_log = step % config.log_every == 0 or step == total
                    to_sample = step % sample_every == 0 or step == total
                    to_save = step == total or time.monotonic() - saved_at >= config.checkpoint_seconds
                    # On a GPU reading a loss waits for all launched steps, so it is read only where it is needed.
                    if not (steps.cheap_losses or to_log or to_sample or to_save or callbacks.stop):
                        continue
                    losses = steps.losses()
                except NonFiniteLoss as error:
                    raise _not_finite(run, error, step, batches.per_epoch) from None
                elapsed = time.monotonic() - started
                left = elapsed / (step - first) * (total - step)
                progress = TrainingProgress(step, total, epoch + 1, images / elapsed, left, losses)
                if to_log:
                    log.add(step, progress.epoch, progress.images_per_second, losses)
                callbacks.report(progress)
                if to_sample:
                    callbacks.sample(model, progress.epoch)
                if callbacks.stop and step < total:
                    checkpoint.save(run.checkpoint, model, step, run_identity)
                    raise Stopped(
                        f"{run.folder}: stopped after step {step} of {total}; rerun the same command to resume"
                    )
                if to_save:
                    checkpoint.save(run.checkpoint, model, step, run_identity)
                    saved_at = time.monotonic()
    finally:
        log.close()
    return model


def _not_finite(run: Run, error: NonFiniteLoss, taken: int, per_epoch: int) -> UserError:
    step = taken + 1 - error.steps_ago
    return UserError(
        f"{run.folder}: {error} at step {step} (epoch {(step - 1) // per_epoch + 1}); stopped before the update. Lower "
        f"learning_rate, or look at the data (input_range, output_range); {how_to_change(run, shared=False)}"
    )
