"""Command lines in processes of their own, forked from one that has imported what commands import.

`python -m p2pbench` spends most of a short command on importing torch. Here one process per worker of pytest imports
it, and forks: what follows the imports is as in a process that was started, down to signals, streams and exit codes.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import re
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import IO

from tests.patience import PATIENCE

_ended: list[int] = []  # the exit code of this process's command
_LONGEST = 1 << 20  # bytes of a request
_USES_RAY = re.compile("cluster|ray|jobs")  # which starts threads, and threads do not survive a fork


class Started:
    """A command line at work; it has the methods of subprocess.Popen that tests use.

    Attributes:
        pid: Of the process itself.
        stdout: What it prints, as text.
        stderr: The same of its errors.
        returncode: None until the end was looked for; less a signal's number where one ended it.
    """

    def __init__(self, pid: int, status: int, out: int, err: int) -> None:
        self.pid = pid
        self.stdout: IO[str] = os.fdopen(out, encoding="utf-8")
        self.stderr: IO[str] = os.fdopen(err, encoding="utf-8")
        self.returncode: int | None = None
        self._status = os.fdopen(status, "rb", buffering=0)
        self._ended = threading.Lock()

    def poll(self) -> int | None:
        """The exit code where it has ended."""
        with self._ended:
            if self.returncode is None:
                os.set_blocking(self._status.fileno(), False)
                self._hear(self._status.read())
        return self.returncode

    def wait(self, timeout: float = PATIENCE) -> int:
        """The exit code, once it has ended."""
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            assert time.monotonic() < deadline, f"process {self.pid} did not end within {timeout:.0f} s"
            time.sleep(0.005)
        return code

    def communicate(self, timeout: float = PATIENCE) -> tuple[str, str]:
        """Read all that it prints and is not read yet, and wait for its end."""
        with ThreadPoolExecutor(2) as readers:
            streams = (self.stdout, self.stderr)
            read = [readers.submit(stream.read) for stream in streams if not stream.closed]
            texts = [each.result() for each in read] or ["", ""]
        self.wait(timeout)
        self.close()
        return texts[0], texts[1]

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Close what was to be read from it."""
        for stream in (self.stdout, self.stderr, self._status):
            stream.close()

    def __enter__(self) -> Started:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.wait()
        self.close()

    def _hear(self, written: bytes | None) -> None:
        if written is not None:  # None: nothing yet
            assert written, f"process {self.pid}: the process that forked it is gone"
            self.returncode = int(written)


class Forker:
    """The process that has imported everything, and forks."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def start(self, *arguments: str, **environment: str) -> Started:
        """Start `p2pbench` in this process's folder and environment, with changes to the latter."""
        request = {"arguments": arguments, "cwd": os.getcwd(), "environment": {**os.environ, **environment}}
        (out, to_out), (err, to_err), (status, to_status) = os.pipe(), os.pipe(), os.pipe()
        socket.send_fds(self._line, [json.dumps(request).encode()], [to_out, to_err, to_status])
        for end in (to_out, to_err, to_status):
            os.close(end)
        pid = int(self._line.recv(100))
        return Started(pid, status, out, err)


@contextmanager
def forker() -> Iterator[Forker]:
    """Start the process that forks."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with its:
            its.set_inheritable(True)
            command = [sys.executable, "-m", "tests.p2pbench.forked", str(its.fileno())]
            root = Path(__file__).parents[2]
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *_given("PYTHONPATH")])}
            process = subprocess.Popen(command, pass_fds=[its.fileno()], env=environment)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LONGEST)
        yield Forker(ours)
    assert process.wait(PATIENCE) == 0


def _given(name: str) -> list[str]:
    return [os.environ[name]] if name in os.environ else []


def _serve(line: socket.socket) -> None:
    """Fork for each request, until nobody is left who could ask."""
    atexit.register(_leave)  # before all imports, so that it is called after what these register
    for package in map(import_module, ("p2pbench", "fcn", "amt", "reports")):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not (module.name.endswith("__main__") or _USES_RAY.search(module.name)):
                import_module(module.name)  # commands import most of them only when they run
    for name in ("pandas", "matplotlib.pyplot", "scipy.stats", "rich.progress", "piq", "torchvision"):
        import_module(name)  # and these within functions
    gc.freeze()  # else each process visits, and so copies, all that was imported when it ends
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    while True:
        request, streams, _, _ = socket.recv_fds(line, _LONGEST, 3)
        if not request:
            return
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _keep(line, json.loads(request), *streams)
        for stream in streams:
            os.close(stream)


def _keep(line: socket.socket, request: dict[str, object], out: int, err: int, status: int) -> None:
    """Fork the command, say its number, and in the end how it ended."""
    pid = os.fork()
    if pid == 0:
        line.close()
        os.close(status)
        _become_the_command(request, out, err)
    line.send(str(pid).encode())
    for stream in (out, err):
        os.close(stream)
    _, ended = os.waitpid(pid, 0)
    os.write(status, str(os.waitstatus_to_exitcode(ended)).encode())
    os._exit(0)


def _become_the_command(request: dict[str, object], out: int, err: int) -> None:
    """Do what `python -m p2pbench` does, with the streams of whoever asked."""
    for stream, number in ((out, 1), (err, 2)):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(request["environment"])  # type: ignore[call-overload]
    sys.argv = ["p2pbench", *request["arguments"]]  # type: ignore[misc]
    try:
        runpy.run_module("p2pbench", run_name="__main__", alter_sys=True)
        sys.exit()
    except SystemExit as end:
        _ended.append(end.code if isinstance(end.code, int) else int(end.code is not None))
        raise


def _leave() -> None:
    """End the process as its command ended, without freeing, and so copying, all imports: most of a second."""
    with suppress(OSError):  # a closed pipe is left to Python
        sys.stdout.flush()
        sys.stderr.flush()
        if _ended:  # an interrupt, and a bug of ours, end as Python has it
            os._exit(_ended[0] & 0xFF)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as line_:
        _serve(line_)
