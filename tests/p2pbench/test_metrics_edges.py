"""GMSD and sharpness against other libraries and values worked out by hand, and the histograms' file."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import cv2
import numpy as np
import piq
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from p2pbench.datasets import pictures
from p2pbench.metrics import image_metrics
from p2pbench.metrics.image_metrics import ROUNDING, gmsd, gradient_energy, luminance
from tests.p2pbench.grids import score_images
from tests.p2pbench.tiny import picture


def noisy(target: NDArray[np.uint8], strength: int = 25) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(-strength, strength + 1, target.shape)
    return np.asarray(np.clip(target + noise, 0, 255), np.uint8)


def test_luminance_by_hand() -> None:
    assert luminance(np.array([[[10, 20, 30]]], np.uint8)) == pytest.approx(0.299 * 10 + 0.587 * 20 + 0.114 * 30)
    assert luminance(np.array([[[10, 20, 30, 60]]], np.uint8)) == pytest.approx(30)  # no colours known: all alike
    assert luminance(np.array([[[257 * 7]]], np.uint16)) == pytest.approx(7)
    assert luminance(np.full((1, 1, 3), 65535, np.uint16)) == pytest.approx(255)


def photo_of(name: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    image = Image.fromarray(getattr(data, name)()).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8).reshape(size[1], size[0], -1)


@pytest.mark.parametrize("size", [(256, 256), (64, 64), (63, 64), (64, 63), (75, 41), (5, 7), (3, 2), (1, 1)])
@pytest.mark.parametrize("photo", ["astronaut", "coffee", "camera"])
def test_gmsd_equals_another_librarys(photo: str, size: tuple[int, int]) -> None:
    target = photo_of(photo, size)
    blurred = np.asarray(cv2.GaussianBlur(target, (3, 3), 1.0), np.uint8).reshape(target.shape)
    for output in (noisy(target), blurred):
        sides = [torch.from_numpy(side / 255.0).permute(2, 0, 1)[None] for side in (output, target)]
        assert gmsd(output, target) == pytest.approx(piq.gmsd(*sides).item(), abs=1e-9)


def test_gmsd_by_hand_and_of_other_depths() -> None:
    target = data.camera()[:64, :64, None]
    output = noisy(target)
    assert gmsd(target, target) == 0
    assert gmsd(output, target) == gmsd(target, output) > 0.05
    deep, deep_target = (side.astype(np.uint16) * 257 for side in (output, target))
    assert gmsd(deep, deep_target) == pytest.approx(gmsd(output, target))
    many, many_target = (np.repeat(side, 5, axis=2) for side in (output, target))
    assert gmsd(many, many_target) == pytest.approx(gmsd(output, target))
    # 4x4 halved to 2x2 of white against black: each pixel sees two whites beside it, so both of Prewitt's filters give
    # two thirds of 255, and all pixels alike deviate by nothing.
    assert gmsd(np.full((4, 4, 1), 255, np.uint8), np.zeros((4, 4, 1), np.uint8)) == pytest.approx(0)
    # 2 pixels of white and black: halved 1x2, (255, 0); each filter of the other sees 85 or 0 of it.
    edge = np.array([[[255], [255], [0], [0]]] * 2, np.uint8)
    left, right = (170 / (magnitude + 170) for magnitude in (0, 85**2))
    assert gmsd(edge, np.zeros_like(edge)) == pytest.approx((left - right) / 2)


def test_energy_of_a_checkerboard_by_hand() -> None:
    side = 8
    board = (np.indices((side, side)).sum(axis=0) % 2 * 255).astype(np.uint8)[..., None]
    inner, edge, corner = (side - 2) ** 2, 4 * (side - 2), 4  # of 4, 3 and 2 neighbours of the other colour
    expected = 255**2 * (inner * 4**2 + edge * 3**2 + corner * 2**2) / side**2
    assert gradient_energy(board) == pytest.approx(expected + ROUNDING)
    assert gradient_energy(np.full((5, 3, 3), 90, np.uint8)) == pytest.approx(ROUNDING)
    assert gradient_energy(np.full((1, 1, 1), 90, np.uint8)) == pytest.approx(ROUNDING)


def test_energy_equals_another_librarys() -> None:
    photo = data.astronaut()[:101, :80]
    plane = photo @ np.array([0.299, 0.587, 0.114])
    laplacian = cv2.Laplacian(plane, cv2.CV_64F, ksize=1, borderType=cv2.BORDER_REFLECT)
    assert gradient_energy(photo) == pytest.approx(np.square(laplacian).mean() + ROUNDING)
    assert gradient_energy(photo.astype(np.uint16) * 257) == pytest.approx(gradient_energy(photo))


def test_rounding_alone_has_the_energy_that_is_added() -> None:
    ramp = np.random.default_rng(0).uniform(60, 180, (400, 400, 1))
    laplacian = cv2.Laplacian(np.rint(ramp) - ramp, cv2.CV_64F, ksize=1)
    assert np.square(laplacian).mean() == pytest.approx(ROUNDING, rel=0.02)


def test_sharpness_of_a_known_blur(tmp_path: Path) -> None:
    # Averaging three pixels of a wave of frequency w leaves (1 + 2 cos w) / 3 of it, and the square of that in energy.
    frequency = 2 * np.pi / 8
    wave = 30000 * np.cos(frequency * (np.arange(256) + 0.5))  # its mirror at both ends, like the border's
    sharp, blurred = (
        np.broadcast_to(32768 + factor * wave, (16, 256)).round().astype(np.uint16)[..., None]
        for factor in (1, (1 + 2 * np.cos(frequency)) / 3)
    )
    assert np.array_equal(blurred[0, 1:-1, 0], np.convolve(sharp[0, :, 0], np.ones(3) / 3, "valid").round())
    path = pictures.write(tmp_path / "a", blurred)
    found = score_images({"a": path}, lambda id_: sharp, 1).scores.metrics["sharpness"].value
    assert found == pytest.approx(((1 + 2 * np.cos(frequency)) / 3) ** 2, rel=1e-3)


def test_sharpness_pools_items_and_stays_finite_where_targets_are_flat(tmp_path: Path) -> None:
    flat = np.full((32, 32, 3), 120, np.uint8)
    targets = {"busy": noisy(picture(0, 32), 60), "flat": flat, "smooth": picture(1, 32)}
    outputs = {"busy": picture(0, 32), "flat": noisy(flat, 3), "smooth": targets["smooth"]}
    files = {id_: pictures.write(tmp_path / id_, output) for id_, output in outputs.items()}
    scores = score_images(files, lambda id_: targets[id_], 3).scores
    scores.check()  # finite, all of it
    sharpness = scores.metrics["sharpness"]
    energies = np.array([[gradient_energy(side[id_]) for id_ in sorted(targets)] for side in (outputs, targets)])
    assert sharpness.per_item is not None
    assert sharpness.per_item.tolist() == pytest.approx((energies[0] / energies[1]).tolist())
    assert sharpness.value == pytest.approx(energies[0].sum() / energies[1].sum())
    assert sharpness.per_item[1] > 2 > 0.2 > sharpness.value  # the flat one rules a mean of ratios, and not this
    assert sharpness.per_item[2] == 1
    # A draw of the busy item alone, thrice, gives its own ratio: the least that there can be.
    assert sharpness.replicates.min() == pytest.approx(sharpness.per_item[0])


def test_the_histograms_file_holds_all_pixels(tmp_path: Path) -> None:
    targets = {"a": picture(0, 32), "b": picture(1, 32)}
    files = {id_: pictures.write(tmp_path / id_, noisy(target)) for id_, target in targets.items()}
    histograms = score_images(files, lambda id_: targets[id_], 2).histograms
    assert histograms is not None
    rows = list(csv.DictReader(io.StringIO(image_metrics.histogram_csv(*histograms))))
    assert [row["channel"] for row in rows] == ["L"] * 100 + ["a"] * 100 + ["b"] * 100
    assert list(rows[0]) == ["channel", "low", "high", "output", "target"]
    assert (rows[0]["low"], rows[0]["high"], rows[99]["high"]) == ("0", "1", "100")
    for first in (100, 200):
        assert [rows[place][end] for place, end in ((first, "low"), (first + 99, "high"))] == ["-110", "110"]
    assert rows[101]["low"] == "-107.8"
    for channel in range(3):
        own = rows[100 * channel : 100 * (channel + 1)]
        for side, some in (("output", map(pictures.read, files.values())), ("target", targets.values())):
            expected = sum(image_metrics.lab_histograms(one.astype(np.uint8))[channel] for one in some)
            assert [int(row[side]) for row in own] == np.asarray(expected).tolist()
