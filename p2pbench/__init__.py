"""p2pbench: train, score, study and report image-to-image translation models.

From Python: the functions below, one per command of the chain; docs/api.md has an example of each. From a shell:
`p2pbench --help`. The package is the top floor of the house: it knows `fcn`, `amt` and `reports`, and none of them
knows it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from p2pbench.installation import VERSION, check_siblings

if TYPE_CHECKING:
    from p2pbench.ablation.runner import train_grid
    from p2pbench.config import GridConfig, RunConfig
    from p2pbench.scoring.score import image_score, segmentation_score
    from p2pbench.training.generated_folder import generate
    from p2pbench.training.inference import load_generator
    from reports.html import write_report
    from reports.tidy import read_scores

__version__ = VERSION

check_siblings()  # before anything imports them

__all__ = [
    "GridConfig",
    "RunConfig",
    "generate",
    "image_score",
    "load_generator",
    "read_scores",
    "segmentation_score",
    "train_grid",
    "write_report",
]

# Where each name is imported from on first use, so that `import p2pbench` loads neither PyTorch nor pandas.
_HOMES = {
    "GridConfig": "p2pbench.config",
    "RunConfig": "p2pbench.config",
    "generate": "p2pbench.training.generated_folder",
    "image_score": "p2pbench.scoring.score",
    "load_generator": "p2pbench.training.inference",
    "read_scores": "reports.tidy",
    "segmentation_score": "p2pbench.scoring.score",
    "train_grid": "p2pbench.ablation.runner",
    "write_report": "reports.html",
}


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'p2pbench' has no attribute {name!r}")
    return globals().setdefault(name, getattr(import_module(_HOMES[name]), name))


def __dir__() -> list[str]:
    """List the public names, imported or not, for completion."""
    return sorted({*globals(), *__all__})
