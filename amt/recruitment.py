"""Recruitment of raters: consent, links to a study, completion codes."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Literal
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict

from amt.errors import AmtError
from amt.safe_csv import escape

Source = Literal["open", "link", "prolific"]
SessionOutcome = Literal["completed", "no_consent", "ineligible"]
PROLIFIC = "https://app.prolific.com/submissions/complete?cc="
_LONGEST_HOST = 253
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_PATH = re.compile(r"(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*")
CONSENT = (
    "You will see pairs of images, each for a second, and say which of the two was made by a computer program.",
    "Your answers, their times, and technical facts about your display and browser are stored under a pseudonym, "
    "to measure how well programs make images. No name, no address of your computer and no other personal data "
    "are stored.",
    "Taking part is voluntary. You can stop at any time; if you withdraw, your answers are deleted.",
)


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Consent(_Frozen):
    """Consent text that raters agree to before the first trial."""

    paragraphs: tuple[str, ...] = CONSENT
    contact: str = ""

    @property
    def version(self) -> str:
        """Version of the text: first 12 hexadecimal digits of its SHA-256."""
        return hashlib.sha256("\n\n".join([*self.paragraphs, self.contact]).encode()).hexdigest()[:12]


class Recruitment(_Frozen):
    """Recruitment by open link, single-use links or Prolific.

    `codes` are Prolific's completion codes by outcome; without them each rater gets a random code.
    """

    by: Source = "open"
    codes: Mapping[SessionOutcome, str] = {}

    def redirect(self, outcome: SessionOutcome) -> str | None:
        """URL that a rater is sent to at the end, if any."""
        code = self.codes.get(outcome)
        return PROLIFIC + quote(code, safe="") if self.by == "prolific" and code else None


def checked_url(text: str) -> str:
    """Validate a public URL and strip its trailing slash.

    Raises:
        AmtError: It is not http:// or https:// with a host and an optional port and path; the message repeats no
            password.
    """
    if wrong := _wrong(text):
        raise AmtError(
            f"{re.sub('//.*@', '//***@', text)!r}: found {wrong}, expected a URL that raters' browsers open, such as "
            "https://lab.example.org/study"
        )
    return text.rstrip("/")


def _wrong(text: str) -> str | None:
    """Describe a public URL's first fault; None if it is valid."""
    if not re.fullmatch("[!-~]*", text):
        return "a blank, or a character that URLs must encode"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:  # such as a port that is no number
        return f"no URL ({error})"
    if parts.scheme not in {"http", "https"}:
        return "no http:// or https:// before it"
    if "@" in parts.netloc:
        return "a user name or password, which every rater would see"
    if set(text) & {"?", "#"}:
        return "a query or fragment, which a link cannot extend"
    # Port 0 is valid syntax, but no address.
    if port == 0 or not _is_host(host):
        return f"no host at {parts.netloc!r}"
    return None if _PATH.fullmatch(parts.path) else f"a path {parts.path!r} that must be percent-encoded"


def _is_host(text: str) -> bool:
    """Whether a text is an IP address or a host name."""
    with suppress(ValueError):
        return ip_address(text).version == 4 or "%" not in text
    labels = text.removesuffix(".").split(".")
    # Browsers parse a host whose last label is all digits as an IPv4 address.
    return len(text) <= _LONGEST_HOST and not labels[-1].isdecimal() and all(map(_LABEL.fullmatch, labels))


def rater_link(base: str, name: str, recruitment: Recruitment) -> str:
    """Link for raters; for Prolific with the placeholders that it fills in."""
    page = f"{base.rstrip('/')}/s/{name}/"
    if recruitment.by != "prolific":
        return page
    return page + "?" + "&".join(f"{key}={{{{%{key}%}}}}" for key in ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID"))


def links_csv(base: str, name: str, secrets: Mapping[str, str]) -> str:
    """Format single-use links as CSV for a mail merge."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["label", "link"])
    for secret, label in secrets.items():
        table.writerow([escape(label), f"{base.rstrip('/')}/s/{name}/?link={secret}"])
    return text.getvalue()
