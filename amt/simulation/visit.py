"""A simulated rater's visit over HTTP, from start to completion code."""

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
from amt.simulation.raters import Acknowledged, Ending, Outcome, Rater
from amt.store.trials import Truth

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


_PATIENCE_SECONDS = 60.0  # a server that does not answer for so long is given up


_REPLY_SECONDS = 30.0


_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # between attempts, doubled each time


_CUT_SECONDS = 0.02  # a connection is cut at most so long after sending


_HEARTBEAT_SECONDS = 60.0


_LOOKING = 0.5  # of the time of a trial, from the showing to the answer


_PAIRS_AHEAD = 10  # pictures are fetched for so many trials at a time


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


class Setting(NamedTuple):
    """What all raters of a simulation share.

    Attributes:
        base_url: The server's root.
        study: What `GET api/studies/NAME` says.
        truth: The truth of a session's trials by k.
        pace: Seconds from one trial of a rater to the next; 0: as fast as the server answers.
        retries: The share of requests whose reply is taken for lost, so that they are sent once more.
    """

    base_url: str
    study: Mapping[str, Any]
    truth: Callable[[str], Mapping[int, Truth]]
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
    """One rater's visit; what it learns goes to the outcome."""

    def __init__(self, rater: Rater, setting: Setting, outcome: Outcome) -> None:
        self._rater = rater
        self._setting = setting
        self._outcome = outcome
        self._timing = Timing.model_validate(setting.study["timing"])
        self._connection = Connection(setting.base_url)
        self._session = self._token = ""
        self._truth: Mapping[int, Truth] = {}
        self._pictures: set[str] = set()  # fetched, for trials to come

    async def run(self) -> Ending:
        """Go through the study, and say how that ended."""
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
        await self._ask("environment", _ENVIRONMENT)
        await self._ask("consent", {"version": self._setting.study["consent"]["version"], "agreed": True})
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
                await self._ask("heartbeat")
            await self._trial(trials)
            done += 1
            due += self._setting.pace * self._rater.rng.uniform(0.8, 1.2)
            await asyncio.sleep(max(0.0, due - monotonic()))
        for _ in range(2):
            reply = await self._ask("complete")
            self._outcome.codes[self._session].add(reply.json()["code"])
        return "completed"

    async def _start(self) -> None:
        body = {"rater": self._rater.name, "rater_source": self._setting.study["recruitment"]}
        path = f"api/studies/{self._setting.study['name']}/sessions"
        reply = (await self._repeated("start", "POST", path, body)).json()
        self._session, self._token = reply["session"], reply["token"]

    async def _start_again(self, trial: _Trial) -> deque[_Trial]:
        """Start in another tab, half of the times while a trial is shown; the old token must be dead by then."""
        if self._rater.rng.random() < 0.5:
            await self._ask(f"trials/{trial.k}/shown")
        old = self._token
        await self._start()
        new, self._token = self._token, old
        try:
            await self._ask("heartbeat")
        except _RefusedError as error:
            if error.word != "token":
                raise
        else:
            raise _RefusedError(200, "token")
        self._token = new
        return await self._next()

    async def _next(self) -> deque[_Trial]:
        reply = (await self._ask("next")).json()
        self._truth = self._setting.truth(self._session)
        self._pictures = set()
        found = [] if reply["trial"] is None else [reply["trial"], *reply["ahead"]]
        return deque(_Trial(trial["k"], trial["left"], trial["right"]) for trial in found)

    async def _trial(self, trials: deque[_Trial]) -> None:
        if not self._pictures:
            self._pictures = {token for trial in islice(trials, _PAIRS_AHEAD) for token in (trial.left, trial.right)}
            for token in self._pictures:
                await self._insist("image", "GET", f"images/{token}")
        trial = trials.popleft()
        self._pictures -= {trial.left, trial.right}
        await self._ask(f"trials/{trial.k}/shown")
        shortest = 0.0 if self._setting.study["simulated"] else self._timing.least / 1000
        await asyncio.sleep(max(shortest, _LOOKING * self._setting.pace * self._rater.rng.uniform(0.8, 1.2)))
        answer = self._rater.answer(self._truth[trial.k])
        began = monotonic()
        await self._ask(f"trials/{trial.k}/response", self._rater.measured(answer, self._timing), method="PUT")
        self._outcome.waits.append(monotonic() - began)
        self._outcome.answers.append(Acknowledged(self._session, trial.k, *answer))

    async def _ask(self, what: str, body: Mapping[str, Any] | None = None, method: str = "") -> Reply:
        kind = what.rpartition("/")[2]
        method = method or ("GET" if kind == "next" else "POST")
        return await self._repeated(kind, method, f"api/sessions/{self._session}/{what}", body)

    async def _repeated(self, kind: str, method: str, path: str, body: Mapping[str, Any] | None) -> Reply:
        """Send a request; at times twice: as if its reply were lost, or with the connection cut before the reply."""
        rng = self._rater.rng
        if rng.random() < self._setting.retries:
            if kind == "start" or rng.random() < 0.5:  # a start that comes late would replace the token of the next
                await self._insist(kind, method, path, body)
            else:
                self._outcome.lost += 1
                try:
                    wait = float(rng.uniform(0, _CUT_SECONDS))
                    await self._connection.send_and_leave(method, path, self._token or None, body, wait)
                except OSError:
                    self._connection.close()
        return await self._insist(kind, method, path, body)

    async def _insist(self, kind: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> Reply:
        """Send a request until it is answered.

        Raises:
            _RefusedError: The answer is no.
            OSError: There was none for a minute.
        """
        pause = _FIRST_PAUSE
        last = monotonic() + _PATIENCE_SECONDS
        while True:
            began = monotonic()
            try:
                async with asyncio.timeout(_REPLY_SECONDS):
                    reply = await self._connection.request(method, path, self._token or None, body)
            except OSError:
                self._outcome.lost += 1
                if began > last:
                    raise
            else:
                if reply.status < 300:
                    self._outcome.latencies[kind].append(monotonic() - began)
                    return reply
                self._outcome.refusals[kind, reply.status, reply.error] += 1
                passing = reply.status in {408, 429} or reply.status >= 500  # as the page has it
                if not passing or began > last:
                    raise _RefusedError(reply.status, reply.error)
            await asyncio.sleep(pause * float(self._rater.rng.uniform(0.5, 1.5)))
            pause = min(2 * pause, _LONGEST_PAUSE)
