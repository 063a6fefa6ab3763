"""Files of random weights in the places of the published ones, which no test can have: the same code, other numbers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.models import alexnet

from p2pbench.metrics.published import ALEXNET


class _Untrained(FeatureExtractorInceptionV3):  # type: ignore[misc]
    """The network before it loads its file; its own initialiser leaves nothing of a signal in the last layer."""

    def load_state_dict(self, state: Mapping[str, torch.Tensor], strict: bool = True) -> None:
        del state, strict
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            if parameter.ndim == 4:
                torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)


def write_alexnet() -> Path:
    """An AlexNet in torch.hub's folder, which is TORCH_HOME's."""
    ALEXNET.file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_drawn_alexnet(), ALEXNET.file)
    return ALEXNET.file


def write_inception(file: Path) -> Path:
    """An Inception v3 of torch-fidelity's."""
    shutil.copyfile(_drawn_inception(), file)
    return file


@cache
def _drawn_alexnet() -> Path:
    """A file that lasts as long as the tests of this process."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(alexnet(weights=None).state_dict(), file := _folder() / "alexnet.pth")
    return file


@cache
def _drawn_inception() -> Path:
    torch.save({}, file := _folder() / "inception.pth")
    network = _Untrained("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(file))
    torch.save(network.state_dict(), file)
    return file


def _folder() -> Path:
    """Beside the cache of the tests of this process."""
    folder = Path(os.environ["P2PBENCH_CACHE"]).with_name("random-weights")
    folder.mkdir(exist_ok=True)
    return folder
