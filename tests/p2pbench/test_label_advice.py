"""What `label-score` advises about label maps that it refuses, and says where files speak against `--read`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from fcn.labels import CITYSCAPES
from p2pbench.scoring.label_files import COLOURS, NUMBERINGS
from tests.p2pbench.label_files import (
    ITEMS,
    VOC,
    Ids,
    Save,
    error,
    exact,
    grey,
    name,
    outputs,
    predicted,
    remarks,
    score,
    three,
    train_ids,
    with_palette,
)


def deep(path: Path, ids: Ids, factor: int = 1) -> None:
    grey(path, ids.astype(np.uint16) * factor)


def instances(path: Path, ids: Ids) -> None:
    """As Cityscapes keeps them: people and vehicles numbered, all else by its label id."""
    deep_ids = ids.astype(np.uint16)
    grey(path, np.where(ids >= 24, deep_ids * 1000 + 3, deep_ids))


def permuted(path: Path, ids: Ids) -> None:
    """The table's colours by indices that are ids of other colours."""
    with_palette(CITYSCAPES.to_colours(np.arange(34)[::-1]).astype(np.uint8))(path, 33 - ids)


def other_palette(path: Path, ids: Ids) -> None:
    """Another palette for each file."""
    with_palette(np.roll(VOC, int(path.stem.split("_")[1]), axis=0))(path, ids)


REFUSED: dict[str, tuple[Save, Save]] = {  # how most files are kept, and how the last is
    "ids times 1000": (lambda path, ids: deep(path, ids, 1000),) * 2,
    "instances": (instances, instances),
    "instances and ids": (instances, grey),
    "instances and colours": (instances, lambda path, ids: grey(path, exact(ids))),
    "JPEG": (lambda path, ids: grey(path.with_suffix(".jpg"), ids),) * 2,
    "JPEG in three channels": (lambda path, ids: three(path.with_suffix(".jpg"), ids),) * 2,
    "JPEG and PNG": (lambda path, ids: grey(path.with_suffix(".jpg"), ids), grey),
    "ids and colours": (grey, lambda path, ids: grey(path, exact(ids))),
    "ids and a permuted palette": (grey, permuted),
    "brighter": (lambda path, ids: grey(path, ids * 7),) * 2,
    "brighter in three channels": (lambda path, ids: three(path, ids * 7),) * 2,
    "16 bits, brighter": (lambda path, ids: deep(path, ids, 70),) * 2,
    "palettes that differ": (other_palette, other_palette),
    "a palette of no ids": (lambda path, ids: with_palette(VOC)(path, ids + 60),) * 2,
    "two numberings": (grey, train_ids(19)),
    "black": (lambda path, ids: grey(path, ids * 0),) * 2,
    "black in three channels": (lambda path, ids: three(path, ids * 0),) * 2,
    "other colours": (lambda path, ids: grey(path, VOC[ids]),) * 2,
}


@pytest.mark.long
@pytest.mark.parametrize("kept", REFUSED)
def test_advice_can_be_followed(kept: str, cityscapes: Path, tmp_path: Path) -> None:
    """Each reading that a refusal names succeeds, and a reading that is refused is not told to be another."""
    folder, labels = tmp_path / "theirs", f"cityscapes:{cityscapes}"
    folder.mkdir()
    for frame in range(ITEMS):
        REFUSED[kept][frame == ITEMS - 1](folder / f"{name(frame)}.png", predicted(frame))
    said = error(folder, "--labels", labels, "--out", tmp_path / "out")
    advised = re.findall(r"--read ([a-z0-9-]+)", said)
    for reading in (COLOURS, *NUMBERINGS):
        result = score(folder, "--labels", labels, "--out", tmp_path / "out", "--read", reading)
        if reading in advised:
            assert result.exit_code == 0, result.exception
        elif result.exit_code:
            assert set(re.findall(r"--read ([a-z0-9-]+)", str(result.exception))) <= {
                reading,
                "out",
            }  # "leave --read out"


@pytest.mark.parametrize("kept", ["ids times 1000", "instances", "instances and ids"])
def test_ids_of_instances_are_called_so(kept: str, cityscapes: Path, tmp_path: Path) -> None:
    folder, labels = tmp_path / "theirs", f"cityscapes:{cityscapes}"
    folder.mkdir()
    for frame in range(ITEMS):
        REFUSED[kept][frame == ITEMS - 1](folder / f"{name(frame)}.png", predicted(frame))
    mend = "; these look like instance ids, label id * 1000 + number: divide those from 1000 on by 1000"
    assert error(folder, "--labels", labels).endswith(mend)
    assert error(folder, "--labels", labels, "--read", "label-ids").endswith(mend)


def test_sixteen_bits_are_shown_and_held_to_the_table_as_stored(cityscapes: Path, tmp_path: Path) -> None:
    """Their upper 8 bits are 0, which is a grey of the table: ids of 16 bits were all void as colours."""
    labels = f"cityscapes:{cityscapes}"
    folder = outputs(tmp_path / "ids", deep)
    said = error(folder, "--labels", labels, "--read", "colours")
    values = sorted(set(np.unique(predicted(0)).tolist()) - {0})
    assert f"{name(0)}.png: found one channel (values {', '.join(map(str, values[:10]))}" in said
    folder = outputs(tmp_path / "thousands", lambda path, ids: deep(path, ids, 1000))
    said = error(folder, "--labels", labels, "--read", "colours")
    assert f"found one channel (values {values[0] * 1000}, {values[1] * 1000}, " in said
    folder = outputs(tmp_path / "buildings", lambda path, ids: deep(path, np.full_like(ids, 70), 257))
    assert score(folder, "--labels", labels).exit_code == 0


AGAINST: dict[str, tuple[Save, str, str]] = {
    "train ids, 255": (train_ids(255), "label-ids", "train ids and {} as label ids"),
    "train ids, 19": (train_ids(19), "train-ids-from-1", "train ids and {} as train ids plus 1"),
    "train ids, 0": (train_ids(0), "train-ids", "train ids plus 1 and {} as train ids"),
    "label ids in three channels": (three, "colours", "label ids and {} as colours"),
    "the table's colours": (permuted, "label-ids", "colours and {} as label ids"),
}


@pytest.mark.parametrize("kept", AGAINST)
def test_a_reading_against_the_true_labels_is_obeyed_and_said(kept: str, cityscapes: Path, tmp_path: Path) -> None:
    save, asked, said = AGAINST[kept]
    folder, labels = outputs(tmp_path / "theirs", save), f"cityscapes:{cityscapes}"
    result = score(folder, "--labels", labels, "--read", asked)
    assert result.exit_code == 0
    doubts = [line for line in remarks(result) if "but 3 of 3 pictures look like another kind" in line]
    assert len(doubts) == 1
    pattern = re.escape(said).replace(re.escape("{}"), r"\d+%")
    assert re.search(rf"\({name(0)}\.png, of whose labelled pixels agree \d+% as {pattern}\)$", doubts[0])


@pytest.mark.parametrize("strays", [0, 1])
def test_only_files_that_speak_against_it_are_counted(strays: int, cityscapes: Path, tmp_path: Path) -> None:
    folder = outputs(tmp_path / "theirs", grey)
    for frame in range(strays):
        train_ids(19)(folder / f"{name(frame)}.png", predicted(frame))
    result = score(folder, "--labels", f"cityscapes:{cityscapes}", "--read", "label-ids")
    assert ("but 1 of 3 pictures looks like another kind" in result.stderr) == (strays == 1)
    assert ("another kind" in result.stderr) == (strays == 1)
