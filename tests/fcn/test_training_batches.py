"""What a training sees: batches, class weights, and what is kept in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from fcn import training_batches
from fcn.labels import IGNORE
from fcn.preprocessing import resized, to_tensor
from fcn.scoring import Example
from fcn.training_batches import Decoded, batches, class_weights
from tests.fcn.toy import CLASSES, example, labelled, scene, scenes


def numbered(count: int, height: int = 4, width: int = 4) -> list[Example]:
    """Photos of one colour each, bright on the left."""
    pictures = []
    for index in range(count):
        photo = np.full((height, width, 3), 10 * index, np.uint8)
        photo[:, 0] += 5
        labels = np.zeros((height, width), np.uint8)
        labels[:, 0] = 1
        pictures.append(example((photo, labels), str(index)))
    return pictures


def seen(examples: Sequence[Example], size: int, first: int, last: int, seed: int = 0) -> list[tuple[int, bool]]:
    """Which items are drawn, and whether each is mirrored."""
    found = []
    for images, labels in batches(Decoded(examples, None, 2), size, seed, first, last):
        assert images.shape == (size, 3, 4, 4)
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert labels.shape == (size, 4, 4)
        assert labels.dtype == torch.int64
        for image, truth in zip(images[:, 0] + 72.78044, labels, strict=True):
            mirrored = bool(truth[0, -1] == 1)
            bright, dark = (-1, 0) if mirrored else (0, -1)
            number = round(float(image[0, dark]) / 10)
            assert torch.round(image[:, bright]).tolist() == [10 * number + 5] * 4  # photo and labels alike
            assert truth[:, bright].tolist() == [1] * 4
            assert truth.sum() == 4
            found.append((number, mirrored))
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10])
def test_every_epoch_goes_through_every_item_once_in_another_order(size: int) -> None:
    items, epochs = 7, 20
    drawn = seen(numbered(items), size, 0, items * epochs // size)
    orders = [
        tuple(number for number, _ in drawn[begin : begin + items]) for begin in range(0, len(drawn) - items + 1, items)
    ]
    assert len(orders) >= epochs - 1
    assert all(sorted(order) == list(range(items)) for order in orders)
    assert len(set(orders)) > 0.9 * len(orders)
    assert 0.3 < np.mean([mirrored for _, mirrored in drawn]) < 0.7


def test_a_batch_is_that_of_its_step_whatever_came_before() -> None:
    examples = numbered(5)
    whole = seen(examples, 2, 0, 12)
    assert seen(examples, 2, 7, 12) == whole[14:]
    other = seen(examples, 2, 0, 12, seed=1)
    assert all([pair[part] for pair in other] != [pair[part] for pair in whole] for part in (0, 1))
    assert seen(examples, 2, 12, 12) == []


def test_leaving_in_the_middle_ends_what_reads_ahead() -> None:
    before = threading.active_count()
    drawn = batches(Decoded(numbered(5), None, 2), 2, 0, 0, 100)
    next(drawn)
    drawn.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_class_weights_by_hand() -> None:
    examples = [labelled([0, 0, 0, 0], [0, 0, 2, IGNORE]), labelled([0, 0, 2, IGNORE])]
    shares = [0.8, 0, 0.2]
    raw = [0.8**-0.75, 0.2**-0.75, 0.2**-0.75]  # the second does not occur, and may elsewhere
    mean = sum(weight * share for weight, share in zip(raw, shares, strict=True))
    found = class_weights(Decoded(examples, None, 3), 5)
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx([raw[0] / mean, raw[1] / mean, raw[2] / mean, 0, 0], rel=1e-6)
    assert class_weights(Decoded([labelled([1, 1])], None, 3), 4).tolist() == pytest.approx([1, 1, 1, 0])


def test_rare_classes_weigh_more_and_the_mean_over_pixels_is_1() -> None:
    labels = np.random.default_rng(0).choice(np.arange(4, dtype=np.uint8), (60, 80), p=[0.6, 0.3, 0.09, 0.01])
    found = class_weights(Decoded([labelled(*labels)], None, 4), 4).numpy()
    assert (np.diff(found) > 0).all()
    assert found[labels].mean() == pytest.approx(1, rel=1e-5)


def test_photos_see_the_same_size_rule_as_in_scoring() -> None:
    photo, labels = scene(0)[0][:40, :30], scene(0)[1]
    image, truth = Decoded([example((photo, labels))], 36, CLASSES).tensors(0, mirrored=False)
    assert image.equal(to_tensor(resized(photo, 36, 64, 48)))
    np.testing.assert_array_equal(truth[0].numpy(), labels)
    image, truth = Decoded([example((photo, labels))], 36, CLASSES).tensors(0, mirrored=True)
    assert image.equal(to_tensor(resized(photo, 36, 64, 48)).flip(3))
    np.testing.assert_array_equal(truth[0].numpy(), labels[:, ::-1])


def test_examples_are_read_once_as_long_as_memory_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    examples = Decoded(scenes(range(4), loads=loads), None, CLASSES)
    for _ in range(3):
        for index in range(4):
            examples.tensors(index, mirrored=False)
    assert len(loads) == 4
    loads.clear()
    monkeypatch.setattr(training_batches, "MEMORY", 2 * 48 * 64 * 4)  # of two photos and their labels
    examples = Decoded(scenes(range(4), loads=loads), None, CLASSES)
    for _ in range(3):
        for index in range(4):
            examples.tensors(index, mirrored=False)
    assert [loads.count(f"scene {seed}") for seed in range(4)] == [1, 1, 3, 3]
