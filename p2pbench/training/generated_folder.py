"""Folders of generated pictures, with the record of each."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from fcn.segmenting import is_out_of_memory
from p2pbench.datasets import pictures
from p2pbench.datasets.dataset import A_TO_B, LABELS_TO_PHOTO, MOST_NAMED, Dataset, LabelledPhotos
from p2pbench.datasets.decoders import Picture
from p2pbench.datasets.label_images import refuse_train_ids
from p2pbench.datasets.pairs import Folders, PairedDataset
from p2pbench.datasets.survey import folder_lines
from p2pbench.errors import UserError
from p2pbench.runtime.device import device_errors
from p2pbench.runtime.interrupt import Stop, Stopped
from p2pbench.runtime.progress import QUIET, ProgressReporter
from p2pbench.runtime.result_tables import Displayed, ShownCell, ShownTable
from p2pbench.training.generator_file import GeneratorCard
from p2pbench.training.inference import PADDING, LoadedGenerator, Translator, load_generator
from reports.store import apart, atomic, json_files, layout
from reports.store.errors import checked_arguments
from reports.store.layout import Run, found_at
from reports.store.made import Made, digest
from reports.store.names import counted

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
        # By content: a picture of the same name may have been replaced since.
        for id_, path in there.items():
            if generation.inputs.get(id_) != earlier.inputs[id_]:
                what = "was made of another picture" if id_ in generation.inputs else "has no input any more"
                differences.append(f"{path.name} {what}")
        if differences:
            raise UserError(
                f"{folder}: holds pictures that were made otherwise: {'; '.join(differences[:MOST_NAMED])}"
                f"{'; ...' if len(differences) > MOST_NAMED else ''}. Name another, or overwrite all (--overwrite)"
            )
    write_generation(folder, generation)
    made = Made(folder)
    if not made:  # an older version kept no hashes
        for path in there.values():
            made.note(path, digest(path))
    return set(there), made


def _pictures(folder: Path, earlier: Generation | None) -> dict[str, Path]:
    """Find the pictures of an earlier call by id, and refuse foreign or replaced ones.

    Those in subfolders are foreign too, except the segmentations of scoring: who reads the folder reads them as well.
    """
    found: dict[str, Path] = {}
    made, ours = Made(folder), Run(folder, "", None).segmentations
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or ours in path.parents or path.suffix.lower() not in pictures.SUFFIXES:
            continue
        if (
            earlier is None
            or path.parent != folder
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


@dataclass(frozen=True, repr=False)
class Translated(Displayed):
    """Outcome of a folder's translation, by picture id; shows as a table.

    Attributes:
        out: The folder of the outputs.
        made: Number of pictures that this call made.
        kept: Number of pictures that an earlier call had made.
        failed: Why the others could not be made.
        kinds: The files used, by kind: channels, depth, and their conversion.
    """

    out: Path
    made: int
    kept: int
    failed: Mapping[str, str]
    kinds: Mapping[str, Sequence[str]]

    def remarks(self) -> list[str]:
        """Lines on kinds of files, if mixed or converted."""
        if len(self.kinds) < 2 and not any("," in kind for kind in self.kinds):
            return []
        return [_remark(kind, files) for kind, files in sorted(self.kinds.items())]

    def tables(self) -> list[ShownTable]:
        """One row of counts: made, kept, failed; the rest as notes."""
        counts = {"made": self.made, "made before": self.kept, "failed": len(self.failed)}
        rows = [[ShownCell(name), ShownCell(str(count))] for name, count in counts.items()]
        return [ShownTable(f"Outputs in {self.out}", ("", "pictures"), rows, [*self.failed.values(), *self.remarks()])]


@checked_arguments(UserError)
def generate(
    generator: str | Path | LoadedGenerator,
    inputs: str | Path,
    out: str | Path,
    *,
    overwrite: bool = False,
    reporter: ProgressReporter = QUIET,
    stop: Stop = False,
) -> Translated:
    """Translate every picture in a folder tree at its own size.

    Sides are mirrored up to multiples of the generator's stride and cut back afterwards, so that the aspect is kept;
    batch statistics are each picture's own. `generation.json` beside the pictures records how they were made. The same
    call resumes where it was stopped. A picture that cannot be used does not keep the others from being made: the
    result names it in `failed`.

    Args:
        generator: The folder of a finished run, a `generator.safetensors`, or what `load_generator` gives, with its
            device and test mode.
        inputs: Folder of the pictures.
        out: Folder to write to, one lossless picture per input, under its name.
        overwrite: Replace all pictures of an earlier call, if none was changed since.
        reporter: Receives progress, and lines on what may be wrong: values beyond the generator's range, flaws of its
            training.
        stop: Whether a stop is requested.

    Raises:
        UserError: the generator cannot be used, there are no pictures, `out` holds others, or cannot be written to.
        ReportError: `out` is, holds or lies in what is read, or nearly no value of the pictures lies within the
            generator's range.
        DeviceLost: the device stopped working; the same call resumes.
        Stopped: a stop was requested; the same call resumes.

    Example:
        >>> from p2pbench import generate
        >>> made = generate("results/losses/L1/seed-0", "results/losses/input/images", "photos")
        >>> made
        Outputs in photos
                     pictures
        made         3
        made before  0
        failed       0
        >>> made.failed
        {}
    """
    loaded = generator if isinstance(generator, LoadedGenerator) else load_generator(generator)
    folder, out = Path(inputs), Path(out)
    file, card, dataset = loaded.file, loaded.card, loaded.dataset
    for line in loaded.notes:
        reporter.say(line)
    files = _find_inputs(folder, out, file, reporter)
    if isinstance(dataset, LabelledPhotos) and dataset.direction == LABELS_TO_PHOTO:
        refuse_train_ids(dataset.table, list(files.values()))
    for line in folder_lines(list(files.values()), lambda path: loaded.input_of(path)[0], card.input_range, str(file)):
        reporter.say(line)
    generation = Generation(
        generator=file.name,
        sha256=digest(file),
        padding=PADDING,
        card=card,
        inputs={id_: digest(path) for id_, path in files.items()},
    )
    earlier, made = begin(out, generation, overwrite=overwrite)
    failed: dict[str, str] = {}
    kinds: dict[str, list[str]] = {}
    count, pair_seen = 0, False
    device = next(loaded.network.parameters()).device
    with device_errors(device), Translator(loaded.network, card, dataset).open() as translate:
        for done, (id_, path) in enumerate(files.items(), 1):
            if id_ not in earlier:
                try:
                    values, kind = loaded.input_of(path)
                    if not pair_seen and (pair_seen := _may_be_pair(values, dataset)):
                        reporter.say(_pair_remark(path, dataset))
                    picture = translate(values, id_)
                except UserError as error:
                    failed[id_] = str(error)
                except RuntimeError as error:
                    if not is_out_of_memory(error):
                        raise
                    failed[id_] = f"{path}: is too large for the memory there is; cut it into tiles"
                else:
                    pictures.write(out / id_, picture, made.note)
                    count += 1
                    kinds.setdefault(kind, []).append(path.relative_to(folder).as_posix())
            reporter.count("pictures", done, len(files))
            if stop and done < len(files):
                more = " without --overwrite" if overwrite else ""
                raise Stopped(
                    f"{out}: stopped; {count + len(earlier)} of {len(files)} pictures are made, and the same "
                    f"command{more} makes the rest"
                )
    total = count + len(earlier)
    write_generation(out, generation.model_copy(update={"failed": failed, "pictures": total}))
    return Translated(out, count, len(earlier), failed, kinds)


def _find_inputs(folder: Path, out: Path, generator_file: Path, reporter: ProgressReporter) -> dict[str, Path]:
    """Find the pictures by id, and refuse an output folder that holds or lies in what is read."""
    if not folder.is_dir():
        raise UserError(f"{folder}: {found_at(folder)}, expected a folder of pictures; check the path")
    apart.check(out, [folder, generator_file])
    passed_over: Counter[str] = Counter()
    inputs = pictures.find_recursive(folder, passed_over)
    if line := pictures.passed_over_line(folder, passed_over):
        reporter.say(line)
    if not inputs:
        raise UserError(f"{folder}: found no pictures; expected PNG, JPEG or TIFF files in it or below it")
    apart.check(out, inputs.values())  # which may be linked from elsewhere
    return inputs


def _remark(kind: str, files: Sequence[str]) -> str:
    more = ", ..." if len(files) > MOST_NAMED else ""
    return f"{counted(len(files), 'picture')} of {kind}: {', '.join(files[:MOST_NAMED])}{more}"


def _may_be_pair(values: Picture, dataset: Dataset) -> bool:
    """Whether an input of a generator of pairs has the shape of a whole pair, A|B side by side."""
    return isinstance(dataset, (PairedDataset, Folders)) and values.shape[1] == 2 * values.shape[0]


def _pair_remark(path: Path, dataset: Dataset) -> str:
    side, half = ("A", "left") if dataset.direction == A_TO_B else ("B", "right")
    return (
        f"{path}: is twice as wide as high, and taken as one picture; "
        f"if it is A|B side by side, give {side} alone, its {half} half"
    )
