"""Mixtures of grey, colour, alpha and depth in a dataset: counted, brought to the widest, or refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from p2pbench.config import GridConfig, RunConfig, run_config
from p2pbench.datasets.cache import fit
from p2pbench.datasets.catalogue import check_settings, open_dataset, run_items
from p2pbench.datasets.dataset import Dataset, Item
from p2pbench.datasets.survey import sample_channels
from p2pbench.errors import UserError
from p2pbench.runtime.device import pick_device
from p2pbench.scoring.own_scorer import ScorerPlan, train_scorer
from tests.p2pbench.grids import estimate_lines, run_grid
from tests.p2pbench.png_files import write_png
from tests.p2pbench.test_ablation import Notes
from tests.p2pbench.tiny import TINY, picture

Array = NDArray[Any]
COLOUR, GREY, DEEP = picture(0), picture(1)[..., 0], picture(2)[..., 0].astype(np.uint16) * 257


def save(path: Path, values: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, values, photometric="rgb" if values.shape[-1] in (3, 4) else "minisblack")
    else:
        Image.fromarray(values).save(path)


def surveyed(name: str, root: Path, **settings: object) -> tuple[Dataset, list[Item], RunConfig]:
    config = run_config({"dataset": name, "root": str(root), "image_size": 32, **settings}, "test")
    dataset = open_dataset(config)
    items = run_items(dataset, config)
    return dataset, [*items.train, *items.test], config


def folders(root: Path, a: list[Array], b: list[Array] | None = None, suffix: str = ".png") -> Path:
    """A few pairs, the first of which is also the only test item."""
    for side, values in (("A", a), ("B", b or [COLOUR] * len(a))):
        for index, each in enumerate(values):
            save(root / side / "train" / f"{index}{suffix}", each)
        save(root / side / "test" / f"t{suffix}", values[0])
    return root


@pytest.mark.parametrize("values", [[GREY, COLOUR, COLOUR], [COLOUR, GREY, COLOUR]], ids=["grey first", "colour first"])
def test_one_grey_file_turns_nothing_grey(tmp_path: Path, values: list[Array]) -> None:
    dataset, items, config = surveyed("folders", folders(tmp_path, values))
    channels = sample_channels(dataset, items, config)
    assert (channels.input, channels.output) == (3, 3)
    grey = next(item for item in items if np.asarray(Image.open(item.files[0])).ndim == 2)
    parts = fit(dataset.load(grey, 32), channels, grey)
    assert parts["input"].shape == (3, 32, 32)
    assert (parts["input"] == parts["input"][:1]).all()
    (remark,) = dataset.remarks
    counts = "2 of 8-bit grey, 2 of 8-bit colour" if values[0] is GREY else "3 of 8-bit colour, 1 of 8-bit grey"
    assert f"folders: A: {counts} (such as {tmp_path}/A/train/1.png); networks get 3 channels" in remark


def test_a_deep_grey_file_with_alpha_turns_no_deep_colours_grey(tmp_path: Path) -> None:
    """The first of the files, by name, of a data set of 16-bit RGBA."""
    for folder in ("train", "val"):
        (tmp_path / folder).mkdir()
    write_png(tmp_path / "train" / "0.png", 16, 4)
    for path in (tmp_path / "train" / "1.png", tmp_path / "train" / "2.png", tmp_path / "val" / "3.png"):
        write_png(path, 16, 6)
    for side in "AB":
        (tmp_path / side).mkdir()
        for split, to in (("train", "train"), ("val", "test")):
            (tmp_path / side / to).symlink_to(tmp_path / split)
    dataset, items, config = surveyed("folders", tmp_path)
    channels = sample_channels(dataset, items, config)
    assert (channels.input, channels.output) == (3, 3)
    assert channels.input_dtype == channels.output_dtype == np.uint16
    counts = f"3 of 16-bit colour less its alpha, 1 of 16-bit grey less its alpha (such as {tmp_path}/A/train/0.png)"
    assert f"folders: A: {counts}" in dataset.remarks[0]


def test_the_settings_decide_of_a_mixture(tmp_path: Path) -> None:
    dataset, items, config = surveyed("folders", folders(tmp_path, [COLOUR, GREY]), input_channels=1)
    channels = sample_channels(dataset, items, config)
    assert (channels.input, channels.output) == (1, 3)
    assert all(fit(dataset.load(item, 32), channels, item)["input"].shape == (1, 32, 32) for item in items)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_8_and_16_bits_become_16(tmp_path: Path, direction: str) -> None:
    root = folders(tmp_path, [GREY, DEEP, GREY])
    dataset, items, config = surveyed("folders", root, direction=direction)
    channels = sample_channels(dataset, items, config)
    deep = channels.input_dtype if direction == "AtoB" else channels.output_dtype
    assert deep == np.uint16
    assert {channels.input_dtype, channels.output_dtype} == {np.dtype(np.uint8), np.dtype(np.uint16)}
    part = "input" if direction == "AtoB" else "target"
    found = fit(dataset.load(items[0], 40), channels, items[0])[part][0]
    assert np.array_equal(found, GREY.astype(np.uint16) * 257)
    assert "A: 3 of 8-bit grey, 1 of 16-bit grey (such as" in dataset.remarks[0]
    ranged = {"AtoB": "input_range", "BtoA": "output_range"}[direction]
    dataset, items, config = surveyed("folders", root, direction=direction, **{ranged: (0.0, 4095.0)})
    with pytest.raises(UserError, match=rf"3 of 8-bit grey, 1 of 16-bit .*{ranged} cannot be that of 8 and of 16"):
        sample_channels(dataset, items, config)


def test_alpha_of_tiff_is_data_unless_the_settings_take_colours_alone(tmp_path: Path) -> None:
    rgba = np.dstack([COLOUR, GREY])
    root = folders(tmp_path, [rgba, rgba], [COLOUR, COLOUR], ".tif")
    dataset, items, config = surveyed("folders", root)
    assert sample_channels(dataset, items, config).input == 4
    assert "folders: A: 3 of 8-bit colour with alpha; networks get 4 channels" in dataset.remarks[0]
    dataset, items, config = surveyed("folders", root, input_channels=3)
    channels = sample_channels(dataset, items, config)
    assert np.array_equal(fit(dataset.load(items[0], 40), channels, items[0])["input"], COLOUR.transpose(2, 0, 1))
    save(root / "A" / "train" / "1.tif", COLOUR)
    dataset, items, config = surveyed("folders", root)
    with pytest.raises(UserError, match=r"input would have 3 or 4 channels; .* --set input_channels=3"):
        sample_channels(dataset, items, config)
    dataset, items, config = surveyed("folders", root, input_channels=3)
    assert sample_channels(dataset, items, config).input == 3


def test_both_sides_are_named_at_once(tmp_path: Path) -> None:
    rgba = np.dstack([COLOUR, GREY])
    root = folders(tmp_path, [rgba, COLOUR], [rgba, COLOUR], ".tif")
    for asked, said in (
        ({}, r"^folders: A: .*--set input_channels=3; the output would have 3 or 4 .*--set output_channels=3$"),
        ({"input_channels": 5, "output_channels": 2}, r"'input_channels': found 5, .*'output_channels': found 2"),
        ({"input_channels": 5}, r"key 'input_channels': found 5, .*--set output_channels=3$"),
    ):
        dataset, items, config = surveyed("folders", root, **asked)
        with pytest.raises(UserError, match=said):
            sample_channels(dataset, items, config)
    dataset, items, config = surveyed("folders", root, input_channels=3, output_channels=3)
    assert sample_channels(dataset, items, config)[:2] == (3, 3)


@pytest.mark.parametrize("name", ["colorization", "inpainting", "edges"])
def test_photos_name_grey_ones_and_take_all_as_colour(tmp_path: Path, name: str) -> None:
    for split in ("train", "val"):
        save(tmp_path / split / "a.png", GREY)
        save(tmp_path / split / "b.png", np.dstack([COLOUR, GREY]))
    save(tmp_path / "train" / "c.tif", np.dstack([COLOUR, GREY]))
    dataset, items, config = surveyed(name, tmp_path)
    channels = sample_channels(dataset, items, config)
    assert channels.output == {"colorization": 2, "inpainting": 3, "edges": 3}[name]
    assert [fit(dataset.load(item, 32), channels, item)["target"].shape[0] for item in items] == [channels.output] * 5
    kinds = "2 of 8-bit grey, 2 of 8-bit colour less its alpha (such as"
    assert f"{name}: photos: {kinds} {tmp_path}/train/b.png), 1 of 8-bit colour with alpha" in dataset.remarks[0]
    save(tmp_path / "train" / "d.png", DEEP)
    save(tmp_path / "train" / "e.png", DEEP)
    dataset, items, config = surveyed(name, tmp_path)
    with pytest.raises(UserError, match=r"d\.png: found 16 bits a channel, expected 8; .* \(so are 2 of 7 items\)"):
        sample_channels(dataset, items, config)


def test_paired_pictures_name_both_halves_at_once(tmp_path: Path) -> None:
    for split, names in (("train", "abc"), ("test", "d")):
        for name in names:
            save(tmp_path / split / "below" / f"{name}.png", GREY if name == "a" else COLOUR)
    dataset, items, config = surveyed("paired", tmp_path)
    channels = sample_channels(dataset, items, config)
    assert [item.id for item in items] == ["below__a", "below__b", "below__c", "below__d"]
    assert (channels.input, channels.output) == (3, 3)
    assert "paired: pictures A|B: 3 of 8-bit colour, 1 of 8-bit grey (such as" in dataset.remarks[0]


def camvid(root: Path, photos: list[Array]) -> Path:
    for folder in ("train", "test"):
        for index, values in enumerate(photos):
            save(root / folder / f"{index}.png", values)
            labels = np.random.default_rng(index).integers(0, 12, (40, 40), dtype=np.uint8)
            save(root / f"{folder}annot" / f"{index}.png", labels)
    return root


def test_labelled_photos_and_their_scorer_name_grey_ones(tmp_path: Path) -> None:
    root = camvid(tmp_path / "camvid", [GREY, COLOUR, COLOUR])
    dataset, items, config = surveyed("camvid", root)
    assert sample_channels(dataset, items, config).output == 3
    expected = f"camvid: photos: 4 of 8-bit colour, 2 of 8-bit grey (such as {root}/train/0.png)"
    assert dataset.remarks[0].startswith(expected)
    notes = Notes()
    data = run_config({"dataset": "camvid", "root": str(root)}, "test")
    plan = ScorerPlan(data, "scratch", 0.02, 32, 1, 1, None, 0)
    train_scorer(plan, tmp_path / "scorer.safetensors", pick_device("cpu"), 60.0, notes, False)
    assert f"camvid: photos: 2 of 8-bit colour, 1 of 8-bit grey (such as {root}/train/0.png)" in notes.said


def test_a_dataset_of_one_kind_is_not_remarked_on(tmp_path: Path) -> None:
    dataset, items, config = surveyed("folders", folders(tmp_path, [COLOUR, COLOUR]))
    sample_channels(dataset, items, config)
    assert dataset.remarks == []


def test_remarks_are_said_before_training_and_by_the_dry_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P2PBENCH_CACHE", str(tmp_path / "cache"))
    root = folders(tmp_path / "root", [COLOUR, GREY])
    (root / "A" / "train" / "x.gif").touch()
    grid = GridConfig(title="Mixed", cells={"L1": {"objective": "L1"}, "L2": {"objective": "L2"}})
    settings = {**TINY, "root": str(root), "device": "cpu", "epochs": 1}
    notes = Notes()
    run_grid(tmp_path / "results", "mixed", grid, "test", settings, [0], notes)
    lines = estimate_lines(tmp_path / "results", "mixed", grid, "test", settings, [0])
    for said in (notes.said, lines):
        assert sum("passed over .gif (1)" in line for line in said) == 1
        assert sum("A: 2 of 8-bit colour, 1 of 8-bit grey" in line for line in said) == 1


def test_damaged_headers_are_all_named(tmp_path: Path) -> None:
    root = folders(tmp_path, [COLOUR, COLOUR, COLOUR])
    for name in ("0.png", "2.png"):
        (root / "A" / "train" / name).write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"2 files cannot be used:\n  .*A/train/0\.png: .*\n  .*A/train/2\.png: "):
        surveyed("folders", root)


def blocks(values: list[int]) -> Array:
    return np.array(values, np.uint8).repeat(10)[None].repeat(40, axis=0)


@pytest.mark.parametrize(
    ("maps", "seen"),
    [
        ([blocks([0, 7, 11, 26]), blocks([7, 7, 255, 33])], "values 0 to 33"),
        ([np.repeat(blocks([0, 1, 1, 0])[..., None], 3, axis=2)] * 2, "values 0 to 1"),
        ([blocks([3, 200, 200, 3])] * 2, None),  # greys
        ([blocks([0, 255, 255, 0])] * 2, None),  # black and white
        ([GREY // 8, GREY // 8], None),  # a dark photo
        ([blocks([0, 7, 11, 26]), GREY], None),
    ],
)
def test_class_ids_among_pictures_are_named(tmp_path: Path, maps: list[Array], seen: str | None) -> None:
    root = folders(tmp_path, maps, [COLOUR] * len(maps))
    dataset, items, config = surveyed("folders", root)
    sample_channels(dataset, items, config)
    said = [line for line in dataset.remarks if "class ids" in line]
    if seen is None:
        assert said == []
    else:
        (line,) = said
        assert line.startswith(f"{root}: A looks like maps of class ids ({seen} in one channel)")
        assert "give them as colours, or use --dataset cityscapes or camvid" in line


def test_headers_of_many_files_are_read_quickly_and_once(tmp_path: Path) -> None:
    save(tmp_path / "train" / "0.png", COLOUR)
    content = (tmp_path / "train" / "0.png").read_bytes()
    for index in range(1, 1000):
        (tmp_path / "train" / f"{index}.png").write_bytes(content)
    save(tmp_path / "val" / "0.png", COLOUR)
    dataset, items, config = surveyed("edges", tmp_path)
    began = time.process_time()
    sample_channels(dataset, items, config)
    assert time.process_time() - began < 3  # of which 0.1 s is usual: 1 s for 10,000
    for item in items[1:]:
        item.files[0].unlink()
    sample_channels(dataset, items, config)


def test_numbers_that_a_dataset_never_has_are_named_at_once() -> None:
    settings = {"dataset": "colorization", "root": ".", "input_channels": 3, "output_channels": 3}
    with pytest.raises(UserError) as error:
        check_settings(run_config(settings, "test"), "own.toml")
    assert str(error.value) == (
        "own.toml: key 'input_channels': expected 1 for grey-to-colour of colorization, found 3; "
        "key 'output_channels': expected 2 for grey-to-colour of colorization, found 3; change both, or leave both out"
    )
