"""The report as one HTML page with pictures, tables as CSV and LaTeX, and a glossary."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from reports import correlation, csv, gallery, page, paper, single_file, tables, trainings
from reports.drawn import draw
from reports.page import Page
from reports.reproduce import made_by
from reports.store import atomic, grids, layout, ledger, made, picture
from reports.store.bootstrap import clusters_of
from reports.store.errors import ReportError
from reports.store.layout import INPUT, REAL, Report
from reports.store.metrics import FCN_RULES, describe, describe_scorer
from reports.store.names import counted, duration
from reports.tables import Row, Table

NO_INTERVAL = "no interval: of a single item or rater, of items that are all alike, or of a few far from all others"


SINGLE_ITEMS = 24  # items with pictures where all of them go into one file


MARK = '<meta name="generator" content="p2pbench">'


def write(results: Path, out: Path, items: int | None = None, say: Callable[[str], None] = lambda line: None) -> Path:
    """Write the report of a results folder: `out/index.html`, `out/assets/` and `out/tables/`.

    The report is built beside `out` and takes its place at the end: a report that fails leaves the last one there.
    What cannot be read of the results is named in the page, and the rest is shown.

    Args:
        results: A results folder.
        out: The report's own folder.
        items: How many items of each grid have pictures, at most; None takes as many as `gallery.PICTURES` allows.
        say: Is told what cannot be read, what the marks say, what has no number or interval, which rows are set apart,
            and which cells were trained once, a line each.

    Returns:
        The page's path.

    Raises:
        ReportError: There is nothing to report, `out` holds something else, is or lies in a folder that is read, or
            cannot be written.
    """
    grids.check_apart(out, results)
    found = page.read(results)
    for line in found.damages:
        say(line)
    index = put(out, lambda report: _build(found, results.resolve().name, report, items))
    _say_verdicts(found, Report(out), say)
    return index


def write_single(
    results: Path, out: Path, items: int | None = SINGLE_ITEMS, say: Callable[[str], None] = lambda line: None
) -> Path:
    """Write the report as one file with everything in it; an earlier one stays until the new is whole.

    Raises:
        ReportError: As `write`.
    """
    grids.check_apart(out, results)
    found = page.read(results)
    for line in found.damages:
        say(line)
    index = put_single(out, lambda report: _build(found, results.resolve().name, report, items))
    _say_verdicts(found, layout.report(results), say)
    return index


def _say_verdicts(found: Page, report: Report, say: Callable[[str], None]) -> None:
    for section in found.sections:
        for table in section.tables:
            if of_table := list(_about(table)):
                say(f"{section.grid.name}, {describe_scorer(table.scorer, table.protocol).title}:")
            for line in of_table:
                say(f"  {line}")
        clusters = [clusters_of(table.protocol) for table in section.tables]
        for doubt in dict.fromkeys(each.doubt for each in clusters if each and each.doubt):
            say(f"{section.grid.name}: {doubt}")
        if line := trainings.line(section.grid, section.description, section.tables, report, single_runs=False):
            say(line)


def _about(table: Table) -> Iterator[str]:
    """What the marks of a table say, what has no number or no interval, and which rows are set apart, a line each."""
    standings = {describe(name).label: text for name, text in table.standings().items()}
    for label, text in standings.items():
        yield f"{label:<{max(map(len, standings))}}  {text}"
    for row in table.all_rows():
        yield from row.doubts
    if earlier := tables.of_earlier_analysis(table.scorer, table.protocol):
        yield earlier
    if table.apart:
        yield f"set apart, not ranked: {'; '.join(map(_named, table.apart))}"


def _named(row: Row) -> str:
    """A row set apart and what it differs in, such as "L1 seed 2 (items)"."""
    seeds = f" seed{'s' if len(row.seeds) > 1 else ''} {', '.join(map(str, row.seeds))}" if row.seeds else ""
    return f"{row.cell}{seeds} ({', '.join(each.field for each in row.differences)})"


def check(results: Path, out: Path) -> None:
    """Refuse a place where `write` could not put the report, before there is anything to report.

    Raises:
        ReportError: As `write`.
    """
    grids.check_apart(out, results)
    target = Report(out.resolve())
    with _writing(target.folder):
        _check_free(target)


def put(out: Path, build: Callable[[Report], None]) -> Path:
    """Put a page with its files where it belongs, as `write` does; `build` writes them into a new, empty folder."""
    target = Report(out.resolve())
    with _writing(target.folder):
        _check_free(target)
        with atomic.replaced_folder(target.folder) as folder:
            build(Report(folder))
            made.record(folder)
    return target.index


def put_single(out: Path, build: Callable[[Report], None]) -> Path:
    """Put a page where it belongs as one file, as `write_single` does."""
    target = out.resolve()
    with _writing(target):
        if target.exists() and not (target.is_file() and _is_ours(target)):
            raise ReportError(
                f"{target}: found something else, expected an earlier report or nothing; name another file"
            )
        if target.exists() and not single_file.is_as_written(target.read_bytes()):
            raise ReportError(
                f"{target}: was changed since the report was written, and would be gone; move it away, or name another "
                "file: --out"
            )
        with tempfile.TemporaryDirectory() as folder:
            report = Report(Path(folder))
            build(report)
            atomic.write(target, single_file.sealed(single_file.inlined(report).encode()))
    return target


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Say what to do where the system refuses."""
    try:
        yield
    except OSError as error:
        mend = atomic.advice(target, error, "put the report elsewhere: --out")
        raise ReportError(f"{error.filename or target}: {error.strerror or error}; {mend}") from error


def _check_free(target: Report) -> None:
    """Refuse a folder that is not an earlier report: writing one replaces all that is in its folder."""
    if not target.folder.exists():
        return
    found = {path.name for path in target.folder.iterdir()} if target.folder.is_dir() else {target.folder.name}
    known = made.Made(target.folder)
    ours = _is_ours(target.index) if target.index.is_file() else known.names(target.index)  # whose page was moved away
    if found and not (ours and found <= target.entries()):
        other = min(found - target.entries() or found)
        raise ReportError(
            f"{target.folder}: found {other!r}, expected an earlier report or nothing; give the report its own folder"
        )
    inside = sorted(path for path in target.folder.rglob("*") if not (path.is_dir() or path.name.startswith(".")))
    for path in inside if known else ():  # reports of older versions have no record
        if not (known.holds(path) or path == target.folder / layout.RECORD):
            raise ReportError(
                f"{path}: was changed since the report was written, or is of someone else, and would be gone; move it "
                "away, or put the report elsewhere: --out"
            )


def _is_ours(index: Path) -> bool:
    with index.open(encoding="utf-8", errors="replace") as file:
        return MARK in file.read(2000)


def _build(found: Page, name: str, report: Report, items: int | None) -> None:
    report.assets.mkdir()
    report.tables.mkdir()
    drawn = [draw(section, index, report, items) for index, section in enumerate(found.sections)]
    csv.write(ledger.tidy(entry for section in found.sections for entry in section.entries), report.scores)
    csv.write(csv.of_paper(), report.paper)
    text = (
        environment()
        .get_template("index.html")
        .render(
            name=name,
            grids=drawn,
            unreadable=found.unreadable,
            scores=report.relative(report.scores),
            paper_numbers=report.relative(report.paper),
            assets=report.assets.name,
            generator=MARK,
            made_by=made_by(),
        )
    )
    report.index.write_text(text, "utf-8", errors="backslashreplace")


def environment() -> Environment:
    """What the templates know, beside what each page gives them."""
    known = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    known.globals |= {"INPUT": INPUT, "REAL": REAL, "GAP": gallery.GAP, "THUMB": picture.THUMB}
    known.globals |= {"describe": describe, "describe_scorer": describe_scorer, "paper_value": paper.value}
    known.globals |= {"FCN_RULES": FCN_RULES, "is_published": paper.is_published}
    known.globals |= {"plain": page.plain, "plain_fields": page.plain_fields, "dataset_line": page.dataset_line}
    known.globals |= {"NO_INTERVAL": NO_INTERVAL}
    known.globals |= {"counted": counted, "GLOSSARY": GLOSSARY, "term": term, "min": min}
    known.globals |= {"LEAST_RELIABILITY": correlation.LEAST_RELIABILITY}
    known.filters |= {"number": number, "signed": signed, "duration": duration}
    return known


def number(value: float, digits: int) -> str:
    """A number with a fixed count of digits and a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def signed(value: float, digits: int) -> str:
    """A difference: as `number`, with a plus sign where it is above zero."""
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


GLOSSARY: dict[str, str] = {
    "task": "A translation problem with a direction, such as street labels to photos.",
    "item": "One test example. Its id is the file's name, the same for every cell.",
    "input": "What the generator gets.",
    "target": "What the generator should make: the real picture of the same item. In the study it is called real.",
    "output": "What the generator makes. In the study it is called fake.",
    "cell": "One variant in an ablation, such as L1+cGAN.",
    "grid": "The cells of one ablation, with the settings, dataset and seeds that they share.",
    "seed": "The number that all randomness of a training starts from. Several seeds tell how much is chance.",
    "run": "One training of one cell with one seed.",
    "score": "One number about a run, with its interval, the number of items behind it, and its protocol.",
    "protocol": "Every choice that changes a score: weights, sizes, resizing, what is ignored, the test-time settings.",
    "fingerprint": "The short hash of a protocol. Numbers are compared only where it is the same.",
    "95 % interval": "A range made so that 95 of 100 such ranges hold the cell's expected score: over other trainings "
    "and test items where a cell has several seeds, over other test items alone where it has one. By Student's t, from "
    "the variance between seeds and between items, or clusters of them. –: there is none, as of a single item, of "
    "items that are all alike, or of a few far from all others.",
    "cluster": "Items that vary together, as frames of one drive do. Draws are then of whole clusters, and Student's t "
    "has one degree of freedom less than there are clusters; fewer where their sizes differ.",
    "tie": "Cells whose difference may be chance: of trainings, of test items, or both.",
    "on these items": "Said where fewer than two cells have several trainings: another training of the same cell may "
    "come out otherwise, and one tells nothing of by how much. Train more seeds to decide.",
    "with this training": "Said of fooling rates of cells with one training each: it holds for other raters and other "
    "items, but another training of the same cell may come out otherwise. Judge more seeds to decide.",
    "real": "The row of the targets themselves, scored like outputs: what a perfect generator would get.",
    "rater": "A person who takes part in the real-vs-fake study.",
    "session": "A rater's one sitting, with outputs of one cell alone.",
    "trial": "One real and one fake image shown for a moment each, and the rater's answer which was fake.",
    "fooling rate": "In how many of 100 trials the fake was taken for real. 50 would be perfect. Its interval is over "
    "raters and items, or clusters of these, by Wilson's formula with as many answers as would vary so were they "
    "independent; where several trainings of a cell were judged, over these too, by Student's t.",
    "reliability": "The share of the variance of items' fooling rates that is not chance of the few answers per item.",
    "segmentation": "The class that the scorer's network sees in each pixel of a picture.",
    "IoU": "Intersection over union: the pixels of a class that were found, over those found or true.",
}


def term(word: str) -> str:
    """What a word means; empty where the glossary does not have it."""
    return GLOSSARY.get(word, "")
