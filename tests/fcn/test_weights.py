"""A scorer's file, the way in for the published weights, and the command that takes it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from fcn import weights
from fcn.errors import FcnError
from fcn.labels import CITYSCAPES
from fcn.network import FCN, FcnArchitecture
from fcn.weights import Card
from p2pbench.cli import cli, main
from tests.fcn import caffe
from tests.fcn.caffe import Layer

CARD = Card(
    architecture=FcnArchitecture(channels=4, width=1 / 64, hidden=8, padding="layers"),
    classes=("road", "sky", "Häuser"),
    labels="some labels",
    photo_size=None,
    source="a test",
    source_sha256=None,
)
PARTS = ("weight", "bias")
IMPORTED = replace(CARD, photo_size=256, source_sha256=64 * "a")


@pytest.fixture
def network() -> FCN:
    return caffe.random_network(CARD.architecture)


@pytest.fixture
def path(tmp_path: Path, network: FCN) -> Path:
    weights.save(tmp_path / "scorer.safetensors", network, CARD)
    return tmp_path / "scorer.safetensors"


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> list[Layer]:
    """The layers of a published network that is narrow for the time of a test."""
    monkeypatch.setattr(weights, "PUBLISHED", FcnArchitecture(channels=20, width=1 / 64, hidden=8))
    return list(caffe.layers(caffe.random_network(weights.PUBLISHED)))


def refusal(of: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(FcnError) as caught:
        of(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    return said


def rewritten(path: Path, card: object = None, **entries: torch.Tensor | None) -> Path:
    """The same file with another card, or some entries changed; None takes one out."""
    values = {**load_file(path), **{name.replace("__", "."): value for name, value in entries.items()}}
    document = json.dumps(asdict(CARD) if card is None else card)
    save_file({name: value for name, value in values.items() if value is not None}, path, {"fcn": document})
    return path


@pytest.mark.parametrize("card", [CARD, IMPORTED])
def test_what_is_saved_is_loaded(network: FCN, card: Card, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "scorer.safetensors"
    weights.save(path, network.to(memory_format=torch.channels_last), card)
    loaded, found = weights.load(path)
    assert found == card
    assert not loaded.training
    expected = network.state_dict()
    assert all(value.equal(expected[name]) for name, value in loaded.state_dict().items())
    assert all(value.requires_grad for value in loaded.parameters())
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_the_same_network_gives_the_same_file(path: Path, network: FCN, tmp_path: Path) -> None:
    weights.save(tmp_path / "again", network, CARD)
    assert weights.digest(tmp_path / "again") == weights.digest(path)
    assert re.fullmatch("[0-9a-f]{64}", weights.digest(path))


def test_where_nothing_can_be_written(path: Path, network: FCN) -> None:
    below = path / "scorer.safetensors"
    said = f"cannot be written ({path} is a file, expected a folder); name a place"
    assert said in refusal(lambda to: weights.save(to, network, CARD), below)


def test_files_that_hold_no_scorer(path: Path, tmp_path: Path) -> None:
    assert "no such file" in refusal(weights.load, tmp_path / "nothing")
    assert "is a folder" in refusal(weights.load, tmp_path)
    (tmp_path / "text").write_text("text")
    assert "not a safetensors file" in refusal(weights.load, tmp_path / "text")
    path.write_bytes(path.read_bytes()[:-9])
    assert "not a safetensors file" in refusal(weights.load, path)
    save_file({"a": torch.zeros(1)}, tmp_path / "other")
    assert "holds no scorer's card" in refusal(weights.load, tmp_path / "other")
    assert "cannot be read" in refusal(weights.digest, tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("classes", []),
        ("classes", "road"),
        ("classes", ["road", 1]),
        ("labels", None),
        ("photo_size", 0),
        ("photo_size", 256.0),
        ("photo_size", True),
        ("source_sha256", "abc"),
        ("architecture", None),
        ("channels", 256),
        ("width", 0),
        ("width", float("nan")),
        ("width", "1"),
        ("hidden", 10**9),
        ("stride", 9),
        ("padding", ["input"]),
    ],
)
def test_cards_with_impossible_values(path: Path, field: str, value: object) -> None:
    card: dict[str, Any] = asdict(CARD)
    (card if field in card else card["architecture"])[field] = value
    assert f"its card cannot be used: {field} is " in refusal(weights.load, rewritten(path, card))


def test_cards_of_other_fields(path: Path) -> None:
    cards: list[object] = [[], {}, {**asdict(CARD), "more": 1}, {**asdict(CARD), "architecture": {"channels": 4}}]
    for card in cards:
        assert "expected exactly the fields" in refusal(weights.load, rewritten(path, card))
    many = asdict(replace(CARD, classes=("a", "b", "c", "d", "e")))
    assert "5 classes for 4 channels" in refusal(weights.load, rewritten(path, many))


def test_entries_that_do_not_fit(path: Path) -> None:
    said = refusal(
        weights.load,
        rewritten(
            path,
            conv1_1__weight=None,
            conv1_1__bias=torch.zeros(3),
            conv1_2__bias=torch.zeros(1).double(),
            conv2_1__bias=torch.tensor([0.0, float("nan")]),
            conv6_1__bias=torch.zeros(1),
        ),
    )
    assert "conv1_1.weight is missing" in said
    assert "conv1_1.bias has shape (3,), expected (1,)" in said
    assert "conv1_2.bias holds torch.float64, expected torch.float32" in said
    assert "conv2_1.bias holds NaN or infinite values" in said
    assert "conv6_1.bias is left over" in said


@pytest.mark.parametrize("legacy", [False, True], ids=["layer", "layers"])
def test_the_published_network_is_taken_over(legacy: bool, narrow: list[Layer], tmp_path: Path) -> None:
    path = tmp_path / "fcn-8s-cityscapes.caffemodel"
    path.write_bytes(caffe.encode(narrow, legacy))
    network, card = weights.from_caffe(path)
    assert card.classes == CITYSCAPES.classes
    assert card.labels == CITYSCAPES.name
    assert card.photo_size == 256
    assert card.source == "imported from fcn-8s-cityscapes.caffemodel"
    assert card.source_sha256 == weights.digest(path)
    assert not network.training
    expected = {f"{name}.{part}": blob for name, _, blobs in narrow for part, blob in zip(PARTS, blobs, strict=False)}
    found = network.state_dict()
    assert found.keys() == expected.keys()
    for name, value in found.items():
        np.testing.assert_array_equal(value.numpy(), expected[name])


def zeros(*shape: int) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fc6_cs": None}, ["fc6_cs.weight is missing", "fc6_cs.bias is missing"]),
        ({"upscore2": []}, ["upscore2.weight is missing"]),
        ({"fc6": [zeros(8)]}, ["fc6.weight is left over"]),
        ({"upscore8": [zeros(20, 20, 16, 16), zeros(20)]}, ["upscore8.bias is left over"]),
        (
            {"upscore8": [zeros(20, 1, 16, 16)]},
            ["upscore8.weight has shape (20, 1, 16, 16), expected (20, 20, 16, 16)"],
        ),
        ({"conv1_1": [zeros(1, 3, 3, 3), zeros(1), zeros(1)]}, ["conv1_1.2 is left over"]),
        ({"score_fr": [zeros(19, 8, 1, 1), zeros(19)]}, ["score_fr.weight has shape (19, 8, 1, 1)"]),
        ({"conv1_1": [zeros(1, 3, 3, 3), zeros(1) + np.inf]}, ["conv1_1.bias holds NaN or infinite values"]),
    ],
)
def test_other_networks_are_refused_by_name(
    change: dict[str, list[NDArray[np.float32]] | None], said: list[str], narrow: list[Layer], tmp_path: Path
) -> None:
    layers: dict[str, Layer] = {layer[0]: layer for layer in narrow}
    for name, blobs in change.items():
        layers.pop(name, None)
        if blobs is not None:
            layers[name] = (name, "Convolution", blobs)
    path = tmp_path / "net.caffemodel"
    path.write_bytes(caffe.encode(layers.values()))
    found = refusal(weights.from_caffe, path)
    assert all(line in found for line in said)
    assert "expected FCN-8s for Cityscapes with 20 score channels" in found


def test_of_many_problems_a_few_are_shown_and_the_rest_counted(tmp_path: Path) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(caffe.encode([("a" * 999, "Convolution", [zeros(1)])]))
    said = refusal(weights.from_caffe, path)
    assert "conv1_1.weight is missing" in said
    assert "and 35 more" in said  # 39 entries are missing, and one is left over
    assert len(said) < 500


def test_the_command(narrow: list[Layer], tmp_path: Path) -> None:
    source, out = tmp_path / "net.caffemodel", tmp_path / "out" / "fcn8s.safetensors"
    source.write_bytes(caffe.encode(narrow))
    result = CliRunner().invoke(cli, ["fcn-import", str(source), str(out)])
    assert result.exit_code == 0
    parameters = sum(blob.size for _, _, blobs in narrow for blob in blobs)
    assert f"21 layers, {parameters:,} parameters" in result.output
    assert weights.digest(source) in result.output
    assert weights.load(out)[1].labels == CITYSCAPES.name
    before = out.read_bytes()
    again = CliRunner().invoke(cli, ["fcn-import", str(source), str(out)])
    assert f"{out}: is there already, the same; " in again.output
    name, kind, blobs = narrow[0]
    source.write_bytes(caffe.encode([(name, kind, [blobs[0] + 1, *blobs[1:]]), *narrow[1:]]))
    refused = CliRunner().invoke(cli, ["fcn-import", str(source), str(out)])
    assert str(refused.exception).startswith(f"{out}: found something else there, expected nothing; ")
    assert out.read_bytes() == before


def test_the_command_does_not_write_onto_its_input(
    narrow: list[Layer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.caffemodel"
    path.write_bytes(caffe.encode(narrow))
    before = path.read_bytes()
    with pytest.raises(SystemExit) as stopped:
        main(["fcn-import", str(path), str(tmp_path / "." / "net.caffemodel")])
    assert stopped.value.code == 1
    assert capsys.readouterr().err == (
        f"Error: {path}: is the same as {path}, which is read; expected a place apart; write elsewhere\n"
    )
    assert path.read_bytes() == before


def test_the_command_tells_what_is_no_caffemodel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["fcn-import", str(tmp_path / "nothing"), str(tmp_path / "out")])
    assert stopped.value.code == 1
    assert capsys.readouterr().err.startswith(f"Error: {tmp_path / 'nothing'}: no such file; expected a .caffemodel")
    assert not (tmp_path / "out").exists()
