"""Records changed by hand or damaged: whatever value stands anywhere in them, there is no traceback."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from amt.protocol import Protocol
from p2pbench.config import GridConfig
from p2pbench.datasets import contents, download
from p2pbench.errors import MENDABLE, UserError
from p2pbench.scoring.label_scores import Outcome
from p2pbench.scoring.runs import LabelRequest, grid_label_outputs
from p2pbench.study import results as analysing
from p2pbench.training.generated_folder import GENERATION, Generation, begin, write_generation
from p2pbench.training.generator_file import read_generator
from reports import comparison_page, html
from reports.store import analyses, arithmetic, json_files, ledger
from reports.store.errors import ReportError
from reports.store.layout import Grid
from tests.p2pbench.grids import image_score, run_grid
from tests.p2pbench.test_ablation import Notes
from tests.p2pbench.tiny import TINY
from tests.reports import analysed

GRID = GridConfig(title="One", cells={"L1": {"objective": "L1"}})
VALUES: tuple[object, ...] = (None, "x", "5", 0, [], {"a": 1})
Call = Callable[[], object]
Path_ = tuple[str | int, ...]


@pytest.fixture(scope="module")
def whole(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of one finished run."""
    results = tmp_path_factory.mktemp("records") / "results"
    train(results, folders)
    return results


@pytest.fixture
def results(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "results"))


def train(results: Path, folders: Path) -> None:
    settings = {**TINY, "root": str(folders), "device": "cpu", "epochs": 1}
    run_grid(results, "one", GRID, "own.toml", settings, [0], Notes())


def nodes(document: Any, path: Path_ = (), depth: int = 3) -> Iterator[Path_]:  # noqa: ANN401 (JSON)
    """Where a record may hold something else: everywhere, three levels deep."""
    yield path
    inner = document.items() if isinstance(document, dict) else list(enumerate(document))[:2]
    for key, value in inner if depth else ():
        yield from nodes(value if isinstance(value, (dict, list)) else {}, (*path, key), depth - 1)


def changed(document: Any, path: Path_, value: object) -> Any:  # noqa: ANN401 (JSON)
    """A copy with another value in one place."""
    if not path:
        return value
    document = copy.deepcopy(document)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return document


def hold(
    file: Path,
    *calls: Call,
    among: Callable[[Path_], bool] = lambda path: True,
    values: Sequence[object] = VALUES,
) -> None:
    """Put every other value everywhere into a record, in turn, and see that calls answer or refuse it in one line."""
    before = file.read_bytes()
    document = json.loads(before)
    places = [path for path in nodes(document) if among(path)]
    texts = ["", "{", "[" * 100_000, "\xff"]
    texts += [
        json.dumps(changed(document, path, value))
        for number, path in enumerate(places)
        for value in values[number % 2 :: 2]
    ]
    for text in texts:
        for call in calls:
            file.write_bytes(text.encode("latin-1"))
            try:
                call()
            except MENDABLE as error:
                if "\n" in str(error):
                    pytest.fail(f"{error} is more than a line; of {file.name} holding {text[:500]}")
            except Exception as error:  # which the test names with what caused it
                pytest.fail(f"{type(error).__name__}: {error}; of {file.name} holding {text[:500]}")
    file.write_bytes(before)


@pytest.mark.long
def test_what_grids_and_runs_are(results: Path, folders: Path) -> None:
    grid = Grid(results / "one")
    for file in (grid.json, grid.run("L1", 0).config):
        hold(
            file,
            lambda: train(results, folders),
            lambda: [*arithmetic.lines([results]), arithmetic.threads(grid.runs())],
            lambda: grid_label_outputs(grid, LabelRequest("labels-to-photo"), Outcome()),
        )


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::reports.tidy.DamagedScores")
def test_reports_and_scores_of_them(results: Path, tmp_path: Path) -> None:
    grid = Grid(results / "one")
    keys = {"cells", "seeds", "dataset", "data", "arithmetic", "batch_size", "threads"}
    for file in (grid.json, grid.run("L1", 0).config):
        hold(
            file,
            lambda: html.write_report(results, tmp_path / "report"),
            lambda: comparison_page.write(results, results, tmp_path / "comparison"),
            lambda: image_score(results, native=True),
            among=lambda path: not path or (path[-1] in keys and path[0] != "cells"),
            values=(None, "x", []),
        )


def test_a_run_of_a_newer_arithmetic_is_not_resumed(results: Path, folders: Path) -> None:
    run = Grid(results / "one").run("L1", 0)
    record = json.loads(run.config.read_text())
    record["arithmetic"] = arithmetic.ARITHMETIC + 1
    record["versions"]["p2pbench"] = "9.8"
    run.config.write_text(json.dumps(record))
    said = f"trained by p2pbench 9.8 with arithmetic {arithmetic.ARITHMETIC + 1}, which this version"
    train(results, folders)  # finished: it is marked, and stays
    assert list(arithmetic.lines([results])) == [f"one/L1 seed 0: {arithmetic.flaw(run)}"]
    assert said in str(arithmetic.flaw(run))
    shutil.rmtree(run.images)
    run.generator.unlink()
    with pytest.raises(UserError, match=f"{said}.*Delete that folder to train anew, or finish it with the version"):
        train(results, folders)


@pytest.mark.long
def test_what_is_found_out_again_where_it_is_damaged(
    results: Path, folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("P2PBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(contents, "CLOCK_TICK", 0)  # hashes are kept at once
    train(results, folders)
    grid = Grid(results / "one")
    (hashes,) = (tmp_path / "cache").glob("contents-*.json")
    for file in (grid.references, *grid.contents("x").parent.glob("*.json"), hashes):
        first = next(iter(json_files.read_object(file, "")))
        hold(file, lambda: train(results, folders), among=lambda path, first=first: path[:1] in ((), (first,)))  # type: ignore[misc]
    assert json_files.read(grid.references, dict[str, str], "").keys() == grid.real.pictures().keys()


@pytest.mark.long
def test_scores(results: Path) -> None:
    run = Grid(results / "one").run("L1", 0)
    hold(
        run.score("image"),
        lambda: ledger.read(run),
        among=lambda path: len(path) < 2 or path[0] in {"metrics", "items"},
    )


def test_analyses_of_studies(tmp_path: Path) -> None:
    analysed.write(tmp_path, analysed.document([analysed.algorithm("L1", 0.2, {"a": (3, 1)})]))
    (file,) = tmp_path.rglob("analysis.json")
    hold(file, lambda: analyses.collect(tmp_path))


def test_folders_of_generated_pictures(results: Path, tmp_path: Path) -> None:
    _, card = read_generator(Grid(results / "one").run("L1", 0).generator)
    generation = Generation(generator="g", sha256="0", padding="none", card=card, inputs={"a": "1"})
    write_generation(tmp_path / "out", generation)
    (tmp_path / "out" / "a.png").write_bytes(b"")
    hold(tmp_path / "out" / GENERATION, lambda: begin(tmp_path / "out", generation, overwrite=False))


def test_notes_of_downloads(tmp_path: Path) -> None:
    note = download._note(tmp_path / "a.part")
    note.write_text(json.dumps({"etag": "a", "modified": "b", "total": 3}))
    assert download._read_note(tmp_path / "a.part") == ("a", "b", 3)

    def is_a_version() -> None:
        version = download._read_note(tmp_path / "a.part")
        assert [type(each) for each in version] == [str, str, int]

    hold(note, is_a_version)


def test_descriptions_of_studies(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text(json.dumps({"protocol": Protocol().model_dump(mode="json")}))
    hold(tmp_path / "study.json", lambda: analysing._protocol(tmp_path / "study.json", pd.DataFrame()))


def test_a_checked_type_takes_nothing_for_another(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for text in ('{"a": 1}', '{"a": null}', "[]", '{"a": ["b"]}'):
        file.write_text(text)
        with pytest.raises(ReportError, match=r"a\.json: .*found .*; put it back$"):
            json_files.read(file, dict[str, str], "put it back")
    for text in ('{"a": "1"}', '{"a": true}', '{"a": 1.0}'):
        file.write_text(text)
        with pytest.raises(ReportError, match=r"a\.json: a: expected a valid integer, found .*; put it back$"):
            json_files.read(file, dict[str, int], "put it back")
    file.write_text('{"a": "1"}')
    assert json_files.read(file, dict[str, str], "") == {"a": "1"}
    with pytest.raises(ReportError, match="cannot be read"):
        json_files.read(tmp_path, dict[str, str], "")
