"""PNG files of every depth and colour type, written byte by byte: Pillow writes only some."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type: grey, RGB, palette, grey and alpha, RGBA
KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4), (3, 8)]
KINDS += [(4, 8), (4, 16), (6, 8), (6, 16)]
_TRANSPARENT = {0: struct.pack(">H", 1), 2: struct.pack(">HHH", 1, 1, 1), 3: b"\0\x80"}


def write_png(path: Path, bits: int, colour: int, *, transparent: bool = False, side: int = 40) -> None:
    """A square PNG of random samples; `transparent` names a value or palette entries that are (chunk tRNS)."""
    rng = np.random.default_rng(bits + colour)
    row = (side * CHANNELS[colour] * bits + 7) // 8
    rows = b"".join(b"\0" + rng.integers(0, 256, row, dtype=np.uint8).tobytes() for _ in range(side))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", side, side, bits, colour, 0, 0, 0))]
    if colour == 3:
        chunks.append((b"PLTE", rng.integers(0, 256, 3 * 2**bits, dtype=np.uint8).tobytes()))
    if transparent:
        chunks.append((b"tRNS", _TRANSPARENT[colour]))
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_encoded(kind, data) for kind, data in chunks))


def _encoded(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
