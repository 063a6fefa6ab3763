"""Label maps of other models in all kinds of files, and `label-score` as a call, for tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from fcn.labels import CITYSCAPES, IGNORE
from p2pbench.cli import cli
from p2pbench.datasets.streets.scene import draw_scene
from p2pbench.errors import UserError

Ids = NDArray[np.uint8]


Save = Callable[[Path, Ids], object]


ITEMS = 3


TRAIN_IDS = CITYSCAPES.to_indices(np.arange(34))  # by label id, void is 255


VOC = np.random.default_rng(9).integers(1, 255, (256, 3), dtype=np.uint8)  # any palette that is not the table's


CITIES = ("bonn", "jena", "ulm")  # one an item, as items of one city are a cluster


def name(frame: int) -> str:
    return f"{CITIES[frame % len(CITIES)]}_{frame:06d}_000019"


@cache
def _drawn(frame: int) -> Ids:
    return draw_scene(1, frame, 64).labels


def scene(frame: int) -> Ids:
    """Label ids of a street scene, with the voids of a real one: the car below, the camera's edge."""
    ids = _drawn(frame).copy()
    ids[-5:], ids[:, :2] = 1, 3
    return ids


def predicted(frame: int) -> Ids:
    """What a good model finds: shifted a little, some void, and a pole group where a pole is."""
    ids = np.roll(scene(frame), (1, 2), axis=(0, 1))
    ids[10:12, 20:24] = 0
    ids[ids == 17] = 18
    return ids


def outputs(folder: Path, save: Save) -> Path:
    folder.mkdir()
    for frame in range(ITEMS):
        save(folder / f"{name(frame)}.png", predicted(frame))
    return folder


def score(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, ["label-score", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit | UserError):
        raise result.exception
    return result


def error(*arguments: object) -> str:
    """The one line that a call ends with."""
    result = score(*arguments)
    assert isinstance(result.exception, UserError)
    assert "\n" not in str(result.exception)
    return str(result.exception)


def remarks(result: Result) -> list[str]:
    return [line for line in result.stderr.splitlines() if "label maps:" not in line]


def grey(path: Path, ids: NDArray[Any]) -> None:
    Image.fromarray(ids).save(path)


def three(path: Path, ids: Ids) -> None:
    grey(path, np.repeat(ids[..., None], 3, axis=2))


def with_palette(colours: NDArray[np.uint8]) -> Save:
    """Indices with a palette."""

    def save(path: Path, ids: Ids) -> None:
        image = Image.frombytes("P", ids.shape[::-1], ids.tobytes())
        image.putpalette(colours.tobytes())
        image.save(path)

    return save


def train_ids(void: int, save: Save = grey) -> Save:
    """Train ids with a mark for void; where that is 0, the classes begin at 1."""

    def save_them(path: Path, ids: Ids) -> None:
        indices = TRAIN_IDS[ids]
        save(path, np.where(indices == IGNORE, void, indices + (void == 0)).astype(np.uint8))

    return save_them


def exact(ids: Ids) -> NDArray[np.uint8]:
    return CITYSCAPES.to_colours(ids)


def by_frequency(path: Path, ids: Ids) -> None:
    """Colours as programs that shrink PNG files keep them: a palette in any order."""
    Image.fromarray(CITYSCAPES.to_colours(ids)).convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(path)
