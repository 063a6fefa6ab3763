"""Hashes of files: read again only where a file may have changed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from p2pbench.datasets import contents
from p2pbench.datasets.contents import file_hashes


def test_files_are_read_again_only_when_they_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P2PBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(contents, "CLOCK_TICK", -(10**12))
    files = [tmp_path / f"{number}.png" for number in range(5)]
    for file in files:
        file.write_bytes(b"old")
    first = file_hashes(files)
    read: list[Path] = []
    whole = contents._sha256

    def remember(file: Path) -> str:
        read.append(file)
        return whole(file)

    monkeypatch.setattr(contents, "_sha256", remember)
    assert file_hashes(files) == first
    assert read == []
    before = files[3].stat()
    time.sleep(0.05)
    files[3].write_bytes(b"new")  # as long, and with the time of the old one: a copy by rsync -t may look so
    os.utime(files[3], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file_hashes(files)[files[3]] != first[files[3]]
    assert read == [files[3]]


def test_what_changed_just_now_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P2PBENCH_CACHE", str(tmp_path / "cache"))
    (file := tmp_path / "a.png").write_bytes(b"old")
    file_hashes([file])
    assert not (tmp_path / "cache").exists()  # within a tick of its clock another change would look like none
