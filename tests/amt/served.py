"""A real server in a thread, and a rater's requests to it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from amt.folders import Studies
from amt.server.app import create_app, listening_socket
from amt.server.context import Context
from amt.store.database import Database
from tests.patience import PATIENCE, wait_until

EXPOSURE = {"on": 900.0, "off": 1900.0, "frames": 60, "gap": 16.8}
RESPONSE = {
    "choice": "left",
    "response_ms": 512.0,
    "frame_ms": 16.7,
    "hertz": 60.0,
    "exposures": {"left": EXPOSURE, "right": EXPOSURE},
}
ENVIRONMENT = {
    "eligible": True,
    "reasons": [],
    "viewport": [1280, 720],
    "screen": [1280, 800],
    "pixel_ratio": 1,
    "hertz": 60,
    "frame_ms": 16.7,
    "touch": False,
    "language": "en",
}


@contextmanager
def served(database: Database, folder: Studies, public_url: str | None = None) -> Iterator[httpx.Client]:
    """Serve studies from a thread; a client whose requests go there."""
    sock = listening_socket("127.0.0.1", 0)
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    config = uvicorn.Config(create_app(Context(database, folder, public_url or url)), log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the server's start")
    try:
        with httpx.Client(base_url=url, timeout=PATIENCE) as http:
            yield http
    finally:
        server.should_exit = True
        thread.join()
        sock.close()


class Client:
    """A rater's requests. Whatever comes back is returned, refusals too."""

    def __init__(self, http: httpx.Client, study: str, rater: str, source: str = "open") -> None:
        self.http = http
        self.study = study
        self.about = self.http.get(f"/api/studies/{study}").json()
        body = {"rater": rater, "rater_source": source}
        self.started = self.http.post(f"/api/studies/{study}/sessions", json=body)
        found = self.started.json()
        self.session = found.get("session", "none")
        self.headers = {"authorization": f"Bearer {found.get('token', 'none')}"}

    def agree(self) -> Client:
        """Environment and consent."""
        self.post("environment", ENVIRONMENT)
        self.post("consent", {"version": self.about["consent"]["version"], "agreed": True})
        return self

    def post(self, path: str, body: object = None) -> httpx.Response:
        """POST to the session."""
        return self.http.post(f"/api/sessions/{self.session}/{path}", json=body, headers=self.headers)

    def next(self) -> Any:  # noqa: ANN401 (JSON)
        """Where the server is."""
        return self.http.get(f"/api/sessions/{self.session}/next", headers=self.headers).json()

    def image(self, token: str) -> httpx.Response:
        """A picture."""
        return self.http.get(f"/images/{token}", headers=self.headers)

    def show(self, k: int) -> httpx.Response:
        """A trial is about to be shown."""
        return self.post(f"trials/{k}/shown", {})

    def answer(self, k: int, **changes: object) -> httpx.Response:
        """Answer a trial."""
        path = f"/api/sessions/{self.session}/trials/{k}/response"
        return self.http.put(path, json=RESPONSE | changes, headers=self.headers)

    def finish(self) -> httpx.Response:
        """Answer all that is left, always left, and complete."""
        while (found := self.next())["trial"]:
            k = found["trial"]["k"]
            assert self.show(k).status_code == 200
            assert self.answer(k).status_code == 200
        return self.post("complete")
