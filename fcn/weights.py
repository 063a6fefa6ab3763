"""Scorer files: safetensors with a card, import from Caffe and torch."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import re
import struct
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fcn import caffemodel
from fcn.confusion import whole_file
from fcn.errors import PICKLE, SAFETENSORS, ZIP, FcnError, file_kind
from fcn.labels import CITYSCAPES, IGNORE
from fcn.network import FCN, STRIDES, FcnArchitecture

METADATA_KEY = "fcn"
IMPORTED = "imported from"  # begins the source of a scorer that Caffe trained
PUBLISHED = FcnArchitecture(channels=20)
PUBLISHED_PHOTO_SIZE = 256
EXPECTED = "expected a scorer's .safetensors, imported from Caffe's weights or trained"
MEND = "check the path, or fetch the file again"
SHOWN = 5  # entries that a message names
LONGEST_NAME = 60
LONGEST = 200  # characters of a file's own description of itself
WIDEST = 16.0
MOST_HIDDEN = 65536

# Errors of `torch.load` for a damaged or foreign file: whatever its reader of pickles stumbles over.
UNREADABLE = (
    SafetensorError,  # which torch.load reads too, by the file's name
    pickle.UnpicklingError,
    struct.error,
    RuntimeError,
    EOFError,
    OSError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    AssertionError,
)

_OBJECT = re.compile(r"GLOBAL (\S+)")


@dataclass(frozen=True)
class Card:
    """Architecture, classes, size rule and source of a scorer.

    Attributes:
        architecture: Of the network.
        classes: Names of the scored classes, by index; the network may have more channels, the published has one more.
        labels: Name of the `fcn.labels.LabelTable` it was trained for.
        photo_size: Side of the square to which photos are resized, before they are resized up to the size of their
            labels; None scores them as they are.
        source: The file it was imported from, or its training and data.
        source_sha256: SHA-256 of that file, in hexadecimal; None for a scorer that was trained here.
    """

    architecture: FcnArchitecture
    classes: tuple[str, ...]
    labels: str
    photo_size: int | None
    source: str
    source_sha256: str | None


def save(path: Path, network: FCN, card: Card) -> None:
    """Write a network and its card, whole or not at all.

    The folder is made where it is missing.

    Raises:
        FcnError: The folder or the file cannot be written.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    with whole_file(path) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # by the user's umask; `save_file` gives the owner alone access
        try:
            save_file(weights, temporary, metadata={METADATA_KEY: json.dumps(asdict(card))})
        except SafetensorError as error:  # wraps the system's error
            raise OSError(str(error)) from None
        temporary.chmod(mode)


def load(path: Path) -> tuple[FCN, Card]:
    """Load a network onto the CPU, in evaluation mode, and its card.

    Raises:
        FcnError: No such file, not a scorer's file, or entries that do not fit the architecture.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except FileNotFoundError:
        raise FcnError(f"{path}: no such file; {EXPECTED}") from None
    except (SafetensorError, OSError) as error:
        raise FcnError(f"{path}: {no_safetensors(path, error)}; {EXPECTED}; {MEND}") from None
    if METADATA_KEY not in metadata:
        raise FcnError(f"{path}: holds no scorer's card; {EXPECTED}")
    try:
        card = _card(metadata[METADATA_KEY])
    except (ValueError, RecursionError) as error:
        raise FcnError(f"{path}: its card cannot be used: {error}; {EXPECTED}") from None
    return _network(card.architecture, weights, path, EXPECTED), card


def from_caffe(path: Path) -> tuple[FCN, Card]:
    """Import the published network from a .caffemodel, with its card.

    Sources: docs/paper-protocol.md#network-file (every layer's name and shape) and docs/paper-protocol.md#fcn-score
    (photos of 256x256).

    Raises:
        FcnError: Not such a file, or a layer is missing, left over or of another shape; it is named as in the file.
    """
    expected = _shapes(PUBLISHED)
    weights = {}
    for layer, blobs in caffemodel.read(path).items():
        for index, blob in enumerate(blobs):
            name = f"{layer}.{('weight', 'bias')[index] if index < 2 else index}"
            shape = expected.get(name, blob.shape)
            legacy = (1,) * (4 - len(shape)) + shape  # a legacy bias of N is (1, 1, 1, N)
            weights[name] = torch.from_numpy(blob.reshape(shape) if blob.shape == legacy else blob)
    card = Card(
        architecture=PUBLISHED,
        classes=CITYSCAPES.classes,
        labels=CITYSCAPES.name,
        photo_size=PUBLISHED_PHOTO_SIZE,
        source=f"{IMPORTED} {path.name}",
        source_sha256=digest(path),
    )
    wanted = f"expected FCN-8s for Cityscapes with {PUBLISHED.channels} score channels, as published with pix2pix"
    return _network(PUBLISHED, weights, path, wanted), card


def digest(path: Path) -> str:
    """Compute the SHA-256 of a file, in hexadecimal.

    Raises:
        FcnError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FcnError(f"{path}: cannot be read ({error.strerror or error}); give a file that can") from None


def _empty(architecture: FcnArchitecture) -> FCN:
    """Build a network on the meta device: its weights have shapes but no values, and take no memory."""
    with torch.device("meta"):
        return FCN(architecture)


def _shapes(architecture: FcnArchitecture) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in _empty(architecture).state_dict().items()}


def _network(architecture: FcnArchitecture, weights: Mapping[str, Tensor], path: Path, wanted: str) -> FCN:
    """Build a network with all its weights set, without a copy."""
    network = _empty(architecture)
    expected = network.state_dict()
    problems = [f"{name} is missing" for name in expected if name not in weights]
    for name, value in weights.items():
        if name not in expected:
            problems.append(f"{name[:LONGEST_NAME]} is left over")
        elif value.shape != expected[name].shape:
            problems.append(f"{name} has shape {tuple(value.shape)}, expected {tuple(expected[name].shape)}")
        elif value.dtype != torch.float32:
            problems.append(f"{name} holds {value.dtype}, expected torch.float32")
        elif not all(extreme.isfinite() for extreme in value.aminmax()):  # both are NaN where one value is
            problems.append(f"{name} holds NaN or infinite values")
    if problems:
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise FcnError(f"{path}: {'; '.join(problems[:SHOWN])}{more}; {wanted}")
    # The tensors of the file become the weights themselves: no second copy of a large network in memory.
    network.load_state_dict(weights, assign=True)
    return network.eval()


def _card(document: str) -> Card:
    """Parse the card that `save` wrote.

    Raises:
        ValueError: It is no JSON, has other fields, or a field holds what it cannot.
    """
    content = _checked(json.loads(document), CARD)
    shape = _checked(content.pop("architecture"), ARCHITECTURE)
    card = Card(FcnArchitecture(**shape), **{**content, "classes": tuple(content["classes"])})
    if len(card.classes) > card.architecture.channels:
        raise ValueError(f"{len(card.classes)} classes for {card.architecture.channels} channels")
    return card


def _checked(content: Any, checks: Mapping[str, Callable[[Any], bool]]) -> dict[str, Any]:  # noqa: ANN401 (JSON)
    if not isinstance(content, dict) or content.keys() != checks.keys():
        raise ValueError(f"expected exactly the fields {', '.join(checks)}")
    for name, check in checks.items():
        if not check(content[name]):
            raise ValueError(f"{name} is {str(content[name])[:LONGEST_NAME]!r}")
    return content


def _whole(value: Any, most: float) -> bool:  # noqa: ANN401
    return type(value) is int and 1 <= value <= most


def _text(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, str)


# Valid values of a card's fields. A class has to fit a byte beside IGNORE.
ARCHITECTURE: dict[str, Callable[[Any], bool]] = {
    "channels": lambda value: _whole(value, IGNORE),
    "width": lambda value: type(value) in (int, float) and 0 < value <= WIDEST,
    "hidden": lambda value: _whole(value, MOST_HIDDEN),
    "stride": lambda value: type(value) is int and value in STRIDES,
    "padding": lambda value: value in ("input", "layers"),
}


CARD: dict[str, Callable[[Any], bool]] = {
    "architecture": lambda value: isinstance(value, dict),
    "classes": lambda value: isinstance(value, list) and len(value) > 0 and all(map(_text, value)),
    "labels": _text,
    "photo_size": lambda value: value is None or _whole(value, math.inf),
    "source": _text,
    "source_sha256": lambda value: value is None or (_text(value) and bool(re.fullmatch("[0-9a-f]{64}", value))),
}


def read(path: Path) -> Any:  # noqa: ANN401 (what a file holds is not known before it is read)
    """Read a file of `torch.save` onto the CPU.

    No code in it is run.

    Raises:
        Exception: One of UNREADABLE, which `reason` explains.
    """
    with warnings.catch_warnings():  # about old and foreign files, which then fail with an error of their own
        warnings.simplefilter("ignore")
        return torch.load(path, map_location="cpu", weights_only=True)


def no_safetensors(path: Path, error: Exception) -> str:
    """Explain why a safetensors file cannot be opened."""
    if path.is_dir():
        return "is a folder"
    kind = file_kind(path)
    if kind == SAFETENSORS:
        return f"not a safetensors file that is whole ({error})"
    return f"not a safetensors file, it {kind}" if kind else f"not a safetensors file ({error})"


def reason(error: Exception, path: Path) -> str:
    """Explain in one printable line why torch cannot read a file.

    Names in it are the file's own.
    """
    text, kind = str(error), file_kind(path)
    if kind not in (None, ZIP, PICKLE, SAFETENSORS):
        return f"it {kind}"
    if isinstance(error, SafetensorError) or "PytorchStreamReader" in text:
        return "it is cut short or damaged"
    found = _OBJECT.search(text)
    if found:
        return f"it holds {_printable(found[1])}, not weights alone: where it was made, save net.state_dict() instead"
    if "TorchScript" in text:
        return "it holds a TorchScript module, not weights alone: where it was made, save net.state_dict() instead"
    if isinstance(error, OSError):
        return _printable(error.strerror or text)
    if isinstance(error, pickle.UnpicklingError | EOFError | LookupError | struct.error):
        return "it is damaged, or torch.save did not write it"
    return _printable(text.splitlines()[0].split(". ")[0] if text else type(error).__name__)


def _printable(text: str) -> str:
    """Shorten a text, and escape everything that a terminal might interpret."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:LONGEST])
