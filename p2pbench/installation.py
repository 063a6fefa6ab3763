"""Version of p2pbench, and a check of the packages beside it."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

VERSION = "0.1.0"
SIBLINGS = ("fcn", "amt", "reports")
OURS = b"p2pbench"  # in each __init__ of ours: another distribution may have written its own over it


def check_siblings() -> None:
    """Refuse packages named like ours; called before anything imports them.

    Raises:
        ImportError: Another fcn, amt or reports is found in place of ours, or none: which file, and what to do.
        SystemExit: The same, as a line without a traceback, where p2pbench was started as a command.
    """
    for name in SIBLINGS:
        expected = Path(__file__).parents[1] / name
        found = _find(name)
        if found is not None and found.stem == "__init__" and _same(found.parent, expected):
            if OURS in found.read_bytes():
                continue
            problem = f"{found} is not p2pbench's; {_reinstall(*_owners(found))}"
        elif found is None or _same(found, expected):
            problem = f"{expected / '__init__.py'} is missing; {_reinstall()}"
        else:
            elsewhere = "rename that, or keep it off Python's path (working folder, PYTHONPATH)"
            mend = f"pip uninstall {' '.join(owners)}" if (owners := _owners(found)) else elsewhere
            problem = f"Python finds {found}, expected {expected}; {mend}"
        message = f"{name}: {problem}"
        if _started_as_command():
            sys.exit(f"Error: {message}")
        raise ImportError(message, name=name)


def _find(name: str) -> Path | None:
    """The file of a package or module, or the folder of a package without __init__; nothing is imported."""
    spec = find_spec(name)
    if spec is None:
        return None
    folders = spec.submodule_search_locations or []
    return Path(spec.origin or next(iter(folders)))


def _same(path: Path, expected: Path) -> bool:
    return expected.exists() and os.path.samefile(path, expected)


def _owners(file: Path) -> list[str]:
    """The names of other distributions that installed a file, from pip's records."""
    from importlib import metadata  # which takes longer to import than all else here

    return [
        distribution.name
        for distribution in metadata.distributions()
        if distribution.name != "p2pbench"
        for listed in distribution.files or []
        if listed.name == file.name and Path(str(distribution.locate_file(listed))) == file
    ]


def _reinstall(*others: str) -> str:
    return f"pip uninstall {' '.join([*others, 'p2pbench'])}, then install p2pbench again"


def _started_as_command() -> bool:
    """Whether Python runs the console script, or still looks for what `python -m` names."""
    script = sys.argv[0] if sys.argv else ""
    return script == "-m" or Path(script).stem == "p2pbench"
