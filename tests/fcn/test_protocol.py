"""Both protocols against values worked out by hand and a plain reimplementation that works on pixels."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fcn.confusion import confusion
from fcn.labels import IGNORE
from fcn.score_protocols import PROTOCOLS, RULES, Protocol, counted, dropped, published_text, scores
from tests.fcn.plain import CLASSES, official, random_maps, strict


def matrix(truth: list[int], prediction: list[int], classes: int, channels: int) -> NDArray[np.int64]:
    return confusion(np.array([truth], np.uint8), np.array([prediction]), classes, channels)


def test_the_official_rules_by_hand() -> None:
    # Two classes, a third channel. Truth 0 predicted 2 lands in cell 2*0+2 = 2: class 1 predicted as 0.
    one = matrix([0, 0, 0, 1, IGNORE], [0, 2, 1, 1, 2], 2, 3)
    assert counted(one, "official").tolist() == [[1, 1], [1, 1]]
    found = scores(counted(one, "official"), "official")
    assert found.pixel_accuracy == pytest.approx(2 / 4, abs=1e-12)
    assert found.accuracies.tolist() == pytest.approx([1 / 2, 1 / 2], abs=1e-12)
    assert found.ious.tolist() == pytest.approx([1 / 3, 1 / 3], abs=1e-12)


def test_the_strict_rules_by_hand() -> None:
    one = matrix([0, 0, 0, 1, IGNORE], [0, 2, 1, 1, 2], 2, 3)
    found = scores(counted(one, "strict"), "strict")
    assert found.pixel_accuracy == pytest.approx(2 / 4)
    assert found.accuracies.tolist() == pytest.approx([1 / 3, 1])
    assert found.ious.tolist() == pytest.approx([1 / 3, 1 / 2])
    assert found.class_accuracy == pytest.approx(2 / 3)
    assert found.class_iou == pytest.approx(5 / 12)


def test_one_pixel_beyond_the_last_cell_drops_the_image() -> None:
    good, bad = matrix([0, 1], [0, 1], 2, 3), matrix([1, *[0] * 9], [2, *[0] * 9], 2, 3)
    assert dropped(np.stack([good, bad])).tolist() == [False, True]
    assert counted(np.stack([good, bad]), "official").sum(axis=(1, 2)).tolist() == [2, 0]
    assert counted(np.stack([good, bad]), "strict").sum(axis=(1, 2)).tolist() == [2, 10]
    ignored = matrix([IGNORE, 0], [2, 0], 2, 3)  # what is predicted on ignored pixels is nobody's concern
    assert not dropped(ignored)


def test_absent_classes() -> None:
    one = matrix([3] * 7, [3] * 7, CLASSES, CLASSES + 1)  # one perfect class alone
    found = scores(counted(one, "official"), "official")
    assert found.class_accuracy == pytest.approx(1 / 19)
    assert found.class_iou == pytest.approx(1 / 19)
    found = scores(counted(one, "strict"), "strict")
    assert [float(value) for value in found[:3]] == [1, 1, 1]
    assert np.isnan(found.ious).sum() == np.isnan(found.accuracies).sum() == 18
    # A class that is predicted and never true has an IoU of 0; no pixel of it can be found, so it has no accuracy.
    found = scores(counted(matrix([0, 0], [0, 1], 3, 3), "strict"), "strict")
    assert found.ious.tolist() == pytest.approx([1 / 2, 0, np.nan], nan_ok=True)
    assert found.class_iou == pytest.approx(1 / 4)
    assert found.accuracies.tolist() == pytest.approx([1 / 2, np.nan, np.nan], nan_ok=True)
    assert found.class_accuracy == pytest.approx(1 / 2)
    # Unless all pixels that got it are ignored ones.
    found = scores(counted(matrix([0, IGNORE], [0, 1], 3, 3), "strict"), "strict")
    assert found.ious.tolist() == pytest.approx([1, np.nan, np.nan], nan_ok=True)
    # 6 of 19 classes occur, the other 13 are predicted: Cityscapes counts them.
    truth = [class_ for class_ in range(6) for _ in range(40)]
    wrong = [*range(6, 19), *range(6, 19), *[0] * 14]
    predicted = [wrong[place % 40] if place % 40 < 13 else class_ for place, class_ in enumerate(truth)]
    found = scores(counted(matrix(truth, predicted, 19, 19), "strict"), "strict")
    assert found.class_iou == pytest.approx(6 * 27 / 40 / 19)
    assert found.class_accuracy == pytest.approx(27 / 40)


def test_nothing_labelled() -> None:
    none = matrix([IGNORE] * 3, [0, 1, 2], 2, 3)
    for protocol in PROTOCOLS:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = scores(counted(none, protocol), protocol)
        assert all(np.isnan(value).all() for value in found)
    text = published_text(scores(counted(none, "official"), "official"), ["road", "sky"])
    assert text.splitlines()[0] == "Mean pixel accuracy: 0.000000"  # as the script prints it
    assert text.splitlines()[-1] == "sky            : acc = 0.000000, iou = 0.000000"


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 6), st.sampled_from([0.0, 0.001, 0.05]))
def test_both_equal_a_plain_reimplementation(seed: int, images: int, beyond: float) -> None:
    maps = random_maps(np.random.default_rng(seed), images, beyond)
    matrices = np.stack([confusion(truth, prediction, CLASSES, CLASSES + 1) for truth, prediction in maps])
    expected, images_dropped = official(maps)
    found = scores(counted(matrices, "official").sum(axis=0), "official")
    assert [float(value) for value in found[:3]] == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert [f"{value:f}" for value in found[:3]] == [f"{value:f}" for value in expected]
    assert dropped(matrices).sum() == images_dropped
    found = scores(counted(matrices, "strict").sum(axis=0), "strict")
    assert [float(value) for value in found[:3]] == pytest.approx(strict(maps), abs=1e-12, nan_ok=True)


def test_the_random_maps_hold_all_that_the_rules_are_about() -> None:
    partly_dropped = 0
    for seed in range(30):
        maps = random_maps(np.random.default_rng(seed), 6, 0.001)
        truth, prediction = (np.concatenate([pair[side].ravel() for pair in maps]) for side in (0, 1))
        shifted = ((prediction == 19) & (truth < 18)).any()
        partly_dropped += bool(shifted and (truth == IGNORE).any() and 0 < official(maps)[1] < len(maps))
    assert partly_dropped > 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_many_at_once_are_each_alone(protocol: Protocol) -> None:
    maps = random_maps(np.random.default_rng(3), 5, 0.001)
    matrices = np.stack([confusion(truth, prediction, CLASSES, CLASSES + 1) for truth, prediction in maps])
    together = scores(counted(matrices, protocol), protocol)
    for index, one in enumerate(matrices):
        alone = scores(counted(one, protocol), protocol)
        for many, single in zip(together, alone, strict=True):
            assert np.array_equal(many[index], single, equal_nan=True)
    in_single = scores(counted(matrices, protocol).astype(np.float32), protocol)
    for name, value in in_single._asdict().items():
        assert value == pytest.approx(getattr(together, name), rel=1e-5, nan_ok=True)


def test_channels_as_many_as_classes_leave_only_absent_classes_between_the_protocols() -> None:
    rng = np.random.default_rng(5)
    one = rng.integers(1, 50, (20, 19))
    assert not dropped(one)
    found = [scores(counted(one, name), name)[:3] for name in PROTOCOLS]
    assert [float(v) for v in found[0]] == pytest.approx([float(v) for v in found[1]])
    assert RULES.keys() == set(PROTOCOLS)
