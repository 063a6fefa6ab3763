"""A run from start to end: killed, stopped, resumed, refused; and the same again from the same seed."""

from __future__ import annotations

import csv
import math
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch

from p2pbench.ablation.data import Data
from p2pbench.config import RunConfig
from p2pbench.errors import UserError
from p2pbench.runtime.interrupt import Stop, Stopped, StopRequest
from p2pbench.runtime.progress import TrainingProgress
from p2pbench.training import checkpoint
from p2pbench.training.model import Model, build
from p2pbench.training.trainer import Callbacks, TrainingData, train
from reports.store.errors import ReportError
from reports.store.layout import Run
from tests.p2pbench.forked import Forker
from tests.p2pbench.tiny import TINY, Command
from tests.patience import PATIENCE, wait_until

CPU = torch.device("cpu")
Tiny = Callable[..., RunConfig]


def rows(run: Run) -> list[list[str]]:
    """losses.csv without the speed."""
    with run.losses.open(newline="") as file:
        return [row[:2] + row[3:] for row in csv.reader(file)]


def nothing(*_: object) -> None:
    pass


def trained(
    config: RunConfig,
    data: Data,
    run: Run,
    *,
    report: Callable[[TrainingProgress], None] = nothing,
    sample: Callable[[Model, int], None] = nothing,
    say: Callable[[str], None] = nothing,
    stop: Stop = False,
) -> Model:
    described = TrainingData(data.dataset, data.train, data.describe())
    return train(run, config, described, CPU, Callbacks(report, sample, say, stop))


def assert_same(one: object, other: object, where: str = "") -> None:
    """Equal to the last bit, all the way down."""
    if isinstance(one, torch.Tensor):
        assert isinstance(other, torch.Tensor)
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert isinstance(other, dict)
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert isinstance(other, list)
        assert len(one) == len(other)
        for place, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}[{place}]")
    else:
        assert one == other, where


def command_line(root: Path, out: Path, **changed: object) -> list[str]:
    settings = {**TINY, "epochs": 4, "checkpoint_seconds": 0.0, "log_every": 1, "decay_epochs": 2, **changed}
    pairs = [f"{key}={value}" for key, value in settings.items() if key != "dataset"]
    options = [part for pair in pairs for part in ("--set", pair)]
    return ["train", "--dataset", "folders", "--root", str(root), "--out", str(out), "--device", "cpu", *options]


def logged_steps(run: Run) -> int:
    return run.losses.read_text().count("\n") - 1 if run.losses.exists() else 0


def wait_for_step(run: Run, step: int) -> None:
    wait_until(lambda: logged_steps(run) >= step, f"{run.folder}: step {step}")


def run_in(out: Path) -> Run:
    return Run(out / "folders" / "L1+cGAN" / "seed-0", "L1+cGAN", 0)


@pytest.fixture(scope="module")
def uninterrupted(folders: Path, tmp_path_factory: pytest.TempPathFactory, prepared: Forker) -> Run:
    """A run of 48 steps that nobody touched."""
    out = tmp_path_factory.mktemp("uninterrupted")
    process = prepared.start(*command_line(folders, out))
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert logged_steps(run_in(out)) == 48
    return run_in(out)


def assert_same_run(run: Run, other: Run) -> None:
    states = [torch.load(each.checkpoint, weights_only=True) for each in (run, other)]
    assert states[0]["step"] == 48
    assert {"generator", "discriminator", "generator_adam", "discriminator_adam"} < states[0].keys()
    assert_same(*states)
    assert rows(run) == rows(other)
    assert len(run.pictures()) == 3
    for name, path in run.pictures().items():
        assert path.read_bytes() == other.pictures()[name].read_bytes()


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_and_resumed_equals_uninterrupted(
    folders: Path, tmp_path: Path, p2pbench: Command, uninterrupted: Run, seed: int
) -> None:
    run = run_in(tmp_path)
    process = p2pbench(*command_line(folders, tmp_path))
    step = random.Random(seed).randint(2, 24)
    wait_for_step(run, step)
    process.kill()  # SIGKILL
    process.communicate()
    assert not run.generator.exists()
    assert step <= logged_steps(run) < 48
    again = p2pbench(*command_line(folders, tmp_path))
    _, said = again.communicate()
    assert again.returncode == 0, said
    assert_same_run(run, uninterrupted)


def test_ctrl_c_stops_after_the_step_saves_and_says_how_to_go_on(
    folders: Path, tmp_path: Path, p2pbench: Command, uninterrupted: Run
) -> None:
    run = run_in(tmp_path)
    arguments = command_line(folders, tmp_path, checkpoint_seconds=1000.0)
    process = p2pbench(*arguments)
    wait_for_step(run, 3)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 1
    assert "Traceback" not in said
    assert "rerun the same command to resume" in said
    step = torch.load(run.checkpoint, weights_only=True)["step"]
    assert f"stopped after step {step} of 48" in said
    assert logged_steps(run) == step
    again = p2pbench(*arguments)
    _, said = again.communicate()
    assert again.returncode == 0, said
    assert_same_run(run, uninterrupted)


def test_a_run_belongs_to_one_process(folders: Path, tmp_path: Path, p2pbench: Command, uninterrupted: Run) -> None:
    run = run_in(tmp_path)
    first = p2pbench(*command_line(folders, tmp_path, epochs=4))
    wait_for_step(run, 1)
    first.send_signal(signal.SIGSTOP)
    second = p2pbench(*command_line(folders, tmp_path, epochs=4))
    _, said = second.communicate()
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 1
    assert "another process is training this run" in said.splitlines()[-1]
    _, said = first.communicate()
    assert first.returncode == 0, said
    assert_same_run(run, uninterrupted)


ALWAYS_AT_ONCE = "from p2pbench.ablation import timing; timing.NO_GAIN = 0\nfrom p2pbench.cli import main; main()"


@pytest.mark.process
def test_workers_stop_when_the_process_that_started_them_is_killed(folders: Path, tmp_path: Path) -> None:
    file = tmp_path / "two.toml"
    file.write_text('title = "Two"\n[cells.a]\nngf = 3\n[cells.b]\nngf = 4\n')
    settings = {key: value for key, value in TINY.items() if key not in {"ngf", "epochs"}}
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    process = subprocess.Popen(
        [
            *[sys.executable, "-c", ALWAYS_AT_ONCE, "train-ablation", str(file), "--root", str(folders)],
            *["--out", str(tmp_path), "--parallel", "2", *options, "--set", "epochs=100000", "--set", "log_every=1"],
        ],
        stderr=subprocess.PIPE,
    )
    runs = [Run(tmp_path / "two" / cell / "seed-0", cell, 0) for cell in "ab"]
    for run in runs:
        wait_for_step(run, 2)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE)
    assert alive == []
    for run in runs:
        assert torch.load(run.checkpoint, weights_only=True)["step"] == logged_steps(run)


def test_a_finished_run_is_skipped_and_a_changed_setting_refused(
    folders: Path, p2pbench: Command, uninterrupted: Run
) -> None:
    out = uninterrupted.folder.parents[2]
    before = {path: path.stat().st_mtime_ns for path in uninterrupted.folder.rglob("*") if path.is_file()}
    process = p2pbench(*command_line(folders, out))
    _, said = process.communicate()
    assert process.returncode == 0
    assert "finished before, skipped" in said
    process = p2pbench(*command_line(folders, out), "--set", "ngf=4")
    assert process.communicate()[1].endswith("'ngf' is given twice; expected it once\n")
    process = p2pbench(*command_line(folders, out, ngf=8))
    _, said = process.communicate()
    assert process.returncode == 1
    assert said.splitlines()[-1].startswith("Error: ")
    assert "ngf was 4, is 8" in said
    assert before == {path: path.stat().st_mtime_ns for path in uninterrupted.folder.rglob("*") if path.is_file()}


@pytest.mark.long
def test_same_seed_same_weights_other_seed_others(tiny: Tiny, tiny_data: Data, tmp_path: Path) -> None:
    models = [
        trained(tiny(seed=seed), tiny_data, Run(tmp_path / str(place), "a", seed))
        for place, seed in enumerate((5, 5, 6))
    ]
    states = [model.generator.state_dict() for model in models]
    assert_same(dict(states[0]), dict(states[1]))
    assert not torch.equal(states[0]["encoder.0.weight"], states[2]["encoder.0.weight"])


@pytest.mark.long
def test_memory_does_not_grow_over_epochs(tiny: Tiny, tiny_data: Data, tmp_path: Path) -> None:
    resident: list[int] = []

    def note(progress: TrainingProgress) -> None:
        if progress.step % 12 == 0:
            resident.append(psutil.Process().memory_info().rss)

    trained(tiny(epochs=30), tiny_data, Run(tmp_path, "a", 0), report=note)
    assert len(resident) == 30
    assert resident[-1] - resident[9] < 4 * 2**20


def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_the_checkpoint(
    tiny: Tiny, tiny_data: Data, tmp_path: Path
) -> None:
    run = Run(tmp_path, "a", 0)
    config = tiny(learning_rate=1e30, checkpoint_seconds=0.0, objective="L2")
    with pytest.raises(UserError) as error:
        trained(config, tiny_data, run)
    words = str(error.value).split(" at step ")
    failed = int(words[1].split()[0])
    assert torch.load(run.checkpoint, weights_only=True)["step"] == failed - 1
    assert all(math.isfinite(float(row[4])) for row in rows(run)[1:])
    assert "G_L2 is" in words[0]


def test_a_full_disk_leaves_the_old_checkpoint(tiny: Tiny, tiny_data: Data, tmp_path: Path) -> None:
    """The limit on a file's size fails in the middle of the write, as a full disk does."""
    model = build(tiny(), tiny_data.channels, CPU)
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, model, 7, {})
    old = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(old) // 2, hard))
    try:
        with pytest.raises(ReportError, match=r"checkpoint\.pt: cannot be written"):
            checkpoint.save(path, model, 8, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]
    assert checkpoint.load(path, model, {}) == 7


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ngf": 8}, "encoder.0.weight has shape (4, 3, 4, 4), expected (8, 3, 4, 4)"),
        ({"image_size": 64}, "is missing"),
        ({"objective": "L1"}, "another objective made it"),
        ({"bottleneck_norm": True}, "encoder.4.2.bias is missing"),
    ],
)
def test_a_checkpoint_of_another_architecture_is_named(
    tiny: Tiny, tiny_data: Data, tmp_path: Path, settings: dict[str, object], said: str
) -> None:
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, build(tiny(), tiny_data.channels, CPU), 3, {})
    with pytest.raises(UserError) as error:
        checkpoint.load(path, build(tiny(**settings), tiny_data.channels, CPU), {})
    assert str(path) in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04torn"])
def test_a_damaged_checkpoint_is_named(tiny: Tiny, tiny_data: Data, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="delete it to train from the start"):
        checkpoint.load(path, build(tiny(), tiny_data.channels, CPU), {})


def test_a_checkpoint_holds_nothing_that_could_run(tiny: Tiny, tiny_data: Data, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"

    class Harmful:
        def __reduce__(self) -> tuple[object, ...]:
            return (print, ("run",))

    torch.save({"format": 1, "step": Harmful()}, path)
    with pytest.raises(UserError, match="damaged, or no checkpoint"):
        checkpoint.load(path, build(tiny(), tiny_data.channels, CPU), {})


@pytest.mark.long
def test_tensorboard_has_the_losses(tiny: Tiny, tiny_data: Data, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = Run(tmp_path, "a", 0)
    trained(tiny(tensorboard=True, log_every=4), tiny_data, run)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    points = events.Scalars("losses/G_L1")
    assert [point.step for point in points] == [4, 8, 12, 16, 20, 24]
    assert [point.value for point in points] == pytest.approx([float(row[3]) for row in rows(run)[1:]])


def test_stopping_is_asked_for_once_and_forced_the_second_time() -> None:
    request = StopRequest()
    request.handle(signal.SIGTERM, None)
    assert request
    with pytest.raises(KeyboardInterrupt):
        request.handle(signal.SIGINT, None)
    assert issubclass(Stopped, UserError)
