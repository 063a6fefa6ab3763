"""What all tests share: caches of their own, no haste, and real photos where there are any."""

from __future__ import annotations

import os
from pathlib import Path

# Tiny networks: a second thread costs more than it gives, most of all on a busy machine. Before torch is imported,
# and for the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

# How long an example takes says more about the machine than about the code.
settings.register_profile("unhurried", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decoded pictures of tests go where tests go, and nobody's weights change what tests see."""
    os.environ["P2PBENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["TORCH_HOME"] = str(tmp_path_factory.mktemp("torch"))


@pytest.fixture(scope="session")
def camvid() -> Path:
    """The folder of CamVid, from P2PBENCH_CAMVID or beside the repository."""
    folder = Path(os.environ.get("P2PBENCH_CAMVID") or ROOT.parent / "shared" / "data" / "camvid")
    if not (folder / "train").is_dir():
        pytest.skip(f"CamVid is not at {folder}; set P2PBENCH_CAMVID to its folder")
    return folder
