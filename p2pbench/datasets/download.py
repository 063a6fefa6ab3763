"""Downloads of the published datasets: resumed, checked, unpacked."""

from __future__ import annotations

import gzip
import http.client
import json
import re
import shutil
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from p2pbench.errors import UserError
from reports.store import atomic
from reports.store.errors import ReportError

BASE_URL = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets"
TIMEOUT = 30.0  # seconds without a byte after which a connection counts as broken
TRIES = 4  # broken connections in a row without a new byte


class Archive(NamedTuple):
    """Published archive: name, approximate size, options of `p2pbench train`."""

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


class DownloadProgress(NamedTuple):
    """Progress of a stage: bytes done, and total bytes or 0.

    The total is 0 where the server does not say.
    """

    stage: str  # "download" or "unpack"
    done: int
    total: int


ReportProgress = Callable[[DownloadProgress], None]
ReportBytes = Callable[[int, int], None]
"""Called with the bytes done and the total bytes, 0 if the server does not say."""


class _BadArchive(Exception):
    """Damaged or foreign archive; another try with the same file cannot help."""


def is_there(archive: Archive, out: Path) -> bool:
    """Whether the dataset is unpacked in `out`.

    While it is being unpacked it has another name.
    """
    return (out / archive.name / "train").is_dir()


def fetch(archive: Archive, out: Path, report: ReportProgress, *, base_url: str = BASE_URL, pause: float = 1.0) -> Path:
    """Download an archive, resuming an earlier call's download, and unpack it.

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
            download(url, path, lambda done, total: report(DownloadProgress("download", done, total)), pause)
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


def _unpack(path: Path, folder: Path, report: ReportProgress) -> None:
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


def _extract(path: Path, into: Path, report: ReportProgress) -> None:
    total = path.stat().st_size
    try:
        with path.open("rb") as file, gzip.open(file) as unzipped, tarfile.open(fileobj=unzipped, mode="r|") as tar:
            for member in tar:
                tar.extract(member, into, filter="data")  # which refuses what would land outside the folder
                report(DownloadProgress("unpack", file.tell(), total))
            while unzipped.read(2**20):  # gzip compares its checksum at the very end, behind the last member
                pass
        report(DownloadProgress("unpack", total, total))
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise _BadArchive(f"a damaged or unsafe archive ({one_line(error)})") from error


class _Broken(Exception):
    """Broken connection; another try may help."""


class _Version(NamedTuple):
    """Version of a file on the server.

    Fields are empty or 0 where the server does not say.
    """

    etag: str
    modified: str
    total: int  # bytes

    @property
    def validator(self) -> str:
        """Validator for If-Range; a weak ETag (W/"...") does not promise equal bytes."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


def download(url: str, path: Path, report: ReportBytes, pause: float) -> None:
    """Download a .tar.gz file to `path`, resuming `path`.part.

    The first retry comes after `pause` seconds; they double with each retry that brings nothing.

    Raises:
        UserError: The server cannot be reached or has no archive there, or there is no room to unpack it.
        OSError: The folder is missing or cannot be written to.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise UserError(f"{url}: found no web address, expected one that begins with http:// or https://; mend --url")
    part, failures = path.with_name(f"{path.name}.part"), 0
    while True:
        before = _size(part)
        try:
            _download_rest(url, part, report)
            break
        except _Broken as error:
            # A connection that brought new bytes starts the count anew: a slow line may break often.
            failures = 1 if _size(part) > before else failures + 1
            if failures == TRIES:
                raise UserError(
                    f"{url}: the connection failed {TRIES} times in a row ({error}), expected an answer; check the "
                    f"network and any proxy, and run the command again: it resumes after {_size(part) / 1e6:.1f} MB"
                ) from error
        time.sleep(pause * 2 ** (failures - 1))
    part.replace(path)
    _discard(part)


def check_space(folder: Path, needed: int) -> None:
    """Check that the disk has room for the bytes needed.

    Raises UserError unless a tenth more is free.
    """
    free = shutil.disk_usage(folder).free
    if free < 1.1 * needed:
        raise UserError(
            f"{folder}: found {free / 1e6:.0f} MB free, expected {1.1 * needed / 1e6:.0f} MB; free disk space, or "
            "choose another folder with --out"
        )


def one_line(error: object) -> str:
    """Format an error's text in one line.

    Its type where it has none.
    """
    return " ".join(str(error).split()) or type(error).__name__


def _download_rest(url: str, part: Path, report: ReportBytes) -> None:
    """Request the missing bytes and append them; start again where that is impossible."""
    known = _read_note(part)
    have = _size(part) if known.validator else 0
    if have and have == known.total:
        return
    # "identity" refuses compression on the way, under which byte positions would mean something else.
    headers = {"User-Agent": "p2pbench", "Accept-Encoding": "identity"}
    if have:
        # If-Range: the server sends the rest of the same version, or else the whole new file (RFC 9110, section
        # 13.1.5).
        headers |= {"Range": f"bytes={have}-", "If-Range": known.validator}
    with _answer(Request(url, headers=headers), part) as response:
        version = _version(response.headers)
        if response.status == 206:
            changed = any(new and old and new != old for new, old in zip(version, known, strict=True))
            if changed or not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                _discard(part)
                raise _Broken("the server sent other bytes than it was asked for")
            version = known._replace(total=known.total or version.total)
        else:  # the whole file, because it has changed, or because the server knows no ranges
            _check_type(url, response.headers)
            have = 0
        check_space(part.parent, 2 * version.total - have)  # for the archive and what it unpacks to
        with part.open("ab" if have else "wb") as file:
            # Before the first byte: an interrupted download knows which version its bytes are of.
            _note(part).write_text(json.dumps(version._asdict()))
            have = _append(response, file, have, version.total, report)
    _check_whole(url, part, have, version.total)


@contextmanager
def _answer(request: Request, part: Path) -> Iterator[http.client.HTTPResponse]:
    """Open a request; errors become _Broken if another try may help, else UserError."""
    try:
        response = urlopen(request, timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416:  # the file has fewer bytes than are here
            _discard(part)
        if error.code in (408, 416, 429) or error.code >= 500:
            raise _Broken(f"HTTP {error.code} {error.reason}") from error
        raise UserError(
            f"{request.full_url}: found HTTP {error.code} {error.reason}, expected the archive; check the address, or "
            "give a mirror with --url"
        ) from error
    except (http.client.HTTPException, OSError) as error:
        raise _Broken(one_line(getattr(error, "reason", error))) from error
    with response:
        yield response


def _append(response: http.client.HTTPResponse, file: BinaryIO, done: int, total: int, report: ReportBytes) -> int:
    """Append the server's bytes to the file until it stops; return the file's size."""
    report(done, total)
    while True:
        try:
            chunk = response.read1(2**16)
        except (http.client.HTTPException, OSError) as error:
            raise _Broken(one_line(error)) from error
        if not chunk:
            return done
        file.write(chunk)
        done += len(chunk)
        report(done, total)


def _check_type(url: str, headers: Message) -> None:
    # A login page of a public network arrives as a success too, and must not replace the partial file.
    if "Content-Type" in headers and headers.get_content_maintype() == "text":
        raise UserError(
            f"{url}: found a page ({headers.get_content_type()}), expected an archive; open the address in a browser "
            "to see what it says, or give a mirror with --url"
        )


def _check_whole(url: str, part: Path, have: int, total: int) -> None:
    if have > total > 0:
        _discard(part)
    if have == 0 or (total and have != total):
        raise _Broken(f"it ended after {have} of {total or 'unknown'} bytes")
    with part.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    if not is_gzip:
        _discard(part)
        raise UserError(f"{url}: found no .tar.gz file at this address, expected one; give a mirror with --url")


def _version(headers: Message) -> _Version:
    in_range = re.fullmatch(r"bytes \d+-\d+/(\d+)", headers.get("Content-Range", ""))
    length = in_range[1] if in_range else headers.get("Content-Length", "")
    return _Version(headers.get("ETag", ""), headers.get("Last-Modified", ""), int(length) if length.isdigit() else 0)


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_note(part: Path) -> _Version:
    from reports.store import json_files  # imports pydantic, which `download --help` does not need

    try:
        return json_files.read(_note(part), _Version, "delete it")
    except ReportError:  # none, or cut by a crash: then nothing can be resumed
        return _Version("", "", 0)


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
