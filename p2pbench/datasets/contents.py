"""Content hashes of items, independent of the files' places and times.

A file is read once; its hash is cached beside the decoded pictures until its size or one of its times changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from p2pbench.datasets.dataset import Dataset, Item
from p2pbench.datasets.decoders import Picture
from p2pbench.errors import UserError
from reports.store import atomic, json_files, made
from reports.store.errors import ReportError

DIGITS = 16  # hexadecimal, of every hash here
# A file that changes again within one tick of its file system's clock looks unchanged; FAT has the longest tick.
CLOCK_TICK = 2 * 10**9  # nanoseconds

_State = tuple[int, int, int]
"""Size, time of the last change of the content, and of the last change of anything (which no copy can set)."""


def cache_folder() -> Path:
    """Folder of decoded pictures and hashes."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "p2pbench"
    return Path(os.environ.get("P2PBENCH_CACHE") or default).expanduser()


def item_contents(dataset: Dataset, items: Sequence[Item]) -> dict[str, str]:
    """Hash each item's files, by id.

    For a drawn item, the version of the drawing.

    Raises:
        UserError: A file is missing or cannot be read.
    """
    files = file_hashes([file for item in items for file in item.files])
    drawn = f"{dataset.name}\n{dataset.note}"
    return {
        item.id: _short("\n".join(files[file] for file in item.files) if item.files else f"{drawn}\n{item.id}")
        for item in items
    }


def digest(contents: Mapping[str, str]) -> str:
    """Hash many contents by id, in any order."""
    return _short("".join(f"{contents[id_]} {id_}\n" for id_ in sorted(contents)))


def picture_hash(picture: Picture) -> str:
    """Hash a picture's values, depth and shape, whatever its file format."""
    return hashlib.sha256(f"{picture.dtype.name} {picture.shape}".encode() + picture.tobytes()).hexdigest()[:DIGITS]


def file_hashes(files: Sequence[Path]) -> dict[Path, str]:
    """SHA-256 of each file, cached while its state is unchanged.

    Raises:
        UserError: A file is missing or cannot be read.
    """
    if not files:
        return {}
    paths = {file: os.path.abspath(file) for file in files}
    # One file per folder of data, so that two datasets do not rewrite each other's hashes.
    kept_in = cache_folder() / f"contents-{_short(os.path.commonpath({*map(os.path.dirname, paths.values())}))}.json"
    kept = _read(kept_in)
    now = time.time_ns()
    # Before hashing: a file that changes meanwhile has another state the next time.
    states = {file: _state(file) for file in paths}
    found = {
        file: str(kept[path][-1])
        for file, path in paths.items()
        if path in kept and tuple(kept[path][:-1]) == states[file]
    }
    new = [file for file in paths if file not in found]
    if new:
        with ThreadPoolExecutor() as pool:
            found |= zip(new, pool.map(_sha256, new), strict=True)
        settled = [file for file in new if max(states[file][1:]) < now - CLOCK_TICK]
        if settled:
            _keep(kept_in, kept | {paths[file]: [*states[file], found[file]] for file in settled})
    return found


def _state(file: Path) -> _State:
    try:
        status = os.stat(file)
    except OSError as error:
        raise _unreadable(file, error) from None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _sha256(file: Path) -> str:
    try:
        return made.sha256(file)
    except OSError as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: OSError) -> UserError:
    return UserError(f"{file}: cannot be read ({error.strerror}); expected one of the dataset's files")


def _read(path: Path) -> dict[str, list[int | str]]:
    """Read cached hashes; none where the file is damaged, as they can be computed again."""
    try:
        kept = json_files.read_object(path, "delete it")  # names in it need not be UTF-8, as checked types must be
    except ReportError:
        return {}
    return {file: entry for file, entry in kept.items() if isinstance(entry, list) and len(entry) == 4}


def _keep(path: Path, entries: Mapping[str, Sequence[int | str]]) -> None:
    """Write hashes if the cache is writable; else they are computed again each time."""
    try:
        atomic.write(path, json.dumps(entries).encode())
    except ReportError:
        return


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:DIGITS]
