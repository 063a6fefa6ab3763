"""Errors that users of the scorer can fix; kinds of files."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


class FcnError(Exception):
    """One line: the problem found, the expected state, and the fix."""


TEXT = "is text"
SAFETENSORS = "is a safetensors file"
ZIP = "is a zip archive or a file of torch.save"
PICKLE = "is a pickle, such as an old torch.save writes"
HEAD = 64

SIGNATURES = {
    b"\x89HDF\r\n\x1a\n": "is HDF5 (a .caffemodel.h5), another format of Caffe's",
    b"PK\x03\x04": ZIP,
    b"\x80": PICKLE,
    b"\x1f\x8b": "is compressed by gzip",
    b"\x89PNG": "is a PNG picture",
    b"\xff\xd8\xff": "is a JPEG picture",
    b"version https://git-lfs": "is a pointer of Git LFS, not the file it points to",
    b"<": "is a web page or XML, perhaps a failed download",
}


def file_kind(path: Path) -> str | None:
    """Kind of a file by its first bytes, such as "is empty".

    None if unknown, or if the file cannot be read.
    """
    head = b""
    with suppress(OSError), path.open("rb") as file:
        head = file.read(HEAD)
        if not head:
            return "is empty"
    for signature, kind in SIGNATURES.items():
        if head.startswith(signature):
            return kind
    if head[8:9] == b"{":
        return SAFETENSORS
    if head and head.isascii() and "".join(head.decode().split()).isprintable():
        return TEXT
    return None
