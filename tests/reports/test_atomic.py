"""Files are there whole or not at all, and new ones replace none."""

from __future__ import annotations

import errno
import os
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reports.store import atomic
from reports.store.errors import ReportError


@contextmanager
def short_files(length: int) -> Iterator[None]:
    """A system that lets no file be longer, as one whose disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_new_file_replaces_none(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.csv"
    atomic.write_new(path, b"first")
    for other in (path, tmp_path / "link", tmp_path / "dangling"):
        if other != path:
            other.symlink_to(path if other.name == "link" else tmp_path / "nothing")
        with pytest.raises(ReportError, match=f"{other.name}: found a file there, expected none"):
            atomic.write_new(other, b"second")
    assert path.read_bytes() == b"first"
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("write", [atomic.write, atomic.write_new])
def test_a_file_that_does_not_fit_is_not_there(tmp_path: Path, write: Callable[[Path, bytes], None]) -> None:
    with short_files(100), pytest.raises(ReportError, match="cannot be written"):
        write(tmp_path / "a.csv", bytes(1000))
    assert os.listdir(tmp_path) == []
    write(tmp_path / "a.csv", bytes(1000))
    assert (tmp_path / "a.csv").stat().st_size == 1000


@pytest.mark.parametrize("write", [atomic.write, atomic.write_new])
def test_what_to_do_fits_what_the_system_says(tmp_path: Path, write: Callable[[Path, bytes], None]) -> None:
    file = tmp_path / "file"
    file.touch()
    (tmp_path / "link").symlink_to("nowhere")
    in_the_way = "is a file, where a folder is expected: name another folder, or move the file away"
    expected = {
        file / "a.csv": f"{file} {in_the_way}",
        file / "below" / "a.csv": f"{file} {in_the_way}",
        tmp_path / "link" / "a.csv": f"{tmp_path / 'link'} {in_the_way}",
        tmp_path / ("a" * 300): "give it a shorter name",
        Path("/proc/a.csv"): "name another place",
    }
    for path, said in expected.items():
        with pytest.raises(ReportError, match=f"{re.escape(str(path))}: cannot be written .*; {re.escape(said)}$"):
            write(path, b"")


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(ReportError, match="move the folder of that name away"):
        atomic.write(tmp_path / "a.csv", b"")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (errno.EACCES, "give this account the right"),
        (errno.EROFS, "a disk that can be written"),
        (errno.ENOSPC, "free space"),
        (errno.EIO, "name another place"),
    ],
)
def test_what_a_disk_says(tmp_path: Path, code: int, said: str) -> None:
    assert said in atomic.unwritten(tmp_path / "a.csv", OSError(code, os.strerror(code)))
