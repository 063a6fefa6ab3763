"""Images through a scorer: the published script's numbers, nothing done twice, and nothing lost that was done."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from fcn import confusion, scoring
from fcn.confusion import ImageMatrix
from fcn.errors import FcnError
from fcn.labels import CITYSCAPES, IGNORE
from fcn.network import FcnArchitecture
from fcn.score_protocols import counted, scores
from fcn.scoring import IMAGES_AHEAD, Example, Loaded, ScoringNetwork, score
from fcn.segmenting import segment
from fcn.weights import Card
from tests.fcn import caffe
from tests.fcn.plain import CLASSES, Maps, official, strict
from tests.patience import PATIENCE

ITEMS = 6
PHOTO_SIZE = 40
MEAN = np.array((72.78044, 83.21195, 73.45286), np.float32)
Padding = Literal["input", "layers"]


def make_scorer(padding: Padding = "layers", digest: str = "a scorer") -> ScoringNetwork:
    architecture = FcnArchitecture(channels=20, width=1 / 64, hidden=8, padding=padding)
    card = Card(architecture, CITYSCAPES.classes, CITYSCAPES.name, PHOTO_SIZE, "random", None)
    return ScoringNetwork(caffe.random_network(architecture), card, digest)


@dataclass
class Pictures:
    """Photos and labels in memory, and which of them were read."""

    loads: list[str] = field(default_factory=list)

    def example(
        self, id_: str, height: int = 48, width: int = 64, key: str = "", classes: Sequence[int] = range(19)
    ) -> Example:
        """An item; another key means other content."""
        rng = np.random.default_rng([*f"{id_} {key}".encode()])
        photo = rng.integers(0, 256, (height // 2 + 1, width, 3), dtype=np.uint8)
        labels = rng.choice(np.array([*classes, IGNORE], np.uint8), (height, width))

        def load() -> Loaded:
            self.loads.append(id_)
            return Loaded(photo, labels, f"changed {id_}")

        return Example(id_, lambda: f"key of {id_} {key}", load)

    def examples(self, items: int = ITEMS) -> list[Example]:
        """Some items."""
        return [self.example(str(index)) for index in range(items)]


@pytest.fixture
def pictures() -> Pictures:
    return Pictures()


@pytest.fixture
def scorer() -> ScoringNetwork:
    return make_scorer()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fcn-confusion.npz"


def quietly(done: int, total: int) -> None:
    pass


class Stop(Exception):
    """What somebody who has enough raises."""


def stop_after(images: int) -> Callable[[int, int], None]:
    def advance(done: int, total: int) -> None:
        if done == images:
            raise Stop

    return advance


def stop(scorer: ScoringNetwork, examples: Sequence[Example], path: Path, images: int) -> None:
    with pytest.raises(Stop):
        score(scorer, examples, path, stop_after(images))


def assert_same(matrices: dict[str, ImageMatrix], other: dict[str, ImageMatrix]) -> None:
    assert list(matrices) == list(other)
    for id_, image in matrices.items():
        assert image._replace(counts=other[id_].counts) == other[id_]
        np.testing.assert_array_equal(image.counts, other[id_].counts)


def maps(scorer: ScoringNetwork, examples: Sequence[Example]) -> Maps:
    """Truth and prediction worked out step by step (docs/paper-protocol.md#script)."""
    pairs = []
    for example in examples:
        photo, labels, _ = example.load()
        image = Image.fromarray(photo).resize((PHOTO_SIZE, PHOTO_SIZE), Image.Resampling.BILINEAR)
        image = image.resize((labels.shape[1], labels.shape[0]), Image.Resampling.BILINEAR)
        bgr = np.asarray(image, np.float32)[:, :, ::-1] - MEAN
        with torch.no_grad():
            values = scorer.network(torch.from_numpy(bgr.transpose(2, 0, 1).copy())[None])
        pairs.append((labels, values[0].numpy().argmax(0).astype(np.uint8)))
    return pairs


def count(truth: NDArray[np.uint8], prediction: NDArray[np.uint8]) -> NDArray[np.int64]:
    matrix = np.zeros((20, 20), np.int64)
    np.add.at(matrix, (np.where(truth == IGNORE, 19, truth), prediction), 1)
    return matrix


SIZES = ((48, 64), (32, 32), (33, 47), (64, 40), (50, 50), (48, 64))


@pytest.mark.parametrize("padding", ["input", "layers"])
def test_the_numbers_are_those_of_the_published_script(padding: Padding, pictures: Pictures, path: Path) -> None:
    scorer = make_scorer(padding)
    # A network that chooses channel 19 drops every image with class 18 in it; some have none.
    examples = [pictures.example(str(index), *size, classes=range(19 - index % 2)) for index, size in enumerate(SIZES)]
    told: list[tuple[int, int]] = []
    matrices = score(scorer, examples, path, lambda done, total: told.append((done, total)))
    pairs = maps(scorer, examples)
    assert len(np.unique(np.concatenate([prediction.ravel() for _, prediction in pairs]))) == 20
    assert list(matrices) == [example.id for example in examples]
    for example, (truth, prediction) in zip(examples, pairs, strict=True):
        kept = matrices[example.id]
        np.testing.assert_array_equal(kept.counts, count(truth, prediction))
        height, width = truth.shape
        assert kept[1:] == (f"{width}x{height // 2 + 1}", f"changed {example.id}", example.key())
    assert told == [(done, len(SIZES)) for done in range(1, len(SIZES) + 1)]
    summed = np.stack([kept.counts for kept in matrices.values()])
    expected, dropped = official(pairs)
    assert 0 < dropped < len(pairs)
    found = scores(counted(summed, "official").sum(axis=0), "official")
    assert [float(value) for value in found[:3]] == pytest.approx(expected, abs=1e-12)
    found = scores(counted(summed, "strict").sum(axis=0), "strict")
    assert [float(value) for value in found[:3]] == pytest.approx(strict(pairs), abs=1e-12)
    assert scorer.card.classes == CITYSCAPES.classes
    assert len(scorer.card.classes) == CLASSES


def test_without_a_photo_size_photos_are_resized_once(scorer: ScoringNetwork, pictures: Pictures, path: Path) -> None:
    card = Card(scorer.card.architecture, CITYSCAPES.classes, CITYSCAPES.name, None, "random", None)
    labels = np.zeros((48, 64), np.uint8)
    photo = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    once = np.asarray(Image.fromarray(photo).resize((64, 48), Image.Resampling.BILINEAR))
    examples = [
        Example(id_, lambda: "key", lambda pixels=pixels: Loaded(pixels, labels))  # type: ignore[misc]
        for id_, pixels in (("small", photo), ("large", once))
    ]
    found = score(scorer._replace(card=card), examples, path, quietly)
    np.testing.assert_array_equal(found["small"].counts, found["large"].counts)


def test_a_second_call_reads_nothing(scorer: ScoringNetwork, pictures: Pictures, path: Path) -> None:
    first = score(scorer, pictures.examples(), path, quietly)
    assert sorted(pictures.loads) == [str(index) for index in range(ITEMS)]
    assert_same(confusion.load(path, scorer.digest), first)
    again = score(scorer, pictures.examples(), path, lambda done, total: pytest.fail("there is nothing to do"))
    assert_same(again, first)
    assert len(pictures.loads) == ITEMS


def test_what_changed_alone_is_done_anew(scorer: ScoringNetwork, pictures: Pictures, path: Path) -> None:
    first = score(scorer, pictures.examples(), path, quietly)
    examples = pictures.examples()
    examples[2] = pictures.example("2", key="changed")
    pictures.loads.clear()
    told: list[tuple[int, int]] = []
    second = score(scorer, examples, path, lambda done, total: told.append((done, total)))
    assert pictures.loads == ["2"]
    assert told == [(ITEMS, ITEMS)]
    assert list(second) == list(first)
    assert second["2"].key != first["2"].key
    assert not np.array_equal(second["2"].counts, first["2"].counts)
    assert_same(second, score(scorer, examples, path.with_name("other.npz"), quietly))


def test_another_scorer_begins_anew(scorer: ScoringNetwork, pictures: Pictures, path: Path) -> None:
    score(scorer, pictures.examples(), path, quietly)
    other = scorer._replace(digest="another")
    score(other, pictures.examples(), path, quietly)
    assert len(pictures.loads) == 2 * ITEMS
    assert confusion.load(path, scorer.digest) == {}
    assert len(confusion.load(path, "another")) == ITEMS


def test_the_rest_of_a_larger_set_stays(scorer: ScoringNetwork, pictures: Pictures, path: Path) -> None:
    score(scorer, pictures.examples(), path, quietly)
    some = score(scorer, [pictures.example("new"), *pictures.examples()[1:3]], path, quietly)
    assert list(some) == ["new", "1", "2"]
    assert len(confusion.load(path, scorer.digest)) == ITEMS + 1
    score(scorer, pictures.examples(), path, quietly)
    assert len(pictures.loads) == ITEMS + 1


def test_each_new_prediction_is_handed_on_once(scorer: ScoringNetwork, pictures: Pictures, path: Path) -> None:
    examples = [pictures.example(str(index), *size) for index, size in enumerate(SIZES)]
    handed: list[tuple[str, NDArray[np.uint8]]] = []
    score(scorer, examples[:4], path, quietly, predicted=lambda *one: handed.append(one))
    assert [id_ for id_, _ in handed] == ["0", "1", "2", "3"]
    for (_, found), (_, expected) in zip(handed, maps(scorer, examples[:4]), strict=True):
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, expected)
    score(scorer, examples, path, quietly, predicted=lambda *one: handed.append(one))
    assert [id_ for id_, _ in handed[4:]] == ["4", "5"]


def test_lost_predictions_alone_are_made_again(scorer: ScoringNetwork, pictures: Pictures, path: Path) -> None:
    first = score(scorer, pictures.examples(), path, quietly)
    pictures.loads.clear()
    handed: list[str] = []
    told: list[tuple[int, int]] = []
    second = score(
        scorer,
        pictures.examples(),
        path,
        lambda done, total: told.append((done, total)),
        predicted=lambda id_, _: handed.append(id_),
        again={"4", "1", "unknown"},
    )
    assert sorted(pictures.loads) == sorted(handed) == ["1", "4"]
    assert told == [(ITEMS - 1, ITEMS), (ITEMS, ITEMS)]
    assert_same(second, first)


def test_a_prediction_that_cannot_be_kept_keeps_its_matrix_away(
    scorer: ScoringNetwork, pictures: Pictures, path: Path
) -> None:
    def full(id_: str, prediction: NDArray[np.uint8]) -> None:
        if id_ == "2":
            raise Stop("the disk is full")

    with pytest.raises(Stop, match="full"):
        score(scorer, pictures.examples(), path, quietly, predicted=full)
    assert list(confusion.load(path, scorer.digest)) == ["0", "1"]


def test_nothing_to_score(scorer: ScoringNetwork, path: Path) -> None:
    assert score(scorer, [], path, quietly) == {}


@pytest.mark.parametrize("images", [1, 3, ITEMS])
def test_who_stops_keeps_what_was_done(images: int, scorer: ScoringNetwork, pictures: Pictures, path: Path) -> None:
    stop(scorer, pictures.examples(), path, images)
    assert list(confusion.load(path, scorer.digest)) == [str(index) for index in range(images)]
    pictures.loads.clear()
    told: list[int] = []
    matrices = score(scorer, pictures.examples(), path, lambda done, total: told.append(done))
    assert sorted(pictures.loads) == [str(index) for index in range(images, ITEMS)]  # threads read ahead
    assert told == list(range(images + 1, ITEMS + 1))
    assert_same(matrices, score(scorer, pictures.examples(), path.with_name("other.npz"), quietly))


def test_stopped_again_and_again(scorer: ScoringNetwork, pictures: Pictures, path: Path) -> None:
    for images in range(1, ITEMS):
        stop(scorer, pictures.examples(), path, images)
    assert_same(
        score(scorer, pictures.examples(), path, quietly),
        score(scorer, pictures.examples(), path.with_name("other.npz"), quietly),
    )


def kill_at(images: int, path: str) -> None:
    """Score in a process that is killed once so many are done."""

    def advance(done: int, total: int) -> None:
        if done == images:
            os.kill(os.getpid(), signal.SIGKILL)

    scoring.SECONDS_BETWEEN_SAVES = -1.0
    torch.set_num_threads(1)
    score(make_scorer(), Pictures().examples(), Path(path), advance)


@pytest.mark.process
def test_who_is_killed_keeps_what_was_saved(scorer: ScoringNetwork, pictures: Pictures, path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=kill_at, args=(4, str(path)))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert list(confusion.load(path, scorer.digest)) == ["0", "1", "2"]
    matrices = score(scorer, pictures.examples(), path, quietly)
    assert sorted(pictures.loads) == ["3", "4", "5"]  # threads read ahead
    assert_same(matrices, score(scorer, pictures.examples(), path.with_name("other.npz"), quietly))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"height": 31}, "item bad: an image is 64x31; expected at least 32x32"),
        ({"width": 8}, "item bad: an image is 8x48; expected at least 32x32"),
        ({"classes": [0, 19]}, "item bad: labels reach 19; expected class indices below 19"),
        ({"classes": [254]}, "item bad: labels reach 254"),
    ],
)
def test_an_item_that_cannot_be_scored_is_named(
    changes: dict[str, int], said: str, scorer: ScoringNetwork, pictures: Pictures, path: Path
) -> None:
    examples = pictures.examples()
    examples.insert(3, pictures.example("bad", **changes))  # type: ignore[arg-type]
    with pytest.raises(FcnError, match=f"^{said}") as caught:
        score(scorer, examples, path, quietly)
    assert "\n" not in str(caught.value)
    assert list(confusion.load(path, scorer.digest)) == ["0", "1", "2"]
    pictures.loads.clear()
    score(scorer, pictures.examples(), path, quietly)
    assert sorted(pictures.loads) == ["3", "4", "5"]  # threads read ahead


def test_what_reading_raises_passes_through(scorer: ScoringNetwork, pictures: Pictures, path: Path) -> None:
    def load() -> Loaded:
        raise Stop("no picture")

    examples = pictures.examples()
    examples[4] = Example("4", lambda: "key", load)
    with pytest.raises(Stop, match="no picture"):
        score(scorer, examples, path, quietly)
    assert list(confusion.load(path, scorer.digest)) == ["0", "1", "2", "3"]


def test_few_images_are_read_ahead(scorer: ScoringNetwork, path: Path) -> None:
    """While the network is at work, so many are read, and no more: memory is not without end."""
    pictures, items, done_so_far, waiting = Pictures(), 12, 0, [0]
    enough = threading.Condition()

    def counting(example: Example) -> Example:
        def load() -> Loaded:
            with enough:
                loaded = example.load()
                waiting.append(len(pictures.loads) - done_so_far)
                enough.notify_all()
            return loaded

        return Example(example.id, example.key, load)

    def advance(done: int, total: int) -> None:
        nonlocal done_so_far
        with enough:
            expected = min(done + IMAGES_AHEAD, items)
            assert enough.wait_for(lambda: len(pictures.loads) >= expected, timeout=PATIENCE)
            done_so_far = done

    score(scorer, [counting(example) for example in pictures.examples(items)], path, advance)
    assert len(pictures.loads) == items
    assert max(waiting) <= IMAGES_AHEAD + 1


def test_a_segment_is_the_channel_of_the_highest_score(scorer: ScoringNetwork) -> None:
    image = torch.randint(-70, 180, (1, 3, 50, 70), generator=torch.Generator().manual_seed(0)).float()
    with torch.no_grad():
        values = scorer.network(image)[0].numpy()
    found = segment(scorer.network, image)
    assert values.dtype == np.float32
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, values.argmax(0))


@pytest.mark.gpu
def test_a_gpu_segments_in_float32(scorer: ScoringNetwork) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    before = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]
    architecture = FcnArchitecture(channels=20, width=1 / 4, hidden=256)
    network = caffe.random_network(architecture)
    image = torch.randint(-70, 180, (1, 3, 256, 512), generator=torch.Generator().manual_seed(0)).float()
    expected = segment(network, image)
    assert np.mean(segment(network.cuda(), image) == expected) >= 0.9999
    assert torch.backends.cudnn.conv.fp32_precision == before  # type: ignore[attr-defined]
