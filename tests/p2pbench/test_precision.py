"""Which precision a run gets: what it began in, else what the device has, or all devices that may be given to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from p2pbench.ablation.grid import PlannedRun
from p2pbench.ablation.run import as_begun
from p2pbench.config import RunConfig
from p2pbench.errors import UserError
from p2pbench.runtime.precision import ALL, Precisions, chosen, precisions_of_any
from p2pbench.training.records import RunRecord
from reports.store.layout import Run

Tiny = Callable[..., RunConfig]
NEW = Precisions("cuda:0", ALL, "bf16")
OLD = Precisions("cuda:0", ("float32",), "float32")


def test_of_several_machines_auto_takes_what_all_have_and_one_that_has_it_is_enough_for_the_rest(tiny: Tiny) -> None:
    assert precisions_of_any("the cluster", [NEW, NEW]) == Precisions("the cluster", ALL, "bf16")
    mixed = precisions_of_any("the cluster", [NEW, OLD])
    assert mixed == Precisions("the cluster", ALL, "float32")
    assert chosen(tiny(), mixed).precision == "float32"
    assert chosen(tiny(precision="bf16"), mixed).precision == "bf16"
    old = precisions_of_any("the cluster", [OLD, OLD])
    with pytest.raises(UserError, match="key 'precision': the cluster has no bf16; expected auto, float32$"):
        chosen(tiny(precision="bf16"), old)


DATA = {split: {"n": 1, "hash": ""} for split in ("train", "test")}


@pytest.mark.parametrize(
    ("recorded", "there", "expected"),
    [(None, NEW, "bf16"), ("auto", NEW, "tf32"), ("auto", OLD, "float32"), ("float32", NEW, "float32")],
)
def test_a_run_goes_on_in_what_it_began_in(
    tiny: Tiny, tmp_path: Path, recorded: str | None, there: Precisions, expected: str
) -> None:
    planned = PlannedRun(Run(tmp_path, "L1", 0), tiny())
    made = (
        []
        if recorded is None
        else [(planned.run, RunRecord(settings=tiny(precision=recorded), data=DATA, versions={}))]
    )
    planned.run.checkpoint.touch()
    assert as_begun(planned, there, made).precision == expected
