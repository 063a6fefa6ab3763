"""Training on toy scenes: it learns, it goes on as if it had never stopped, and it says what it cannot learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fcn import training_batches
from fcn.confusion import confusion
from fcn.errors import FcnError
from fcn.labels import IGNORE
from fcn.network import FCN, FcnArchitecture, draw_weights, with_batch_norm
from fcn.preprocessing import resized, to_tensor
from fcn.score_protocols import counted, scores
from fcn.scoring import Example
from fcn.segmenting import segment
from fcn.training import Checkpoint, FcnProgress, Settings, TrainedFcn, TrainingSet, one_cycle, train
from fcn.training_batches import Decoded, batches, class_weights
from tests.fcn.toy import CLASSES, example, scene, scenes

SMALL = FcnArchitecture(CLASSES, width=1 / 32, hidden=8, stride=8, padding="layers")
SETTINGS = Settings(steps=9, batch_size=3, learning_rate=1e-2, validate_every=2)


LEARNED, HELD_OUT = scenes(range(7), 32, 32), scenes(range(100, 103), 32, 32)


def first_network(architecture: FcnArchitecture = SMALL, norm: bool = False) -> FCN:
    network = FCN(architecture)
    draw_weights(network, torch.Generator().manual_seed(0))
    if norm:
        with_batch_norm(network)
    return network


Report = Callable[[FcnProgress], None]


def quietly(progress: FcnProgress) -> None:
    pass


def trained(
    checkpoint: Path,
    report: Report = quietly,
    *,
    settings: Settings = SETTINGS,
    learned: Sequence[Example] = LEARNED,
    held_out: Sequence[Example] = HELD_OUT,
    made_by: str = "a test",
    seconds: float = 1e9,
    network: FCN | None = None,
    norm: bool = False,
) -> TrainedFcn:
    network = network or first_network(norm=norm)
    data = TrainingSet(learned, held_out, CLASSES, None)
    return train(network, data, settings, Checkpoint(checkpoint, seconds, made_by), report)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "training.checkpoint"


class Stop(Exception):
    """What somebody who has enough raises."""


def stop_at(step: int) -> Report:
    def report(progress: FcnProgress) -> None:
        if progress.step == step:
            raise Stop

    return report


def assert_same(one: TrainedFcn, other: TrainedFcn) -> None:
    assert one[1:] == other[1:]
    expected = other.network.state_dict()
    for name, value in one.network.state_dict().items():
        assert value.equal(expected[name]), name


def class_iou(network: FCN, examples: Sequence[Example]) -> float:
    matrices = []
    for item in examples:
        photo, labels, _ = item.load()
        image = to_tensor(resized(photo, None, labels.shape[1], labels.shape[0]))
        matrices.append(confusion(labels, segment(network, image), CLASSES, network.architecture.channels))
    return float(scores(counted(np.sum(matrices, axis=0), "strict"), "strict").class_iou)


@pytest.mark.long
def test_colours_are_learned_within_seconds(path: Path) -> None:
    architecture = FcnArchitecture(CLASSES, width=1 / 8, hidden=32, stride=2, padding="layers")
    settings = Settings(steps=120, batch_size=4, learning_rate=1e-2, validate_every=40)
    told: list[FcnProgress] = []
    found = trained(
        path,
        told.append,
        settings=settings,
        learned=scenes(range(40)),
        held_out=scenes(range(100, 110)),
        network=first_network(architecture, norm=True),
    )
    assert found.class_iou > 0.9
    assert class_iou(found.network, scenes(range(200, 210))) > 0.9
    assert not found.network.training
    assert found.network.state_dict().keys() == FCN(architecture).state_dict().keys()
    assert [progress.step for progress in told] == list(range(1, 121))
    assert {progress.total for progress in told} == {120}
    assert [progress.step for progress in told if progress.validation is not None] == [40, 80, 120]
    assert told[-1].loss < 0.5 * told[0].loss
    assert told[-1].seconds_left == 0
    assert all(progress.seconds_left > 0 for progress in told[:-1])


@pytest.mark.long
@pytest.mark.parametrize("norm", [False, True], ids=["plain", "batch norm"])
@pytest.mark.parametrize("stops", [[4], [1, 6], [9], [2, 3, 8]], ids=str)
def test_stopped_and_resumed_equals_uninterrupted(stops: list[int], norm: bool, path: Path) -> None:
    whole = trained(path.with_name("other"), norm=norm)
    for step in stops:
        with pytest.raises(Stop):
            trained(path, stop_at(step), norm=norm)
    told: list[int] = []
    again = trained(path, lambda progress: told.append(progress.step), norm=norm)
    assert told == list(range(stops[-1] + 1, 10))
    assert_same(again, whole)


@pytest.mark.long
def test_a_training_keeps_its_number_of_threads(path: Path) -> None:
    before, seen = torch.get_num_threads(), []

    def report(progress: FcnProgress) -> None:
        seen.append(torch.get_num_threads())
        stop_at(4)(progress)

    try:
        torch.set_num_threads(3)
        with pytest.raises(Stop):
            trained(path, report)
        torch.set_num_threads(1)
        found = trained(path, report)
        assert (seen, found.threads, torch.get_num_threads()) == ([3] * 9, 3, 1)
    finally:
        torch.set_num_threads(before)


def test_a_finished_training_is_there_at_once(path: Path) -> None:
    whole = trained(path)
    assert_same(trained(path, lambda progress: pytest.fail("there is nothing to do")), whole)


@pytest.mark.long
def test_a_checkpoint_saved_after_any_step_goes_on_the_same(path: Path) -> None:
    """As after SIGKILL: what was last saved is all there is."""
    kept: dict[int, bytes] = {}

    def report(progress: FcnProgress) -> None:
        if progress.step > 1:
            kept[progress.step - 1] = path.read_bytes()

    whole = trained(path, report, seconds=0, norm=True)
    assert list(kept) == list(range(1, 9))
    for step in (1, 5, 8):
        path.write_bytes(kept[step])
        assert_same(trained(path, norm=True), whole)


@pytest.mark.long
def test_a_second_ctrl_c_in_the_middle_of_a_step_leaves_a_checkpoint_that_goes_on_the_same(path: Path) -> None:
    whole = trained(path.with_name("other"), norm=True)
    network, calls = first_network(norm=True), 0

    def interrupt(*_: object) -> None:
        nonlocal calls
        calls += network.training
        if calls == 6:
            raise KeyboardInterrupt

    network.get_submodule("fc7_cs").register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        trained(path, network=network, seconds=0)
    told: list[int] = []
    assert_same(trained(path, lambda progress: told.append(progress.step), norm=True), whole)
    assert told[0] == 6


@pytest.mark.parametrize(
    "change",
    [
        {"made_by": "another"},
        {"settings": replace(SETTINGS, steps=10)},
        {"settings": replace(SETTINGS, batch_size=2)},
        {"settings": replace(SETTINGS, learning_rate=0.011)},
        {"settings": replace(SETTINGS, validate_every=3)},
        {"settings": replace(SETTINGS, seed=1)},
        {"network": first_network(FcnArchitecture(CLASSES, 1 / 16, 8, 8, "layers"))},
        {"norm": True},
    ],
    ids=lambda change: str(*change),
)
def test_another_training_s_checkpoint_is_refused(change: dict[str, object], path: Path) -> None:
    with pytest.raises(Stop):
        trained(path, stop_at(3))
    before = path.read_bytes()
    with pytest.raises(FcnError) as caught:
        trained(path, **change)  # type: ignore[arg-type]
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "delete it to begin anew" in said
    assert "\n" not in said
    assert path.read_bytes() == before


@pytest.mark.long
def test_a_damaged_checkpoint_is_named(path: Path) -> None:
    with pytest.raises(Stop):
        trained(path, stop_at(3))
    whole = path.read_bytes()
    torch.save(torch.zeros(3), path)
    tensor = path.read_bytes()
    torch.save({"format": 2}, path)
    version = path.read_bytes()
    texts = [b"", b"text", b"{}", b"hello world\n", b"<!DOCTYPE html>"]
    damaged = [*texts, *(whole[:cut] for cut in range(1, len(whole), len(whole) // 50)), whole[:-1], tensor, version]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(FcnError) as caught:
            trained(path)
        said = str(caught.value)
        assert said.startswith(f"{path}: no checkpoint that fits (")
        assert said.endswith("); delete it to begin anew")
        assert "\n" not in said
        assert path.read_bytes() == content


def test_the_best_network_is_the_one_of_the_best_validation(path: Path) -> None:
    # A rate that is far too high spoils what was there, and no step repairs it.
    settings = Settings(steps=8, batch_size=3, learning_rate=3.0, validate_every=1)
    told: list[float] = []

    def report(progress: FcnProgress) -> None:
        assert progress.validation is not None
        told.append(float(progress.validation.class_iou))

    found = trained(path, report, settings=settings, norm=True)
    assert found.class_iou == max(told)
    assert found.step == 1 + told.index(max(told))
    assert found.last_class_iou == told[-1]
    assert found.step < 8
    assert found.class_iou > found.last_class_iou
    assert class_iou(found.network, HELD_OUT) == found.class_iou


def test_the_first_step_by_hand(path: Path) -> None:
    """Cross entropy in which rare classes weigh more; and Adam, whose first step is as large as its rate."""
    settings = replace(SETTINGS, steps=40)
    told: list[FcnProgress] = []

    def report(progress: FcnProgress) -> None:
        told.append(progress)
        raise Stop

    network = first_network()
    with pytest.raises(Stop):
        trained(path, report, settings=settings, network=network)
    examples = Decoded(LEARNED, None, CLASSES)
    images, labels = next(batches(examples, settings.batch_size, settings.seed, 0, 1))
    weight = class_weights(examples, CLASSES).double()
    with torch.no_grad():
        surprise = -first_network()(images).double().log_softmax(1).permute(0, 2, 3, 1)[labels != IGNORE]
    classes = labels[labels != IGNORE]
    expected = (weight[classes] * surprise[range(len(classes)), classes]).sum() / weight[classes].sum()
    assert told[0].loss == pytest.approx(float(expected), rel=1e-5)
    changes = [(value - old).abs().max() for value, old in zip(weights(network), weights(first_network()), strict=True)]
    assert max(changes) == pytest.approx(settings.learning_rate * one_cycle(0, 40), rel=1e-3)


def test_the_rate_rises_and_falls_once() -> None:
    for steps in (1, 2, 5, 40, 1000):
        rates = [one_cycle(step, steps) for step in range(steps)]
        peak = rates.index(1.0)
        assert all(0 < rate <= 1 for rate in rates)
        assert rates[: peak + 1] == sorted(rates[: peak + 1])
        assert rates[peak:] == sorted(rates[peak:], reverse=True)
        assert peak <= 0.1 * steps
        if steps >= 40:
            assert rates[0] <= 0.25
            assert rates[-1] < 0.01


@pytest.mark.long
def test_channels_beyond_the_classes_are_trained_away(path: Path) -> None:
    network = first_network(FcnArchitecture(CLASSES + 2, 1 / 32, 8, 8, "layers"), norm=True)
    found = trained(path, network=network, settings=replace(SETTINGS, steps=30))
    for item in HELD_OUT:
        assert segment(found.network, to_tensor(item.load().photo)).max() < CLASSES


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(FcnError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_labels_of_two_sizes_in_one_batch(path: Path) -> None:
    learned = [*scenes(range(3), 32, 48), *scenes(range(3), 40, 32)]
    settings = Settings(steps=4, batch_size=6, learning_rate=1e-3, validate_every=2)
    said = refusal(lambda: trained(path, learned=learned, settings=settings))
    assert said == "labels of 48x32 and 32x40 in one batch; expected one size, or a batch size of 1"
    found = trained(path, learned=learned, settings=replace(settings, batch_size=1))
    assert found.step in (2, 4)


def test_labels_beyond_the_classes(path: Path) -> None:
    photo, labels = scene(0, 32, 32)
    labels[3, 4] = CLASSES
    bad = example((photo, labels), "bad")
    expected = f"item bad: labels reach {CLASSES}; expected class indices below {CLASSES} (or 255 for ignored pixels)"
    assert refusal(lambda: trained(path, learned=[*LEARNED, bad])) == expected
    assert refusal(lambda: trained(path, held_out=[*HELD_OUT, bad])) == expected


def weights(network: FCN) -> list[Tensor]:
    return [value.detach().clone() for value in network.parameters()]


def test_a_loss_that_is_not_finite_stops_before_the_update(path: Path) -> None:
    network = first_network()
    with torch.no_grad():
        network.get_parameter("conv1_1.weight").fill_(torch.inf)
    before = weights(network)
    said = refusal(lambda: trained(path, network=network))
    assert said.startswith("the loss is nan at step 1; stopped before the update. Lower the learning rate, or look at")
    assert all(value.equal(old) for value, old in zip(weights(network), before, strict=True))
    assert not path.exists()


def test_a_training_that_diverges_says_so(path: Path) -> None:
    network, steps = first_network(), 0
    seen: list[list[Tensor]] = []

    def report(progress: FcnProgress) -> None:
        nonlocal steps
        steps = progress.step
        seen.append(weights(network))

    settings = replace(SETTINGS, steps=200, learning_rate=1e12)
    said = refusal(lambda: trained(path, report, network=network, settings=settings))
    assert f"at step {steps + 1}; stopped before the update" in said
    assert all(value.equal(old) for value, old in zip(weights(network), seen[-1], strict=True))


def test_a_batch_without_a_labelled_pixel(path: Path) -> None:
    blank = example((scene(0, 32, 32)[0], np.full((32, 32), IGNORE, np.uint8)), "blank")
    said = refusal(lambda: trained(path, learned=[blank] * 3))
    assert "the loss is nan at step 1" in said
    assert "a batch without a single labelled pixel" in said


def test_nothing_to_learn_from_or_to_choose_by(path: Path) -> None:
    assert refusal(lambda: trained(path, learned=[])) == (
        "found 0 training and 3 validation items; expected some of each"
    )
    assert refusal(lambda: trained(path, held_out=[])) == (
        "found 7 training and 0 validation items; expected some of each"
    )


@pytest.mark.long
@pytest.mark.parametrize("every", [2, 100])
def test_validation_without_a_labelled_pixel(every: int, path: Path) -> None:
    blank = example((scene(0, 32, 32)[0], np.full((32, 32), IGNORE, np.uint8)), "blank")
    settings = replace(SETTINGS, validate_every=every)
    for _ in range(6):  # however often it is tried
        said = refusal(lambda: trained(path, held_out=[blank] * 2, settings=settings, seconds=0))
        assert said == "the 2 validation items have no labelled pixel; expected some to choose by"


@pytest.mark.long
def test_less_memory_trains_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = trained(path.with_name("other"))
    monkeypatch.setattr(training_batches, "MEMORY", 0)
    assert_same(trained(path), whole)
