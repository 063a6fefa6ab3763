"""Results of a benchmark: tables on the screen, and a JSON file of them with the machine and the revision.

    parser = record.options(__doc__)
    found = record.Record("train_step", parser.parse_args())
    found.table("A training step", [{"step": "ours", "seconds": 0.416}, {"step": "plain", "seconds": 0.579}])
    found.save()

Keys name units (seconds, bytes, images_per_second), and numbers are rounded on the screen alone. To be imported before
torch, which then reads how long threads spin: as long as under the command line. Ruff sorts it there.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

if "GOMP_SPINCOUNT" not in os.environ:  # else it is set, as for an older checkout that may not know SPINS
    from p2pbench.cli import SPINS

    os.environ["GOMP_SPINCOUNT"] = SPINS

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BENDING = ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")

Row = Mapping[str, object]
"""Texts and numbers by what they are and their unit."""


def options(description: str | None) -> argparse.ArgumentParser:
    """A parser of a benchmark's options, the file of its results among them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="instead of benchmarks/results/NAME.json")
    return parser


class Record:
    """The tables of one benchmark."""

    def __init__(self, name: str, arguments: argparse.Namespace) -> None:
        self._name = name
        self._file: Path = arguments.json or RESULTS / f"{name}.json"
        self._tables: dict[str, list[Row]] = {}

    def table(self, title: str, rows: Sequence[Row]) -> None:
        """Print a table and keep it."""
        self._tables[title] = list(rows)
        print(f"\n{title}\n{aligned(rows)}", flush=True)

    def save(self) -> None:
        """Write the tables, and what they were measured on.

        Raises:
            ValueError: A number is infinite or none.
        """
        content = {"benchmark": self._name, **circumstances(), "tables": self._tables}
        text = json.dumps(content, indent=1, allow_nan=False, default=float)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(text + "\n", encoding="utf-8")
        print(f"\n{_machine_line(content)}\n{self._file}", flush=True)


def aligned(rows: Sequence[Row]) -> str:
    """A table as text: the first column to the left, the others to the right."""
    heads = list(dict.fromkeys(head for row in rows for head in row))
    lines = [heads, *([_text(row.get(head)) for head in heads] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = []
    for first, *others in lines:
        right = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        shown.append("  ".join((first.ljust(widths[0]), *right)).rstrip())
    return "\n".join(shown)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.3e}"
    return str(value)


def circumstances() -> dict[str, Any]:
    """Machine, date, revision, versions and command line; no path but from the repository's root."""
    import numpy as np
    import torch  # here, since benchmarks measure memory before it and set what it reads when it is imported

    status = _git(ROOT, "status", "--porcelain")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision(ROOT),
        "clean": None if status is None else not status,
        "command": command_line(sys.argv),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "avx512": torch.backends.cpu.get_cpu_capability() == "AVX512",
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "environment": {name: os.environ[name] for name in BENDING if name in os.environ},
        "versions": {
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "numpy": np.__version__,
        },
    }


def command_line(arguments: Sequence[str]) -> str:
    """Command line of the benchmark, with the last part alone of absolute paths."""
    script, *others = arguments
    bare = (re.sub(r"(^|=)/(?:[^/]*/)*", r"\1", argument) for argument in others)
    return shlex.join(["python", f"benchmarks/{Path(script).name}", *bare])


def _processor() -> str:
    """Its name as its maker writes it, where the system says it."""
    file = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*:\s*(.+)$", file.read_text(), re.MULTILINE) if file.exists() else None
    return named[1].strip() if named else platform.processor() or platform.machine()


def revision(checkout: Path) -> str | None:
    """The commit that is checked out in a folder; None where git knows none."""
    return _git(checkout, "rev-parse", "HEAD")


def _git(checkout: Path, *arguments: str) -> str | None:
    """Output of a git command in a checkout; None without a repository, or without git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=checkout, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _machine_line(content: Mapping[str, Any]) -> str:
    machine, versions = content["machine"], content["versions"]
    instructions = " (AVX-512)" if machine["avx512"] else ""
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    changed = {True: "", False: ", changed", None: ""}[content["clean"]]
    return (
        f"{machine['processor']}{instructions}, {machine['cores']} cores, {machine['threads']} threads{gpu}; "
        f"torch {versions['torch']}; revision {(content['revision'] or 'unknown')[:12]}{changed}"
    )
