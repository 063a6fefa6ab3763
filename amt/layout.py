"""The folder of studies: the only file that knows its file names.

study.sqlite                   all studies of the folder, unless they are in another database
NAME/study.json                what a study is, for people
NAME/pictures/NUMBER.png       its pictures, by their number in the database
NAME/answers.csv               one row a trial, after an export
NAME/sessions.csv              one row a rater
NAME/analysis.{json,txt}       what came out
NAME/made.jsonl                hashes of the exports and analyses, by which those that were changed by hand are known
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from amt.errors import AmtError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class StudyFolder:
    """The files of one study."""

    folder: Path

    @property
    def description(self) -> Path:
        """What the study is: protocol, algorithms, items, where its pictures came from."""
        return self.folder / "study.json"

    @property
    def pictures(self) -> Path:
        """The folder of its pictures."""
        return self.folder / "pictures"

    def picture(self, number: int) -> Path:
        """A picture by its number in the database."""
        return self.pictures / f"{number}.png"

    @property
    def answers(self) -> Path:
        """One row a trial that was shown."""
        return self.folder / "answers.csv"

    @property
    def sessions(self) -> Path:
        """One row a session."""
        return self.folder / "sessions.csv"

    @property
    def analysis(self) -> Path:
        """The fooling rates and all that belongs to them, JSON."""
        return self.folder / "analysis.json"

    @property
    def analysis_text(self) -> Path:
        """The same for people."""
        return self.folder / "analysis.txt"


@dataclass(frozen=True)
class Studies:
    """A folder of studies."""

    folder: Path

    @property
    def database(self) -> Path:
        """Where the studies are unless a database URL is given."""
        return self.folder / "study.sqlite"

    @property
    def lock(self) -> Path:
        """Held by the server."""
        return self.folder / ".serving"

    def study(self, name: str) -> StudyFolder:
        """The folder of the study of this name, whether or not it exists.

        Raises:
            AmtError: It is no name that can stand in a link.
        """
        if not _NAME.fullmatch(name):
            raise AmtError(f"{name!r}: expected a study's name of a-z, 0-9 and -, at most 40; change it")
        return StudyFolder(self.folder / name)
