"""A folder of results as digests: a text or hash under each `kind/path`, without what differs from run to run."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file

MASKS = (
    (r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?", "DATE"),
    (r"\b\d+:\d\d(:\d\d)?\b", "TIME"),
    (r"\b[0-9a-f]{40}\b(-dirty)?", "REVISION"),
    (r"(SHA-256 of all above: |git revision <code>)[0-9a-f]+", r"\1HASH"),
    (r"127\.0\.0\.1:\d+", "HOST:PORT"),
    (r"[\d.]+ images/s", "SPEED"),
    (r"about \d+ (s|min|h)\b", "about TIME"),
    (r" +[\d.]+ +\d+ (s|min|h)$", " SPEED TIME"),  # the last columns of a dry run
    (r"(?i)(password:?\s+)\S+", r"\1PASSWORD"),
)
"""What is never the same twice, and what stands in its place."""

PROGRESS = re.compile(r": \d+/\d+\b")
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")
VARYING = {"versions", "git_revision", "created", "made_at", "seconds", "images_per_second"}

Digest = dict[str, str]


class Reader:
    """Reads the files of a folder.

    Args:
        root: The folder.
        hidden: Paths that may stand in texts, and what is put in their place.
    """

    def __init__(self, root: Path, hidden: Mapping[str, str]) -> None:
        self._root = root
        self._hidden = {str(root): "FOLDER", **hidden}
        self._kinds: dict[str, Callable[[Path, str], Iterator[tuple[str, str]]]] = {
            ".safetensors": self._safetensors,
            ".pt": self._checkpoint,
            ".png": self._picture,
            ".npz": self._matrices,
            ".json": self._json,
            ".jsonl": self._made,
            ".csv": self._csv,
            ".tex": self._text("latex"),
            ".txt": self._text("texts"),
            ".toml": self._text("settings"),
            ".svg": self._text("drawings"),
            ".html": self._html,
            ".sqlite": self._database,
        }

    def digest(self) -> Digest:
        """Every file's digests, and each folder's list of files."""
        found: Digest = {}
        folders: dict[str, list[str]] = {}
        for path in sorted(self._root.rglob("*")):
            if path.is_dir():
                continue
            name = path.relative_to(self._root).as_posix()
            if name.startswith("steps/"):
                found |= self._step(path, name)
                continue
            folders.setdefault(name.partition("/")[0], []).append(name)
            if path.suffix in self._kinds:
                found |= dict(self._kinds[path.suffix](path, name))
        return found | {f"files/{folder}": "\n".join(names) for folder, names in folders.items()}

    def masked(self, text: str) -> str:
        """A text without paths, dates, times, speeds and revisions."""
        for path in sorted(self._hidden, key=len, reverse=True):
            text = text.replace(path, self._hidden[path])
        for pattern, word in MASKS:
            text = re.sub(pattern, word, text, flags=re.MULTILINE)
        return text

    def _step(self, path: Path, name: str) -> Digest:
        """A command's exit code, words, numbers, and the keys of what it printed as JSON."""
        text = path.read_text(encoding="utf-8")
        if path.name == "code":
            return {f"exits/{name}": text}
        if path.name == "err":
            text = "\n".join(line for line in text.splitlines() if not PROGRESS.search(line))
        text = self.masked(text)
        found = {f"texts/{name}": text, f"numbers/{name}": "\n".join(NUMBER.findall(text))}
        if path.name == "out" and text.startswith(("{", "[")):
            found[f"keys/{name}"] = "\n".join(sorted({key for document in _documents(text) for key in _keys(document)}))
        return found

    def _text(self, kind: str) -> Callable[[Path, str], Iterator[tuple[str, str]]]:
        def read(path: Path, name: str) -> Iterator[tuple[str, str]]:
            yield f"{kind}/{name}", self.masked(path.read_text(encoding="utf-8"))

        return read

    def _safetensors(self, path: Path, name: str) -> Iterator[tuple[str, str]]:
        yield f"tensors/{name}", "\n".join(_array(key, array) for key, array in sorted(load_file(path).items()))
        length = int.from_bytes(path.read_bytes()[:8], "little")
        header = json.loads(path.read_bytes()[8 : 8 + length])
        yield f"records/{name}", self.masked(_canonical(header.get("__metadata__", {})))

    def _checkpoint(self, path: Path, name: str) -> Iterator[tuple[str, str]]:
        content = torch.load(path, map_location="cpu", weights_only=True)
        yield f"checkpoints/{name}", self.masked("\n".join(_leaves("", content)))

    def _picture(self, path: Path, name: str) -> Iterator[tuple[str, str]]:
        kind = "segmentations" if "/segmentations/" in name or "/labels/" in name else "pictures"
        with Image.open(path) as image:
            content = image.tobytes() + bytes(image.getpalette() or [])
            yield f"{kind}/{name}", f"{image.mode} {image.size} {_hash(content)}"

    def _matrices(self, path: Path, name: str) -> Iterator[tuple[str, str]]:
        with np.load(path) as arrays:
            yield f"matrices/{name}", "\n".join(_array(key, arrays[key]) for key in sorted(arrays))

    def _json(self, path: Path, name: str) -> Iterator[tuple[str, str]]:
        kind = "analysis" if "study/" in name else "scores" if "/scores/" in name else "records"
        yield f"{kind}/{name}", self.masked(_canonical(_steady(json.loads(path.read_text(encoding="utf-8")))))

    def _made(self, path: Path, name: str) -> Iterator[tuple[str, str]]:
        """The files that a list of hashes names, and whether each hash is right; contents are compared themselves."""
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        listed: dict[str, set[str]] = {}
        for line in lines:  # a file that was written again has several
            listed.setdefault(line["file"], set()).add(line["sha256"])
        yield f"records/{name}", "\n".join(f"{file} {_is(path.parent / file, listed[file])}" for file in sorted(listed))

    def _csv(self, path: Path, name: str) -> Iterator[tuple[str, str]]:
        """All columns but speed, which loss logs have."""
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
        kept = [number for number, title in enumerate(rows[0] if rows else []) if title not in VARYING]
        lines = (",".join(row[number] for number in kept if number < len(row)) for row in rows)
        yield f"{'losses' if path.name == 'losses.csv' else 'csv'}/{name}", self.masked("\n".join(lines))

    def _html(self, path: Path, name: str) -> Iterator[tuple[str, str]]:
        text = self.masked(path.read_text(encoding="utf-8"))
        yield f"texts/{name}", text
        cells = _Cells()
        cells.feed(text)
        yield f"html/{name}", "\n".join(cells.numbers)

    def _database(self, path: Path, name: str) -> Iterator[tuple[str, str]]:
        """Each table's definition and number of rows."""
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            tables = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
            yield f"schema/{name}", "\n".join(str(sql) for _, sql in tables)
            counted = [table for table, sql in tables if str(sql).startswith("CREATE TABLE")]
            counts = (connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] for table in counted)
            yield f"rows/{name}", "\n".join(f"{table} {count}" for table, count in zip(counted, counts, strict=True))


class _Cells(HTMLParser):
    """The numbers in each cell of a page's tables."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[str] = []
        self._text: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"td", "th"}:
            self._text = []

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"} and self._text is not None:
            self.numbers.append(" ".join(NUMBER.findall(" ".join(self._text))))
            self._text = None

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _is(path: Path, listed: set[str]) -> str:
    if not path.is_file():
        return "is gone"
    return "as listed" if _hash(path.read_bytes()) in listed else "is another"


def _array(name: str, array: np.ndarray[Any, Any]) -> str:
    return f"{name} {array.dtype} {array.shape} {_hash(np.ascontiguousarray(array).tobytes())}"


def _leaves(name: str, content: object) -> Iterator[str]:
    """A line a tensor or value of nested dicts and lists."""
    if isinstance(content, torch.Tensor):
        yield _array(name, content.contiguous().view(torch.uint8).numpy()) if content.dim() else f"{name} {content}"
    elif isinstance(content, dict):
        for key, value in content.items():
            if key not in VARYING:
                yield from _leaves(f"{name}.{key}", value)
    elif isinstance(content, list | tuple):
        for number, value in enumerate(content):
            yield from _leaves(f"{name}.{number}", value)
    else:
        yield f"{name} {content!r}"


def _steady(content: object) -> object:
    """A document without versions and times."""
    if isinstance(content, dict):
        return {key: _steady(value) for key, value in content.items() if key not in VARYING}
    return [_steady(value) for value in content] if isinstance(content, list) else content


def _canonical(content: object) -> str:
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)


def _documents(text: str) -> Iterator[object]:
    """The JSON documents of a text, one after another."""
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        yield document
        text = text[end:]


def _keys(content: object, prefix: str = "") -> Iterator[str]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield f"{prefix}{key}"
            yield from _keys(value, f"{prefix}{key}.")
    elif isinstance(content, list):
        for value in content:
            yield from _keys(value, f"{prefix}[].")
