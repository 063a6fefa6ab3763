"""Street scenes: the same on every call, labels that fit the table, photos that the labels do not decide."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fcn.labels import CITYSCAPES
from p2pbench.datasets.streets.scene import Scene, draw_scene
from p2pbench.datasets.streets.things import Camera

SCENES = 100
BY_NAME = {label.name: label.value for label in CITYSCAPES.labels}

# A class, the scenes out of 100 that must show it, and the share of all pixels that it must have.
CLASSES = [
    ("road", 100, 0.2),
    ("sidewalk", 90, 0.03),
    ("building", 90, 0.08),
    ("fence", 35, 0.007),
    ("pole", 80, 0.015),
    ("traffic sign", 70, 0.006),
    ("vegetation", 75, 0.03),
    ("terrain", 50, 0.015),
    ("sky", 90, 0.15),
    ("person", 55, 0.006),
    ("car", 85, 0.02),
]


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(3, index, 64) for index in range(SCENES)]


@pytest.fixture(scope="module")
def repainted() -> list[Scene]:
    return [draw_scene(3, index, 64, repaint=1) for index in range(SCENES)]


def blurred(picture: NDArray[np.uint8] | NDArray[np.bool_]) -> NDArray[np.float64]:
    """The means of a picture (H, W, 3) over 4 x 4 pixels, at its size."""
    height, width, _ = picture.shape
    means: NDArray[np.float64] = picture.reshape(height // 4, 4, width // 4, 4, 3).mean(axis=(1, 3))
    return means.repeat(4, axis=0).repeat(4, axis=1)


def test_a_scene_is_the_same_on_every_call() -> None:
    first, second = draw_scene(1, 5, 64), draw_scene(1, 5, 64)
    np.testing.assert_array_equal(first.labels, second.labels)
    np.testing.assert_array_equal(first.photo, second.photo)


@pytest.mark.parametrize(("seed", "index"), [(1, 6), (2, 5), (5, 1)])
def test_another_seed_or_index_is_another_scene(seed: int, index: int) -> None:
    scene, other = draw_scene(1, 5, 64), draw_scene(seed, index, 64)
    assert (scene.labels != other.labels).mean() > 0.05
    assert (scene.photo != other.photo).mean() > 0.9


def test_scenes_of_today_are_scenes_of_tomorrow() -> None:
    # Whoever changes how scenes are drawn changes a published dataset; this makes it a decision.
    labels = draw_scene(0, 0, 64).labels
    shares = {name: round(float((labels == BY_NAME[name]).mean()), 3) for name in ("road", "sky", "building")}
    assert shares == pytest.approx({"road": 0.343, "sky": 0.263, "building": 0.261}, abs=0.005)


@pytest.mark.parametrize("size", [32, 64, 512])
def test_pictures_are_square_bytes(size: int) -> None:
    scene = draw_scene(0, 1, size)
    assert scene.labels.shape == (size, size)
    assert scene.photo.shape == (size, size, 3)
    assert scene.labels.dtype == scene.photo.dtype == np.uint8
    assert scene.photo.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("size", [0, 16, 48, 8192])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"size is {size}, expected one of 32, 64"):
        draw_scene(0, 0, size)


def test_labels_are_of_the_classes_alone(scenes: list[Scene]) -> None:
    found = set(np.unique([scene.labels for scene in scenes]).tolist())
    assert found == {BY_NAME[name] for name, _, _ in CLASSES}


@pytest.mark.parametrize(("name", "least_scenes", "least_share"), CLASSES)
def test_every_class_can_be_learned(scenes: list[Scene], name: str, least_scenes: int, least_share: float) -> None:
    shares = [float((scene.labels == BY_NAME[name]).mean()) for scene in scenes]
    assert sum(share > 0 for share in shares) >= least_scenes
    assert np.mean(shares) >= least_share


def test_layouts_vary(scenes: list[Scene]) -> None:
    labels = np.stack([scene.labels for scene in scenes])
    agreement = [(labels[first] == labels[first + 1]).mean() for first in range(0, SCENES, 2)]
    assert np.mean(agreement) < 0.75


@pytest.mark.long
def test_all_sizes_show_the_same_street() -> None:
    for index in range(6):
        small, large = draw_scene(4, index, 64), draw_scene(4, index, 256)
        assert (small.labels == large.labels[2::4, 2::4]).mean() > 0.92
        shrunk = large.photo.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
        assert np.abs(blurred(small.photo) - blurred(shrunk.astype(np.uint8))).mean() < 12


@pytest.mark.long
def test_a_repainted_scene_keeps_its_labels(scenes: list[Scene], repainted: list[Scene]) -> None:
    for scene, other in zip(scenes[:10], repainted, strict=False):
        np.testing.assert_array_equal(scene.labels, other.labels)


@pytest.mark.parametrize("name", ["road", "building", "vegetation", "sky", "person", "car"])
def test_colours_are_random_given_the_labels(scenes: list[Scene], repainted: list[Scene], name: str) -> None:
    differences = []
    for scene, other in zip(scenes, repainted, strict=True):
        inside = scene.labels == BY_NAME[name]
        if inside.sum() > 20:
            means = [photo[inside].mean(axis=0) for photo in (scene.photo, other.photo)]
            differences.append(np.abs(means[0] - means[1]).mean())
    assert np.mean(differences) > 12


@pytest.mark.parametrize(("name", "floor"), [("road", 3), ("sidewalk", 5), ("building", 15), ("vegetation", 10)])
def test_textures_are_random_given_the_labels(
    scenes: list[Scene], repainted: list[Scene], name: str, floor: float
) -> None:
    deviations, correlations = [], []
    for scene, other in zip(scenes, repainted, strict=True):
        # Only 4 x 4 pixels of one class: the borders between classes are in the same place in both photos.
        inside = blurred((scene.labels == BY_NAME[name])[..., None].repeat(3, axis=2))[..., 0] == 1
        if inside.sum() > 100:
            fine, other_fine = ((photo - blurred(photo))[inside].ravel() for photo in (scene.photo, other.photo))
            deviations.append(fine.std())
            correlations.append(np.corrcoef(fine, other_fine)[0, 1])
    assert len(deviations) > 20
    assert np.mean(deviations) > floor
    assert np.mean(correlations) < 0.5


def test_cars_of_a_street_have_their_own_paint(scenes: list[Scene]) -> None:
    means = [scene.photo[scene.labels == BY_NAME["car"]].mean(axis=0) for scene in scenes if (scene.labels == 26).any()]
    assert np.std(means, axis=0).min() > 15


def test_a_photo_uses_the_range_without_clipping(scenes: list[Scene]) -> None:
    photos = np.stack([scene.photo for scene in scenes])
    assert 70 < photos.mean() < 170
    assert np.mean(photos == 255) < 0.05
    assert np.mean(photos == 0) < 0.01


@pytest.mark.parametrize("bend", [-0.004, 0.0, 0.004])
@pytest.mark.parametrize("x", [-6.0, 5.0])
def test_a_wall_is_met_where_its_points_are_projected(bend: float, x: float) -> None:
    camera = Camera(x=1.0, height=2.0, focal=0.8, u=0.45, v=0.5, bend=bend)
    # A wall on the inner side of a bend hides its own points beyond sqrt(offset / bend), about 30 m here.
    z = np.linspace(4, 28, 9)
    points = np.stack([np.full(9, x), np.zeros(9), z], axis=-1)
    u = camera.project(points)[:, 0]
    np.testing.assert_allclose(camera.wall_distance(u, x), z, rtol=1e-9)
    np.testing.assert_allclose(camera.place(u, z), x, atol=1e-9)


def test_a_wall_is_not_met_on_the_other_side() -> None:
    camera = Camera(x=0.0, height=2.0, focal=0.8, u=0.5, v=0.5, bend=0.0)
    assert np.isinf(camera.wall_distance(np.array([0.1, 0.4]), 5.0)).all()
    assert np.isfinite(camera.wall_distance(np.array([0.1, 0.4]), -5.0)).all()
