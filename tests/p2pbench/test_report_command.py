"""`p2pbench report`: which page it writes, and where."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from p2pbench.commands.report import report
from reports.store.layout import Grid
from tests.reports.conftest import build as _build

build = _build


@pytest.fixture
def folders(build: Callable[..., Path], tmp_path: Path) -> tuple[Path, Path]:
    a = build(items=[f"item-{number:02}" for number in range(30)])
    return a, Path(shutil.copytree(a, tmp_path / "after"))


@pytest.mark.parametrize(
    ("options", "page", "said"),
    [
        ([], "results/report/index.html", "report"),
        (["--single-file"], "results/report.html", "report"),
        (["OTHER"], "after/comparison/index.html", "comparison"),
        (["OTHER", "--single-file"], "after/comparison.html", "comparison"),
        (["--out", "OUT"], "page/index.html", "report"),
        (["OTHER", "--out", "OUT", "--single-file"], "page", "comparison"),
    ],
)
def test_the_page_is_written_where_the_command_says(
    folders: tuple[Path, Path], tmp_path: Path, options: list[str], page: str, said: str
) -> None:
    a, b = folders
    places = {"OTHER": str(b), "OUT": str(tmp_path / "page")}
    done = CliRunner().invoke(report, [str(a), *(places.get(each, each) for each in options)])
    assert done.stdout == f"{said}: {tmp_path / page}\n"
    assert f"p2pbench {said}</p>" in (tmp_path / page).read_text("utf-8")


@pytest.mark.parametrize(("options", "count"), [([], 30), (["--single-file"], 24), (["--items", "5"], 5)])
@pytest.mark.parametrize("two", [False, True])
def test_as_many_items_have_pictures_as_asked_for(
    folders: tuple[Path, Path], options: list[str], count: int, two: bool
) -> None:
    a, b = folders
    done = CliRunner().invoke(report, [str(a), *([str(b)] if two else []), *options])
    page = Path(done.stdout.split(": ")[1].strip())
    text = page.read_text("utf-8")
    if page.name == "index.html":
        assert len(list((page.parent / "assets/grid0").glob("00-*.png"))) == count
    assert (f"{count} of 30 items have pictures" in text) == (count < 30)


@pytest.mark.parametrize("options", [[], ["--single-file"]])
@pytest.mark.parametrize("two", [False, True])
def test_damaged_scores_and_grids_are_said_once(folders: tuple[Path, Path], options: list[str], two: bool) -> None:
    a, b = folders
    run = Grid(a / "losses").run("L1", 0)
    run.score("image").write_text("{}")
    run.bootstrap("other").write_bytes(b"")
    run.score("other").write_text('{"scorer": "other"}')
    (b / "second").mkdir()
    (b / "second/grid.json").write_text("no JSON")
    done = CliRunner().invoke(report, [str(a), *([str(b)] if two else []), *options])
    assert done.exit_code == 0, done.output
    said = [line for line in done.stderr.splitlines() if line.startswith(str(a.parent))]
    expected = [run.score("image"), run.bootstrap("other"), *([b / "second/grid.json"] if two else [])]
    assert sorted(line.split(": ")[0] for line in said) == sorted(map(str, expected))
    assert len(done.stdout.splitlines()) == 1


def test_no_item_is_wrong_usage(tmp_path: Path) -> None:
    done = CliRunner().invoke(report, [str(tmp_path), "--items", "0"])
    assert done.exit_code == 2
