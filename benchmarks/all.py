"""Every benchmark that makes sense on this machine, one after the other, each short: minutes for all on two cores.

    python benchmarks/all.py [--before REVISION]

Each is a process of its own with fewer repeats than it has when called alone. One that fails keeps none from running,
but this fails at the end. What is skipped is named with its reason. `--before` is what small_step.py compares with: a
revision of this repository, checked out for that time into a temporary folder.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from record import RESULTS, ROOT

from browser import LACKING, chromium

SHORT = {
    "cuda_step": "--seconds 60",
    "fcn_forward": "--repeats 2",
    "fcn_score": "--images 8 --size 256x512",
    "fooling_coverage": "--studies 100",
    "parallel": "--parallel 1 2",
    "ray_grid": "--repeats 1 --epochs 5",
    "report": "--items 125 500 --repeats 1",
    "small_step": "--blocks 6",
    "study_load": "--raters 100 --pace 1",
    "study_page": "--sessions keyboard",
    "verdicts": "--trials 200",
}
PARTS = {"all", "browser", "cuda_checks", "record", "timing"}  # of benchmarks, not benchmarks


def benchmarks() -> list[str]:
    """Their names."""
    return sorted({path.stem for path in (ROOT / "benchmarks").glob("*.py")} - PARTS)


def lacking(before: str | None) -> dict[str, str]:
    """Why a benchmark cannot be run here, by its name."""
    import torch

    found = {"camvid": "needs CamVid, and hours: see its --help"}
    if before is None:
        found["small_step"] = "nothing to compare with: give --before REVISION"
    if not torch.cuda.is_available():
        found["cuda_step"] = "no GPU"
    if find_spec("ray") is None:
        found["ray_grid"] = "no Ray: pip install 'p2pbench[cluster]'"
    if chromium() is None:
        found["report"] = found["study_page"] = LACKING
    return found


@contextmanager
def checkout(revision: str | None) -> Iterator[list[str]]:
    """The folder with a revision of this repository; nothing without one."""
    if revision is None:
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="p2pbench-") as folder:
        place = str(Path(folder) / "before")
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", place, revision], check=True)
        try:
            yield [place]
        finally:
            subprocess.run([*git, "remove", "--force", place], check=True)


def main() -> None:
    """Run them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", metavar="REVISION")
    before = parser.parse_args().before
    skipped, ends = lacking(before), {}
    with checkout(before) as other:
        for name in benchmarks():
            if name in skipped:
                continue
            arguments = [*(other if name == "small_step" else []), *SHORT.get(name, "").split()]
            print(f"\n== {name} {' '.join(arguments)}", flush=True)
            file, start = RESULTS / f"{name}.json", time.monotonic()
            file.unlink(missing_ok=True)  # of an earlier call
            status = subprocess.run([sys.executable, f"benchmarks/{name}.py", *arguments], cwd=ROOT).returncode
            written = file.relative_to(ROOT) if file.exists() else "nothing written"
            ends[name] = status, f"{'FAILED, ' if status else ''}{time.monotonic() - start:.0f} s, {written}"
    print()
    for name, (_, end) in ends.items():
        print(f"{name:18}{end}")
    for name, reason in skipped.items():
        print(f"{name:18}skipped: {reason}")
    sys.exit(any(status for status, _ in ends.values()))


if __name__ == "__main__":
    main()
