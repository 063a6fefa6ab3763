"""One run carried out: trained, exported, its test pictures made. Whatever is done already is left as it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    pass


SAMPLES = 4


def is_finished(run: Run, items: Sequence[Item]) -> bool:
    """Whether a run is trained and has a picture of its own of every test item."""
    return run.generator.exists() and not missing_items(run, items)


def missing_items(run: Run, items: Sequence[Item]) -> list[int]:
    """Places, in the test split, of the items that have no picture of the run's own yet."""
    there, made = run.pictures(), Made(run.folder)
    if made:
        there = {id_: path for id_, path in there.items() if made.holds(path)}
    return [place for place, item in enumerate(items) if item.id not in there]


def say_threads(plan: Sequence[PlannedRun], threads: int | None, reporter: ProgressReporter) -> None:
    """Say how many threads runs will have where neither their settings nor their beginnings decide it.

    Args:
        plan: the runs.
        threads: those of the CPU that each will have; None for a GPU, where they change no number.
        reporter: receives progress.
    """
    if threads is not None and any(planned.config.threads is None for planned in plan):
        reporter.say(
            f"threads = {threads} for each run, recorded with it: another number, as on other machines or with other "
            "runs at once, rounds sums otherwise and changes results a little; --set threads=N fixes it"
        )


def begin(planned: PlannedRun, data: Data, threads: int | None, reporter: ProgressReporter) -> PlannedRun:
    """A run as it will be trained: with so many threads, unless its settings say more; config.json keeps it.

    Args:
        planned: the run.
        data: its data.
        threads: those of the CPU that will train it; None for a GPU, where they change no number.
        reporter: is told where other seeds of the cell had other threads.

    Raises:
        UserError: another process is at it.
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
            f"{planned.name}: threads = {config.threads}, other seeds of this cell {', '.join(map(str, others))}: they "
            "differ in how sums are rounded, as on two machines"
        )
    write_run(planned.run, config, data.describe())
    return replace(planned, config=config)


def carry_out(
    planned: PlannedRun, data: Data, device: torch.device, reporter: ProgressReporter, stop: Stop, patience: float = 0.0
) -> None:
    """Train a run, export its generator, make its pictures.

    Args:
        planned: the run.
        data: its data.
        device: what computes.
        reporter: receives progress.
        stop: whether somebody asked to stop.
        patience: seconds to wait for another process that is at it.

    Raises:
        UserError: another process is at it; or see `p2pbench.training.trainer.train`.
        DeviceLost: the device stopped working.
        Stopped: `stop` was asked for; the same call goes on from there.
    """
    with owned(planned.run, patience, stop), device_errors(device):
        # What another process, or another machine's copy of the data, has made of it since it was planned.
        made = [(planned.run, read_run(planned.run))]
        check_files(planned.run)
        check_fits(planned.run, planned.config, data.describe(), made, data.contents)
        with locked((grid := grid_of(planned.run)).lock):  # who makes it ready after this sees that the run has begun
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
    set_up(planned.config, device)  # a run that was trained before, in another process
    missing, made = missing_items(run, data.items.test), adopt(run)
    with Translator(generator.to(device), card, data.dataset).open() as translate:
        for done, place in enumerate(missing, 1):
            if stop:
                raise Stopped(f"{run.folder}: stopped while making pictures; the same command goes on from here")
            item = data.items.test[place]
            pictures.write(run.images / item.id, translate(test_input(data, place), item.id), made.note)
            reporter.count(f"{planned.name}: pictures", done, len(missing))


def test_input(data: Data, place: int) -> Picture:
    """The input of a test item, as the dataset keeps it."""
    (batch,) = data.test.batches([[place]])
    return as_picture(batch.input[0])


def _sample(planned: PlannedRun, data: Data, model: Model, epoch: int) -> None:
    """A picture of a few test items, one a row: input | output | target."""
    card = make_card(planned.config, data.dataset, data.channels)
    rows = []
    with Translator(model.generator, card, data.dataset).open() as translate:
        for place in range(min(SAMPLES, len(data.test))):
            (batch,) = data.test.batches([[place]])
            input_, target = as_picture(batch.input[0]), as_picture(batch.target[0])
            output = translate(input_, data.items.test[place].id)
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
    shown = to_eight_bits(picture, ends)
    return shown[..., :3] if shown.shape[2] >= 3 else np.repeat(shown[..., :1], 3, axis=2)


def as_begun(planned: PlannedRun, there: Precisions, made: Sequence[tuple[Run, RunRecord]]) -> RunConfig:
    """A run's settings with its precision, and its threads where it has begun: those go before what is taken now."""
    config = planned.config
    begun = next((record.settings for run, record in made if run == planned.run and has_begun(run)), None)
    if config.precision == "auto" and begun is not None:
        # Older versions did not record what it was.
        precision = there.auto_before if begun.precision == "auto" else begun.precision
        config = config.model_copy(update={"precision": precision})
    if config.threads is None and begun is not None:
        config = config.model_copy(update={"threads": begun.threads})
    return chosen(config, there)


Outcome = tuple[PlannedRun, Exception | None]


"""A run, and the error that ended it, if any."""
