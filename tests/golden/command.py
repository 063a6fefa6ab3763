"""Command lines of a checkout, each in a process of its own that begins with the libraries imported."""

from __future__ import annotations

import importlib
import importlib.util
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from tests.patience import wait_until

LIBRARIES = (
    *("torch", "torchvision", "numpy", "scipy.stats", "scipy.ndimage", "skimage.metrics", "skimage.color", "pandas"),
    *("matplotlib.figure", "pydantic", "rich.progress", "jinja2", "fastapi", "uvicorn", "httpx", "sqlalchemy"),
    *("safetensors.torch", "PIL.Image", "tifffile", "argon2", "click"),
)


def prepare(checkout: Path, side: Path) -> None:
    """Set this process up as the parent of a checkout's commands.

    Importing the libraries takes seconds, more than most commands take: they are imported once, and commands are forks
    of this process. What they import of the program comes from the checkout.
    """
    os.environ |= {
        "PYTHONPATH": str(checkout),
        "P2PBENCH_CACHE": str(side / "cache"),
        "TORCH_HOME": str(side / "torch"),
        "COLUMNS": "100",
    }
    for name in LIBRARIES:
        importlib.import_module(name)
    root = str(Path(__file__).parent.parent.parent)
    sys.path[:] = [str(checkout), *(path for path in sys.path if path not in {"", root})]
    program = importlib.util.find_spec("p2pbench")
    origin = Path((program and program.origin) or "")
    assert origin.is_relative_to(checkout), f"p2pbench is imported from {origin}, not from {checkout}"


def run(arguments: Sequence[str], folder: Path, record: Path, stop_when: Callable[[], object] | None = None) -> None:
    """Run `python -m p2pbench ARGUMENTS` in a folder; write exit code, output and error output into `record`.

    Args:
        arguments: The command line behind the program's name.
        folder: The working directory.
        record: A folder that is made for `code`, `out` and `err`.
        stop_when: The command gets SIGTERM once this holds.
    """
    record.mkdir(parents=True)
    pid = os.fork()
    if pid == 0:
        _become(arguments, folder, record)
    if stop_when is not None:
        wait_until(lambda: stop_when() or not _running(pid), f"the moment to stop {' '.join(arguments)}")
        os.kill(pid, signal.SIGTERM)
    _, status, usage = os.wait4(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    (record / "code").write_text(f"{code}\n")
    print(f"{usage.ru_utime + usage.ru_stime:6.1f} s of processor  exit {code:3}  {record.name}", flush=True)


def _running(pid: int) -> bool:
    """Whether a child still runs; one that ended is left to be waited for."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _become(arguments: Sequence[str], folder: Path, record: Path) -> NoReturn:
    """Be the command, in a process that was just forked."""
    code = 1
    try:
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(record / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.chdir(folder)
        sys.argv = ["p2pbench", *arguments]
        runpy.run_module("p2pbench", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 (what the interpreter does with what nobody catches)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
