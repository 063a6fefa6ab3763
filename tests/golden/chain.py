"""The commands that both revisions are given: `python -m tests.golden.chain CHECKOUT SIDE SIZE`."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from tests.golden import command
from tests.golden.other_generator import write_other_generator

GRID = """
title = "Two losses"
[settings]
direction = "labels-to-photo"
[cells."L1"]
objective = "L1"
[cells."L1+cGAN"]
objective = "L1+cGAN"
"""

COMMANDS = (
    *("quickstart", "train-ablation", "train", "generate", "generator-import", "fcn-import", "image-score"),
    *("fcn-train", "fcn-score", "label-score", "report", "plan", "datasets", "download", "settings", "amt"),
    *("amt create", "amt serve", "amt status", "amt analyse", "amt export", "amt simulate", "amt close", "amt links"),
    "amt plan",
)
WRONG = (
    "no-such-command",
    "train-ablation no-such-grid",
    "train-ablation losses --dataset no-such-dataset",
    "train-ablation losses --dataset cityscapes --root missing",
    "train-ablation losses --dataset streets --set no_such_setting=1",
    "train-ablation losses --dataset streets --set image_size=33",
    "train-ablation losses --dataset streets --seeds 0,x",
    "train-ablation losses --dataset streets --seeds 0,0",
    "train --task no-such-task",
    "fcn-score missing",
    "fcn-score results --weights missing.safetensors",
    "fcn-score results --classes --json",
    "image-score missing",
    "label-score results --read colours",
    "generate missing inputs --out made",
    "generate scorer.safetensors inputs --out made",
    "generator-import missing.pth missing.safetensors",
    "fcn-import missing.caffemodel missing.safetensors",
    "fcn-train --dataset inpainting --out never.safetensors",
    "report missing",
    "plan missing",
    "amt analyse missing",
    "amt status results",
    "amt create results --name Not-A-Name",
    "amt plan --difference 6 --raters 5",
)


class Size(NamedTuple):
    """How much is trained.

    Attributes:
        grid: A preset's name, or "golden.toml", two cells of a file.
        settings: Of all trainings, as --set takes them.
        seeds: Of the grid.
        scorer: Options of fcn-train.
        own_scorer: Whether street scenes are scored by the scorer that the program trains for them.
        study: Options of amt create.
    """

    grid: str
    settings: str
    seeds: str
    scorer: str
    own_scorer: bool
    study: str


SHARED = "receptive_field=16 batch_size=4 threads=1 log_every=1 checkpoint_seconds=0"
SIZES = {
    "tiny": Size(
        "golden.toml",
        f"image_size=32 ngf=4 ndf=4 epochs=2 train_items=8 test_items=13 {SHARED}",
        "0,1",
        "--width 0.03125 --photo-size 32 --epochs 1 --batch-size 4 --train-items 9",
        False,
        "--raters 4 --practice 2 --trials 6 --attention 0",
    ),
    "full": Size(
        "losses",
        f"image_size=64 ngf=8 ndf=8 epochs=3 train_items=40 test_items=20 {SHARED}",
        "0,1",
        "--width 0.0625 --photo-size 64 --epochs 3 --batch-size 4 --train-items 40",
        True,
        "--raters 8 --practice 2 --trials 10 --attention 2",
    ),
}


class Chain:
    """One revision's work in one folder; each command is a step with a name."""

    def __init__(self, folder: Path, size: Size) -> None:
        self.folder = folder
        self.size = size
        self.grid = Path(size.grid).stem
        self.weights = "" if size.own_scorer else "--weights scorer.safetensors"
        self.dataset = "--dataset streets --device cpu " + " ".join(f"--set {one}" for one in size.settings.split())
        self.few = re.sub(r"test_items=\d+", "test_items=4", self.dataset)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "golden.toml").write_text(GRID)

    def do(self, step: str, line: str) -> None:
        """Run a command line; its words are separated by spaces."""
        command.run(line.split(), self.folder, self.folder / "steps" / step)

    def copy(self, source: str, target: str, scheme: str = "{}.png") -> None:
        """Copy a folder's pictures, renamed to another tool's scheme."""
        (self.folder / target).mkdir()
        for path in sorted((self.folder / source).glob("*.png")):
            shutil.copy(path, self.folder / target / scheme.format(path.stem))

    def everything(self) -> None:
        """What is compared from one revision to the other."""
        scorer = f"--init scratch --device cpu {self.size.scorer} --out scorer.safetensors"
        self.do("fcn-train", f"fcn-train --dataset streets {scorer}")
        self.train_and_score()
        self.labels()
        self.others()
        self.generators()
        self.single_runs()
        self.study()
        self.texts()

    def train_and_score(self) -> None:
        """The grid of labels to photo."""
        scorer = "" if self.size.own_scorer else "--fcn-weights scorer.safetensors"
        line = f"train-ablation {self.size.grid} {self.dataset} --seeds {self.size.seeds} {scorer} --out results"
        self.do("dry-run", f"{line} --dry-run")
        self.do("train-ablation", line)
        self.do("self-test", f"fcn-score --self-test --dataset streets --test-items 4 --device cpu {self.weights}")
        self.do("plan", "plan results --seeds 2,3")
        self.score()

    def score(self) -> None:
        """Every score of the grid, and the report."""
        self.do("image-score", "image-score results")
        self.do("fcn-score", f"fcn-score results {self.weights} --device cpu --classes")
        self.do("fcn-score-official", f"fcn-score results {self.weights} --device cpu --protocol official")
        self.do("fcn-score-json", f"fcn-score results {self.weights} --device cpu --json")
        self.do("report", "report results")

    def labels(self) -> None:
        """The grid of photo to labels."""
        self.do("train-labels", self.labels_line("labels"))
        self.score_labels()

    def labels_line(self, out: str) -> str:
        """The command that trains that grid."""
        return f"train-ablation segmentation {self.few} --seeds 0 --out {out}"

    def score_labels(self) -> None:
        """The scores of that grid."""
        self.do("label-score", "label-score labels --json")
        self.do("label-score-native", "label-score labels --at label")

    def others(self) -> None:
        """Folders of other tools' outputs."""
        self.copy(f"results/{self.grid}/L1/seed-0/images", "other-photos", "{}_fake_B.png")
        self.copy("labels/segmentation/L1/seed-0/images", "other-labels", "{}_pred.png")
        streets = "--labels streets: --allow-partial"
        self.do("others-fcn-score", f"fcn-score other-photos {streets} --out photo-scores {self.weights} --json")
        self.do("others-label-score", f"label-score other-labels {streets} --out label-scores --json")
        self.do("others-incomplete", f"fcn-score other-photos --labels streets: --out never {self.weights}")

    def generators(self) -> None:
        """A run's generator, and another code's."""
        self.copy(f"results/{self.grid}/input/images", "inputs")
        self.generate()
        write_other_generator(self.folder / "latest_net_G.pth")
        self.do("generator-import", "generator-import latest_net_G.pth imported.safetensors --dropout")
        self.do("generate-imported", "generate imported.safetensors inputs --out imported --dropout off --device cpu")

    def generate(self) -> None:
        """Pictures by a run's generator."""
        run = f"results/{self.grid}/L1+cGAN/seed-0"
        self.do("generate", f"generate {run} inputs --out made --seed 3 --device cpu")
        file = f"{run}/generator.safetensors"
        self.do("generate-file", f"generate {file} inputs --out made-off --dropout off --device cpu")

    def single_runs(self) -> None:
        """Two trainings, and what changed from one to the other."""
        for out, weight in (("before", 100), ("after", 5)):
            settings = f"--set direction=photo-to-labels --set weight_l1={weight}"
            self.do(f"train-{out}", f"train {self.few} {settings} --out {out}")
        self.do("report-changes", "report before after")
        self.do("report-single-file", "report before --single-file --items 2")

    def study(self) -> None:
        """A study with simulated raters, on a copy of the grid: whom each answers differs from time to time."""
        shutil.copytree(self.folder / "results", self.folder / "rated", ignore=shutil.ignore_patterns("report"))
        self.do("amt-create", f"amt create rated --name golden --simulated {self.size.study}")
        self.do("amt-simulate", "amt simulate rated --fooling L1+cGAN=40 --seed 1")
        self.do("amt-too-early", "amt analyse rated")
        self.do("amt-close", "amt close rated")
        self.analyse()

    def analyse(self) -> None:
        """What is said of a study's answers."""
        self.do("amt-status", "amt status rated --json")
        self.do("amt-analyse", "amt analyse rated")
        self.do("amt-analyse-json", "amt analyse rated --json --seed 2")
        self.do("amt-export", "amt export rated")
        self.do("amt-analyse-csv", "amt analyse rated/study/golden/answers.csv")
        self.do("report-rated", "report rated --items 2")

    def texts(self) -> None:
        """Help texts, lists, plans, and calls that are refused."""
        self.do("help", "--help")
        for name in COMMANDS:
            self.do(f"help-{name.replace(' ', '-')}", f"{name} --help")
        for name in ("datasets", "settings"):
            self.do(name, name)
        self.do("amt-plan", "amt plan --difference 6 --rate 20 --items 200")
        self.do("amt-plan-raters", "amt plan --raters 40")
        for number, line in enumerate(WRONG):
            self.do(f"wrong-{number:02}", line)

    def interrupt(self) -> None:
        """The grid of photo to labels, stopped in its second training."""
        line = self.labels_line("cut")
        begun = self.folder / "cut" / "segmentation" / "cGAN" / "seed-0" / "checkpoint.pt"
        command.run(line.split(), self.folder, self.folder / "steps" / "interrupted", begun.exists)

    def take_over_grid(self, base: Path) -> None:
        """What this revision makes of the base's scorer, trainings and generators; commands of `everything`."""
        scored = shutil.ignore_patterns("scores", "report", "segmentations")
        shutil.copy(base / "scorer.safetensors", self.folder)
        shutil.copytree(base / "results", self.folder / "results", ignore=scored)
        self.score()
        shutil.copytree(base / "inputs", self.folder / "inputs")
        self.generate()

    def take_over_rest(self, base: Path) -> None:
        """The same of its interrupted training and its study."""
        shutil.copytree(base / "cut", self.folder / "labels")
        self.do("finish", self.labels_line("labels"))
        self.score_labels()
        analysed = shutil.ignore_patterns("report", "study-*.json", "answers.csv", "sessions.csv", "analysis.*")
        shutil.copytree(base / "rated", self.folder / "rated", ignore=analysed)
        self.analyse()


def main() -> None:
    """Run one side's commands; with PART and BASE, a part of those that take over the files of another side."""
    checkout, side, size = Path(sys.argv[1]), Path(sys.argv[2]), SIZES[sys.argv[3]]
    command.prepare(checkout, side)
    chain = Chain(side / "work", size)
    if len(sys.argv) > 4:
        take_over = {"grid": chain.take_over_grid, "rest": chain.take_over_rest}[sys.argv[4]]
        take_over(Path(sys.argv[5]) / "work")
    else:
        chain.everything()
        chain.interrupt()


if __name__ == "__main__":
    main()
