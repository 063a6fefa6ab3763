"""Datasets: items, and their samples of input, target and labels."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fcn.labels import CITYSCAPES, LabelTable
from p2pbench.datasets import pictures, transforms
from p2pbench.datasets.decoders import Header, Picture
from p2pbench.datasets.label_images import count_values, look_like_train_ids, refusal, refuse_train_ids
from p2pbench.errors import NEXT_LINE, UserError
from reports.store.layout import found_at
from reports.store.names import printable

if TYPE_CHECKING:
    from torch import Tensor

Split = Literal["train", "test"]
Depth = np.dtype[np.uint8 | np.uint16]

LABELS_TO_PHOTO, PHOTO_TO_LABELS = "labels-to-photo", "photo-to-labels"
A_TO_B, B_TO_A = "AtoB", "BtoA"
TEST_FOLDERS = ("val", "test")
MOST_NAMED = 10  # culprits that one message names


@dataclass(frozen=True)
class Item:
    """One example: its id, and its files (none where it is drawn)."""

    id: str
    files: tuple[Path, ...] = ()


class DatasetSample(NamedTuple):
    """An item's pictures, all of one height and width.

    `input` and `target` are (H, W, C) of 8 or 16 bits; `labels` is (H, W), class indices or IGNORE, or None.
    """

    input: Picture
    target: Picture
    labels: NDArray[np.uint8] | None


class Channels(NamedTuple):
    """Channels and depths of every sample of a dataset; see `p2pbench.datasets.survey`."""

    input: int
    output: int
    input_dtype: Depth
    output_dtype: Depth


class Naming(NamedTuple):
    """Pattern of a dataset's item ids by which items form clusters.

    Attributes:
        by: Noun for the clusters, such as "sequences".
        pattern: Of a whole item id; its one group is the cluster's name.
    """

    by: str
    pattern: re.Pattern[str]


class Dataset(ABC):
    """Items of two splits, converted to samples of a size.

    Args:
        root: the dataset's folder; None for a dataset that is drawn.
        direction: one of `directions`, or None for the first.
        test_split: the name of the folder or list to test on, or None for the dataset's own.
        files: False for a dataset without its files, for its conversions of inputs and outputs alone.

    Attributes:
        remarks: Lines for the user on the files so far, such as those passed over.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    layout: ClassVar[str]
    """The files that a root must hold, for messages and the list of datasets."""
    directions: ClassVar[tuple[str, ...]]
    table: ClassVar[LabelTable | None] = None
    needs_root: ClassVar[bool] = True
    note: ClassVar[str] = ""
    """Protocol entry on the making of samples; a change of it changes fingerprints."""
    own_scale: ClassVar[bool] = False
    """Whether networks get values on scales of the dataset's own, whatever the files' channels and depth."""
    kinds: ClassVar[tuple[str, ...]] = ("photos",)
    """Nouns for the first files of an item, for messages; later files are no pictures."""
    naming: ClassVar[Naming | None] = None
    """Clusters by the published names, if those tell any."""

    def __init__(
        self,
        root: Path | None,
        direction: str | None = None,
        test_split: str | None = None,
        *,
        files: bool = True,
    ) -> None:
        if direction is not None and direction not in self.directions:
            raise UserError(
                f"dataset {self.name}: direction '{direction}' is not one of its own; "
                f"expected {' or '.join(self.directions)}, such as direction={self.directions[0]}"
            )
        self.direction = direction or self.directions[0]
        self.test_split = test_split
        self.remarks: list[str] = []
        # Several checks ask for the sizes, channels and depths of the same files; each is opened once.
        self._headers: dict[Path, Header] = {}
        if self.needs_root and files:
            if root is None:
                raise UserError(f"dataset {self.name} needs a folder: give its root (--root DIR): {self.layout}")
            if not root.is_dir():
                raise UserError(
                    f"{root}: {found_at(root)}; expected the root of {self.name}, which holds {self.layout}"
                )
        self._root = root

    @property
    def root(self) -> Path:
        """The dataset's folder."""
        assert self._root is not None, f"{self.name} is drawn and has no folder"
        return self._root

    @classmethod
    def channels(cls, direction: str) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        """Possible input and output channels in a direction; None if files decide."""
        return None

    def split_folder(self, split: Split) -> Path:
        """Find the folder of a split.

        `train`, or for testing `test_split`, else `val` as in the released code, else `test`.

        Raises:
            UserError: there is no such folder.
        """
        folder = "train" if split == "train" else self.test_split or first_folder(self.root, TEST_FOLDERS) or "val"
        if not (self.root / folder).is_dir():
            raise self.no_folder(self.root / folder)
        return self.root / folder

    def no_folder(self, folder: Path, ending: str = "") -> UserError:
        """Error for a missing folder of a split, listing those beside it."""
        beside = folder.parent.iterdir() if folder.parent.is_dir() else ()
        named = (path.name for path in beside if path.is_dir() and path.name.endswith(ending) and path.name[0] != ".")
        there = sorted(name.removesuffix(ending) for name in named)
        listed = f"; beside it are {', '.join(there[:MOST_NAMED])}" if there else ""
        return UserError(f"{folder}: {found_at(folder)}; expected a root with {self.layout}{listed}")

    def find(self, folder: Path) -> dict[str, Path]:
        """Find the pictures in a folder and below it by item id.

        A remark counts the files passed over.

        Raises:
            UserError: As `pictures.find_recursive`.
        """
        passed_over: Counter[str] = Counter()
        found = pictures.find_recursive(folder, passed_over)
        self.remark(pictures.passed_over_line(folder, passed_over))
        return found

    def remark(self, line: str) -> None:
        """Keep a line for the user, once."""
        if line and line not in self.remarks:
            self.remarks.append(line)

    def headers(self, files: Iterable[Path]) -> list[Header]:
        """Read the headers of files; no file is read twice.

        Raises:
            UserError: Files are damaged or no pictures; all of them are named.
        """
        failures = []
        files = list(files)
        for file in files:
            if file not in self._headers:
                try:
                    self._headers[file] = pictures.header(file)
                except UserError as error:
                    failures.append(str(error))
        if failures:
            raise UserError(failures[0] if len(failures) == 1 else summary("files cannot be used", failures))
        return [self._headers[file] for file in files]

    def suspicions(self, items: Sequence[Item]) -> list[str]:
        """Lines for the user on likely mistakes in the pictures."""
        return []

    @abstractmethod
    def items(self, split: Split) -> list[Item]:
        """List the items of a split, in the order of their ids.

        The caller refuses an empty list.

        Raises:
            UserError: files are missing, unmatched or of differing sizes; all of them are named.
        """

    @abstractmethod
    def load(self, item: Item, size: int | None) -> DatasetSample:
        """Load an item as squares of `size` pixels.

        None leaves it its own size and aspect.

        Raises:
            UserError: a file that cannot be decoded, or a label value outside the table.
        """

    def finish_input(self, batch: Tensor) -> Tensor:
        """Change inputs (B, C, H, W) in [-1, 1] after the crop."""
        return batch

    def to_picture(self, input_: Picture, output: Picture) -> Picture:
        """Convert a network's output (H, W, C) to a picture, given its input."""
        return output

    def input_picture(self, input_: Picture) -> Picture:
        """Convert a network's input (H, W, C) to a picture for display."""
        return input_

    def from_picture(self, picture: Picture, file: Path) -> Picture:
        """Convert a user's picture (H, W, C) to a network input.

        The default leaves it.

        Raises:
            UserError: no input can be made of it.
        """
        return picture


class LabelledPhotos(Dataset):
    """Photos with label pictures, either of which is the input.

    The label map stays beside both.

    A label map enters a network as colours (three channels), as in the paper.
    """

    directions = (LABELS_TO_PHOTO, PHOTO_TO_LABELS)
    table: ClassVar[LabelTable]

    @classmethod
    def channels(cls, direction: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Photos in colour or grey.

        Label maps in colour alone, since classes share greys.
        """
        photos, labels = (1, 3), (3,)
        return (labels, photos) if direction == LABELS_TO_PHOTO else (photos, labels)

    def load(self, item: Item, size: int | None) -> DatasetSample:
        """Load the photo, resized bilinearly, and the labels, by nearest neighbour alone."""
        photo_file, label_file = item.files
        photo = transforms.convert(pictures.read(photo_file), 3, str(photo_file))
        values = self._values(label_file)
        if size is not None:
            # An interpolated value between two ids would be the id of a third class.
            photo, values = transforms.resize(photo, size, size), transforms.resize_labels(values, size, size)
        return self.sample(photo, values)

    def label_items(self, split: Split) -> list[Item]:
        """List the items of a split with labels, with or without photos."""
        return self.items(split)

    def check_numbering(self, items: Sequence[Item]) -> None:
        """Refuse items whose label files hold train ids.

        Raises:
            UserError: They do; one is named.
        """
        refuse_train_ids(self.table, [item.files[1] for item in items if item.files])

    def labels(self, item: Item, size: int | None = None) -> NDArray[np.uint8]:
        """Load an item's class indices (H, W), without its photo.

        Raises:
            UserError: As `load`.
        """
        _, label_file = item.files
        values = self._values(label_file)
        return self.table.to_indices(values if size is None else transforms.resize_labels(values, size, size))

    def _values(self, label_file: Path) -> NDArray[np.uint8 | np.uint16]:
        return self._checked(pictures.read_labels(label_file), label_file)

    def _checked(self, values: NDArray[np.uint8 | np.uint16], label_file: Path) -> NDArray[np.uint8 | np.uint16]:
        counts = count_values(values)
        # Train ids 0 to 18 are label ids too, of other classes: the check of values below would accept them.
        if self.table == CITYSCAPES and look_like_train_ids(counts):
            raise UserError(refusal(label_file, np.flatnonzero(counts)))
        if unknown := sorted(set(np.flatnonzero(counts).tolist()) - self.table.values):
            raise UserError(
                f"{label_file}: label values {', '.join(map(str, unknown[:MOST_NAMED]))} are not in the table of "
                f"{self.table.name} ({min(self.table.values)} to {max(self.table.values)}); "
                "expected the dataset's untouched label ids"
            )
        return values

    def sample(self, photo: Picture, values: NDArray[np.integer]) -> DatasetSample:
        """Make a sample of a photo and label values.

        Both have one size; the direction is the dataset's.
        """
        colours = self.table.to_colours(values)
        indices = self.table.to_indices(values)
        if self.direction == LABELS_TO_PHOTO:
            return DatasetSample(colours, photo, indices)
        return DatasetSample(photo, colours, indices)

    def from_picture(self, picture: Picture, file: Path) -> Picture:
        """Colour a picture of label values (one channel) by the table.

        Colours are left as they are.

        Raises:
            UserError: a value that is not in the table, or a JPEG, whose values are not exact.
        """
        if self.direction == LABELS_TO_PHOTO and picture.shape[2] == 1:
            return self.table.to_colours(self._values(file))
        return picture

    def input_of_values(self, values: Picture, name: Path) -> Picture:
        """Convert values (H, W) of one channel to an input; see `from_picture`."""
        if self.direction == LABELS_TO_PHOTO:
            return self.table.to_colours(self._checked(values, name))
        return values[..., None]


def item_hash(items: Sequence[Item]) -> str:
    """Short hash of the items' ids, in order."""
    return hashlib.sha256("\n".join(item.id for item in items).encode()).hexdigest()[:16]


def square(picture: Picture, size: int | None) -> Picture:
    """Resize a picture to a square, unless `size` is None."""
    return picture if size is None else transforms.resize(picture, size, size)


def first_folder(root: Path, names: Sequence[str]) -> str | None:
    """First of the names that is a folder of the root."""
    return next((name for name in names if (root / name).is_dir()), None)


def match(
    dataset: Dataset, left: dict[str, Path], right: dict[str, Path], left_name: str, right_name: str
) -> list[Item]:
    """Match two sets of files by id into items of a dataset.

    Raises:
        UserError: an id that is in one alone, or a pair whose pictures differ in size; all named in one message.
    """
    only_left = [f"{left[id_]} has no {right_name}" for id_ in sorted(left.keys() - right.keys())]
    only_right = [f"{right[id_]} has no {left_name}" for id_ in sorted(right.keys() - left.keys())]
    if only_left or only_right:
        mend = "add what is missing, under the same name, or move the file away"
        raise UserError(summary("unmatched files", only_left + only_right, "unmatched file", mend))
    items = [Item(id_, (left[id_], right[id_])) for id_ in sorted(left)]
    sizes = [(header.width, header.height) for header in dataset.headers(file for item in items for file in item.files)]
    differing = [
        f"{item.files[0]} is {_by(one)}, {item.files[1]} is {_by(other)}"
        for item, one, other in zip(items, sizes[::2], sizes[1::2], strict=True)
        if one != other
    ]
    if differing:
        mend = "bring both to one size, or move the pair away"
        raise UserError(summary("pairs of differing sizes", differing, "pair of differing sizes", mend))
    return items


def summary(what: str, culprits: Sequence[str], one: str | None = None, mend: str | None = None) -> str:
    """Count the culprits in a line, and name the first ones.

    A single one stands in the same line. `mend` is the fix, at the end, where the culprits do not say it.
    """
    if len(culprits) == 1:
        return f"1 {one or what}: {printable(culprits[0])}" + (f"; {mend}" if mend else "")
    more = [f"and {len(culprits) - MOST_NAMED} more"] if len(culprits) > MOST_NAMED else []
    more += [mend] if mend else []
    return NEXT_LINE.join([f"{len(culprits)} {what}:", *map(printable, culprits[:MOST_NAMED]), *more])


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
