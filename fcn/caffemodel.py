"""Reads the weights in a .caffemodel, without Caffe.

Such a file is one protobuf message. The few fields that hold weights are declared here, by the numbers that caffe.proto
gives them; protobuf skips the rest. Source: caffe.proto and `Blob::FromProto` of BVLC/caffe.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from numpy.typing import NDArray

from fcn.errors import TEXT, FcnError, file_kind

EXPECTED = "expected a .caffemodel as Caffe writes it"
MEND = "fetch the file again"
LONGEST_MESSAGE = 2**31 - 1  # bytes; protobuf's own limit
MOST_AXES = 32  # Caffe's own limit
LEGACY_SIZES = ("num", "channels", "height", "width")


def read(path: Path) -> dict[str, list[NDArray[np.float32]]]:
    """Read the blobs of all layers by layer name.

    Layers without blobs are left out; the order is the file's.

    In current files a blob has its own shape. In legacy ones it has four sizes, padded with ones in front: a bias of N
    is (1, 1, 1, N).

    Raises:
        FcnError: No such file; not a .caffemodel, or a damaged one; two layers of one name that both have blobs.
    """
    weights: dict[str, list[NDArray[np.float32]]] = {}
    for name, blobs in _layers(_network(path)):
        if name in weights:
            raise FcnError(f"{path}: two layers with weights are named {name}; expected one of each name")
        weights[name] = [_values(blob, f"{path}: layer {name}, blob {index}") for index, blob in enumerate(blobs)]
    return weights


def _network(path: Path) -> Any:  # noqa: ANN401 (a message, whose class is made at run time)
    content = _content(path)
    try:
        network = _PACKED.FromString(content)
        # A blob without values under the packed declaration: its writer did not pack them.
        if any(not blob.data and not blob.double_data for _, blobs in _layers(network) for blob in blobs):
            network = _PACKED.FromString(_UNPACKED.FromString(content).SerializeToString())
    except DecodeError:
        found = _format(path) or "is cut short, damaged, or no file of Caffe's"
        raise FcnError(f"{path}: {found}; {EXPECTED}; {MEND}") from None
    if any(layer.HasField("version_0") for layer in network.layers):
        raise FcnError(
            f"{path}: its layers are nested as in Caffe before 2014 (V0); {EXPECTED} since; "
            "convert it with Caffe's upgrade_net_proto_binary"
        )
    if not any(_layers(network)):
        raise FcnError(f"{path}: {_format(path) or 'holds no layer with weights'}; {EXPECTED}, with weights in it")
    return network


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size <= LONGEST_MESSAGE:
            content = path.read_bytes()
    except FileNotFoundError:
        raise FcnError(f"{path}: no such file; {EXPECTED}") from None
    except OSError as error:
        raise FcnError(f"{path}: cannot be read ({error.strerror or error}); {EXPECTED}") from None
    if size == 0:
        raise FcnError(f"{path}: is empty; {EXPECTED}; {MEND}")
    if size > LONGEST_MESSAGE:
        raise FcnError(f"{path}: has {size} bytes; {EXPECTED}, which are {LONGEST_MESSAGE} bytes at most")
    return content


def _format(path: Path) -> str | None:
    """Guess the format of a file that could not be parsed."""
    kind = file_kind(path)
    return f"{TEXT}, such as a .prototxt, which describes a network and holds no weights" if kind == TEXT else kind


def _layers(network: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield name and blobs of every layer that has blobs: a split, a pool or a ReLU has none."""
    for layer in (*network.layers, *network.layer):
        if layer.blobs:
            name = layer.name.decode("utf-8", "replace")
            yield name if name.isprintable() else ascii(name), layer.blobs


def _values(blob: Any, where: str) -> NDArray[np.float32]:  # noqa: ANN401
    # As in Caffe's Blob::FromProto: any legacy size overrides a shape, and doubles override floats.
    legacy = any(blob.HasField(size) for size in LEGACY_SIZES)
    shape = tuple(getattr(blob, size) for size in LEGACY_SIZES) if legacy else tuple(blob.shape.dim)
    raw, stored = (blob.double_data, np.dtype("<f8")) if blob.double_data else (blob.data, np.dtype("<f4"))
    # A packed field may be split into several records, whose bytes follow one another.
    data = raw[0] if len(raw) == 1 else b"".join(raw)
    if len(shape) > MOST_AXES or min(shape, default=1) < 1 or math.prod(shape) * stored.itemsize != len(data):
        values = len(data) / stored.itemsize
        raise FcnError(f"{where}: holds {values:g} values, expected as many as shape {str(shape)[:60]} has; {MEND}")
    with np.errstate(over="ignore"):  # a double beyond float32 becomes an infinity, which the caller refuses
        return np.frombuffer(data, stored).astype(np.float32).reshape(shape)


def _message(packed: bool) -> Any:  # noqa: ANN401
    """Build the class of a network's message.

    With `packed`, values are declared as bytes: on the wire a packed list of floats is the same, and 134 million floats
    arrive as one block of memory instead of as many Python objects. Values that a writer did not pack are missed so;
    the other class, which declares them as numbers, reads both and packs them when it writes.
    """
    floats, doubles = (Field.TYPE_BYTES,) * 2 if packed else (Field.TYPE_FLOAT, Field.TYPE_DOUBLE)
    one, many = Field.LABEL_OPTIONAL, Field.LABEL_REPEATED
    schema: dict[str, list[tuple[str, int, Any, Any]]] = {
        "Network": [("layers", 2, many, "LayerV1"), ("layer", 100, many, "Layer")],
        "Layer": [("name", 1, one, Field.TYPE_BYTES), ("blobs", 7, many, "Blob")],
        "LayerV1": [
            ("version_0", 1, one, Field.TYPE_BYTES),
            ("name", 4, one, Field.TYPE_BYTES),
            ("blobs", 6, many, "Blob"),
        ],
        "Blob": [
            *((size, i, one, Field.TYPE_INT32) for i, size in enumerate(LEGACY_SIZES, 1)),
            ("data", 5, many, floats),
            ("shape", 7, one, "Shape"),
            ("double_data", 8, many, doubles),
        ],
        "Shape": [("dim", 1, many, Field.TYPE_INT64)],
    }
    file = FileDescriptorProto(name="fcn/caffemodel.proto", package="fcn")
    for message, fields in schema.items():
        declared = file.message_type.add(name=message)
        for name, number, label, kind in fields:
            field = declared.field.add(name=name, number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = Field.TYPE_MESSAGE, f".fcn.{kind}"
            else:
                field.type = kind
            if kind in (Field.TYPE_FLOAT, Field.TYPE_DOUBLE):
                field.options.packed = True
    pool = DescriptorPool()  # a private one: the default pool may hold another caffe.proto
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("fcn.Network"))


_PACKED = _message(packed=True)
_UNPACKED = _message(packed=False)
