"""Declared value ranges: in every metric, protocol and picture; and data that need one are named."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from amt.study_pictures import read as read_for_raters
from fcn.labels import CITYSCAPES
from p2pbench.ablation.runner import Trained
from p2pbench.cli import cli
from p2pbench.config import GridConfig, run_config
from p2pbench.datasets import pictures
from p2pbench.datasets.decoders import Picture
from p2pbench.errors import UserError
from p2pbench.metrics import image_metrics
from p2pbench.metrics.lpips import Lpips
from p2pbench.scoring.after_training import score_new_pictures
from p2pbench.scoring.image_scores import protocol
from p2pbench.scoring.outputs import read_output
from p2pbench.scoring.perceptual import DistributionScorer, LpipsScorer
from p2pbench.study.new_study import from_results
from reports import html
from reports.store import grids, ledger
from reports.store.errors import ReportError
from reports.store.layout import Grid, Run
from reports.store.picture import load
from tests.p2pbench.drawn_scorer import SMALL, make_scorer, score
from tests.p2pbench.grids import estimate_lines, image_score, run_grid, score_images
from tests.p2pbench.random_weights import write_alexnet, write_inception
from tests.p2pbench.test_ablation import Notes
from tests.p2pbench.tiny import TINY, picture

RANGE = (1000.0, 1400.0)
ITEMS = 11  # as many as FID wants, and one
DECLARED = {"input_range": RANGE, "output_range": RANGE}
CELL = GridConfig(title="One", cells={"L1": {"objective": "L1"}})


def deep(seed: int, side: int = 40) -> NDArray[np.uint16]:
    """A picture (H, W) of 16 bits whose values are those of `RANGE`."""
    return (1000 + picture(seed, side)[..., 0] * (400 / 255)).round().astype(np.uint16)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of grey pictures of 16 bits that use 400 of 65536 values."""
    root = tmp_path_factory.mktemp("deep")
    for (split, count), side in product((("train", 4), ("test", ITEMS)), "AB"):
        (root / side / split).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(deep(index + 50 * (side == "B"))).save(root / side / split / f"p{index:02}.png")
    return root


def train(results: Path, root: Path, notes: Notes | None = None, **settings: Any) -> Grid:  # noqa: ANN401 (any setting)
    settings = {**TINY, "root": str(root), "device": "cpu", "epochs": 1, **settings}
    return run_grid(results, "deep", CELL, "own.toml", settings, [0], notes or Notes())


@pytest.fixture(scope="module")
def results(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder whose grid declares its ranges."""
    results = tmp_path_factory.mktemp("ranges") / "results"
    notes = Notes()
    train(results, root, notes, **DECLARED)
    assert not [line for line in notes.said if "items have" in line]
    return results


def noisy(target: Picture, ends: tuple[int, int], seed: int = 0) -> Picture:
    noise = np.random.default_rng(seed).normal(0, (ends[1] - ends[0]) / 20, target.shape)
    return (target + noise).round().clip(*ends).astype(target.dtype)


@pytest.mark.parametrize(("dtype", "ends"), [(np.uint16, (1000, 1400)), (np.uint8, (60, 190))])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_pixel_metrics_equal_scikit_images(dtype: Any, ends: tuple[int, int], channels: int) -> None:  # noqa: ANN401
    low, high = ends
    rng = np.random.default_rng(channels)
    target = rng.integers(low, high + 1, (40, 40, channels)).astype(dtype)
    output = noisy(target, ends)
    whole = high - low
    assert image_metrics.psnr(output, target, ends) == peak_signal_noise_ratio(target, output, data_range=whole)
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    sides = target.astype(float) - low, output.astype(float) - low  # whose means SSIM compares: from black on
    expected = structural_similarity(*sides, data_range=whole, channel_axis=2, **window)
    assert image_metrics.ssim(output, target, ends) == pytest.approx(expected, abs=1e-12)
    assert image_metrics.l1(output, target, ends) == pytest.approx(np.abs(output - target.astype(float)).mean() / whole)


def test_values_worked_out_by_hand() -> None:
    target, output = np.full((16, 16, 1), 1200, np.uint16), np.full((16, 16, 1), 1100, np.uint16)
    assert image_metrics.l1(output, target, RANGE) == 0.25
    assert image_metrics.psnr(output, target, RANGE) == pytest.approx(20 * np.log10(4))
    c1 = (0.01 * 400) ** 2  # flat pictures have no variance: luminance alone is left; values count from the range's end
    assert image_metrics.ssim(output, target, RANGE) == pytest.approx((2 * 100 * 200 + c1) / (100**2 + 200**2 + c1))
    # Noise over all of the range against other noise: its mean square is a sixth of the range's.
    rng = np.random.default_rng(0)
    noise = [rng.integers(1000, 1401, (256, 256, 1)).astype(np.uint16) for _ in range(2)]
    assert image_metrics.psnr(noise[0], noise[1], RANGE) == pytest.approx(10 * np.log10(6), abs=0.1)
    assert image_metrics.psnr(noise[0], noise[1]) > 50
    # Beyond the range all is black or white, as networks see it.
    assert image_metrics.l1(np.full((9, 9, 1), 7, np.uint16), np.full((9, 9, 1), 1000, np.uint16), RANGE) == 0
    assert image_metrics.l1(np.full((9, 9, 1), 7, np.uint16), np.full((9, 9, 1), 60000, np.uint16), RANGE) == 1
    assert image_metrics.psnr(np.full((9, 9, 1), 9999, np.uint16), np.full((9, 9, 1), 1400, np.uint16), RANGE) == 100


@pytest.mark.parametrize(("dtype", "low", "step"), [(np.uint16, 1000, 2), (np.uint8, 0, 1)])
def test_a_picture_scores_as_the_one_that_it_scales_to(dtype: Any, low: int, step: int, tmp_path: Path) -> None:  # noqa: ANN401
    plain = [picture(1), noisy(picture(1), (0, 255))]
    moved = [(low + step * side.astype(int)).astype(dtype) for side in plain]
    ends = (float(low), low + step * 255.0)
    for metric in (image_metrics.l1, image_metrics.psnr, image_metrics.ssim, image_metrics.gmsd):
        assert metric(moved[0], moved[1], ends) == pytest.approx(metric(plain[0], plain[1]), rel=1e-9)
    assert image_metrics.gradient_energy(moved[1], ends) == pytest.approx(
        image_metrics.gradient_energy(plain[1]), rel=1e-9
    )
    far = np.abs(image_metrics.lab_histograms(moved[0], ends) - image_metrics.lab_histograms(plain[0])).sum()
    assert far <= 6  # of 4800: a value on a bin's edge may fall on its other side
    path = pictures.write(tmp_path / "moved", moved[0])
    assert (np.asarray(load(path, ends)) == plain[0]).all()
    assert (read_output(path, ends)[0] == plain[0]).all()
    assert (np.asarray(read_for_raters(path, 40, 40, ends)) == plain[0]).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_pictures_of_any_channels_are_shown_in_their_range(channels: int, tmp_path: Path) -> None:
    values = np.stack([deep(seed) for seed in range(channels)], axis=2)
    values[0, 0], values[0, 1] = 0, 65535
    path = pictures.write(tmp_path / "a", values)
    first = values[..., :3] if channels >= 3 else np.repeat(values[..., :1], 3, axis=2)
    expected = np.rint((first.astype(float).clip(*RANGE) - 1000) / 400 * 255)
    assert (np.asarray(load(path, RANGE).convert("RGB")) == expected).all()
    assert (np.asarray(read_for_raters(path, 40, 40, RANGE)) == expected).all()


def test_opacity_is_no_value_of_the_range(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (60, 125, 250, 90)).save(tmp_path / "a.png")
    assert load(tmp_path / "a.png", (60.0, 190.0)).getpixel((0, 0)) == (0, 128, 255, 90)


def test_without_a_range_protocols_stay_as_they_were() -> None:
    assert protocol(ends=None) == protocol()
    assert not [text for text in ("range", "clipped") if text in json.dumps(protocol())]
    entry = {"output_range": "1000..1400 are black to white, values beyond are clipped"}
    assert protocol(ends=RANGE) == {**protocol(), **entry}


@pytest.mark.long
def test_a_run_is_scored_in_its_range(results: Path) -> None:
    grid = Grid(results / "deep")
    run = grid.run("L1", 0)
    targets = grid.real.pictures()
    sides = [(pictures.read(path), pictures.read(targets[id_])) for id_, path in run.pictures().items()]
    expected = np.mean([peak_signal_noise_ratio(target, output, data_range=400) for output, target in sides])
    scores = ledger.read_scorer(run, "image")
    assert scores.metrics["psnr"].value == pytest.approx(expected)
    assert scores.protocol["output_range"] == "1000..1400 are black to white, values beyond are clipped"
    (native,) = image_score(results, native=True)[0].scores
    assert native.protocol["output_range"] == scores.protocol["output_range"]
    assert 5 < native.metrics["psnr"].value < 30
    image_score(results, native=False)  # as it was, for other tests


def test_scores_of_the_whole_depth_are_made_anew(results: Path, tmp_path: Path) -> None:
    grid = Grid(shutil.copytree(results, tmp_path / "results") / "deep")
    run = grid.run("L1", 0)
    scores = ledger.read_scorer(run, "image")
    older = {name: value for name, value in scores.protocol.items() if name != "output_range"}
    ledger.write(run, replace(scores, protocol=older))
    score_new_pictures(Trained(grid, {run: ITEMS}, "cpu"), Notes())
    assert ledger.read_scorer(run, "image").fingerprint == scores.fingerprint
    before = run.score("image").stat().st_mtime_ns
    score_new_pictures(Trained(grid, {run: ITEMS}, "cpu"), Notes())
    assert run.score("image").stat().st_mtime_ns == before


@pytest.mark.long
def test_networks_see_the_range(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    write_alexnet()
    first, second = deep(1)[..., None], deep(2)[..., None]
    pairs: list[tuple[Picture, Picture]] = [(first, second)]
    whole = [
        (np.rint((first - 1000.0) / 400 * 65535).astype("u2"), np.rint((second - 1000.0) / 400 * 65535).astype("u2"))
    ]
    network = Lpips(torch.device("cpu"))
    assert network.distances(pairs, RANGE) == pytest.approx(network.distances(whole), rel=1e-3)
    cpu = torch.device("cpu")
    fid = DistributionScorer(results, cpu, Notes(), write_inception(tmp_path / "inception.pth"))
    scored = image_score(results, LpipsScorer(results, cpu, Notes()), fid)
    found = {scores.scorer: scores for each in scored for scores in each.scores}
    assert found.keys() == {"image", "lpips", "fid", "kid"}
    assert len({each.protocol["output_range"] for each in found.values()}) == 1
    assert "values scaled to 0..255 and rounded" in str(found["fid"].protocol["input"])


def contrast(path: Path) -> int:
    values = np.asarray(Image.open(path)).astype(int)
    return int(values.max() - values.min())


@pytest.mark.long
def test_every_picture_shows_the_range(results: Path, tmp_path: Path) -> None:
    grid = Grid(results / "deep")
    (sample,) = grid.run("L1", 0).samples.iterdir()
    rows = np.asarray(Image.open(sample)).astype(int)
    for place in (0, 64):  # input and target
        assert np.ptp(rows[:, place : place + 32]) > 200
    index = html.write_report(results, tmp_path / "report")
    shown = sorted((index.parent / "assets" / "grid0").glob("*.png"))
    assert len(shown) == 3 * ITEMS
    for path in [path for path in shown if path.name[:2] in {"00", "02"}]:
        assert contrast(path) > 100
    done = CliRunner().invoke(cli, ["report", str(results), str(results), "--out", str(tmp_path / "comparison")])
    assert done.exit_code == 0, done.output
    assert min(contrast(path) for path in (tmp_path / "comparison" / "assets" / "grid0").glob("00-*.png")) > 100
    assert np.asarray(pictures.read(next(iter(grid.real.pictures().values())))).min() >= 1000  # files stay data


def test_a_studys_pictures_and_protocol_have_the_range(results: Path) -> None:
    assert from_results(results, None, None, allow_partial=False).values == RANGE
    options = ["--raters", "1", "--practice", "0", "--trials", "2", "--size", "40x40"]
    done = CliRunner().invoke(cli, ["amt", "create", str(results), "--name", "deep", *options])
    assert done.exit_code == 0, done.output
    document = json.loads((results / "study" / "deep" / "study.json").read_text())
    assert document["protocol"]["values"] == list(RANGE)
    shown = list((results / "study" / "deep").rglob("*.png"))
    real = [path for path in shown if contrast(path) > 100]
    assert len(real) >= ITEMS


@pytest.mark.long
def test_the_fcn_score_sees_the_range(tmp_path: Path) -> None:
    grid = GridConfig(title="Streets", cells={"L1": {"objective": "L1"}})
    scorer = make_scorer(tmp_path / "fcn.safetensors", CITYSCAPES, 20)
    keys = []
    for name, settings in (("whole", {}), ("part", {"output_range": (60.0, 190.0)})):
        results = tmp_path / name
        run_grid(results, "tiny", grid, "own.toml", {**TINY, **SMALL, **settings}, [0], Notes())
        assert score(results, "--weights", scorer).exit_code == 0
        real = ledger.read_scorer(Grid(results / "tiny").real, "fcn-strict")
        keys.append((real.protocol["output_conversion"], (Grid(results / "tiny").real.confusion).read_bytes()))
    assert keys[0][0] == []
    assert keys[1][0] == ["60..190 scaled to 8 bits"]
    assert keys[0][1] != keys[1][1]
    # A grid that declares its range later is segmented anew.
    document = json.loads((tmp_path / "whole" / "tiny" / "grid.json").read_text())
    document["settings"]["output_range"] = [60, 190]
    (tmp_path / "whole" / "tiny" / "grid.json").write_text(json.dumps(document))
    assert score(tmp_path / "whole", "--weights", scorer).exit_code == 0
    real = ledger.read_scorer(Grid(tmp_path / "whole" / "tiny").real, "fcn-strict")
    assert real.protocol["output_conversion"] == ["60..190 scaled to 8 bits"]


def test_colours_of_a_range_have_histograms(tmp_path: Path) -> None:
    target = (1000 + picture(1)[..., ::-1].astype(int)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", target, photometric="rgb")
    outputs = {"a": tmp_path / "a.tif"}
    whole = score_images(outputs, lambda id_: target, 1)
    part = score_images(outputs, lambda id_: target, 1, ends=(1000.0, 1255.0))
    assert (whole.histograms, "histogram_l" in whole.scores.metrics) == (None, False)
    assert part.scores.metrics["histogram_l"].value == pytest.approx(1)


@pytest.mark.long
def test_data_that_fill_little_of_their_depth_are_named(root: Path, tmp_path: Path) -> None:
    notes = Notes()
    train(tmp_path / "results", root, notes, output_range=RANGE)
    (said,) = [line for line in notes.said if "items have" in line]
    assert said.startswith("15 items have input values 10")
    assert "of 0..65535: under 5% of what is black to white" in said
    assert "--set 'input_range=[10" in said
    assert "output_range" not in said
    notes.said.clear()
    train(tmp_path / "results", root, notes, output_range=RANGE)  # all is done: nothing begins
    assert not [line for line in notes.said if "items have" in line]
    settings = {**TINY, "root": str(root), "device": "cpu"}
    lines = estimate_lines(tmp_path, "deep", CELL, "own.toml", settings, [0])
    assert "input values 10" in lines[-2]
    assert "output values 10" in lines[-2]
    lines = estimate_lines(tmp_path, "deep", CELL, "own.toml", {**settings, **DECLARED}, [0])
    assert not [line for line in lines if "values" in line]


def test_flat_data_have_no_range_to_declare(tmp_path: Path) -> None:
    for split, side in product(("train", "test"), "AB"):
        folder = tmp_path / "flat" / side / split
        folder.mkdir(parents=True)
        flat = np.full((32, 32), 7, np.uint8)
        Image.fromarray(flat if side == "B" else picture(1, 32)[..., 0]).save(folder / "p.png")
    settings = {**TINY, "root": str(tmp_path / "flat"), "device": "cpu"}
    said = estimate_lines(tmp_path / "results", "flat", CELL, "own.toml", settings, [0])[-2]
    assert said.startswith("2 items have output values 7..7 of 0..255")
    assert said.endswith("look at the data")


def test_the_range_of_colorization_is_fixed() -> None:
    with pytest.raises(UserError, match=r"key 'output_range': colorization translates L to ab"):
        run_config({"dataset": "colorization", "output_range": (0.0, 100.0)}, "test")


@pytest.mark.parametrize(
    "value", [[5], [5, 5], [6, 5], ["1", "2"], [True, 3], 7, [0, float("nan")], [-5, 100], [0, 70000], [0.5, 1200], []]
)
def test_a_range_that_is_none_is_refused(value: object, tmp_path: Path) -> None:
    grid = Grid(tmp_path)
    grid.json.write_text(json.dumps({"cells": {}, "seeds": [], "settings": {"output_range": value}}))
    said = (
        r"output_range: expected two whole numbers from 0 to 65535 \(of pictures of 8 bits, to 255\), the lower first"
    )
    with pytest.raises(ReportError, match=rf"grid\.json: {said}"):
        grids.ranges(grid)
    with pytest.raises(UserError, match=rf"^test: key '{said}".replace("range:", "range':")):
        run_config({"output_range": value}, "test")


def test_a_grid_without_settings_has_no_range(tmp_path: Path) -> None:
    grid = Grid(tmp_path)
    grid.json.write_text(json.dumps({"cells": {}, "seeds": []}))
    assert grids.ranges(grid) == grids.WHOLE
    assert Run(tmp_path, "a", None).pictures() == {}
