"""What a device that stops working leaves behind: one line, and our own errors as they are."""

from __future__ import annotations

import pytest
import torch

from p2pbench.errors import UserError
from p2pbench.training.device import DeviceLost, failures_told, pick_device

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "error", [torch.AcceleratorError("CUDA error: gone\nmore"), RuntimeError("cuDNN error: gone\nmore")]
)
def test_a_device_that_fails_is_one_line(error: RuntimeError) -> None:
    with (
        pytest.raises(
            DeviceLost, match=r"^cpu stopped working \(.* error: gone\); .* goes on once it is back$"
        ) as raised,
        failures_told(CPU),
    ):
        raise error
    assert "\n" not in str(raised.value)


def test_our_own_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shape mismatch"), failures_told(CPU):
        raise RuntimeError("shape mismatch")
    with failures_told(CPU):
        pass


@pytest.mark.parametrize("name", ["meta", "mps", "nothing"])
def test_devices_whose_numbers_were_not_checked_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=rf"^device '{name}' .*; expected auto, cpu, or cuda$"):
        pick_device(name)
