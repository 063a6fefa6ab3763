"""Names that files and folders give never reach the terminal as commands to it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from amt.statistics import table
from p2pbench.cli import main
from p2pbench.runtime.terminal import Terminal
from p2pbench.scoring.confusion_scores import class_rows
from p2pbench.scoring.score_table import print_classes
from tests.amt.answers import drawn, put
from tests.p2pbench.generating import saved

RED, WRITTEN = "\x1b[31mred", r"\x1b[31mred"


def printed(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int | str | None, str]:
    """The exit code of a command, and all that it prints."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments])
    out, err = capfd.readouterr()
    assert "\x1b" not in out + err
    return ended.value.code, out + err


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # else `main` sets how threads wait, for later tests too
    monkeypatch.setenv("NO_COLOR", "1")


def test_errors_name_files_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    torch.save({f"{RED}\n": torch.zeros(1)}, tmp_path / "net.pth")
    code, said = printed(capfd, "generator-import", str(tmp_path / "net.pth"), str(tmp_path / "out"))
    assert code == 1
    assert WRITTEN in said
    assert said.count("\n") == 1
    code, said = printed(capfd, "report", str(tmp_path / f"{RED}\nsecond line"))
    assert code == 1
    assert rf"{WRITTEN}\nsecond line" in said
    assert said.count("\n") == 1


def test_remarks_name_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    generator = saved(tmp_path / "g.safetensors")
    (tmp_path / "in").mkdir()
    Image.fromarray(np.zeros((32, 64), np.uint8)).save(tmp_path / "in" / f"{RED}.png")
    (tmp_path / "in" / f"broken{RED}.png").touch()
    code, said = printed(
        capfd, "generate", str(generator), str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--device", "cpu"
    )
    assert code == 1
    assert f"brought to 3: {WRITTEN}.png" in said
    assert f"{WRITTEN}.png: is twice as wide as high" in said
    assert f"broken{WRITTEN}.png: found an empty file" in said


def test_cells_of_a_grids_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "g.toml").write_text(
        'title = "x"\n[settings]\nimage_size = 32\nngf = 2\nreceptive_field = 16\ntrain_items = 4\nepochs = 1\n'
        '[cells."\\u001b[31mred"]\n'
    )
    dry = ("train-ablation", str(tmp_path / "g.toml"), "--dry-run", "--device", "cpu")
    code, said = printed(capfd, *dry, "--out", str(tmp_path / "out"))
    assert code == 0
    assert WRITTEN in said


def test_algorithms_of_a_table_of_answers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    rows = [row for name in (RED, "plain") for row in drawn(name, 4, 8, 8, 0.3, rng)]
    put(table.build(rows), tmp_path / "answers.csv")
    code, said = printed(capfd, "amt", "analyse", str(tmp_path / "answers.csv"))
    assert code == 0
    assert WRITTEN in said


def test_progress(capfd: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    with terminal.watching():
        terminal.say(RED)
        terminal.count(f"{RED}: pictures", 1, 1)
    out, err = capfd.readouterr()
    assert "\x1b" not in out + err
    assert err == f"{WRITTEN}\n{WRITTEN}: pictures: 1/1\n"


def test_classes_of_a_scorer() -> None:
    shown = io.StringIO()
    console = Console(file=shown, width=120)
    matrices = {"a": np.array([[3, 1], [0, 2], [0, 0]], np.int64)}
    print_classes(RED, class_rows(matrices, "strict", [RED, "other"]), console)
    assert "\x1b" not in shown.getvalue()
    assert shown.getvalue().count(WRITTEN) == 2
