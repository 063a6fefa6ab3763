"""A simulated rater's way through a study, from its start to its completion code, over HTTP."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from time import monotonic
from typing import Any, NamedTuple

from amt.protocol import Timing
from amt.simulation.connection import Connection, Reply
from amt.simulation.outcome import Acknowledged, Ending, Outcome
from amt.simulation.raters import Rater
from amt.store.truth import Truth

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
