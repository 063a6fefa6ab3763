"""Every setting of a run, with every dataset: it changes what is trained, or it is refused when settings are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from p2pbench.ablation.data import Data, open_data
from p2pbench.ablation.grid import plan_grid
from p2pbench.cli import main
from p2pbench.config import BOOKKEEPING, NOT_IDENTITY, SHARED, Direction, Effect, GridConfig, RunConfig, effects
from p2pbench.datasets.catalogue import DATASETS
from p2pbench.errors import UserError
from p2pbench.training.generator_file import GeneratorCard, read_generator
from p2pbench.training.model import make_card
from reports.store.layout import Grid
from tests.p2pbench.grids import estimate_lines, run_grid
from tests.p2pbench.test_ablation import Notes
from tests.p2pbench.tiny import TINY, picture

SMALL = {**TINY, "device": "cpu", "train_items": 2, "test_items": 1, "jitter": 1.25}


def save(path: Path, values: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str | None]:
    """Three items to train on and two in each of two splits to test on, for every dataset that has files."""
    root = tmp_path_factory.mktemp("data")
    kept: dict[str, str | None] = {"streets": None}
    for split, first, count in (("train", 0, 3), ("val", 10, 2), ("test", 20, 2)):
        for index in range(first, first + count):
            photo, name = picture(index), f"a_{index:06d}_000000"
            labels = np.repeat(np.repeat(np.arange(16, dtype=np.uint8).reshape(4, 4) % 11, 10, 0), 10, 1)
            save(root / "camvid" / split / f"{name}.png", photo)
            save(root / "camvid" / f"{split}annot" / f"{name}.png", labels)
            save(root / "cityscapes/leftImg8bit" / split / "a" / f"{name}_leftImg8bit.png", photo)
            save(root / "cityscapes/gtFine" / split / "a" / f"{name}_gtFine_labelIds.png", labels + 20)
            save(root / "paired" / split / f"{name}.png", np.concatenate([photo, picture(index + 50)], axis=1))
            save(root / "folders/A" / split / f"{name}.png", photo)
            save(root / "folders/B" / split / f"{name}.png", picture(index + 50))
            save(root / "photos" / split / f"{name}.png", photo)
    for name in DATASETS.keys() - {"streets"}:
        kept[name] = str(root / (name if (root / name).is_dir() else "photos"))
    return kept


def planned(settings: dict[str, Any]) -> RunConfig:
    """The settings of a grid's only cell, checked as a command checks them before it opens anything."""
    return (
        plan_grid(Grid(Path("x")), GridConfig(title="x", settings=settings, cells={"one": {}}), "x", {}, [0])
        .runs[0]
        .config
    )


def seen(config: RunConfig) -> tuple[object, ...]:
    """What networks see and make: items, values, and the generator's card."""
    data: Data = open_data(config, lambda done, total: None)
    values = [
        part[0].numpy().tobytes()
        for samples in (data.train, data.test)
        for batch in samples.batches([[0]])
        for part in batch[:2]
    ]
    return data.describe(), values, make_card(config, data.dataset, data.channels)


DATA: dict[str, list[Any]] = {
    "direction": list(get_args(Direction)),
    "test_split": ["val", "test"],
    "train_items": [1],
    "test_items": [2],
    "image_size": [64],
    "input_channels": [1, 2, 3, 4],
    "output_channels": [1, 2, 3, 4],
    "input_range": [[0, 200]],
    "output_range": [[0, 200]],
}


@pytest.mark.long
@pytest.mark.parametrize("name", DATASETS)
def test_a_setting_of_data_changes_them_or_is_refused_before_they_are_opened(
    name: str, roots: dict[str, str | None]
) -> None:
    base = {**SMALL, "dataset": name, "root": roots[name]}
    usual = seen(planned(base))
    card = usual[-1]
    assert isinstance(card, GeneratorCard)
    own = {
        "direction": card.direction,
        "test_split": {"streets": None, "camvid": "test"}.get(name, "val"),
        "input_channels": card.architecture.input_channels,
        "output_channels": card.architecture.output_channels,
    }
    for key, value in _data_values():
        settings = {**base, key: value}
        if (refused := refusal(lambda: planned(settings))) is not None:  # noqa: B023 (called at once)
            assert key in refused
            assert value != own.get(key)
        elif (refused := refusal(lambda: seen(planned(settings)))) is not None:  # noqa: B023
            assert name in ("paired", "folders"), f"{key} = {value}: refused late"
            assert refused.startswith(f"key '{key}': found {value}, but the {key[:-9]}s of the files have 3 channels")
            grid = GridConfig(title="x", settings=settings, cells={"one": {}})
            assert refusal(lambda: estimate_lines(Path("x"), "x", grid, "x", {}, None)) == refused  # noqa: B023
        else:
            assert (seen(planned(settings)) != usual) == (value != own.get(key)), f"{key} = {value} has no effect"


def refusal(call: Callable[[], object]) -> str | None:
    """What a user is told, if anything is wrong."""
    try:
        call()
    except UserError as error:
        return str(error)
    return None


def _data_values() -> Iterator[tuple[str, Any]]:
    for key, values in DATA.items():
        for value in values:
            yield key, value


CHANNELS = {  # that each dataset can have, by direction: inputs, outputs
    ("streets", "labels-to-photo"): ({3}, {1, 3}),
    ("cityscapes", "photo-to-labels"): ({1, 3}, {3}),
    ("camvid", "labels-to-photo"): ({3}, {1, 3}),
    ("colorization", None): ({1}, {2}),
    ("inpainting", None): ({1, 3}, {1, 3}),
    ("edges", None): ({1, 3}, {1, 3}),
}


@pytest.mark.parametrize(("name", "direction"), CHANNELS)
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_channels_that_a_dataset_cannot_have_are_refused_with_its_settings(
    name: str, direction: str | None, count: int
) -> None:
    for key, possible in zip(("input_channels", "output_channels"), CHANNELS[name, direction], strict=True):
        settings = {"dataset": name, "direction": direction, key: count}
        if count in possible:
            assert getattr(planned(settings), key) == count
        else:
            expected = " or ".join(map(str, sorted(possible)))
            with pytest.raises(
                UserError, match=rf"x: key '{key}': expected {expected} for .* of {name}, found {count};"
            ):
                planned(settings)


def test_a_split_without_folders_of_splits_is_refused(tmp_path: Path) -> None:
    for index in range(20):
        save(tmp_path / f"{index}.png", picture(index))
    for name in ("colorization", "inpainting", "edges"):
        settings = {"dataset": name, "root": str(tmp_path), "image_size": 32}
        assert len(open_data(planned(settings), lambda done, total: None).items.test) == 2
        with pytest.raises(UserError, match=r"found no train/.*test_split = 'val', which then has no effect"):
            open_data(planned({**settings, "test_split": "val"}), lambda done, total: None)


def test_every_setting_says_what_it_affects() -> None:
    for key in RunConfig.model_fields:
        assert effects(key), key
        assert effects(key) <= set(get_args(Effect)), key
    # A run is the same wherever its data lies, whatever its threads; only bookkeeping changes no number at all.
    assert {"root", "threads", "clusters", *BOOKKEEPING} == NOT_IDENTITY
    assert not set(SHARED) & BOOKKEEPING


TRAINING: dict[str, Any] = {
    "jitter": 1.5,
    "mirror": False,
    "objective": "L1+GAN",
    "weight_l1": 10.0,
    "weight_l2": 10.0,
    "generator": "encoder-decoder",
    "ngf": 2,
    "bottleneck_norm": True,
    "receptive_field": 16,
    "ndf": 2,
    "epochs": 3,
    "decay_epochs": 1,
    "batch_size": 2,
    "learning_rate": 1e-3,
    "beta1": 0.9,
    "beta2": 0.9,
    "seed": 1,
    "halve_discriminator_loss": False,
    "adversarial_gradient": "before-update",
    "zero_conv_bias": True,
    "crop_from_one": True,
    "precision": "bf16",
    "test_dropout": False,
    "test_batch_norm": "running",
}
WITH_IT = {"weight_l2": {"objective": "L2+cGAN"}}  # where a setting has an effect only beside others


def trained(folder: Path, settings: dict[str, Any], seed: int) -> list[torch.Tensor]:
    """The weights of a run, and its pictures."""
    grid = GridConfig(title="x", settings=settings, cells={"one": {}})
    run = run_grid(folder, "grid", grid, "x", {}, [seed], Notes()).run("one", seed)
    weights = list(read_generator(run.generator)[0].state_dict().values())
    return [*weights, *(torch.from_numpy(np.array(Image.open(path))) for path in run.pictures().values())]


@pytest.mark.long
def test_every_setting_of_a_training_changes_what_comes_out(folders: Path, tmp_path: Path) -> None:
    assert {"dataset", "root", "threads", "clusters", *DATA, *TRAINING, *BOOKKEEPING} == set(RunConfig.model_fields)
    base = {**SMALL, "root": str(folders)}
    usual: dict[str, list[torch.Tensor]] = {}
    for key, value in TRAINING.items():
        beside = {**base, **WITH_IT.get(key, {})}
        if str(beside) not in usual:
            usual[str(beside)] = trained(tmp_path / f"before {key}", beside, 0)
        before = usual[str(beside)]
        settings = beside if key == "seed" else {**beside, key: value}
        after = trained(tmp_path / key, settings, value if key == "seed" else 0)
        same = len(before) == len(after) and all(map(torch.equal, before, after))
        assert not same, key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[cells.a]\nobjective = "L1"\nndf = 8\n', ", cell a: key 'ndf' has no effect: the objective L1 has no discri"),
        ("[cells.a]\njitter = 1.001\n", ", cell a: key 'jitter' has no effect: jitter = 1.001 leaves nothing to crop"),
        (
            '[settings]\nweight_l2 = 3.0\n[cells.a]\nobjective = "L1"\n[cells.b]\n',
            ": key 'weight_l2' has no effect: the objective L1 has no L2; leave it out",
        ),
    ],
)
def test_settings_of_a_grids_file_without_effect_are_refused(
    text: str, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # else `main` sets how threads wait, for later tests too
    monkeypatch.chdir(tmp_path)
    Path("own.toml").write_text(f'title = "x"\n{text}')
    with pytest.raises(SystemExit):
        main(["train-ablation", "own.toml", "--dry-run"])
    assert f"own.toml{said}" in capfd.readouterr().err
