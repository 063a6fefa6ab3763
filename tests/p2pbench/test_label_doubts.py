"""`label-score` on label maps that may be several things: decided by the true labels, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fcn.labels import CITYSCAPES
from p2pbench.scoring.label_files import NUMBERINGS
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
    score,
    three,
    train_ids,
    with_palette,
)


def test_a_mixture_is_named_with_counts(cityscapes: Path, tmp_path: Path) -> None:
    folder = outputs(tmp_path / "theirs", grey)
    grey(folder / f"{name(1)}.png", CITYSCAPES.to_colours(predicted(1)))
    labels = f"cityscapes:{cityscapes}"
    said = error(folder, "--labels", labels)
    assert said.startswith(f"{folder}: found 2 pictures of ids ({name(0)}.png: ")
    assert f" and 1 picture in colours ({name(1)}.png), expected label maps of one kind" in said
    assert said.endswith("; convert or remove what is not")  # no reading fits both
    assert sorted(folder.iterdir()) == [folder / f"{name(frame)}.png" for frame in range(ITEMS)]  # nothing was written
    assert f"{name(1)}.png: found colours, expected label ids" in error(
        folder, "--labels", labels, "--read", "label-ids"
    )
    for frame in range(ITEMS):
        grey(folder / f"{name(frame)}.png", predicted(frame) + 60)
    said = error(folder, "--labels", labels)
    assert f"found 3 pictures in grey ({name(0)}.png: 60, 61," in said
    said = error(folder, "--labels", labels, "--read", "colours")
    assert f"{name(0)}.png: found one channel (values 60, 61," in said


@pytest.mark.parametrize("other", [train_ids(255), train_ids(19), train_ids(0)], ids=["255", "19", "0"])
@pytest.mark.parametrize("strays", [[1], [0, 2]])
@pytest.mark.parametrize("right", [1.0, 0.3])
def test_files_of_another_numbering_are_named(
    right: float, strays: list[int], other: Save, cityscapes: Path, tmp_path: Path
) -> None:
    """Train ids are nearly all label ids, too: only the true labels tell, of a poor model as well."""

    def poor(frame: int) -> Ids:
        noise = np.random.default_rng(frame)
        wrong = noise.choice(np.array([7, 8, 11, 21, 23, 26], np.uint8), (64, 64))
        return np.where(noise.random((64, 64)) < right, predicted(frame), wrong).astype(np.uint8)

    folder = outputs(tmp_path / "theirs", grey)
    for frame in range(ITEMS):
        (other if frame in strays else grey)(folder / f"{name(frame)}.png", poor(frame))
    said = error(folder, "--labels", f"cityscapes:{cityscapes}")
    counted = (
        f"{ITEMS - len(strays)} {'picture' if len(strays) == 2 else 'pictures'} in label ids, {len(strays)} in another"
    )
    assert said.startswith(f"{folder}: found ids of two numberings, {counted} (")
    assert f"{name(strays[0])}.png, of whose labelled pixels agree " in said
    result = score(folder, "--labels", f"cityscapes:{cityscapes}", "--read", "label-ids")
    assert result.exit_code == 0


def test_one_blank_file_is_of_any_numbering(cityscapes: Path, tmp_path: Path) -> None:
    for kept, save in (("label ids", grey), ("train ids", train_ids(255))):
        folder = outputs(tmp_path / kept, save)
        grey(folder / f"{name(1)}.png", np.zeros((64, 64), np.uint8))
        result = score(folder, "--labels", f"cityscapes:{cityscapes}")
        assert f"read as {kept}: 3 pictures of values 0" in result.stderr, result.exception


GREYS: dict[str, Save] = {
    "JPEG": lambda path, ids: grey(path.with_suffix(".jpg"), ids),
    "JPEG of three channels": lambda path, ids: three(path.with_suffix(".jpg"), ids),
    "WebP": lambda path, ids: three(path.with_suffix(".webp"), ids),
    "JPEG, brighter": lambda path, ids: grey(path.with_suffix(".jpg"), ids * 7),
    "three channels, brighter": lambda path, ids: three(path, ids * 7),
}


@pytest.mark.parametrize("kept", GREYS)
def test_greys_are_no_colours(kept: str, cityscapes: Path, tmp_path: Path) -> None:
    """Ids that were brightened to be looked at, or whose values a lossy format has changed."""
    folder = outputs(tmp_path / "theirs", GREYS[kept])
    said = error(folder, "--labels", f"cityscapes:{cityscapes}")
    loss = kept.startswith(("JPEG", "WebP"))
    assert said.startswith(f"{folder}: found 3 pictures in grey{', and kept with loss' if loss else ''} ({name(0)}.")
    assert "expected label maps of one kind, ids or the colours of cityscapes label ids" in said


def test_greys_of_the_table_are_colours(cityscapes: Path, tmp_path: Path) -> None:
    """Programs that shrink PNG files keep a picture of buildings alone in one channel."""
    folder = outputs(tmp_path / "theirs", lambda path, ids: grey(path, CITYSCAPES.to_colours(ids)))
    grey(folder / f"{name(1)}.png", np.full((64, 64), 70, np.uint8))
    result = score(folder, "--labels", f"cityscapes:{cityscapes}")
    assert result.exit_code == 0
    assert "(grey repeated)" in result.stderr


def test_palettes_that_differ_are_no_ids(cityscapes: Path, tmp_path: Path) -> None:
    folder = outputs(tmp_path / "theirs", with_palette(VOC))
    with_palette(VOC[::-1].copy())(folder / f"{name(2)}.png", predicted(2))
    said = error(folder, "--labels", f"cityscapes:{cityscapes}")
    assert "found palettes that differ (index " in said
    assert f"in {name(2)}.png), expected one palette" in said
    result = score(folder, "--labels", f"cityscapes:{cityscapes}", "--read", "label-ids")
    assert result.exit_code == 0


@pytest.mark.long
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "of values 0, which may be label ids or train ids, expected"),  # black in one channel may be anything
        (8, "which may be label ids or train ids or train ids plus 1 (of the labelled pixels agree "),
        (18, "of values 18, which may be label ids or train ids or train ids plus 1 (of the labelled pixels agree 0% "),
    ],
)
def test_maps_of_one_class_are_refused_where_they_may_be_anything(
    value: int, said: str, cityscapes: Path, tmp_path: Path
) -> None:
    folder = outputs(tmp_path / "theirs", lambda path, ids: grey(path, np.full_like(ids, value)))
    line = error(folder, "--labels", f"cityscapes:{cityscapes}")
    assert said in line
    assert "give --read label-ids or --read train-ids" in line
    shown = [score(folder, "--labels", f"cityscapes:{cityscapes}", "--read", read).stdout for read in NUMBERINGS]
    assert all("3 of 3 items" in text for text in shown)


def test_maps_of_one_class_that_agree_are_read(tmp_path: Path) -> None:
    root, folder = tmp_path / "cityscapes" / "gtFine" / "val" / "ulm", tmp_path / "theirs"
    root.mkdir(parents=True)
    folder.mkdir()
    grey(root / f"{name(0)}_gtFine_labelIds.png", np.full((8, 8), 7, np.uint8))
    for value, reading in ((7, "label ids"), (1, "train ids plus 1")):
        grey(folder / f"{name(0)}.png", np.full((8, 8), value, np.uint8))
        result = score(folder, "--labels", f"cityscapes:{tmp_path / 'cityscapes'}")
        assert f"read as {reading}: 1 picture of values {value}; " in result.stderr
        assert "strict    1.000" in result.stdout


@pytest.mark.parametrize(("void", "options"), [(0, "--read colours or --read label-ids"), (255, "--read label-ids")])
def test_black_and_white_in_three_channels_may_be_anything(
    void: int, options: str, cityscapes: Path, tmp_path: Path
) -> None:
    """A model that knows road alone gives such train ids."""
    folder = outputs(tmp_path / "theirs", lambda path, ids: three(path, np.where(ids == 7, 0, void).astype(np.uint8)))
    said = error(folder, "--labels", f"cityscapes:{cityscapes}")
    assert f"found 3 pictures of values {'0, 255' if void else '0'}, which may be " in said
    assert said.endswith(f"; give {options} or --read train-ids")


COLOURS: dict[str, tuple[Save, str]] = {
    "ids in red": (lambda path, ids: grey(path, np.dstack([ids, 0 * ids, 0 * ids])), "14 colours, 1"),
    "BGR": (lambda path, ids: grey(path, CITYSCAPES.to_colours(ids)[..., ::-1].copy()), "12 colours, 5"),
    "others": (lambda path, ids: grey(path, VOC[ids]), "14 colours, 0"),
}


@pytest.mark.parametrize("kept", COLOURS)
def test_colours_of_another_table_are_refused(kept: str, cityscapes: Path, tmp_path: Path) -> None:
    save, found = COLOURS[kept]
    folder = outputs(tmp_path / "theirs", save)
    said = error(folder, "--labels", f"cityscapes:{cityscapes}")
    assert said == (
        f"{folder}: found {found} of them in cityscapes label ids, expected its colours or ids; convert the pictures, "
        "or give --read colours to take the nearest"
    )
    assert score(folder, "--labels", f"cityscapes:{cityscapes}", "--read", "colours").exit_code == 0


def test_a_few_other_colours_are_said_and_those_of_networks_are_not(cityscapes: Path, tmp_path: Path) -> None:
    white = outputs(tmp_path / "white", lambda path, ids: grey(path, np.where(ids[..., None] < 4, 255, exact(ids))))
    said = score(white, "--labels", f"cityscapes:{cityscapes}").stderr
    assert "read as colours: 1 of 12 are not in cityscapes label ids and are taken for the nearest" in said
    noise = np.random.default_rng(0)
    noisy = outputs(
        tmp_path / "noisy",
        lambda path, ids: grey(path, np.clip(exact(ids) + noise.integers(-9, 9, (64, 64, 3)), 0, 255).astype(np.uint8)),
    )
    result = score(noisy, "--labels", f"cityscapes:{cityscapes}")
    assert result.exit_code == 0
    assert "read as" not in result.stderr
