"""The folder that `generate` writes into: its pictures, and the record of what made them."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from p2pbench.datasets import pictures
from p2pbench.datasets.dataset import MOST_NAMED
from p2pbench.errors import UserError
from p2pbench.training.generator_file import GeneratorCard
from reports.store import atomic, json_files
from reports.store.layout import RECORD as RECORD_OF_PICTURES
from reports.store.made import Made, digest

RECORD = "generation.json"


class Record(BaseModel):
    """generation.json: what the pictures beside it are.

    Attributes:
        generator: The generator's file name.
        sha256: Of that file.
        padding: How sides are brought to multiples of the generator's stride.
        card: How the generator was used.
        inputs: The SHA-256 of every input's file by its id, which is the stem of the picture made of it.
        failed: Why an input has no picture, by id; the others have one once the call is over.
        pictures: How many there are; 0 until the call is over.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    generator: str
    sha256: str
    padding: str
    card: GeneratorCard
    inputs: dict[str, str]
    failed: dict[str, str] = {}
    pictures: int = 0

    def differences(self, other: Record) -> list[str]:
        """How another record's pictures were made otherwise."""
        found = [] if self.sha256 == other.sha256 else [f"the generator was another file, {self.generator}"]
        if self.padding != other.padding:
            found.append(f"padding was {self.padding}")
        was, is_ = self.card.model_dump(), other.card.model_dump()
        return found + [f"{key} was {was[key]}, is {is_[key]}" for key in is_ if was[key] != is_[key]]


def write_record(folder: Path, record: Record) -> None:
    """Write generation.json, whole or not at all."""
    atomic.write(folder / RECORD, json.dumps(record.model_dump(mode="json"), indent=1).encode() + b"\n")


def begin(folder: Path, record: Record, *, overwrite: bool) -> tuple[set[str], Made]:
    """Make a folder ready for the pictures of a record, and write the record into it.

    Pictures of an earlier call stay if that was the same: made by the same generator in the same way, of inputs that
    are still what they were. Pictures that no record names are never touched.

    Args:
        folder: The folder, which need not exist.
        record: What will be made.
        overwrite: Whether to remove all pictures of an earlier call, whatever generator made them.

    Returns:
        The ids of the pictures that are there already, and the record of what they hold.

    Raises:
        UserError: The folder holds other pictures, or those of another call and they may not be replaced.
        ReportError: Its record is damaged, or of an older version.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; expected a folder for the pictures; name another")
    earlier = _read(folder) if (folder / RECORD).exists() else None
    there = _pictures(folder, earlier)
    if earlier is not None and overwrite:
        for path in there.values():
            path.unlink()
        (folder / RECORD_OF_PICTURES).unlink(missing_ok=True)
        there = {}
    elif earlier is not None and there:
        differences = earlier.differences(record)
        for id_, path in there.items():
            if record.inputs.get(id_) != earlier.inputs[id_]:
                what = "was made of another picture" if id_ in record.inputs else "has no input any more"
                differences.append(f"{path.name} {what}")
        if differences:
            raise UserError(
                f"{folder}: holds pictures that were made otherwise: {'; '.join(differences[:MOST_NAMED])}"
                f"{'; ...' if len(differences) > MOST_NAMED else ''}. Name another folder, or replace all: --overwrite"
            )
    write_record(folder, record)
    made = Made(folder)
    if not made:  # an older version kept no hashes
        for path in there.values():
            made.note(path, digest(path))
    return set(there), made


def _pictures(folder: Path, earlier: Record | None) -> dict[str, Path]:
    """The pictures of an earlier call by id; refuses those that it did not make, or that were replaced since."""
    found: dict[str, Path] = {}
    made = Made(folder)
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() not in pictures.SUFFIXES or path.name.startswith("."):
            continue
        if (
            earlier is None
            or path.stem not in earlier.inputs
            or path.suffix not in pictures.WRITTEN
            or path.stem in found
        ):
            raise UserError(
                f"{path}: was there before, and no earlier call made it; expected a folder without other pictures; "
                "name another folder"
            )
        if made and not made.holds(path):
            raise UserError(
                f"{path}: was replaced since an earlier call made it; move it away, and the same command makes it again"
            )
        found[path.stem] = path
    return found


def _read(folder: Path) -> Record:
    return json_files.read(
        folder / RECORD, Record, "damaged, or of an older version: name another folder, or delete this one"
    )
