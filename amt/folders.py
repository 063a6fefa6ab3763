"""File names in a folder of studies.

study.sqlite                   all studies of the folder, unless another database is given
NAME/study.json                description of a study for people
NAME/pictures/NUMBER.png       its pictures, by number in the database
NAME/answers.csv               one row per trial, after an export
NAME/sessions.csv              one row per session
NAME/analysis.{json,txt}       results of an analysis
NAME/made.jsonl                hashes of exports and analyses, which reveal changes by hand
.NAME.part                     a study being created
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from amt.errors import AmtError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True)
class StudyFolder:
    """Files of one study."""

    folder: Path

    @property
    def description(self) -> Path:
        """Description: protocol, algorithms, items, origin of the pictures."""
        return self.folder / "study.json"

    @property
    def pictures(self) -> Path:
        """Folder of its pictures."""
        return self.folder / "pictures"

    def picture(self, number: int) -> Path:
        """File of a picture by its number in the database."""
        return self.pictures / f"{number}.png"

    @property
    def answers(self) -> Path:
        """Export with one row per shown trial."""
        return self.folder / "answers.csv"

    @property
    def sessions(self) -> Path:
        """Export with one row per session."""
        return self.folder / "sessions.csv"

    @property
    def analysis(self) -> Path:
        """Results of the analysis as JSON."""
        return self.folder / "analysis.json"

    @property
    def analysis_text(self) -> Path:
        """Results of the analysis as text."""
        return self.folder / "analysis.txt"


@dataclass(frozen=True)
class Studies:
    """A folder of studies."""

    folder: Path

    @property
    def database(self) -> Path:
        """SQLite file of the studies, unless a database URL is given."""
        return self.folder / "study.sqlite"

    @property
    def lock(self) -> Path:
        """Lock file of the server."""
        return self.folder / ".serving"

    def study(self, name: str) -> StudyFolder:
        """Folder of a study by name, whether or not it exists.

        Raises:
            AmtError: The name does not fit a link.
        """
        if not _NAME.fullmatch(name):
            raise AmtError(f"{name!r}: expected a study's name of a-z, 0-9 and -, at most 40; change it")
        return StudyFolder(self.folder / name)

    def unfinished(self, name: str) -> StudyFolder:
        """Folder of a study being created, renamed when it is complete."""
        return StudyFolder(self.folder / f".{name}.part")
