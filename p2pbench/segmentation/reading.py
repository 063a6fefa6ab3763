"""Label maps of other models, read as what they are: colours, or ids in the numbering that the folder is in.

Decided over all files of a folder, never file by file. A picture in colours can be nothing else. A palette in the
table's colours is read by them, or by its indices where these are ids of the same colours (then polegroup, which has
pole's colour, stays what it is). Any other palette is only there to be looked at: its indices count. One channel, or
three equal ones, are ids where all values are. Of two numberings that fit, the true labels decide, and only where they
do so clearly; whatever stays open is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fcn.labels import IGNORE, Colour, LabelTable
from p2pbench.datasets import pictures
from p2pbench.datasets.dataset import MOST_NAMED
from p2pbench.datasets.pictures import Picture
from p2pbench.errors import UserError
from p2pbench.metrics.label_maps import nearest_labels
from p2pbench.segmentation.outputs import is_lossy, read_output
from p2pbench.segmentation.truth import Truth
from reports.names import counted

Numbering = Literal["label-ids", "train-ids", "train-ids-from-1"]
Reading = Literal["colours"] | Numbering

COLOURS: Reading = "colours"
NUMBERINGS: tuple[Numbering, ...] = ("label-ids", "train-ids", "train-ids-from-1")
WORDS: dict[Reading, str] = {
    "colours": "colours",
    "label-ids": "label ids",
    "train-ids": "train ids",
    "train-ids-from-1": "train ids plus 1",
}
NO_ID = -1
MINUS_ONE = (255, 65535)  # of 8 and 16 bits; other tools' mark for void as well
COMPARED = 20  # files that are compared with the true labels, evenly spread
AGREEING = 0.5  # of the labelled pixels, at least, in the numbering that is taken,
CLEARLY = 2  # and so many times those in any other


class LabelMap(NamedTuple):
    """Predicted class indices (H, W), IGNORE for void; and what had to be done to the picture, "" for nothing."""

    indices: NDArray[np.uint8]
    changed: str


class FolderReading(NamedTuple):
    """How a folder's files are read, and what was seen that decided it; "" where nothing had to be decided."""

    reading: Reading
    seen: str


class _File(NamedTuple):
    """What one file can be.

    Attributes:
        path: The file.
        readings: All that it can be read as.
        kind: What to call it.
        shades: The colour of each value that is stored, where these may be ids.
        stored: How values are stored.
    """

    path: Path
    readings: frozenset[Reading]
    kind: str
    shades: Mapping[int, Colour]
    stored: Literal["palette", "one channel", "three channels"]


def class_lookup(table: LabelTable, numbering: Numbering) -> NDArray[np.int16]:
    """The class index, IGNORE or NO_ID of every value (65536,) that a file may hold."""
    classes = len(table.classes)
    lookup = np.full(2**16, NO_ID, np.int16)
    if numbering == "label-ids":
        for label in table.labels:
            lookup[label.value] = label.index
    elif numbering == "train-ids":
        lookup[: classes + 1] = [*range(classes), IGNORE]
    else:
        lookup[: classes + 1] = [IGNORE, *range(classes)]
    lookup[list(MINUS_ONE)] = IGNORE
    return lookup


def read_map(path: Path, reading: Reading, table: LabelTable) -> LabelMap:
    """Read one label map.

    Raises:
        UserError: As `pictures.read` and `pictures.read_labels`; also for a value that the numbering does not have.
    """
    if reading == "colours":
        pixels, changed = read_output(path)
        return LabelMap(nearest_labels(pixels, table), changed)
    values = pictures.read_labels(path)
    indices = class_lookup(table, reading)[values]
    if unknown := sorted(set(values[indices == NO_ID].tolist())):
        raise UserError(
            f"{path}: found values {_listed(unknown)}, expected {_expected(table, reading)}; "
            "give another --read, or export the picture again"
        )
    return LabelMap(indices.astype(np.uint8), "")


def describe(table: LabelTable, reading: Numbering) -> str:
    """What the protocol says of a numbering."""
    return f"{WORDS[reading]} as stored: {_expected(table, reading)}"


def decide_reading(folder: Path, files: Mapping[str, Path], truth: Truth) -> FolderReading:
    """Decide how a folder's label maps are kept.

    Args:
        folder: Its name, for messages.
        files: The outputs, by item id, at least one.
        truth: What they are outputs for; its labels decide between numberings that both fit.

    Raises:
        UserError: The files are of several kinds, or could be of several; it says what was seen. Also for a file that
            cannot be read.
    """
    table = truth.table
    lookups = {numbering: class_lookup(table, numbering) for numbering in NUMBERINGS}
    with ThreadPoolExecutor() as pool:
        seen = list(pool.map(lambda path: _look(path, table, lookups), files.values()))
    common = frozenset.intersection(*(file.readings for file in seen))
    if not common:
        raise UserError(_mixture(folder, seen, table))
    values = sorted({value for file in seen for value in file.shades})
    meanings: dict[tuple[int, ...], Numbering] = {}
    for numbering in NUMBERINGS:
        if numbering in common:
            meanings.setdefault(tuple(lookups[numbering][values].tolist()), numbering)
    blank = set(values) <= {0, *MINUS_ONE}
    if not meanings or (blank and COLOURS in common and all(file.stored == "three channels" for file in seen)):
        return FolderReading(COLOURS, "")
    if COLOURS not in common:
        _check_palettes(folder, [file for file in seen if file.stored == "palette"])
    fitting = list(meanings.values())
    found = f"{counted(len(seen), 'picture')} of values {_listed(values)}"
    if len(fitting) == 1:
        return FolderReading(fitting[0], f"read as {WORDS[fitting[0]]}: {found}")
    shares = {} if blank else _agreement(files, truth, {numbering: lookups[numbering] for numbering in fitting})
    agreeing = ", ".join(f"{share:.0%} as {WORDS[numbering]}" for numbering, share in shares.items())
    best, *others = sorted(shares, key=lambda numbering: -shares[numbering]) or fitting
    if shares and shares[best] >= max(AGREEING, CLEARLY * max(shares[other] for other in others)):
        return FolderReading(best, f"read as {WORDS[best]}: {found}; of the labelled pixels agree {agreeing}")
    raise UserError(
        f"{folder}: found {found}, which may be {' or '.join(WORDS[numbering] for numbering in fitting)}"
        + (f" (of the labelled pixels agree {agreeing})" if agreeing else "")
        + f", expected files that can be only one of these; give {_options(fitting)}"
    )


def _look(path: Path, table: LabelTable, lookups: Mapping[Numbering, NDArray[np.int16]]) -> _File:
    """See what one file can be."""
    in_colours = _File(path, frozenset({COLOURS}), "in colours", {}, "three channels")
    if is_lossy(path):
        return in_colours
    shown, palette = pictures.read(path), _has_palette(path)
    if not palette and (shown[..., 1:3] != shown[..., :1]).any():
        return in_colours
    values = pictures.read_labels(path)
    used = np.flatnonzero(np.bincount(values.ravel()))
    shades = dict(zip(used.tolist(), _colours_of(values, shown, used), strict=True))
    in_table = {label.colour for label in table.labels}.issuperset(shades.values())
    readings: set[Reading] = {name for name, lookup in lookups.items() if (lookup[used] != NO_ID).all()}
    kind = "of ids" if readings else "with a palette" if palette else "in grey"
    if palette and in_table:
        exact = {name for name in lookups if name in readings and _same_colours(table, lookups[name], shades)}
        readings, kind = {COLOURS, *exact}, "of ids" if exact else "in colours"
    elif in_table or (not palette and shown.shape[2] >= 3):
        readings.add(COLOURS)  # three channels are made for colours, even where a picture happens to have none
    stored: Literal["palette", "one channel", "three channels"] = (
        "palette" if palette else "one channel" if shown.shape[2] < 3 else "three channels"
    )
    return _File(path, frozenset(readings), kind, shades, stored)


def _colours_of(values: Picture, shown: Picture, used: NDArray[np.intp]) -> list[Colour]:
    """The colour, of as many bits as the picture has, in which each of the values that it uses is shown."""
    channels = 3 if shown.shape[2] >= 3 else 1
    colours = np.zeros((int(used[-1]) + 1, 3), shown.dtype)
    colours[values.ravel()] = shown[..., :channels].reshape(-1, channels)
    return [(r, g, b) for r, g, b in colours[used].tolist()]


def _same_colours(table: LabelTable, lookup: NDArray[np.int16], shades: Mapping[int, Colour]) -> bool:
    """Whether each value is shown in the colour of a label of its class index."""
    known = {(label.index, label.colour) for label in table.labels}
    return all((int(lookup[value]), colour) in known for value, colour in shades.items())


def _check_palettes(folder: Path, seen: Sequence[_File]) -> None:
    """Refuse palettes that give one index several colours: made for each picture, so that no index is an id."""
    first: dict[int, tuple[Colour, Path]] = {}
    for file in seen:
        for value, colour in file.shades.items():
            known, where = first.setdefault(value, (colour, file.path))
            if known != colour:
                raise UserError(
                    f"{folder}: found palettes that differ (index {value} is {known} in {where.name}, {colour} in "
                    f"{file.path.name}), expected one palette for ids, or the table's colours; save the label maps "
                    f"without a palette, or give {_options([COLOURS, *NUMBERINGS])}"
                )


def _agreement(
    files: Mapping[str, Path], truth: Truth, lookups: Mapping[Numbering, NDArray[np.int16]]
) -> dict[Numbering, float]:
    """The share of labelled pixels that are right in each numbering, over some files."""
    ids = list(files)
    right, labelled = dict.fromkeys(lookups, 0), 0
    for id_ in ids[:: max(1, len(ids) // COMPARED)]:
        labels = truth.labels(id_)
        values = pictures.resize_labels(pictures.read_labels(files[id_]), labels.shape[1], labels.shape[0])
        scored = labels != IGNORE
        labelled += int(scored.sum())
        for numbering, lookup in lookups.items():
            right[numbering] += int((lookup[values[scored]] == labels[scored]).sum())
    return {numbering: count / max(1, labelled) for numbering, count in right.items()}


def _mixture(folder: Path, seen: Sequence[_File], table: LabelTable) -> str:
    """The line that refuses files of several kinds, or of one that is no label map."""
    kinds: dict[str, list[_File]] = {}
    for file in seen:
        kinds.setdefault(file.kind, []).append(file)
    counted = " and ".join(
        f"{len(files)} {'picture' if len(files) == 1 else 'pictures'} {kind} ({_example(files[0])})"
        for kind, files in kinds.items()
    )
    return (
        f"{folder}: found {counted}, expected label maps of one kind, ids or the colours of {table.name}; "
        f"convert or remove what is not, or give {_options([COLOURS, *NUMBERINGS])} to read all alike"
    )


def _example(file: _File) -> str:
    return file.path.name + (f": {_listed(sorted(file.shades))}" if file.shades else "")


def _expected(table: LabelTable, numbering: Numbering) -> str:
    classes = len(table.classes)
    return {
        "label-ids": f"{max(0, min(table.values))} to {max(table.values)}, or 255 for void",
        "train-ids": f"0 to {classes - 1}, {classes} or 255 for void",
        "train-ids-from-1": f"1 to {classes}, 0 or 255 for void",
    }[numbering]


def _options(readings: Sequence[Reading]) -> str:
    return " or ".join(f"--read {reading}" for reading in readings)


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values[:MOST_NAMED])) + (f", ..., {values[-1]}" if len(values) > MOST_NAMED else "")


def _has_palette(path: Path) -> bool:
    try:
        with Image.open(path, formats=("PNG", "BMP", "TIFF")) as image:
            return image.mode in ("P", "PA")
    except UnidentifiedImageError:
        return False
