"""The weights of the networks that scorers see with: files that their authors publish, and that we never carry.

They lie where torch keeps its downloads, so that other programs' copies are found. Nothing is downloaded unasked. What
is missing is known without the packages of the extra, whose import takes as long as a run's image scores.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError

from torch import hub

from p2pbench.errors import UserError
from p2pbench.metrics.missing import MissingPackage, MissingWeights

EXTRA = "pip install 'p2pbench[perceptual]'"


class Published(NamedTuple):
    """A network's weights on the web; the file's name ends in the first digits of its SHA-256.

    Attributes:
        network: The network's name.
        url: Where its weights are published.
        package: The package that computes with it.
        needed_by: What needs it, with the verb.
    """

    network: str
    url: str
    package: str
    needed_by: str

    @property
    def file(self) -> Path:
        """Where torch.hub puts and finds the file."""
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
        """Fetch the file unless it is there.

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
