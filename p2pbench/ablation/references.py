"""`input/` and `real/` of a grid: the test items' pictures.

They are under the same resizing as the samples.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from p2pbench.config import RunConfig
from p2pbench.datasets import pictures
from p2pbench.datasets.dataset import summary
from p2pbench.datasets.decoders import Picture
from p2pbench.errors import NEXT_LINE, UserError
from p2pbench.runtime.progress import ProgressReporter
from p2pbench.training.inference import as_picture
from p2pbench.training.records import RunRecord, has_begun, read_references
from reports.store import atomic, ledger
from reports.store.layout import Grid, Run
from reports.store.made import Made
from reports.store.names import item_id

if TYPE_CHECKING:
    from p2pbench.ablation.data import Data


def check_references(grid: Grid, data: Data, config: RunConfig, made: Sequence[tuple[Run, RunRecord]]) -> None:
    """Refuse data with targets other than those of older runs.

    Older versions recorded no hashes, so pictures are compared. A user's own pictures in `input/` and `real/` are
    refused too, unless they are the same.

    Raises:
        UserError: Pictures of `real/` are not of these data, or are a user's; they are named.
    """
    _check_own(grid, data, config)
    if not any("content" not in record.data["test"] and has_begun(run) for run, record in made):
        return
    there, known, wanted = grid.real.pictures(), read_references(grid.references), _sources(data, config)
    differing = [id_ for id_ in wanted if id_ in known and known[id_] != wanted[id_]]
    unknown = [i for i, id_ in enumerate(wanted) if id_ in there and id_ not in known]
    differing += [id_ for id_, _, target in _made(data, unknown) if not _equal(pictures.read(there[id_]), target)]
    if differing:
        culprits = summary(
            "targets are not those of the data any more", [str(there.get(id_, id_)) for id_ in differing]
        )
        raise UserError(
            f"{culprits}{NEXT_LINE}The pictures of {data.dataset.name} were replaced since runs of {grid.folder} were "
            "made; use another results folder, or delete that folder to train anew"
        )


def check_same_references(grid: Grid, data: Data, config: RunConfig) -> None:
    """Refuse data other than those that `real/` was made from.

    Raises:
        UserError: Another command has made `real/` anew, from other data or settings.
    """
    known = read_references(grid.references)
    other = [id_ for id_, source in _sources(data, config).items() if known.get(id_) != source]
    if other or known.keys() != data.contents["test"].keys():
        raise UserError(
            f"{grid.real.folder}: another call made it anew, from other data or settings; give the same command "
            "again, into another results folder"
        )


def _check_own(grid: Grid, data: Data, config: RunConfig) -> None:
    known, index = read_references(grid.references), {id_: i for i, id_ in enumerate(_sources(data, config))}
    foreign = {path: item_id(path.stem) for row in (grid.input, grid.real) for path in _foreign(row, known)}
    if not foreign:
        return
    both = _made(data, sorted({index[id_] for id_ in foreign.values() if id_ in index}))
    wanted = {id_: {grid.input.images: input_, grid.real.images: target} for id_, input_, target in both}
    for path, id_ in foreign.items():
        if id_ not in wanted or not _equal(pictures.read(path), wanted[id_][path.parent]):
            raise UserError(
                f"{path}: was not made by this program, or was replaced since; expected in that folder only the "
                f"{'inputs' if path.parent == grid.input.images else 'targets'} that it makes; move the file away"
            )


def _foreign(row: Run, known: Collection[str]) -> list[Path]:
    """Pictures that the program did not make, or that were changed since."""
    if not row.images.is_dir():
        return []
    made = Made(row.folder)
    files = sorted(
        path for path in row.images.iterdir() if path.suffix in pictures.WRITTEN and not path.name.startswith(".")
    )
    # A folder of an older version has no hashes; there a picture counts as ours if its id was recorded.
    return [path for path in files if not (made.holds(path) if made else item_id(path.stem) in known)]


def fill_references(grid: Grid, data: Data, config: RunConfig, reporter: ProgressReporter) -> None:
    """Bring `input/` and `real/` up to date with these data.

    Removes scores of replaced targets.

    The source of a picture is recorded only after the picture is written, so an interrupted call leaves no picture
    that later counts as up to date.
    """
    wanted = _sources(data, config)
    known, of_input = read_references(grid.references), read_references(grid.input_references)
    there = [row.pictures() for row in (grid.real, grid.input)]
    left = [
        i
        for i, id_ in enumerate(wanted)
        # Older versions recorded one source for both folders: without its own, an input has that of its target.
        if not known.get(id_) == of_input.get(id_, known.get(id_)) == wanted[id_]
        or not all(id_ in row for row in there)
    ]
    others = {*known, *there[0], *there[1]} - wanted.keys()
    if not left and not others and known:
        return
    ids = list(wanted)
    new = {ids[i] for i in left}
    # First forget what is about to change, last record what is new: killed in between, it is made again.
    _write(grid, {id_: source for id_, source in known.items() if id_ not in new | others})
    if others or there[0].keys() & new:
        for path in map(grid.real.score, grid.real.scorers()):
            if ledger.is_score(path):
                path.unlink(missing_ok=True)
    for row in there:
        for id_ in others & row.keys():
            row[id_].unlink()
    records = Made(grid.input.folder), Made(grid.real.folder)
    for done, (id_, input_, target) in enumerate(_made(data, left), 1):
        for run, picture, made in zip((grid.input, grid.real), (input_, target), records, strict=True):
            path = pictures.write(run.images / id_, picture, made.note)
            for suffix in pictures.WRITTEN - {path.suffix}:  # of another depth or number of channels
                path.with_name(id_ + suffix).unlink(missing_ok=True)
        reporter.count("inputs and targets", done, len(left))
    _write(grid, wanted)


def _sources(data: Data, config: RunConfig) -> dict[str, str]:
    """Hash of everything that determines the pictures of each test item, by id."""
    dataset = data.dataset
    how = [dataset.name, dataset.direction, dataset.note, config.image_size, [str(part) for part in data.channels]]
    return {
        id_: hashlib.sha256(json.dumps([how, content]).encode()).hexdigest()[:16]
        for id_, content in data.contents["test"].items()
    }


def _made(data: Data, indices: Sequence[int]) -> Iterator[tuple[str, Picture, Picture]]:
    """Id, input and target of test items, as pictures to keep."""
    for i, batch in zip(indices, data.test.batches([[i] for i in indices]), strict=True):
        input_, target = as_picture(batch.input[0]), as_picture(batch.target[0])
        yield data.items.test[i].id, data.dataset.input_picture(input_), data.dataset.to_picture(input_, target)


def _equal(a: Picture, b: Picture) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b)


def _write(grid: Grid, sources: Mapping[str, str]) -> None:
    for path in (grid.input_references, grid.references):
        atomic.write(path, json.dumps(sources, indent=0).encode() + b"\n")
