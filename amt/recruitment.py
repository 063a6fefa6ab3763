"""How raters come to a study, what they agree to, and with what they go."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict

from amt.errors import AmtError
from amt.statistics.cells import escape

Source = Literal["open", "link", "prolific"]
Outcome = Literal["completed", "no_consent", "ineligible"]
PROLIFIC = "https://app.prolific.com/submissions/complete?cc="
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
    """What raters agree to before anything is shown to them."""

    paragraphs: tuple[str, ...] = CONSENT
    contact: str = ""

    @property
    def version(self) -> str:
        """Changes with the text: the first 12 hexadecimal digits of its SHA-256."""
        return hashlib.sha256("\n\n".join([*self.paragraphs, self.contact]).encode()).hexdigest()[:12]


class Recruitment(_Frozen):
    """One way in. `codes` are Prolific's, by outcome; without them each rater gets a code of their own."""

    by: Source = "open"
    codes: Mapping[Outcome, str] = {}

    def redirect(self, outcome: Outcome) -> str | None:
        """Where a rater goes in the end, if anywhere."""
        code = self.codes.get(outcome)
        return PROLIFIC + quote(code, safe="") if self.by == "prolific" and code else None


def checked_url(text: str) -> str:
    """Return a public URL without a slash at its end.

    Raises:
        AmtError: It has no http:// or https:// before it, no host, or a query or fragment that no link can follow.
    """
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:  # such as a port that is no number
        host = None
    if not host or parts.scheme not in {"http", "https"} or parts.query or parts.fragment or text.strip() != text:
        raise AmtError(f"{text!r}: expected a URL that raters' browsers open, such as https://lab.example.org/study")
    return text.rstrip("/")


def rater_link(base: str, name: str, recruitment: Recruitment) -> str:
    """The link to hand out: for Prolific with its placeholders, which it fills in for each rater."""
    page = f"{base.rstrip('/')}/s/{name}/"
    if recruitment.by != "prolific":
        return page
    return page + "?" + "&".join(f"{key}={{{{%{key}%}}}}" for key in ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID"))


def links_csv(base: str, name: str, secrets: Mapping[str, str]) -> str:
    """Single-use links for a mail merge: a row a link, with its label, which no spreadsheet runs, and its URL."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["label", "link"])
    for secret, label in secrets.items():
        table.writerow([escape(label), f"{base.rstrip('/')}/s/{name}/?link={secret}"])
    return text.getvalue()
