"""Visit of a simulated rater over HTTP, from start to completion code."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httptools

from amt.protocol import Timing
from amt.simulation.crowd import AcknowledgedAnswer, Ending, Rater, SimulationRecord
from amt.store.trials import TrialTruth

Truth = Callable[[str], Mapping[int, TrialTruth]]
"""Returns the truth of a session's trials by k."""

_CHUNK = 2**18
_PATIENCE_SECONDS = 60.0  # a server that does not reply for so long is given up
_REPLY_SECONDS = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # between attempts, doubled each time
_CUT_SECONDS = 0.02  # longest time from sending to a deliberate cut of the connection
_HEARTBEAT_SECONDS = 60.0
_LOOKING = 0.5  # share of a trial's time from its showing to the answer
_PAIRS_AHEAD = 10  # trials whose pictures are fetched at a time
_ENVIRONMENT = {
    "eligible": True,
    "reasons": [],
    "viewport": [1280, 800],
    "screen": [1920, 1080],
    "pixel_ratio": 1,
    "hertz": 60.0,
    "frame_ms": 1000 / 60,
    "touch": False,
    "language": "en",
}


class Reply(NamedTuple):
    """HTTP status and body of a reply."""

    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """Parse the body as JSON."""
        content: dict[str, Any] = json.loads(self.body)
        return content

    @property
    def error(self) -> str:
        """Word of a refusal; empty for replies of other programs."""
        try:
            return str(self.json()["error"])
        except (ValueError, KeyError, TypeError):
            return ""


class Connection:
    """Connection to a server, opened on demand and reopened after errors."""

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
            OSError: The server cannot be reached, or closed the connection before its reply.
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
        # Cancelled or failed halfway, the connection would deliver the rest of an old reply to the next request.
        except BaseException:
            self.close()
            raise
        if not parser.keeps_open:
            self.close()
        return parser.reply

    async def send_and_leave(
        self, method: str, path: str, token: str | None, body: Mapping[str, Any] | None, wait: float
    ) -> None:
        """Send a request, and close the connection after `wait` seconds without reading.

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
    """Parser of one reply."""

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


class VisitSettings(NamedTuple):
    """Settings that all raters of a simulation share.

    Attributes:
        base_url: Root of the server.
        study: Reply to `GET api/studies/NAME`.
        truth: Returns the truth of a session's trials by k.
        pace: Seconds from one trial of a rater to the next; 0 is as fast as the server answers.
        retries: Share of requests that are sent a second time, as after a lost reply.
    """

    base_url: str
    study: Mapping[str, Any]
    truth: Truth
    pace: float
    retries: float


class _Trial(NamedTuple):
    k: int
    left: str
    right: str


class _RefusedError(Exception):
    def __init__(self, status: int, word: str) -> None:
        super().__init__(f"{status} {word}")
        self.word = word


class Visit:
    """One rater's visit, recorded as it proceeds."""

    def __init__(self, rater: Rater, settings: VisitSettings, record: SimulationRecord) -> None:
        self._rater = rater
        self._settings = settings
        self._record = record
        self._timing = Timing.model_validate(settings.study["timing"])
        self._connection = Connection(settings.base_url)
        self._session = self._token = ""
        self._truth: Mapping[int, TrialTruth] = {}
        self._pictures: set[str] = set()  # fetched for upcoming trials

    async def run(self) -> Ending:
        """Take part in the study, and return the ending."""
        try:
            return await self._course()
        except _RefusedError as error:
            return "full" if error.word == "full" else "failed"
        except OSError:
            return "failed"
        finally:
            self._connection.close()

    async def _course(self) -> Ending:
        await self._start()
        await self._request("environment", _ENVIRONMENT)
        await self._request("consent", {"version": self._settings.study["consent"]["version"], "agreed": True})
        trials = await self._next()
        turning_point = self._rater.turning_point(len(trials))
        due = heartbeat = monotonic()
        done = 0
        while trials:
            if done == turning_point:
                if self._rater.kind == "leaving":
                    return "left"
                turning_point = None
                trials = await self._start_again(trials[0])
            if monotonic() - heartbeat > _HEARTBEAT_SECONDS:
                heartbeat = monotonic()
                await self._request("heartbeat")
            await self._trial(trials)
            done += 1
            # From the time due, not from now: delays do not add up.
            due += self._settings.pace * self._rater.rng.uniform(0.8, 1.2)
            await asyncio.sleep(max(0.0, due - monotonic()))
        for _ in range(2):  # a repeated request must return the same code
            reply = await self._request("complete")
            self._record.codes[self._session].add(reply.json()["code"])
        return "completed"

    async def _start(self) -> None:
        body = {"rater": self._rater.name, "rater_source": self._settings.study["recruitment"]}
        path = f"api/studies/{self._settings.study['name']}/sessions"
        reply = (await self._send("start", "POST", path, body)).json()
        self._session, self._token = reply["session"], reply["token"]

    async def _start_again(self, trial: _Trial) -> deque[_Trial]:
        """Start in another tab, half of the time during a trial.

        The old token must be invalid afterwards.
        """
        if self._rater.rng.random() < 0.5:
            await self._request(f"trials/{trial.k}/shown")
        old = self._token
        await self._start()
        new, self._token = self._token, old
        try:
            await self._request("heartbeat")
        except _RefusedError as error:
            if error.word != "token":
                raise
        else:
            raise _RefusedError(200, "token")
        self._token = new
        return await self._next()

    async def _next(self) -> deque[_Trial]:
        reply = (await self._request("next")).json()
        self._truth = self._settings.truth(self._session)
        self._pictures = set()
        remaining = [] if reply["trial"] is None else [reply["trial"], *reply["ahead"]]
        return deque(_Trial(trial["k"], trial["left"], trial["right"]) for trial in remaining)

    async def _trial(self, trials: deque[_Trial]) -> None:
        if not self._pictures:
            self._pictures = {token for trial in islice(trials, _PAIRS_AHEAD) for token in (trial.left, trial.right)}
            for token in self._pictures:
                await self._insist("image", "GET", f"images/{token}")
        trial = trials.popleft()
        self._pictures -= {trial.left, trial.right}
        await self._request(f"trials/{trial.k}/shown")
        shortest = 0.0 if self._settings.study["simulated"] else self._timing.least / 1000
        await asyncio.sleep(max(shortest, _LOOKING * self._settings.pace * self._rater.rng.uniform(0.8, 1.2)))
        answer = self._rater.answer(self._truth[trial.k])
        began = monotonic()
        await self._request(f"trials/{trial.k}/response", self._rater.measured(answer, self._timing), method="PUT")
        self._record.waits.append(monotonic() - began)
        self._record.answers.append(AcknowledgedAnswer(self._session, trial.k, *answer))

    async def _request(self, path: str, body: Mapping[str, Any] | None = None, method: str = "") -> Reply:
        kind = path.rpartition("/")[2]
        method = method or ("GET" if kind == "next" else "POST")
        return await self._send(kind, method, f"api/sessions/{self._session}/{path}", body)

    async def _send(self, kind: str, method: str, path: str, body: Mapping[str, Any] | None) -> Reply:
        """Send a request, sometimes twice, as after a lost reply.

        The first reply is either ignored, or the connection is cut before it.
        """
        rng = self._rater.rng
        if rng.random() < self._settings.retries:
            if kind == "start" or rng.random() < 0.5:  # a start that arrives late would invalidate the next one's token
                await self._insist(kind, method, path, body)
            else:
                self._record.lost += 1
                try:
                    wait = float(rng.uniform(0, _CUT_SECONDS))
                    await self._connection.send_and_leave(method, path, self._token or None, body, wait)
                except OSError:
                    self._connection.close()
        return await self._insist(kind, method, path, body)

    async def _insist(self, kind: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        """Send a request until the server replies.

        Raises:
            _RefusedError: The server refuses it.
            OSError: There was no reply for a minute.
        """
        pause = _FIRST_PAUSE
        last = monotonic() + _PATIENCE_SECONDS
        while True:
            began = monotonic()
            try:
                async with asyncio.timeout(_REPLY_SECONDS):
                    reply = await self._connection.request(method, path, self._token or None, body)
            except OSError:
                self._record.lost += 1
                if began > last:
                    raise
            else:
                if reply.status < 300:
                    self._record.latencies[kind].append(monotonic() - began)
                    return reply
                self._record.refusals[kind, reply.status, reply.error] += 1
                passing = reply.status in {408, 429} or reply.status >= 500  # as in the page
                if not passing or began > last:
                    raise _RefusedError(reply.status, reply.error)
            await asyncio.sleep(pause * float(self._rater.rng.uniform(0.5, 1.5)))
            # Doubled with jitter, so that raters whose requests failed together do not retry together.
            pause = min(2 * pause, _LONGEST_PAUSE)
