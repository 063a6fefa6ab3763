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

PAGE = Path(__file__).with_suffix(".md")
ORDER = (
    *("train_grid", "load_generator", "generate", "image_score", "segmentation_score", "read_scores", "write_report"),
    *("RunConfig", "GridConfig"),
)
HEAD = """# From Python

`from p2pbench import train_grid, image_score, ...`: one function per command of the chain. They print nothing unless
they get a `reporter`, install no signal handlers, and may be called from any thread. Results show as tables in a
terminal and in a notebook. Errors that a user can mend are `p2pbench.errors.UserError`, `reports.ReportError` and
`fcn.errors.FcnError` (`p2pbench.errors.MENDABLE` has all); `RunConfig` and `GridConfig` raise pydantic's
`ValidationError`. Each example continues in the folder that those above it left; tests run all of them.

`make docs` writes this page from the docstrings.
"""
_SECTION = re.compile(r"^(Args|Returns|Raises|Example):$")
_ENTRY = re.compile(r"^(\w[\w., ]*): (.*)$")


def page() -> str:
    """The whole page."""
    assert sorted(ORDER) == sorted(p2pbench.__all__)
    return "\n".join([HEAD, *(line for name in ORDER for line in entry(name, getattr(p2pbench, name)))]).rstrip() + "\n"


def entry(name: str, thing: object) -> Iterator[str]:
    """The lines on one name."""
    yield f"## {name}\n"
    if inspect.isfunction(thing):
        yield f"```python\n{signature(name, inspect.signature(thing))}\n```\n"
    else:
        yield f"Fields: {', '.join(f'`{field}`' for field in getattr(thing, 'model_fields', ()))}.\n"
    yield from described(inspect.getdoc(thing) or "")


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
        elif section_name in ("Args", "Raises"):
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
