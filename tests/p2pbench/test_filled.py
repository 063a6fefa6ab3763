"""Ranges that are not those of the pictures: refused where nearly no value lies within, named where some do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from p2pbench.cli import cli, main
from p2pbench.config import GridConfig
from p2pbench.datasets import pictures
from p2pbench.errors import MENDABLE, UserError
from p2pbench.study.new_study import from_results
from p2pbench.training.generated_folder import generate
from p2pbench.training.generator_file import read_generator, save_generator
from reports import html
from reports.store.errors import ReportError
from reports.store.layout import Grid
from reports.store.ranges import clipped, measure
from tests.p2pbench.grids import estimate_lines, image_score, run_grid
from tests.p2pbench.test_ablation import Notes
from tests.p2pbench.tiny import TINY

CELL = GridConfig(title="One", cells={"L1": {"objective": "L1"}})
SIDE = 80  # that of the files; networks see 32, where a single pixel's value is lost


def make_root(root: Path, dtype: type[np.uint8 | np.uint16], low: int, high: int) -> Path:
    """Folders of grey pictures whose values lie in the middle, but for one pixel at either end in the last file."""
    middle = (low + high) // 2
    for split in ("train", "test"):
        for side in "AB":
            (root / side / split).mkdir(parents=True)
            for name in ("p", "q"):
                values = np.full((SIDE, SIDE), middle, dtype)
                values[: SIDE // 2] += 1
                if name == "q":
                    values[3, 4], values[50, 60] = low, high
                Image.fromarray(values).save(root / side / split / f"{name}.png")
    return root


def train(results: Path, root: Path, notes: Notes | None = None, **settings: Any) -> Grid:  # noqa: ANN401 (any setting)
    settings = {**TINY, "root": str(root), "device": "cpu", "epochs": 1, **settings}
    return run_grid(results, "one", CELL, "own.toml", settings, [0], notes or Notes())


@pytest.fixture(scope="module")
def bytes_(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_root(tmp_path_factory.mktemp("bytes") / "root", np.uint8, 100, 108)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_root(tmp_path_factory.mktemp("words") / "root", np.uint16, 1000, 1400)


def test_advice_is_of_the_files_as_they_are(bytes_: Path, words: Path, tmp_path: Path) -> None:
    for root, ends in ((bytes_, (100, 108)), (words, (1000, 1400))):
        settings = {**TINY, "root": str(root), "device": "cpu"}
        said = estimate_lines(tmp_path, "one", CELL, "own.toml", settings, [0])[-2]
        assert said.startswith(f"4 items have input values {ends[0]}..{ends[1]} of 0..")
        assert f"--set 'input_range=[{ends[0]}, {ends[1]}]' --set 'output_range=[{ends[0]}, {ends[1]}]'" in said


def test_advice_is_of_all_items_not_of_those_first_looked_at(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root", np.uint8, 100, 108)
    for place in range(40):
        values = np.full((SIDE, SIDE), 104, np.uint8)
        values[0, 0] = 90 if place == 7 else 104
        for side in "AB":
            Image.fromarray(values).save(root / side / "train" / f"a{place:02}.png")
    settings = {**TINY, "root": str(root), "device": "cpu"}
    said = estimate_lines(tmp_path, "one", CELL, "own.toml", settings, [0])[-2]
    assert said.startswith("44 items have input values 90..108 of 0..255")


@pytest.mark.parametrize("side", ["input", "output"])
@pytest.mark.parametrize(
    ("which", "ends", "said"),
    [
        ("bytes_", (200, 250), "found 200..250, within which none of the"),
        ("bytes_", (0, 1000), "found 0..1000, expected it within 0..255, as the"),
        ("words", (0, 900), "found 0..900, within which none of the"),
        ("words", (1000, 1001), "found 1000..1001, within which under 0.1% of the"),
    ],
)
def test_a_range_that_is_not_the_datas_is_refused_before_anything_is_written(
    side: str, which: str, ends: tuple[int, int], said: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue(which)
    settings = {**TINY, "root": str(root), "device": "cpu", f"{side}_range": ends}
    own = {"bytes_": "[100, 108]", "words": "[1000, 1400]"}[which]
    calls: list[Callable[[], object]] = [
        lambda: train(tmp_path / "results", root, None, **{f"{side}_range": ends}),
        lambda: estimate_lines(tmp_path / "results", "one", CELL, "own.toml", settings, [0]),
    ]
    for call in calls:
        with pytest.raises(MENDABLE) as error:
            call()
        assert str(error.value).startswith(f"key '{side}_range': {said} {side} values of 4 items")
        assert f"--set '{side}_range={own}'" in str(error.value)
    assert not (tmp_path / "results").exists()


def test_what_is_clipped_is_said_once_and_trained(words: Path, tmp_path: Path) -> None:
    notes = Notes()
    ends = {"input_range": (1000, 1400), "output_range": (1000, 1200)}  # half of B is 1200, half 1201
    train(tmp_path, words, notes, **ends)
    (said,) = [line for line in notes.said if "lie beyond" in line]
    share = "50.0%"  # and one pixel of 6400 in every other file
    assert said == (
        f"key 'output_range': {share} of the output values of 4 items (1000..1400) lie beyond 1000..1200 and become "
        "black or white"
    )


def test_shares_are_worked_out_by_hand() -> None:
    values = measure([np.array([[0, 10, 20, 30]], np.uint8), np.array([[10, 10]], np.uint8)], (10.0, 20.0))
    assert values == (0, 30, 0.75, 8)  # a half and all: pictures count alike
    assert list(clipped("here", (0.0, 30.0), measure([np.arange(31, dtype=np.uint16)], (0.0, 30.0)), "these", "")) == []


@pytest.fixture(scope="module")
def results(words: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    train(results, words, output_range=(1000, 1400), input_range=(1000, 1400))
    return results


def declare(results: Path, *ends: float) -> Grid:
    """As an older version, or a hand, left it."""
    grid = Grid(results / "one")
    document = json.loads(grid.json.read_bytes())
    document["settings"]["output_range"] = ends
    grid.json.write_text(json.dumps(document))
    return grid


@pytest.mark.parametrize("native", [False, True])
def test_scores_studies_and_reports_refuse_a_grids_range_without_its_pictures(results: Path, native: bool) -> None:
    grid = declare(results, 2000, 60000)
    said = r"one/grid\.json: output_range: found 2000\.\.60000, within which none of the values of 2 pictures of "
    try:
        with pytest.raises(ReportError, match=said):
            image_score(results, native=native)
        with pytest.raises(ReportError, match=said):
            from_results(results, None, None, allow_partial=False)
        with pytest.raises(ReportError, match=said):
            html.write_report(results, results.parent / "report")
        done = CliRunner().invoke(cli, ["image-score", str(results)])
        assert isinstance(done.exception, ReportError)
    finally:
        declare(results, 1000, 1400)
    assert grid.json.exists()


def test_scores_and_reports_say_what_a_grids_range_clips(results: Path, tmp_path: Path) -> None:
    declare(results, 1000, 1200)
    try:
        done = CliRunner().invoke(cli, ["image-score", str(results)])
        assert done.exit_code == 0, done.output
        (said,) = [line for line in done.output.splitlines() if "lie beyond" in line]
        assert "output_range: 50.0% of the values of 2 pictures" in said
        page = html.write_report(results, tmp_path / "report").read_text()
        assert "output_range: 50.0% of the values of 2 pictures" in page
    finally:
        declare(results, 1000, 1400)


def test_generate_refuses_pictures_beyond_the_generators_range(results: Path, tmp_path: Path) -> None:
    run = Grid(results / "one").run("L1", 0)
    for name, value in (("dark", 40), ("part", 1390)):
        values = np.full((SIDE, SIDE, 1), value, np.uint16)
        values[: SIDE // 4] = 5000
        pictures.write(tmp_path / name / "a", values)
    arguments = ["generate", str(run.folder)]
    done = CliRunner().invoke(cli, [*arguments, str(tmp_path / "dark"), "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, ReportError)
    assert "input_range: found 1000..1400, within which none of the values of 1 input (40..5000) lie" in str(
        done.exception
    )
    assert not (tmp_path / "out").exists()
    done = CliRunner().invoke(cli, [*arguments, str(tmp_path / "part"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "25.0% of the values of 1 input (1390..5000) lie beyond 1000..1400" in done.output


def test_a_generator_with_a_range_beyond_its_depth_is_refused(results: Path, tmp_path: Path) -> None:
    generator, card = read_generator(Grid(results / "one").run("L1", 0).generator)
    path = tmp_path / "g.safetensors"
    save_generator(path, generator, card.model_copy(update={"output_range": (0.0, 70000.0)}))
    with pytest.raises(UserError, match=r"found output_range 0\.\.70000, expected it within 0\.\.65535"):
        generate(path, tmp_path, tmp_path / "out")


def test_it_is_one_line_for_users(bytes_: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--dataset", "folders", "--root", str(bytes_), "--out", str(tmp_path), "--set", "image_size=32"]
    with pytest.raises(SystemExit):
        main(["train", *options, "--set", "output_range=[200, 250]", "--set", "receptive_field=34"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Error: key 'output_range': found 200..250")
