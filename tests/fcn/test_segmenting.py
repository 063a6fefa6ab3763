"""Batches through a network: the same numbers as one by one, in their order, with as much memory as there is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from fcn import confusion, scoring
from fcn.errors import FcnError
from fcn.labels import IGNORE
from fcn.network import FCN, FcnArchitecture
from fcn.preprocessing import to_input, to_tensor
from fcn.scoring import IMAGES_AHEAD, Example, Loaded, ScoringNetwork, score
from fcn.segmenting import Segmenter, segment, settled
from tests.fcn import caffe
from tests.fcn.test_scoring import Pictures, Stop, assert_same, make_scorer, quietly, stop_after
from tests.patience import PATIENCE

SIZES = ((48, 64), (48, 64), (48, 64), (48, 64), (33, 47), (48, 64), (40, 40), (40, 40))
Handed = dict[str, NDArray[np.uint8]]


class Remembering(FCN):
    """A network that remembers how many images came at once, and has room for so many."""

    room = 100

    def forward(self, image: Tensor) -> Tensor:
        if len(image) > self.room:
            torch.empty(2**50, dtype=torch.uint8)  # more than an address space holds: refused at once
        self.seen.append(len(image))
        return super().forward(image)

    @classmethod
    def scorer(cls, room: int = 100) -> ScoringNetwork:
        """One that `make_scorer` would make."""
        scorer = make_scorer()
        network = cls(scorer.network.architecture).eval()
        network.load_state_dict(scorer.network.state_dict())
        network.seen, network.room = [], room
        return scorer._replace(network=network)

    seen: list[int]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fcn-confusion.npz"


def mixed(pictures: Pictures) -> list[Example]:
    return [pictures.example(str(index), *size) for index, size in enumerate(SIZES)]


def scored(
    scorer: ScoringNetwork, path: Path, at_once: int | None
) -> tuple[dict[str, confusion.ImageMatrix], Handed, list[tuple[int, int]]]:
    handed: Handed = {}
    told: list[tuple[int, int]] = []
    found = score(
        scorer._replace(at_once=at_once),
        mixed(Pictures()),
        path,
        lambda *one: told.append(one),
        predicted=handed.__setitem__,
    )
    return found, handed, told


def test_batches_of_one_size_give_what_single_images_give(path: Path) -> None:
    scorer = Remembering.scorer()
    network = scorer.network
    assert isinstance(network, Remembering)
    single, handed, told = scored(scorer, path.with_name("single.npz"), None)
    assert network.seen == [1] * len(SIZES)
    network.seen.clear()
    batched, handed_on, told_too = scored(scorer, path, 3)
    assert network.seen == [3, 1, 1, 1, 2]
    assert_same(batched, single)
    assert_same(confusion.load(path, scorer.digest), single)
    assert told == told_too == [(done, len(SIZES)) for done in range(1, len(SIZES) + 1)]
    assert handed.keys() == handed_on.keys() == single.keys()
    for id_, prediction in handed.items():
        np.testing.assert_array_equal(handed_on[id_], prediction)


@pytest.mark.parametrize(("room", "seen"), [(2, [2, 2, 1, 1, 2]), (1, [1] * 8)])
def test_what_does_not_fit_is_done_in_parts(room: int, seen: list[int], path: Path) -> None:
    short = Remembering.scorer(room)
    assert isinstance(short.network, Remembering)
    found, _, _ = scored(short, path, 4)
    assert short.network.seen == seen
    assert_same(found, scored(make_scorer(), path.with_name("other.npz"), None)[0])


def test_of_a_size_that_no_memory_holds_no_image_fits() -> None:
    photo, labels = torch.zeros(1, 1, 3, dtype=torch.uint8), torch.zeros(1, 1, dtype=torch.uint8)
    side = 2**24
    segmenter = Segmenter(make_scorer().network, 19)
    with pytest.raises(FcnError, match=f"^out of memory: an image of {side}x{side} needs about"):
        segmenter.launch([photo.expand(side, side, 3)], [labels.expand(side, side)])


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), None])
def test_a_gpus_want_of_memory_is_told_from_other_errors(
    error: RuntimeError | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make_scorer().network

    def fail(*arguments: object, **settings: object) -> FCN:
        raise error or RuntimeError("shapes differ")

    monkeypatch.setattr(network, "to", fail)
    with pytest.raises(FcnError if error else RuntimeError, match="no room for the weights" if error else "shapes"):
        settled(network, torch.device("cpu"))


def test_an_image_that_does_not_fit_alone_is_named(path: Path) -> None:
    with pytest.raises(
        FcnError, match=r"^item 0: out of memory: an image of 64x48 needs about 0.0 GiB; close"
    ) as raised:
        scored(Remembering.scorer(room=0), path, 3)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("images", [1, 2, 3, 5, 7])
def test_who_stops_in_a_batch_keeps_what_was_done(images: int, path: Path) -> None:
    scorer, pictures = make_scorer()._replace(at_once=3), Pictures()
    with pytest.raises(Stop):
        score(scorer, mixed(pictures), path, stop_after(images))
    assert list(confusion.load(path, scorer.digest)) == [str(index) for index in range(images)]
    pictures.loads.clear()
    whole = score(scorer, mixed(pictures), path, quietly)
    assert sorted(pictures.loads) == [str(index) for index in range(images, len(SIZES))]
    assert_same(whole, scored(scorer, path.with_name("other.npz"), None)[0])


def test_a_prediction_that_cannot_be_kept_keeps_its_matrix_away_in_a_batch(path: Path) -> None:
    def full(id_: str, prediction: NDArray[np.uint8]) -> None:
        if id_ == "2":
            raise Stop("the disk is full")

    with pytest.raises(Stop, match="full"):
        score(make_scorer()._replace(at_once=4), mixed(Pictures()), path, quietly, predicted=full)
    assert list(confusion.load(path, "a scorer")) == ["0", "1"]


@pytest.mark.parametrize("bad", [1, 2, 3, 4])
def test_what_cannot_be_read_comes_after_all_before_it(bad: int, path: Path) -> None:
    def load() -> Loaded:
        raise Stop("no picture")

    examples = mixed(Pictures())
    examples[bad] = replace(examples[bad], load=load)
    with pytest.raises(Stop, match="no picture"):
        score(make_scorer()._replace(at_once=3), examples, path, quietly)
    assert list(confusion.load(path, "a scorer")) == [str(index) for index in range(bad)]


def test_in_batches_too_few_images_are_read_ahead(path: Path) -> None:
    pictures, at_once, most, done_so_far, lock = Pictures(), 3, 0, 0, threading.Lock()

    def counting(example: Example) -> Example:
        def load() -> Loaded:
            nonlocal most
            with lock:
                loaded = example.load()
                most = max(most, len(pictures.loads) - done_so_far)
            return loaded

        return replace(example, load=load)

    def advance(done: int, total: int) -> None:
        nonlocal done_so_far
        done_so_far = done

    examples = [counting(pictures.example(str(index))) for index in range(20)]
    score(make_scorer()._replace(at_once=at_once), examples, path, advance)
    assert 0 < most <= at_once + IMAGES_AHEAD


def test_while_one_is_in_use_the_next_is_made_and_errors_keep_their_place() -> None:
    made: list[int] = []
    both = threading.Event()

    def numbers() -> Iterator[int]:
        for number in (1, 2):
            made.append(number)
            if number == 2:
                both.set()
            yield number
        raise Stop("the third")

    ahead = scoring._one_ahead(numbers())
    assert next(ahead) == 1
    assert both.wait(PATIENCE)  # the second is made while the first is in use
    assert next(ahead) == 2
    with pytest.raises(Stop, match="the third"):
        next(ahead)
    ahead = scoring._one_ahead(numbers())
    assert next(ahead) == 1
    ahead.close()
    assert list(scoring._one_ahead(iter(()))) == []


@st.composite
def _batches(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.uint8], int, int]:
    classes = draw(st.integers(1, 20))
    channels = classes + draw(st.integers(0, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    truth = rng.choice(np.array([*range(classes), IGNORE], np.uint8), shape)
    return truth, rng.integers(0, channels, shape, dtype=np.uint8), classes, channels


@given(_batches())
def test_matrices_of_a_batch_are_those_of_its_images(
    batch: tuple[NDArray[np.uint8], NDArray[np.uint8], int, int],
) -> None:
    truth, prediction, classes, channels = batch
    found = confusion.matrices(torch.from_numpy(truth), torch.from_numpy(prediction), classes, channels)
    assert found.dtype == torch.int64
    expected = [confusion.confusion(*pair, classes, channels) for pair in zip(truth, prediction, strict=True)]
    np.testing.assert_array_equal(found.numpy(), np.stack(expected))


def test_a_large_matrix_by_hand() -> None:
    truth, prediction = torch.full((1, 1024, 2048), IGNORE, dtype=torch.uint8), torch.full((1, 1024, 2048), 19)
    found = confusion.matrices(truth, prediction.to(torch.uint8), 19, 20)
    assert found[0, 19, 19] == found.sum() == 1024 * 2048


def test_labels_beyond_the_classes_are_refused() -> None:
    confusion.check_labels(np.array([[0, 18, IGNORE]], np.uint8), 19)
    confusion.check_labels(np.full((2, 2), IGNORE, np.uint8), 19)
    for value in (19, 254):
        with pytest.raises(FcnError, match=f"labels reach {value}; expected class indices below 19"):
            confusion.check_labels(np.array([[0, value, IGNORE]], np.uint8), 19)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_photos_become_inputs_to_the_last_bit(layout: torch.memory_format) -> None:
    every = np.arange(256, dtype=np.uint8)
    photos = np.stack([np.stack([every, every[::-1], np.roll(every, 7)], axis=-1).reshape(16, 16, 3)] * 2)
    photos[1] = np.random.default_rng(0).integers(0, 256, (16, 16, 3))
    found = to_input(torch.from_numpy(photos), layout)
    assert found.is_contiguous(memory_format=layout)
    assert found.dtype == torch.float32
    assert found.equal(torch.cat([to_tensor(photo) for photo in photos]))


def test_a_cpu_takes_one_image_at_once() -> None:
    assert Segmenter(make_scorer().network, 19).most(128, 128) == 1
    assert Segmenter(make_scorer().network, 19, 5).most(1024, 2048) == 5


@pytest.mark.gpu
def test_a_gpu_scores_as_a_cpu_does(path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    architecture = FcnArchitecture(channels=20, width=1 / 4, hidden=256)
    scorer = make_scorer()
    scorer = scorer._replace(
        network=caffe.random_network(architecture), card=replace(scorer.card, architecture=architecture)
    )
    expected, handed, _ = scored(scorer, path.with_name("cpu.npz"), None)
    gpu = scorer._replace(network=settled(scorer.network, torch.device("cuda")))
    for at_once in (None, 1, 3):
        found, handed_on, told = scored(gpu, path.with_name(f"{at_once}.npz"), at_once)
        assert list(found) == list(expected)
        assert told[-1] == (len(SIZES), len(SIZES))
        for id_, prediction in handed.items():
            assert np.mean(handed_on[id_] == prediction) >= 0.999
            assert found[id_].counts.sum() == prediction.size
            assert abs(found[id_].counts - expected[id_].counts).sum() <= 0.002 * prediction.size
    image = torch.zeros(1, 3, 64, 64)
    assert segment(gpu.network, image).shape == (64, 64)
