"""A report as one file: its pictures, scripts and tables put into the page as data."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import mimetypes
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from reports.store.layout import Report

# Each begins with its tag: `<` is escaped in names, so that no name can look like one.
_SOURCE = re.compile(r'(?<=<img src=")[^"]+(?=")')
_SCRIPT = re.compile(r'<script src="([^"]+)" defer></script>')
_LINK = re.compile(r'(?<=<a href=")(tables/[^"#]+)(?=")')
_MARK = "<!-- files -->"
_SEAL = b"<!-- SHA-256 of all above: "


def inlined(report: Report) -> str:
    """The page of a report with everything it names in it.

    Pictures that only the page's script shows become a table from file name to data, in a script of their own.
    """
    text = report.index.read_text("utf-8")
    named = set(_SOURCE.findall(text)) | set(_SCRIPT.findall(text))
    text = _SCRIPT.sub(lambda match: f"<script>{_path(report, match[1]).read_text('utf-8')}</script>", text)
    text = _SOURCE.sub(lambda match: _data(_path(report, match[0])), text)
    text = _LINK.sub(lambda match: _download(_path(report, match[0])), text)
    before, mark, after = text.partition(_MARK)
    return "".join([before, *(_files(report, named) if mark else ()), after])  # joined once: they are large


def sealed(page: bytes) -> bytes:
    """A page with its own hash at the end, by which `is_as_written` knows it."""
    return page + _SEAL + hashlib.sha256(page).hexdigest().encode() + b" -->\n"


def is_as_written(page: bytes) -> bool:
    """Whether nobody changed a page since it was sealed; pages of older versions, without a seal, are taken so."""
    above, seal, _ = page.rpartition(_SEAL)
    return not seal or page == sealed(above)


def _files(report: Report, named: set[str]) -> Iterator[str]:
    """The script with the pictures that the page does not name, piece by piece."""
    yield "<script>window.files = {"
    comma = ""
    for path in sorted(report.assets.rglob("*")):
        name = report.relative(path)
        if path.suffix in {".png", ".jpg"} and name not in named:
            yield f'{comma}{json.dumps(name)}: "{_data(path)}"'
            comma = ", "
    yield "};</script>"


def _path(report: Report, reference: str) -> Path:
    return report.folder / urllib.parse.unquote(html.unescape(reference))


def _download(path: Path) -> str:
    """A link's target, with the name under which it is saved as an attribute behind it."""
    return f'{_data(path)}" download="{html.escape(path.name)}'


def _data(path: Path) -> str:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
