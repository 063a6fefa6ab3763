"""The paper's story on real photos: the losses grid on CamVid, scored by an FCN that was trained on CamVid.

    python benchmarks/camvid.py data/camvid --out results-camvid
    python benchmarks/camvid.py data/camvid --out tiny --set image_size=64 --set ngf=8 --set epochs=1 --scorer-epochs 1

Trains the five cells by the paper's settings (256x256, 200 epochs, batch 1; days on a CPU), trains the scorer, scores,
writes the report, and puts the tables, the timings and screenshots of the report into docs/camvid.md. Each step is the
command that a user would type. Stopped, it goes on when it is called again; the seconds of a step are summed over all
calls.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from pathlib import Path

from record import revision

import pandas as pd
import torch

import reports
from browser import LACKING, chromium
from reports.store import atomic
from reports.store.metrics import describe

ROOT = Path(__file__).parent.parent
SHOTS = ("report", "pictures", "classes")
SCORES = {"fcn-official": ("pixel_accuracy", "class_accuracy", "class_iou"), "image": ("l1", "ssim", "sharpness")}


def steps(options: argparse.Namespace) -> dict[str, list[str]]:
    """The commands by what they are for."""
    data = ["--dataset", "camvid", "--root", str(options.root)]
    weights = f"{options.out}/camvid-scorer.safetensors"
    settings = [part for each in options.set for part in ("--set", each)]
    scorer = ["--init", options.init, "--epochs", str(options.scorer_epochs), "--width", str(options.scorer_width)]
    scorer += ["--photo-size", str(options.scorer_photo_size)]
    return {
        "five cells": [
            "train-ablation",
            "losses",
            *data,
            "--out",
            str(options.out),
            *["--seeds", options.seeds, "--parallel", str(options.parallel)],
            *settings,
        ],
        "scorer": ["fcn-train", *data, "--out", weights, *scorer],
        "FCN-score": ["fcn-score", str(options.out), "--weights", weights],
        "report": ["report", str(options.out)],
    }


def carry_out(commands: dict[str, list[str]], record: Path) -> dict[str, float]:
    """Run the commands in turn. Returns the seconds of each, those of earlier calls included.

    Raises:
        SystemExit: A command failed; what is done is kept.
    """
    seconds: dict[str, float] = json.loads(record.read_text()) if record.exists() else {}
    for name, arguments in commands.items():
        print(f"$ p2pbench {' '.join(arguments)}", flush=True)
        start = time.monotonic()
        status = subprocess.run([sys.executable, "-m", "p2pbench", *arguments], check=False).returncode
        seconds[name] = seconds.get(name, 0.0) + time.monotonic() - start
        atomic.write(record, json.dumps(seconds, indent=1).encode())
        if status:
            sys.exit(status)
    return seconds


def screenshots(results: Path, images: Path) -> list[Path]:
    """Pictures of the report; none where they cannot be taken, which is said."""
    if chromium() is None:
        print(f"no screenshots: {LACKING}")
        return []
    script = str(ROOT / "docs" / "screenshots.py")
    subprocess.run([sys.executable, script, str(results), "--report", "--images", str(images)], check=True)
    return [images / f"{shot}.webp" for shot in SHOTS]


def page(results: Path, commands: dict[str, list[str]], seconds: dict[str, float], shots: list[str]) -> str:
    """Text of docs/camvid.md; paths of the pictures are relative to it."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    lines = [
        "# The losses grid on CamVid",
        "",
        "Real street photos (CamVid: Brostow, Fauqueur, Cipolla 2008, the 11 classes of the SegNet tutorial), "
        "labels -> photo. Made by `python benchmarks/camvid.py`; what its commands do not name is as in the paper.",
        "",
        f"{time.strftime('%Y-%m-%d')}, {device}, {platform.machine()}, torch {torch.__version__}, revision "
        f"{(revision(ROOT) or 'unknown')[:12]}.",
        "",
        "| step | command | seconds |",
        "|---|---|---|",
        *(f"| {name} | `p2pbench {' '.join(command)}` | {seconds[name]:.0f} |" for name, command in commands.items()),
    ]
    for scorer, metrics in SCORES.items():
        lines += ["", *table(results, scorer, metrics)]
    for shot in shots:
        lines += ["", f"![The report: {Path(shot).stem}]({shot})"]
    return "\n".join([*lines, ""])


def table(results: Path, scorer: str, metrics: tuple[str, ...]) -> list[str]:
    """The scores of each cell as the report has them, with 95 % intervals; where there are several, each seed's."""
    (file,) = (results / "report" / "tables").glob(f"*--{scorer}.csv")
    cells = pd.read_csv(file, keep_default_na=False)
    every = reports.read(results)
    of_all = every[(every["item"] == "all") & (every["scorer"] == scorer)]
    of_seeds = of_all.groupby(["cell", "metric"])["value"].agg(list).to_dict()
    heads = [describe(metric).label for metric in metrics]
    lines = [f"| {cells['scorer'][0]} | {' | '.join(heads)} |", "|---" * (len(metrics) + 1) + "|"]
    for _, row in cells.iterrows():
        texts = []
        for metric in metrics:
            digits = describe(metric).digits
            value, low, high = (f"{float(row[metric + end]):.{digits}f}" for end in ("", "_low", "_high"))
            own = [f"{each:.{digits}f}" for each in of_seeds[row["cell"], metric]]
            texts.append(f"{value} ({low} to {high})" + (f": {', '.join(own)}" if len(own) > 1 else ""))
        lines.append(f"| {row['cell']} | {' | '.join(texts)} |")
    return lines


def main() -> None:
    """Do it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="CamVid, the SegNet edition")
    parser.add_argument("--out", type=Path, default=Path("results-camvid"))
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="other settings than the paper's"
    )
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--init", default="vgg16", help="of the scorer: vgg16 (downloaded), scratch, or a file")
    parser.add_argument("--scorer-epochs", type=int, default=40)
    parser.add_argument("--scorer-width", type=float, default=1.0)
    parser.add_argument("--scorer-photo-size", type=int, default=256, help="the paper's size rule: that of the outputs")
    parser.add_argument("--parallel", type=int, default=1, metavar="K", help="cells at once")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/camvid.md")
    options = parser.parse_args()
    commands = steps(options)
    options.out.mkdir(parents=True, exist_ok=True)
    seconds = carry_out(commands, options.out / "camvid-seconds.json")
    shots = screenshots(options.out, options.page.parent / "images" / options.page.stem)
    places = [shot.relative_to(options.page.parent).as_posix() for shot in shots]
    atomic.write(options.page, page(options.out, commands, seconds, places).encode())
    print(options.page)


if __name__ == "__main__":
    main()
