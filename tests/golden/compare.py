"""Compare all that two revisions make of the same commands: `make golden`.

The base is the revision in base.toml, or --base; what differs from it on purpose is listed there too.
"""

from __future__ import annotations

import argparse
import difflib
import os
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from tests.golden.chain import SIZES
from tests.golden.digest import Digest, Reader

ROOT = Path(__file__).parent.parent.parent
BASE = Path(__file__).with_name("base.toml")
REFUSED = ("wrong-*", "others-incomplete", "amt-too-early")  # steps that must not exit with 0
UNSURE = ("interrupted", "self-test")  # whose exit depends on the moment, or on how well a small network learnt
# A study's simulated raters are served as they come, so two studies differ; the answers of one are compared by
# giving both revisions the same.
UNSTEADY = (
    *("analysis/rated/*", "csv/rated/*", "scores/rated/*", "latex/rated/*", "html/rated/*", "texts/rated/*"),
    *("drawings/rated/*", "texts/steps/amt-[ase]*", "numbers/steps/amt-[ase]*", "texts/steps/report-rated/*"),
    *("numbers/steps/report-rated/*", "matrices/rated/*", "records/rated/report/*"),
)
LINES, WIDTH = 6, 78  # of a difference, as shown


class GoldenError(Exception):
    """What keeps the comparison from being made, in one line."""


class Difference(NamedTuple):
    """A key whose digests differ; None where a side has no such key."""

    key: str
    base: str | None
    new: str | None

    @property
    def kind(self) -> str:
        """What sort of output it is."""
        return self.key.partition("/")[0]


class Verdict(NamedTuple):
    """What a comparison found.

    Attributes:
        equal: How many keys are equal, by kind.
        changed: Differences that base.toml admits.
        different: All others.
        stale: Globs of base.toml that fit no difference.
    """

    equal: Counter[str]
    changed: list[Difference]
    different: list[Difference]
    stale: list[str]


def compare(base: Digest, new: Digest, admitted: Mapping[str, str]) -> Verdict:
    """Compare two digests, key by key."""
    keys = sorted({*base, *new})
    pairs = [Difference(key, base.get(key), new.get(key)) for key in keys]
    differences = [pair for pair in pairs if pair.base != pair.new]
    changed = [one for one in differences if any(fnmatchcase(one.key, glob) for glob in admitted)]
    return Verdict(
        Counter(pair.kind for pair in pairs if pair.base == pair.new),
        changed,
        [one for one in differences if one not in changed],
        [glob for glob in admitted if not any(fnmatchcase(one.key, glob) for one in differences)],
    )


def steady(digest: Digest) -> Digest:
    """What is the same whenever the same code runs."""
    return {key: value for key, value in digest.items() if not any(fnmatchcase(key, glob) for glob in UNSTEADY)}


def crossing(base: Digest, over: Digest) -> tuple[Digest, Digest]:
    """What the base made, and what another revision made of its files, as far as the latter should have made it."""
    folders = {key.split("/")[1] for key in over} - {"steps"}
    steps = {key.split("/")[2] for key in over if key.split("/")[1] == "steps"}

    def chosen(digest: Digest) -> Digest:
        kept = {}
        for key, value in digest.items():
            kind, folder, *rest = key.split("/")
            step = folder == "steps" and rest and rest[0] in steps and rest[0] != "finish" and rest[-1] != "err"
            if folder in folders or step:
                kept["/".join([kind, "crossing", folder, *rest])] = value
        return kept

    return chosen(base), chosen(over)


def unexpected(base: Digest) -> list[str]:
    """Steps whose exit code in the base is not what the chain was written for."""
    codes = {key.split("/")[2]: value.strip() for key, value in base.items() if key.startswith("exits/steps/")}
    return [
        f"{step} exits with {code}"
        for step, code in sorted(codes.items())
        if (code == "0") == any(fnmatchcase(step, glob) for glob in REFUSED) and step not in UNSURE
    ]


def table(verdict: Verdict) -> Iterator[str]:
    """The lines that are printed: a row a kind, then the first difference of each kind that differs."""
    changed, different = (Counter(one.kind for one in some) for some in (verdict.changed, verdict.different))
    yield f"{'':14}{'equal':>10}{'changed on purpose':>22}{'DIFFERENT':>12}"
    for kind in sorted({*verdict.equal, *changed, *different}):
        yield f"{kind:14}{verdict.equal[kind]:10}{changed[kind]:22}{different[kind]:12}"
    for kind in sorted(different):
        first, *more = (one for one in verdict.different if one.kind == kind)
        yield f"\nDIFFERENT {first.key}{f', and {len(more)} more {kind}' if more else ''}"
        yield from (line[:WIDTH] for line in list(_lines(first))[:LINES])
    for glob in verdict.stale:
        yield f"\n{BASE.name}: {glob!r} fits no difference; remove it"


def _lines(difference: Difference) -> Iterator[str]:
    """The lines that differ, each from a little before the first differing character."""
    base, new = ((text or "(nothing)").splitlines() for text in (difference.base, difference.new))
    for line in difflib.unified_diff(base, new, lineterm="", n=0):
        if not line.startswith(("---", "+++", "@@")):
            start = max(0, _first_difference(base, new) - 20) if len(line) > WIDTH else 0
            yield f"  {line[0]} {line[1 + start :]}"


def _first_difference(base: list[str], new: list[str]) -> int:
    """How many characters the first two differing lines share at their beginning."""
    for one, other in zip(base, new, strict=False):
        if one != other:
            return len(os.path.commonprefix([one, other]))
    return 0


@contextmanager
def checkout(revision: str, folder: Path) -> Iterator[Path]:
    """A worktree of a revision, which is removed in the end.

    Raises:
        GoldenError: The repository does not have that revision.
    """
    git = ["git", "-C", str(ROOT)]
    if subprocess.run([*git, "cat-file", "-e", f"{revision}^{{commit}}"], capture_output=True).returncode != 0:
        raise GoldenError(
            f"revision {revision} is not in this clone; fetch the full history (git fetch --unshallow), "
            "or name another: make golden BASE=REVISION"
        )
    path = folder / "code"
    subprocess.run([*git, "worktree", "add", "--quiet", "--detach", str(path), revision], check=True)
    try:
        yield path
    finally:
        subprocess.run([*git, "worktree", "remove", "--force", str(path)], check=True)


def digests(base_code: Path, folder: Path, size: str) -> tuple[Digest, Digest]:
    """Run both revisions beside each other, then the new one on the base's files; all digests of both.

    Raises:
        GoldenError: A chain of commands broke off.
    """
    sides = {"base": base_code, "next": ROOT, "over": ROOT}
    works = {name: folder / name / "work" for name in sides}
    for side in sides:
        (folder / side).mkdir()
    _wait([_start(folder / f"{name}.log", sides[name], folder / name, size) for name in ("base", "next")])
    hidden = {str(work): "FOLDER" for work in works.values()}
    hidden |= {str(work.parent): "SIDE" for work in works.values()}  # where weights of others are looked for
    hidden |= {str(base_code): "CODE", str(ROOT): "CODE"}
    base = Reader(works["base"], hidden).digest()
    if wrong := unexpected(base):
        raise GoldenError(f"the base's commands no longer do what tests/golden/chain.py expects: {'; '.join(wrong)}")
    over = (ROOT, folder / "over", size)
    _wait([_start(folder / f"{part}.log", *over, part, folder / "base") for part in ("grid", "rest")])
    new, taken_over = (Reader(works[name], hidden).digest() for name in ("next", "over"))
    before, after = crossing(base, taken_over)
    return steady(base) | before, steady(new) | after


class Running(NamedTuple):
    """A chain of commands, and the file of what it says."""

    process: subprocess.Popen[bytes]
    log: Path


def _start(log: Path, *arguments: object) -> Running:
    """Start a chain of commands in a session of its own, so that it can be ended with all that it started."""
    line = [sys.executable, "-m", "tests.golden.chain", *map(str, arguments)]
    own = os.environ | {"OMP_NUM_THREADS": "1"}
    with log.open("wb") as file:
        return Running(subprocess.Popen(line, cwd=ROOT, stdout=file, stderr=file, env=own, start_new_session=True), log)


def _wait(chains: Sequence[Running]) -> None:
    try:
        for chain in chains:
            if chain.process.wait() != 0:
                raise GoldenError(
                    f"a chain of commands broke off; the end of its log:\n{chain.log.read_text()[-2000:]}"
                )
    finally:
        for chain in chains:
            with suppress(ProcessLookupError):  # all ended
                os.killpg(chain.process.pid, signal.SIGKILL)  # the command that it waits for too
            chain.process.wait()


def main() -> None:
    """Compare, print and exit with 1 where anything differs that should not."""
    document = tomllib.loads(BASE.read_text(encoding="utf-8"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", default=document["revision"], help="the revision to compare with")
    parser.add_argument("--size", choices=sorted(SIZES), default="full")
    parser.add_argument("--keep", type=Path, help="a new folder for everything that was made")
    given = parser.parse_args()
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, lambda received, _: sys.exit(128 + received))
    with tempfile.TemporaryDirectory(prefix="golden-") as temporary:
        folder = given.keep.resolve() if given.keep else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with checkout(given.base, folder) as base_code:
                base, new = digests(base_code, folder, given.size)
        except GoldenError as error:
            sys.exit(f"Error: {error}")
    verdict = compare(base, new, document["changed"])
    print("\n".join(table(verdict)))
    sys.exit(bool(verdict.different or verdict.stale))


if __name__ == "__main__":
    main()
