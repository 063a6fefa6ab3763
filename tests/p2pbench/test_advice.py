"""What messages tell users to type exists: commands, their options, and no option of another command."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from p2pbench.cli import COMMANDS, cli, main
from tests.conftest import ROOT
from tests.p2pbench.tiny import picture

PACKAGES = ("p2pbench", "fcn", "amt", "reports")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
COMMAND = re.compile(r"p2pbench ((?:amt )?[a-z][a-z-]+)([^`);]*)")
ELSEWHERE = {"--norm", "--help"}  # of the tool that generators are imported from; of every command


def options(name: str) -> set[str]:
    """All options of a command, such as "amt create"."""
    command: click.Command | None = cli
    with click.Context(cli) as context:
        for part in name.split():
            assert isinstance(command, click.Group)
            command = command.get_command(context, part)
            assert command is not None, f"there is no command {name}"
    assert command is not None
    return {option for param in command.params for option in (*param.opts, *param.secondary_opts)}


def texts(path: Path) -> Iterator[tuple[str, int]]:
    """All strings of a module that are no docstrings, f-strings with X for what is put in, with their lines."""
    tree = ast.parse(path.read_text())
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            values = (str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
            yield "".join(values), node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (documents | parts):
            yield node.value, node.lineno


@pytest.mark.parametrize("package", PACKAGES)
def test_commands_that_texts_name_exist_with_their_options(package: str) -> None:
    named = 0
    for path in sorted((ROOT / package).rglob("*.py")):
        for text, line in texts(path):
            for match in COMMAND.finditer(text):
                name, rest = match.groups()
                if name.split()[0] in COMMANDS or text[: match.start()].endswith("`"):  # else it is prose
                    unknown = set(OPTION.findall(rest)) - options(name) - ELSEWHERE
                    assert not unknown, f"{path.relative_to(ROOT)}:{line}: p2pbench {name} has no {unknown}"
                    named += 1
    assert named > 0 or package != "p2pbench"  # the others need not name any


def functions_of_commands(path: Path) -> dict[str, tuple[int, int]]:
    """The first and last line, decorators included, of each command's function by the command's name."""
    found = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and any(
            "click.command" in ast.unparse(each) for each in node.decorator_list
        ):
            name = node.name.replace("amt_", "amt ").replace("_", "-")
            found[name] = (node.decorator_list[0].lineno, node.end_lineno or node.lineno)
    return found


def test_a_commands_own_texts_name_its_own_options() -> None:
    read = set()
    for path in sorted((ROOT / "p2pbench" / "commands").glob("*.py")):
        commands = functions_of_commands(path)
        for text, line in texts(path):
            for name in (name for name, (first, last) in commands.items() if first <= line <= last):
                unknown = set(OPTION.findall(COMMAND.sub("", text))) - options(name) - ELSEWHERE
                assert not unknown, f"{path.name}:{line}: {name} has no {unknown}"
                read.add(name)
    assert read >= set(COMMANDS) - {"amt"}
    assert len([name for name in read if name.startswith("amt ")]) == 9


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.fixture
def camvid_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset with labels whose results need a scorer's file."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # else `main` sets how threads wait, for later tests too
    monkeypatch.chdir(tmp_path)
    for folder, count in (("train", 3), ("test", 2)):
        for index in range(count):
            save(tmp_path / "data" / folder / f"{index}.png", picture(index))
            labels = np.random.default_rng(index).integers(0, 11, (40, 40), dtype=np.uint8)
            save(tmp_path / "data" / f"{folder}annot" / f"{index}.png", labels)
    return tmp_path / "data"


SMALL = "--set image_size=32 --set ngf=4 --set ndf=4 --set receptive_field=34 --set epochs=1 --device cpu"


def said(line: str, capfd: pytest.CaptureFixture[str]) -> str:
    """What a command prints on standard error; an option in it that the command has not is our fault."""
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(line))
    assert ended.value.code in (0, 1), line
    text = capfd.readouterr().err
    unknown = set(OPTION.findall(COMMAND.sub("", text))) - options(line.split()[0])
    assert not unknown, f"{line}: {text} names {unknown}"
    return text


@pytest.mark.long
def test_messages_name_options_of_their_command_alone(camvid_like: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "give --seed instead" in said("train --set seed=3", capfd)
    assert "give --seeds 0,1,2 instead" in said("train-ablation losses --set seed=3", capfd)
    assert "no FCN-score: dataset camvid needs a scorer's file" in said(
        f"train --dataset camvid --root data {SMALL}", capfd
    )
    assert "Give it as --weights FILE" in said("fcn-score results", capfd)
    next(Path("results").glob("*/*/seed-0/images/0.png")).unlink()
    assert "missing 0; give the command that trained it again" in said("image-score results", capfd)
    assert "found no folder, expected cityscapes:ROOT[:SPLIT] with a root of leftImg8bit/" in said(
        "label-score data/train --labels cityscapes:", capfd
    )
    assert "found no such folder nowhere, expec" in said("fcn-score data/train --labels camvid:nowhere", capfd)
    assert "takes no root, found data; its files fit the dataset camvid" in said(
        "label-score data/train --labels streets:data", capfd
    )
    Path("scorer.safetensors").write_bytes(b"none")
    wrong = said("fcn-score results --weights scorer.safetensors --allow-partial", capfd)
    assert "expected a scorer's .safetensors" in wrong
    assert "fcn.weights" not in wrong


def test_a_root_for_drawn_scenes_is_no_folder_or_fits_by_its_form(
    camvid_like: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "takes no root, found nowhere; there is no such folder" in said("train --root nowhere", capfd)
    for name, width in (("wide", 80), ("photos", 60)):
        for split in ("train", "val"):
            save(Path(name) / split / "0.png", np.zeros((40, width, 3), np.uint8))
    assert "its files fit the dataset paired | colorization" in said("train --root wide", capfd)
    assert "its files fit the dataset colorization | inpainting | edges" in said("train --root photos", capfd)
