"""Pseudonyms, session tokens, completion codes, and coarse browser names."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

_BROWSERS = (  # the first match wins, as most browsers name Chrome and Safari too
    ("Edge", re.compile(r"\bEdg(?:A|iOS)?/(\d+)")),
    ("Opera", re.compile(r"\bOPR/(\d+)")),
    ("Firefox", re.compile(r"\b(?:Firefox|FxiOS)/(\d+)")),
    ("Chromium", re.compile(r"\b(?:Headless)?(?:Chrome|Chromium|CriOS)/(\d+)")),
    ("Safari", re.compile(r"\bVersion/(\d+).*\bSafari/")),
)
_CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # no letters that look alike


def new_token() -> str:
    """Generate a 256-bit secret for a URL or a header."""
    return secrets.token_urlsafe(32)


def new_picture_token() -> str:
    """Generate a 128-bit name for one picture of one trial."""
    return secrets.token_urlsafe(16)


def new_id() -> str:
    """Generate a session id: 128 random bits, hexadecimal."""
    return secrets.token_hex(16)


def new_code() -> str:
    """Generate a 40-bit completion code that is easy to type."""
    return "".join(secrets.choice(_CODE_LETTERS) for _ in range(8))


def digest(token: str) -> str:
    """Hash a token for storage.

    Tokens are long and random, so a plain hash cannot be reversed by guessing.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def pseudonym(key: str, source: str, rater: str) -> str:
    """Pseudonym of a rater: a keyed hash (HMAC), 128 bits, hexadecimal.

    Platform ids are short and known to others, so an unkeyed hash could be reversed by guessing.
    """
    return hmac.new(bytes.fromhex(key), f"{source}:{rater}".encode(), hashlib.sha256).hexdigest()[:32]


def browser(user_agent: str) -> str:
    """Reduce a user agent to browser family and major version."""
    for family, pattern in _BROWSERS:
        if match := pattern.search(user_agent):
            return f"{family} {match[1][:4]}"
    return "other"
