"""The checkable part of the rule for prose: docstrings, words and names."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_house import ROOT, modules

MOST_WORDS, MOST_WORDS_OF_PRIVATE = 12, 20  # of a docstring's first line
SHAPE = re.compile(r"\((\w+, ?)+\w*\)")  # (B, C, H, W) counts as a word
OPENERS = {"what", "who", "whoever", "where", "how"}

COUNTED = ("images", "steps", "pictures", "raters", "trials", "seconds", "minutes", "hours", "ms", "sessions", "lines?")
UNITS = (
    "second",
    "minute",
    "run",
    "step",
    "epoch",
    "cell",
    "algorithm",
    "image",
    "item",
    "rater",
    "trial",
    "session",
    "class",
    "protocol",
    "row",
    "machine",
)

# Phrases that a native reader stumbles over, each with the plain one.
PRIVATE = {
    r"\bwho(ever)? hears?\b|\bhears?\b": "receives",
    r"\b(is|are) told\b|\btold (how|of|that)\b": "receives",
    r"\bnews\b": "events, progress",
    r"\b(take|takes|taken|taking|took) over\b": "import, adopt",
    r"\bcarr(y|ies|ied|ying) out\b": "run, execute",
    r"\b(go|goes|going|went) on from\b|\b(command|call) (go|goes|went) on\b|\bit goes on\b": "is resumed",
    r"\bso many\b": "the number, or n",
    r"\bfor want of\b": "for lack of",
    r"\b(a|the) wish to\b": "request",
    r"\bin all(?=[,.;:)]|$)": "in total",
    r"\b(is|are|was|were) to be had\b": "available",
    r"\bwhoever\b": "the person or process",
    r"\bhow far (it|the work) is\b": "progress",
    r"\bmake it again\b|\bunder lock\b|\bnow all the same\b": "reproduce, hidden, anyway",
    rf"\b({'|'.join(COUNTED)}) an? ({'|'.join(UNITS)})\b": "per",
    r"\ba (line|row) each\b|\ban? (option|object|line|row) an? \w+": "one line each, per",
    r"\bas (many|often|much) as (it|they) likes?\b": "without limit",
}

# Names that said nothing, each with the one that took its place.
OLD_NAMES = {
    "Planned": "PlannedRun",
    "carry_out": "execute",
    "Listener": "ProgressReporter",
    "News": "ForwardedProgress",
    "hear": "report",
    "tell": "report",
    "Line": "WorkerLink",
    "Hub": "MessageHub",
    "Doing": "JobTask",
    "Replay": "CudaGraphStep",
    "Watch": "NonFiniteGuard",
    "Plan": "CropQueue, GridPlan",
    "entering": "in_channels",
    "leaving": "out_channels",
    "judge": "discriminate",
    "for_testing": "test_mode",
    "asked_before": "adversarial_grad",
    "looks": "reveals",
    "bodies": "schemas",
}
INDEX_NAMES = {"place", "number"}  # not for a loop's index, which is i or index


def docstrings(nodes: list[ast.AST]) -> Iterator[tuple[str, str, int]]:
    """Name, first line and line number of every docstring."""
    for node in nodes:
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                body = node.body[0]
                yield getattr(node, "name", "module"), text.splitlines()[0], body.lineno


def prose(text: str, nodes: list[ast.AST]) -> Iterator[tuple[str, int]]:
    """Strings and comments of Python source, with their line numbers."""
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield " ".join(node.value.split()), node.lineno
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string, token.start[0]


def names(nodes: list[ast.AST]) -> Iterator[tuple[str, int]]:
    """Names that Python source defines: types, functions, parameters, variables, fields."""
    for node in nodes:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno


def flaws(text: str) -> list[str]:
    """What the rule finds in Python source, a line each."""
    nodes = list(ast.walk(ast.parse(text)))
    found = []
    for name, line, number in docstrings(nodes):
        private = name.startswith("_") and not name.startswith("__")
        words = SHAPE.sub("SHAPE", line).split()
        if len(words) > (MOST_WORDS_OF_PRIVATE if private else MOST_WORDS):
            found.append(f"{number}: {name}: {len(words)} words: {line}")
        if words[0].lower().strip(",.:?") in OPENERS:
            found.append(f"{number}: {name}: opens with {words[0]}: {line}")
    for passage, number in prose(text, nodes):
        found += [f"{number}: {private}" for private in private_words(passage)]
    for name, number in names(nodes):
        if name.strip("_") in OLD_NAMES:
            found.append(f"{number}: {name}: now {OLD_NAMES[name.strip('_')]}")
    for node in nodes:
        if isinstance(node, (ast.For, ast.comprehension)) and ast.unparse(node.iter).startswith(
            ("enumerate(", "range(")
        ):
            first = node.target.elts[0] if isinstance(node.target, ast.Tuple) else node.target
            if isinstance(first, ast.Name) and first.id in INDEX_NAMES:
                found.append(f"{first.lineno}: {first.id}: an index is i or index")
    return found


def private_words(passage: str) -> list[str]:
    return [
        f"{match.group()!r} in {passage[max(0, match.start() - 30) : match.end() + 30]!r}: {plain}"
        for pattern, plain in PRIVATE.items()
        for match in re.finditer(pattern, passage, re.IGNORECASE)
    ]


def texts() -> list[Path]:
    """Pages, templates, presets and documents, beside Python source."""
    folders = {"reports/templates": "*", "amt": "*", "p2pbench": "*.toml", "docs": "*.md"}
    kinds = {".html", ".js", ".toml", ".md"}
    below = (path for folder, pattern in folders.items() for path in sorted((ROOT / folder).rglob(pattern)))
    return [*(path for path in below if path.suffix in kinds), ROOT / "README.md"]


@pytest.mark.long
@pytest.mark.parametrize("package", ["p2pbench", "fcn", "amt", "reports"])
def test_python_source_keeps_the_rule(package: str) -> None:
    paths = [path for path in modules() if path.relative_to(ROOT).parts[0] == package]
    assert len(paths) > 10
    found = [f"{path.relative_to(ROOT)}:{flaw}" for path in paths for flaw in flaws(path.read_text(encoding="utf-8"))]
    assert found == []


def test_pages_and_documents_keep_the_rule() -> None:
    assert len(texts()) > 30
    found = [
        f"{path.relative_to(ROOT)}:{number}: {flaw}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for flaw in private_words(line)
    ]
    assert found == []


BAD = '''
"""Where the news of all workers meet."""

def judge(entering):
    """Do what was asked for with a first line that takes more than twelve words to say it."""
    for place, each in enumerate(entering):
        print("the same command goes on from here")  # 52 raters an algorithm, so many at once
'''


@pytest.mark.parametrize(
    "flaw",
    [
        "opens with Where",
        "18 words",
        "'news'",
        "judge: now discriminate",
        "entering: now in_channels",
        "place: an index is i or index",
        "command goes on",
        "'raters an algorithm'",
        "'so many'",
    ],
)
def test_flaws_are_found(flaw: str) -> None:
    assert [found for found in flaws(BAD) if flaw in found]


def test_plain_prose_passes() -> None:
    plain = '"""Ray actor that collects progress events."""\n\nclass MessageHub:\n    """Pictures (B, C, H, W)."""\n'
    assert flaws(plain) == []
