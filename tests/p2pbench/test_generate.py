"""Trained generators: kept with their card, and applied to pictures of any size."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from p2pbench.ablation.data import Data
from p2pbench.config import RunConfig
from p2pbench.datasets import pictures
from p2pbench.datasets.transforms import from_network
from p2pbench.errors import UserError
from p2pbench.runtime.progress import ForwardedProgress
from p2pbench.training.generated_folder import generate
from p2pbench.training.generator_file import GeneratorCard, read_generator, save_generator
from p2pbench.training.inference import Translator, bare_dataset, load_generator, pad_to_stride
from p2pbench.training.model import build, make_card
from tests.p2pbench.tiny import picture

CPU = torch.device("cpu")
Tiny = Callable[..., RunConfig]


@pytest.fixture
def kept(tiny: Tiny, tiny_data: Data, tmp_path: Path) -> Path:
    """A generator's file; its running statistics are not those it began with."""
    config = tiny()
    generator = build(config, tiny_data.channels, CPU).generator
    for _ in range(20):
        generator(torch.rand(4, 3, 32, 32) - 1)
    path = tmp_path / "generator.safetensors"
    save_generator(path, generator, make_card(config, tiny_data.dataset, tiny_data.channels))
    return path


def outputs(folder: Path) -> dict[str, Any]:
    return {path.stem: np.asarray(Image.open(path)) for path in sorted(folder.rglob("*.png"))}


def applied(generator: Path, inputs: Path, out: Path, **switches: Any) -> dict[str, Any]:  # noqa: ANN401
    generate(load_generator(generator, device="cpu", **switches), inputs, out)
    return outputs(out)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Pictures of several sizes, one of them in a folder below."""
    folder = tmp_path / "inputs"
    (folder / "below").mkdir(parents=True)
    for name, (width, height) in {"a": (50, 37), "b": (32, 32), "below/c": (9, 70)}.items():
        Image.fromarray(picture(len(name), 80)).resize((width, height)).save(folder / f"{name}.png")
    return folder


def test_pictures_of_any_size_keep_it(kept: Path, inputs: Path, tmp_path: Path) -> None:
    made = applied(kept, inputs, tmp_path / "out")
    assert {name: made[name].shape for name in made} == {
        "a": (37, 50, 3),
        "b": (32, 32, 3),
        "below__c": (70, 9, 3),
    }
    record = json.loads((tmp_path / "out" / "generation.json").read_text())
    assert record["card"]["test_dropout"] is True
    assert record["card"]["test_batch_norm"] == "batch"
    assert record["pictures"] == 3


def test_a_padded_picture_is_the_network_on_the_mirrored_one(kept: Path, inputs: Path, tmp_path: Path) -> None:
    made = applied(kept, inputs, tmp_path / "out", dropout=False, batch_norm="running")
    generator, card = read_generator(kept)
    assert card.architecture.depth == 5
    values = np.asarray(Image.open(inputs / "a.png"))
    padded = np.pad(values, ((0, 64 - 37), (0, 64 - 50), (0, 0)), mode="symmetric")
    x = torch.from_numpy(padded).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        expected = generator.eval()(x)[0, :, :37, :50]
    assert np.abs(made["a"].astype(int) - from_network(expected, (0, 255), "uint8")).max() <= 1


@given(height=st.integers(1, 90), width=st.integers(1, 90), depth=st.integers(1, 6))
def test_padding_reaches_the_stride_and_keeps_the_picture(height: int, width: int, depth: int) -> None:
    values = torch.rand(1, 2, height, width)
    padded = pad_to_stride(values, depth)
    tall, wide = padded.shape[-2:]
    assert tall % 2**depth == wide % 2**depth == 0
    assert tall - height < 2**depth > wide - width
    assert torch.equal(padded[..., :height, :width], values)
    if tall > height:
        assert torch.equal(padded[..., height, :], padded[..., height - 1, :])  # mirrored with the edge repeated


def test_a_picture_does_not_depend_on_the_others(kept: Path, inputs: Path, tmp_path: Path) -> None:
    all_of_them = applied(kept, inputs, tmp_path / "out")
    (inputs / "b.png").unlink()
    without_b = applied(kept, inputs, tmp_path / "alone")
    assert np.array_equal(all_of_them["a"], without_b["a"])
    assert np.array_equal(all_of_them["below__c"], without_b["below__c"])


def test_each_item_has_noise_of_its_own(kept: Path, inputs: Path, tmp_path: Path) -> None:
    (inputs / "same.png").write_bytes((inputs / "b.png").read_bytes())
    made = applied(kept, inputs, tmp_path / "out")
    assert not np.array_equal(made["b"], made["same"])
    silent = applied(kept, inputs, tmp_path / "silent", dropout=False)
    assert np.array_equal(silent["b"], silent["same"])


def test_the_two_switches_and_the_seed(kept: Path, inputs: Path, tmp_path: Path) -> None:
    made = {}
    every: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"dropout": False},
        {"batch_norm": "running"},
        {"dropout": False, "batch_norm": "running"},
    ]
    for place, switches in enumerate(every):
        out = tmp_path / str(place)
        made[place] = applied(kept, inputs, out, **switches)["a"]
        card = json.loads((out / "generation.json").read_text())["card"]
        assert card["test_dropout"] is switches.get("dropout", True)
        assert card["test_batch_norm"] == switches.get("batch_norm", "batch")
    with pytest.raises(UserError, match="seed 1 has no effect"):  # there is no noise that it could draw
        applied(kept, inputs, tmp_path / "idle", dropout=False, seed=1)
    assert not (tmp_path / "idle").exists()
    distinct = list(made.values())
    assert not any(np.array_equal(a, b) for i, a in enumerate(distinct) for b in distinct[i + 1 :])


def test_generating_leaves_the_generator_and_torch_as_they_were(kept: Path) -> None:
    generator, card = read_generator(kept)
    before = {name: value.clone() for name, value in generator.state_dict().items() if "num_batches" not in name}
    state = torch.get_rng_state()
    with Translator(generator, card, bare_dataset(card)).open() as translate:
        translate(picture(0, 32), "x")
    assert torch.equal(torch.get_rng_state(), state)
    after = generator.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_label_picture_is_coloured_by_the_table(tiny: Tiny, tmp_path: Path, tiny_data: Data) -> None:
    card = make_card(tiny(), tiny_data.dataset, tiny_data.channels)
    camvid = bare_dataset(card.model_copy(update={"dataset": "camvid", "direction": "labels-to-photo"}))
    path = tmp_path / "labels.png"

    def from_file(values: Any) -> Any:  # noqa: ANN401
        Image.fromarray(values).save(path)
        return camvid.from_picture(pictures.read(path), path).tolist()

    road_and_sky = [[[128, 64, 128], [128, 128, 128]]]
    assert from_file(np.array([[3, 0]], np.uint8)) == road_and_sky
    assert from_file(np.array([[3, 0]], np.uint16)) == road_and_sky
    assert from_file(np.array(road_and_sky, np.uint8)) == road_and_sky
    path.write_bytes(four_bits([3, 0]))
    assert camvid.from_picture(pictures.read(path), path).tolist() == road_and_sky
    with pytest.raises(UserError, match=r"labels\.png: label values 99 are not in the table of camvid"):
        from_file(np.array([[3, 99]], np.uint8))


def four_bits(row: list[int]) -> bytes:
    """A PNG of two grey pixels of four bits each, as optimisers make them of small label values."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    high, low = row
    header = struct.pack(">IIBBBBB", 2, 1, 4, 0, 0, 0, 0)
    data = zlib.compress(bytes([0, 16 * high + low]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "not a safetensors file"), (b"x" * 100, "not a safetensors file"), (None, "no such file")],
)
def test_what_is_no_generator_is_named(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "generator.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=said):
        read_generator(path)


def test_weights_without_a_card_or_of_another_one_are_named(kept: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    generator, card = read_generator(kept)
    save_file({"a": torch.zeros(1)}, tmp_path / "bare.safetensors")
    with pytest.raises(UserError, match="no generator's card"):
        read_generator(tmp_path / "bare.safetensors")
    wider = card.model_copy(update={"architecture": card.architecture.model_copy(update={"ngf": 8})})
    save_generator(tmp_path / "wider.safetensors", generator, wider)
    with pytest.raises(UserError, match=r"encoder\.0\.weight has shape \(4, 3, 4, 4\), expected \(8, 3, 4, 4\)"):
        read_generator(tmp_path / "wider.safetensors")


def test_what_is_passed_over_is_said_and_a_pipe_does_not_stop_it(kept: Path, inputs: Path, tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(inputs / "moving.gif")
    os.mkfifo(inputs / "pipe.png")
    said: list[str] = []
    reporter = ForwardedProgress(lambda event: said.append(str(event[1][0])) if event[0] == "say" else None)
    generate(kept, inputs, tmp_path / "out", reporter=reporter)
    assert list(outputs(tmp_path / "out")) == ["a", "b", "below__c"]
    assert len(said) == 1, said
    assert said[0].startswith(f"{inputs}: passed over .gif (1), pipes and devices (1); read are ")


def test_an_empty_folder_is_named(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="found no pictures"):
        applied(kept, tmp_path / "empty", tmp_path / "out")
    with pytest.raises(UserError, match="no such folder"):
        applied(kept, tmp_path / "nowhere", tmp_path / "out")
    Image.new("RGB", (32, 32)).save(tmp_path / "file.png")
    with pytest.raises(UserError, match=r"file\.png: found a file, expected a folder of pictures"):
        applied(kept, tmp_path / "file.png", tmp_path / "out")


def test_a_card_is_read_as_it_was_written(kept: Path, tiny: Tiny, tiny_data: Data) -> None:
    _, card = read_generator(kept)
    assert isinstance(card, GeneratorCard)
    assert card == make_card(tiny(), tiny_data.dataset, tiny_data.channels)
