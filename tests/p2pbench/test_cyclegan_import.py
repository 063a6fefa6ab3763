"""Generators of pytorch-CycleGAN-and-pix2pix: imported with equal outputs, or refused by what they are."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from skimage.color import lab2rgb, rgb2lab
from torch import Tensor, nn

from fcn import weights
from p2pbench.cli import cli
from p2pbench.datasets.transforms import to_network
from p2pbench.errors import MENDABLE, UserError
from p2pbench.networks.generator import Generator
from p2pbench.training.cyclegan_import import import_generator
from p2pbench.training.generator_file import read_generator, save_generator
from p2pbench.training.inference import Translator, bare_dataset
from tests.p2pbench.tiny import picture

Norm = Callable[[int], nn.Module]
NORMS: dict[str, Norm] = {
    "batch": nn.BatchNorm2d,
    "instance": nn.InstanceNorm2d,
    "old instance": lambda channels: nn.InstanceNorm2d(channels, track_running_stats=True),
    "affine instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
    "none": lambda channels: nn.Identity(),
}


class NestedBlock(nn.Module):
    """A block of the other code's U-Net, written from its description: each holds the next, and `model` their list."""

    def __init__(
        self, outer: int, inner: int, inside: nn.Module | None, *, norm: str, dropout: bool, entering: int | None = None
    ) -> None:
        super().__init__()
        self.outermost = entering is not None
        biased = "instance" in norm
        down = nn.Conv2d(entering or outer, inner, 4, 2, 1, bias=biased)
        up = nn.ConvTranspose2d(inner if inside is None else 2 * inner, outer, 4, 2, 1, bias=biased or self.outermost)
        made = NORMS[norm]
        if self.outermost:
            assert inside is not None
            layers = [down, inside, nn.ReLU(), up, nn.Tanh()]
        elif inside is None:
            layers = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, made(outer)]
        else:
            layers = [nn.LeakyReLU(0.2), down, made(inner), inside, nn.ReLU(), up, made(outer)]
            layers += [nn.Dropout(0.5)] if dropout else []
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.model(x)
        return output if self.outermost else torch.cat([x, output], 1)


class Nested(nn.Module):
    """That code's U-Net."""

    def __init__(
        self, depth: int, ngf: int, channels: tuple[int, int] = (3, 3), *, norm: str = "batch", dropout: bool = True
    ) -> None:
        super().__init__()
        block = NestedBlock(8 * ngf, 8 * ngf, None, norm=norm, dropout=False)
        for _ in range(depth - 5):
            block = NestedBlock(8 * ngf, 8 * ngf, block, norm=norm, dropout=dropout)
        for outer, inner in ((4, 8), (2, 4), (1, 2)):
            block = NestedBlock(outer * ngf, inner * ngf, block, norm=norm, dropout=False)
        entering, leaving = channels
        self.model = NestedBlock(leaving, ngf, block, norm=norm, dropout=False, entering=entering)
        if norm == "batch":
            for _ in range(3):  # running statistics of its own
                self.model(torch.rand(2, entering, 2**depth, 2**depth) * 2 - 1)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.model(x)
        return output


def saved(tmp_path: Path, network: nn.Module, prefix: str = "") -> Path:
    path = tmp_path / "latest_net_G.pth"
    torch.save({prefix + name: value for name, value in network.state_dict().items()}, path)
    return path


def command(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, ["generator-import", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, (SystemExit, *MENDABLE)):
        raise result.exception
    return result


@pytest.mark.parametrize(("depth", "dropout", "prefix"), [(8, True, ""), (7, True, "module."), (7, False, "")])
def test_an_imported_generator_gives_the_same_outputs(tmp_path: Path, depth: int, dropout: bool, prefix: str) -> None:
    torch.manual_seed(0)
    network = Nested(depth, ngf=4, dropout=dropout)
    generator, card = import_generator(saved(tmp_path, network, prefix), dropout=dropout)
    assert card.architecture.depth == depth
    assert (card.image_size, card.architecture.ngf) == (2**depth, 4)
    assert card.test_dropout is dropout
    assert (card.dataset, card.direction, card.input_bits, card.output_bits) == ("paired", "BtoA", 8, 8)
    x = to_network(torch.randint(0, 256, (1, 3, 2**depth, 2**depth)), (0, 255))
    with torch.no_grad():
        for training in (False, True):  # running statistics; then batch statistics with dropout where it was trained
            network.train(training)
            generator.train(training)
            torch.manual_seed(1)
            expected = network(x)
            torch.manual_seed(1)
            assert torch.allclose(generator(x), expected, atol=1e-5)
    save_generator(tmp_path / "kept.safetensors", generator, card)
    again, _ = read_generator(tmp_path / "kept.safetensors")
    assert isinstance(again, Generator)
    with torch.no_grad():
        assert torch.allclose(again.eval()(x), network.eval()(x), atol=1e-5)


def test_dropout_is_asked_for(tmp_path: Path) -> None:
    path, out = saved(tmp_path, Nested(7, ngf=2)), tmp_path / "out.safetensors"
    result = command(path, out)
    assert result.exit_code == 1
    assert "cannot say whether it was trained with dropout; give --dropout, or --no-dropout" in str(result.exception)
    assert not out.exists()
    for option, blocks in (("--dropout", (1, 2)), ("--no-dropout", ())):
        assert command(path, tmp_path / option, option).exit_code == 0
        card = read_generator(tmp_path / option)[1]
        assert card.architecture.dropout_blocks == blocks
        assert card.test_dropout is (option == "--dropout")


def test_dropout_is_not_asked_for_where_there_is_no_place_for_it(tmp_path: Path) -> None:
    _, card = import_generator(saved(tmp_path, Nested(5, ngf=2)))
    assert card.architecture.dropout_blocks == ()
    assert card.test_dropout is False


def test_a_generator_without_dropout_has_none_to_switch_on(tmp_path: Path) -> None:
    path, out = saved(tmp_path, Nested(5, ngf=2)), tmp_path / "out.safetensors"
    command(path, out)
    (tmp_path / "in").mkdir()
    Image.fromarray(picture(0, 32)).save(tmp_path / "in" / "a.png")
    generate = ["generate", str(out), str(tmp_path / "in"), "--out", str(tmp_path / "made"), "--device", "cpu"]
    refused = CliRunner().invoke(cli, [*generate, "--dropout", "on"])
    assert "has no dropout layers" in str(refused.exception)
    assert CliRunner().invoke(cli, [*generate, "--dropout", "off"]).exit_code == 0


def test_the_colour_space_is_asked_for(tmp_path: Path) -> None:
    path, out = saved(tmp_path, Nested(5, ngf=2, channels=(1, 2))), tmp_path / "out.safetensors"
    assert "has 1 to 2 channels and cannot say which; give --dataset colorization" in str(command(path, out).exception)
    assert command(path, tmp_path / "paired.safetensors", "--dataset", "paired").exit_code == 0
    assert read_generator(tmp_path / "paired.safetensors")[1].dataset == "paired"
    said = str(command(path, out, "--dataset", "colorization", "--direction", "AtoB").exception)
    assert "--direction AtoB: colorization has one direction" in said
    assert command(path, out, "--dataset", "colorization").exit_code == 0
    card = read_generator(out)[1]
    assert (card.dataset, card.direction) == ("colorization", "grey-to-colour")
    assert (card.input_bits, card.output_bits) == (16, 16)
    colour = saved(tmp_path, Nested(5, ngf=2))
    assert "has 3 to 3 channels; expected 1 to 2" in str(command(colour, out, "--dataset", "colorization").exception)
    assert command(colour, tmp_path / "other.safetensors", "--direction", "AtoB").exit_code == 0
    assert read_generator(tmp_path / "other.safetensors")[1].direction == "AtoB"


@pytest.mark.filterwarnings("ignore:.*negative Z values:UserWarning")
def test_an_imported_colorization_is_that_codes(tmp_path: Path) -> None:
    """By hand as that code does it: L/50 - 1 in, ab = 110 times what comes out, both to RGB."""
    torch.manual_seed(3)
    network = Nested(5, ngf=2, channels=(1, 2))
    for parameter in network.parameters():
        parameter.data *= 2  # colours of some strength
    generator = tmp_path / "g.safetensors"
    assert command(saved(tmp_path, network), generator, "--dataset", "colorization").exit_code == 0
    (tmp_path / "in").mkdir()
    photo = picture(0, 32)
    Image.fromarray(photo).save(tmp_path / "in" / "a.png")
    options = ["--batch-norm", "running", "--out", str(tmp_path / "made"), "--device", "cpu"]
    made = CliRunner().invoke(cli, ["generate", str(generator), str(tmp_path / "in"), *options])
    assert made.exit_code == 0, made.exception
    lightness = rgb2lab(photo)[..., :1]
    x = torch.from_numpy(lightness / 50 - 1).float().permute(2, 0, 1)[None]
    with torch.no_grad():
        ab = network.eval()(x)[0].permute(1, 2, 0).double().numpy() * 110
    expected = lab2rgb(np.concatenate([lightness, ab], axis=2)) * 255
    with Image.open(tmp_path / "made" / "a.png") as image:
        found = np.asarray(image).astype(float)
    assert np.abs(ab).max() > 2
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize(
    ("norm", "said"),
    [
        ("instance", "instance norm (--norm instance)"),
        ("old instance", "instance norm (--norm instance)"),
        ("affine instance", "instance norm (--norm instance)"),
        ("none", "no norm (--norm none)"),
    ],
)
def test_other_norms_are_named(tmp_path: Path, norm: str, said: str) -> None:
    path = saved(tmp_path, Nested(7, ngf=2, norm=norm))
    with pytest.raises(UserError) as error:
        import_generator(path, dropout=True)
    assert f"latest_net_G.pth: was trained with {said}, which cannot be imported" in str(error.value)


def test_a_resnet_is_named(tmp_path: Path) -> None:
    blocks = nn.ModuleDict({"conv_block": nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(2, 2, 3))})
    network = nn.Module()
    network.model = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(3, 2, 7), blocks)
    with pytest.raises(UserError, match=r"a ResNet: its entries begin with model\.1\.weight"):
        import_generator(saved(tmp_path, network))


def test_entries_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path = tmp_path / "latest_net_G.pth"
    state = Nested(7, ngf=2).state_dict()

    def refused(**changes: Tensor | None) -> str:
        changed = {name: changes.get(name, value) for name, value in state.items()}
        extra = {name: value for name, value in changes.items() if name not in state}
        torch.save({name: value for name, value in (changed | extra).items() if value is not None}, path)
        with pytest.raises(UserError) as error:
            import_generator(path, dropout=True)
        return str(error.value)

    name = "model.model.1.model.5.weight"
    assert f"{name} is missing" in refused(**{name: None})
    assert f"{name} has shape (2, 2), expected (8, 2, 4, 4)" in refused(**{name: torch.zeros(2, 2)})
    assert "model.model.1.model.9.weight is left over" in refused(**{"model.model.1.model.9.weight": torch.zeros(1)})
    assert "model.model.3.bias is missing" in refused(**{"model.model.3.bias": None})
    assert r"\x1b[31mred is left over" in refused(**{"\x1b[31mred": torch.zeros(1)})
    torch.save({"conv.weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"its entries begin with conv\.weight"):
        import_generator(path)


# Files that hold more than weights


class Evil:
    """What must never be run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('code of a file was run')",)


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """A network whose class only that code has."""
    module = ModuleType("networks\x1b[31m")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    kind = type("UnetGenerator", (nn.Sequential,), {"__module__": module.__name__})
    monkeypatch.setattr(module, "UnetGenerator", kind, raising=False)
    network: nn.Module = kind(nn.Conv2d(1, 1, 1))
    return network


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # of torch, when it saves these
def write(path: Path, kind: str, network: nn.Module) -> None:
    if kind == "script":
        torch.jit.save(torch.jit.trace(nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 2, 2)), path)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Evil()))
    else:
        content: dict[str, Any] = {
            "module": network,
            "module among weights": {"net": network},
            "code": Evil(),
            "checkpoint": {"epoch": 1, "\x1b[31mnet": {"a": torch.zeros(1)}},
            "list": [torch.zeros(1)],
        }
        torch.save(content[kind], path)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("module", r"it holds networks\x1b[31m.UnetGenerator, not weights alone: where it was made, save net.state_di"),
        ("module among weights", r"it holds networks\x1b[31m.UnetGenerator, not weights alone"),
        ("code", "it holds exec, not weights alone"),
        ("pickle", "it is damaged, or torch.save did not write it"),
        ("script", "it holds a TorchScript module, not weights alone: where it was made, save net.state_dict()"),
        ("checkpoint", r"holds a dictionary of epoch, \x1b[31mnet, not weights alone"),
        ("list", "holds a list, not weights alone"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning:torch.serialization", "ignore:.*torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_what_holds_more_than_weights_is_said_in_one_printable_line(
    tmp_path: Path, foreign: nn.Module, kind: str, said: str
) -> None:
    path = tmp_path / "latest_net_G.pth"
    write(path, kind, foreign)
    error = str(command(path, tmp_path / "out.safetensors").exception)
    assert said in error
    assert error.isprintable()
    assert len(error) < 600


@pytest.mark.parametrize("length", [0, 10, 200, 2000])
def test_a_cut_file_is_said_in_one_printable_line(tmp_path: Path, length: int) -> None:
    path = saved(tmp_path, Nested(5, ngf=2))
    path.write_bytes(path.read_bytes()[:length])
    error = str(command(path, tmp_path / "out.safetensors").exception)
    assert "cannot be read as weights" in error
    assert error.isprintable()
    assert len(error) < 400


def test_a_reason_is_short_and_printable_whatever_the_file_says() -> None:
    for error in (RuntimeError("a\x1b[2Jb\nc"), ValueError("\u202e" * 1000), RuntimeError(), OSError("\x07")):
        found = weights.reason(error, Path("nowhere"))
        assert found.isprintable()
        assert 0 < len(found) <= 6 * weights.LONGEST


# The file that is written


def test_the_output_replaces_nothing(tmp_path: Path, kept_run: Path) -> None:
    path = saved(tmp_path, Nested(5, ngf=2))
    assert "is the same as" in str(command(path, path).exception)
    (tmp_path / "link").symlink_to(path)
    assert "is the same as" in str(command(path, tmp_path / "link").exception)
    for mine in (kept_run, tmp_path / "photo.png"):
        mine.exists() or mine.write_bytes(b"mine")
        before = mine.read_bytes()
        assert f"{mine}: found something else there, expected nothing" in str(command(path, mine).exception)
        assert mine.read_bytes() == before


def test_an_earlier_import_stays_unless_it_is_the_same(tmp_path: Path) -> None:
    path, out = saved(tmp_path, Nested(7, ngf=2)), tmp_path / "out.safetensors"
    assert "is there already" not in command(path, out, "--dropout").output
    before = out.read_bytes()
    assert "found something else there" in str(command(path, out, "--no-dropout").exception)
    again = command(path, out, "--dropout")
    assert again.exit_code == 0
    assert f"{out}: is there already, the same U-Net for 128x128" in again.output
    assert out.read_bytes() == before
    torch.save({name: value + 1 for name, value in torch.load(path).items()}, path)
    assert "found something else there" in str(command(path, out, "--dropout").exception)
    assert out.read_bytes() == before


@pytest.fixture
def kept_run(tmp_path: Path) -> Path:
    """The generator of a run."""
    generator, card = import_generator(saved(tmp_path, Nested(5, ngf=2)))
    save_generator(tmp_path / "run.safetensors", generator, card.model_copy(update={"source": "p2pbench 0.1.0"}))
    return tmp_path / "run.safetensors"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    network = Nested(7, ngf=2)
    with torch.no_grad():
        next(network.parameters()).view(-1)[3] = value
    with pytest.raises(UserError, match=r"\.pth: .*weight holds NaN or infinite values"):
        import_generator(saved(tmp_path, network), dropout=True)
    generator, card = import_generator(saved(tmp_path, Nested(7, ngf=2)), dropout=True)
    with torch.no_grad():
        next(generator.parameters()).view(-1)[3] = value
    save_generator(tmp_path / "broken.safetensors", generator, card)
    with pytest.raises(UserError, match=r"broken\.safetensors: .*weight holds NaN or infinite values"):
        read_generator(tmp_path / "broken.safetensors")


def test_an_output_that_is_no_number_becomes_no_picture(tmp_path: Path) -> None:
    """Finite weights may still overflow."""
    generator, card = import_generator(saved(tmp_path, Nested(7, ngf=2)), dropout=True)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.fill_(3e38)
    translator = Translator(generator, card, bare_dataset(card))
    with (
        translator.open() as translate,
        pytest.raises(UserError, match="p0 holds NaN or infinite values"),
    ):
        translate(np.full((128, 128, 3), 200, np.uint8), "p0")
