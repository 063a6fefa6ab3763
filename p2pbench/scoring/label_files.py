"""One file of another model's label maps: what it can be, and how it is read as ids or colours.

A picture in colours can be nothing else. A palette in the table's colours is read by them, or by its indices where
these are ids of the same colours (then polegroup, which has pole's colour, stays what it is). Any other palette is only
there to be looked at: its indices count. One channel, or three equal ones, are ids where all values are; other greys
are not in the table's colours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fcn.labels import IGNORE, Colour, LabelTable
from p2pbench.datasets import pictures
from p2pbench.datasets.dataset import MOST_NAMED
from p2pbench.datasets.decoders import Picture
from p2pbench.errors import UserError
from p2pbench.metrics.label_maps import nearest_labels
from p2pbench.scoring.outputs import is_lossy, read_output
from reports.store.picture import to_eight_bits

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


GREY_WITH_LOSS = 8  # of 255: so far channels of grey may differ where a lossy format has kept them as colours


INSTANCE = 1000  # Cityscapes' files of instances hold label id * INSTANCE + number, and label ids where there is none


DIVIDE = f"these look like instance ids, label id * {INSTANCE} + number: divide those from {INSTANCE} on by {INSTANCE}"


MANY_COLOURS = 256  # above this, pictures are no label maps as programs draw them, but what networks make of them


class LabelMap(NamedTuple):
    """Predicted class indices (H, W), IGNORE for void; and what had to be done to the picture, "" for nothing."""

    indices: NDArray[np.uint8]
    changed: str


class LabelFile(NamedTuple):
    """What one file can be.

    Attributes:
        path: The file.
        readings: All that it may be meant as.
        possible: All that it can be read as where the user says so and that makes sense of it.
        kind: What to call it.
        coloured: Whether it shows any colour, or only such greys as the table has.
        shades: The colour, of 8 bits, of each value that is stored, where these may be ids.
        stored: How values are stored.
        colours: Those that it shows, of 8 bits, where they are few and kept without loss; None otherwise.
    """

    path: Path
    readings: frozenset[Reading]
    possible: frozenset[Reading]
    kind: str
    coloured: bool
    shades: Mapping[int, Colour]
    stored: Literal["palette", "one channel", "three channels"]
    colours: frozenset[Colour] | None


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
        if "grey" in changed and (others := _other_greys(pictures.read(path), table)).size:
            raise UserError(
                f"{path}: found one channel (values {listed(others.tolist())}), expected the colours of {table.name}; "
                "export the picture in colours, or ids as PNG without --read colours"
            )
        return LabelMap(nearest_labels(pixels, table), changed)
    values = pictures.read_labels(path)
    indices = class_lookup(table, reading)[values]
    if unknown := sorted(set(values[indices == NO_ID].tolist())):
        raise UserError(
            f"{path}: found values {listed(unknown)}, expected {_expected(table, reading)}; "
            + (DIVIDE if are_instances(unknown, table) else "leave --read out, or export the picture again")
        )
    return LabelMap(indices.astype(np.uint8), "")


def describe(table: LabelTable, reading: Numbering) -> str:
    """What the protocol says of a numbering."""
    return f"{WORDS[reading]} as stored: {_expected(table, reading)}"


def look(path: Path, table: LabelTable, lookups: Mapping[Numbering, NDArray[np.int16]]) -> LabelFile:
    """See what one file can be."""
    shown, palette = pictures.read(path), _has_palette(path)
    stored: Literal["palette", "one channel", "three channels"] = (
        "palette" if palette else "one channel" if shown.shape[2] < 3 else "three channels"
    )
    colours: frozenset[Reading] = frozenset({COLOURS})
    in_colours = LabelFile(path, colours, colours, "in colours", True, {}, stored, None)
    lossy = is_lossy(path)
    if stored == "three channels" and np.ptp(shown[..., :3], axis=2).max() > (GREY_WITH_LOSS if lossy else 0):
        return in_colours if lossy else in_colours._replace(colours=_few_colours(shown))
    if lossy:
        meant = colours if stored == "three channels" else frozenset[Reading]()
        return LabelFile(path, meant, frozenset(), "in grey, and kept with loss", False, {}, stored, None)
    values = pictures.read_labels(path)
    used = np.flatnonzero(np.bincount(values.ravel()))
    in_table = _colours_in(table, shown).issuperset(_colours_of(values, shown, used))
    shades = dict(zip(used.tolist(), _colours_of(values, to_eight_bits(shown), used), strict=True))
    ids: set[Reading] = {name for name, lookup in lookups.items() if (lookup[used] != NO_ID).all()}
    readings, possible = set(ids), set(ids)
    kind = "of ids" if ids else "with a palette" if palette else "in grey"
    if in_table or any(len({*colour}) > 1 for colour in shades.values()):
        possible.add(COLOURS)
    if palette and in_table:
        exact = {name for name in lookups if name in ids and _same_colours(table, lookups[name], shades)}
        readings, kind = {COLOURS, *exact}, "of ids" if exact else "in colours"
    elif in_table or stored == "three channels":
        readings.add(COLOURS)  # three channels are made for colours, even where a picture happens to have none
    few = _few_colours(shown)
    return LabelFile(path, frozenset(readings), frozenset(possible), kind, in_table, shades, stored, few)


def are_instances(values: Collection[int], table: LabelTable) -> bool:
    """Whether values are ids of instances, some of them beyond any label id."""
    ids = set(values) - {*MINUS_ONE}
    labels = {value // INSTANCE if value >= INSTANCE else value for value in ids}
    return any(value >= INSTANCE for value in ids) and labels <= table.values


def _few_colours(shown: Picture) -> frozenset[Colour] | None:
    """The colours, of 8 bits, of a picture (H, W, C), if they are few."""
    eight = to_eight_bits(shown).astype(np.uint32)
    red, green, blue = (eight[..., channel if shown.shape[2] >= 3 else 0] for channel in range(3))
    used = np.zeros(2**24, np.bool_)
    used[red << 16 | green << 8 | blue] = True
    packed = np.flatnonzero(used)
    if len(packed) > MANY_COLOURS:
        return None
    return frozenset((one >> 16, one >> 8 & 255, one & 255) for one in packed.tolist())


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


def _colours_in(table: LabelTable, picture: Picture) -> set[Colour]:
    """The table's colours in as many bits as a picture has."""
    scale = 257 if picture.dtype == np.uint16 else 1  # 255 becomes 65535
    return {(red * scale, green * scale, blue * scale) for red, green, blue in (each.colour for each in table.labels)}


def _other_greys(picture: Picture, table: LabelTable) -> NDArray[np.integer]:
    """The values of a picture in grey (H, W, 1 or 2 with alpha) that are no greys of the table."""
    return np.setdiff1d(picture[..., 0], [colour[0] for colour in _colours_in(table, picture) if len({*colour}) == 1])


def _expected(table: LabelTable, numbering: Numbering) -> str:
    classes = len(table.classes)
    return {
        "label-ids": f"{max(0, min(table.values))} to {max(table.values)}, or 255 for void",
        "train-ids": f"0 to {classes - 1}, {classes} or 255 for void",
        "train-ids-from-1": f"1 to {classes}, 0 or 255 for void",
    }[numbering]


def listed(values: Sequence[int]) -> str:
    """The first of the values, and the last, for messages."""
    return ", ".join(map(str, values[:MOST_NAMED])) + (f", ..., {values[-1]}" if len(values) > MOST_NAMED else "")


def _has_palette(path: Path) -> bool:
    try:
        with Image.open(path, formats=("PNG", "BMP", "TIFF")) as image:
            return image.mode in ("P", "PA")
    except UnidentifiedImageError:
        return False
