"""The archives that pix2pix's authors publish: what they are, and how to fetch and unpack one."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from p2pbench.datasets.resumable import check_space, download, one_line
from p2pbench.errors import UserError
from reports import atomic

BASE_URL = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets"


class Archive(NamedTuple):
    """One published archive: its name, about how large it is, and the options of `p2pbench train` that use it."""

    name: str
    megabytes: int
    train: str


ARCHIVES = {
    archive.name: archive
    for archive in (
        Archive("facades", 29, "--task facades-labels-to-photo"),
        Archive("maps", 239, "--task maps-aerial-to-map"),
        # The task is made for the official folders; the archive holds photo and labels side by side.
        Archive("cityscapes", 99, "--task cityscapes-labels-to-photo --dataset paired --set direction=BtoA"),
        Archive("edges2shoes", 2000, "--task edges-to-shoes"),
        Archive("edges2handbags", 8000, "--task edges-to-handbags"),
        Archive("night2day", 1900, "--task day-to-night"),
    )
}


class Progress(NamedTuple):
    """How far a stage is: bytes done of bytes in all, which is 0 when the server does not say how many."""

    stage: str  # "download" or "unpack"
    done: int
    total: int


Report = Callable[[Progress], None]


class _BadArchive(Exception):
    """The file is no whole archive of the dataset; no other try with it will help."""


def is_there(archive: Archive, out: Path) -> bool:
    """Tell whether the dataset lies unpacked in `out`; a half-unpacked one has another name."""
    return (out / archive.name / "train").is_dir()


def fetch(archive: Archive, out: Path, report: Report, *, base_url: str = BASE_URL, pause: float = 1.0) -> Path:
    """Download an archive and unpack it; what an earlier call has left of the download is not downloaded again.

    A whole `NAME.tar.gz` in `out`, fetched by other means, is unpacked without a download, and left there.

    Args:
        archive: One of `ARCHIVES`.
        out: The folder for all datasets; made when missing.
        report: Called often, with the progress.
        base_url: Address of the folder that holds `NAME.tar.gz`; http or https.
        pause: Seconds before the first retry; they double with each retry that brings nothing.

    Returns:
        The dataset's folder, `out` / name. A dataset that is there already stays untouched.

    Raises:
        UserError: The server cannot be reached or has no such archive, the archive is damaged or would write outside
            its folder, the disk is full, or `out` cannot be written to.
    """
    folder, path = out / archive.name, out / f"{archive.name}.tar.gz"
    try:
        if is_there(archive, out):
            return folder
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise UserError(f"{folder}: found other files, expected room for the dataset; move them or change --out")
        out.mkdir(parents=True, exist_ok=True)
        downloaded = not path.exists()
        if downloaded:
            url = f"{base_url.rstrip('/')}/{path.name}"
            download(url, path, lambda done, total: report(Progress("download", done, total)), pause)
        try:
            _unpack(path, folder, report)
        except _BadArchive as error:
            if downloaded:
                path.unlink()
            fix = "it is deleted; try again, or another --url" if downloaded else "delete it and try again"
            raise UserError(f"{path}: found {error}, expected a whole archive of the dataset; {fix}") from error
        if downloaded:
            path.unlink()
    except OSError as error:  # those of the network have become UserErrors
        fix = atomic.advice(out, error, "choose another folder with --out")
        raise UserError(f"{out}: cannot be written to ({one_line(error)}); {fix}") from error
    return folder


def _unpack(path: Path, folder: Path, report: Report) -> None:
    """Unpack an archive so that `folder` appears whole or not at all."""
    check_space(folder.parent, path.stat().st_size)  # the pictures are JPEGs, and unpack to the archive's size
    unpacking = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(unpacking, ignore_errors=True)  # of a call that was killed
    unpacking.mkdir()
    try:
        _extract(path, unpacking, report)
        roots = [root for root in (unpacking / folder.name, unpacking) if (root / "train").is_dir()]
        if not roots:
            raise _BadArchive(f"no folder {folder.name}/train in it")
        if folder.is_dir():
            folder.rmdir()
        roots[0].replace(folder)
    finally:
        shutil.rmtree(unpacking, ignore_errors=True)


def _extract(path: Path, into: Path, report: Report) -> None:
    total = path.stat().st_size
    try:
        with path.open("rb") as file, gzip.open(file) as unzipped, tarfile.open(fileobj=unzipped, mode="r|") as tar:
            for member in tar:
                tar.extract(member, into, filter="data")  # which refuses what would land outside the folder
                report(Progress("unpack", file.tell(), total))
            while unzipped.read(2**20):  # gzip compares its checksum at the very end, behind the last member
                pass
        report(Progress("unpack", total, total))
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise _BadArchive(f"a damaged or unsafe archive ({one_line(error)})") from error
