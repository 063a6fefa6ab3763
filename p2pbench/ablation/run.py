"""Execution of one run: training, export of the generator, test pictures.

Finished parts are skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from p2pbench.ablation.data import Data
from p2pbench.ablation.grid import PlannedRun
from p2pbench.ablation.references import check_same_references
from p2pbench.config import RunConfig
from p2pbench.datasets import pictures
from p2pbench.datasets.dataset import Item
from p2pbench.datasets.decoders import Picture
from p2pbench.datasets.transforms import Range
from p2pbench.runtime.device import device_errors
from p2pbench.runtime.files import locked, owned
from p2pbench.runtime.interrupt import Stop, Stopped
from p2pbench.runtime.precision import Precisions, chosen, set_up
from p2pbench.runtime.progress import ProgressReporter
from p2pbench.training.generator_file import read_generator, save_generator
from p2pbench.training.inference import Translator, as_picture
from p2pbench.training.leftovers import adopt, remove_leftovers
from p2pbench.training.model import Model, make_card
from p2pbench.training.records import (
    RunRecord,
    check_files,
    check_fits,
    grid_of,
    has_begun,
    read_run,
    read_runs,
    write_run,
)
from p2pbench.training.trainer import Callbacks, TrainingData, train
from reports.store.layout import Run
from reports.store.made import Made
from reports.store.picture import to_eight_bits

SAMPLES = 4  # test items in the picture that shows the progress of a training


def is_finished(run: Run, items: Sequence[Item]) -> bool:
    """Whether a run is trained and has all its test outputs."""
    return run.generator.exists() and not missing_items(run, items)


def missing_items(run: Run, items: Sequence[Item]) -> list[int]:
    """Indices of test items that have no output of the run."""
    there, made = run.pictures(), Made(run.folder)
    if made:  # only what the run itself wrote counts: a user's picture of the same name is never taken for an output
        there = {id_: path for id_, path in there.items() if made.holds(path)}
    return [i for i, item in enumerate(items) if item.id not in there]


def say_threads(plan: Sequence[PlannedRun], threads: int | None, reporter: ProgressReporter) -> None:
    """Report the number of threads unless it is fixed.

    It is fixed by the settings, or by an earlier start of the run.

    Args:
        plan: The runs.
        threads: CPU threads of each; None for a GPU, where they change no result.
        reporter: Receives progress.
    """
    if threads is not None and any(planned.config.threads is None for planned in plan):
        reporter.say(
            f"threads = {threads} for each run, recorded with it: another number, as on other machines or with "
            "other concurrent runs, rounds sums differently and changes results slightly; --set threads=N fixes it"
        )


def begin(planned: PlannedRun, data: Data, threads: int | None, reporter: ProgressReporter) -> PlannedRun:
    """Fix the threads of a run and write its config.json.

    Returns the run with these settings.

    Args:
        planned: The run.
        data: Its data.
        threads: CPU threads unless its settings say otherwise; None for a GPU, where they change no result.
        reporter: Receives a line if other seeds of the cell had another number of threads.

    Raises:
        UserError: Another process is training the run.
    """
    config = planned.config
    if config.threads is None:
        config = config.model_copy(update={"threads": threads})
    others = {
        record.settings.threads
        for run, record in read_runs(grid_of(planned.run))
        if run.cell == planned.run.cell and run != planned.run and has_begun(run)
    } - {None, config.threads}
    if threads is not None and others and not has_begun(planned.run):
        reporter.say(
            f"{planned.name}: threads = {config.threads}, other seeds of this cell {', '.join(map(str, others))}: "
            "sums are rounded differently, as on two machines"
        )
    write_run(planned.run, config, data.describe())
    return replace(planned, config=config)


def execute(
    planned: PlannedRun, data: Data, device: torch.device, reporter: ProgressReporter, stop: Stop, patience: float = 0.0
) -> None:
    """Train a run, export its generator and generate its outputs.

    Args:
        planned: The run.
        data: Its data.
        device: The device.
        reporter: Receives progress.
        stop: The stop flag.
        patience: Seconds to wait for another process that holds the run.

    Raises:
        UserError: Another process holds the run; or as `p2pbench.training.trainer.train`.
        DeviceLost: The device stopped working.
        Stopped: A stop was requested; the same call resumes.
    """
    with owned(planned.run, patience, stop), device_errors(device):
        # Checked again under the lock: since planning, another process may have trained the run, and on another node
        # the copy of the data may differ.
        made = [(planned.run, read_run(planned.run))]
        check_files(planned.run)
        check_fits(planned.run, planned.config, data.describe(), made, data.contents)
        # Under the grid's lock: a command that refills real/ either did so before, and is noticed here, or does so
        # later, and then sees that this run has begun.
        with locked((grid := grid_of(planned.run)).lock):
            check_same_references(grid, data, planned.config)
        if not planned.run.generator.exists():
            if not planned.run.checkpoint.exists():
                remove_leftovers(planned.run)
            _train(planned, data, device, reporter, stop)
        _make_pictures(planned, data, device, reporter, stop)


def _train(planned: PlannedRun, data: Data, device: torch.device, reporter: ProgressReporter, stop: Stop) -> None:
    model = train(
        planned.run,
        planned.config,
        TrainingData(data.dataset, data.train, data.describe()),
        device,
        Callbacks(
            report=lambda progress: reporter.train(planned.name, progress),
            sample=lambda model, epoch: _sample(planned, data, model, epoch),
            say=lambda text: reporter.say(f"{planned.name}: {text}"),
            stop=stop,
        ),
    )
    card = make_card(planned.config, data.dataset, data.channels)
    save_generator(planned.run.generator, model.generator, card, Made(planned.run.folder).note)


def _make_pictures(
    planned: PlannedRun, data: Data, device: torch.device, reporter: ProgressReporter, stop: Stop
) -> None:
    run = planned.run
    generator, card = read_generator(run.generator)
    set_up(planned.config, device)  # training, which sets it up too, may have been in another process
    missing, made = missing_items(run, data.items.test), adopt(run)
    with Translator(generator.to(device), card, data.dataset).open() as translate:
        for done, i in enumerate(missing, 1):
            if stop:
                raise Stopped(f"{run.folder}: stopped while making pictures; rerun the same command to resume")
            item = data.items.test[i]
            pictures.write(run.images / item.id, translate(test_input(data, i), item.id), made.note)
            reporter.count(f"{planned.name}: pictures", done, len(missing))


def test_input(data: Data, index: int) -> Picture:
    """Input picture of a test item, by its index in the split."""
    (batch,) = data.test.batches([[index]])
    return as_picture(batch.input[0])


def _sample(planned: PlannedRun, data: Data, model: Model, epoch: int) -> None:
    """Write a picture of a few test items, one per row: input | output | target."""
    card = make_card(planned.config, data.dataset, data.channels)
    rows = []
    with Translator(model.generator, card, data.dataset).open() as translate:
        for i in range(min(SAMPLES, len(data.test))):
            (batch,) = data.test.batches([[i]])
            input_, target = as_picture(batch.input[0]), as_picture(batch.target[0])
            output = translate(input_, data.items.test[i].id)
            ends = planned.config.output_range
            row = (
                _rgb(data.dataset.input_picture(input_), planned.config.input_range),
                _rgb(output, ends),
                _rgb(data.dataset.to_picture(input_, target), ends),
            )
            rows.append(np.concatenate(row, axis=1))
    note = Made(planned.run.folder).note
    pictures.write(planned.run.samples / f"epoch-{epoch:04d}", np.concatenate(rows), note)


def _rgb(picture: Picture, ends: Range | None) -> NDArray[np.uint8]:
    """Any picture (H, W, C) as RGB of 8 bits: its first three channels, or its first as grey."""
    pixels = to_eight_bits(picture, ends)
    return pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2)


def as_begun(planned: PlannedRun, available: Precisions, made: Sequence[tuple[Run, RunRecord]]) -> RunConfig:
    """Settings with the precision and threads of a started run."""
    config = planned.config
    begun = next((record.settings for run, record in made if run == planned.run and has_begun(run)), None)
    if config.precision == "auto" and begun is not None:
        # Older versions recorded "auto" itself, not what it stood for.
        precision = available.auto_before if begun.precision == "auto" else begun.precision
        config = config.model_copy(update={"precision": precision})
    if config.threads is None and begun is not None:
        config = config.model_copy(update={"threads": begun.threads})
    return chosen(config, available)


RunOutcome = tuple[PlannedRun, Exception | None]
"""A run, and the error that ended it, if any."""
