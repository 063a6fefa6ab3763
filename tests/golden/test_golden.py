"""The golden harness's own comparison, on small folders: differences are found, and noise is not."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.golden import compare
from tests.golden.digest import Digest, Reader


def digest(folder: Path) -> Digest:
    return Reader(folder, {}).digest()


def differing(one: Path, other: Path, admitted: dict[str, str] | None = None) -> list[str]:
    return [found.key for found in compare.compare(digest(one), digest(other), admitted or {}).different]


def text(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content, encoding="utf-8")


def tensor(value: float) -> Callable[[Path], object]:
    return lambda path: save_file({"weight": torch.tensor([1.0, value])}, path)


def checkpoint(value: float) -> Callable[[Path], object]:
    return lambda path: torch.save({"step": 3, "model": {"weight": torch.tensor([1.0, value])}}, path)


def picture(value: int, level: int = 6) -> Callable[[Path], object]:
    return lambda path: Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(path, compress_level=level)


def matrices(value: int) -> Callable[[Path], object]:
    return lambda path: np.savez(path, counts=np.array([[1, value]]))


def database(column: str) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            connection.execute(f"CREATE TABLE trials (k INTEGER, {column} TEXT)")

    return write


@pytest.mark.parametrize(
    ("name", "kind", "base", "new"),
    [
        ("run/generator.safetensors", "tensors", tensor(2), tensor(2.0000002)),
        ("run/checkpoint.pt", "checkpoints", checkpoint(2), checkpoint(2.0000002)),
        ("run/images/a.png", "pictures", picture(7), picture(8)),
        ("run/segmentations/a.png", "segmentations", picture(7), picture(8)),
        ("run/scores/fcn-confusion.npz", "matrices", matrices(1), matrices(2)),
        ("run/scores/image.json", "scores", text('{"fingerprint": "a"}'), text('{"fingerprint": "b"}')),
        ("run/config.json", "records", text('{"settings": {"ngf": 4}}'), text('{"settings": {"ngf": 8}}')),
        ("study/first/analysis.json", "analysis", text('{"rate": 0.1}'), text('{"rate": 0.2}')),
        ("study/study.sqlite", "schema", database("choice"), database("answer")),
        ("run/losses.csv", "losses", text("step,G_L1\n1,0.5\n"), text("step,G_L1\n1,0.6\n")),
        ("report/tables/scores.csv", "csv", text("cell,l1\n"), text("cell,psnr\n")),
        ("report/tables/image.tex", "latex", text("0.1 \\\\"), text("0.2 \\\\")),
        ("report/index.html", "html", text("<td>a 0.10</td>"), text("<td>a 0.11</td>")),
        ("steps/help/out", "texts", text("Score outputs."), text("Score pictures.")),
        ("steps/plan/out", "numbers", text("l1 0.1"), text("l1 0.2")),
        ("steps/status/out", "keys", text('{"a": [{"b": 1}]}'), text('{"a": [{"c": 1}]}')),
        ("steps/report/code", "exits", text("0\n"), text("1\n")),
    ],
)
def test_each_kind_of_difference_is_found(
    tmp_path: Path, name: str, kind: str, base: Callable[[Path], object], new: Callable[[Path], object]
) -> None:
    for folder, write in (("base", base), ("same", base), ("new", new)):
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True)
        write(path)
    assert differing(tmp_path / "base", tmp_path / "same") == []
    assert f"{kind}/{name}" in differing(tmp_path / "base", tmp_path / "new")


def test_a_file_that_is_missing_is_found(tmp_path: Path) -> None:
    for folder, names in (("base", "ab"), ("new", "a")):
        (tmp_path / folder / "report").mkdir(parents=True)
        for name in names:
            (tmp_path / folder / "report" / f"{name}.unknown").touch()
    assert differing(tmp_path / "base", tmp_path / "new") == ["files/report"]


def test_what_differs_by_chance_is_masked(tmp_path: Path) -> None:
    for folder, speed, date, level in (("base", "51.2", "2026-01-02 03:04:05", 1), ("new", "8", "2027-11-12", 9)):
        run = tmp_path / folder / "run"
        (tmp_path / folder / "steps" / "train").mkdir(parents=True)
        (tmp_path / folder / "steps" / "train" / "err").write_text(
            f"{folder}: 1/{len(speed)}\n{run}: {speed} images/s on {date}, code {'a1' * 20}-dirty\n"
        )
        run.mkdir()
        (run / "grid.json").write_text(json.dumps({"git_revision": folder, "versions": {"torch": speed}, "n": 1}))
        (run / "losses.csv").write_text(f"step,images_per_second,G_L1\n1,{speed},0.5\n")
        picture(7, level)(run / "a.png")
    assert differing(tmp_path / "base", tmp_path / "new") == []


def test_a_list_of_hashes_is_held_to_the_files(tmp_path: Path) -> None:
    for folder, content in (("base", "x"), ("new", "y")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.unknown").write_text(content)
        sha256 = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"  # of "x"
        (tmp_path / folder / "made.jsonl").write_text(json.dumps({"file": "a.unknown", "sha256": sha256}) + "\n")
    assert differing(tmp_path / "base", tmp_path / "new") == ["records/made.jsonl"]


def test_what_changed_on_purpose_is_admitted_and_an_admission_of_nothing_is_an_error() -> None:
    base, new = {"texts/a": "1", "csv/b": "1", "csv/c": "1"}, {"texts/a": "2", "csv/b": "2", "csv/c": "1"}
    verdict = compare.compare(base, new, {"texts/*": "words", "csv/c": "a column"})
    assert [found.key for found in verdict.changed] == ["texts/a"]
    assert [found.key for found in verdict.different] == ["csv/b"]
    assert verdict.stale == ["csv/c"]
    assert verdict.equal == {"csv": 1}
    printed = list(compare.table(verdict))
    assert max(map(len, "\n".join(printed).splitlines())) <= 80
    assert any("'csv/c' fits no difference" in line for line in printed)
    assert "\nDIFFERENT csv/b" in printed


def test_files_taken_over_are_held_to_what_the_base_made_of_them() -> None:
    base = {
        "tensors/labels/g": "1",
        "tensors/before/g": "1",
        "numbers/steps/plan/out": "1",
        "exits/steps/score/code": "0",
    }
    over = {
        "tensors/labels/g": "2",
        "tensors/labels/h": "1",
        "exits/steps/score/code": "0",
        "texts/steps/score/err": "",
    }
    before, after = compare.crossing(base, over)
    verdict = compare.compare(before, after, {})
    assert [found.key for found in verdict.different] == ["tensors/crossing/labels/g", "tensors/crossing/labels/h"]
    assert verdict.equal == {"exits": 1}


def test_a_chain_that_no_longer_fits_the_base_is_named() -> None:
    codes = {"plan": "0", "report": "1", "wrong-01": "2", "wrong-02": "0", "interrupted": "1"}
    digest = {f"exits/steps/{step}/code": f"{code}\n" for step, code in codes.items()}
    assert compare.unexpected(digest) == ["report exits with 1", "wrong-02 exits with 0"]


def test_a_revision_that_the_clone_lacks_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(compare.GoldenError, match="fetch the full history"), compare.checkout("0" * 40, tmp_path):
        pass
