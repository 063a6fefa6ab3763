"""The losses grid on CamVid by one command, at a tiny size: photos made up, everything else real."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import camvid
from tests.p2pbench.tiny import TINY, picture
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]
CELLS = ("L1", "GAN", "cGAN", "L1+GAN", "L1+cGAN")


def camvid_like(root: Path) -> Path:
    for folder, count in (("train", 4), ("test", 6)):
        for name in (folder, f"{folder}annot"):
            (root / name).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(picture(index)).save(root / folder / f"n{index}.png")
            classes = np.random.default_rng(index).integers(0, 12, (5, 5), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            Image.fromarray(classes).save(root / f"{folder}annot" / f"n{index}.png")
    return root


@pytest.mark.process
def test_a_call_after_a_failure_goes_on_and_seconds_add_up(tmp_path: Path) -> None:
    record = tmp_path / "seconds.json"
    works, fails = ["--version"], ["no-such-command"]
    with pytest.raises(SystemExit) as ended:
        camvid.carry_out({"first": works, "second": fails, "third": works}, record)
    assert ended.value.code == 2
    before = json.loads(record.read_text())
    assert before.keys() == {"first", "second"}
    assert min(before.values()) > 0
    after = camvid.carry_out({"first": works, "second": works, "third": works}, record)
    assert json.loads(record.read_text()) == after
    assert list(after) == ["first", "second", "third"]
    assert all(after[name] > before[name] for name in before)


@pytest.mark.process
def test_one_command_trains_scores_and_writes_the_page(tmp_path: Path) -> None:
    root, out, page = camvid_like(tmp_path / "camvid"), tmp_path / "out", tmp_path / "camvid.md"
    small = {key: TINY[key] for key in ("image_size", "ngf", "ndf", "receptive_field")}
    settings = [part for key, value in small.items() for part in ("--set", f"{key}={value}")]
    line = [
        *[sys.executable, str(ROOT / "benchmarks" / "camvid.py"), str(root), "--out", str(out), "--page", str(page)],
        *["--init", "scratch", "--scorer-width", "0.0625", "--scorer-epochs", "1", "--set", "epochs=1", *settings],
        *["--scorer-photo-size", "32", "--parallel", "1"],
    ]
    ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 0, ended.stderr
    assert (out / "report" / "index.html").exists()
    written = page.read_text()
    tables = [part.split(" |")[0] for part in written.split("\n| ")]
    for cell in CELLS:
        assert tables.count(cell) == 2, written  # the FCN-score's table, and that of the pictures
    assert tables.count("real") == 1
    assert " nan" not in written
    shots = re.findall(r"\]\((.*)\)", written)
    assert len(shots) == 3
    for shot in shots:
        with Image.open(page.parent / shot) as picture_:
            assert picture_.size == (1440, 900)
