"""LPIPS against the paper's formula on an AlexNet of random weights; and what happens where weights are missing."""

from __future__ import annotations

import json
import shutil
import subprocess
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import torchmetrics
from click.testing import CliRunner
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
from torchvision.models import AlexNet_Weights, alexnet

from p2pbench.ablation.runner import Trained
from p2pbench.cli import cli
from p2pbench.config import GridConfig
from p2pbench.datasets import pictures
from p2pbench.datasets.decoders import Picture
from p2pbench.errors import UserError
from p2pbench.metrics.inception import batches
from p2pbench.metrics.lpips import Lpips
from p2pbench.metrics.published import ALEXNET, INCEPTION, Missing, MissingPackage, Published
from p2pbench.scoring.after_training import score_new_pictures
from p2pbench.scoring.perceptual import DistributionScorer, LpipsScorer
from p2pbench.scoring.runs import picture_outputs
from reports.store import ledger
from reports.store.layout import Grid
from reports.store.made import Made
from tests.p2pbench.grids import image_score, run_grid
from tests.p2pbench.random_weights import write_alexnet, write_inception
from tests.p2pbench.test_ablation import Notes
from tests.p2pbench.tiny import TINY, Command, picture

CPU = torch.device("cpu")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of torch.hub's."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture(scope="module")
def trained(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, trained where no weights are."""
    out = tmp_path_factory.mktemp("trained") / "results"
    grid = GridConfig(title="Two", source="a test", settings={"epochs": 1}, cells={"a": {"ngf": 2}, "b": {"ngf": 3}})
    settings = {key: value for key, value in TINY.items() if key != "ngf"}
    settings |= {"root": str(folders), "device": "cpu", "epochs": 1}
    notes = Notes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(out.with_name("torch")))
        run_grid(out, "two", grid, "own.toml", settings, [0], notes)
        assert [line for line in notes.said if "LPIPS" in line] == [f"no LPIPS: {why_missing(out)}"]
    return out


@pytest.fixture
def results(trained: Path, tmp_path: Path, hub: Path) -> Path:
    """The same, for a test alone."""
    return shutil.copytree(trained, tmp_path / "results")


def why_missing(results: Path) -> str:
    return (
        f"LPIPS needs the weights of AlexNet, which are not at {ALEXNET.file}; "
        f"run `p2pbench image-score {results} --download-weights`"
    )


def by_the_paper(output: Picture, target: Picture) -> float:
    """Section 3.1: unit-normalised features, squared differences, weighted by channel, mean over positions, summed."""
    network = alexnet(weights=None).eval()
    network.load_state_dict(torch.load(ALEXNET.file, weights_only=True))
    folder = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models"
    linear = torch.load(folder / "alex.pth", map_location="cpu", weights_only=True)
    values = []
    for side in (output, target):
        scaled = torch.from_numpy(2.0 * side / np.iinfo(side.dtype).max - 1).float().permute(2, 0, 1)[None]
        values.append(scaled.expand(1, 3, -1, -1) - torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        values[-1] = values[-1] / torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    total = 0.0
    with torch.inference_mode():
        x, y = values
        for place, layer in enumerate(network.features[:12]):
            x, y = layer(x), layer(y)
            if place in (1, 4, 7, 9, 11):
                units = [features / features.square().sum(dim=1, keepdim=True).add(1e-8).sqrt() for features in (x, y)]
                weights = linear[f"lin{(1, 4, 7, 9, 11).index(place)}.model.1.weight"].view(1, -1, 1, 1)
                total += float(((units[0] - units[1]).square() * weights).sum(dim=1).mean())
    return total


@pytest.mark.long
@pytest.mark.usefixtures("hub")
def test_lpips_equals_the_papers_formula() -> None:
    write_alexnet()
    rgb = [(picture(place, side), picture(place + 9, side)) for place, side in enumerate((64, 64, 40, 64, 31))]
    grey = (rgb[0][0][..., :1], rgb[0][1][..., :1])
    deep = (rgb[1][0].astype(np.uint16) * 256 + 100, rgb[1][1].astype(np.uint16) * 256)
    pairs: list[tuple[Picture, Picture]] = [*rgb, grey, deep, (rgb[0][0], rgb[0][0])]
    network = Lpips(CPU)
    found = network.distances(pairs)
    assert found.tolist() == pytest.approx([by_the_paper(*pair) for pair in pairs], rel=1e-4, abs=1e-7)
    assert found[-1] == 0
    assert found[:-1].min() > 1e-3
    assert network.distances(pairs[:1]).tolist() == pytest.approx(
        found[:1].tolist(), rel=1e-4
    )  # anew, and of a single item


@pytest.mark.long
@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("form", "why"), [((64, 30, 3), "from 31x31 pixels on, and these have 30x64"), ((40, 40, 4), "have 4 channels")]
)
def test_pictures_that_lpips_cannot_see(form: tuple[int, int, int], why: str) -> None:
    write_alexnet()
    with pytest.raises(Missing, match=why):
        Lpips(CPU).distances([(np.zeros(form, np.uint8), np.zeros(form, np.uint8))])


def test_batches_keep_the_order_and_hold_pictures_of_one_form() -> None:
    sides = [8, 8, 8, 6, 8, 8]
    items = [(np.full((side, side, 3), place, np.uint8),) for place, side in enumerate(sides)]
    items += [(np.full((8, 8, 3), 6, np.uint16),)]
    found = [stack for (stack,) in batches(items, 128)]
    assert [stack.shape[:2] for stack in found] == [(2, 8), (1, 8), (1, 6), (2, 8), (1, 8)]
    assert np.concatenate([stack[:, 0, 0, 0] for stack in found]).tolist() == list(range(7))
    assert len(list(batches(items[:1], 1))) == 1  # larger than a batch may be


def test_published_weights_are_where_their_packages_look() -> None:
    assert AlexNet_Weights.DEFAULT.url == ALEXNET.url
    assert INCEPTION.url == URL_INCEPTION_V3
    assert ALEXNET.file.name == "alexnet-owt-7be5be79.pth"


def test_a_package_that_is_not_installed_is_named() -> None:
    said = r"^S needs the package not-installed; run `pip install 'p2pbench\[perceptual\]'`$"
    with pytest.raises(MissingPackage, match=said):
        Published("N", "https://example.org/n-0.pth", "not_installed", needed_by="S needs").require_package()


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.file,)


@pytest.mark.long
@pytest.mark.parametrize("content", ["empty", "text", "cut off", "another network's", "code"])
def test_a_file_that_holds_no_weights_is_named_and_never_run(content: str, hub: Path, tmp_path: Path) -> None:
    whole = write_alexnet().read_bytes()
    match content:
        case "another network's":
            torch.save({"weight": torch.zeros(3)}, ALEXNET.file)
        case "code":
            torch.save(Trap(tmp_path / "trapped"), ALEXNET.file)
        case _:
            ALEXNET.file.write_bytes({"empty": b"", "text": b"<html>", "cut off": whole[:9999]}[content])
    with pytest.raises(UserError, match=r"alexnet-owt-7be5be79\.pth: found no weights of AlexNet"):
        Lpips(CPU)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.long
def test_missing_weights_are_said_once_and_written_for_each_run(results: Path) -> None:
    done = CliRunner().invoke(cli, ["image-score", str(results), "--json"])
    assert done.exit_code == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["cell"], line["scorer"]) for line in lines] == [("a", "image"), ("b", "image")]
    assert done.stderr.startswith(f"no LPIPS: {why_missing(results)}\ntwo: one training per cell: ")
    for run in Grid(results / "two").runs():
        assert run.missing("lpips").read_text() == f"{why_missing(results)}\n"
        assert run.scorers() == ["image"]
        assert run.lab_histograms.read_text().count("\n") == 301


@pytest.mark.process
def test_lpips_is_scored_as_soon_as_its_weights_are_there(results: Path) -> None:
    write_alexnet()
    grid, notes = Grid(results / "two"), Notes()
    run, other = grid.runs()
    score_new_pictures(Trained(grid, {run: 3}, "cpu"), notes, "cpu")
    assert notes.said == []
    scores = ledger.read_scorer(run, "lpips")
    assert not run.missing("lpips").exists()
    targets = grid.real.pictures()
    expected = [
        by_the_paper(pictures.read(run.pictures()[id_]), pictures.read(targets[id_])) for id_ in sorted(targets)
    ]
    per_item = scores.metrics["lpips"].per_item
    assert per_item is not None
    assert per_item.tolist() == pytest.approx(expected, rel=1e-4)
    assert scores.metrics["lpips"].value == pytest.approx(np.mean(expected), rel=1e-4)
    assert scores.protocol["weights"] == ALEXNET.file.name
    digest = subprocess.run(["sha256sum", str(ALEXNET.file)], capture_output=True, text=True, check=True).stdout
    assert scores.protocol["weights_sha256"] == digest.split()[0]
    done = CliRunner().invoke(cli, ["image-score", str(results), "--json", "--device", "cpu"])
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["cell"], line["scorer"]) for line in lines] == list(product("ab", ["image", "lpips"]))
    assert lines[1]["metrics"] == {"lpips": pytest.approx(scores.metrics["lpips"].value)}
    assert lines[1]["fingerprint"] == scores.fingerprint
    ALEXNET.file.unlink()
    assert len(image_score(results, LpipsScorer(results, CPU, notes))) == 2
    assert not other.missing("lpips").exists()  # its scores of before stand


@pytest.mark.long
def test_pictures_too_small_are_a_line_and_no_histograms_stay_of_other_pictures(results: Path) -> None:
    write_alexnet()
    grid, notes = Grid(results / "two"), Notes()
    for run in (*grid.runs(), grid.real):
        for id_, path in run.pictures().items():
            pictures.write(path.parent / id_, picture(1, 20)[..., :1])
    run = grid.runs()[0]
    assert run.lab_histograms.exists()
    run.score("image").unlink()
    score_new_pictures(Trained(grid, {run: 3}, "cpu"), notes, "cpu")
    assert run.scorers() == ["image"]
    assert not run.lab_histograms.exists()
    said = "LPIPS sees pictures from 31x31 pixels on, and these have 20x20"
    assert (run.missing("lpips").read_text(), notes.said) == (f"{said}\n", [f"no LPIPS: {said}"])


@pytest.mark.long
def test_fid_sees_real_once_a_grid(results: Path, tmp_path: Path) -> None:
    grid, notes = Grid(results / "two"), Notes()
    weights = write_inception(tmp_path / "inception.pth")
    outputs = picture_outputs(grid, grid.runs()[0], native=False, say=notes.say)
    assert list(DistributionScorer(results, CPU, notes, weights).score([outputs])) == []
    few = "takes at least 10 items, found 3; it is a distance of distributions\n"
    assert [grid.runs()[0].missing(name).read_text() for name in ("fid", "kid")] == [f"FID {few}", f"KID {few}"]
    for place, run in enumerate((*grid.runs(), grid.real)):
        for index in range(8):
            pictures.write(run.images / f"more{index}", picture(index + 100 * place, 32), Made(run.folder).note)
    notes.said.clear()
    notes.counted.clear()
    scored = image_score(results, LpipsScorer(results, CPU, notes), DistributionScorer(results, CPU, notes, weights))
    assert [scores.scorer for each in scored for scores in each.scores] == ["image", "fid", "kid"] * 2
    assert [name for name, done, total in notes.counted if done == total == 11] == [
        f"two/{name}: Inception's features" for name in ("a seed 0", "real", "b seed 0")
    ]
    assert notes.said == [
        f"no LPIPS: {why_missing(results)}",
        "11 items: fewer than 2048 make FID too high; compare it only with a FID of 11 items",
    ]
    for run in grid.runs():
        assert run.scorers() == ["fid", "image", "kid"]
        assert not run.missing("fid").exists()
        assert ledger.read_scorer(run, "fid").protocol["n"] == 11


def test_a_download_that_fails_is_one_line(results: Path, hub: Path, p2pbench: Command) -> None:
    nowhere = "http://127.0.0.1:9"  # a proxy that is none, so that nothing is fetched on any machine
    arguments = ("image-score", str(results), "--download-weights")
    done = p2pbench(*arguments, https_proxy=nowhere, HTTPS_PROXY=nowhere)
    _, said = done.communicate()
    assert done.returncode == 1
    assert said.startswith(f"Error: {ALEXNET.url}: the weights of AlexNet cannot be downloaded (")
    assert said.count("\n") == 1
    assert list(hub.iterdir()) == []


def test_fid_without_weights_says_what_is_missing(results: Path, p2pbench: Command) -> None:
    done = p2pbench("image-score", str(results), "--fid")
    _, printed = done.communicate()
    assert done.returncode == 0
    said = f"run `p2pbench image-score {results} --fid --download-weights`"
    line = f"FID and KID need the weights of Inception v3, which are not at {INCEPTION.file}; {said}"
    assert printed.splitlines()[:3] == [f"no LPIPS: {why_missing(results)}", f"no FID: {line}", f"no KID: {line}"]
    assert Grid(results / "two").runs()[1].missing("kid").read_text() == f"{line}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--inception-weights", "nowhere.pth", "--fid"], 1, "nowhere.pth: found no such file"),
        (["--inception-weights", "nowhere.pth"], 2, "is for --fid"),
        (["--fid", "--native"], 2, "give it without --native"),
    ],
)
def test_what_cannot_be_asked_for(
    arguments: list[str], code: int, said: str, tmp_path: Path, p2pbench: Command
) -> None:
    done = p2pbench("image-score", str(tmp_path), *arguments)
    _, printed = done.communicate()
    assert done.returncode == code
    assert said in printed
