"""A wish to stop is heard before the training begins too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from p2pbench.ablation.data import Data, KeptData
from p2pbench.config import RunConfig
from p2pbench.runtime.files import owned
from p2pbench.runtime.interrupt import Stopped, StopRequest
from p2pbench.training.records import write_run
from reports.store.layout import Run

Tiny = Callable[..., RunConfig]


def test_while_another_process_holds_the_run(tiny: Tiny, tiny_data: Data, tmp_path: Path) -> None:
    run = Run(tmp_path, "L1", 0)
    write_run(run, tiny(), tiny_data.items.describe())
    stop = StopRequest()
    stop.requested = True
    held = owned(run, 0.0, stop)  # it is free: whoever has it saves and stops by itself
    with held, pytest.raises(Stopped, match="rerun the same command to resume"), owned(run, 600.0, stop):
        pass


def test_while_pictures_are_decoded(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P2PBENCH_CACHE", str(tmp_path))
    kept = KeptData()

    def advance(done: int, total: int) -> None:
        if done == 2:
            raise Stopped("stopped")

    with pytest.raises(Stopped):
        kept.of(tiny(), advance)
    assert not any(path.is_dir() for path in tmp_path.iterdir())  # hashes of files may be kept
    assert len(kept.of(tiny()).train) == 12
