"""What `generate` reads and writes: nothing of the user's is lost, nothing is mixed, nothing is read wrongly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from p2pbench.cli import cli
from p2pbench.datasets import pictures
from tests.p2pbench.generating import content, generate, made, record, refused, save, saved
from tests.p2pbench.tiny import picture


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
    assert "linked, which is read" in refused(generator, inputs, "--out", tmp_path / "elsewhere" / "below")
    (inputs / "linked").unlink()
    (inputs / "one.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    assert "one.png, which is read" in refused(generator, inputs, "--out", tmp_path / "elsewhere")
    assert generate(generator, inputs, "--out", tmp_path / "out").exit_code == 0


def test_the_output_is_apart_from_the_generator(inputs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    saved(run / "generator.safetensors")
    assert "generator.safetensors, which is read" in refused(run, inputs, "--out", run, "--overwrite")


@pytest.mark.parametrize("name", ["mine.png", "a.png", "a.JPG", "a.tif", "theirs/a.png", "theirs/mine.png"])
@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_pictures_of_others_are_never_touched(
    generator: Path, inputs: Path, tmp_path: Path, name: str, overwrite: list[str]
) -> None:
    out = tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
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
    help_ = " ".join(CliRunner().invoke(cli, ["generate", "--help"]).output.split())
    assert "refused if any of them was changed since" in help_
    for overwrite in ([], ["--overwrite"]):
        said = refused(generator, inputs, "--out", out, *overwrite)
        assert said.startswith(f"{out / 'b.png'}: was replaced since an earlier call made it; move it away")
    (out / "b.png").unlink()
    assert generate(generator, inputs, "--out", out).exit_code == 0
    assert made(out) == whole
    (out / "made.jsonl").unlink()  # as of an older version
    (out / "a.png").unlink()
    for _ in range(2):
        assert generate(generator, inputs, "--out", out).exit_code == 0
        assert made(out) == whole
    save(out / "b.png", picture(9))
    assert "was replaced since" in refused(generator, inputs, "--out", out)


def test_a_stopped_call_goes_on(generator: Path, inputs: Path, tmp_path: Path) -> None:
    from p2pbench.runtime.progress import ForwardedProgress
    from p2pbench.training.generated_folder import generate as translate

    class Killed(BaseException):
        pass

    class Kills(ForwardedProgress):
        def count(self, work: str, done: int, total: int) -> None:
            if done == 2:
                raise Killed

    out = tmp_path / "out"
    with pytest.raises(Killed):
        translate(generator, inputs, out, reporter=Kills(lambda event: None))
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
    (out / "generation.json").write_text(json.dumps(record(out) | {"padding": "none"}))  # as another version may pad
    assert "padding was none" in refused(tmp_path / "renamed.safetensors", inputs, "--out", out)


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


def test_a_folder_that_cannot_be_written_ends_the_call(generator: Path, inputs: Path, tmp_path: Path) -> None:
    assert "cannot be written" in refused(generator, inputs, "--out", "/proc/out")
    (tmp_path / "afile").touch()
    assert f"{tmp_path / 'afile'} is a file, where a folder is expected" in refused(
        generator, inputs, "--out", tmp_path / "afile" / "out"
    )


# Depth and channels


def test_grey_is_repeated_and_said(generator: Path, inputs: Path, tmp_path: Path) -> None:
    grey = picture(0)[..., 0]
    save(inputs / "a.png", grey)
    result = generate(generator, inputs, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "1 picture of 1 channel of 8 bits, brought to 3: a.png\n" in result.output
    assert "2 pictures of 3 channels of 8 bits: b.png, below/c.png\n" in result.output
    save(inputs / "a.png", np.repeat(grey[..., None], 3, axis=2))
    all_alike = generate(generator, inputs, "--out", tmp_path / "repeated")
    assert "channel" not in all_alike.output
    assert made(tmp_path / "out") == made(tmp_path / "repeated")


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
