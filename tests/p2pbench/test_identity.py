"""What a run was made from is known by content: pictures that changed, moved, were copied, or lay there before."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from p2pbench.config import GridConfig, run_config
from p2pbench.datasets import pictures
from p2pbench.datasets.catalogue import open_dataset, run_items
from p2pbench.datasets.contents import digest, item_contents
from p2pbench.errors import UserError
from p2pbench.runtime.files import owned
from p2pbench.runtime.progress import TrainingProgress
from p2pbench.scoring.label_scores import Outcome
from p2pbench.scoring.runs import LabelRequest, grid_label_outputs
from p2pbench.training.records import RunRecord, how_to_change, read_run, write_run
from reports.store.arithmetic import ARITHMETIC
from reports.store.layout import Grid, Run
from reports.store.made import Made
from tests.p2pbench.grids import image_score, run_grid
from tests.p2pbench.test_ablation import Notes
from tests.p2pbench.tiny import TINY, picture

pytestmark = pytest.mark.long

GRID = GridConfig(title="One", cells={"L1": {"objective": "L1"}})
Start = Callable[..., Grid]


@pytest.fixture
def root(folders: Path, tmp_path: Path) -> Path:
    """A copy of the small dataset, whose pictures may be replaced."""
    return Path(shutil.copytree(folders, tmp_path / "data"))


@pytest.fixture
def start(root: Path, tmp_path: Path) -> Start:
    def run(notes: Notes | None = None, seeds: Any = (0,), grid: GridConfig = GRID, **changed: Any) -> Grid:  # noqa: ANN401
        settings = {**TINY, "root": str(root), "device": "cpu", "epochs": 1, **changed}
        return run_grid(tmp_path / "results", "one", grid, "own.toml", settings, seeds, notes or Notes())

    return run


def replace(root: Path, side: str, split: str, *names: str) -> None:
    """Other pictures under the same names, of the same size, with the times of the old ones."""
    for number, name in enumerate(names):
        path = root / side / split / f"{name}.png"
        before = path.stat()
        Image.fromarray(picture(900 + number)).save(path)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def as_older_version(run: Run, **settings: object) -> None:
    """Take from config.json what older versions did not write."""
    record = json.loads(run.config.read_text())
    del record["arithmetic"]
    for split in record["data"].values():
        split.pop("content", None)
    record["settings"] |= {"threads": None, **settings}
    run.config.write_text(json.dumps(record))


def test_a_hash_is_of_the_content_alone(root: Path, tmp_path: Path) -> None:
    def hashed(folder: Path) -> dict[str, str]:
        config = run_config({"dataset": "folders", "root": str(folder)}, "test")
        dataset = open_dataset(config)
        return item_contents(dataset, run_items(dataset, config).train)

    first = hashed(root)
    assert list(first) == sorted(first)
    copy = Path(shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile))
    assert hashed(copy) == first
    replace(copy, "B", "train", "p03")
    changed = hashed(copy)
    assert [id_ for id_ in first if first[id_] != changed[id_]] == ["p03"]
    assert digest(changed) != digest(first)
    assert digest(dict(reversed(first.items()))) == digest(first)


@pytest.mark.parametrize(("side", "split"), [("A", "train"), ("B", "train"), ("A", "test"), ("B", "test")])
def test_replaced_pictures_are_named_and_nothing_is_touched(start: Start, root: Path, side: str, split: str) -> None:
    grid = start()
    before = files_of(grid.folder)
    replace(root, side, split, "p00", "p02")
    for seeds in ([0], [1]):  # the same run, and another that would stand in one table with it
        with pytest.raises(UserError, match=rf"of \d+ {split} items 2 have other contents: p00, p02\. Use another"):
            start(seeds=seeds)
    other = GridConfig(title="x", cells={"L2": {"objective": "L2"}})
    if split == "test":
        with pytest.raises(UserError, match="2 have other contents: p00, p02"):
            start(grid=other)
    assert files_of(grid.folder) == before
    shutil.rmtree(grid.contents("x").parent)
    with pytest.raises(UserError, match=f"{split} items some have other contents"):
        start()


def test_the_same_pictures_elsewhere_and_copied_are_the_same(start: Start, root: Path, tmp_path: Path) -> None:
    grid = start()
    moved = tmp_path / "moved"
    shutil.copytree(root, moved, copy_function=shutil.copyfile)  # with new times
    shutil.rmtree(root)
    notes = Notes()
    start(notes, seeds=[0, 1], root=str(moved))
    assert {work for work, _ in notes.trained} == {"L1 seed 1"}
    assert not any("decoded" in work for work, _, _ in notes.counted)  # nor is anything decoded again
    assert json.loads(grid.json.read_text())["dataset"]["root"] == str(moved)
    assert len(image_score(tmp_path / "results", native=True)) == 2  # the first was made from the old root


def test_real_and_input_follow_the_data(start: Start, root: Path) -> None:
    grid = start()
    shutil.rmtree(grid.run("L1", 0).folder)
    (grid.real.scores).mkdir()
    grid.real.score("fcn-strict").write_text('{"scorer": "fcn-strict"}')
    replace(root, "A", "test", "p01")
    replace(root, "B", "test", "p00")
    (root / "A" / "test" / "p02.png").unlink()
    (root / "B" / "test" / "p02.png").unlink()
    start()
    for row, side in ((grid.real, "B"), (grid.input, "A")):
        assert list(row.pictures()) == ["p00", "p01"]
        for name, path in row.pictures().items():
            original = Image.open(root / side / "test" / f"{name}.png")
            expected = np.asarray(original.resize((32, 32), Image.Resampling.BILINEAR))
            assert np.array_equal(np.asarray(Image.open(path)), expected), (side, name)
    assert grid.real.scorers() == []


def test_a_killed_fill_leaves_nothing_that_is_taken_for_newer(
    start: Start, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = pictures.write
    written: list[Path] = []

    def die(path: Path, values: Any, note: Any) -> Path:  # noqa: ANN401
        if len(written) == 3:
            note(path.with_suffix(".png"), "f" * 64)  # of what will not be there any more
            raise KeyboardInterrupt
        written.append(path)
        return write(path, values, note)

    shutil.rmtree(start().run("L1", 0).folder)
    replace(root, "B", "test", "p00", "p01", "p02")
    monkeypatch.setattr(pictures, "write", die)
    with pytest.raises(KeyboardInterrupt):
        start()
    assert len(written) == 3
    monkeypatch.undo()
    grid = start()
    for name, path in grid.real.pictures().items():
        original = Image.open(root / "B" / "test" / f"{name}.png").resize((32, 32), Image.Resampling.BILINEAR)
        assert np.array_equal(np.asarray(Image.open(path)), np.asarray(original)), name


def test_runs_of_an_older_version_go_on_unless_their_targets_are_others(start: Start, root: Path) -> None:
    grid = start(batch_size=5)
    as_older_version(grid.run("L1", 0))
    grid.references.unlink()
    notes = Notes()
    start(notes, seeds=[0, 1], batch_size=5)
    (said,) = (line for line in notes.said if "older version" in line)
    assert said.startswith("L1 seed 0: made by an older version, which recorded no hashes of pictures")
    assert {work for work, _ in notes.trained} == {"L1 seed 1"}
    shutil.rmtree(grid.run("L1", 1).folder)
    replace(root, "B", "test", "p01")
    for known in (True, False):  # what real/ was made from
        if not known:
            grid.references.unlink()
        with pytest.raises(UserError, match=r"1 targets are not those of the data any more: .*p01\.png"):
            start(batch_size=5)


def test_scores_are_of_the_truth_that_they_name(start: Start, root: Path, tmp_path: Path) -> None:
    grid = start()

    def fingerprints() -> set[str]:
        return {
            scores.fingerprint
            for native in (False, True)
            for scored in image_score(tmp_path / "results", native=native)
            for scores in scored.scores
        }

    before = fingerprints()
    assert fingerprints() == before
    replace(root, "B", "test", "p01")
    with pytest.raises(UserError, match="was made from other test items: of 3 1 has other contents: p01"):
        fingerprints()
    shutil.copy(root / "B" / "test" / "p01.png", tmp_path / "other.png")
    real = grid.real.images / "p01.png"
    pictures.write(real.with_suffix(""), 255 - pictures.read(real), Made(grid.real.folder).note)
    ((changed,),) = (scored.scores for scored in image_score(tmp_path / "results"))
    assert changed.fingerprint not in before


def test_labels_other_than_those_of_the_run_are_not_scored_against(tmp_path: Path) -> None:
    root = tmp_path / "camvid"
    for folder in ("train", "test", "trainannot", "testannot"):
        (root / folder).mkdir(parents=True)
        for index in range(2):
            values = np.full((32, 32, 3), index, np.uint8)
            Image.fromarray(values[..., 0] if "annot" in folder else values).save(root / folder / f"{index}.png")
    settings = {**TINY, "dataset": "camvid", "root": str(root), "device": "cpu", "epochs": 1}
    grid = run_grid(tmp_path / "results", "one", GRID, "own.toml", settings, [0], Notes())
    runs = grid_label_outputs(grid, LabelRequest("labels-to-photo"), Outcome())
    truth = runs[-1].origin["truth"]
    moved = Path(shutil.copytree(root, tmp_path / "moved", copy_function=shutil.copyfile))
    again = grid_label_outputs(grid, LabelRequest("labels-to-photo", str(moved)), Outcome())
    assert again[-1].run == grid.real
    assert again[-1].origin["truth"] == truth
    Image.fromarray(np.full((32, 32), 5, np.uint8)).save(moved / "testannot" / "1.png")
    with pytest.raises(UserError, match="was made from other test items: of 2 1 has other contents: 1"):
        grid_label_outputs(grid, LabelRequest("labels-to-photo", str(moved)), Outcome())


class StopsAt(Notes):
    """Fails when a training has taken so many steps, and remembers how many threads it had."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self._step = step
        self.threads: set[int] = set()

    def train(self, work: str, progress: TrainingProgress) -> None:
        self.threads.add(torch.get_num_threads())
        if progress.step == self._step:
            raise UserError("stopped by the test")


@pytest.fixture
def two_threads() -> Any:  # noqa: ANN401
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_a_run_keeps_the_threads_that_it_began_with(start: Start, tmp_path: Path, two_threads: None) -> None:
    whole = start().run("L1", 0).generator.read_bytes()
    shutil.rmtree(tmp_path / "results")
    first = StopsAt(5)
    with pytest.raises(UserError, match="stopped by the test"):
        start(first, checkpoint_seconds=0.0)
    run = Grid(tmp_path / "results" / "one").run("L1", 0)
    assert read_run(run).settings.threads == 2
    torch.set_num_threads(1)
    with pytest.raises(UserError, match="threads was 2, is 1"):
        start(threads=1)
    second = StopsAt(-1)
    start(second)
    assert first.threads == second.threads == {2}
    assert torch.get_num_threads() == 1  # as before
    assert run.generator.read_bytes() == whole
    notes = Notes()
    start(notes, seeds=[1])
    assert (
        "L1 seed 1: threads = 1, other seeds of this cell 2: sums are rounded differently, as on two machines"
        in notes.said
    )
    assert read_run(run).settings.threads == 2
    assert read_run(Grid(tmp_path / "results" / "one").run("L1", 1)).settings.threads == 1


def test_where_nothing_was_trained_settings_and_data_may_change(start: Start, root: Path, tmp_path: Path) -> None:
    rate = {"objective": "L2", "learning_rate": 1e30}
    grid = GridConfig(title="x", cells={"a": {}})
    with pytest.raises(UserError, match=r"Lower learning_rate.*nothing was kept of it, so the same command may change"):
        start(grid=grid, **rate)
    replace(root, "B", "train", "p01")
    start(grid=grid, objective="L2", learning_rate=1e-4)
    record = read_run(Grid(tmp_path / "results" / "one").run("a", 0))
    assert record.settings.learning_rate == 1e-4


def test_what_the_advice_says_is_possible_where_something_was_trained(start: Start, tmp_path: Path) -> None:
    grid = GridConfig(title="x", cells={"a": {"objective": "L2"}})
    run = Grid(tmp_path / "results" / "one").run("a", 0)
    with pytest.raises(UserError, match=f"in another results folder, or delete {run.folder} first"):
        start(grid=grid, learning_rate=1e30, checkpoint_seconds=0.0)
    with pytest.raises(UserError, match="learning_rate was 1e\\+30, is 0.0001"):
        start(grid=grid, learning_rate=1e-4)
    shutil.rmtree(run.folder)
    start(grid=grid, learning_rate=1e-4)
    assert str(run.folder) in how_to_change(Grid(run.folder.parent.parent).run("a", 1), shared=False)
    assert "nothing was kept" in how_to_change(Grid(run.folder.parent.parent).run("b", 1), shared=False)


def test_a_run_that_another_process_is_at_is_not_rewritten(start: Start, tmp_path: Path) -> None:
    grid = start()
    run = grid.run("L1", 0)
    run.checkpoint.unlink()
    run.generator.unlink()
    before = run.config.read_bytes()
    with owned(run), pytest.raises(UserError, match="mirror was True, is False"):
        start(mirror=False)
    assert run.config.read_bytes() == before
    start(mirror=False)
    assert not read_run(run).settings.mirror


def test_who_waits_for_a_run_whose_record_is_replaced_holds_the_new_one(start: Start) -> None:
    run = start().run("L1", 0)
    holds, may_end = threading.Event(), threading.Event()

    def wait_and_hold() -> None:
        with owned(run, patience=60.0):
            holds.set()
            may_end.wait(60)

    waiter = threading.Thread(target=wait_and_hold)
    with owned(run):
        waiter.start()
        time.sleep(1.0)  # it has opened the old record
        new = run.config.with_suffix(".new")
        new.write_bytes(run.config.read_bytes())
        new.replace(run.config)
    assert holds.wait(60)
    with pytest.raises(UserError, match="another process is training this run"), owned(run):
        pass
    may_end.set()
    waiter.join()


def test_an_older_run_with_wrong_gradients_is_not_resumed(start: Start, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stopped by the test"):
        start(StopsAt(5), checkpoint_seconds=0.0)
    run = Grid(tmp_path / "results" / "one").run("L1", 0)
    assert read_run(run).arithmetic == ARITHMETIC
    as_older_version(run)
    before = files_of(run.folder)
    with pytest.raises(
        UserError, match=r"wrong gradients in all batches .* Delete that folder to train anew, or finish"
    ):
        start()
    run.config.write_text(run.config.read_text().replace('"device": "cpu"', '"device": "auto"'))
    with pytest.raises(UserError, match="wrong gradients"):
        start(device="auto")
    assert files_of(run.folder).keys() == before.keys()
    run.checkpoint.unlink()  # then nothing was trained
    start()
    assert read_run(run).arithmetic == ARITHMETIC


def test_a_finished_older_run_with_wrong_gradients_is_named(start: Start) -> None:
    grid = start()
    as_older_version(grid.run("L1", 0))
    notes = Notes()
    start(notes, seeds=[1])
    (said,) = (line for line in notes.said if "wrong gradients" in line)
    assert said.startswith("L1 seed 0: trained on a CPU by an older version")
    assert said.endswith(f"delete {grid.run('L1', 0).folder} to train it anew")
    assert RunRecord.model_validate_json(grid.run("L1", 0).config.read_bytes()).arithmetic == 1
    write_run(grid.run("L1", 0), run_config({}, "test"), read_run(grid.run("L1", 0)).data)
    assert RunRecord.model_validate_json(grid.run("L1", 0).config.read_bytes()).arithmetic == 1
