"""The training of one run, from its last checkpoint to its last step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from p2pbench.config import RunConfig
from p2pbench.datasets.cache import Samples
from p2pbench.datasets.dataset import Dataset
from p2pbench.errors import UserError
from p2pbench.training import checkpoint
from p2pbench.training.batches import Batch, Batches
from p2pbench.training.interrupt import Stop, Stopped
from p2pbench.training.log import LossLog
from p2pbench.training.model import Model, build
from p2pbench.training.randomness import Purpose, torch_seed
from p2pbench.training.schedule import learning_rate
from p2pbench.training.step import Losses, NonFiniteLoss, training_step
from reports.layout import Run


@dataclass(frozen=True)
class Progress:
    """How far a training is, after a step."""

    step: int
    total: int
    epoch: int
    images_per_second: float
    seconds_left: float
    losses: Losses


Report = Callable[[Progress], None]
Sample = Callable[[Model, int], None]
"""Draws sample pictures of a model after so many epochs."""


def train(
    config: RunConfig,
    dataset: Dataset,
    samples: Samples,
    run: Run,
    device: torch.device,
    *,
    report: Report,
    sample: Sample,
    stop: Stop,
) -> Model:
    """Train a run to its end, from its checkpoint if there is one.

    Raises:
        UserError: a loss was not finite, or the checkpoint does not fit the settings.
        Stopped: `stop` was asked for; the state is saved.
    """
    model = build(config, samples.channels, device)
    batches = Batches(dataset, samples, config, device)
    total = batches.per_epoch * config.epochs
    step = checkpoint.load(run.checkpoint, model) if run.checkpoint.exists() else 0
    log = LossLog(run.losses, step, run.folder / "tensorboard" if config.tensorboard else None)
    sample_epochs = max(1, config.epochs // 10)
    model.generator.train()
    saved_at = started = time.monotonic()
    first, images = step, 0
    try:
        for batch in batches.between(step, total):
            epoch = step // batches.per_epoch
            model.set_learning_rate(learning_rate(config, epoch))
            torch.manual_seed(torch_seed(config.seed, Purpose.DROPOUT, step))
            losses = _step(model, batch, config, run, step, epoch)
            step += 1
            images += len(batch.input)
            now = time.monotonic()
            elapsed = now - started
            left = elapsed / (step - first) * (total - step)
            progress = Progress(step, total, epoch + 1, images / elapsed, left, losses)
            if step % config.log_every == 0 or step == total:
                log.add(step, progress.epoch, progress.images_per_second, losses)
            report(progress)
            if step % (batches.per_epoch * sample_epochs) == 0 or step == total:
                sample(model, progress.epoch)
            if stop and step < total:
                checkpoint.save(run.checkpoint, model, step)
                raise Stopped(f"{run.folder}: stopped after step {step} of {total}; the same command goes on from here")
            if now - saved_at >= config.checkpoint_seconds or step == total:
                checkpoint.save(run.checkpoint, model, step)
                saved_at = time.monotonic()
    finally:
        log.close()
    return model


def _step(model: Model, batch: Batch, config: RunConfig, run: Run, step: int, epoch: int) -> Losses:
    try:
        return training_step(model, batch, config)
    except NonFiniteLoss as error:
        raise UserError(
            f"{run.folder}: {error} at step {step + 1} (epoch {epoch + 1}); stopped before the update, and the last "
            "checkpoint is as it was. Lower learning_rate, or look at the data (input_range, output_range)"
        ) from None
