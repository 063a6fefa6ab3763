"""Published networks and their weight files, downloaded once and checked."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError

from torch import hub

from fcn.weights import UNREADABLE, read, reason
from p2pbench.errors import UserError
from reports.store import made

EXTRA = "pip install 'p2pbench[perceptual]'"


class Published(NamedTuple):
    """Published weights of a network.

    The file's name ends in the first digits of its SHA-256.

    Attributes:
        network: The network's name.
        url: Where its weights are published.
        package: The package that computes with it.
        needed_by: The metric that needs it, with the verb.
    """

    network: str
    url: str
    package: str
    needed_by: str

    @property
    def file(self) -> Path:
        """Path of the file in the folder of torch.hub."""
        return Path(hub.get_dir()) / "checkpoints" / self.url.rsplit("/", 1)[1]

    def require_package(self) -> None:
        """Raise `MissingPackage` unless the package is installed."""
        if find_spec(self.package) is None:
            name = self.package.replace("_", "-")
            raise MissingPackage(f"{self.needed_by} the package {name}; run `{EXTRA}`")

    def require_weights(self) -> None:
        """Raise `MissingWeights` unless the file is there."""
        if not self.file.exists():
            raise MissingWeights(f"{self.needed_by} the weights of {self.network}, which are not at {self.file}")

    def download(self) -> None:
        """Download the file unless it is there.

        Raises:
            UserError: it cannot be fetched, or what came is another file.
        """
        if self.file.exists():
            return
        digits = self.file.stem.rsplit("-", 1)[1]
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            hub.download_url_to_file(self.url, str(self.file), digits)
        except (OSError, RuntimeError) as error:  # a URLError is an OSError; RuntimeError is another file
            detail = error.reason if isinstance(error, URLError) else error
            raise UserError(
                f"{self.url}: the weights of {self.network} cannot be downloaded ({detail}); check the network, or put "
                f"the file at {self.file}"
            ) from error


ALEXNET = Published(
    "AlexNet", "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth", "torchmetrics", needed_by="LPIPS needs"
)


INCEPTION = Published(
    "Inception v3",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    "torch_fidelity",
    needed_by="FID and KID need",
)


def check_weights(file: Path, network: str) -> str:
    """Check that a file holds only tensors, and hash it.

    Raises:
        UserError: it is missing or damaged, or holds code.
    """
    try:
        read(file)
        return made.sha256(file)
    except UNREADABLE as error:
        raise not_weights(file, network, error) from error


def not_weights(file: Path, network: str, error: Exception) -> UserError:
    """Error for a file that does not hold a network's weights."""
    return UserError(
        f"{file}: found no weights of {network} ({reason(error, file)}), expected the published file; put that there, "
        "or remove this one and download it again"
    )


class Missing(Exception):
    """A scorer cannot score here, or not these pictures.

    The message is one line with the reason and the fix.
    """


class MissingPackage(Missing):
    """A package of the extra is not installed."""


class MissingWeights(Missing):
    """A published file of weights has not been downloaded."""
