"""Label maps of other models, read as what they are: colours, or ids in the numbering that the folder is in.

Decided over all files of a folder, never file by file. A picture in colours can be nothing else. A palette in the
table's colours is read by them, or by its indices where these are ids of the same colours (then polegroup, which has
pole's colour, stays what it is). Any other palette is only there to be looked at: its indices count. One channel, or
three equal ones, are ids where all values are; other greys are not in the table's colours. Of two numberings that fit,
the true labels decide, and only where they do so clearly; whatever stays open is refused. A file whose ids agree with
its true labels in another numbering than the folder's is of another numbering, and is named.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
AGREEING = 0.5  # of the labelled pixels, at least, in the numbering that is taken,
CLEARLY = 2  # and so many times those in any other

GREY_WITH_LOSS = 8  # of 255: so far channels of grey may differ where a lossy format has kept them as colours


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
        coloured: Whether it shows any colour, or only such greys as the table has.
        shades: The colour of each value that is stored, where these may be ids.
        stored: How values are stored.
    """

    path: Path
    readings: frozenset[Reading]
    kind: str
    coloured: bool
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
        UserError: As `pictures.read` and `pictures.read_labels`; also for a value that the numbering does not have, and
            for one channel of greys that the table does not have, read as colours.
    """
    if reading == "colours":
        pixels, changed = read_output(path)
        if "grey" in changed and (others := np.setdiff1d(pixels, _greys(table))).size:
            raise UserError(
                f"{path}: found one channel (values {_listed(others.tolist())}), expected the colours of {table.name}; "
                "export the picture in colours, or ids as PNG without --read colours"
            )
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
    blank = _is_blank(values)
    fitting = _meanings(common, values, lookups)
    if not fitting or (blank and COLOURS in common and all(file.stored == "three channels" for file in seen)):
        if not blank and not any(file.coloured for file in seen):
            raise UserError(_mixture(folder, seen, table))
        return FolderReading(COLOURS, "")
    if COLOURS not in common:
        _check_palettes(folder, [file for file in seen if file.stored == "palette"])
    found = f"{len(seen)} {'picture' if len(seen) == 1 else 'pictures'} of values {_listed(values)}"
    agreements = _agreements(dict(zip(files, seen, strict=True)), truth, lookups)
    numbering, agreeing = fitting[0], ""
    if len(fitting) > 1:
        numbering, agreeing = _best(folder, found, [] if blank else [of for _, of in agreements], fitting)
    _check_agreements(folder, numbering, agreements)
    return FolderReading(numbering, f"read as {WORDS[numbering]}: {found}{agreeing}")


def _best(
    folder: Path, found: str, agreements: Sequence[Mapping[Numbering, float]], fitting: Sequence[Numbering]
) -> tuple[Numbering, str]:
    """The one of the numberings that fit all files which clearly agrees with the true labels, and by how much."""
    shares = {name: float(np.mean([of[name] for of in agreements])) for name in fitting} if agreements else {}
    agreeing = ", ".join(f"{share:.0%} as {WORDS[numbering]}" for numbering, share in shares.items())
    best, *others = sorted(shares, key=lambda numbering: -shares[numbering]) or fitting
    if shares and all(_is_clear(shares[best], shares[other]) for other in others):
        return best, f"; of the labelled pixels agree {agreeing}"
    raise UserError(
        f"{folder}: found {found}, which may be {' or '.join(WORDS[numbering] for numbering in fitting)}"
        + (f" (of the labelled pixels agree {agreeing})" if agreeing else "")
        + f", expected files that can be only one of these; give {_options(fitting)}"
    )


def _check_agreements(
    folder: Path, numbering: Numbering, agreements: Sequence[tuple[_File, Mapping[Numbering, float]]]
) -> None:
    """Refuse a folder of which some files agree with the true labels in another numbering alone."""
    strays = [
        f"{file.path.name}, of whose labelled pixels agree {share:.0%} as {WORDS[other]} and {of[numbering]:.0%} as "
        f"{WORDS[numbering]}"
        for file, of in agreements
        for other, share in of.items()
        if other != numbering and _is_clear(share, of[numbering])
    ]
    if strays:
        raise UserError(
            f"{folder}: found ids of two numberings, most {WORDS[numbering]}, {len(strays)} another ({strays[0]}), "
            f"expected one; convert or remove those, or give {_options([numbering])} to read all alike"
        )


def _is_clear(share: float, other: float) -> bool:
    return share >= max(AGREEING, CLEARLY * other)


def _is_blank(values: Collection[int]) -> bool:
    """Whether there is nothing but 0 and what other tools write for void, which tells nothing of a numbering."""
    return len(values) > 0 and {0, *MINUS_ONE}.issuperset(values)


def _meanings(
    readings: Collection[Reading], values: Sequence[int], lookups: Mapping[Numbering, NDArray[np.int16]]
) -> list[Numbering]:
    """The numberings among some readings; of those that mean the same by all values the first."""
    meanings: dict[tuple[int, ...], Numbering] = {}
    for numbering in NUMBERINGS:
        if numbering in readings:
            meanings.setdefault(tuple(lookups[numbering][values].tolist()), numbering)
    return list(meanings.values())


def _look(path: Path, table: LabelTable, lookups: Mapping[Numbering, NDArray[np.int16]]) -> _File:
    """See what one file can be."""
    shown, palette = pictures.read(path), _has_palette(path)
    stored: Literal["palette", "one channel", "three channels"] = (
        "palette" if palette else "one channel" if shown.shape[2] < 3 else "three channels"
    )
    in_colours = _File(path, frozenset({COLOURS}), "in colours", True, {}, stored)
    lossy = is_lossy(path)
    if stored == "three channels" and np.ptp(shown[..., :3], axis=2).max() > (GREY_WITH_LOSS if lossy else 0):
        return in_colours
    if lossy:
        possible = in_colours.readings if stored == "three channels" else frozenset[Reading]()
        return _File(path, possible, "in grey, and kept with loss", False, {}, stored)
    values = pictures.read_labels(path)
    used = np.flatnonzero(np.bincount(values.ravel()))
    shades = dict(zip(used.tolist(), _colours_of(values, shown, used), strict=True))
    in_table = {label.colour for label in table.labels}.issuperset(shades.values())
    readings: set[Reading] = {name for name, lookup in lookups.items() if (lookup[used] != NO_ID).all()}
    kind = "of ids" if readings else "with a palette" if palette else "in grey"
    if palette and in_table:
        exact = {name for name in lookups if name in readings and _same_colours(table, lookups[name], shades)}
        readings, kind = {COLOURS, *exact}, "of ids" if exact else "in colours"
    elif in_table or stored == "three channels":
        readings.add(COLOURS)  # three channels are made for colours, even where a picture happens to have none
    return _File(path, frozenset(readings), kind, in_table, shades, stored)


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


def _agreements(
    files: Mapping[str, _File], truth: Truth, lookups: Mapping[Numbering, NDArray[np.int16]]
) -> list[tuple[_File, dict[Numbering, float]]]:
    """The share of an item's labelled pixels that are right in each numbering that its file may be of.

    Only of files that may be of several, and are not blank.
    """

    def agreement(id_: str) -> tuple[_File, dict[Numbering, float]]:
        file, labels = files[id_], truth.labels(id_)
        values = pictures.resize_labels(pictures.read_labels(file.path), labels.shape[1], labels.shape[0])
        scored = labels != IGNORE
        right = {name: lookups[name][values[scored]] == labels[scored] for name in lookups if name in file.readings}
        return file, {name: float(of.mean()) if of.size else 0.0 for name, of in right.items()}

    open_ = [
        id_
        for id_, file in files.items()
        if not _is_blank(file.shades) and len(_meanings(file.readings, list(file.shades), lookups)) > 1
    ]
    with ThreadPoolExecutor() as pool:
        return list(pool.map(agreement, open_))


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


def _greys(table: LabelTable) -> list[int]:
    return [label.colour[0] for label in table.labels if len({*label.colour}) == 1]


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
