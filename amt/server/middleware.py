"""Middleware for limits, response headers, and a proxy's path prefix."""

from __future__ import annotations

import time
from collections import OrderedDict

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 64 * 1024
BURST, PER_SECOND = 300.0, 40.0  # requests per token: a page fetches 120 pictures at its start, then few
_MOST_TOKENS = 10_000
_HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


class RequestLimits:
    """Middleware that refuses large bodies and frequent requests, and sets security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._rates = RateLimiter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                # Answers and tokens must not stay in caches of browsers or proxies.
                headers.setdefault("cache-control", "no-store")
            await send(message)

        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        token = headers.get("authorization")
        # A body without a declared length could be endless.
        if not length.isdecimal() or int(length) > MOST_BYTES or "transfer-encoding" in headers:
            too_large = f"Expected a body of at most {MOST_BYTES} bytes with its Content-Length."
            await _refuse(413, "size", too_large)(scope, receive, send_with_headers)
        elif token is not None and not self._rates.allow(token, time.monotonic()):
            await _refuse(429, "rate", "Too many requests; wait a moment.")(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)


class RateLimiter:
    """Token bucket per client: it refills steadily, and each request takes one."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allow(self, token: str, now: float) -> bool:
        """Whether a request is allowed at `now`, in monotonic seconds."""
        # Popped and set again, which moves the client to the end: the first is the one seen longest ago.
        left, last = self._buckets.pop(token, (BURST, now))
        left = min(BURST, left + (now - last) * PER_SECOND)
        allowed = left >= 1
        self._buckets[token] = (left - allowed, now)
        if len(self._buckets) > _MOST_TOKENS:
            self._buckets.popitem(last=False)
        return allowed


class PathPrefix:
    """Middleware that adds a proxy's path prefix to requests that lack it."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and self._prefix:
            path = scope["path"]
            # Some proxies strip the prefix and others keep it.
            whole = path if path.startswith(f"{self._prefix}/") else self._prefix + path
            scope = {**scope, "path": whole, "root_path": self._prefix}
        await self._app(scope, receive, send)


def _refuse(status: int, word: str, message: str) -> JSONResponse:
    return JSONResponse(
        {"error": word, "message": message}, status, headers={"connection": "close"} if status == 413 else None
    )
