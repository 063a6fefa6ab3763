"""Caffe's side of the tests: networks as .caffemodel and .prototxt, written from the wire format alone.

Layers are those of docs/paper-protocol.md#network-file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fcn.network import FCN, FcnArchitecture

Values = Literal["packed", "unpacked", "double", "chunks"]
Layer = tuple[str, str, Sequence[NDArray[np.float32]]]
"""Name, type and blobs."""

V1_TYPES = {"Convolution": 4, "Deconvolution": 39, "Pooling": 17}

# Name, input, channels, kernel, padding; then the pool behind it where there is one.
CONVOLUTIONS = """
conv1_1 data 64 3 100
conv1_2 conv1_1 64 3 1 pool1
conv2_1 pool1 128 3 1
conv2_2 conv2_1 128 3 1 pool2
conv3_1 pool2 256 3 1
conv3_2 conv3_1 256 3 1
conv3_3 conv3_2 256 3 1 pool3
conv4_1 pool3 512 3 1
conv4_2 conv4_1 512 3 1
conv4_3 conv4_2 512 3 1 pool4
conv5_1 pool4 512 3 1
conv5_2 conv5_1 512 3 1
conv5_3 conv5_2 512 3 1 pool5
fc6_cs pool5 4096 7 0
fc7_cs fc6_cs 4096 1 0
"""


def random_network(architecture: FcnArchitecture, seed: int = 0) -> FCN:
    """A network whose activations keep their size from layer to layer, so that no score vanishes."""
    random = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        network = FCN(architecture)
    network.to_empty(device="cpu")
    for layer in network.children():
        assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        if isinstance(layer, nn.ConvTranspose2d):
            taps = (layer.kernel_size[0] // layer.stride[0]) ** 2
            nn.init.normal_(layer.weight, std=(layer.in_channels * taps) ** -0.5, generator=random)
        else:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=random)
        if layer.bias is not None:
            nn.init.normal_(layer.bias, std=0.5, generator=random)
    return network.eval()


def layers(network: FCN) -> Iterator[Layer]:
    """The layers of a network, with some that have no blobs among them, as Caffe writes them."""
    for number, (name, layer) in enumerate(network.named_children()):
        kind = "Convolution" if isinstance(layer, nn.Conv2d) else "Deconvolution"
        yield name, kind, [value.detach().numpy() for value in layer.parameters()]
        if number % 4 == 0:
            yield f"pool_behind_{name}", "Pooling", []


def encode(layers: Iterable[Layer], legacy: bool = False, values: Values = "packed") -> bytes:
    """A .caffemodel; legacy ones have V1 layers, and blobs of four sizes."""
    return field(1, b"network") + b"".join(_layer(layer, legacy, values) for layer in layers)


def _layer(layer: Layer, legacy: bool, values: Values) -> bytes:
    name, kind, arrays = layer
    blobs = [_blob(array, legacy, values) for array in arrays]
    if legacy:
        content = field(4, name.encode()) + number_field(5, V1_TYPES[kind]) + b"".join(field(6, blob) for blob in blobs)
        return field(2, content)
    content = field(1, name.encode()) + field(2, kind.encode()) + b"".join(field(7, blob) for blob in blobs)
    return field(100, content)


def _blob(array: NDArray[np.float32], legacy: bool, values: Values) -> bytes:
    data, half = array.astype("<f4").tobytes(), 4 * (array.size // 2)
    written = {
        "packed": lambda: field(5, data),
        "chunks": lambda: field(5, data[:half]) + field(5, data[half:]),
        "double": lambda: field(8, array.astype("<f8").tobytes()),
        "unpacked": lambda: b"".join(b"\x2d" + data[place : place + 4] for place in range(0, len(data), 4)),
    }[values]()
    if legacy:
        sizes = (1,) * (4 - array.ndim) + array.shape
        return b"".join(number_field(number, size) for number, size in enumerate(sizes, 1)) + written
    return written + field(7, field(1, b"".join(varint(size) for size in array.shape)))


def field(number: int, content: bytes) -> bytes:
    """A field of bytes on the wire: text, a message, or packed numbers."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def number_field(number: int, value: int) -> bytes:
    """A field of one whole number."""
    return varint(number << 3) + varint(value)


def varint(value: int) -> bytes:
    """A whole number from 0 up, seven bits a byte."""
    low = b""
    while value > 127:
        low += bytes([value & 127 | 128])
        value >>= 7
    return low + bytes([value])


def prototxt(architecture: FcnArchitecture, height: int, width: int) -> str:
    """The published network for images of one size, with the channels of an architecture of stride 8."""

    def convolution(name: str, below: str, channels: int, kernel: int, padding: int) -> str:
        settings = f"num_output: {channels} kernel_size: {kernel} pad: {padding}"
        return _text(name, "Convolution", [below], name, f"convolution_param {{ {settings} }}")

    def deconvolution(name: str, below: str, stride: int) -> str:
        settings = f"num_output: {scores} kernel_size: {2 * stride} stride: {stride} bias_term: false"
        return _text(name, "Deconvolution", [below], name, f"convolution_param {{ {settings} }}")

    def crop(name: str, below: str, size_of: str, offset: int) -> str:
        return _text(name, "Crop", [below, size_of], name, f"crop_param {{ axis: 2 offset: {offset} }}")

    def fuse(name: str, *below: str) -> str:
        return _text(name, "Eltwise", below, name, "eltwise_param { operation: SUM }")

    scores = architecture.channels
    written = [f'input: "data" input_shape {{ dim: 1 dim: 3 dim: {height} dim: {width} }}']
    for line in CONVOLUTIONS.split("\n")[1:-1]:
        name, below, published, kernel, padding, *pools = line.split()
        channels = architecture.hidden if name.startswith("fc") else architecture.scaled(int(published))
        written.append(convolution(name, below, channels, int(kernel), int(padding)))
        written.append(_text(f"relu_{name}", "ReLU", [name], name, ""))
        for pool in pools:
            settings = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
            written.append(_text(pool, "Pooling", [name], pool, settings))
    return "\n".join(
        [
            *written,
            convolution("score_fr", "fc7_cs", scores, 1, 0),
            deconvolution("upscore2", "score_fr", 2),
            convolution("score_pool4", "pool4", scores, 1, 0),
            crop("score_pool4c", "score_pool4", "upscore2", 5),
            fuse("fuse_pool4", "upscore2", "score_pool4c"),
            deconvolution("upscore_pool4", "fuse_pool4", 2),
            convolution("score_pool3", "pool3", scores, 1, 0),
            crop("score_pool3c", "score_pool3", "upscore_pool4", 9),
            fuse("fuse_pool3", "upscore_pool4", "score_pool3c"),
            deconvolution("upscore8", "fuse_pool3", 8),
            crop("score", "upscore8", "data", 31),
        ]
    )


def _text(name: str, kind: str, below: Sequence[str], above: str, settings: str) -> str:
    bottoms = " ".join(f'bottom: "{bottom}"' for bottom in below)
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} top: "{above}" {settings} }}'
