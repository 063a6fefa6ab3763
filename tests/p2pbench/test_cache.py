"""Decode once: the same samples from memory, file and stream; and the augmentation drawn on them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from p2pbench.config import RunConfig, run_config
from p2pbench.datasets import augmentation, cache, contents
from p2pbench.datasets.cache import CachedSamples, StreamedSamples, open_samples
from p2pbench.datasets.catalogue import open_dataset
from p2pbench.datasets.dataset import Dataset
from p2pbench.datasets.survey import sample_channels
from p2pbench.datasets.transforms import from_network, full_range, to_network
from p2pbench.errors import UserError
from p2pbench.training.batches import Batches


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Eleven labelled photos in which every pixel's label is its photo's red value."""
    for folder in ("train", "test"):
        (tmp_path / folder).mkdir()
        (tmp_path / f"{folder}annot").mkdir()
        for index in range(11):
            labels = np.random.default_rng(index).integers(0, 12, (40, 40), dtype=np.uint8)
            Image.fromarray(labels).save(tmp_path / f"{folder}annot" / f"{index:02d}.png")
            Image.fromarray(np.repeat(labels[..., None], 3, 2)).save(tmp_path / folder / f"{index:02d}.png")
    return tmp_path


def opened(root: Path) -> Dataset:
    return open_dataset(run_config({"dataset": "camvid", "root": str(root)}, "test"))


def test_file_and_stream_hold_what_the_dataset_loads(root: Path) -> None:
    dataset = opened(root)
    items = dataset.items("train")
    channels = sample_channels(dataset, items, RunConfig())
    cached = open_samples(dataset, items, 40, channels)
    streamed = StreamedSamples(channels, dataset, items, 40)
    assert isinstance(cached, CachedSamples)
    order = [[3, 1], [10], [0, 0, 2]] * 5
    for indices, one, other in zip(order, cached.batches(order), streamed.batches(order), strict=True):
        for part, name in enumerate(("input", "target", "labels")):
            assert torch.equal(one[part], other[part])  # type: ignore[arg-type]
            expected = np.stack([np.atleast_3d(getattr(dataset.load(items[i], 40), name)) for i in indices])
            assert np.array_equal(one[part].permute(0, 2, 3, 1).numpy(), expected)  # type: ignore[union-attr]


def test_pictures_are_decoded_once_until_a_file_changes(root: Path) -> None:
    dataset = opened(root)
    items = dataset.items("train")
    channels = sample_channels(dataset, items, RunConfig())
    counted: list[int] = []
    open_samples(dataset, items, 32, channels, lambda done, total: counted.append(done))
    assert counted == list(range(1, 12))
    counted.clear()
    again = open_samples(dataset, items, 32, channels, lambda done, total: counted.append(done))
    assert counted == []
    Image.fromarray(np.full((40, 40, 3), 9, np.uint8)).save(items[4].files[0])
    os.utime(items[4].files[0], ns=(1, 1))
    changed = open_samples(dataset, items, 32, channels, lambda done, total: counted.append(done))
    assert len(counted) == 11
    (old,), (new,) = again.batches([[4]]), changed.batches([[4]])
    assert (new.target == 9).all()
    assert not torch.equal(old.target, new.target)


def test_without_room_for_a_cache_pictures_are_streamed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = opened(root)
    items = dataset.items("test")
    channels = sample_channels(dataset, items, RunConfig())
    monkeypatch.setattr(cache, "DISK_SHARE", 1e-12)
    assert isinstance(open_samples(dataset, items, 33, channels), StreamedSamples)


def test_all_bad_files_are_named_before_anything_is_kept(root: Path) -> None:
    dataset = opened(root)
    items = dataset.items("train")
    channels = sample_channels(dataset, items, RunConfig())
    torn = items[5].files[0]
    torn.write_bytes(torn.read_bytes()[:-400])
    Image.fromarray(np.full((40, 40), 99, np.uint8)).save(items[7].files[1])
    before = set(contents.cache_folder().glob("*/"))
    with pytest.raises(UserError) as error:
        open_samples(dataset, items, 34, channels)
    assert str(torn) in str(error.value)
    assert str(items[7].files[1]) in str(error.value)
    assert "2 items cannot be used" in str(error.value)
    assert set(contents.cache_folder().glob("*/")) == before


def test_an_unwritable_cache_is_named(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dataset = opened(root)
    items = dataset.items("train")
    channels = sample_channels(dataset, items, RunConfig())
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("P2PBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="set P2PBENCH_CACHE to a folder with room"):
        open_samples(dataset, items, 35, channels)


def test_input_target_and_labels_are_cropped_and_flipped_alike(root: Path) -> None:
    dataset = opened(root)
    config = run_config({"dataset": "camvid", "root": str(root), "image_size": 32, "jitter": 1.25}, "test")
    items = dataset.items("train")
    samples = open_samples(dataset, items, config.load_side, sample_channels(dataset, items, RunConfig()))
    batches = Batches(dataset, samples, config, torch.device("cpu"))
    assert batches.per_epoch == 11
    colours = torch.tensor([label.colour for label in dataset.table.labels])  # type: ignore[union-attr]
    seen = set()
    for batch in batches.between(0, 33):
        assert batch.labels is not None
        assert batch.input.shape == batch.target.shape == (1, 3, 32, 32)
        values = ((batch.target[:, :1] + 1) * 127.5).round().long()
        labels = torch.where(batch.labels == 255, 11, batch.labels.long())
        assert torch.equal(values, labels)
        assert torch.equal(((batch.input + 1) * 127.5).round().long()[0], colours[labels[0, 0]].permute(2, 0, 1))
        seen.add(labels.numpy().tobytes())
    assert len(seen) == 33  # never the same crop of the same photo


def test_every_epoch_takes_every_item_once_in_an_order_of_its_own(root: Path) -> None:
    dataset = opened(root)
    config = run_config({"dataset": "camvid", "image_size": 32, "batch_size": 4}, "test")
    items = dataset.items("train")
    samples = open_samples(dataset, items, config.load_side, sample_channels(dataset, items, RunConfig()))
    batches = Batches(dataset, samples, config, torch.device("cpu"))
    order = list(batches._order(range(6)))
    assert batches.per_epoch == 3
    assert [len(indices) for indices in order] == [4, 4, 3] * 2
    first, second = sum(order[:3], []), sum(order[3:], [])
    assert sorted(first) == sorted(second) == list(range(11))
    assert first != second
    assert list(batches._order(range(4, 6))) == order[4:]  # whatever was drawn before


def test_offsets_are_uniform_and_the_released_code_never_draws_zero() -> None:
    for crop_from_one, first in ((False, 0), (True, 1)):
        drawn = augmentation.draw(
            np.random.default_rng(0), 30_000, load_side=286, image_size=256, mirror=True, crop_from_one=crop_from_one
        )
        tops = np.bincount([a.top for a in drawn], minlength=31)
        assert (tops[:first] == 0).all()
        expected = 30_000 / (31 - first)
        assert np.abs(tops[first:] - expected).max() < 5 * np.sqrt(expected)
        assert abs(np.mean([a.flip for a in drawn]) - 0.5) < 0.02
    still = augmentation.draw(
        np.random.default_rng(0), 100, load_side=256, image_size=256, mirror=False, crop_from_one=True
    )
    assert set(still) == {augmentation.Augmentation(0, 0, False)}


@given(data=st.data(), image_size=st.integers(1, 12), spare=st.integers(0, 5), count=st.integers(1, 4))
def test_a_crop_is_a_piece_of_its_picture(data: st.DataObject, image_size: int, spare: int, count: int) -> None:
    side = image_size + spare
    pictures = torch.arange(count * side * side).reshape(count, 1, side, side)
    drawn = augmentation.draw(
        np.random.default_rng(data.draw(st.integers(0, 2**32))),
        count,
        load_side=side,
        image_size=image_size,
        mirror=True,
        crop_from_one=False,
    )
    cut = augmentation.apply(pictures, drawn, image_size)
    for picture, piece, (top, left, flip) in zip(pictures, cut, drawn, strict=True):
        rows = [
            [picture[0, top + y, left + (image_size - 1 - x if flip else x)].item() for x in range(image_size)]
            for y in range(image_size)
        ]
        assert piece[0].tolist() == rows


@pytest.mark.parametrize(("dtype", "ends"), [("uint8", (0, 255)), ("uint16", (0, 65535)), ("uint16", (1000, 5000))])
def test_scaling_there_and_back(dtype: str, ends: tuple[float, float]) -> None:
    values = torch.arange(int(ends[0]), int(ends[1]) + 1, dtype=torch.int64)[None, None]
    seen = to_network(values, ends)
    assert (seen.min().item(), seen.max().item()) == (-1, 1)
    assert np.array_equal(from_network(seen, ends, dtype)[0, :, 0], values[0, 0].numpy())
    assert full_range(dtype) == (0, np.iinfo(dtype).max)
    outside = to_network(torch.tensor([ends[0] - 1, ends[1] + 1]), ends)
    assert outside.tolist() == [-1, 1]
