"""A small dataset of real files, and the command line as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from p2pbench.ablation.data import Data, open_data
from p2pbench.config import RunConfig, run_config
from tests.p2pbench.tiny import TINY, Command, picture


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


@pytest.fixture
def tiny(folders: Path) -> Callable[..., RunConfig]:
    """Settings of a training that takes a second."""

    def make(**settings: Any) -> RunConfig:  # noqa: ANN401 (any setting)
        return run_config({**TINY, "root": str(folders), "device": "cpu", **settings}, "test")

    return make


@pytest.fixture
def tiny_data(tiny: Callable[..., RunConfig]) -> Data:
    """The data of `tiny`, decoded."""
    return open_data(tiny(), lambda done, total: None)


@pytest.fixture
def p2pbench() -> Command:
    """Start the command line as a user does."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "p2pbench", *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start
