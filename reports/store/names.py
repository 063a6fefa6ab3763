"""Text from outside, made safe for messages, file names and item ids."""

from __future__ import annotations

import hashlib
import re
import shlex
import unicodedata
from pathlib import Path

LONGEST_ITEM_ID = 251  # bytes; file systems have 255, for an id and an ending such as ".png"
LONGEST_FILE_NAME = 100  # bytes; file systems have 255, for two such names and an ending
_ACTING = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # controls, format characters, surrogates, line ends
_JOINERS = {"\N{ZERO WIDTH JOINER}", "\N{ZERO WIDTH NON-JOINER}"}  # they belong to words and emoji
_UNDECODED = re.compile("[\udc80-\udcff]")  # Python's stand-ins for bytes that are no UTF-8
_UNSAFE = re.compile(r"[^\w.+-]|^[.-]|-$|-(?=-)")


def printable(text: str) -> str:
    r"""The text with control and direction characters written out, as `\n`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_written_out(character) for character in text)


def _written_out(character: str) -> str:
    if unicodedata.category(character) not in _ACTING or character in _JOINERS:
        return character
    return character.encode("unicode_escape").decode("ascii")


def file_name(name: str) -> str:
    """Safe and unique file name for a name.

    Letters and digits of any script, `_`, `.`, `+` and single inner `-` are kept. If anything else is replaced, or the
    name is too long, eight digits of its hash are appended.
    """
    safe = _UNSAFE.sub("_", name)
    if name and safe == name and len(name.encode()) <= LONGEST_FILE_NAME:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    room = LONGEST_FILE_NAME - len(digest) - 1
    kept = safe.encode()[:room].decode(errors="ignore").rstrip("-")
    return f"{kept}-{digest}" if kept else digest


def item_id(name: str) -> str:
    """Id of the item of a file with this stem.

    The id is valid text whatever the bytes of the name: Unicode NFC, with `%E9` for a byte E9 that is no UTF-8, and at
    most `LONGEST_ITEM_ID` bytes; the end of a longer name is replaced by eight digits of its hash. The id of an id is
    the id itself.
    """
    text = unicodedata.normalize("NFC", _UNDECODED.sub(lambda found: f"%{ord(found[0]) - 0xDC00:02X}", name))
    content = text.encode()
    if len(content) <= LONGEST_ITEM_ID:
        return text
    digest = hashlib.sha256(content).hexdigest()[:8]
    return f"{content[: LONGEST_ITEM_ID - len(digest) - 1].decode(errors='ignore')}-{digest}"


def typed(path: Path) -> str:
    """A path quoted for a shell, never taken for an option."""
    return shlex.quote(f"./{path}" if str(path).startswith("-") else str(path))


def duration(seconds: float) -> str:
    """A duration such as 40 s, 12 min or 3.1 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def counted(count: int, noun: str) -> str:
    """A count with its noun, such as "1 item" and "2 items"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
