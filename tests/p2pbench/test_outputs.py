"""Folders of outputs as other tools leave them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from p2pbench.datasets import pictures
from p2pbench.errors import UserError
from p2pbench.scoring.outputs import find_outputs, match_outputs, read_output
from tests.p2pbench.tiny import picture

Make = Callable[..., Path]
FRAME = "frankfurt_000000_000294"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def write(*names: str) -> Path:
        for name in names:
            path = tmp_path / "outputs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix.lower() in {".png", ".jpg", ".jpeg", ".webp", ".tif"}:
                Image.fromarray(picture(1, 8)).save(path)
            else:
                path.write_text("not a picture")
        return tmp_path / "outputs"

    return write


@pytest.mark.parametrize(
    ("names", "ids", "scheme"),
    [
        (["a.png", "b.PNG", "c.jpg"], ["a", "b", "c"], "NAME"),
        (
            [f"a_{kind}.png" for kind in ("fake_B", "real_A", "real_B", "fake_A", "rec_A", "idt_B")] + ["b.png"],
            ["a"],
            "NAME_fake_B (pytorch-CycleGAN-and-pix2pix)",
        ),
        (["a_fake_A.png", "a_real_B.png"], ["a"], "NAME_fake_A (pytorch-CycleGAN-and-pix2pix)"),
        (["a_fake.png", "a_real.png"], ["a"], "NAME_fake (pytorch-CycleGAN-and-pix2pix)"),
        (["1-inputs.png", "1-outputs.png", "1-targets.png"], ["1"], "NAME-outputs (pix2pix-tensorflow)"),
        (
            [f"{FRAME}_gtFine_labelIds_{kind}.jpg" for kind in ("input_label", "synthesized_image")],
            [FRAME],
            "NAME_synthesized_image (pix2pixHD)",
        ),
        (
            [f"frankfurt/{FRAME}_leftImg8bit.png", "lindau/lindau_000000_000019_leftImg8bit.png", "overview.png"],
            [FRAME, "lindau_000000_000019"],
            "NAME_leftImg8bit",
        ),
        (
            [f"test_latest/images/{FRAME}_leftImg8bit_{kind}.png" for kind in ("fake_B", "real_A")]
            + ["test_latest/index.html"],
            [FRAME],
            "NAME_fake_B (pytorch-CycleGAN-and-pix2pix)",
        ),
        ([f"{FRAME}_gtFine_color.png"], [FRAME], "NAME"),
        (["deep/er/a.png", "b.tif", ".hidden.png", "._b.png", ".git/c.png", "notes.txt"], ["a", "b"], "NAME"),
    ],
)
def test_the_items_of_every_scheme_are_found(make: Make, names: list[str], ids: list[str], scheme: str) -> None:
    found = find_outputs(make(*names))
    assert list(found.files) == ids
    assert found.scheme == scheme
    assert all(path.exists() for path in found.files.values())


def test_fake_b_is_the_output_where_both_are_there(make: Make) -> None:
    found = find_outputs(make("a_fake_A.png", "a_fake_B.png"))
    assert found.files["a"].name == "a_fake_B.png"


def test_lossy_files_are_known_by_their_content(make: Make, tmp_path: Path) -> None:
    folder = make("a.png", "b.jpg", "c.webp")
    (folder / "b.jpg").rename(folder / "d.png")
    Image.fromarray(picture(1, 8)).save(folder / "e.webp", lossless=True)
    assert [path.name for path in find_outputs(folder).lossy] == ["c.webp", "d.png"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "no such folder"),
        (["notes.txt"], r"outputs: found no pictures, expected a model's outputs as PNG or JPEG"),
        (["x/a.png", "y/a.png"], r"x/a\.png and .*y/a\.png: both are outputs of item 'a'"),
        (["a.png", "a.jpg"], "both have the item id 'a'"),
        (["a_leftImg8bit_fake_B.png", "a_fake_B.png"], "both are outputs of item 'a'"),
        (["a.png", "a_fake_B.png"], r"a_fake_B\.png and .*a\.png: both may be the output of item 'a'; give a folder"),
        (["a.png", "a_pred.png"], r"a_pred\.png and .*a\.png: both may be the output of item 'a'"),
        (["in/a.png", "out/a-outputs.png"], r"out/a-outputs\.png and .*in/a\.png: both may be"),
        (
            ["a_leftImg8bit.png", "a_leftImg8bit_pred.png"],
            r"a_leftImg8bit_pred\.png and .*a_leftImg8bit\.png: both may",
        ),
        (["a_leftImg8bit.png", "a_gtFine_labelIds.png"], r"a_leftImg8bit\.png and .*a_gtFine_labelIds\.png: both may"),
        (["a_fake_B.png", "b-outputs.png"], "NAME_fake_B .* and NAME-outputs .*, expected one kind"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(make: Make, names: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        find_outputs(make(*names))


def test_what_is_passed_over_is_counted(make: Make) -> None:
    folder = make("a_fake_B.png", "a_real_A.png", "a_real_B.png", "._a_fake_B.png", "notes.txt")
    (folder / "b_fake_B.gif").touch()
    assert find_outputs(folder).passed_over == (
        "passed over pictures not named NAME_fake_B (pytorch-CycleGAN-and-pix2pix) (2), .gif (1), hidden pictures (1)"
        "; read are .bmp .jfif .jpeg .jpg .pgm .png .ppm .tif .tiff .webp"
    )
    (folder / "b_fake_B.gif").unlink()
    assert find_outputs(folder).passed_over.endswith("(2), hidden pictures (1)")  # nothing to say of endings


def test_matching(make: Make) -> None:
    folder = make("a_fake_B.png", "b_fake_B.png", "z_fake_B.png")
    found = find_outputs(folder)
    matched = match_outputs(found, ["b", "a"], folder, allow_partial=False)
    assert list(matched) == ["a", "b"]
    assert matched["a"] == folder / "a_fake_B.png"
    assert found.extra(["b", "a"]) == [folder / "z_fake_B.png"]
    expected = {"a": 0} | {f"m{place:02d}": 0 for place in range(12)}
    with pytest.raises(UserError) as error:
        match_outputs(found, expected, folder, allow_partial=False)
    assert str(error.value) == (
        f"{folder}: 12 of 13 outputs missing: m00, m01, m02, m03, m04, m05, m06, m07, m08, m09, ...; "
        "make them, or allow partial outputs (--allow-partial) to score what is there"
    )
    assert list(match_outputs(found, expected, folder, allow_partial=True)) == ["a"]
    for allow_partial in (False, True):
        with pytest.raises(
            UserError, match="none of 3 outputs is of one of 4 items; found a, b, z, expected 01, 02, 03, ...;"
        ):
            match_outputs(found, ["01", "02", "03", "04"], folder, allow_partial=allow_partial)


def test_all_become_rgb_of_eight_bits(tmp_path: Path) -> None:
    grey = picture(1, 8)[..., 0]
    rgb, alpha = picture(2, 8), np.full((8, 8, 1), 77, np.uint8)
    palette = Image.fromarray(rgb).quantize(4)
    palette.info["transparency"] = 0
    files = {
        "rgb.png": (Image.fromarray(rgb), rgb, ""),
        "grey.png": (Image.fromarray(grey), np.stack([grey] * 3, -1), "grey repeated"),
        "rgba.png": (Image.fromarray(np.concatenate([rgb, alpha], 2)), rgb, "alpha dropped"),
        "la.png": (
            Image.fromarray(np.concatenate([grey[..., None], alpha], 2)),
            np.stack([grey] * 3, -1),
            "alpha dropped, grey repeated",
        ),
        "palette.png": (palette, np.asarray(palette.convert("RGB")), "alpha dropped"),
    }
    for name, (image, expected, changed) in files.items():
        image.save(tmp_path / name)
        pixels, found = read_output(tmp_path / name)
        assert np.array_equal(pixels, expected), name
        assert pixels.dtype == np.uint8
        assert found == changed, name


def test_deep_and_layered_tiffs(tmp_path: Path) -> None:
    deep = picture(3, 8).astype(np.uint16) * 256 + 200
    pixels, changed = read_output(pictures.write(tmp_path / "deep", deep))
    assert np.array_equal(pixels, picture(3, 8))
    assert changed == "cut to 8 bits"
    four = np.concatenate([picture(3, 8), picture(4, 8)[..., :1]], axis=2)
    pixels, changed = read_output(pictures.write(tmp_path / "four", four))
    assert np.array_equal(pixels, picture(3, 8))
    assert changed == "alpha dropped"
    Image.fromarray(four[..., [0, 3]]).save(tmp_path / "la.tif")  # which Pillow marks as alpha
    pixels, changed = read_output(tmp_path / "la.tif")
    assert np.array_equal(pixels, np.repeat(four[..., :1], 3, axis=2))
    assert changed == "alpha dropped, grey repeated"
    with pytest.raises(UserError, match=r"two\.tif: found 2 channels, expected 3"):
        read_output(pictures.write(tmp_path / "two", four[..., :2]))
    with pytest.raises(UserError, match=r"none\.png: found no picture"):
        read_output(tmp_path / "none.png")


def test_outputs_in_folders_are_of_the_items_in_folders(make: Make) -> None:
    folder = make("x/a.png", "y/a.png")
    with pytest.raises(UserError, match="both are outputs of item 'a'"):
        find_outputs(folder)
    names = ("x/a.png", "y/a.png", "run/x/b.png", "run/c.png")
    folder = make(*(f"nested/{name}" for name in names)) / "nested"
    found = find_outputs(folder, ["x__a", "y__a", "x__b", "c"])
    assert found.files == dict(zip(["x__a", "y__a", "x__b", "c"], (folder / name for name in names), strict=True))
    assert find_outputs(folder / "x", ["x__a"]).files.keys() == {"a"}
