"""What all tests share: kinds, caches of their own, no haste, and real photos where there are any."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

# Tiny networks: a second thread costs more than it gives, most of all on a busy machine. Before torch is imported,
# and for the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"
# Ray's workers yield to all else (15), so beside other tests they would hardly run.
os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - as Ray spells it

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402
from xdist.scheduler import LoadFileScheduling  # noqa: E402

from tests.browser import close_shared_browser  # noqa: E402
from tests.patience import PATIENCE  # noqa: E402

# How long an example takes says more about the machine than about the code.
settings.register_profile("unhurried", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

ROOT = Path(__file__).parent.parent

KINDS = {
    "ray": {"cluster"},
    "process": {"prepared", "postgresql", "empty_postgresql", "unhurried_server"},
    "browser": {"browser", "chromium"},
    "long": {"spied", "rich"},
}
"""Fixtures that make a test one of this kind."""

COST = {"ray": 20, "process": 6, "long": 2, "browser": 2}
"""About how many seconds a test of a kind takes."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark a test by the fixtures that it uses."""
    used = set(getattr(item, "fixturenames", ()))
    if "[postgresql" in item.name:  # a parameter of `database`
        used.add("postgresql")
    for kind, fixtures in KINDS.items():
        if used & fixtures:
            item.add_marker(kind)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process ends long after the others."""
    cost: Counter[Path] = Counter()
    for item in items:
        cost[item.path] += sum(COST.get(mark.name, 0) for mark in item.iter_markers())
    items.sort(key=lambda item: -cost[item.path])  # stable: the tests of a file keep their order


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Look for garbage among what is imported once, not time and again: most of a million objects stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


class _OneRayAtATime(LoadFileScheduling):  # type: ignore[misc]
    """One process runs a file's tests, and one runs all files with Ray clusters: two clusters fill a small machine."""

    def _split_scope(self, nodeid: str) -> str:
        return "ray" if "/test_ray_" in nodeid else str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)  # without xdist nobody calls it
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:  # noqa: ANN401
    """Spread the tests over processes."""
    return _OneRayAtATime(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Close the browser that tests share behind the last file of a row that needs it."""
    result = yield
    if nextitem is None or (nextitem.path != item.path and nextitem.get_closest_marker("browser") is None):
        close_shared_browser()
    return result


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decoded pictures of tests go where tests go, and nobody's weights change what tests see."""
    os.environ["P2PBENCH_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["TORCH_HOME"] = str(tmp_path_factory.mktemp("torch"))


@pytest.fixture(scope="session", autouse=True)
def _no_wait_for_the_disk() -> Iterator[None]:
    """Files of tests need not outlast a power cut; a descriptor that is none is an error still."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)
        yield


@pytest.fixture(scope="session")
def unhurried_server() -> Iterator[None]:
    """Rehearsals wait for their server, which is a process of its own, for as long as tests wait."""
    from amt.simulation import simulate as rehearsal

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rehearsal, "_START_SECONDS", PATIENCE)
        yield


@pytest.fixture(scope="session")
def camvid() -> Path:
    """The folder of CamVid, from P2PBENCH_CAMVID or beside the repository."""
    folder = Path(os.environ.get("P2PBENCH_CAMVID") or ROOT.parent / "shared" / "data" / "camvid")
    if not (folder / "train").is_dir():
        pytest.skip(f"CamVid is not at {folder}; set P2PBENCH_CAMVID to its folder")
    return folder
