"""Confusion matrices of images, and the file that keeps them."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fcn.errors import FcnError
from fcn.labels import IGNORE

FORMAT = 1
_SEAL = "sha256"  # which files of older versions do not have
_TEXTS = ("key", "size", "changed")

# Errors of numpy for damaged archives; it parses headers as Python, and trusts the sizes in them.
UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    EOFError,
    TypeError,
    SyntaxError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def confusion(
    truth: NDArray[np.uint8], prediction: NDArray[np.integer], classes: int, channels: int
) -> NDArray[np.int64]:
    """Count the confusion matrix of one image.

    Args:
        truth: Class indices (H, W): 0 .. classes-1, or IGNORE.
        prediction: Predicted channels (H, W): 0 .. channels-1.
        classes: How many classes are scored.
        channels: How many the predictor chooses from, at least as many.

    Returns:
        Pixel counts (classes + 1, channels).

    Raises:
        FcnError: The shapes differ, or a value is outside its range.
    """
    if truth.shape != prediction.shape:
        raise FcnError(f"labels are {_size(truth)} and the prediction is {_size(prediction)}; expected the same size")
    if truth.size:
        low, high = int(prediction.min()), int(prediction.max())
        if ((truth >= classes) & (truth != IGNORE)).any() or low < 0 or high >= channels:
            raise FcnError(
                f"labels reach {_largest(truth)} and predictions {low} to {high}; expected class indices below "
                f"{classes} (or {IGNORE} for ignored pixels) and channels 0 to {channels - 1}"
            )
    # IGNORE becomes the row after the last class; a pixel's cell is then row * channels + channel.
    cells = np.minimum(truth, classes).astype(np.intp)
    cells *= channels
    cells += prediction
    return np.bincount(cells.ravel(), minlength=(classes + 1) * channels).reshape(classes + 1, channels)


def matrices(truth: Tensor, prediction: Tensor, classes: int, channels: int) -> Tensor:
    """Count the confusion matrices of images, as `confusion` does, on their device.

    Values are not checked, as that would wait for the device: `check_labels` does it where labels are read.

    Args:
        truth: Class indices (B, H, W): 0 .. classes-1, or IGNORE.
        prediction: Predicted channels (B, H, W): 0 .. channels-1.
        classes: How many classes are scored.
        channels: How many the predictor chooses from.

    Returns:
        Pixel counts (B, classes + 1, channels), int64.
    """
    images, height, _ = truth.shape
    cells = truth.clamp(max=classes).long().mul_(channels).add_(prediction)
    # Each row of pixels has its own counts: a GPU's threads would wait for one another at a common cell.
    rows = torch.zeros(images, height, (classes + 1) * channels, dtype=torch.int64, device=truth.device)
    rows.scatter_add_(2, cells, torch.ones_like(cells))
    return rows.sum(1).view(images, classes + 1, channels)


def check_labels(truth: NDArray[np.uint8], classes: int) -> None:
    """Refuse labels that hold anything but class indices below `classes` and IGNORE.

    Raises:
        FcnError: They do.
    """
    if (largest := _largest(truth)) >= classes:
        raise FcnError(
            f"labels reach {largest}; expected class indices below {classes} (or {IGNORE} for ignored pixels)"
        )


class ImageMatrix(NamedTuple):
    """Confusion matrix of one image.

    Attributes:
        counts: The matrix (classes + 1, channels).
        size: Of the image before it was resized, such as "256x256" for width by height.
        changed: Its conversion to RGB of 8 bits; "" for none.
        key: A hash of the image and its labels, by which a kept matrix is known; "" for one that is not kept.
    """

    counts: NDArray[np.int64]
    size: str
    changed: str
    key: str = ""


def save(path: Path, scorer: str, images: Mapping[str, ImageMatrix]) -> None:
    """Write matrices by item id, whole or not at all.

    `scorer` is the SHA-256 of the file of the network that segmented them.

    Raises:
        FcnError: The file cannot be written.
    """
    images = dict(sorted(images.items()))
    content: dict[str, Any] = {
        "format": np.array(FORMAT),
        "scorer": np.array(scorer),
        "ids": np.array(list(images), dtype=str),
        "matrices": np.array([image.counts for image in images.values()], dtype=np.int64),
    }
    for field in _TEXTS:
        content[field] = np.array([getattr(image, field) for image in images.values()], dtype=str)
    # Scores are computed from this file years later; a matrix changed by hand must not pass for a measured one.
    content[_SEAL] = np.array(_seal(content))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **content)
    with whole_file(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def load(path: Path, scorer: str) -> dict[str, ImageMatrix]:
    """Load the matrices of images by item id.

    Empty where there is no file, or it is of another network than `scorer` says.

    Raises:
        FcnError: The file is damaged, or of another version.
    """
    if not path.exists():
        return {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            content = {name: archive[name] for name in archive.files}
        if int(content["format"]) != FORMAT:
            raise FcnError(f"{path}: found format {content['format']}, expected {FORMAT}; move it away to score anew")
        if _SEAL in content and str(content[_SEAL]) != _seal(content):
            raise FcnError(f"{path}: was changed since it was written; move it away to score anew")
        texts = {field: content[field].tolist() for field in _TEXTS}
        images = {
            id_: ImageMatrix(counts=counts, **{field: texts[field][index] for field in _TEXTS})
            for index, (id_, counts) in enumerate(zip(content["ids"].tolist(), content["matrices"], strict=True))
        }
        return images if str(content["scorer"]) == scorer else {}
    except UNREADABLE as error:  # numpy's text means nothing to users
        system = error.strerror if isinstance(error, OSError) else None
        found = f"cannot be read ({system})" if system else "found something else, or a damaged file"
        raise FcnError(
            f"{path}: {found}; expected the confusion matrices that scoring keeps; move it away to score anew"
        ) from error


def _seal(content: Mapping[str, NDArray[Any]]) -> str:
    """Compute the SHA-256 of all arrays but the seal, with their names, types and shapes."""
    seal = hashlib.sha256()
    for name in sorted(content.keys() - {_SEAL}):
        array = np.ascontiguousarray(content[name])
        seal.update(f"{name} {array.dtype.str} {array.shape}\n".encode() + array.tobytes())
    return seal.hexdigest()


def _size(map_: NDArray[np.integer]) -> str:
    return "x".join(str(side) for side in reversed(map_.shape))


def _largest(truth: NDArray[np.uint8]) -> int:
    return int(truth[truth != IGNORE].max(initial=0))


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, to be written in the block.

    It takes `path`'s place at the end.

    The same as `reports.store.atomic`, which this package must not import. A path instead of bytes, since a checkpoint
    of a full FCN has 2 GB: made in memory first, it would take twice as much.

    Raises:
        FcnError: The folder or the file cannot be written.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        in_the_way = next((each for each in path.parents if each.exists() and not each.is_dir()), None)
        reason = f"{in_the_way} is a file, expected a folder" if in_the_way else error.strerror or error
        raise FcnError(
            f"{path}: cannot be written ({reason}); name a place on a disk with room, where this account may write"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
