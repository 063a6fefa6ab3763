"""`fcn-score --self-test`: what a scorer sees in real photos."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from p2pbench.cli import cli
from tests.p2pbench.drawn_scorer import make_cityscapes, score

CEILING = "nothing is expected: the ceiling of what outputs can reach with this scorer"


def test_the_self_test_tells_a_scorer_that_learned_nothing(scorer: Path) -> None:
    result = score("--self-test", "--dataset", "streets", "--test-items", "3", "--weights", scorer)
    lines = result.stdout.splitlines()
    assert lines[1].split() == ["labels", "against", "themselves", "1.000", "1.000", "1.000", "right"]
    assert lines[3].endswith("WRONG")
    accuracy, iou = (value + 0.05 * (1 - value) for value in map(float, lines[6].split()[2:4]))  # from chance
    place = "hardly above chance: class accuracy above (.*) and class IoU above (.*) are expected"
    said = re.fullmatch(rf"  {re.escape(CEILING)}; {place} \(shuffled labels\)", lines[4])
    assert said is not None, lines[4]
    assert [float(value) for value in said.groups()] == pytest.approx([accuracy, iou], abs=2e-3)
    assert lines[5].startswith("shuffled labels")
    assert lines[5].endswith("right")
    assert str(result.exception).startswith("the self-test failed; look at")
    assert str(result.exception).endswith("; look at the scorer's training: drawn")


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scorer that was trained on street scenes for a few steps."""
    out = tmp_path_factory.mktemp("weak") / "weak.safetensors"
    options = ["--photo-size", "64", "--width", "0.05", "--init", "scratch", "--epochs", "3", "--batch-size", "2"]
    where = ["--dataset", "streets", "--train-items", "16", "--device", "cpu", "--out", str(out)]
    assert CliRunner().invoke(cli, ["fcn-train", *where, *options]).exit_code == 0
    return out


@pytest.mark.long
def test_the_self_test_warns_of_a_weak_scorer(weak: Path) -> None:
    result = score("--self-test", "--dataset", "streets", "--test-items", "3", "--weights", weak)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    pixel, accuracy, _ = (float(word) for word in lines[3].split()[2:])  # nothing was expected, so nothing is "right"
    assert 0.25 < pixel < 0.7
    assert lines[4] == f"  {CEILING}; above chance (shuffled labels)"
    assert accuracy > 0.1 + float(lines[5].split()[3])
    (warning,) = [line for line in result.stderr.splitlines() if line.startswith("warning")]
    assert f"gets {100 * pixel:.1f} % of the pixels of real photos right" in warning
    assert "expected 80 % or more" in warning


@pytest.mark.long
def test_the_self_test_compares_cityscapes_with_the_paper(tmp_path: Path, scorer: Path, imported: Path) -> None:
    root = make_cityscapes(tmp_path / "cityscapes", 500, 33)
    own = score("--self-test", "--dataset", "cityscapes", "--root", root, "--weights", scorer)
    assert "0.800" not in own.stdout
    result = score("--self-test", "--dataset", "cityscapes", "--root", root, "--weights", imported)
    lines = result.stdout.splitlines()
    assert lines[3].endswith("WRONG")
    assert lines[4].split() == ["expected", "0.800", "0.260", "0.210"]
    said = str(result.exception)
    assert "look at the weights: import fcn-8s-cityscapes.caffemodel as published" in said
    assert "\n" not in said
