"""Label maps of other models, read as what they are: colours, or ids in the numbering that the folder is in.

Decided over all files of a folder, never file by file (`label_files` says what one file can be). Of two numberings that
fit, the true labels decide, and only where they do so clearly; whatever stays open is refused. A file whose ids agree
with its true labels in another numbering than the folder's is of another numbering, and is named. What the user says is
obeyed, but files that agree clearly in another reading are named all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcn.labels import IGNORE, Colour, LabelTable
from p2pbench.datasets import pictures, transforms
from p2pbench.errors import UserError
from p2pbench.metrics.label_maps import nearest_labels
from p2pbench.scoring.label_files import (
    COLOURS,
    DIVIDE,
    MANY_COLOURS,
    MINUS_ONE,
    NO_ID,
    NUMBERINGS,
    WORDS,
    LabelFile,
    Numbering,
    Reading,
    are_instances,
    class_lookup,
    listed,
    look,
)
from reports.store.names import counted

if TYPE_CHECKING:
    from p2pbench.scoring.confusion_scores import Compared
    from p2pbench.scoring.score_table import ScoreRow
    from p2pbench.scoring.truth import Truth
    from reports.store.layout import Run


PLUS_ONE: Numbering = "train-ids-from-1"


AGREEING = 0.2  # of the labelled pixels, at least, in the numbering that is taken,


CLEARLY = 3  # and so many times those in any other


Lookups = Mapping[Numbering, NDArray[np.int16]]


Agreements = Sequence[tuple[LabelFile, Mapping[Reading, float]]]


"""Of each file the share of its item's labelled pixels that are right in each reading."""


class FolderReading(NamedTuple):
    """How a folder's files are read, and what was seen that a user should know; "" for nothing."""

    reading: Reading
    seen: str


def decide_reading(folder: Path, files: Mapping[str, Path], truth: Truth, asked: Reading | None) -> FolderReading:
    """Decide how a folder's label maps are kept.

    Args:
        folder: Its name, for messages.
        files: The outputs, by item id, at least one.
        truth: What they are outputs for; its labels decide between numberings that both fit.
        asked: How the user says that they are kept, which is obeyed; None decides it by the files.

    Raises:
        UserError: The files are of several kinds, or could be of several; it says what was seen. Also for a file that
            cannot be read.
    """
    table = truth.table
    lookups = {numbering: class_lookup(table, numbering) for numbering in NUMBERINGS}
    with ThreadPoolExecutor() as pool:
        seen = list(pool.map(lambda path: look(path, table, lookups), files.values()))
    of_items = dict(zip(files, seen, strict=True))
    if asked is not None:
        readings = {id_: file.possible | {asked} for id_, file in of_items.items()}
        return FolderReading(asked, _doubt(asked, _agreements(of_items, readings, truth, lookups), len(seen)))
    common = frozenset.intersection(*(file.readings for file in seen))
    if not common:
        raise UserError(_mixture(folder, seen, table))
    values = sorted({value for file in seen for value in file.shades})
    fitting = _meanings(common, values, lookups)
    if not fitting:
        return FolderReading(COLOURS, _check_colours(folder, seen, table))
    if COLOURS not in common:
        _check_palettes(folder, [file for file in seen if file.stored == "palette"])
    found = f"{counted(len(seen), 'picture')} of values {listed(values)}"
    if _is_blank(values) and all(file.stored == "three channels" for file in seen):
        raise UserError(_may_be(folder, found, [*([COLOURS] if all(file.coloured for file in seen) else []), *fitting]))
    open_ = {
        id_: file.readings - {COLOURS}
        for id_, file in of_items.items()
        if len(_meanings(file.readings, list(file.shades), lookups)) > 1
    }
    agreements = _agreements(of_items, open_, truth, lookups)
    numbering, agreeing = fitting[0], ""
    if len(fitting) > 1:
        numbering, agreeing = _best(folder, found, [of for _, of in agreements], fitting)
    _check_agreements(folder, numbering, agreements, len(seen))
    return FolderReading(numbering, f"read as {WORDS[numbering]}: {found}{agreeing}")


def _check_colours(folder: Path, seen: Sequence[LabelFile], table: LabelTable) -> str:
    """Refuse pictures of other colours than the table's, but for those that networks make; a line on the rest."""
    if not any(file.coloured for file in seen):
        raise UserError(_mixture(folder, seen, table))
    colours: set[Colour] = set()
    for file in seen:
        if file.colours is None:
            return ""
        colours |= file.colours
    others = colours - {label.colour for label in table.labels}
    if not others or len(colours) > MANY_COLOURS:
        return ""
    if 2 * len(others) > len(colours):
        raise UserError(
            f"{folder}: found {len(colours)} colours, {len(colours) - len(others)} of them in {table.name}, expected "
            f"its colours or ids; convert the pictures, or give {_options([COLOURS])} to take the nearest"
        )
    return f"read as colours: {len(others)} of {len(colours)} are not in {table.name} and are taken for the nearest"


def _best(
    folder: Path, found: str, agreements: Sequence[Mapping[Reading, float]], fitting: Sequence[Numbering]
) -> tuple[Numbering, str]:
    """The one of the numberings that fit all files which clearly agrees with the true labels, and by how much."""
    shares = {name: float(np.mean([of[name] for of in agreements])) for name in fitting} if agreements else {}
    agreeing = ", ".join(f"{share:.0%} as {WORDS[numbering]}" for numbering, share in shares.items())
    best, *others = sorted(shares, key=lambda numbering: -shares[numbering]) or fitting
    if shares and all(is_clear(shares[best], shares[other]) for other in others):
        doubt = "; of a model that is off by one these are train ids: --read train-ids" if best == PLUS_ONE else ""
        return best, f"; of the labelled pixels agree {agreeing}{doubt}"
    raise UserError(_may_be(folder, found, fitting, f" (of the labelled pixels agree {agreeing})" if agreeing else ""))


def _may_be(folder: Path, found: str, readings: Sequence[Reading], agreeing: str = "") -> str:
    """The line that refuses files which may be several."""
    return (
        f"{folder}: found {found}, which may be {' or '.join(WORDS[reading] for reading in readings)}{agreeing}, "
        f"expected files that can be only one of these; give {_options(readings)}"
    )


def _check_agreements(folder: Path, numbering: Numbering, agreements: Agreements, count: int) -> None:
    """Refuse a folder of which some files agree with the true labels in another numbering alone."""
    if strays := _strays(numbering, agreements):
        raise UserError(
            f"{folder}: found ids of two numberings, {counted(count - len(strays), 'picture')} in {WORDS[numbering]}, "
            f"{len(strays)} in another ({strays[0]}), expected one; convert or remove those, or give "
            f"{_options([numbering])} to read all alike"
        )


def _doubt(asked: Reading, agreements: Agreements, count: int) -> str:
    """A line on files that agree with the true labels in another reading than the one asked for; "" for none."""
    if not (strays := _strays(asked, agreements)):
        return ""
    verb = "looks" if len(strays) == 1 else "look"
    return f"read as {WORDS[asked]} as {_options([asked])} says, but {len(strays)} of {counted(count, 'picture')} " + (
        f"{verb} like another kind ({strays[0]})"
    )


def _strays(reading: Reading, agreements: Agreements) -> list[str]:
    """The files that agree clearly in another reading, and how far."""
    return [
        f"{file.path.name}, of whose labelled pixels agree {share:.0%} as {WORDS[other]} and {of[reading]:.0%} as "
        f"{WORDS[reading]}"
        for file, of in agreements
        for other, share in _best_first(of)[:1]
        if is_clear(share, of[reading])
    ]


def _best_first(shares: Mapping[Reading, float]) -> list[tuple[Reading, float]]:
    return sorted(shares.items(), key=lambda each: -each[1])


def is_clear(share: float, other: float) -> bool:
    """Whether the share of pixels that agree in one reading tells it from another with its own share."""
    return share >= max(AGREEING, CLEARLY * other)


def _is_blank(values: Collection[int]) -> bool:
    """Whether there is nothing but 0 and what other tools write for void, which tells nothing of a numbering."""
    return len(values) > 0 and {0, *MINUS_ONE}.issuperset(values)


def _meanings(readings: Collection[Reading], values: Sequence[int], lookups: Lookups) -> list[Numbering]:
    """The numberings among some readings; of those that mean the same by all values the first."""
    meanings: dict[tuple[int, ...], Numbering] = {}
    for numbering in NUMBERINGS:
        if numbering in readings:
            meanings.setdefault(tuple(lookups[numbering][values].tolist()), numbering)
    return list(meanings.values())


def _check_palettes(folder: Path, seen: Sequence[LabelFile]) -> None:
    """Refuse palettes that give one index several colours: made for each picture, so that no index is an id."""
    first: dict[int, tuple[Colour, Path]] = {}
    for file in seen:
        for value, colour in file.shades.items():
            known, where = first.setdefault(value, (colour, file.path))
            if known != colour:
                raise UserError(
                    f"{folder}: found palettes that differ (index {value} is {known} in {where.name}, {colour} in "
                    f"{file.path.name}), expected one palette for ids, or the table's colours; save the label maps "
                    f"without a palette{_or_give(seen)}"
                )


def _agreements(
    files: Mapping[str, LabelFile], readings: Mapping[str, Collection[Reading]], truth: Truth, lookups: Lookups
) -> list[tuple[LabelFile, dict[Reading, float]]]:
    """Compare items' files with their true labels in each of the readings given; blank files tell nothing."""

    def agreement(id_: str) -> tuple[LabelFile, dict[Reading, float]]:
        file, labels = files[id_], truth.labels(id_)
        values = transforms.resize_labels(pictures.read_labels(file.path), labels.shape[1], labels.shape[0])
        scored = labels != IGNORE
        shares: dict[Reading, float] = {}
        for reading in readings[id_]:
            lookup = _colour_lookup(file, truth.table) if reading == "colours" else lookups[reading]
            right = lookup[values[scored]] == labels[scored]
            shares[reading] = float(right.mean()) if right.size else 0.0
        return file, shares

    telling = [id_ for id_, several in readings.items() if len(several) > 1 and not _is_blank(files[id_].shades)]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(agreement, (id_ for id_ in telling if files[id_].shades)))


def _colour_lookup(file: LabelFile, table: LabelTable) -> NDArray[np.int16]:
    """The class index of each value of a file by the colour that it is shown in."""
    lookup = np.full(2**16, NO_ID, np.int16)
    lookup[list(file.shades)] = nearest_labels(np.array([list(file.shades.values())], np.uint8), table)[0]
    return lookup


def _mixture(folder: Path, seen: Sequence[LabelFile], table: LabelTable) -> str:
    """The line that refuses files of several kinds, or of one that is no label map."""
    kinds: dict[str, list[LabelFile]] = {}
    for file in seen:
        kinds.setdefault(file.kind, []).append(file)
    found = " and ".join(
        f"{counted(len(files), 'picture')} {kind} ({_example(files[0])})" for kind, files in kinds.items()
    )
    instances = [are_instances(file.shades, table) for file in seen]
    if any(instances) and all(of or "label-ids" in file.possible for of, file in zip(instances, seen, strict=True)):
        mend = DIVIDE
    elif all("loss" in file.kind for file in seen):
        mend = "a lossy format has changed the ids: export them again as PNG"
    else:
        alike = _or_give(seen)
        mend = f"convert or remove what is not{alike}{' to read all alike' if alike else ''}"
    return f"{folder}: found {found}, expected label maps of one kind, ids or the colours of {table.name}; {mend}"


def _example(file: LabelFile) -> str:
    return file.path.name + (f": {listed(sorted(file.shades))}" if file.shades else "")


def _or_give(seen: Sequence[LabelFile]) -> str:
    """The readings that all files allow, for the end of a line; "" for none."""
    allowed = [reading for reading in (COLOURS, *NUMBERINGS) if all(reading in file.possible for file in seen)]
    return f", or give {_options(allowed)}" if allowed else ""


def _options(readings: Sequence[Reading]) -> str:
    return " or ".join(f"--read {reading}" for reading in readings)


def check_labelled(truth: Truth, compared: Mapping[str, Compared]) -> None:
    """Check that some item has a pixel of a scored class in its labels.

    Raises:
        UserError: None has.
    """
    if any(one.counts[:-1].any() for one in compared.values()):
        return
    first = next(iter(compared))
    root, files = truth.dataset.root or truth.dataset.name, truth.items[first].files
    raise UserError(
        f"{root}: found no pixel of a scored class in the labels of {counted(len(compared), 'item')}, such as "
        f"{files[1] if files else first}, expected some; give the dataset whose labels are those of the outputs"
    )


def doubts(truth: Truth, row: ScoreRow, compared: Iterable[str], run: Run) -> list[str]:
    """A line where predictions agree clearly with the label files in another numbering than label ids.

    Files of few values can be of several numberings, and by themselves tell nothing.

    Args:
        truth: What the outputs were compared with.
        row: The scores; where predictions agree in some measure, no file is read.
        compared: The ids of the items.
        run: Whose `segmentations/` hold what was predicted.

    Raises:
        UserError: A file cannot be read.
    """
    if row.strict is None or row.strict.metrics["pixel_accuracy"].value >= AGREEING:
        return []
    lookups = [class_lookup(truth.table, numbering) for numbering in NUMBERINGS]
    files = {id_: truth.items[id_].files[1] for id_ in compared if truth.items[id_].files}

    def agreement(id_: str) -> NDArray[np.int64]:
        """By numbering, the pixels that are right, those that have a class, and those of no id."""
        predicted = pictures.read_labels(run.segmentations / f"{id_}.png")
        values = transforms.resize_labels(pictures.read_labels(files[id_]), predicted.shape[1], predicted.shape[0])
        true = [lookup[values] for lookup in lookups]
        classes = [(of != IGNORE) & (of != NO_ID) for of in true]
        right = [(of == predicted) & known for of, known in zip(true, classes, strict=True)]
        return np.array([[part.sum() for part in parts] for parts in (right, classes, [of == NO_ID for of in true])])

    if not files:
        return []
    with ThreadPoolExecutor() as pool:
        right, known, unknown = sum(pool.map(agreement, files), np.zeros((3, len(lookups)), np.int64))
    label_ids, *shares = np.where(unknown, 0, right / np.maximum(known, 1)).tolist()
    best = int(np.argmax(shares))
    if not is_clear(shares[best], label_ids):
        return []
    other = WORDS[NUMBERINGS[1 + best]]
    return [
        f"the true labels look like {other}: predictions agree with {shares[best]:.0%} of their pixels as {other}, "
        f"{label_ids:.0%} as label ids; give label files in label ids in place of {next(iter(files.values()))}"
    ]
