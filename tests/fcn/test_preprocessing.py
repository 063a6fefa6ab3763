"""What the network is shown of a photo, by hand and by Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from fcn.preprocessing import resized, to_tensor


def photo(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def bilinear(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def test_blue_comes_first_and_the_mean_is_taken_off() -> None:
    one = np.array([[[10, 100, 200], [0, 0, 0]]], np.uint8)  # red, green, blue
    image = to_tensor(one)
    assert image.shape == (1, 3, 1, 2)
    assert image.dtype == torch.float32
    assert image[0, :, 0, 0].tolist() == pytest.approx([200 - 72.78044, 100 - 83.21195, 10 - 73.45286], abs=1e-5)
    assert image[0, :, 0, 1].tolist() == pytest.approx([-72.78044, -83.21195, -73.45286], abs=1e-5)


def test_rows_stay_rows_and_columns_columns() -> None:
    pixels = photo(5, 7)
    image = to_tensor(pixels)[0]
    assert image.shape == (3, 5, 7)
    mean = np.array([72.78044, 83.21195, 73.45286])
    for row in range(5):
        for column in range(7):
            expected = pixels[row, column, ::-1] - mean
            assert image[:, row, column].tolist() == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.parametrize("mirrored", [False, True])
def test_channels_lie_side_by_side_in_memory(mirrored: bool) -> None:
    pixels = photo(6, 8)
    image = to_tensor(pixels[:, ::-1] if mirrored else pixels)
    assert image.is_contiguous(memory_format=torch.channels_last)
    assert image.equal(to_tensor(pixels).flip(3) if mirrored else to_tensor(pixels))


def test_a_photo_is_left_as_it_was() -> None:
    pixels = photo(40, 60)
    before = pixels.copy()
    to_tensor(resized(pixels, 32, 64, 48))
    to_tensor(resized(pixels, None, 60, 40))
    to_tensor(pixels)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize(("height", "width"), [(256, 256), (300, 200), (40, 60), (1, 1)])
def test_two_resizes_on_eight_bits(height: int, width: int) -> None:
    pixels = photo(height, width)
    square = bilinear(pixels, 64, 64)
    made = resized(pixels, 64, 96, 80)
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made, bilinear(square, 96, 80))
    if (height, width) != (1, 1):
        assert not np.array_equal(made, bilinear(pixels, 96, 80))  # else the first one was for nothing


def test_without_a_photo_size_there_is_one_resize() -> None:
    pixels = photo(30, 50)
    np.testing.assert_array_equal(resized(pixels, None, 90, 70), bilinear(pixels, 90, 70))


def test_the_right_size_is_left_alone() -> None:
    square = photo(64, 64)
    np.testing.assert_array_equal(resized(square, 64, 64, 64), square)
    np.testing.assert_array_equal(resized(square, 64, 96, 80), bilinear(square, 96, 80))
    wide = photo(48, 96)
    np.testing.assert_array_equal(resized(wide, None, 96, 48), wide)
    np.testing.assert_array_equal(resized(wide, 64, 64, 64), bilinear(wide, 64, 64))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(0, 255))
def test_a_plain_colour_stays_what_it_is(height: int, width: int, to: int, wide: int, value: int) -> None:
    plain = np.full((height, width, 3), (value, 255 - value, 7), np.uint8)
    made = resized(plain, 16, wide, to)
    assert made.shape == (to, wide, 3)
    assert (made == (value, 255 - value, 7)).all()


def test_a_grey_gradient_enlarged_rises_evenly() -> None:
    ramp = np.repeat(np.arange(0, 256, 8, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(32, axis=0)  # 32x32
    made = resized(ramp, None, 128, 64)
    assert (made == made[..., :1]).all()
    assert (made == made[:1]).all()
    inner = made[0, 2:-2, 0].astype(int)  # beyond the centres of the first and the last pixel there is nothing to see
    expected = 8 * ((np.arange(128) + 0.5) / 4 - 0.5)[2:-2]
    assert np.abs(inner - expected).max() <= 0.5
    assert (np.diff(inner) == 2).all()
