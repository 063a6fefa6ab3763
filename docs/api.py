"""docs/api.md: the public names with their signatures and docstrings.

make docs        # writes it anew
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))  # run as a script, it describes the code beside it

import p2pbench  # noqa: E402
from p2pbench.ablation.runner import Trained  # noqa: E402
from p2pbench.runtime.interrupt import Stop  # noqa: E402
from p2pbench.runtime.progress import ProgressReporter  # noqa: E402
from p2pbench.scoring.score_table import RunScores  # noqa: E402
from p2pbench.training.generated_folder import Translated  # noqa: E402
from p2pbench.training.inference import LoadedGenerator  # noqa: E402

PAGE = Path(__file__).with_suffix(".md")
ORDER = (
    *("train_grid", "load_generator", "generate", "image_score", "segmentation_score", "read_scores", "write_report"),
    *("RunConfig", "GridConfig"),
)
RESULTS = (Trained, LoadedGenerator, Translated, RunScores, ProgressReporter, Stop)
HEAD = """# From Python

`from p2pbench import train_grid, image_score, ...`: the commands train-ablation, generate, image-score, fcn-score and
report as functions. They print nothing unless they get a `reporter`, install no signal handlers, and may be called from
any thread. Results show as tables in a terminal and in a notebook. `p2pbench.errors.MENDABLE` is a tuple of all errors
that a user can mend, such as `UserError`; `RunConfig` and `GridConfig` raise pydantic's `ValidationError`. Each example
continues in the folder that those above it left, with a small network in `fcn.safetensors`; tests run all of them.

`make docs` writes this page from the docstrings.
"""
_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Example):$")
_ENTRY = re.compile(r"^(\w[\w., ]*): (.*)$")


def page() -> str:
    """The whole page."""
    assert sorted(ORDER) == sorted(p2pbench.__all__)
    names = [line for name in ORDER for line in entry(name, getattr(p2pbench, name))]
    results = [line for kind in RESULTS for line in kind_entry(kind)]
    return "\n".join([HEAD, *names, "## Results and arguments\n", *results]).rstrip() + "\n"


def entry(name: str, thing: object) -> Iterator[str]:
    """The lines on one name."""
    yield f"## {name}\n"
    if inspect.isfunction(thing):
        yield f"```python\n{signature(name, inspect.signature(thing))}\n```\n"
    else:
        yield f"Fields: {', '.join(f'`{field}`' for field in getattr(thing, 'model_fields', ()))}.\n"
    yield from described(inspect.getdoc(thing) or "")


def kind_entry(kind: type) -> Iterator[str]:
    """The lines on a class that functions return or take: its docstring, and a line per method and property."""
    yield f"### {kind.__name__}\n"
    yield from described(inspect.getdoc(kind) or "")
    methods = []
    for name, member in vars(kind).items():
        function = member.fget if isinstance(member, property) else member
        if inspect.isfunction(function) and (not name.startswith("_") or name == "__call__"):
            _, *parameters = inspect.signature(function).parameters
            taken = "" if isinstance(member, property) else f"({', '.join(parameters)})"
            first, *_ = (inspect.getdoc(function) or "").splitlines()
            methods.append(f"- `{'' if name == '__call__' else '.' + name}{taken}`: {first}")
    if methods:
        yield "\n".join(["Methods and properties:\n", *methods, ""])


def signature(name: str, given: inspect.Signature) -> str:
    """A call's signature, one parameter per line."""
    lines, keyword = [], False
    for parameter in given.parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not keyword:
            lines.append("    *,")
            keyword = True
        default = "" if parameter.default is inspect.Parameter.empty else f" = {shown(parameter.default)}"
        lines.append(f"    {parameter.name}: {parameter.annotation}{default},")
    return "\n".join([f"{name}(", *lines, f") -> {given.return_annotation}"])


def shown(default: object) -> str:
    """A default as one would write it."""
    return repr(default) if isinstance(default, (str, int, float, bool, type(None))) else "..."


def described(docstring: str) -> Iterator[str]:
    """A docstring of Google's style as Markdown: sections as lists, the example as a block."""
    blocks: list[tuple[str, list[str]]] = [("", [])]
    for line in docstring.splitlines():
        if section := _SECTION.match(line):
            blocks.append((section[1], []))
        else:
            blocks[-1][1].append(line)
    for section_name, lines in blocks:
        text = textwrap.dedent("\n".join(lines)).strip()
        if section_name == "Example":
            yield f"```pycon\n{text}\n```\n"
        elif section_name in ("Args", "Attributes", "Raises"):
            yield f"{'Arguments' if section_name == 'Args' else section_name}:\n\n{listed(text)}\n"
        elif section_name:
            yield f"{section_name}: {text}\n"
        else:
            yield f"{text}\n"


def listed(text: str) -> str:
    """Entries `name: meaning` as a list."""
    return "\n".join(_ENTRY.sub(r"- `\1`: \2", line) for line in text.splitlines())


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
