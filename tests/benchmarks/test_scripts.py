"""Every benchmark starts."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from all import benchmarks
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]
STARTS_EACH = """
import runpy, sys
paths = sys.path[1:]
for name in sys.argv[1:]:
    sys.path[:] = ["benchmarks", *paths]  # as of a script
    sys.argv = [f"benchmarks/{name}.py", "--help"]
    print("==", name, flush=True)
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as ended:
        assert not ended.code, (name, ended.code)
"""


@pytest.mark.process
def test_each_starts() -> None:
    names = sorted(["all", *benchmarks()])
    if find_spec("ray") is None:
        names.remove("ray_grid")
    # In one process, since most of a start is torch's.
    command = [sys.executable, "-c", STARTS_EACH, *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr
    helped = {part.split()[0]: part for part in done.stdout.split("== ")[1:]}
    assert list(helped) == names
    for name, text in helped.items():
        assert f"python benchmarks/{name}.py" in text, name
        assert "--help" in text, name
