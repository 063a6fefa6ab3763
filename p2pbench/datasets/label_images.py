"""Images of label maps in colours; detection of train ids."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from fcn.labels import CITYSCAPES, IGNORE, LabelTable
from p2pbench.datasets import pictures, transforms
from p2pbench.errors import UserError
from reports.store import atomic
from reports.store.ranges import spread

MOST_READ = 100  # label files, evenly spread, that are checked before work begins; each is again when it is read

# Approximate share of each class in the labelled pixels of Cityscapes, by class index: orders of magnitude decide.
COVERED = (
    *(0.37, 0.061, 0.23, 0.0066, 0.0088, 0.012, 0.0021, 0.0055, 0.16, 0.012),
    *(0.04, 0.012, 0.0014, 0.07, 0.0027, 0.0024, 0.0023, 0.001, 0.0041),
)
# And in all pixels, by order of magnitude: the void labels 0 to 4 around and in each picture, any other void label, and
# all void pixels where they share one value.
LAST_COMMON_VOID, COMMON_VOID, RARE_VOID, ALL_VOID = 4, 0.05, 0.003, 0.1
EITHER_WAY = (0, 8)  # road or unlabelled, vegetation or sidewalk: no evidence
MANY_VALUES = 15  # this many label ids are never all below 20, where vegetation, sky, people and cars begin
# Fewer values give no verdict, as in a crop of a fence and a pavement: in one file, and in most of a folder together.
FEWEST_IN_FILE, FEWEST_IN_FOLDER = 7, 4
MOST_UNLABELLED = 0.75  # files with a larger share of 0 give no verdict either
EVIDENCE = 0.2  # nats per pixel; whole scenes in train ids have more, those in label ids less than -1.8

LONGEST_SIDE = 512  # pixels; a page shows no more
_KEYWORD = "p2pbench label map"


def refuse_train_ids(table: LabelTable, files: Sequence[Path]) -> None:
    """Refuse label files with train ids, singly and together.

    Files that cannot be read are left to the reader of all files, which names every one of them.

    Args:
        table: Meaning of the files' values.
        files: The label files of one split.

    Raises:
        UserError: Some do; one of them is named.
    """
    if table != CITYSCAPES:
        return
    counts: dict[Path, NDArray[np.intp]] = {}
    label_ids = 0
    for file in spread(files, MOST_READ):
        try:
            of_file = count_values(pictures.read_labels(file))
        except UserError:
            continue
        if _surely_label_ids(of_file):
            label_ids += 1
        else:
            counts[file] = of_file
    together = sum(counts.values(), np.zeros(2**16, np.intp))
    found = list(counts) if len(counts) > label_ids and look_like_train_ids(together, FEWEST_IN_FOLDER) else []
    found = found or [file for file, of_file in counts.items() if look_like_train_ids(of_file)]
    if found:
        values = np.flatnonzero(np.sum([counts[file] for file in found], axis=0))
        raise UserError(refusal(found[0], values, f" in {len(found)} label files" if len(found) > 1 else ""))


def refusal(file: Path, values: Sequence[int] | NDArray[np.intp], where: str = "") -> str:
    """Message that refuses a file of train ids."""
    return (
        f"{file}: found train ids (values {', '.join(map(str, values))}{where}), expected label ids 0 to "
        f"{max(CITYSCAPES.values)}, of which the program makes train ids itself; give a folder with "
        "the label ids as published, *_gtFine_labelIds.png"
    )


def count_values(picture: NDArray[np.integer]) -> NDArray[np.intp]:
    """Count the pixels of each value (65536,) of a label picture."""
    return np.bincount(picture.ravel(), minlength=2**16)


def look_like_train_ids(counts: NDArray[np.integer], fewest: int = FEWEST_IN_FILE) -> bool:
    """Whether label values are distributed as train ids of streets.

    The verdict is a log-likelihood ratio per pixel: of a value's share in Cityscapes as a train id over its share as a
    label id. Label ids hold no 255; train ids hold 0 to 19, and 255.

    Args:
        counts: Pixels of each value (65536,).
        fewest: Number of values needed for a verdict.
    """
    if _surely_label_ids(counts):
        return False
    used = np.flatnonzero(counts)
    if counts[IGNORE] or len(used) >= MANY_VALUES:
        return True
    counts = counts[: len(COVERED) + 1]
    if len(used) < fewest or used[-1] <= LAST_COMMON_VOID or counts[0] > MOST_UNLABELLED * counts.sum():
        return False
    # Log-likelihoods are averaged by pixels, without values that are as likely either way.
    weights = counts.copy()
    weights[list(EITHER_WAY)] = 0
    if not weights.any():
        return False
    as_label_ids = np.log(_covered_by_label_ids()[: len(counts)])
    as_train_ids = [np.log((*COVERED, ALL_VOID)), np.log((ALL_VOID, *COVERED))]
    return any(np.average(log - as_label_ids, weights=weights) > EVIDENCE for log in as_train_ids)


def _surely_label_ids(counts: NDArray[np.integer]) -> bool:
    """Whether some values are no train ids."""
    return bool(counts[len(COVERED) + 1 : IGNORE].any() or counts[IGNORE + 1 :].any())


def _covered_by_label_ids() -> NDArray[np.float64]:
    """Approximate share of each label id, from 0 on, in all pixels."""
    covered = np.full(max(CITYSCAPES.values) + 1, RARE_VOID)
    covered[: LAST_COMMON_VOID + 1] = COMMON_VOID
    covered[list(CITYSCAPES.values_of_classes)] = COVERED
    return covered


def write_label_image(path: Path, labels: NDArray[np.uint8], table: LabelTable, source: str) -> None:
    """Write a label map as a picture of at most `LONGEST_SIDE` pixels.

    An equal one is left as it is.

    Args:
        path: ITEM.png.
        labels: Class indices (H, W), or channels beyond the classes, which become IGNORE as IGNORE stays it.
        table: The classes' colours.
        source: Stored for `source_of_label_image`: a hash of all that the map depends on, or a word.

    Raises:
        ReportError: The file cannot be written.
        UserError: Another's picture is there.
    """
    content = _png(labels, table, source)
    if path.is_file() and path.read_bytes() == content:
        return
    check_label_image_free(path)
    atomic.write(path, content)


def check_label_image_free(path: Path) -> None:
    """Refuse to replace a picture that this program did not write.

    Raises:
        UserError: There is one.
    """
    if path.exists() and source_of_label_image(path) is None:
        raise UserError(
            f"{path}: found a picture that was not written by this program, expected none or one of its segmentations; "
            "move it away"
        )


def source_of_label_image(path: Path) -> str | None:
    """Read the source of a label map's picture.

    None for a missing or foreign picture.
    """
    try:
        with Image.open(path, formats=("PNG",)) as image:
            found = image.info.get(_KEYWORD)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return None if found is None else str(found)


def remove_other_label_images(folder: Path, ids: Collection[str]) -> None:
    """Remove the label maps of other items from a folder.

    Foreign pictures stay.
    """
    for path in folder.glob("*.png"):
        if path.stem not in ids and source_of_label_image(path) is not None:
            path.unlink(missing_ok=True)


def _png(labels: NDArray[np.uint8], table: LabelTable, source: str) -> bytes:
    height, width = labels.shape
    shrunk = min(1.0, LONGEST_SIDE / max(height, width))
    small = transforms.resize_labels(labels, max(1, round(width * shrunk)), max(1, round(height * shrunk)))
    indices = np.where(small < len(table.classes), small, IGNORE).astype(np.uint8)
    # Stored as indices with a palette: browsers show the colours, and programs read the class indices.
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(table.classes)] = table.class_colours
    image = Image.frombytes("P", indices.shape[::-1], indices.tobytes())
    image.putpalette(palette.tobytes())
    note = PngImagePlugin.PngInfo()
    note.add_text(_KEYWORD, source)
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=1, pnginfo=note)
    return content.getvalue()
