"""Names of files in any encoding, and files that are not read: what is found, what is said, and how far ids get."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import reports
from p2pbench.config import GridConfig, run_config
from p2pbench.datasets import pictures
from p2pbench.datasets.catalogue import open_dataset
from p2pbench.errors import UserError
from p2pbench.runtime.terminal import Terminal
from p2pbench.scoring.outputs import PlainFolder, folder_outputs
from p2pbench.scoring.truth import open_truth
from p2pbench.study.new_study import from_folders
from reports import html
from tests.deep_folder import deep_folder
from tests.p2pbench.grids import image_score, run_grid
from tests.p2pbench.test_ablation import Notes
from tests.p2pbench.tiny import TINY, picture

LATIN_1, SHIFT_JIS = b"caf\xe9", b"\x93\xfa\x96{"
ENDINGS = ".bmp .jfif .jpeg .jpg .pgm .png .ppm .tif .tiff .webp"


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def save(folder: Path, name: bytes, seed: int = 0) -> None:
    path = os.path.join(os.fsencode(folder), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        Image.fromarray(picture(seed)).save(file, "PNG")


def test_pictures_are_found_below_folders_and_links(tmp_path: Path) -> None:
    touch(
        tmp_path, "photos/z.png", "photos/bonn/left/0001.png", "photos/.git/x.png", "elsewhere/y.png", "photos/a.0.JPG"
    )
    (tmp_path / "photos" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "bonn" / "loop").symlink_to(tmp_path / "photos")
    found = pictures.find_recursive(tmp_path / "photos")
    assert list(found) == ["a.0", "bonn__left__0001", "linked__y", "z"]
    assert found["a.0"] == tmp_path / "photos" / "a.0.JPG"
    touch(tmp_path, "photos/linked__y.png")
    with pytest.raises(UserError, match="both have the item id 'linked__y'"):
        pictures.find_recursive(tmp_path / "photos")
    with pytest.raises(UserError, match="found no such folder"):
        pictures.find_recursive(tmp_path / "missing")


def test_equal_stems_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "a.jpg")
    with pytest.raises(UserError, match=r"a\.jpg and .*a\.png: both have the item id 'a'; rename or remove one"):
        pictures.find_recursive(tmp_path)


def test_what_is_passed_over_is_counted_by_reason(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.jfif", "c.GIF", "d.gif", "e.jp2", "._a.png", "sub/f", "sub/.git/x.png", "sub/g.heic")
    touch(tmp_path, "list.txt", "list.csv", "classes.json", ".DS_Store")
    passed_over: Counter[str] = Counter()
    assert list(pictures.find_recursive(tmp_path, passed_over)) == ["a", "b"]
    expected = {".gif": 2, ".jp2": 1, "hidden pictures": 1, "hidden folders": 1, "no ending": 1, ".heic": 1}
    assert passed_over == expected
    line = pictures.passed_over_line(tmp_path, Counter({".gif": 2, "no ending": 1}))
    assert line == f"{tmp_path}: passed over .gif (2), no ending (1); read are {ENDINGS}"
    assert pictures.passed_over_line(tmp_path, Counter()) == ""


def test_a_folder_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    too_deep = deep_folder(tmp_path)
    with pytest.raises(UserError, match="the folder cannot be opened .File name too long.; make it readable"):
        pictures.find_recursive(too_deep)


def test_twins_match_across_folders_and_collide_in_one(tmp_path: Path) -> None:
    composed = "\u00fcber \u00e9"
    for split in ("train", "test"):
        save(tmp_path / "A" / split, f"{composed}.png".encode())
        save(tmp_path / "B" / split, f"{unicodedata.normalize('NFD', composed)}.png".encode())
    dataset = open_dataset(run_config({"dataset": "folders", "root": str(tmp_path)}, "test"))
    (item,) = dataset.items("train")
    assert item.id == composed
    assert [unicodedata.is_normalized("NFC", file.stem) for file in item.files] == [True, False]
    save(tmp_path / "A" / "train", f"{unicodedata.normalize('NFD', composed)}.png".encode())
    with pytest.raises(UserError, match=r"\(as bytes b'u\\xcc\\x88ber e\\xcc\\x81.png' and b'\\xc3\\xbcber"):
        dataset.items("train")


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_names_as_long_as_they_can_be_are_written(tmp_path: Path, suffix: str) -> None:
    values = np.zeros((3, 4, 3), np.uint8 if suffix == "png" else np.uint16)
    path = pictures.write(tmp_path / ("é" * 125 + "x"), values)
    assert len(os.fsencode(path.name)) == 255
    assert np.array_equal(pictures.read(path), values)


@pytest.mark.long
def test_any_name_gets_from_training_to_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P2PBENCH_CACHE", str(tmp_path / "cache"))
    names = [LATIN_1, SHIFT_JIS, b"x" * 251, b"deep/er/a", b'<b>&"q', b"two\nlines", b"\x1b[31mred", "日本".encode()]
    for split in ("train", "test"):
        for side in ("A", "B"):
            for seed, name in enumerate(names):
                save(tmp_path / "root" / side / split, name + b".png", seed)
    touch(tmp_path / "root" / "A" / "train", "e.gif")
    ids = {"caf%E9", "%93%FA%96{", "x" * 251, "deep__er__a", '<b>&"q', "two\nlines", "\x1b[31mred", "日本"}
    notes, results = Notes(), tmp_path / "results"
    settings = {**TINY, "root": str(tmp_path / "root"), "device": "cpu", "epochs": 1, "objective": "L1"}
    grid = run_grid(results, "any", GridConfig(title="Names", cells={"L1": {}}), "test", settings, [0], notes)
    assert f"{tmp_path}/root/A/train: passed over .gif (1); read are {ENDINGS}" in notes.said
    (run,) = grid.runs()
    assert set(run.pictures()) == set(grid.real.pictures()) == ids
    ((scores,),) = (scored.scores for scored in image_score(results, native=True))
    assert set(scores.item_ids) == ids
    table = reports.read(results)
    assert set(table["item"]) == ids | {"all"}
    page = html.write_report(results, results / "report").read_text("utf-8")
    assert "caf%E9" in page
    with (results / "report" / "tables" / "scores.csv").open(encoding="utf-8", newline="") as file:
        assert len({row["item"] for row in csv.DictReader(file)}) == len(ids) + 1


@pytest.mark.process
def test_a_path_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    save(tmp_path / "A", b"a.png")
    path = os.fsencode(tmp_path) + b"/d\xe9"
    os.mkdir(path)
    command: list[str | bytes] = [sys.executable, "-m", "p2pbench", "train", "--dataset", "folders", "--root", path]
    ended = subprocess.run(command, capture_output=True, cwd=tmp_path)
    assert ended.returncode == 1
    shown = os.fsdecode(path).replace("\udce9", r"\udce9")
    assert ended.stderr.decode() == (
        f"Error: {shown}: the name is not UTF-8; rename that folder or file, or give a link to it\n"
    )
    here = run_config({"dataset": "folders", "root": os.fsdecode(path)}, "test")
    with pytest.raises(UserError, match="the name is not UTF-8"):
        here.with_absolute_root()


def test_cityscapes_counts_pictures_of_other_names(tmp_path: Path) -> None:
    for part, ending in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds")):
        touch(tmp_path, f"{part}/train/ulm/ulm_000000_000019_{ending}.png", f"{part}/val/ulm/x/ulm_0_0_{ending}.png")
    touch(tmp_path, "gtFine/train/ulm/ulm_000000_000019_gtFine_color.png", "leftImg8bit/train/ulm/extra.png")
    for path in tmp_path.rglob("*.png"):
        Image.fromarray(picture(0)[..., 0] // 10).save(path)
    dataset = open_dataset(run_config({"dataset": "cityscapes", "root": str(tmp_path)}, "test"))
    assert [item.id for item in dataset.items("train")] == ["ulm_000000_000019"]
    assert [item.id for item in dataset.items("test")] == ["ulm_0_0"]
    assert dataset.remarks == [
        f"{tmp_path}/leftImg8bit/train: passed over pictures not named CITY_SHOT_FRAME_leftImg8bit.png (1)"
    ]


def test_scores_and_studies_of_folders_say_what_is_passed_over(tmp_path: Path) -> None:
    save(tmp_path / "real", b"a.png")
    for folder, name in (("train", b"seq/a.png"), ("trainannot", b"seq/a.png"), ("fake", b"seq__a.png")):
        save(tmp_path / folder, name)
    for folder in ("test", "testannot"):
        os.symlink(tmp_path / folder.replace("test", "train"), tmp_path / folder)
    touch(tmp_path, "train/b.gif", "fake/c.gif", "real/d.gif")
    truth = open_truth(f"camvid:{tmp_path}")
    assert list(truth.items) == ["seq__a"]
    said = folder_outputs(PlainFolder(tmp_path / "fake", truth, tmp_path.with_name(f"{tmp_path.name}-out"))).notes
    assert [line.split(";")[0] for line in said] == [
        f"{tmp_path}/test: passed over .gif (1)",
        "passed over .gif (1)",  # after the folder's name, as all that is said of it
    ]
    (tmp_path / "fake" / "seq__a.png").rename(tmp_path / "fake" / "a.png")
    lines: list[str] = []
    from_folders(
        tmp_path / "results", tmp_path / "real", {"ours": tmp_path / "fake"}, allow_partial=False, say=lines.append
    )
    assert [line.split(";")[0] for line in lines] == [
        f"{tmp_path}/real: passed over .gif (1)",
        f"{tmp_path}/fake: passed over .gif (1)",
    ]


def test_lines_of_the_terminal_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().say("a\nb\x1b[31m [bold]caf\udce9")
    assert capsys.readouterr().err == r"a\nb\x1b[31m [bold]caf\udce9" + "\n"
