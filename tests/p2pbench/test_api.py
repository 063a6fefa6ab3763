"""The public API: its examples run, names come lazily and typed, results show as tables, nothing is printed."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import os
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import p2pbench
from p2pbench.errors import MENDABLE, UserError
from tests.patience import PATIENCE

ROOT = Path(__file__).parent.parent.parent
STORY = (
    *("RunConfig", "GridConfig", "train_grid", "load_generator", "generate"),
    *("image_score", "segmentation_score", "read_scores", "write_report"),
)
"""All public names; examples use what those before them made."""
NAMES = Path("results/losses/L1/seed-0")


def examples(name: str) -> list[doctest.DocTest]:
    home = getattr(p2pbench, name)
    return [test for test in doctest.DocTestFinder(recurse=False).find(home, name, globs={}) if test.examples]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What each example printed otherwise than it says; all were run in order, in one folder, in another thread."""
    from fcn.labels import CITYSCAPES
    from tests.p2pbench.drawn_scorer import make_scorer

    folder, before = tmp_path_factory.mktemp("api"), Path.cwd()
    make_scorer(folder / "fcn.safetensors", CITYSCAPES, 20)
    failures: dict[str, str] = {}
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def run() -> None:
        for name in STORY:
            said: list[str] = []
            for test in examples(name):
                doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
            failures[name] = "".join(said)

    os.chdir(folder)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(PATIENCE)
        assert handlers == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        yield failures
    finally:
        os.chdir(before)


def test_all_names_have_their_place_in_the_story() -> None:
    assert sorted(STORY) == sorted(p2pbench.__all__)


@pytest.mark.long
@pytest.mark.parametrize("name", STORY)
def test_every_example_runs(name: str, told: dict[str, str]) -> None:
    assert examples(name), f"{name} has no example"
    assert told[name] == ""


@pytest.mark.long
def test_the_example_of_the_readme_runs(told: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    section = (ROOT / "README.md").read_text("utf-8").split("## From Python\n")[1].split("\n## ")[0]
    code = "\n".join(line.removeprefix("    ") for line in section.splitlines() if line.startswith("    "))
    for usual, tiny in (
        ("image_size=64, ngf=16, epochs=2", "image_size=32, ngf=4, ndf=4, epochs=1, train_items=4, test_items=2"),
        ("seeds=[0, 1]", "seeds=[0]"),
        ("segmentation_score(trained.results)", "segmentation_score(trained.results, 'fcn.safetensors')"),
        ('"label-map.png"', '"results/losses/input/images/test-00000.png"'),
    ):
        assert code.count(usual) == 1, usual
        code = code.replace(usual, tiny)
    (tmp_path / "fcn.safetensors").symlink_to(Path("fcn.safetensors").resolve())
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["photo"].shape == (32, 32, 3)
    assert set(names["scores"]["scorer"]) == {"image", "fcn-official", "fcn-strict"}
    assert (tmp_path / "results" / "report" / "index.html").is_file()


def test_names_are_typed_as_they_are_found() -> None:
    typed = {
        alias.name: node.module
        for node in ast.walk(ast.parse(inspect.getsource(p2pbench)))
        if isinstance(node, ast.ImportFrom) and node.module not in {"importlib", "typing", "p2pbench.installation"}
        for alias in node.names
    }
    assert typed == p2pbench._HOMES
    assert set(p2pbench.__all__) == typed.keys() <= set(dir(p2pbench))
    for name, home in typed.items():
        assert getattr(p2pbench, name) is getattr(importlib.import_module(str(home)), name)
        assert getattr(p2pbench, name).__module__ == home
    with pytest.raises(AttributeError, match="no attribute 'train_gird'"):
        _ = p2pbench.train_gird


@pytest.mark.process
def test_the_import_is_quick_and_a_star_takes_all() -> None:
    code = (
        "import sys, p2pbench\n"
        "assert 'train_grid' in dir(p2pbench)\n"
        "print([m for m in ('torch', 'numpy', 'pandas', 'pydantic', 'rich', 'click', 'PIL') if m in sys.modules])\n"
        "from p2pbench import *\n"
        "print(sorted(n for n in p2pbench.__all__ if n in globals()) == p2pbench.__all__)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "True"]


def test_all_packages_ship_their_types() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for package in ("p2pbench", "fcn", "amt", "reports"):
        assert (ROOT / package / "py.typed").is_file()
        assert "py.typed" in data[package]


@pytest.mark.long
def test_nothing_is_printed(told: dict[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    small = p2pbench.RunConfig(dataset="streets", train_items=4, test_items=2, image_size=32, ngf=4, epochs=1)
    grid = p2pbench.GridConfig(title="silent", cells={"L1": {"objective": "L1"}})
    trained = p2pbench.train_grid(grid, "other", settings=small, seeds=[3])
    again = p2pbench.train_grid(grid, "other", settings=small.model_dump(exclude_unset=True), seeds=[3])
    assert repr(trained) == repr(again)
    assert trained.results == Path("other")
    p2pbench.image_score(trained.results, device="cpu")
    p2pbench.write_report(trained.results)
    assert capfd.readouterr() == ("", "")


@pytest.mark.long
def test_errors_are_of_the_package(told: dict[str, str], tmp_path: Path) -> None:
    calls: list[tuple[Any, tuple[object, ...], dict[str, Any], str]] = [
        (p2pbench.train_grid, ("no-such-grid", tmp_path), {}, "no preset of that name"),
        (p2pbench.train_grid, ("losses", tmp_path), {"settings": {"epochz": 2}}, "did you mean 'epochs'"),
        (p2pbench.train_grid, ("losses", tmp_path), {"seeds": [1, 1]}, "each once"),
        (p2pbench.train_grid, ("losses", tmp_path), {"seeds": []}, "each once"),
        (p2pbench.train_grid, ("losses", tmp_path), {"seeds": [-1]}, "key 'seed'"),
        (p2pbench.train_grid, ("losses", tmp_path), {"settings": {"root": tmp_path / "none"}}, "none"),
        (p2pbench.load_generator, (tmp_path,), {}, "no such file"),
        (p2pbench.load_generator, (NAMES,), {"device": "gpu"}, "device 'gpu'"),
        (p2pbench.generate, (NAMES, tmp_path / "none", tmp_path / "out"), {}, "expected a folder of pictures"),
        (p2pbench.image_score, (tmp_path,), {}, "no run found"),
        (p2pbench.image_score, ("results",), {"clusters": "["}, "clusters"),
        (p2pbench.image_score, ("results",), {"fid": True, "native": True}, "without native"),
        (p2pbench.segmentation_score, (tmp_path,), {}, "no run found"),
        (p2pbench.segmentation_score, ("photos",), {"labels": "camvid"}, "expected DATASET:ROOT"),
        (p2pbench.segmentation_score, ("photos",), {"labels": {"dataset": "maps"}}, "labels: key 'dataset'"),
        (p2pbench.segmentation_score, ("photos",), {"labels": {"dataset": "streets"}}, "outputs missing"),
        (p2pbench.train_grid, ({"title": "a", "cells": {"b": {}}}, tmp_path), {}, "^grid = .*: expected str"),
        (p2pbench.read_scores, (tmp_path,), {}, "found no grid"),
        (p2pbench.write_report, (tmp_path,), {}, "grid"),
        (p2pbench.write_report, ("results",), {"items": 0}, "items = 0: expected .* 1 or more"),
        (p2pbench.train_grid, ("no.toml", tmp_path), {"parallel": 0}, "parallel = 0: expected .* 1 or more"),
        (p2pbench.load_generator, (NAMES,), {"batch_norm": "Batch"}, "batch_norm = 'Batch': expected .*'running'"),
        (p2pbench.load_generator, (NAMES,), {"dropout": "off"}, "dropout = 'off': expected bool | None"),
        (p2pbench.load_generator, (NAMES,), {"seed": -1}, "'seed': expected .*found -1"),
    ]
    for call, given, named, expected in calls:
        with pytest.raises(MENDABLE, match=expected):
            call(*given, **named)


@pytest.mark.parametrize("name", [name for name in STORY if not isinstance(getattr(p2pbench, name), type)])
def test_an_argument_of_another_type_is_refused_by_name(name: str) -> None:
    call: Any = getattr(p2pbench, name)
    parameters = inspect.signature(call).parameters.values()
    needed = {each.name: "nowhere" for each in parameters if each.default is each.empty}
    for each in parameters:
        for wrong in (object(), [[]], b"bytes"):
            with pytest.raises(MENDABLE, match=f"^{each.name} = .*: expected "):
                call(**{**needed, each.name: wrong})
    for path in needed:
        with pytest.raises(MENDABLE, match=rf"^{path} = 'a\\x00b': found a null character"):
            call(**{**needed, path: "a\0b"})
    with pytest.raises(TypeError, match="unexpected keyword"):
        call(**needed, another=1)


@pytest.mark.parametrize("name", [name for name in STORY if not isinstance(getattr(p2pbench, name), type)])
def test_a_refused_call_is_shown_a_right_one(name: str) -> None:
    """Also where Python itself would name neither the function nor what it takes."""
    call: Any = getattr(p2pbench, name)
    (first, *more), right = inspect.signature(call).parameters, rf", as in {name}\([^()]+\)$"
    with pytest.raises(MENDABLE, match=rf"^{first} = \[\]: expected .*{right}"):
        call([], *["nowhere"] * (2 if name == "generate" else 0))
    wrongs: list[tuple[tuple[int, ...], dict[str, int], str]] = [
        ((), {}, "missing a required argument"),
        ((1,) * 9, {}, "too many positional arguments"),
        ((1,), {"another": 1, **dict.fromkeys(more, 1)}, "got an unexpected keyword argument"),
    ]
    for given, named, said in wrongs:
        with pytest.raises(TypeError, match=rf"^{name}: {said}.*; expected {name}\({first}.*\){right}"):
            call(*given, **named)


def test_a_call_that_names_the_argument_is_shown() -> None:
    wrong: Any = 3
    with pytest.raises(UserError, match=r'as in segmentation_score\("photos", .*labels=streets, device="cpu"\)$'):
        p2pbench.segmentation_score("photos", labels=wrong)
    with pytest.raises(UserError, match=r"as in train_grid\(.*, seeds=\[0\]\)$"):
        p2pbench.train_grid("losses", seeds=wrong)


@pytest.mark.parametrize("name", ["RunConfig", "GridConfig"])
def test_settings_in_a_mapping_are_shown_the_way(name: str) -> None:
    with pytest.raises(TypeError, match=rf"^found {{'title': 'a'}}, expected .* as in {name}\(\*\*settings\)"):
        getattr(p2pbench, name)({"title": "a"})


def test_a_generators_input_is_a_path(told: dict[str, str]) -> None:
    wrong: Any = 3
    with pytest.raises(UserError, match=r"^path = 3: expected str \| Path"):
        p2pbench.load_generator(NAMES, device="cpu").input_of(wrong)


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    settings: Any = {"image_size": np.int32(64), "learning_rate": np.float32(0.5), "seed": np.int64(2), "mirror": True}
    config = p2pbench.RunConfig(**settings)
    assert (config.image_size, config.learning_rate, config.seed, config.mirror) == (64, 0.5, 2, True)
    seeds: Any = range(2)
    grid = p2pbench.GridConfig(title="widths", seeds=seeds, cells={"narrow": {"ngf": np.int64(8)}})
    assert grid.model_dump_json() == (
        '{"title":"widths","source":"","seeds":[0,1],"settings":{},"cells":{"narrow":{"ngf":8}}}'
    )
    given: Any = {"seeds": [np.int64(0), 1], "parallel": np.int8(1), "settings": {"epochs": np.int64(2), "root": ""}}
    with pytest.raises(UserError, match="key 'root'"):  # which is looked at after seeds and settings
        p2pbench.train_grid(grid, tmp_path, **given)
    seeds = [0, np.float64(1.5)]
    with pytest.raises(UserError, match=r"seeds = \[0, 1.5\]: expected Sequence\[int\]"):
        p2pbench.train_grid(grid, tmp_path, seeds=seeds)


@pytest.mark.process
def test_a_script_without_a_main_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import p2pbench\n"
        "cells = {'L1': {'objective': 'L1'}, 'L2': {'objective': 'L2'}}\n"
        "small = {'dataset': 'streets', 'train_items': 2, 'test_items': 1, 'image_size': 32, 'ngf': 4, 'epochs': 1}\n"
        "grid = p2pbench.GridConfig(title='terms', cells=cells, settings={**small, 'device': 'cpu'})\n"
        "print(p2pbench.train_grid(grid, 'results', parallel=2))\n"
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.startswith("Grid terms: 2 runs trained")
    assert "Traceback" not in done.stderr
    assert 'call it below `if __name__ == "__main__":`' in done.stderr


@pytest.mark.long
def test_a_generator_takes_files_arrays_and_tensors(told: dict[str, str]) -> None:
    generator = p2pbench.load_generator(NAMES, device="cpu")
    file = sorted(Path("results/losses/input/images").iterdir())[0]
    values = np.asarray(Image.open(file))
    made = generator(file)
    assert np.array_equal(made, np.asarray(Image.open(NAMES / "images" / file.name)))  # as its run made it
    assert np.array_equal(made, generator(values, file.stem))
    assert not np.array_equal(made, generator(values, "another"))  # other noise
    x = torch.from_numpy(values.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    output = generator(x, file.stem)
    assert output.requires_grad is False
    assert not output.is_inference()
    assert np.abs(((output[0].permute(1, 2, 0) + 1) * 127.5).numpy() - made).max() <= 0.51
    road = generator(np.full((40, 24), 7, np.uint8), file.stem)  # label values become colours
    assert np.array_equal(road, generator(np.full((40, 24, 3), (128, 64, 128), np.uint8), file.stem))
    assert np.array_equal(generator.input_of(str(file))[0], values)
    wrongs: list[Any] = [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 3), np.uint16), np.full((4, 4), 99, np.uint8)]
    for wrong in (*wrongs, np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(UserError, match="expected"):
            generator(wrong)
    whole = torch.zeros(1, 3, 40, 56)
    for tensor in (whole[0], whole[:0], whole[:, :2], whole.byte(), whole + 1.1, whole - 100, whole + torch.nan):
        with pytest.raises(UserError, match=r"found a tensor .*, expected \(B, 3, H, W\) of floats -1 to 1"):
            generator(tensor)


class Shown(HTMLParser):
    """Text and tags of a piece of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert {name for name, _ in attrs} <= {"style"}

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.long
def test_results_show_in_notebooks(told: dict[str, str]) -> None:
    scores = p2pbench.segmentation_score("results", "fcn.safetensors", device="cpu")
    page = Shown(scores._repr_html_())
    (official, strict) = scores.tables()
    assert page.tags.count("table") == 2
    first = scores.scored[0].scores[0]
    assert f"{first.n} of {first.n_expected}" in page.text
    for part in (first.fingerprint, "losses/real", "95 % intervals over items", *scores.remarks):
        assert part in page.text
        assert part in repr(scores)
    assert official.title != strict.title
    assert len(scores.only("fcn-strict").tables()) == 1
    with pytest.raises(UserError, match="expected one of fcn-official, fcn-strict"):
        scores.only("lpips")


@pytest.mark.long
def test_hostile_names_are_escaped(told: dict[str, str]) -> None:
    name = "<script>alert('\x1b[31m')</script>\u202e"
    scores = p2pbench.image_score("results", device="cpu")
    scored = [replace(each, outputs=replace(each.outputs, name=name)) for each in scores.scored]
    hostile = replace(scores, scored=scored, remarks=[name])
    trained = p2pbench.train_grid(
        p2pbench.GridConfig(title="<b>x</b>", cells={"L1": {"objective": "L1"}}), "hostile",
        settings={"dataset": "streets", "train_items": 4, "test_items": 2, "image_size": 32, "ngf": 4, "epochs": 1},
    )  # fmt: skip
    for shown in (hostile._repr_html_(), trained._repr_html_()):
        page = Shown(shown)
        assert set(page.tags) <= {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "span", "br", "p"}
        assert "\x1b" not in shown
        assert "\u202e" not in shown
    assert "<script>alert" in Shown(hostile._repr_html_()).text
    assert "\x1b" not in repr(hostile)


def test_the_page_of_the_api_is_current() -> None:
    from docs import api

    assert (ROOT / "docs" / "api.md").read_text("utf-8") == api.page(), "run make docs"
