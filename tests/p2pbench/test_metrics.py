"""Image scores against another library and values worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import piq
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.color import rgb2lab

from p2pbench.datasets import pictures, transforms
from p2pbench.datasets.decoders import Picture
from p2pbench.errors import UserError
from p2pbench.metrics import image_metrics
from tests.p2pbench.grids import score_images
from tests.p2pbench.tiny import picture


@pytest.fixture
def pair() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    noise = np.random.default_rng(0).integers(-20, 21, (64, 48, 3))
    target = np.asarray(Image.fromarray(picture(1)).resize((48, 64)))
    return np.clip(target + noise, 0, 255).astype(np.uint8), target


def tensor(values: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(values / 255.0).permute(2, 0, 1)[None]


def test_pixel_metrics_by_hand() -> None:
    target = np.zeros((16, 16, 1), np.uint8)
    output = np.full((16, 16, 1), 51, np.uint8)  # 0.2 of the range
    assert image_metrics.l1(output, target) == pytest.approx(0.2)
    assert image_metrics.psnr(output, target) == pytest.approx(-20 * np.log10(0.2))
    assert image_metrics.l1(output.astype(np.uint16) * 257, target.astype(np.uint16)) == pytest.approx(0.2)
    # With flat pictures only the luminance term is left: (2ab + c) / (a^2 + b^2 + c), c = 0.01^2.
    grey = np.full((16, 16, 1), 102, np.uint8)
    assert image_metrics.ssim(output, grey) == pytest.approx((2 * 0.2 * 0.4 + 1e-4) / (0.04 + 0.16 + 1e-4))


def test_psnr_of_equal_pictures_is_finite() -> None:
    same = picture(0)
    assert image_metrics.psnr(same, same) == 100
    assert image_metrics.l1(same, same) == 0
    assert image_metrics.ssim(same, same) == 1
    nearly = np.zeros((64, 64, 1), np.uint16)
    nearly[0, 0] = 1  # 20 log10(65535) + 10 log10(64 * 64) is 132 dB
    assert image_metrics.psnr(nearly, np.zeros_like(nearly)) == 100


def test_pixel_metrics_equal_another_librarys(pair: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    output, target = pair
    assert image_metrics.l1(output, target) == pytest.approx((tensor(output) - tensor(target)).abs().mean().item())
    assert image_metrics.psnr(output, target) == pytest.approx(
        piq.psnr(tensor(output), tensor(target)).item(), rel=1e-4
    )
    # The other library's windows lie within the picture and ours are cropped by 5 pixels: the same windows of 11x11.
    assert image_metrics.ssim(output, target) == pytest.approx(
        float(piq.ssim(tensor(output), tensor(target), downsample=False)), rel=1e-9
    )


def test_histograms_by_hand() -> None:
    black_and_white = np.zeros((2, 2, 3), np.uint8)
    black_and_white[0] = 255
    counts = image_metrics.lab_histograms(black_and_white)
    assert counts.shape == (3, image_metrics.BINS)
    assert counts[0, 0] == 2  # L 0
    assert counts[0, -1] == 2  # L 100, the upper end included
    assert (counts.sum(axis=1) == 4).all()
    white = image_metrics.lab_histograms(np.full((2, 2, 3), 255, np.uint8))
    assert image_metrics.intersection(counts, white)[0] == 0.5
    assert image_metrics.intersection(counts, 7 * counts).tolist() == [1, 1, 1]


def test_every_colour_falls_into_its_bin() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    lab = rgb2lab(rgb).reshape(-1, 3)
    counts = image_metrics.lab_histograms(rgb)
    for channel, (low, high) in enumerate(image_metrics.RANGES):
        place = np.clip(
            np.floor((lab[:, channel] - low) / (high - low) * image_metrics.BINS), 0, image_metrics.BINS - 1
        )
        assert np.array_equal(counts[channel], np.bincount(place.astype(int), minlength=image_metrics.BINS))
    assert (counts.sum(axis=1) == 400).all()  # nothing falls outside


@pytest.fixture
def files(tmp_path: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    outputs, targets = {}, {}
    for index in range(6):
        noise = np.random.default_rng(index).integers(-9 * index - 1, 9 * index + 2, (32, 32, 3))
        target = picture(index, 32)
        outputs[f"i{index}"] = pictures.write(
            tmp_path / "o" / f"i{index}", np.clip(target + noise, 0, 255).astype("u1")
        )
        targets[f"i{index}"] = pictures.write(tmp_path / "t" / f"i{index}", target)
    return outputs, targets


def test_scores_of_a_folder(files: tuple[dict[str, Path], dict[str, Path]]) -> None:
    outputs, targets = files
    scores = score_images(outputs, lambda id_: pictures.read(targets[id_]), 10).scores
    assert (scores.n, scores.n_expected) == (6, 10)
    one = [image_metrics.psnr(pictures.read(outputs[id_]), pictures.read(targets[id_])) for id_ in sorted(outputs)]
    psnr = scores.metrics["psnr"]
    assert psnr.per_item is not None
    assert psnr.per_item.tolist() == pytest.approx(one)
    assert psnr.value == pytest.approx(np.mean(one))
    low, high = scores.interval("psnr")
    assert low < psnr.value < high
    # Sampling n of n with replacement: the mean's standard deviation is the items', over sqrt(n).
    assert psnr.replicates.std() == pytest.approx(np.std(one) / np.sqrt(6), rel=0.03)
    pooled = [sum(image_metrics.lab_histograms(pictures.read(f).astype("u1")) for f in side.values()) for side in files]
    expected = image_metrics.intersection(pooled[0], pooled[1])  # type: ignore[arg-type]
    got = [scores.metrics[f"histogram_{name}"].value for name in "lab"]
    assert got == pytest.approx(expected.tolist(), rel=1e-6)
    assert scores.metrics["histogram_a"].per_item is None


def test_real_against_itself_is_perfect(files: tuple[dict[str, Path], dict[str, Path]]) -> None:
    _, targets = files
    values = score_images(targets, lambda id_: pictures.read(targets[id_]), 6).scores.metrics
    assert {name: metric.value for name, metric in values.items()} == pytest.approx(
        {
            "l1": 0,
            "psnr": 100,
            "ssim": 1,
            "gmsd": 0,
            "sharpness": 1,
            "histogram_l": 1,
            "histogram_a": 1,
            "histogram_b": 1,
        }
    )


def test_native_scores_restore_the_aspect(tmp_path: Path) -> None:
    wide = np.asarray(Image.fromarray(picture(4)).resize((90, 60), Image.Resampling.BILINEAR))
    square = transforms.resize(wide, 32, 32)
    outputs = {"a": pictures.write(tmp_path / "a", square)}
    scores = score_images(outputs, lambda id_: wide, 1, native=True).scores
    restored = np.asarray(Image.fromarray(square).resize((90, 60), Image.Resampling.BILINEAR))
    assert scores.metrics["l1"].value == pytest.approx(np.abs(restored.astype(float) - wide).mean() / 255)
    assert scores.fingerprint != score_images(outputs, lambda id_: square, 1).scores.fingerprint


def test_a_picture_that_does_not_fit_its_target_is_named(tmp_path: Path) -> None:
    path = pictures.write(tmp_path / "a", picture(0, 32))
    targets: dict[str, Picture] = {
        "40x40, 3 channels, uint8": picture(0, 40),
        "32x32, 1 channel, uint8": picture(0, 32)[..., :1],
        "32x32, 3 channels, uint16": picture(0, 32).astype(np.uint16),
    }
    for form in targets:
        with pytest.raises(UserError, match=rf"a\.png: found 32x32, 3 channels, uint8, expected {form}"):
            score_images({form: path}, lambda id_: targets[id_], 1)


def test_other_depths_have_no_colour_histogram(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 65536, (32, 32, 1), dtype=np.uint16)
    path = pictures.write(tmp_path / "a", grey)
    scores, histograms = score_images({"a": path}, lambda id_: grey, 1)
    assert set(scores.metrics) == {"l1", "psnr", "ssim", "gmsd", "sharpness"}
    assert histograms is None
