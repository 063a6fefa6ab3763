"""What `generate` reads and writes: nothing of the user's is lost, nothing is mixed, nothing is read wrongly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from p2pbench.cli import cli
from p2pbench.datasets import pictures
from p2pbench.datasets.cache import Channels
from p2pbench.datasets.pictures import Picture
from p2pbench.errors import MENDABLE
from p2pbench.networks.unet import Generator
from p2pbench.training.card import Architecture, GeneratorCard, input_bits, load_generator, save_generator
from p2pbench.training.generate import Translator
from p2pbench.training.translate_folder import bare_dataset
from tests.p2pbench.tiny import picture

DEEP = (0.0, 65535.0)


def saved(path: Path, seed: int = 0, channels: tuple[int, int] = (3, 3), **card: Any) -> Path:  # noqa: ANN401
    """A generator with weights of its own, for pictures of 8 bits unless the card says otherwise."""
    torch.manual_seed(seed)
    shape = Architecture(
        input_channels=channels[0],
        output_channels=channels[1],
        depth=5,
        ngf=2,
        skips=True,
        bottleneck_norm=False,
        dropout_blocks=(0,),
    )
    settings = {
        "dataset": "folders",
        "direction": "AtoB",
        "image_size": 32,
        "input_range": (0.0, 255.0),
        "input_bits": 8,
        "output_range": (0.0, 255.0),
        "output_bits": 8,
        "test_dropout": True,
        "test_batch_norm": "batch",
        "seed": 0,
        "source": "a test",
        **card,
    }
    save_generator(path, shape.build(), GeneratorCard.model_validate({"architecture": shape, **settings}))
    return path


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    return saved(tmp_path / "generator.safetensors")


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """Three pictures, one of them in a folder below."""
    folder = tmp_path / "inputs"
    (folder / "below").mkdir(parents=True)
    for seed, name in enumerate(("a", "b", "below/c")):
        save(folder / f"{name}.png", picture(seed))
    return folder


def save(path: Path, values: Picture) -> None:
    Image.fromarray(values).save(path)


def generate(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, ["generate", *map(str, arguments), "--device", "cpu"])
    if result.exception and not isinstance(result.exception, (SystemExit, *MENDABLE)):
        raise result.exception
    return result


def refused(*arguments: object) -> str:
    """The one line of a refused call, which changes no file of the test's folder."""
    everything = Path(str(arguments[1])).parent
    before = content(everything)
    error = generate(*arguments).exception
    assert isinstance(error, MENDABLE)
    assert content(everything) == before
    return str(error)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def made(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(folder).items() if name not in {"generation.json", "made.jsonl"}}


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "generation.json").read_text())
    return found


# Outputs apart from inputs


@pytest.mark.parametrize("out", ["inputs", "inputs/out", "inputs/below", ".", "link", "link/new", "inputs/../inputs"])
def test_the_output_is_apart_from_the_inputs(generator: Path, inputs: Path, tmp_path: Path, out: str) -> None:
    (tmp_path / "link").symlink_to(inputs)
    assert "which is read" in refused(generator, inputs, "--out", tmp_path / out)
    assert "which is read" in refused(generator, inputs, "--out", tmp_path / out, "--overwrite")


def test_the_output_is_apart_from_what_is_linked_into_the_inputs(generator: Path, inputs: Path, tmp_path: Path) -> None:
    inputs.rename(tmp_path / "elsewhere")
    inputs.mkdir()
    (inputs / "linked").symlink_to(tmp_path / "elsewhere" / "below")
    assert "which is read" in refused(generator, inputs, "--out", tmp_path / "elsewhere")
    assert "linked/c.png, which is read" in refused(generator, inputs, "--out", tmp_path / "elsewhere" / "below")
    assert generate(generator, inputs, "--out", tmp_path / "out").exit_code == 0


def test_the_output_is_apart_from_the_generator(inputs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    saved(run / "generator.safetensors")
    assert "generator.safetensors, which is read" in refused(run, inputs, "--out", run, "--overwrite")


@pytest.mark.parametrize("name", ["mine.png", "a.png", "a.JPG", "a.tif"])
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_pictures_of_others_are_never_touched(
    generator: Path, inputs: Path, tmp_path: Path, name: str, overwrite: list[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_bytes(b"mine")
    assert f"{name}: was there before" in refused(generator, inputs, "--out", out, *overwrite)
    (out / name).unlink()
    assert generate(generator, inputs, "--out", out).exit_code == 0
    if name != "a.png":  # beside those of an earlier call
        (out / name).write_bytes(b"mine")
        assert f"{'a.tif' if name == 'a.tif' else name}: was there before" in refused(
            generator, inputs, "--out", out, *overwrite
        )


def test_what_is_no_picture_does_not_matter(generator: Path, inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "segmentations").mkdir(parents=True)
    (out / "notes.txt").write_text("mine")
    save(out / "segmentations" / "a.png", picture(0))
    assert generate(generator, inputs, "--out", out).exit_code == 0
    assert generate(generator, inputs, "--out", out, "--overwrite").exit_code == 0
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "segmentations" / "a.png").exists()


def test_a_file_is_no_folder(generator: Path, inputs: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    assert "is a file" in refused(generator, inputs, "--out", tmp_path / "out", "--overwrite")


# One call, one folder


def test_the_same_call_goes_on(generator: Path, inputs: Path, tmp_path: Path) -> None:
    assert generate(generator, inputs, "--out", tmp_path / "whole").output.endswith(f"3 pictures: {tmp_path}/whole\n")
    out = tmp_path / "out"
    generate(generator, inputs, "--out", out)
    (out / "b.png").unlink()
    untouched = (out / "a.png").stat().st_mtime_ns
    save(inputs / "d.png", picture(3))  # more inputs are welcome
    said = generate(generator, inputs, "--out", out)
    assert said.exit_code == 0
    assert "4 pictures, 2 of them made before" in said.output
    assert (out / "a.png").stat().st_mtime_ns == untouched
    assert {name: data for name, data in made(out).items() if name != "d.png"} == made(tmp_path / "whole")
    assert record(out)["pictures"] == 4
    assert sorted(record(out)["inputs"]) == ["a", "b", "below__c", "d"]


def test_a_picture_that_was_replaced_is_refused_and_stays(generator: Path, inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert generate(generator, inputs, "--out", out).exit_code == 0
    whole = made(out)
    save(out / "b.png", picture(9))
    for overwrite in ([], ["--overwrite"]):
        said = refused(generator, inputs, "--out", out, *overwrite)
        assert said.startswith(f"{out / 'b.png'}: was replaced since an earlier call made it; move it away")
    (out / "b.png").unlink()
    assert generate(generator, inputs, "--out", out).exit_code == 0
    assert made(out) == whole
    (out / "made.jsonl").unlink()  # as of an older version
    (out / "a.png").unlink()
    assert generate(generator, inputs, "--out", out).exit_code == 0
    assert made(out) == whole
    save(out / "b.png", picture(9))
    assert "was replaced since" in refused(generator, inputs, "--out", out)


def test_a_stopped_call_goes_on(generator: Path, inputs: Path, tmp_path: Path) -> None:
    from p2pbench.training.translate_folder import translate_folder

    class Killed(BaseException):
        pass

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise Killed

    out = tmp_path / "out"
    with pytest.raises(Killed):
        translate_folder(generator, inputs, out, torch.device("cpu"), stop)
    assert sorted(made(out)) == ["a.png", "b.png"]
    assert record(out)["pictures"] == 0
    said = generate(generator, inputs, "--out", out)
    assert "3 pictures, 2 of them made before" in said.output
    assert record(out)["pictures"] == 3


def test_another_call_does_not_mix(generator: Path, inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(generator, inputs, "--out", out)
    other = saved(tmp_path / "other.safetensors", seed=1)
    assert "the generator was another file, generator.safetensors" in refused(other, inputs, "--out", out)
    assert "seed was 0, is 5" in refused(generator, inputs, "--out", out, "--seed", 5)
    said = refused(generator, inputs, "--out", out, "--dropout", "off", "--batch-norm", "running")
    assert "test_dropout was True, is False; test_batch_norm was batch, is running" in said
    generator.rename(tmp_path / "renamed.safetensors")  # which is no other generator
    assert generate(tmp_path / "renamed.safetensors", inputs, "--out", out).exit_code == 0


def test_other_inputs_do_not_mix(generator: Path, inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(generator, inputs, "--out", out)
    (inputs / "a.png").unlink()
    save(inputs / "b.png", picture(9))
    said = refused(generator, inputs, "--out", out)
    assert "a.png has no input any more; b.png was made of another picture" in said
    assert "--overwrite" in said


def test_overwriting_replaces_all(generator: Path, inputs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(generator, inputs, "--out", out)
    (inputs / "a.png").unlink()
    other = saved(tmp_path / "other.safetensors", seed=1)
    assert "2 pictures: " in generate(other, inputs, "--out", out, "--overwrite").output
    generate(other, inputs, "--out", tmp_path / "fresh")
    assert content(out) == content(tmp_path / "fresh")
    assert sorted(made(out)) == ["b.png", "below__c.png"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"generator": "g", "pictures": 3}'])
def test_a_record_that_names_no_pictures_vouches_for_none(
    generator: Path, inputs: Path, tmp_path: Path, text: str
) -> None:
    out = tmp_path / "out"
    generate(generator, inputs, "--out", out)
    (out / "generation.json").write_text(text)
    said = refused(generator, inputs, "--out", out, "--overwrite")
    assert "generation.json: " in said
    assert "damaged, or of an older version: name another folder" in said


# Broken pictures


def test_a_broken_picture_does_not_lose_the_rest(generator: Path, inputs: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out", (inputs / "a.png").read_bytes()
    generate(generator, inputs, "--out", tmp_path / "whole")
    (inputs / "a.png").write_bytes(whole[: len(whole) // 2])
    (inputs / "below" / "empty.png").touch()
    (inputs / "gone.png").symlink_to(tmp_path / "nothing.png")
    result = generate(generator, inputs, "--out", out)
    assert result.exit_code == 1
    assert "2 pictures: " in result.output
    said = str(result.exception)
    assert said.startswith("3 of 5 pictures not made:\n  ")
    assert "gone.png: found a link that leads nowhere" in said
    assert "a.png: found no picture that can be decoded" in said
    assert "empty.png: found an empty file" in said
    assert said.count("\n") == 4
    assert sorted(made(out)) == ["b.png", "below__c.png"]
    assert record(out)["pictures"] == 2
    assert sorted(record(out)["failed"]) == ["a", "below__empty", "gone"]
    (inputs / "a.png").write_bytes(whole)
    (inputs / "below" / "empty.png").unlink()
    (inputs / "gone.png").unlink()
    again = generate(generator, inputs, "--out", out)
    assert again.exit_code == 0
    assert "3 pictures, 2 of them made before" in again.output
    assert made(out) == made(tmp_path / "whole")
    assert record(out) == record(tmp_path / "whole")


def test_a_folder_that_cannot_be_written_ends_the_call(generator: Path, inputs: Path) -> None:
    assert "cannot be written" in refused(generator, inputs, "--out", "/proc/out")


# Depth and channels


def with_one(tmp_path: Path, values: NDArray[Any]) -> Path:
    folder = tmp_path / "one"
    folder.mkdir()
    if values.ndim == 3 and (values.shape[2] not in (1, 3) or values.dtype != np.uint8):
        tifffile.imwrite(folder / "x.tif", values, photometric="minisblack", planarconfig="contig")
    else:
        Image.fromarray(values).save(folder / "x.png")
    return folder


COLOUR = picture(0)
GREY = COLOUR[..., 0]
SHALLOW_GENERATORS: dict[str, dict[str, Any]] = {
    "folders": {},
    "paired": {"dataset": "paired"},
    "older": {"input_bits": None},
    "inpainting": {"dataset": "inpainting", "direction": "hole-to-photo"},
    "edges": {"dataset": "edges", "direction": "edges-to-photo", "channels": (1, 3)},
    "colorization": {
        "dataset": "colorization",
        "direction": "grey-to-colour",
        "channels": (1, 2),
        "input_range": DEEP,
        "input_bits": 16,
        "output_range": DEEP,
        "output_bits": 16,
    },
    "camvid": {"dataset": "camvid", "direction": "labels-to-photo"},
    "photos to labels": {"dataset": "camvid", "direction": "photo-to-labels"},
}


@pytest.mark.parametrize("name", SHALLOW_GENERATORS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_deep_picture_is_refused_by_a_shallow_generator(tmp_path: Path, name: str, channels: int) -> None:
    path = saved(tmp_path / "g.safetensors", **SHALLOW_GENERATORS[name])
    deep = COLOUR.astype(np.uint16) * 257
    result = generate(path, with_one(tmp_path, deep if channels == 3 else deep[..., 0]), "--out", tmp_path / "out")
    if name == "camvid" and channels == 1:  # which holds label ids, whatever their depth
        assert "label values" in str(result.exception)
    else:
        assert "found 16 bits a channel, expected 8" in str(result.exception)
    assert made(tmp_path / "out") == {}


@pytest.mark.parametrize("name", SHALLOW_GENERATORS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_of_its_depth_is_taken(tmp_path: Path, name: str, channels: int) -> None:
    path = saved(tmp_path / "g.safetensors", **SHALLOW_GENERATORS[name])
    values = COLOUR if channels == 3 else GREY % 12 if name == "camvid" else GREY
    result = generate(path, with_one(tmp_path, values), "--out", tmp_path / "out")
    assert result.exit_code == 0, result.exception
    assert list(made(tmp_path / "out")) == ["x.png"]


@pytest.mark.parametrize("ends", [DEEP, (1000.0, 1400.0)])
@pytest.mark.parametrize("bits", [16, None])
def test_a_deep_generator_takes_deep_pictures_alone(
    tmp_path: Path, ends: tuple[float, float], bits: int | None
) -> None:
    path = saved(tmp_path / "g.safetensors", channels=(1, 1), input_range=ends, input_bits=bits)
    assert input_bits(load_generator(path)[1]) == 16
    folder = with_one(tmp_path, GREY)
    result = generate(path, folder, "--out", tmp_path / "out")
    assert "found 8 bits a channel, expected 16, as the generator was trained on" in str(result.exception)
    save(folder / "x.png", GREY.astype(np.uint16) * 5)
    assert generate(path, folder, "--out", tmp_path / "out").exit_code == 0


def test_an_older_card_may_leave_the_depth_open(tmp_path: Path) -> None:
    path = saved(tmp_path / "g.safetensors", input_range=(0.0, 100.0), input_bits=None)
    assert input_bits(load_generator(path)[1]) is None
    assert generate(path, with_one(tmp_path, COLOUR), "--out", tmp_path / "out").exit_code == 0


def test_a_run_records_the_depth_that_it_was_trained_on(
    tiny: Callable[..., Any],
    tiny_data: Any,  # noqa: ANN401
) -> None:
    from p2pbench.training.model import make_card

    deep = Channels(1, 1, np.dtype(np.uint16), np.dtype(np.uint8))
    ranged = tiny(input_range=(0.0, 200.0))
    assert make_card(ranged, tiny_data.dataset, tiny_data.channels).input_bits == 8
    assert make_card(ranged, tiny_data.dataset, deep).input_bits == 16


def test_grey_is_repeated_and_said(generator: Path, inputs: Path, tmp_path: Path) -> None:
    save(inputs / "a.png", GREY)
    result = generate(generator, inputs, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "1 picture of 1 channel of 8 bits, brought to 3: a.png\n" in result.output
    assert "2 pictures of 3 channels of 8 bits: b.png, c.png\n" in result.output
    save(inputs / "a.png", np.repeat(GREY[..., None], 3, axis=2))
    all_alike = generate(generator, inputs, "--out", tmp_path / "repeated")
    assert "channel" not in all_alike.output
    assert made(tmp_path / "out") == made(tmp_path / "repeated")


def test_colours_become_grey_as_in_training(tmp_path: Path) -> None:
    path = saved(tmp_path / "g.safetensors", channels=(1, 3))
    result = generate(path, with_one(tmp_path, COLOUR), "--out", tmp_path / "out")
    assert "1 picture of 3 channels of 8 bits, brought to 1: x.png" in result.output
    save(tmp_path / "one" / "x.png", np.asarray(Image.fromarray(COLOUR).convert("L")))
    generate(path, tmp_path / "one", "--out", tmp_path / "grey")
    assert made(tmp_path / "out") == made(tmp_path / "grey")


@pytest.mark.parametrize("channels", [2, 5])
def test_channels_that_cannot_be_brought_are_named(tmp_path: Path, channels: int) -> None:
    path = saved(tmp_path / "g.safetensors")
    values = np.repeat(GREY[..., None], channels, axis=2)
    result = generate(path, with_one(tmp_path, values), "--out", tmp_path / "out")
    assert f"x.tif: found {channels} channels, expected 3" in str(result.exception)


def test_a_generator_of_many_channels_takes_as_many(tmp_path: Path) -> None:
    path = saved(tmp_path / "g.safetensors", channels=(5, 1))
    folder = with_one(tmp_path, np.repeat(GREY[..., None], 5, axis=2))
    assert generate(path, folder, "--out", tmp_path / "out").exit_code == 0


# Pictures of pairs


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"dataset": "paired"}, "give A alone, its left half"),
        ({"dataset": "paired", "direction": "BtoA"}, "give B alone, its right half"),
        ({"dataset": "folders"}, "give A alone, its left half"),
        ({"dataset": "inpainting", "direction": "hole-to-photo"}, None),
        ({"dataset": "camvid", "direction": "photo-to-labels"}, None),
    ],
)
def test_what_may_be_a_pair_is_said_once(inputs: Path, tmp_path: Path, card: dict[str, Any], said: str | None) -> None:
    for name in ("a", "b"):
        save(inputs / f"{name}.png", np.concatenate([picture(0), picture(1)], axis=1))
    result = generate(saved(tmp_path / "g.safetensors", **card), inputs, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert result.output.count("twice as wide as high") == (said is not None)
    assert (
        said is None
        or f"a.png: is twice as wide as high, and taken as one picture; if it is A|B side by side, {said}"
        in result.output
    )
    assert pictures.header(tmp_path / "out" / "a.png")[:2] == (80, 40)


# The hole of inpainting


@pytest.mark.parametrize("size", [(100, 70), (32, 32), (33, 47), (64, 10), (5, 5)])
def test_the_hole_is_the_central_half_of_the_picture_itself(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    path = saved(tmp_path / "g.safetensors", **SHALLOW_GENERATORS["inpainting"])
    generator, card = load_generator(path)
    seen: list[torch.Tensor] = []
    generator.register_forward_pre_hook(lambda _module, arguments: seen.append(arguments[0].clone()))
    values = np.full((height, width, 3), 10, np.uint8)
    with Translator(generator, card, bare_dataset(card)).open() as translate:
        translate(values, "x")
    (x,) = seen
    hole = np.zeros((height, width), bool)
    hole[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    if size == (100, 70):
        assert hole[17:53, 25:75].all()
        assert hole.sum() == 36 * 50
    assert np.array_equal((x[0, 0, :height, :width] == 1).numpy(), hole)
    # What is mirrored beyond the edges has the hole too: else it would show what is to be filled.
    mirrored = np.pad(hole, ((0, -height % 32), (0, -width % 32)), mode="symmetric")
    assert np.array_equal((x[0, 0] == 1).numpy(), mirrored)
    assert isinstance(generator, Generator)


def test_the_hole_is_that_of_training() -> None:
    from p2pbench.datasets.photos import Inpainting

    dataset = Inpainting(None, files=False)
    values = np.full((70, 100, 3), 10, np.uint8)
    holed = dataset.finish_input(torch.from_numpy(values).permute(2, 0, 1)[None] / 127.5 - 1)
    assert np.array_equal((holed[0, 0] == 1).numpy(), dataset.input_picture(values)[..., 0] == 255)
