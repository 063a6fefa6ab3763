"""What a device that stops working leaves behind: one line, and our own errors as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from p2pbench.errors import UserError
from p2pbench.runtime.device import DeviceLost, device_errors, pick_device
from tests.p2pbench.tiny import Command

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "error", [torch.AcceleratorError("CUDA error: gone\nmore"), RuntimeError("cuDNN error: gone\nmore")]
)
def test_a_device_that_fails_is_one_line(error: RuntimeError) -> None:
    with (
        pytest.raises(
            DeviceLost, match=r"^cpu stopped working \(.* error: gone\); .* rerun the same command once it is back$"
        ) as raised,
        device_errors(CPU),
    ):
        raise error
    assert "\n" not in str(raised.value)


def test_our_own_errors_pass() -> None:
    with pytest.raises(RuntimeError, match="shape mismatch"), device_errors(CPU):
        raise RuntimeError("shape mismatch")
    with device_errors(CPU):
        pass


@pytest.mark.parametrize("name", ["meta", "mps", "nix", "xpu", "cpu:3", "CUDA", "cuda:x", "", "mps:0", "cuda:-1"])
def test_devices_whose_numbers_were_not_checked_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=rf"^device '{name}' is not one whose gradients were checked; expected auto, "):
        pick_device(name)


@pytest.mark.parametrize("name", ["cuda:99", *(["cuda"] if not torch.cuda.is_available() else [])])
def test_gpus_that_are_not_here_are_refused(name: str) -> None:
    with pytest.raises(
        UserError, match=rf"^device '{name}' is not here: PyTorch finds {torch.cuda.device_count()} GPU"
    ):
        pick_device(name)


@pytest.mark.parametrize("name", ["mps", "nix", "cuda:99"])
def test_a_command_says_it_in_one_line_before_it_reads_anything(name: str, tmp_path: Path, p2pbench: Command) -> None:
    results = str(tmp_path / "results")
    for arguments in (
        ["train-ablation", "losses", "--out", results, "--device", name],
        ["image-score", results, "--device", name],
        ["fcn-score", results, "--device", name],
        ["generate", results, results, "--out", results, "--device", name],
        ["fcn-train", "--dataset", "streets", "--out", results, "--device", name],
    ):
        process = p2pbench(*arguments)
        out, err = process.communicate()
        assert (process.returncode, out) == (1, "")
        (line,) = err.splitlines()
        assert line.startswith(f"Error: device '{name}' is not ")
    assert not (tmp_path / "results").exists()
