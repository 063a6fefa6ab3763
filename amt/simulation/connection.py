"""A rater's HTTP connection: one socket, kept open, one request at a time, as a browser tab in its simplest form.

A general client costs more than the server that it measures (httpx 2.9 ms of processor time a request, aiohttp 0.11,
this 0.04); the parser is the one that the server has with it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httptools

_CHUNK = 2**18


class Reply(NamedTuple):
    """What the server answered: its HTTP status and its body."""

    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as JSON."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def error(self) -> str:
        """The server's word for a refusal; none where something else answered for it."""
        try:
            return str(self.json()["error"])
        except (ValueError, KeyError, TypeError):
            return ""


class Connection:
    """A connection to the server at a base URL; opened when needed, and again after an error."""

    def __init__(self, base_url: str) -> None:
        url = urlsplit(base_url)
        self._secure = url.scheme == "https"
        self._host, self._port = url.hostname or "", url.port or (443 if self._secure else 80)
        self._authority, self._path = url.netloc, url.path.rstrip("/")
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(
        self, method: str, path: str, token: str | None = None, body: Mapping[str, Any] | None = None
    ) -> Reply:
        """Send a request and wait for its reply.

        Raises:
            OSError: The server cannot be reached, or went away before it had answered.
        """
        try:
            reader, writer = await self._open()
            writer.write(self._message(method, path, token, body))
            parser = _Parser()
            while not parser.complete:
                data = await reader.read(_CHUNK)
                if not data:
                    raise ConnectionResetError("the server closed the connection")
                parser.feed(data)
        except BaseException:
            self.close()
            raise
        if not parser.keeps_open:
            self.close()
        return parser.reply

    async def send_and_leave(
        self, method: str, path: str, token: str | None, body: Mapping[str, Any] | None, wait: float
    ) -> None:
        """Send a request and close the connection `wait` seconds later without reading.

        Raises:
            OSError: The server cannot be reached.
        """
        _, writer = await self._open()
        writer.write(self._message(method, path, token, body))
        await asyncio.sleep(wait)
        self.close()

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None or self._streams[0].at_eof():
            self.close()
            self._streams = await asyncio.open_connection(
                self._host, self._port, ssl=self._secure or None, limit=_CHUNK
            )
        return self._streams

    def _message(self, method: str, path: str, token: str | None, body: Mapping[str, Any] | None) -> bytes:
        lines = [f"{method} {self._path}/{path} HTTP/1.1", f"host: {self._authority}"]
        if token is not None:
            lines.append(f"authorization: Bearer {token}")
        content = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            lines.append("content-type: application/json")
        if method != "GET":
            lines.append(f"content-length: {len(content)}")
        return "\r\n".join([*lines, "", ""]).encode() + content


class _Parser:
    """Collects one reply."""

    def __init__(self) -> None:
        self.complete = self.keeps_open = False
        self._chunks: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise ConnectionError(f"found no HTTP: {error}") from error

    def on_body(self, chunk: bytes) -> None:
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        self.complete = True
        self.keeps_open = self._parser.should_keep_alive()

    @property
    def reply(self) -> Reply:
        return Reply(self._parser.get_status_code(), b"".join(self._chunks))
