"""Downloads from a real HTTP server on this machine, which can break off, know no ranges, or change its file."""

import io
import json
import re
import shutil
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner

import p2pbench
from p2pbench.commands import datasets
from p2pbench.datasets import download
from p2pbench.datasets.download import ARCHIVES, DownloadProgress
from p2pbench.errors import UserError

FACADES = ARCHIVES["facades"]


def tar_gz(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in names.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def noise(seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(100_000)


PICTURES = {"facades/train/1.jpg": noise(1), "facades/val/2.jpg": noise(2), "facades/test/3.jpg": noise(3)}
ARCHIVE = tar_gz(PICTURES)


class Asked(NamedTuple):
    """A request, and how many bytes it was answered with."""

    path: str
    range: str | None
    if_range: str | None
    status: int
    sent: int


@dataclass
class Site:
    """What the server holds and how it behaves; tests change it while it runs."""

    url: str = ""
    file: bytes = ARCHIVE
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"', "Content-Type": "application/x-gzip"})
    knows_ranges: bool = True
    heeds_if_range: bool = True
    length: bool = True  # whether it says how long the file is
    status: int = 200
    breaks: list[int] = field(default_factory=list)  # bytes after which each of the next answers breaks off
    asked: list[Asked] = field(default_factory=list)

    def ranges(self) -> list[str | None]:
        """The bytes that were asked for, request by request."""
        return [asked.range for asked in self.asked]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    state = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            start, status = 0, state.status
            asked, if_range = self.headers.get("Range"), self.headers.get("If-Range")
            same = if_range in (state.headers.get("ETag"), state.headers.get("Last-Modified"))
            if asked and state.knows_ranges and status == 200 and (same or not state.heeds_if_range):
                start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])  # type: ignore[index]
                status = 206 if start < len(state.file) else 416
            content = state.file[start:] if status in (200, 206) else b"<html>no</html>"
            length = len(content)
            content = content[: state.breaks.pop(0)] if state.breaks else content
            state.asked.append(Asked(self.path, asked, if_range, status, len(content)))
            self.send_response(status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(state.file) - 1}/{len(state.file)}")
            if state.length:
                self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}/pix2pix/datasets"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        server.shutdown()
        thread.join()


def ignore(progress: DownloadProgress) -> None:
    pass


def fetch(site: Site, out: Path) -> Path:
    return download.fetch(FACADES, out, ignore, base_url=site.url, pause=0)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_download_is_unpacked_and_nothing_else_stays(site: Site, tmp_path: Path) -> None:
    steps: list[DownloadProgress] = []
    folder = download.fetch(FACADES, tmp_path / "data", steps.append, base_url=site.url + "/")
    assert folder == tmp_path / "data" / "facades"
    assert files(tmp_path / "data") == PICTURES
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["facades"]
    assert [(asked.path, asked.range) for asked in site.asked] == [("/pix2pix/datasets/facades.tar.gz", None)]
    size = len(ARCHIVE)
    assert steps[0] == ("download", 0, size)
    assert ("download", size, size) in steps
    assert steps[-1] == ("unpack", size, size)


def test_a_broken_download_goes_on_with_the_missing_bytes(site: Site, tmp_path: Path) -> None:
    site.breaks = [120_000, 1, 70_000]
    fetch(site, tmp_path)
    assert files(tmp_path) == PICTURES
    assert site.ranges() == [None, "bytes=120000-", "bytes=120001-", "bytes=190001-"]
    assert sum(asked.sent for asked in site.asked) == len(ARCHIVE)


def test_a_later_call_goes_on_with_the_missing_bytes(site: Site, tmp_path: Path) -> None:
    site.breaks = [100_000, 0, 0, 0]
    with pytest.raises(UserError, match=r"failed 4 times in a row \(it ended after 100000 of .* resumes after 0\.1 MB"):
        fetch(site, tmp_path)
    assert (tmp_path / "facades.tar.gz.part").read_bytes() == ARCHIVE[:100_000]
    assert not (tmp_path / "facades").exists()
    site.asked.clear()
    steps: list[DownloadProgress] = []
    download.fetch(FACADES, tmp_path, steps.append, base_url=site.url)
    assert files(tmp_path) == PICTURES
    assert site.asked == [
        ("/pix2pix/datasets/facades.tar.gz", "bytes=100000-", '"one"', 206, len(ARCHIVE) - 100_000),
    ]
    assert steps[0] == ("download", 100_000, len(ARCHIVE))


def test_a_whole_part_is_not_asked_for_again(site: Site, tmp_path: Path) -> None:
    (tmp_path / "facades.tar.gz.part").write_bytes(ARCHIVE)
    note = {"etag": '"one"', "modified": "", "total": len(ARCHIVE)}
    (tmp_path / "facades.tar.gz.part.json").write_text(json.dumps(note))
    fetch(site, tmp_path)
    assert files(tmp_path) == PICTURES
    assert site.asked == []


@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_a_file_that_changed_is_fetched_anew(site: Site, tmp_path: Path, heeds_if_range: bool, header: str) -> None:
    dates = ["Mon, 02 Jan 2017 00:00:00 GMT", "Tue, 03 Jan 2017 00:00:00 GMT"]
    site.headers = {header: '"one"' if header == "ETag" else dates[0]}
    site.heeds_if_range = heeds_if_range
    site.breaks = [100_000, 0, 0, 0]
    with pytest.raises(UserError, match="failed 4 times"):
        fetch(site, tmp_path)
    changed = {name: content[::-1] for name, content in PICTURES.items()}
    site.file = tar_gz(changed)
    site.headers = {header: '"two"' if header == "ETag" else dates[1]}
    site.asked.clear()
    fetch(site, tmp_path)
    assert files(tmp_path) == changed
    assert site.ranges() == (["bytes=100000-"] if heeds_if_range else ["bytes=100000-", None])


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"weak"'}])
def test_without_a_sure_sign_of_the_same_file_it_starts_anew(
    site: Site, tmp_path: Path, headers: dict[str, str]
) -> None:
    site.headers = headers
    site.breaks = [100_000]
    fetch(site, tmp_path)
    assert files(tmp_path) == PICTURES
    assert site.ranges() == [None, None]


def test_a_server_that_knows_no_ranges(site: Site, tmp_path: Path) -> None:
    site.knows_ranges = False
    site.breaks = [100_000]
    fetch(site, tmp_path)
    assert files(tmp_path) == PICTURES
    assert [asked.status for asked in site.asked] == [200, 200]


def test_a_server_that_does_not_say_how_much(site: Site, tmp_path: Path) -> None:
    site.length = False
    steps: list[DownloadProgress] = []
    download.fetch(FACADES, tmp_path, steps.append, base_url=site.url, pause=0)
    assert files(tmp_path) == PICTURES
    assert ("download", len(ARCHIVE), 0) in steps


def test_a_part_longer_than_the_file_is_dropped(site: Site, tmp_path: Path) -> None:
    (tmp_path / "facades.tar.gz.part").write_bytes(ARCHIVE + b"more")
    (tmp_path / "facades.tar.gz.part.json").write_text('{"etag": "\\"one\\"", "modified": "", "total": 0}')
    fetch(site, tmp_path)
    assert files(tmp_path) == PICTURES
    assert [asked.status for asked in site.asked] == [416, 200]


@pytest.mark.parametrize("note", [None, "", '{"etag": 1', "[]", '{"size": 3}'])
def test_a_part_whose_note_is_lost_is_fetched_anew(site: Site, tmp_path: Path, note: str | None) -> None:
    (tmp_path / "facades.tar.gz.part").write_bytes(b"left over")
    if note is not None:
        (tmp_path / "facades.tar.gz.part.json").write_text(note)
    fetch(site, tmp_path)
    assert files(tmp_path) == PICTURES


@pytest.mark.parametrize(
    ("status", "message", "requests"),
    [
        (404, "facades.tar.gz: found HTTP 404 Not Found, expected the archive; check the address", 1),
        (403, "found HTTP 403 Forbidden", 1),
        (503, r"failed 4 times in a row \(HTTP 503 Service Unavailable\)", 4),
    ],
)
def test_what_the_server_refuses(site: Site, tmp_path: Path, status: int, message: str, requests: int) -> None:
    site.status = status
    with pytest.raises(UserError, match=message):
        fetch(site, tmp_path)
    assert len(site.asked) == requests
    assert files(tmp_path) == {}


def test_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(UserError, match="failed 4 times in a row .*refused"):
        download.fetch(FACADES, tmp_path, ignore, base_url="http://127.0.0.1:1", pause=0)
    for address in ("data/mirror", "file:///etc", "http://"):
        with pytest.raises(UserError, match="found no web address"):
            download.fetch(FACADES, tmp_path, ignore, base_url=address, pause=0)


def test_a_silent_server_is_not_waited_for(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.05)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as silent:  # it listens, and nobody answers
        url = f"http://127.0.0.1:{silent.server_port}"
        with pytest.raises(UserError, match="timed out"):
            download.fetch(FACADES, tmp_path, ignore, base_url=url, pause=0)


def test_a_page_is_no_archive_and_costs_nothing_that_is_there(site: Site, tmp_path: Path) -> None:
    site.breaks = [100_000, 0, 0, 0]
    with pytest.raises(UserError, match="failed 4 times"):
        fetch(site, tmp_path)
    site.headers = {"Content-Type": "text/html; charset=utf-8"}
    site.file = b"<html>please log in</html>"
    with pytest.raises(UserError, match=r"found a page \(text/html\), expected an archive"):
        fetch(site, tmp_path)
    assert (tmp_path / "facades.tar.gz.part").stat().st_size == 100_000


def test_a_file_that_is_no_archive_is_deleted(site: Site, tmp_path: Path) -> None:
    site.file = b"PK\3\4 a zip file" * 100
    with pytest.raises(UserError, match=r"facades\.tar\.gz: found no \.tar\.gz file at this address"):
        fetch(site, tmp_path)
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (ARCHIVE[:-50_000], "found a damaged or unsafe archive"),
        (ARCHIVE[:-4] + b"\0\0\0\0", r"found a damaged or unsafe archive \(Incorrect length"),  # gzip's own check
        (ARCHIVE[:150_000] + bytes([ARCHIVE[150_000] ^ 1]) + ARCHIVE[150_001:], "found a damaged or unsafe archive"),
        (tar_gz({"maps/train/1.jpg": b"x"}), "found no folder facades/train in it"),
        (tar_gz({}), "found no folder facades/train in it"),
        (tar_gz({**PICTURES, "../../escaped.jpg": b"x"}), r"damaged or unsafe archive \('../../escaped.jpg' would be"),
    ],
    ids=["truncated", "checksum", "flipped", "other dataset", "empty", "path traversal"],
)
def test_bad_archives_leave_nothing(site: Site, tmp_path: Path, file: bytes, message: str) -> None:
    site.file = file
    with pytest.raises(UserError, match=message) as error:
        fetch(site, tmp_path / "a" / "b")
    assert "it is deleted; try again" in str(error.value)
    assert "\n" not in str(error.value)
    assert list((tmp_path / "a" / "b").iterdir()) == []
    assert files(tmp_path) == {}


def test_an_archive_brought_by_hand(site: Site, tmp_path: Path) -> None:
    archive = tmp_path / "facades.tar.gz"
    archive.write_bytes(ARCHIVE[:1000])
    with pytest.raises(UserError, match="delete it and try again"):
        fetch(site, tmp_path)
    archive.write_bytes(tar_gz({name.removeprefix("facades/"): content for name, content in PICTURES.items()}))
    fetch(site, tmp_path)
    assert files(tmp_path / "facades") == {name.removeprefix("facades/"): content for name, content in PICTURES.items()}
    assert archive.exists()
    assert site.asked == []


def test_what_a_killed_unpacking_left_is_in_nobodys_way(site: Site, tmp_path: Path) -> None:
    (tmp_path / ".facades.unpacking" / "facades" / "train").mkdir(parents=True)
    (tmp_path / ".facades.unpacking" / "facades" / "train" / "half.jpg").touch()
    (tmp_path / "facades").mkdir()
    fetch(site, tmp_path)
    assert files(tmp_path) == PICTURES


def test_other_files_in_its_place(site: Site, tmp_path: Path) -> None:
    (tmp_path / "facades").mkdir()
    (tmp_path / "facades" / "mine.txt").touch()
    with pytest.raises(UserError, match="facades: found other files, expected room"):
        fetch(site, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: cannot be written to .*/file is a file, where a folder is expected"):
        fetch(site, tmp_path / "file")
    assert site.asked == []


def test_a_full_disk_is_seen_before_the_download(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = 2 * len(ARCHIVE)  # a tenth short of archive and pictures
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(free, 0, free))
    with pytest.raises(UserError, match=r"found 1 MB free, expected 1 MB; free disk space, or choose"):
        fetch(site, tmp_path)
    assert files(tmp_path) == {}


def run(*arguments: str | Path) -> tuple[str, str]:
    result = CliRunner().invoke(datasets.download, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout, result.stderr


def test_the_command(site: Site, tmp_path: Path) -> None:
    out, progress = run("facades", "--out", tmp_path / "my data", "--url", site.url)
    folder = tmp_path / "my data" / "facades"
    assert out.splitlines() == [
        f"{folder} is ready",
        f"next: p2pbench train --task facades-labels-to-photo --root '{folder}'",
    ]
    lines = progress.splitlines()
    assert lines[0] == "download facades: 0 % of 0.3 MB"
    assert "download facades: 100 % of 0.3 MB" in lines
    assert lines[-1] == "unpack facades: 100 % of 0.3 MB"
    assert len(lines) <= 2 * 11
    again, progress = run("facades", "--out", tmp_path / "my data", "--url", site.url)
    assert again.splitlines() == [f"{folder} is already there", out.splitlines()[1]]
    assert progress == ""
    assert len(site.asked) == 1


def test_bars_in_a_terminal(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    _, progress = run("facades", "--out", tmp_path, "--url", site.url)
    assert "download facades" in progress
    assert f"{len(ARCHIVE) / 1000:.1f}/{len(ARCHIVE) / 1000:.1f} kB" in progress


def test_errors_of_the_command_are_user_errors(site: Site, tmp_path: Path) -> None:
    site.status = 404
    result = CliRunner().invoke(datasets.download, ["maps", "--out", str(tmp_path), "--url", site.url])
    assert isinstance(result.exception, UserError)
    assert CliRunner().invoke(datasets.download, ["horses"]).exit_code == 2


def test_every_archive_names_a_task_that_exists() -> None:
    tasks = {path.stem for path in (Path(p2pbench.__file__).parent / "tasks").glob("*.toml")}
    assert {archive.train.split()[1] for archive in ARCHIVES.values()} <= tasks
