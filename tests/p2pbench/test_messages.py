"""Messages that say what is wrong and how to go on: links, pages, splits, several files, empty paths, Ctrl-C."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image

from amt.errors import AmtError
from amt.protocol import Protocol
from amt.statistics import table
from amt.statistics.analysis import analyse
from p2pbench.cli import LazyGroup, cli
from p2pbench.commands.options import PATH
from p2pbench.config import GridConfig, run_config
from p2pbench.datasets import pictures
from p2pbench.datasets.catalogue import open_dataset, run_items
from p2pbench.datasets.dataset import MOST_NAMED
from p2pbench.datasets.survey import sample_channels
from p2pbench.errors import UserError, shown
from p2pbench.runtime.interrupt import Stopped
from p2pbench.runtime.terminal import Terminal
from p2pbench.scoring.outputs import find_outputs
from p2pbench.scoring.truth import open_truth
from p2pbench.training.records import read_run
from reports.store.errors import ReportError
from reports.store.layout import Run
from tests.p2pbench.grids import estimate_lines, run_grid
from tests.p2pbench.test_ablation import Notes
from tests.p2pbench.tiny import TINY, picture


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def test_a_link_that_leads_nowhere_is_said_to(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("gone/b.png")
    for read in (pictures.read, pictures.header, pictures.read_labels):
        with pytest.raises(UserError, match=r"a\.png: found a link that leads nowhere, to gone/b\.png, expected a pi"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize("metadata", [None, {}], ids=["one series", "one series a page"])
@pytest.mark.parametrize("shape", [(5, 8, 9), (5, 8, 9, 3)])
def test_several_pages_are_to_be_split(tmp_path: Path, shape: tuple[int, ...], metadata: dict[str, str] | None) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in np.zeros(shape, np.uint8):
            writer.write(
                page, photometric="rgb" if len(shape) == 4 else "minisblack", contiguous=False, metadata=metadata
            )
    with pytest.raises(UserError, match=r"a\.tif: found 5 pages, expected one picture; save each page as a file of"):
        pictures.read(tmp_path / "a.tif")


def test_culprits_have_a_line_each_and_control_nothing(tmp_path: Path) -> None:
    for index in range(MOST_NAMED + 2):
        save(tmp_path / "A" / "train" / f"{index:02d}\n.png", picture(index))
    for folder in ("A/test", "B/train", "B/test"):
        save(tmp_path / folder / "x.png", picture(0))
    dataset = open_dataset(run_config({"dataset": "folders", "root": str(tmp_path)}, "test"))
    with pytest.raises(UserError) as error:
        dataset.items("train")
    lines = shown(str(error.value)).split("\n")
    assert lines[0] == f"{MOST_NAMED + 3} unmatched files:"
    assert lines[1] == f"  {tmp_path}/A/train/00\\n.png has no B"
    assert lines[-2:] == ["  and 3 more", "  add what is missing, under the same name, or move the file away"]
    assert len(lines) == MOST_NAMED + 3


@pytest.mark.parametrize(
    ("name", "files", "said"),
    [
        ("folders", {"A/train/0": 40}, "has no B; add what is missing, under the same name, or move the file away"),
        ("folders", {"A/train/0": 40, "B/train/0": 44}, "is 44x40; bring both to one size, or move the pair away"),
        ("paired", {"train/0": 81}, "is 81 wide; make it twice as wide as one half, or move it away"),
        ("camvid", {"train/0": 40, "trainannot/1": 40, "trainannot/0": 40}, "has no photo; add what is missing"),
    ],
)
@pytest.mark.parametrize("count", [1, 2])
def test_errors_of_data_end_with_what_to_do(
    tmp_path: Path, name: str, files: dict[str, int], said: str, count: int
) -> None:
    folders = {"folders": ("A", "B"), "paired": ("",), "camvid": ("trainannot",)}
    for folder in folders[name]:
        (tmp_path / folder / "train").mkdir(parents=True, exist_ok=True)
    for place, width in files.items():
        for number in range(count):
            save(tmp_path / f"{place}{number}.png", np.zeros((40, width), np.uint8))
    dataset = open_dataset(run_config({"dataset": name, "root": str(tmp_path)}, "test"))
    with pytest.raises(UserError) as error:
        dataset.items("train")
    lines = shown(str(error.value)).split("\n")
    culprit, mend = said.split("; ")
    assert culprit in lines[0 if count == 1 else 1]
    assert mend in lines[-1]
    assert len(lines) == (1 if count == 1 else 2 + count)


def test_a_wrong_split_lists_those_that_are_there(tmp_path: Path) -> None:
    for split in ("train", "test"):
        save(tmp_path / "camvid" / split / "a.png", picture(0))
        save(tmp_path / "camvid" / f"{split}annot" / "a.png", np.zeros((40, 40), np.uint8))
        for part, ending in (("leftImg8bit", "leftImg8bit"), ("gtFine", "gtFine_labelIds")):
            save(tmp_path / "cityscapes" / part / split / "a" / f"a_{ending}.png", np.zeros((40, 40), np.uint8))
    for name in ("camvid", "cityscapes"):
        with pytest.raises(
            UserError, match=r"/vall: found no such folder; expected a root .*; beside it are test, train"
        ):
            open_truth(f"{name}:{tmp_path / name}:vall")


def test_colorization_says_no_depth_that_the_files_have_not(tmp_path: Path) -> None:
    save(tmp_path / "train" / "a.png", picture(0))
    save(tmp_path / "train" / "b.png", picture(0)[..., 0])
    save(tmp_path / "val" / "a.png", picture(1))
    config = run_config({"dataset": "colorization", "root": str(tmp_path), "image_size": 32}, "test")
    dataset = open_dataset(config)
    items = run_items(dataset, config)
    sample_channels(dataset, [*items.train, *items.test], config)
    (remark,) = dataset.remarks
    assert "8-bit grey" in remark
    assert "16 bits" not in remark
    assert "--set" not in remark


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_an_animation_is_no_picture(name: str, tmp_path: Path) -> None:
    frames = [Image.fromarray(picture(seed)) for seed in range(3)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    for reads in (pictures.read, pictures.header):
        with pytest.raises(UserError, match="found an animation of 3 frames, expected one picture"):
            reads(tmp_path / name)
    frames[0].save(tmp_path / name)
    assert pictures.read(tmp_path / name).shape == picture(0).shape


def test_a_record_that_is_no_json_has_no_field(tmp_path: Path) -> None:
    run = Run(tmp_path, "L1", 0)
    run.folder.mkdir(parents=True, exist_ok=True)
    run.config.write_text("{")
    with pytest.raises(ReportError, match=r"config\.json: found no JSON \("):
        read_run(run)


def test_an_analysis_without_answers_says_so() -> None:
    with pytest.raises(AmtError, match="found no answers, expected those of a study; wait until raters have taken"):
        analyse(table.build([]), Protocol(), 0)


def test_pred_is_what_segmentation_tools_write(tmp_path: Path) -> None:
    for name in ("a_pred", "b_pred", "c"):
        save(tmp_path / f"{name}.png", picture(0))
    outputs = find_outputs(tmp_path)
    assert list(outputs.files) == ["a", "b"]
    assert outputs.scheme == "NAME_pred (segmentation tools)"


def test_a_dry_run_fits_a_terminal(folders: Path, tmp_path: Path) -> None:
    settings = {**TINY, "root": str(folders), "device": "cpu"}
    lines = estimate_lines(tmp_path, "x", GridConfig(title="x", cells={"L1+cGAN": {}}), "x", settings, [0])
    assert max(map(len, lines)) <= 80


def commands(group: click.Command, name: str = "") -> list[tuple[str, click.Command]]:
    if not isinstance(group, LazyGroup):
        return [(name, group)]
    found = []
    with click.Context(group) as context:
        for each in group.list_commands(context):
            command = group.get_command(context, each)
            assert command is not None
            found += commands(command, f"{name} {each}".strip())
    return found


def test_no_path_may_be_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    checked = 0
    for name, command in commands(cli):
        for param in command.params:
            if isinstance(param.type, click.Path) or param.name in ("out", "root"):
                assert isinstance(param.type, type(PATH)), f"{name}: {param.name}"
                checked += 1
                option = [param.opts[0]] if param.param_type_name == "option" else []
                done = CliRunner().invoke(cli, [*name.split(), *option, ""])
                assert done.exit_code == 2
                assert "found an empty path, expected one" in done.output or "Missing" in done.output, done.output
    assert checked > 30
    with pytest.raises(UserError, match="key 'root'"):
        run_config({"root": ""}, "test")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def trained(folders: Path, tmp_path: Path) -> Run:
    grid = GridConfig(title="x", settings={**TINY, "root": str(folders), "device": "cpu"}, cells={"one": {}})
    return run_grid(tmp_path / "results", "grid", grid, "x", {}, [0], Notes()).run("one", 0)


def interrupted(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What a command says that gets Ctrl-C when it first says how far it is."""
    count = Terminal.count

    def interrupting(terminal: Terminal, work: str, done: int, total: int) -> None:
        if done == 1:
            os.kill(os.getpid(), signal.SIGINT)
        count(terminal, work, done, total)

    with monkeypatch.context() as patched:
        patched.setattr(Terminal, "count", interrupting)
        done = CliRunner().invoke(cli, arguments)
    assert isinstance(done.exception, Stopped)
    return str(done.exception)


@pytest.mark.long
def test_ctrl_c_says_what_was_made_and_how_to_go_on(
    trained: Run, folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    arguments = ["generate", str(trained.folder), str(folders / "A" / "train"), "--out", str(out), "--device", "cpu"]
    said = interrupted(arguments, monkeypatch)
    assert said == f"{out}: stopped; 1 of 12 pictures are made, and the same command makes the rest"
    assert len(list(out.glob("*.png"))) == 1
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    assert len(list(out.glob("*.png"))) == 12
    for index in range(3):
        save(tmp_path / "ids" / f"test-{index:05d}.png", np.full((32, 32), 7, np.uint8))
    labels = ["label-score", str(tmp_path / "ids"), "--labels", "streets:", "--allow-partial", "--read", "label-ids"]
    said = interrupted(labels, monkeypatch)
    assert "stopped after 1 of 3 label maps; " in said
    assert said.endswith("rerun the same command to start over")


def test_ctrl_c_anywhere_is_a_line_that_says_how_to_go_on() -> None:
    @click.command()
    def command() -> None:
        raise KeyboardInterrupt

    group = LazyGroup(table={})
    group.get_command = lambda context, name: command  # type: ignore[method-assign, assignment]
    done = CliRunner().invoke(group, ["anything"])
    assert isinstance(done.exception, UserError)
    assert "give the same command again" in str(done.exception)
