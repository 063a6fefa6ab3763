"""Outputs of any model in a folder, matched to items.

Naming schemes follow the code of pytorch-CycleGAN-and-pix2pix (`util/visualizer.py`, `models/`), pix2pix-tensorflow
(`pix2pix.py`) and pix2pixHD (`util/visualizer.py`), which append the kind of picture to the input's name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from p2pbench.datasets import label_images, pictures, transforms
from p2pbench.datasets.dataset import MOST_NAMED, item_hash
from p2pbench.datasets.transforms import Range
from p2pbench.errors import UserError
from p2pbench.scoring.scorer import Outputs
from reports.store import apart
from reports.store.layout import Run
from reports.store.names import counted, item_id
from reports.store.picture import to_eight_bits
from reports.store.ranges import shown

if TYPE_CHECKING:
    from p2pbench.scoring.truth import Truth


class Scheme(NamedTuple):
    """Naming scheme of a tool.

    Attributes:
        name: Its name in the protocol.
        endings: Endings of the stem that mark an output; the first that any file has is taken. Stems with another
            ending, such as _real_A, are other pictures of the tool.
    """

    name: str
    endings: tuple[str, ...]


SCHEMES = (
    # CycleGAN translates in both directions: fake_A is the output only if there is no fake_B.
    Scheme("pytorch-CycleGAN-and-pix2pix", ("_fake_B", "_fake_A", "_fake")),
    Scheme("pix2pix-tensorflow", ("-outputs",)),
    Scheme("pix2pixHD", ("_synthesized_image",)),
    Scheme("segmentation tools", ("_pred",)),
)


# An item of Cityscapes is CITY_SHOT_FRAME; tools keep the rest of the input's name in front of their own ending.
PHOTO_ENDING = "_leftImg8bit"
_INPUT_ENDING = re.compile(rf"({PHOTO_ENDING}|_gtFine_[A-Za-z]+)$")
_JPEG, _WEBP_LOSSY = b"\xff\xd8\xff", b"WEBPVP8 "  # lossless WebP has VP8L, an extended file VP8X


@dataclass(frozen=True)
class OutputFiles:
    """Outputs found in a folder.

    Attributes:
        files: Files by item id, sorted.
        scheme: The form of their names and the tool, for the protocol.
        lossy: Files in JPEG or lossy WebP, which changes scores.
        passed_over: Line on other files of the folder, by reason; empty if there are none.
    """

    files: dict[str, Path]
    scheme: str
    lossy: list[Path]
    passed_over: str = ""

    def extra(self, expected: Collection[str]) -> list[Path]:
        """Outputs that belong to no expected item."""
        wanted = set(expected)
        return [path for id_, path in self.files.items() if id_ not in wanted]


def find_outputs(folder: Path, expected: Collection[str] = ()) -> OutputFiles:
    """Find the outputs in a folder and its subfolders.

    Hidden files are skipped.

    An output in a subfolder `deep` is of the item `deep__X`, as items in folders are called, if that is expected, else
    of the item `X`. If a tool's outputs are among the pictures, only they count, not its other pictures. Label maps
    that a scorer wrote beside its scores do not count.

    Raises:
        UserError: The folder is missing or holds no outputs, those of two tools, or two of one item; or another
            picture has the plain name of an item, so it may be the intended output.
    """
    passed_over: Counter[str] = Counter()
    candidates = pictures.find_recursive(folder, passed_over).values()
    paths = [path for path in candidates if label_images.source_of_label_image(path) is None]
    if not paths:
        raise UserError(f"{folder}: found no pictures, expected a model's outputs as PNG or JPEG; check the path")
    name, ending = _recognise(folder, paths)
    files: dict[str, Path] = {}
    ids = set(expected)
    others = [path for path in paths if not path.stem.endswith(ending)]
    for path in paths:
        if path.stem.endswith(ending):
            id_ = _item(path.relative_to(folder), ending, ids)
            other = files.setdefault(id_, path)
            if other != path:
                raise UserError(
                    f"{other} and {path}: both are outputs of item {id_!r}; "
                    "give the folder of one model's outputs, or rename or remove one"
                )
    for path in others:
        id_ = _item(path.relative_to(folder), "", ids)
        if id_ in files:
            raise UserError(
                f"{files[id_]} and {path}: both may be the output of item {id_!r}; "
                "give a folder of outputs alone, or rename or remove one"
            )
    if others:
        passed_over[f"pictures not named {name}"] += len(others)
    lossy = sorted(path for path in files.values() if is_lossy(path))
    return OutputFiles(dict(sorted(files.items())), name, lossy, pictures.passed_over_reasons(passed_over))


def _item(path: Path, ending: str, expected: set[str]) -> str:
    """Item id of an output, with as many folder names as an expected item has."""
    *above, _ = path.parts
    last = _INPUT_ENDING.sub("", path.stem.removesuffix(ending))
    ids = [item_id("__".join([*above[start:], last])) for start in range(len(above) + 1)]
    return next((id_ for id_ in ids if id_ in expected), ids[-1])


def match_outputs(
    outputs: OutputFiles, expected: Collection[str], where: Path | str, *, allow_partial: bool
) -> dict[str, Path]:
    """Match outputs to expected items, by id, sorted; `OutputFiles.extra` has the others.

    Args:
        outputs: The outputs found.
        expected: The ids of all items, at least one.
        where: The folder, for messages.
        allow_partial: Whether some may be missing.

    Raises:
        UserError: No output is of an expected item, or some are missing and may not be.
    """
    wanted = set(expected)
    matched = {id_: path for id_, path in outputs.files.items() if id_ in wanted}
    missing = sorted(wanted - matched.keys())
    if not matched:
        raise UserError(
            f"{where}: none of {counted(len(outputs.files), 'output')} is of one of {counted(len(missing), 'item')}; "
            f"found {_examples(outputs.files)}, expected {_examples(missing)}; name each output after its item"
        )
    if missing and not allow_partial:
        raise UserError(
            f"{where}: {len(missing)} of {counted(len(wanted), 'output')} missing: {_examples(missing, MOST_NAMED)}; "
            "make them, or allow partial outputs (--allow-partial) to score what is there"
        )
    return matched


@dataclass(frozen=True)
class PlainFolder:
    """A plain folder of any model's outputs, to be scored against labels.

    Attributes:
        folder: The output pictures.
        truth: The labels that they are compared with; nothing is written into their folder.
        out: The folder that gets `scores/` and `segmentations/`.
        allow_partial: Whether some outputs may be missing.
    """

    folder: Path
    truth: Truth
    out: Path
    allow_partial: bool = False


def folder_outputs(plain: PlainFolder) -> Outputs:
    """Gather the outputs in a plain folder.

    Raises:
        UserError: No output is of a test item, some are missing and may not be, or a user's picture is where a label
            map goes, as may be in any folder of outputs.
        ReportError: `out` is, holds or lies in the folder of the labels.
    """
    folder, truth = plain.folder, plain.truth
    outputs = find_outputs(folder, truth.items)
    files = match_outputs(outputs, truth.items, folder, allow_partial=plain.allow_partial)
    run = Run(plain.out, folder.resolve().name, None)
    if truth.dataset.needs_root:
        # Inside the folder of outputs they do no harm: `find_outputs` recognises and skips them.
        for written in (run.scores, run.segmentations):
            apart.check(written, [truth.dataset.root])
    for id_ in files:
        label_images.check_label_image_free(run.segmentations / f"{id_}.png")
    return Outputs(
        run,
        str(folder),
        files,
        len(truth.items),
        _folder_origin(outputs, truth),
        clusters=truth.clusters,
        truth=truth,
        notes=folder_notes(outputs, truth),
    )


def _folder_origin(outputs: OutputFiles, truth: Truth) -> dict[str, object]:
    """Known origin of a plain folder's outputs; `records.origin` is that of runs."""
    return {
        "data": f"{truth.dataset.name}, {len(truth.items)} test items ({item_hash(list(truth.items.values()))})",
        "data_note": truth.dataset.note,
        "truth": truth.content,
        "names": outputs.scheme,
        "file_format": "JPEG or lossy WebP" if outputs.lossy else "lossless",
    }


def folder_notes(outputs: OutputFiles, truth: Truth) -> list[str]:
    """Lines for the user on a folder's files."""
    notes = [*truth.dataset.remarks, *truth.notices, *filter(None, [outputs.passed_over])]
    if outputs.lossy:
        first = outputs.lossy[0].name
        notes.append(f"{outputs_are(outputs.lossy)} JPEG or lossy WebP, such as {first}: colours changed; save PNG")
    if extra := outputs.extra(truth.items):
        notes.append(f"{outputs_are(extra)} of no test item and left out, such as {extra[0].name}")
    return notes


def outputs_are(affected: Sequence[object]) -> str:
    """Beginning of a note on outputs: number and verb."""
    return "1 output is" if len(affected) == 1 else f"{len(affected)} outputs are"


def read_output(path: Path, ends: Range | None = None) -> tuple[NDArray[np.uint8], str]:
    """Read an output as RGB of 8 bits.

    Grey is repeated, alpha dropped, and of 16 bits the upper 8 are kept.

    Args:
        path: The file.
        ends: The values that become 0 and 255, for any depth; those beyond are clipped.

    Returns:
        Pixels (H, W, 3), and the conversion for the protocol, "" for a picture that was RGB of 8 bits.

    Raises:
        UserError: As `pictures.read`; also for two channels without alpha, or more than four.
    """
    picture = pictures.read(path)
    changed = ["cut to 8 bits"] if picture.dtype != np.uint8 else []
    if ends is not None:
        changed = [f"{shown(ends)} scaled to 8 bits"]
    if picture.shape[2] == 4 or pictures.header(path).alpha:
        picture = picture[..., :-1] if picture.shape[2] in (2, 4) else picture
        changed.append("alpha dropped")
    if picture.shape[2] == 1:
        changed.append("grey repeated")
    return to_eight_bits(transforms.convert(picture, 3, str(path)), ends), ", ".join(sorted(changed))


def _recognise(folder: Path, paths: list[Path]) -> tuple[str, str]:
    """Naming scheme of the outputs, and the ending of their stems."""
    present = []
    for scheme in SCHEMES:
        ending = next((end for end in scheme.endings if any(path.stem.endswith(end) for path in paths)), None)
        if ending is not None:
            present.append((f"NAME{ending} ({scheme.name})", ending))
    if len(present) > 1:
        names = " and ".join(name for name, _ in present)
        raise UserError(f"{folder}: found outputs named {names}, expected one kind; give the folder of one model")
    if present:
        return present[0]
    if any(path.stem.endswith(PHOTO_ENDING) for path in paths):
        return f"NAME{PHOTO_ENDING}", PHOTO_ENDING
    return "NAME", ""


def is_lossy(path: Path) -> bool:
    """Whether a picture is a JPEG or lossy WebP."""
    with path.open("rb") as file:
        start = file.read(16)
    return start.startswith(_JPEG) or start[8:] == _WEBP_LOSSY


def _examples(ids: Iterable[str], most: int = 3) -> str:
    names = list(ids)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
