"""`fcn-train`: a scorer of one's own, from the command line."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from fcn import weights
from fcn.labels import CITYSCAPES
from fcn.network import FCN, FcnArchitecture, vgg16_layers
from p2pbench.cli import cli
from p2pbench.errors import MENDABLE
from tests.p2pbench.tiny import Command

SMALL = ("--dataset", "streets", "--train-items", "8", "--photo-size", "32", "--width", "0.02", "--device", "cpu")


def train(out: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["fcn-train", *SMALL, "--out", str(out), *arguments])
    if result.exception and not isinstance(result.exception, (SystemExit, *MENDABLE)):
        raise result.exception
    return result


@pytest.mark.long
def test_what_comes_out_scores_that_dataset(tmp_path: Path) -> None:
    out = tmp_path / "scorer.safetensors"
    result = train(out, "--init", "scratch", "--epochs", "2", "--batch-size", "2")
    assert result.exit_code == 0, result.exception
    assert result.stdout.startswith(f"{out}: the best on 1 held-out items was step ")
    assert "on 1 held-out items pixel accuracy" in result.stderr
    network, card = weights.load(out)
    assert (card.labels, card.classes, card.photo_size) == (CITYSCAPES.name, CITYSCAPES.classes, 32)
    assert card.source.startswith("p2pbench fcn-train: streets, 8 items (")
    assert network.architecture == FcnArchitecture(19, 0.02, 82)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    scored = CliRunner().invoke(
        cli, ["fcn-score", "--self-test", "--dataset", "streets", "--test-items", "2", "--weights", str(out)]
    )
    assert "real photos" in scored.stdout


@pytest.mark.long
def test_the_same_again_is_left_and_another_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "scorer.safetensors"
    train(out, "--init", "scratch", "--epochs", "1")
    before = out.read_bytes()
    assert train(out, "--init", "scratch", "--epochs", "1").stdout == f"{out}: trained before, left as it is\n"
    assert "was made by 'p2pbench fcn-train: " in str(train(out, "--init", "scratch", "--epochs", "2").exception)
    assert out.read_bytes() == before


def test_a_stopped_training_goes_on_to_the_same_end(tmp_path: Path, p2pbench: Command) -> None:
    arguments = ("--init", "scratch", "--epochs", "8", "--checkpoint-seconds", "0")
    whole, stopped = tmp_path / "whole.safetensors", tmp_path / "stopped.safetensors"
    assert train(whole, *arguments).exit_code == 0
    for number in (signal.SIGINT, signal.SIGKILL):
        process = p2pbench("fcn-train", *SMALL, "--out", str(stopped), *arguments)
        checkpoint = stopped.with_name(f"{stopped.name}.checkpoint")
        seen = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while not (checkpoint.exists() and checkpoint.stat().st_mtime_ns > seen):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        _, err = process.communicate()
        assert process.returncode == (1 if number == signal.SIGINT else -signal.SIGKILL)
        assert not stopped.exists()
        if number == signal.SIGINT:
            assert "rerun the same command" in err.splitlines()[-1]
    process = p2pbench("fcn-train", *SMALL, "--out", str(stopped), *arguments)
    process.communicate()
    assert process.returncode == 0
    assert stopped.read_bytes() == whole.read_bytes()


@pytest.mark.long
def test_weights_of_vgg16_from_a_file(tmp_path: Path) -> None:
    own = FCN(FcnArchitecture(19, 0.02, 82)).state_dict()
    theirs = {
        f"{their}.{part}": torch.full_like(own[f"{ours}.{part}"], 0.01)
        for their, ours in vgg16_layers().items()
        for part in ("weight", "bias")
    }
    file = tmp_path / "vgg16.pth"
    torch.save(theirs, file)
    result = train(tmp_path / "scorer.safetensors", "--init", str(file), "--epochs", "1")
    assert result.exit_code == 0, result.exception
    torch.save({"features.0.weight": theirs["features.0.weight"]}, file)
    said = str(train(tmp_path / "other.safetensors", "--init", str(file)).exception)
    assert "VGG-16 weights: found nothing at features.0.bias" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--init", "nothing.pth"), "nothing.pth: cannot be read"),
        (("--dataset", "paired"), "dataset paired has pictures but no label table"),
        (("--dataset", "camvid"), "dataset camvid needs a folder"),
        (("--train-items", "1", "--init", "scratch"), "found 1 training items; expected 2 or more"),
        (
            ("--init", "scratch", "--photo-size", "16", "--dataset", "camvid", "--root", "nowhere"),
            "nowhere: found no such folder",
        ),
    ],
)
def test_what_a_user_can_mend(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    result = train(tmp_path / "scorer.safetensors", *arguments)
    assert isinstance(result.exception, MENDABLE)
    assert said in str(result.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_real_photos(camvid: Path, tmp_path: Path) -> None:
    out = tmp_path / "camvid.safetensors"
    arguments = ("--dataset", "camvid", "--root", str(camvid), "--train-items", "6", "--init", "scratch")
    result = train(out, *arguments, "--epochs", "1", "--photo-size", "64")
    assert result.exit_code == 0, result.exception
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    photos = sorted((camvid / "test").iterdir())[:3]
    for photo in photos:
        Image.open(photo).save(outputs / f"{photo.stem}.png")
    scored = CliRunner().invoke(
        cli,
        ["fcn-score", str(outputs), "--labels", f"camvid:{camvid}", "--weights", str(out), "--allow-partial"],
    )
    assert scored.exit_code == 0, scored.exception
    assert "3 of 233 items" in scored.stdout
