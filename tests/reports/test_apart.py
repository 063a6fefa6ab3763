"""Outputs are kept apart from what is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from reports import comparison_page, html
from reports.store import apart
from reports.store.errors import ReportError


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder that is read, with a file, and a link to it beside it."""
    folder = tmp_path / "data" / "pictures"
    folder.mkdir(parents=True)
    (folder / "a.png").touch()
    (tmp_path / "link").symlink_to(folder)
    return folder


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("data/pictures", "is the same as"),
        ("data/pictures/", "is the same as"),
        ("data/other/../pictures", "is the same as"),
        ("link", "is the same as"),
        ("data/pictures/out/of/it", "lies in"),
        ("link/out", "lies in"),
        ("data", "holds"),
        ("link/..", "holds"),
        (".", "holds"),
    ],
)
def test_an_output_that_overlaps_is_refused(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, said: str
) -> None:
    for base in (tmp_path, Path()):  # from anywhere, and from here
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ReportError, match=f"{said} .*pictures, which is read"):
            apart.check(base / output, [tmp_path.parent / "unrelated", pictures])


@pytest.mark.parametrize("output", ["data/pictures2", "data/pictures/../out", "out", "data/a.png", "link2"])
def test_an_output_apart_is_not(pictures: Path, tmp_path: Path, output: str) -> None:
    (tmp_path / "link2").symlink_to(tmp_path / "elsewhere")  # which is not there yet
    apart.check(tmp_path / output, [pictures, pictures / "a.png"])


@pytest.mark.parametrize("output", ["data/pictures/linked", "data/pictures/linked/new", "elsewhere", "elsewhere/new"])
@pytest.mark.parametrize("full", [False, True])
def test_a_linked_folder_belongs_to_the_input_before_anything_is_in_it(
    pictures: Path, tmp_path: Path, output: str, full: bool
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (pictures / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(pictures)  # which may not be followed for ever
    if full:
        (tmp_path / "elsewhere" / "a.png").touch()
    with pytest.raises(ReportError, match="(lies in|is the same as) .*, which is read"):
        apart.check(tmp_path / output, [pictures])


def test_what_a_link_in_the_input_will_lead_to_belongs_to_it(pictures: Path, tmp_path: Path) -> None:
    (pictures / "later").symlink_to(tmp_path / "nothing yet")
    for output in ("data/pictures/later", "data/pictures/later/new", "link/later/new"):
        with pytest.raises(ReportError, match="lies in .*pictures, which is read"):
            apart.check(tmp_path / output, [pictures])


def test_a_link_that_leads_back_is_followed_once(pictures: Path) -> None:
    (pictures / "here").symlink_to(pictures)
    assert list(apart._linked(pictures)) == [pictures / "here"]


@pytest.mark.parametrize("there", ["report/thesis.txt", "report"])
def test_a_place_that_a_report_cannot_have_is_known_before(tmp_path: Path, there: str) -> None:
    results = tmp_path / "results"
    (results / there).parent.mkdir(parents=True)
    (results / there).write_text("mine")
    with pytest.raises(ReportError, match="expected an earlier report or nothing"):
        html.check(results, results / "report")
    html.check(results, results / "other")
    assert (results / there).read_text() == "mine"


def test_a_file_may_be_an_input_too(pictures: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked.png"
    linked.symlink_to(pictures / "a.png")
    with pytest.raises(ReportError, match="is the same as"):
        apart.check(linked, [pictures / "a.png"])
    with pytest.raises(ReportError, match=r"holds .*linked\.png"):
        apart.check(pictures, [linked])


def _held(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("place", ["losses", "losses/report", "losses/real/images/report", "study", "study/report"])
@pytest.mark.parametrize("end", ["", ".html"])
def test_a_report_lies_in_no_folder_that_it_is_made_from(build: Callable[..., Path], place: str, end: str) -> None:
    results = build()
    before = _held(results)
    out = results / (place + end)
    if place in {"losses", "study"} and end:
        html.write_report(results, out, single_file=bool(end))  # a file beside them is apart
        return
    with pytest.raises(ReportError, match="which is read"):
        html.write_report(results, out, single_file=bool(end))
    with pytest.raises(ReportError, match="which is read"):
        (comparison_page.write_single if end else comparison_page.write)(results, results, out)
    assert _held(results) == before


def test_a_comparison_lies_in_neither_of_its_folders(build: Callable[..., Path], tmp_path: Path) -> None:
    results = build()
    results.rename(tmp_path / "before")
    after = build()
    for out in (tmp_path / "before" / "losses" / "new", after / "losses" / "new"):
        with pytest.raises(ReportError, match="which is read"):
            comparison_page.write(tmp_path / "before", after, out)
    comparison_page.write(tmp_path / "before", after, after / "comparison")
