"""Output folder of `generate`: pictures and their record."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from p2pbench.datasets import pictures
from p2pbench.datasets.dataset import MOST_NAMED
from p2pbench.errors import UserError
from p2pbench.training.generator_file import GeneratorCard
from reports.store import atomic, json_files, layout
from reports.store.made import Made, digest

GENERATION = "generation.json"


class Generation(BaseModel):
    """generation.json: how the pictures beside it were made.

    Attributes:
        generator: The generator's file name.
        sha256: Of that file.
        padding: Rule that brings sides to multiples of the generator's stride.
        card: The generator's card, in the test mode used.
        inputs: SHA-256 of every input's file by its id, which is the stem of its output picture.
        failed: Why an input has no picture, by id; the others have one once the call is over.
        pictures: Number of pictures; 0 until the call is over.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    generator: str
    sha256: str
    padding: str
    card: GeneratorCard
    inputs: dict[str, str]
    failed: dict[str, str] = {}
    pictures: int = 0

    def differences(self, other: Generation) -> list[str]:
        """List how another record's pictures were made differently."""
        found = [] if self.sha256 == other.sha256 else [f"the generator was another file, {self.generator}"]
        if self.padding != other.padding:
            found.append(f"padding was {self.padding}")
        was, is_ = self.card.model_dump(), other.card.model_dump()
        return found + [f"{key} was {was[key]}, is {is_[key]}" for key in is_ if was[key] != is_[key]]


def write_generation(folder: Path, generation: Generation) -> None:
    """Write generation.json, whole or not at all."""
    atomic.write(folder / GENERATION, json.dumps(generation.model_dump(mode="json"), indent=1).encode() + b"\n")


def begin(folder: Path, generation: Generation, *, overwrite: bool) -> tuple[set[str], Made]:
    """Prepare a folder for pictures, and write their record into it.

    Pictures of an earlier call stay if that was the same call: the same generator and test mode, unchanged inputs.
    Pictures that no record names are never touched.

    Args:
        folder: The folder, which need not exist.
        generation: The record to write.
        overwrite: Whether to remove all pictures of an earlier call, whatever generator made them.

    Returns:
        The ids of the pictures that are there already, and the hashes of all written files.

    Raises:
        UserError: The folder holds other pictures, or those of another call and they may not be replaced.
        ReportError: Its record is damaged, or of an older version.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; expected a folder for the pictures; name another")
    earlier = _read(folder) if (folder / GENERATION).exists() else None
    there = _pictures(folder, earlier)
    if earlier is not None and overwrite:
        for path in there.values():
            path.unlink()
        (folder / layout.RECORD).unlink(missing_ok=True)
        there = {}
    elif earlier is not None and there:
        differences = earlier.differences(generation)
        for id_, path in there.items():
            if generation.inputs.get(id_) != earlier.inputs[id_]:
                what = "was made of another picture" if id_ in generation.inputs else "has no input any more"
                differences.append(f"{path.name} {what}")
        if differences:
            raise UserError(
                f"{folder}: holds pictures that were made otherwise: {'; '.join(differences[:MOST_NAMED])}"
                f"{'; ...' if len(differences) > MOST_NAMED else ''}. Name another folder, or replace all: --overwrite"
            )
    write_generation(folder, generation)
    made = Made(folder)
    if not made:  # an older version kept no hashes
        for path in there.values():
            made.note(path, digest(path))
    return set(there), made


def _pictures(folder: Path, earlier: Generation | None) -> dict[str, Path]:
    """Find the pictures of an earlier call by id, and refuse foreign or replaced ones."""
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


def _read(folder: Path) -> Generation:
    return json_files.read(
        folder / GENERATION, Generation, "damaged, or of an older version: name another folder, or delete this one"
    )
