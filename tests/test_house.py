"""The rules of the house, read off the code."""

from __future__ import annotations

import ast
import re
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.patience import PATIENCE

ROOT = Path(__file__).parent.parent
PACKAGES = ("p2pbench", "fcn", "amt", "reports")
VAGUE = ("util", "utils", "helper", "helpers", "common", "misc")
API = ROOT / "p2pbench" / "__init__.py"
LONGEST_FILE = 400
DEEPEST_IMPORT = 14
MOST_MODULES = 195  # beside the packages' __init__ files
MOST_PARAMETERS = 6  # but for commands, which have an option each
SAME_NAMES = {  # of files in several folders, each with the reason
    "errors.py": "each package has errors of its own kind",
    "generator.py": "a command is called as its subject, here networks/generator.py",
    "segmentation.py": "a command is called as its subject, here scoring/segmentation.py",
}
MARKS_OF_PROCESSES = {"pytest.mark.process", "pytest.mark.ray", "pytest.mark.slow"}


def modules() -> list[Path]:
    assert all((ROOT / package / "__init__.py").exists() for package in PACKAGES)
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield node.module or ""


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def import_graph(*, when_loaded: bool) -> dict[str, set[str]]:
    """The modules that each module imports; `when_loaded` leaves out imports in functions and for types alone."""
    known = {name_of(path) for path in modules()}
    graph: dict[str, set[str]] = {}
    for path in modules():
        left: list[ast.AST] = [parsed(path)]
        targets: set[str] = set()
        while left:
            node = left.pop()
            late = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            if when_loaded and (late or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))):
                continue
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                targets |= {name if name in known else str(node.module) for name in names}
            left += ast.iter_child_nodes(node)
        graph[name_of(path)] = targets & known - {name_of(path)}
    return graph


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """Nodes of one circle, in order; empty if there is none."""
    done: set[str] = set()

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for target in sorted(graph[node]):
            if circle := walk(target, [*path, node]):
                return circle
        done.add(node)
        return []

    return next((circle for node in graph if (circle := walk(node, []))), [])


def test_circles_are_found() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_modules_and_no_folders_import_in_a_circle() -> None:
    graph = import_graph(when_loaded=False)
    assert len(graph) > 100
    assert circle_in(graph) == []
    # The public API stands above the folders that it imports from, and beside config.py, which they use.
    folders = {name_of(path): path.parent.relative_to(ROOT).as_posix() for path in modules()}
    folders[name_of(API)] = "the public API"
    between: dict[str, set[str]] = {folder: set() for folder in folders.values()}
    for name, targets in graph.items():
        between[folders[name]] |= {folders[target] for target in targets} - {folders[name]}
    assert circle_in(between) == []


def test_imports_are_not_deep() -> None:
    graph, depth = import_graph(when_loaded=True), dict[str, int]()

    def of(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max(map(of, graph[name]), default=0)
        return depth[name]

    deepest = max(graph, key=of)
    assert of(deepest) <= DEEPEST_IMPORT, deepest


def test_rooms_are_few_and_large() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules() if path.stem != "__init__"}
    assert len(lines) < MOST_MODULES
    assert statistics.median(lines.values()) > 120
    assert sum(length < 60 for length in lines.values()) < 0.12 * len(lines)


def test_no_two_public_types_have_one_name() -> None:
    seen: dict[str, Path] = {}
    for path in modules():
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                assert seen.setdefault(node.name, path) == path, node.name
    assert len(seen) > 100


def test_functions_take_few_parameters() -> None:
    wide = []
    for path in modules():
        for node in ast.walk(parsed(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and path.parent.name != "commands":
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                if len([each for each in given if each.arg not in {"self", "cls"}]) > MOST_PARAMETERS:
                    wide.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert wide == []


@pytest.mark.parametrize("package", ["fcn", "amt", "reports"])
def test_the_lower_packages_know_nobody(package: str) -> None:
    others = set(PACKAGES) - {package}
    culprits = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules()
        if path.relative_to(ROOT).parts[0] == package
        for name in imported(path)
        if name.split(".")[0] in others
    ]
    assert culprits == []


@pytest.mark.process
def test_the_report_needs_no_torch() -> None:
    code = "import sys, reports.html; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_calls_start_processes_only_where_that_is_asked_for() -> None:
    """Processes of Python's own run a script again that calls a function of ours without a guard."""
    starting = {
        path.relative_to(ROOT).as_posix()
        for path in modules()
        if re.search(r"\bmultiprocessing\b|ProcessPoolExecutor", path.read_text(encoding="utf-8"))
    }
    assert starting == {"p2pbench/ablation/workers.py", "amt/simulation/simulate.py"}  # --parallel, rehearsals


def test_init_files_offer_and_do_nothing_else() -> None:
    """The public API alone holds a little code, which imports a name on first use: all of it would take seconds."""
    for path in modules():
        if path.name == "__init__.py" and path != API:
            for node in parsed(path).body:
                docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
                version = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in {"__version__", "__all__"}
                assert docstring or version or isinstance(node, ast.ImportFrom), f"{path}: {ast.unparse(node)}"


def test_files_have_a_job_and_a_size() -> None:
    for path in modules():
        assert path.stem not in VAGUE, path
        assert not path.stem.startswith("base_"), path
        assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE, path


def test_no_two_files_have_one_name_without_reason() -> None:
    folders: dict[str, list[Path]] = {}
    for path in modules():
        if path.name != "__init__.py":
            folders.setdefault(path.name, []).append(path.parent)
    assert {name for name, holders in folders.items() if len(holders) > 1} == SAME_NAMES.keys()
    assert len(folders["generator.py"]) == len(folders["segmentation.py"]) == 2
    assert {folder.relative_to(ROOT).parts[0] for folder in folders["errors.py"]} == set(PACKAGES)


@pytest.mark.long
def test_tests_wait_with_patience() -> None:
    hasty = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.keyword) and node.arg in {"timeout", "deadline"}
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, (int, float))
        if node.value.value < PATIENCE
    ]
    assert hasty == []


@pytest.mark.long
def test_tests_that_start_processes_say_so() -> None:
    unmarked = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "subprocess" not in text:
            continue
        tree = ast.parse(text)
        starting = {node.name for node in functions(tree) if starts_a_process(node)}
        if {ast.unparse(node).removeprefix("pytestmark = ") for node in tree.body} & MARKS_OF_PROCESSES:
            continue
        for node in functions(tree):
            called = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
            marks = {ast.unparse(decorator) for decorator in node.decorator_list}
            if node.name.startswith("test") and (node.name in starting or called & starting):
                unmarked += [f"{path.relative_to(ROOT)}: {node.name}"] * (not marks & MARKS_OF_PROCESSES)
    assert unmarked == []


def functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]


def starts_a_process(function: ast.FunctionDef) -> bool:
    called = {ast.unparse(node.func) for node in ast.walk(function) if isinstance(node, ast.Call)}
    return bool(called & {"subprocess.run", "subprocess.Popen"})


@pytest.mark.process
def test_every_command_is_lazy_and_help_is_quick() -> None:
    heavy = {"torch", "numpy", "pandas", "pydantic", "rich", "PIL"}
    code = (
        "import sys\nfrom p2pbench.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print(sorted({heavy} & set(sys.modules)) + [m for m in sys.modules if m.startswith('p2pbench.commands')])"
    )
    printed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines()[-1] == "[]"
    assert "train-ablation" in printed

    def seconds() -> float:  # of processor time: other tests run beside this one
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "p2pbench", "--help"], cwd=ROOT, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(5)) < 0.3
