"""Who is who, without keeping it: tokens, pseudonyms, codes, and what is kept of a browser's name."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

_BROWSERS = (  # the first that fits; others name Chrome and Safari too
    ("Edge", re.compile(r"\bEdg(?:A|iOS)?/(\d+)")),
    ("Opera", re.compile(r"\bOPR/(\d+)")),
    ("Firefox", re.compile(r"\b(?:Firefox|FxiOS)/(\d+)")),
    ("Chromium", re.compile(r"\b(?:Headless)?(?:Chrome|Chromium|CriOS)/(\d+)")),
    ("Safari", re.compile(r"\bVersion/(\d+).*\bSafari/")),
)
_CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # none that is taken for another


def new_token() -> str:
    """A secret of 256 bits for a URL or a header."""
    return secrets.token_urlsafe(32)


def new_picture_token() -> str:
    """A name of 128 random bits for one picture of one trial of one session."""
    return secrets.token_urlsafe(16)


def new_id() -> str:
    """A session's id: 128 random bits, hexadecimal."""
    return secrets.token_hex(16)


def new_code() -> str:
    """A completion code of 40 bits, easy to type."""
    return "".join(secrets.choice(_CODE_LETTERS) for _ in range(8))


def digest(token: str) -> str:
    """What is stored of a token; tokens are random and long, so a plain hash cannot be guessed back."""
    return hashlib.sha256(token.encode()).hexdigest()


def pseudonym(key: str, source: str, rater: str) -> str:
    """A rater's name in the study: an HMAC with the study's own key, 128 bits, hexadecimal.

    Platform ids are short and known to others, so that a plain hash could be guessed back.
    """
    return hmac.new(bytes.fromhex(key), f"{source}:{rater}".encode(), hashlib.sha256).hexdigest()[:32]


def browser(user_agent: str) -> str:
    """A browser's family and major version, which is all that is kept of its user agent."""
    for family, pattern in _BROWSERS:
        if match := pattern.search(user_agent):
            return f"{family} {match[1][:4]}"
    return "other"
