"""A wheel in an environment of its own, outside the checkout: `python -m tests.wheel_run dist`.

The wheel must hold the packages' files, all of them and no others, and a tiny grid must be trained, scored, judged and
reported by the command that it installs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import zipfile
from email.parser import Parser
from pathlib import Path

from p2pbench.installation import SIBLINGS
from tests.environments import ROOT, Environment
from tests.golden.chain import GRID

SETTINGS = "image_size=32 ngf=4 ndf=4 receptive_field=16 batch_size=4 epochs=1 train_items=4 test_items=11"
TRAIN = "train-ablation tiny.toml --dataset streets --device cpu --fcn-weights scorer.safetensors"
PIPELINE = (
    "fcn-train --dataset streets --init scratch --device cpu --width 0.03125 --photo-size 32 --epochs 1 "
    "--train-items 4 --out scorer.safetensors",
    f"{TRAIN} --set {SETTINGS.replace(' ', ' --set ')}",
    "image-score results",
    "amt create results --name tiny --simulated --raters 2 --practice 2 --trials 4",
    "amt simulate results",
    "amt close results",
    "amt analyse results",
    "report results",
)
MADE = ("report/index.html", "report/tables/tiny--image.csv", "study/tiny/analysis.json")
"""Files of the results folder."""


def check_files(wheel: Path) -> list[str]:
    """Compare a wheel's files with the repository's; return the requirements of the wheel.

    Raises:
        SystemExit: Files are missing, or of no package.
    """
    listed = subprocess.run(
        ["git", "ls-files", "p2pbench", *SIBLINGS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        held = {name for name in archive.namelist() if not name.startswith(metadata.split("/")[0])}
        requirements = Parser().parsestr(archive.read(metadata).decode()).get_all("Requires-Dist", [])
    ours = set(listed.stdout.splitlines())
    if missing := sorted(ours - held):
        sys.exit(f"{wheel}: lacks {', '.join(missing)}; see package-data in pyproject.toml")
    if foreign := sorted(held - ours):
        sys.exit(f"{wheel}: holds {', '.join(foreign)}, expected files of git alone; add them, or see pyproject.toml")
    return [each for each in requirements if "extra ==" not in each]


def run(environment: Environment, folder: Path, *command: str) -> str:
    """Run a command of the environment and return what it printed.

    Raises:
        SystemExit: It failed.
    """
    began = time.monotonic()
    caches = {"P2PBENCH_CACHE": str(folder / "cache"), "TORCH_HOME": str(folder / "torch"), "OMP_NUM_THREADS": "1"}
    ended = environment.run(*command, cwd=folder, **caches)
    line = " ".join(command)
    print(f"{time.monotonic() - began:6.1f} s  {line}", flush=True)
    if ended.returncode != 0:
        sys.exit(f"{ended.stdout}{ended.stderr}exit code {ended.returncode}, expected 0: {line}")
    return ended.stdout


def main() -> None:
    """Check and try the one wheel of a folder."""
    wheels = sorted(Path(sys.argv[1]).glob("*.whl"))
    if len(wheels) != 1:
        sys.exit(f"{sys.argv[1]}: found {len(wheels)} wheels, expected 1; make dist")
    wheel = wheels[0].resolve()
    requirements = check_files(wheel)
    with tempfile.TemporaryDirectory(prefix="p2pbench-wheel-") as made:
        folder = Path(made) / "work"
        folder.mkdir()
        environment = Environment(Path(made) / "environment", *requirements)
        environment.install(str(wheel))
        (folder / "tiny.toml").write_text(GRID)
        place = run(environment, folder, "python", "-c", "import p2pbench; print(p2pbench.__file__)").strip()
        if not Path(place).is_relative_to(environment.site_packages):
            sys.exit(f"p2pbench is imported from {place}, expected {environment.site_packages}")
        for line in PIPELINE:
            run(environment, folder, "p2pbench", *line.split())
        for name in MADE:
            if not (folder / "results" / name).is_file():
                sys.exit(f"results/{name} is missing; found {sorted(os.listdir(folder / 'results'))}")
    print(f"{wheel.name}: {len(PIPELINE)} commands outside the checkout did what they should")


if __name__ == "__main__":
    main()
