"""Confusion matrices against a count pixel by pixel, and the file they are kept in."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fcn.confusion import ImageMatrix, confusion, load, save
from fcn.errors import FcnError
from fcn.labels import IGNORE


def test_a_matrix_by_hand() -> None:
    truth = np.array([[0, 0, 1], [1, IGNORE, IGNORE]], np.uint8)
    prediction = np.array([[0, 2, 1], [1, 2, 0]])
    assert confusion(truth, prediction, 2, 3).tolist() == [[1, 0, 1], [0, 2, 0], [1, 0, 1]]


@st.composite
def _maps(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.int64], int, int]:
    classes = draw(st.integers(1, 20))
    channels = classes + draw(st.integers(0, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.integers(0, 9)), draw(st.integers(0, 9))
    truth = rng.choice(np.array([*range(classes), IGNORE], np.uint8), shape)
    return truth, rng.integers(0, channels, shape), classes, channels


@given(_maps())
def test_every_pixel_is_counted_once_where_it_belongs(
    maps: tuple[NDArray[np.uint8], NDArray[np.int64], int, int],
) -> None:
    truth, prediction, classes, channels = maps
    expected = np.zeros((classes + 1, channels), int)
    for true, predicted in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        expected[classes if true == IGNORE else true, predicted] += 1
    for kind in (np.uint8, np.int64):
        assert np.array_equal(confusion(truth, prediction.astype(kind), classes, channels), expected)


@pytest.mark.parametrize(
    ("truth", "prediction", "said"),
    [
        ([[0, 1]], [[0], [1]], "labels are 2x1 and the prediction is 1x2"),
        ([[0, 2]], [[0, 0]], "labels reach 2 .* expected class indices below 2"),
        ([[0, 254]], [[0, 0]], "labels reach 254"),
        ([[0, IGNORE]], [[0, 3]], "predictions 0 to 3; .* channels 0 to 2"),
        ([[0, 1]], [[0, -1]], "predictions -1 to 0"),
    ],
)
def test_what_cannot_be_counted_is_refused(truth: list[list[int]], prediction: list[list[int]], said: str) -> None:
    with pytest.raises(FcnError, match=said):
        confusion(np.array(truth, np.uint8), np.array(prediction), 2, 3)


@pytest.fixture
def matrices() -> dict[str, ImageMatrix]:
    rng = np.random.default_rng(0)
    return {
        f"frankfurt {index}": ImageMatrix(rng.integers(0, 2**40, (20, 20)), "3x2", "", f"key{index}")
        for index in (2, 0, 1)
    }


def test_what_is_kept_comes_back(matrices: dict[str, ImageMatrix], tmp_path: Path) -> None:
    path = tmp_path / "new" / "fcn-confusion.npz"
    path.parent.mkdir()
    save(path, "a scorer", matrices)
    back = load(path, "a scorer")
    assert list(back) == sorted(matrices)
    for id_, image in matrices.items():
        assert back[id_]._replace(counts=image.counts) == image
        assert np.array_equal(back[id_].counts, image.counts)
    save(path, "a scorer", {})
    assert load(path, "a scorer") == {}
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_nothing_comes_back_without_a_file_or_from_another_scorer(
    matrices: dict[str, ImageMatrix], tmp_path: Path
) -> None:
    path = tmp_path / "fcn-confusion.npz"
    assert load(path, "a scorer") == {}
    save(path, "a scorer", matrices)
    assert load(path, "another") == {}


def test_of_a_file_of_something_else_nothing_of_numpy_is_said(matrices: dict[str, ImageMatrix], tmp_path: Path) -> None:
    path = tmp_path / "fcn-confusion.npz"
    np.savez(tmp_path / "objects.npz", format=np.array([{}], dtype=object))
    np.savez(tmp_path / "others.npz", a=np.zeros(3))
    files = [(tmp_path / name).read_bytes() for name in ("objects.npz", "others.npz")]
    for junk in (b"junk", b"\x80\x04N.", *files):
        path.write_bytes(junk)
        with pytest.raises(FcnError) as refused:
            load(path, "a scorer")
        assert str(refused.value) == (
            f"{path}: found something else, or a damaged file; expected the confusion matrices that scoring keeps; "
            "move it away to score anew"
        )
    save(path, "a scorer", matrices)
    with np.load(path) as archive:
        np.savez(path, **{**archive, "format": 7})
    with pytest.raises(FcnError, match="found format 7, expected 1; move it away"):
        load(path, "a scorer")


def test_a_damaged_file_is_named(matrices: dict[str, ImageMatrix], tmp_path: Path) -> None:
    path = tmp_path / "fcn-confusion.npz"
    save(path, "a scorer", matrices)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for cut in (0, 1, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(
            FcnError, match=r"fcn-confusion\.npz: found something else, or a damaged file; exp.* move it"
        ):
            load(path, "a scorer")
    for _ in range(100):
        flipped = bytearray(whole)
        flipped[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        path.write_bytes(flipped)
        with suppress(FcnError):  # and nothing else; some bits matter to nobody
            load(path, "a scorer")
    path.write_bytes(b"")
    np.savez_compressed(path, format=np.array(2))
    with pytest.raises(FcnError, match="format 2, expected 1"):
        load(path, "a scorer")


def test_matrices_that_were_changed_are_not_scored(matrices: dict[str, ImageMatrix], tmp_path: Path) -> None:
    path = tmp_path / "fcn-confusion.npz"
    save(path, "a scorer", matrices)
    with np.load(path) as archive:
        content = dict(archive)
    content["matrices"][0, 0, 0] += 1
    np.savez_compressed(path, **content)
    with pytest.raises(FcnError, match="was changed since it was written; move it away to score anew"):
        load(path, "a scorer")
    del content["sha256"]  # as older versions wrote them
    np.savez_compressed(path, **content)
    assert load(path, "a scorer").keys() == matrices.keys()
