"""What a machine must share with the one that sends it work: the code and its libraries, and the folder of results."""

from __future__ import annotations

import hashlib
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import p2pbench
from p2pbench.errors import UserError
from p2pbench.results import versions
from reports import atomic

PACKAGES = ("p2pbench", "fcn", "reports")  # those whose code makes numbers
SECONDS_TO_APPEAR = 5.0  # a network file system may show a new file late
SECONDS_BETWEEN_LOOKS = 0.5


class Unfit(UserError):
    """This machine cannot do the work; others may."""


@dataclass(frozen=True)
class Terms:
    """What must be the same there as here.

    Attributes:
        versions: Of whatever makes numbers, by name; config.json gives those of the one that sends the work.
        token: A file in the folder of results.
        secret: Its content.
    """

    versions: dict[str, str]
    token: str
    secret: str


@contextmanager
def agreed(folder: Path) -> Iterator[Terms]:
    """The terms while the block runs: a file lies in the folder that only those find who see the same folder.

    Raises:
        ReportError: The folder cannot be written.
    """
    secret = secrets.token_hex(16)
    token = folder.absolute() / f".seen-{secrets.token_hex(8)}"
    atomic.write(token, secret.encode())
    try:
        yield Terms(own_versions(), str(token), secret)
    finally:
        token.unlink(missing_ok=True)


def own_versions() -> dict[str, str]:
    """What makes numbers here. The build of a library ("+cpu") may differ: a GPU machine and its head have two."""
    found = {name: version.partition("+")[0] for name, version in versions().items()}
    return {**found, "p2pbench": p2pbench.__version__, "the code of p2pbench": _code()}


def refusal(terms: Terms) -> str | None:
    """Why this process cannot do that work, with what to do about it; None if it can."""
    own = own_versions()
    for name, expected in terms.versions.items():
        if own.get(name) != expected:
            return (
                f"machine {socket.gethostname()}: found {name} {own.get(name)}, expected {expected} as where the "
                "command was given; install the same version on all machines and start their Ray anew"
            )
    if not _appears(Path(terms.token), terms.secret):
        return (
            f"machine {socket.gethostname()}: does not see the results folder {Path(terms.token).parent}; expected one "
            "that all machines share under the same path; use such a folder"
        )
    return None


def _appears(token: Path, secret: str) -> bool:
    deadline = time.monotonic() + SECONDS_TO_APPEAR
    while True:
        try:
            return token.read_bytes() == secret.encode()
        except OSError:
            if time.monotonic() >= deadline:
                return False
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _code() -> str:
    """A hash of our own code: checkouts differ where version numbers do not."""
    home = Path(p2pbench.__file__).parent.parent
    state = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((home / package).rglob("*.py")):
            state.update(f"{path.relative_to(home).as_posix()}\n".encode())
            state.update(hashlib.sha256(path.read_bytes()).digest())
    return state.hexdigest()[:12]
