"""`label-score` on label maps of other models: ids and palettes are read as such, and what is open is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from fcn.labels import CAMVID, CITYSCAPES, IGNORE
from p2pbench.cli import cli
from p2pbench.datasets import pictures
from p2pbench.datasets.streets import draw_scene
from p2pbench.errors import UserError
from p2pbench.segmentation import label_pictures, truth
from p2pbench.segmentation.label_files import NUMBERINGS, class_lookup
from reports import ledger
from reports.layout import Run
from tests.fcn.plain import official, strict
from tests.p2pbench.tiny import Command

Ids = NDArray[np.uint8]
Save = Callable[[Path, Ids], object]

ITEMS = 3
TRAIN_IDS = CITYSCAPES.to_indices(np.arange(34))  # by label id, void is 255
VOC = np.random.default_rng(9).integers(1, 255, (256, 3), dtype=np.uint8)  # any palette that is not the table's


def name(frame: int) -> str:
    return f"ulm_{frame:06d}_000019"


def scene(frame: int) -> Ids:
    """Label ids of a street scene, with the voids of a real one: the car below, the camera's edge."""
    ids = draw_scene(1, frame, 64).labels.copy()
    ids[-5:], ids[:, :2] = 1, 3
    return ids


def predicted(frame: int) -> Ids:
    """What a good model finds: shifted a little, some void, and a pole group where a pole is."""
    ids = np.roll(scene(frame), (1, 2), axis=(0, 1))
    ids[10:12, 20:24] = 0
    ids[ids == 17] = 18
    return ids


@pytest.fixture(scope="module")
def cityscapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels of three test items in the official folders."""
    folder = tmp_path_factory.mktemp("cityscapes") / "gtFine" / "val" / "ulm"
    folder.mkdir(parents=True)
    for frame in range(ITEMS):
        Image.fromarray(scene(frame)).save(folder / f"{name(frame)}_gtFine_labelIds.png")
    return folder.parents[2]


def outputs(folder: Path, save: Save) -> Path:
    folder.mkdir()
    for frame in range(ITEMS):
        save(folder / f"{name(frame)}.png", predicted(frame))
    return folder


def score(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, ["label-score", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit | UserError):
        raise result.exception
    return result


def error(*arguments: object) -> str:
    """The one line that a call ends with."""
    result = score(*arguments)
    assert isinstance(result.exception, UserError)
    assert "\n" not in str(result.exception)
    return str(result.exception)


def remarks(result: Result) -> list[str]:
    return [line for line in result.stderr.splitlines() if "label maps:" not in line]


def grey(path: Path, ids: NDArray[Any]) -> None:
    Image.fromarray(ids).save(path)


def three(path: Path, ids: Ids) -> None:
    grey(path, np.repeat(ids[..., None], 3, axis=2))


def with_palette(colours: NDArray[np.uint8]) -> Save:
    """Indices with a palette."""

    def save(path: Path, ids: Ids) -> None:
        image = Image.frombytes("P", ids.shape[::-1], ids.tobytes())
        image.putpalette(colours.tobytes())
        image.save(path)

    return save


def train_ids(void: int, save: Save = grey) -> Save:
    """Train ids with a mark for void; where that is 0, the classes begin at 1."""

    def save_them(path: Path, ids: Ids) -> None:
        indices = TRAIN_IDS[ids]
        save(path, np.where(indices == IGNORE, void, indices + (void == 0)).astype(np.uint8))

    return save_them


def exact(ids: Ids) -> NDArray[np.uint8]:
    return CITYSCAPES.to_colours(ids)


def by_frequency(path: Path, ids: Ids) -> None:
    """Colours as programs that shrink PNG files keep them: a palette in any order."""
    Image.fromarray(CITYSCAPES.to_colours(ids)).convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(path)


label_palette = CITYSCAPES.to_colours(np.arange(34)).astype(np.uint8)
class_palette = np.concatenate([CITYSCAPES.class_colours, np.zeros((237, 3), np.uint8)])

EXACT: dict[str, tuple[Save, str]] = {
    "label ids": (grey, "label ids"),
    "16 bits": (lambda path, ids: grey(path, ids.astype(np.uint16)), "label ids"),
    "-1 in 16 bits": (lambda path, ids: grey(path, np.where(ids == 0, 65535, ids).astype(np.uint16)), "label ids"),
    "255 for void": (lambda path, ids: grey(path, np.where(ids < 4, 255, ids).astype(np.uint8)), "label ids"),
    "grey as RGB": (three, "label ids"),
    "16 bits as RGB": (lambda path, ids: cv2.imwrite(str(path), np.dstack([ids.astype(np.uint16)] * 3)), "label ids"),
    "grey and alpha": (lambda path, ids: grey(path, np.dstack([ids, np.full_like(ids, 255)])), "label ids"),
    "RGBA": (lambda path, ids: grey(path, np.dstack([ids] * 3 + [np.full_like(ids, 255)])), "label ids"),
    "TIFF": (lambda path, ids: tifffile.imwrite(path.with_suffix(".tif"), ids.astype(np.uint16)), "label ids"),
    "the table's palette": (with_palette(label_palette), "label ids"),
    "another palette": (with_palette(VOC), "label ids"),
    "train ids, 255": (train_ids(255), "train ids"),
    "train ids, 19": (train_ids(19), "train ids"),
    "train ids, 0": (train_ids(0), "train ids plus 1"),
    "train ids in 3 channels": (train_ids(255, three), "train ids"),
    "train ids, the table's palette": (train_ids(255, with_palette(class_palette)), "train ids"),
    "train ids, another palette": (train_ids(255, with_palette(VOC)), "train ids"),
}


@pytest.mark.parametrize("kept", EXACT)
def test_ids_are_read_as_ids(kept: str, cityscapes: Path, tmp_path: Path) -> None:
    save, reading = EXACT[kept]
    result = score(outputs(tmp_path / "theirs", save), "--labels", f"cityscapes:{cityscapes}")
    assert result.exit_code == 0, result.exception
    assert remarks(result)[0].startswith(f"{tmp_path / 'theirs'}: read as {reading}: 3 pictures of values ")
    maps = [(TRAIN_IDS[scene(frame)], np.minimum(TRAIN_IDS[predicted(frame)], 19)) for frame in range(ITEMS)]
    run = Run(tmp_path / "theirs", "theirs", None)
    for scorer, expected in (("labels", strict(maps)), ("labels-official", official(maps)[0])):
        scores = ledger.read_scorer(run, scorer)
        assert [metric.value for metric in scores.metrics.values()] == pytest.approx(expected, abs=1e-12)
    assert 0.5 < expected[0] < 0.95
    assert str(scores.protocol["prediction"]).startswith(f"{reading} as stored: ")


@pytest.mark.parametrize(
    "save",
    [lambda path, ids: grey(path, CITYSCAPES.to_colours(ids)), by_frequency],
    ids=["RGB", "palette in any order"],
)
def test_colours_are_read_as_colours(save: Save, cityscapes: Path, tmp_path: Path) -> None:
    """A pole group has a pole's colour, so that it becomes one; as ids it stays void."""
    folder = outputs(tmp_path / "theirs", save)
    result = score(folder, "--labels", f"cityscapes:{cityscapes}")
    assert remarks(result) == [] or "outputs are dropped whole" in remarks(result)[0]
    classes = [np.where((ids := predicted(frame)) == 18, 5, TRAIN_IDS[ids]) for frame in range(ITEMS)]
    maps = [(TRAIN_IDS[scene(frame)], np.minimum(classes[frame], 19)) for frame in range(ITEMS)]
    scores = ledger.read_scorer(Run(folder, "theirs", None), "labels")
    assert [metric.value for metric in scores.metrics.values()] == pytest.approx(strict(maps), abs=1e-12)
    assert str(scores.protocol["prediction"]).startswith("label of the nearest colour: ")


def test_ids_of_another_size_are_compared_at_either(cityscapes: Path, tmp_path: Path) -> None:
    folder = outputs(tmp_path / "theirs", lambda path, ids: train_ids(255)(path, ids[::2, ::2]))
    for at, step in (("output", 2), ("label", 1)):
        result = score(folder, "--labels", f"cityscapes:{cityscapes}", "--at", at, "--json")
        line = json.loads(result.stdout.splitlines()[-1])
        maps = []
        for frame in range(ITEMS):
            small = np.minimum(TRAIN_IDS[predicted(frame)[::2, ::2]], 19)
            truth = TRAIN_IDS[pictures.resize_labels(scene(frame), 64 // step, 64 // step)]
            maps.append((truth, small.repeat(2 // step, axis=0).repeat(2 // step, axis=1)))
        assert list(line["metrics"].values()) == pytest.approx(strict(maps), abs=1e-12)
        assert line["protocol"]["output_sizes"] == ["32x32"]


def test_camvids_indices(camvid: Path, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    shutil.copytree(camvid / "testannot", folder)
    result = score(folder, "--labels", f"camvid:{camvid}", "--at", "label", "--out", tmp_path / "scores")
    assert result.stdout.splitlines()[2].split()[:2] == ["both", "1.000"]
    assert "read as label ids: 233 pictures of values 0, 1, 2," in result.stderr
    assert "100% as label ids, " in result.stderr


def test_a_mixture_is_named_with_counts(cityscapes: Path, tmp_path: Path) -> None:
    folder = outputs(tmp_path / "theirs", grey)
    grey(folder / f"{name(1)}.png", CITYSCAPES.to_colours(predicted(1)))
    labels = f"cityscapes:{cityscapes}"
    said = error(folder, "--labels", labels)
    assert said.startswith(f"{folder}: found 2 pictures of ids ({name(0)}.png: ")
    assert f" and 1 picture in colours ({name(1)}.png), expected label maps of one kind" in said
    assert "give --read colours or --read label-ids or --read train-ids or --read train-ids-from-1" in said
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


def test_a_value_that_the_numbering_does_not_have(cityscapes: Path, tmp_path: Path) -> None:
    folder = outputs(tmp_path / "theirs", grey)
    said = error(folder, "--labels", f"cityscapes:{cityscapes}", "--read", "train-ids")
    assert f"{name(0)}.png: found values 20, 21, 22, 23, 26, expected 0 to 18, 19 or 255 for void; give" in said


def test_scores_are_written_where_they_are_wanted(cityscapes: Path, tmp_path: Path) -> None:
    folder, labels = outputs(tmp_path / "theirs", train_ids(19)), f"cityscapes:{cityscapes}"
    before = {path: path.read_bytes() for path in folder.iterdir()}
    first = score(folder, "--labels", labels, "--out", tmp_path / "kept")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    run = Run(tmp_path / "kept", "kept", None)
    assert run.scorers() == ["labels", "labels-official"]
    assert run.classes("labels").exists()
    assert run.confusion_table("labels").exists()
    for frame in range(ITEMS):
        shown = pictures.read_labels(run.segmentations / f"{name(frame)}.png")
        assert np.array_equal(shown, TRAIN_IDS[predicted(frame)])
    score(folder, "--labels", labels)
    again = score(folder, "--labels", labels)  # scores/ and segmentations/ lie in it now
    assert again.stdout == first.stdout
    assert all(path.read_bytes() == content for path, content in before.items())
    theirs = folder / "segmentations" / f"{name(0)}.png"
    shutil.copy(folder / f"{name(0)}.png", theirs)
    assert label_pictures.source_of(theirs) is None
    (folder / f"{name(0)}.png").unlink()
    assert f"{theirs}: found a picture that was not written by this program" in error(folder, "--labels", labels)


def test_a_folder_of_the_papers_name_stands_beside_the_paper(
    cityscapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = outputs(tmp_path / "L1+cGAN", grey)
    assert "  paper  " not in score(folder, "--labels", f"cityscapes:{cityscapes}").stdout  # of 3 images of 500
    monkeypatch.setattr(truth, "CITYSCAPES_TEST", ITEMS)
    result = score(folder, "--labels", f"cityscapes:{cityscapes}")
    assert ["paper", "0.83", "0.36", "0.29"] in [line.split() for line in result.stdout.splitlines()]


@pytest.mark.parametrize("option", [("--out", "scores"), ("--read", "colours")])
def test_options_of_a_plain_folder_want_labels(option: tuple[str, str]) -> None:
    result = score("results", *option)
    assert result.exit_code == 2
    assert "--out and --read are for a plain folder: give --labels" in result.output


def test_a_process_reads_train_ids(cityscapes: Path, tmp_path: Path, p2pbench: Command) -> None:
    folder = outputs(tmp_path / "theirs", train_ids(255))
    process = p2pbench("label-score", str(folder), "--labels", f"cityscapes:{cityscapes}", "--read", "train-ids")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out == score(folder, "--labels", f"cityscapes:{cityscapes}").stdout


def test_numberings_are_those_of_cityscapes_scripts() -> None:
    theirs = pytest.importorskip("cityscapesscripts.helpers.labels").labels
    for label in theirs:
        expected = IGNORE if label.ignoreInEval else label.trainId
        assert class_lookup(CITYSCAPES, "label-ids")[label.id] == expected
        if not label.ignoreInEval:
            assert class_lookup(CITYSCAPES, "train-ids")[label.trainId] == expected
            assert class_lookup(CITYSCAPES, "train-ids-from-1")[label.trainId + 1] == expected
    for table, classes in ((CITYSCAPES, 19), (CAMVID, 11)):
        lookups = [class_lookup(table, numbering) for numbering in NUMBERINGS]
        assert [sorted({*lookup.tolist()}) for lookup in lookups] == [[-1, *range(classes), IGNORE]] * 3
        assert all(lookup[[255, 65535]].tolist() == [IGNORE] * 2 for lookup in lookups)
