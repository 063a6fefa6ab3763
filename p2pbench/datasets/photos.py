"""Datasets made from any photos: colorization, inpainting, edges."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from p2pbench.datasets import pictures, transforms
from p2pbench.datasets.dataset import Dataset, DatasetSample, Item, Split, square
from p2pbench.datasets.decoders import Picture
from p2pbench.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

HELD_OUT = 10  # without folders of splits every tenth photo, by name, is a test item
AB_LIMIT = 110.0  # ab/110 is in [-1, 1] for every sRGB colour (docs/paper-protocol.md#released-code)
FULL = 65535
CANNY_SIGMA = 2.0


class Photos(Dataset):
    """Photos below a root, in split folders or not.

    With `train/` and `val/` or `test/`, or just photos, of which every tenth is a test item.
    """

    layout = "train/ and val/ or test/ with photos, or photos alone (every tenth is then held out for test)"

    @classmethod
    def channels(cls, direction: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Allow colour or grey."""
        return (1, 3), (1, 3)

    def items(self, split: Split) -> list[Item]:
        """List the photos of a split, found in all folders below it.

        Raises:
            UserError: A split to test on is named, and there are no folders of splits.
        """
        if (self.root / "train").is_dir():
            found = list(self.find(self.split_folder(split)).items())
        elif self.test_split is not None:
            raise UserError(
                f"{self.root}: found no train/, so that every tenth photo is the test, but test_split = "
                f"{self.test_split!r}, which then has no effect; leave it out, or make train/ and {self.test_split}/"
            )
        else:
            everything = list(self.find(self.root).items())
            testing = split == "test"
            found = [entry for i, entry in enumerate(everything, 1) if (i % HELD_OUT == 0) == testing]
        return [Item(id_, (path,)) for id_, path in found]

    def photo(self, item: Item, size: int | None) -> Picture:
        """Read the photo in colour, resized, 8 bits."""
        file = item.files[0]
        return square(_in_colour(pictures.read(file), file), size)

    def from_picture(self, picture: Picture, file: Path) -> Picture:
        """Convert a photo to colour, as in training."""
        return _in_colour(picture, file)


def _in_colour(photo: Picture, file: Path) -> Picture:
    photo = transforms.convert(photo, 3, file)
    if photo.dtype != np.uint8:
        raise UserError(
            f"{file}: found 16 bits a channel, expected 8; convert the photos (the dataset folders takes 16)"
        )
    return photo


class Colorization(Photos):
    """Grey to colour in CIE Lab: input L, target ab.

    Stored at 16 bits, so that rounding never shows.

    Networks get L/50 - 1 and ab/110 (docs/paper-protocol.md#released-code): 0..65535 spans both ranges, so the common
    scaling to [-1, 1] gives exactly these.
    """

    name = "colorization"
    about = "any photos: grey to colour in Lab"
    own_scale = True
    directions = ("grey-to-colour",)
    note = "L/50 - 1 in, ab/110 out; the picture kept is Lab with the input's L, clipped to sRGB"

    @classmethod
    def channels(cls, direction: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Allow L to ab alone."""
        return (1,), (2,)

    def load(self, item: Item, size: int | None) -> DatasetSample:
        """Load L (H, W, 1) and ab (H, W, 2), 16 bits."""
        lightness, ab = split_lab(self.photo(item, size))
        return DatasetSample(lightness, ab, None)

    def to_picture(self, input_: Picture, output: Picture) -> Picture:
        """Join L and ab to an RGB picture of 8 bits."""
        return join_lab(input_, output)

    def input_picture(self, input_: Picture) -> Picture:
        """Convert L to a grey picture of 8 bits."""
        return join_lab(input_, np.full((*input_.shape[:2], 2), FULL / 2, np.uint16))

    def from_picture(self, picture: Picture, file: Path) -> Picture:
        """Convert a photo to L."""
        return split_lab(_in_colour(picture, file))[0]


def split_lab(photo: Picture) -> tuple[Picture, Picture]:
    """Split an RGB photo into L (H, W, 1) and ab (H, W, 2).

    0..65535 spans L 0..100 and a, b -110..110.
    """
    from skimage.color import rgb2lab  # imports SciPy, which a list of datasets does not need

    lab = rgb2lab(photo)
    lightness = lab[..., :1] / 100
    ab = lab[..., 1:] / (2 * AB_LIMIT) + 0.5
    return _sixteen_bits(lightness), _sixteen_bits(ab)


def _sixteen_bits(shares: NDArray[np.floating]) -> Picture:
    values: Picture = np.rint(np.clip(shares, 0, 1) * FULL).astype(np.uint16)
    return values


def join_lab(lightness: Picture, ab: Picture) -> Picture:
    """Join L and ab to an RGB photo (H, W, 3).

    The inverse of `split_lab`, of 8 bits; colours outside sRGB are clipped.
    """
    from skimage.color import lab2rgb

    lab = np.concatenate([lightness / FULL * 100, (ab / FULL - 0.5) * 2 * AB_LIMIT], axis=2)
    with warnings.catch_warnings():  # clipping is intended
        warnings.filterwarnings("ignore", ".*negative Z values", UserWarning)
        rgb: NDArray[np.float64] = lab2rgb(lab)
    return np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)


class Inpainting(Photos):
    """Photos whose central square (half the side) is white."""

    name = "inpainting"
    about = "any photos: fill the missing centre"
    directions = ("hole-to-photo",)
    note = "the central half of either side is set to +1 after the crop"

    def load(self, item: Item, size: int | None) -> DatasetSample:
        """Load the photo twice.

        The hole is made after the crop, so that it stays central.
        """
        photo = self.photo(item, size)
        return DatasetSample(photo, photo, None)

    def finish_input(self, batch: Tensor) -> Tensor:
        """Make the hole: of 256x256 the central 128x128 (docs/paper-protocol.md#released-code)."""
        batch = batch.clone()
        height, width = batch.shape[-2:]
        batch[..., height // 4 : height - height // 4, width // 4 : width - width // 4] = 1.0
        return batch

    def input_picture(self, input_: Picture) -> Picture:
        """Make the hole in a picture for display."""
        height, width = input_.shape[:2]
        holed = input_.copy()
        holed[height // 4 : height - height // 4, width // 4 : width - width // 4] = 255
        return holed


class Edges(Photos):
    """Edge maps to photos.

    The edges are Canny's, where the paper used HED.
    """

    name = "edges"
    about = "any photos: their edges to the photo"
    directions = ("edges-to-photo",)
    note = f"edges by scikit-image's Canny, sigma {CANNY_SIGMA:g}, on the resized photo; the paper used HED"

    def load(self, item: Item, size: int | None) -> DatasetSample:
        """Load edges (H, W, 1), black on white, and the photo."""
        photo = self.photo(item, size)
        return DatasetSample(edge_map(photo), photo, None)

    def from_picture(self, picture: Picture, file: Path) -> Picture:
        """Take a grey picture as an edge map.

        Find the edges of a photo.
        """
        return picture if picture.shape[2] == 1 else edge_map(_in_colour(picture, file))


def edge_map(photo: Picture) -> Picture:
    """Find the edges (H, W, 1) of an RGB photo.

    0 on an edge, 255 elsewhere.
    """
    from skimage.feature import canny

    grey = transforms.convert(photo, 1, "photo")[..., 0] / 255.0
    return np.where(canny(grey, sigma=CANNY_SIGMA), 0, 255).astype(np.uint8)[..., None]
