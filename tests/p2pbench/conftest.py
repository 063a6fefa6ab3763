"""Small datasets of real files, scorers without training, and the command line in processes of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from tests.p2pbench.forked import Forker, forker
from tests.p2pbench.tiny import TINY, Command, picture

if TYPE_CHECKING:  # fixtures import what is slow to import
    from p2pbench.ablation.data import Data
    from p2pbench.config import RunConfig


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of pictures in two folders: 12 to train on, 3 to test on."""
    root = tmp_path_factory.mktemp("folders")
    for split, count in (("train", 12), ("test", 3)):
        for side, shift in (("A", 0), ("B", 100)):
            (root / side / split).mkdir(parents=True)
            for index in range(count):
                Image.fromarray(picture(index + shift)).save(root / side / split / f"p{index:02d}.png")
    return root


@pytest.fixture(scope="session")
def cityscapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels of a few test items in the official folders."""
    from tests.p2pbench import label_files

    folder = tmp_path_factory.mktemp("cityscapes") / "gtFine" / "val" / "ulm"
    folder.mkdir(parents=True)
    for frame in range(label_files.ITEMS):
        ids = Image.fromarray(label_files.scene(frame))
        ids.save(folder / f"{label_files.name(frame)}_gtFine_labelIds.png")
    return folder.parents[2]


@pytest.fixture(scope="session")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from fcn.labels import CITYSCAPES
    from tests.p2pbench.drawn_scorer import make_scorer

    return make_scorer(tmp_path_factory.mktemp("scorer") / "fcn.safetensors", CITYSCAPES, 20)


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scorer whose file says what that of the published weights says."""
    from fcn.labels import CITYSCAPES
    from tests.p2pbench.drawn_scorer import make_scorer

    folder = tmp_path_factory.mktemp("imported")
    return make_scorer(folder / "fcn8s.safetensors", CITYSCAPES, 20, source="imported from fcn-8s.caffemodel")


@pytest.fixture
def tiny(folders: Path) -> Callable[..., RunConfig]:
    """Settings of a training that takes a second."""
    from p2pbench.config import run_config

    def make(**settings: Any) -> RunConfig:  # noqa: ANN401 (any setting)
        return run_config({**TINY, "root": str(folders), "device": "cpu", **settings}, "test")

    return make


@pytest.fixture
def tiny_data(tiny: Callable[..., RunConfig]) -> Data:
    """The data of `tiny`, decoded."""
    from p2pbench.ablation.data import open_data

    return open_data(tiny(), lambda done, total: None)


@pytest.fixture(scope="session")
def prepared() -> Iterator[Forker]:
    """The process that command lines are forked from."""
    with forker() as prepared:
        yield prepared


@pytest.fixture
def p2pbench(prepared: Forker) -> Command:
    """Start the command line in a process of its own."""
    return prepared.start
