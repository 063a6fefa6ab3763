"""Files of Caffe, in every way it wrote them; and files that are none."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file

from fcn.caffemodel import LONGEST_MESSAGE, read
from fcn.errors import FcnError
from tests.fcn import caffe
from tests.fcn.caffe import Layer, Values

RANDOM = np.random.default_rng(0)
WEIGHT: NDArray[np.float32] = RANDOM.standard_normal((4, 3, 2, 2)).astype(np.float32)
BIAS: NDArray[np.float32] = RANDOM.standard_normal(4).astype(np.float32)
LAYERS: Sequence[Layer] = [
    ("split", "Pooling", []),
    ("conv", "Convolution", [WEIGHT, BIAS]),
    ("conv", "Pooling", []),
    ("up", "Deconvolution", [WEIGHT]),
]


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def refusal(path: Path) -> str:
    """What is said of a file: one line that begins with its name."""
    with pytest.raises(FcnError) as caught:
        read(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    assert "expected" in said
    return said


@pytest.mark.parametrize("values", ["packed", "unpacked", "double", "chunks"])
@pytest.mark.parametrize("legacy", [False, True], ids=["layer", "layers"])
def test_every_way_of_writing_is_read(legacy: bool, values: Values, tmp_path: Path) -> None:
    weights = read(written(tmp_path / "net.caffemodel", caffe.encode(LAYERS, legacy, values)))
    assert list(weights) == ["conv", "up"]
    assert [blob.shape for blob in weights["conv"]] == [(4, 3, 2, 2), (1, 1, 1, 4) if legacy else (4,)]
    assert all(blob.dtype == np.float32 and blob.flags.writeable for blobs in weights.values() for blob in blobs)
    np.testing.assert_array_equal(weights["conv"][0], WEIGHT)
    np.testing.assert_array_equal(weights["conv"][1].ravel(), BIAS)
    np.testing.assert_array_equal(weights["up"][0], WEIGHT)


def test_old_and_new_layers_in_one_file(tmp_path: Path) -> None:
    content = caffe.encode([("new", "Convolution", [BIAS])]) + caffe.encode([("old", "Convolution", [BIAS])], True)
    assert set(read(written(tmp_path / "net.caffemodel", content))) == {"old", "new"}


def test_two_layers_of_one_name_are_refused(tmp_path: Path) -> None:
    twice = [("conv", "Convolution", [BIAS]), ("conv", "Convolution", [BIAS])]
    assert "two layers with weights are named conv" in refusal(written(tmp_path / "x", caffe.encode(twice)))


def test_layers_nested_as_before_2014_are_refused(tmp_path: Path) -> None:
    nested = caffe.field(2, caffe.field(1, caffe.field(1, b"conv1") + caffe.field(50, caffe.field(5, b"\0" * 8))))
    assert "upgrade_net_proto_binary" in refusal(written(tmp_path / "v0.caffemodel", nested))


@pytest.mark.parametrize(
    ("shape", "values"), [((4, 4), 15), ((2**40, 2**40), 2), ((0, 2**62, 2**62), 0), ((-2, -2), 4), ((1,) * 70, 1)]
)
def test_values_that_do_not_fill_their_shape_are_refused(shape: tuple[int, ...], values: int, tmp_path: Path) -> None:
    dimensions = b"".join(caffe.varint(size % 2**64) for size in shape)
    blob = caffe.field(5, b"\0" * 4 * values) + caffe.field(7, caffe.field(1, dimensions))
    content = caffe.field(100, caffe.field(1, b"conv") + caffe.field(7, blob))
    assert f"layer conv, blob 0: holds {values} values" in refusal(written(tmp_path / "x", content))


def test_a_double_beyond_float32_is_infinite(tmp_path: Path) -> None:
    blob = caffe.field(8, np.array([1e300, 0.5]).tobytes()) + caffe.field(7, caffe.field(1, b"\x02"))
    content = caffe.field(100, caffe.field(1, b"conv") + caffe.field(7, blob))
    assert read(written(tmp_path / "x", content))["conv"][0].tolist() == [np.inf, 0.5]


def _picture(path: Path) -> None:
    Image.new("RGB", (64, 64)).save(path, "PNG")


FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "missing": (lambda path: None, "no such file"),
    "folder": (lambda path: path.mkdir(), "cannot be read (Is a directory)"),
    "png": (_picture, "is a PNG picture"),
    "text": (lambda path: path.write_text('name: "net"\nlayer {\n}\n'), "is text"),
    "page": (lambda path: path.write_text("<!DOCTYPE html><p>Übung"), "is a web page"),
    "lfs": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "pointer of Git LFS"),
    "pt": (lambda path: torch.save({"a": torch.zeros(9)}, path), "torch.save"),
    "safetensors": (lambda path: save_file({"a": BIAS}, path), "is a safetensors file"),
    "gzip": (lambda path: path.write_bytes(gzip.compress(caffe.encode(LAYERS))), "is compressed by gzip"),
    "hdf5": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), "is HDF5 (a .caffemodel.h5)"),
    "random": (lambda path: path.write_bytes(np.random.default_rng(1).bytes(999)), "no file of Caffe's"),
    "zeros": (lambda path: path.write_bytes(bytes(999)), "no file of Caffe's"),
    "cut": (lambda path: path.write_bytes(caffe.encode(LAYERS)[:-9]), "is cut short"),
    "bare": (lambda path: path.write_bytes(caffe.encode([LAYERS[0]])), "holds no layer with weights"),
}


@pytest.mark.parametrize("kind", FILES)
def test_other_files_are_named_for_what_they_are(kind: str, tmp_path: Path) -> None:
    write, said = FILES[kind]
    write(tmp_path / "net.caffemodel")
    assert said in refusal(tmp_path / "net.caffemodel")


def test_a_file_longer_than_any_caffemodel_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(LONGEST_MESSAGE + 1)  # a hole: takes no room on the disk
    assert f"has {LONGEST_MESSAGE + 1} bytes" in refusal(tmp_path / "huge")


@pytest.mark.long
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data(), st.booleans())
def test_damage_is_told_or_harmless(tmp_path: Path, data: st.DataObject, legacy: bool) -> None:
    """Whatever bytes are cut or changed, the file is read or refused by an error that can be mended."""
    content = bytearray(caffe.encode(LAYERS, legacy))
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = written(tmp_path / "net.caffemodel", bytes(content[: data.draw(st.integers(0, len(content)))]))
    said = ""
    try:
        assert read(path)
    except FcnError as error:
        said = str(error)
    assert "\n" not in said
