"""What `generate` takes: depths, channels and the hole of inpainting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image

from p2pbench.datasets.dataset import Channels
from p2pbench.networks.generator import Generator
from p2pbench.training.generator_file import input_bits, read_generator
from p2pbench.training.inference import Translator, bare_dataset
from tests.p2pbench.generating import DEEP, generate, made, save, saved
from tests.p2pbench.tiny import picture


def with_one(tmp_path: Path, values: NDArray[Any]) -> Path:
    folder = tmp_path / "one"
    folder.mkdir()
    if values.ndim == 3 and (values.shape[2] not in (1, 3) or values.dtype != np.uint8):
        tifffile.imwrite(folder / "x.tif", values, photometric="minisblack", planarconfig="contig")
    else:
        Image.fromarray(values).save(folder / "x.png")
    return folder


COLOUR = picture(0)


GREY = COLOUR[..., 0]


SHALLOW_GENERATORS: dict[str, dict[str, Any]] = {
    "folders": {},
    "paired": {"dataset": "paired"},
    "older": {"input_bits": None},
    "inpainting": {"dataset": "inpainting", "direction": "hole-to-photo"},
    "edges": {"dataset": "edges", "direction": "edges-to-photo", "channels": (1, 3)},
    "colorization": {
        "dataset": "colorization",
        "direction": "grey-to-colour",
        "channels": (1, 2),
        "input_range": DEEP,
        "input_bits": 16,
        "output_range": DEEP,
        "output_bits": 16,
    },
    "camvid": {"dataset": "camvid", "direction": "labels-to-photo"},
    "photos to labels": {"dataset": "camvid", "direction": "photo-to-labels"},
}


@pytest.mark.parametrize("name", SHALLOW_GENERATORS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_deep_picture_is_refused_by_a_shallow_generator(tmp_path: Path, name: str, channels: int) -> None:
    path = saved(tmp_path / "g.safetensors", **SHALLOW_GENERATORS[name])
    deep = COLOUR.astype(np.uint16) * 257
    result = generate(path, with_one(tmp_path, deep if channels == 3 else deep[..., 0]), "--out", tmp_path / "out")
    if name == "camvid" and channels == 1:  # which holds label ids, whatever their depth
        assert "label values" in str(result.exception)
    else:
        assert "found 16 bits a channel, expected 8" in str(result.exception)
    assert made(tmp_path / "out") == {}


@pytest.mark.parametrize("name", SHALLOW_GENERATORS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_of_its_depth_is_taken(tmp_path: Path, name: str, channels: int) -> None:
    path = saved(tmp_path / "g.safetensors", **SHALLOW_GENERATORS[name])
    values = COLOUR if channels == 3 else GREY % 12 if name == "camvid" else GREY
    result = generate(path, with_one(tmp_path, values), "--out", tmp_path / "out")
    assert result.exit_code == 0, result.exception
    assert list(made(tmp_path / "out")) == ["x.png"]


@pytest.mark.parametrize("ends", [DEEP, (1000.0, 1400.0)])
@pytest.mark.parametrize("bits", [16, None])
def test_a_deep_generator_takes_deep_pictures_alone(
    tmp_path: Path, ends: tuple[float, float], bits: int | None
) -> None:
    path = saved(tmp_path / "g.safetensors", channels=(1, 1), input_range=ends, input_bits=bits)
    assert input_bits(read_generator(path)[1]) == 16
    folder = with_one(tmp_path, GREY)
    result = generate(path, folder, "--out", tmp_path / "out")
    assert "found 8 bits a channel, expected 16, as the generator was trained on" in str(result.exception)
    save(folder / "x.png", GREY.astype(np.uint16) * 5)
    assert generate(path, folder, "--out", tmp_path / "out").exit_code == 0


def test_an_older_card_may_leave_the_depth_open(tmp_path: Path) -> None:
    path = saved(tmp_path / "g.safetensors", input_range=(0.0, 100.0), input_bits=None)
    assert input_bits(read_generator(path)[1]) is None
    assert generate(path, with_one(tmp_path, COLOUR), "--out", tmp_path / "out").exit_code == 0


def test_a_run_records_the_depth_that_it_was_trained_on(
    tiny: Callable[..., Any],
    tiny_data: Any,  # noqa: ANN401
) -> None:
    from p2pbench.training.model import make_card

    deep = Channels(1, 1, np.dtype(np.uint16), np.dtype(np.uint8))
    ranged = tiny(input_range=(0.0, 200.0))
    assert make_card(ranged, tiny_data.dataset, tiny_data.channels).input_bits == 8
    assert make_card(ranged, tiny_data.dataset, deep).input_bits == 16


def test_colours_become_grey_as_in_training(tmp_path: Path) -> None:
    path = saved(tmp_path / "g.safetensors", channels=(1, 3))
    result = generate(path, with_one(tmp_path, COLOUR), "--out", tmp_path / "out")
    assert "1 picture of 3 channels of 8 bits, brought to 1: x.png" in result.output
    save(tmp_path / "one" / "x.png", np.asarray(Image.fromarray(COLOUR).convert("L")))
    generate(path, tmp_path / "one", "--out", tmp_path / "grey")
    assert made(tmp_path / "out") == made(tmp_path / "grey")


@pytest.mark.parametrize("channels", [2, 5])
def test_channels_that_cannot_be_brought_are_named(tmp_path: Path, channels: int) -> None:
    path = saved(tmp_path / "g.safetensors")
    values = np.repeat(GREY[..., None], channels, axis=2)
    result = generate(path, with_one(tmp_path, values), "--out", tmp_path / "out")
    assert f"x.tif: found {channels} channels, expected 3" in str(result.exception)


def test_a_generator_of_many_channels_takes_as_many(tmp_path: Path) -> None:
    path = saved(tmp_path / "g.safetensors", channels=(5, 1))
    folder = with_one(tmp_path, np.repeat(GREY[..., None], 5, axis=2))
    assert generate(path, folder, "--out", tmp_path / "out").exit_code == 0


@pytest.mark.parametrize("size", [(100, 70), (32, 32), (33, 47), (64, 10), (5, 5)])
def test_the_hole_is_the_central_half_of_the_picture_itself(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    path = saved(tmp_path / "g.safetensors", **SHALLOW_GENERATORS["inpainting"])
    generator, card = read_generator(path)
    seen: list[torch.Tensor] = []
    generator.register_forward_pre_hook(lambda _module, arguments: seen.append(arguments[0].clone()))
    values = np.full((height, width, 3), 10, np.uint8)
    with Translator(generator, card, bare_dataset(card)).open() as translate:
        translate(values, "x")
    (x,) = seen
    hole = np.zeros((height, width), bool)
    hole[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    if size == (100, 70):
        assert hole[17:53, 25:75].all()
        assert hole.sum() == 36 * 50
    assert np.array_equal((x[0, 0, :height, :width] == 1).numpy(), hole)
    # What is mirrored beyond the edges has the hole too: else it would show what is to be filled.
    mirrored = np.pad(hole, ((0, -height % 32), (0, -width % 32)), mode="symmetric")
    assert np.array_equal((x[0, 0] == 1).numpy(), mirrored)
    assert isinstance(generator, Generator)


def test_the_hole_is_that_of_training() -> None:
    from p2pbench.datasets.photos import Inpainting

    dataset = Inpainting(None, files=False)
    values = np.full((70, 100, 3), 10, np.uint8)
    holed = dataset.finish_input(torch.from_numpy(values).permute(2, 0, 1)[None] / 127.5 - 1)
    assert np.array_equal((holed[0, 0] == 1).numpy(), dataset.input_picture(values)[..., 0] == 255)
