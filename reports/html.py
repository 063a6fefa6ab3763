"""Report as an HTML page with files, or one file."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import mimetypes
import re
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from reports import correlation, csv_tables, gallery, page, paper, tables, tidy, trainings
from reports.page import Page
from reports.reproduce import made_by, plain, plain_fields
from reports.sections import write_section
from reports.store import atomic, grids, layout, made, picture
from reports.store.bootstrap import clusters_of
from reports.store.errors import ReportError, checked_arguments
from reports.store.layout import INPUT, REAL, Report
from reports.store.metrics import FCN_RULES, describe, describe_scorer
from reports.store.names import counted, duration
from reports.tables import CellRow, ScoreTable

NO_INTERVAL = "no interval: a single item or rater, items that are all alike, or a few far from all others"
SINGLE_ITEMS = 24  # items with pictures in a report of one file
MARK = '<meta name="generator" content="p2pbench">'
# Each begins with its tag: `<` is escaped in names, so that no name can look like one.
_SOURCE = re.compile(r'(?<=<img src=")[^"]+(?=")')
_SCRIPT = re.compile(r'<script src="([^"]+)" defer></script>')
_LINK = re.compile(r'(?<=<a href=")(tables/[^"#]+)(?=")')
_MARK = "<!-- files -->"
_SEAL = b"<!-- SHA-256 of all above: "
GLOSSARY = {
    "task": "A translation problem with a direction, such as street labels to photos.",
    "item": "One test example. Its id is the file's name, the same for every cell.",
    "input": "The picture that the generator translates.",
    "target": "The real picture of the item, which the generator should produce. In the study it is called real.",
    "output": "The picture that the generator produces. In the study it is called fake.",
    "cell": "One variant in an ablation, such as L1+cGAN.",
    "grid": "The cells of one ablation, with the settings, dataset and seeds that they share.",
    "seed": "The number that initialises all randomness of a training. Several seeds show how much is chance.",
    "run": "One training of one cell with one seed.",
    "score": "One number about a run, with its interval, number of items and protocol.",
    "protocol": "Every choice that changes a score: weights, sizes, resizing, ignored pixels, test-time settings.",
    "fingerprint": "The short hash of a protocol. Scores are compared only where it is the same.",
    "95 % interval": "Contains the cell's expected score in 95 of 100 such experiments: over other trainings and test "
    "items where a cell has several seeds, over other test items only where it has one. By Student's t, from the "
    "variance between seeds and between items, or clusters of items. –: no interval, as for a single item, for items "
    "that are all alike, or where a few lie far from all others.",
    "cluster": "Items that vary together, such as frames of one drive. The bootstrap resamples whole clusters, and "
    "Student's t has one degree of freedom less than there are clusters; fewer where their sizes differ.",
    "tie": "Cells whose difference may be chance: of trainings, of test items, or both.",
    "on these items": "Holds for the trainings at hand only, as fewer than two cells have several: another training of "
    "the same cell may differ, and a single one does not show by how much. Train more seeds to decide.",
    "with this training": "Holds for other raters and other items, but not for other trainings, as each cell has one. "
    "Collect ratings of more seeds to decide.",
    "real": "The row of the targets, scored like outputs: the score of a perfect generator.",
    "rater": "A person who takes part in the real-vs-fake study.",
    "session": "A rater's one sitting, with outputs of a single cell.",
    "trial": "One real and one fake image, each shown briefly, and the rater's answer which was fake.",
    "fooling rate": "The percentage of trials in which the fake was taken for real. 50 would be perfect. Its interval "
    "is over raters and items, or clusters of items, by Wilson's formula with the effective number of independent "
    "answers; where several trainings of a cell were rated, over trainings too, by Student's t.",
    "reliability": "The share of the variance of items' fooling rates that is not due to the few answers per item.",
    "segmentation": "The class that the scorer's network predicts for each pixel.",
    "IoU": "Intersection over union: the correctly predicted pixels of a class over those predicted or true.",
}


@checked_arguments(ReportError)
def write_report(
    results: Path | str,
    out: Path | str | None = None,
    *,
    single_file: bool = False,
    items: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Write the report of a results folder.

    A page with its images, and all tables as CSV and LaTeX.

    An earlier report stays until the new one is complete. Results that cannot be read are named in the page.

    Args:
        results: A results folder.
        out: The report's own folder, or its file with `single_file`; None for `report`, or `report.html`, in it.
        single_file: Write one HTML file that embeds its images and tables.
        items: Maximum number of items per grid with images; None for 4400 images, or 24 items in a single file.
        say: Called with lines about the page: verdicts, unreadable files, missing numbers.

    Returns:
        The page's path.

    Raises:
        ReportError: There is nothing to report, `items` is below 1, `out` holds something else, is or lies in a folder
            that is read, or cannot be written.

    Example:
        >>> from reports.html import write_report
        >>> write_report("results").name
        'index.html'
    """
    if items is not None and items < 1:
        raise ReportError(f"items = {items}: expected the number of items with pictures, 1 or more")
    results, usual = Path(results), layout.report(Path(results))
    target = Path(out or (usual.folder.with_suffix(".html") if single_file else usual.folder))
    grids.check_apart(target, results)
    content = page.read(results)
    for line in content.damages:
        say(line)
    most = items or (SINGLE_ITEMS if single_file else None)
    put_it = put_single if single_file else put
    index = put_it(target, lambda report: _build(content, results.resolve().name, report, most))
    _say_verdicts(content, usual if single_file else Report(target), say)
    return index


def _say_verdicts(content: Page, report: Report, say: Callable[[str], None]) -> None:
    for section in content.sections:
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


def _about(table: ScoreTable) -> Iterator[str]:
    """Lines on a table: marks, missing numbers or intervals, rows set apart."""
    standings = {describe(name).label: text for name, text in table.standings().items()}
    for label, text in standings.items():
        yield f"{label:<{max(map(len, standings))}}  {text}"
    for row in table.all_rows():
        yield from row.doubts
    if earlier := tables.of_earlier_analysis(table.scorer, table.protocol):
        yield earlier
    if table.apart:
        yield f"set apart, not ranked: {'; '.join(map(_named, table.apart))}"


def _named(row: CellRow) -> str:
    """Name of a row set apart, such as "L1 seed 2 (items)"."""
    seeds = f" seed{'s' if len(row.seeds) > 1 else ''} {', '.join(map(str, row.seeds))}" if row.seeds else ""
    return f"{row.cell}{seeds} ({', '.join(difference.field for difference in row.differences)})"


def check(results: Path, out: Path) -> None:
    """Refuse a path where `write_report` could not put the report.

    Raises:
        ReportError: As `write_report`.
    """
    grids.check_apart(out, results)
    target = Report(out.resolve())
    with _writing(target.folder):
        _check_free(target)


def put(out: Path, build: Callable[[Report], None]) -> Path:
    """Write a page with its files.

    `build` fills a new, empty folder.
    """
    target = Report(out.resolve())
    with _writing(target.folder):
        _check_free(target)
        with atomic.replaced_folder(target.folder) as folder:
            build(Report(folder))
            made.record(folder)
    return target.index


def put_single(out: Path, build: Callable[[Report], None]) -> Path:
    """Write a page as one file."""
    target = out.resolve()
    with _writing(target):
        if target.exists() and not (target.is_file() and _is_ours(target)):
            raise ReportError(
                f"{target}: found something else, expected an earlier report or nothing; name another file"
            )
        if target.exists() and not is_as_written(target.read_bytes()):
            raise ReportError(
                f"{target}: was changed since the report was written and would be overwritten; move it away, or name "
                "another file"
            )
        with tempfile.TemporaryDirectory() as folder:  # the report is built as files, then inlined
            report = Report(Path(folder))
            build(report)
            atomic.write(target, sealed(inlined(report).encode()))
    return target


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Turn errors of the system into a `ReportError` with advice."""
    try:
        yield
    except OSError as error:
        fix = atomic.advice(target, error, "put the report elsewhere")
        raise ReportError(f"{error.filename or target}: {error.strerror or error}; {fix}") from error


def _check_free(target: Report) -> None:
    """Refuse a folder that is no earlier report.

    Writing one replaces all of its content.
    """
    if not target.folder.exists():
        return
    names = {path.name for path in target.folder.iterdir()} if target.folder.is_dir() else {target.folder.name}
    known = made.Made(target.folder)
    ours = _is_ours(target.index) if target.index.is_file() else known.names(target.index)  # whose page was moved away
    if names and not (ours and names <= target.entries()):
        other = min(names - target.entries() or names)
        raise ReportError(
            f"{target.folder}: found {other!r}, expected an earlier report or nothing; give the report its own folder"
        )
    inside = sorted(path for path in target.folder.rglob("*") if not (path.is_dir() or path.name.startswith(".")))
    for path in inside if known else ():  # reports of older versions have no record
        if not (known.holds(path) or path == target.folder / layout.RECORD):
            raise ReportError(
                f"{path}: was changed since the report was written, or is not part of it, and would be deleted; move "
                "it away, or put the report elsewhere"
            )


def _is_ours(index: Path) -> bool:
    with index.open(encoding="utf-8", errors="replace") as file:
        return MARK in file.read(2000)  # it is in the head of the page


def inlined(report: Report) -> str:
    """Page of a report with all its files embedded.

    Pictures that only the script shows become a table from file name to data, in a script of their own.
    """
    text = report.index.read_text("utf-8")
    named = set(_SOURCE.findall(text)) | set(_SCRIPT.findall(text))
    text = _SCRIPT.sub(lambda match: f"<script>{_path(report, match[1]).read_text('utf-8')}</script>", text)
    text = _SOURCE.sub(lambda match: _data(_path(report, match[0])), text)
    text = _LINK.sub(lambda match: _download(_path(report, match[0])), text)
    before, mark, after = text.partition(_MARK)  # the table of files precedes the scripts that use it
    return "".join([before, *(_files(report, named) if mark else ()), after])  # joined once: they are large


def sealed(page: bytes) -> bytes:
    """Page with its own hash appended, which `is_as_written` checks."""
    return page + _SEAL + hashlib.sha256(page).hexdigest().encode() + b" -->\n"


def is_as_written(page: bytes) -> bool:
    """Whether a page is unchanged since it was sealed.

    True of older versions' pages, which have no seal.
    """
    above, seal, _ = page.rpartition(_SEAL)
    return not seal or page == sealed(above)


def _files(report: Report, named: set[str]) -> Iterator[str]:
    """Pieces of the script with the pictures that only it shows."""
    yield "<script>window.files = {"
    comma = ""
    for path in sorted(report.assets.rglob("*")):
        name = report.relative(path)
        if path.suffix in {".png", ".jpg"} and name not in named:
            yield f'{comma}{json.dumps(name)}: "{_data(path)}"'
            comma = ", "
    yield "};</script>"


def _path(report: Report, reference: str) -> Path:
    return report.folder / urllib.parse.unquote(html.unescape(reference))


def _download(path: Path) -> str:
    """Target of a link, followed by its `download` attribute."""
    return f'{_data(path)}" download="{html.escape(path.name)}'


def _data(path: Path) -> str:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _build(content: Page, name: str, report: Report, items: int | None) -> None:
    report.assets.mkdir()
    report.tables.mkdir()
    sections = [write_section(section, index, report, items) for index, section in enumerate(content.sections)]
    csv_tables.write(tidy.tabulate(entry for section in content.sections for entry in section.entries), report.scores)
    csv_tables.write(csv_tables.of_paper(), report.paper)
    text = (
        environment()
        .get_template("index.html")
        .render(
            name=name,
            grids=sections,
            unreadable=content.unreadable,
            scores=report.relative(report.scores),
            paper_numbers=report.relative(report.paper),
            assets=report.assets.name,
            generator=MARK,
            made_by=made_by(),
        )
    )
    report.index.write_text(text, "utf-8", errors="backslashreplace")


@cache
def environment() -> Environment:
    """Template environment with the names that all pages use."""
    known = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,  # names of cells and items may hold any character
        undefined=StrictUndefined,  # a misspelt name fails, not renders as nothing
        trim_blocks=True,
        lstrip_blocks=True,
    )
    known.globals |= {"INPUT": INPUT, "REAL": REAL, "GAP": gallery.GAP, "THUMB": picture.THUMB}
    known.globals |= {"describe": describe, "describe_scorer": describe_scorer, "paper_value": paper.value}
    known.globals |= {"FCN_RULES": FCN_RULES, "is_published": paper.is_published}
    known.globals |= {"plain": plain, "plain_fields": plain_fields, "dataset_line": page.dataset_line}
    known.globals |= {"NO_INTERVAL": NO_INTERVAL}
    known.globals |= {"counted": counted, "GLOSSARY": GLOSSARY, "term": term, "min": min}
    known.globals |= {"LEAST_RELIABILITY": correlation.LEAST_RELIABILITY}
    known.filters |= {"number": number, "signed": signed, "duration": duration}
    return known


def number(value: float, digits: int) -> str:
    """Number with a fixed count of digits and a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def signed(value: float, digits: int) -> str:
    """Difference as text: as `number`, with a plus sign above zero."""
    return f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def term(word: str) -> str:
    """Glossary entry of a word; empty if there is none."""
    return GLOSSARY.get(word, "")
