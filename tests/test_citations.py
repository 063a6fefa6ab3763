"""Cited things exist: sections and settings of the paper's protocol, code of the map, files of CONTRIBUTING.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pbench.config import RunConfig, parse_setting

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "paper-protocol.md"
TEXTS = (".py", ".md", ".toml", ".js", ".html", ".css")
FOLDERS = ("p2pbench", "fcn", "amt", "reports", "tests", "benchmarks", "docs")
CITED = re.compile(r"paper-protocol\.md(?:#([\w-]*\w))?")
UNREACHABLE = re.compile(r"\bfacts[\s#]+(?:sections?\b|\d)", re.IGNORECASE)  # notes that are not in the repository


def files() -> Iterator[Path]:
    yield from ROOT.glob("*.md")
    for folder in FOLDERS:
        yield from (path for path in (ROOT / folder).rglob("*") if path.suffix in TEXTS and path != Path(__file__))


def headings() -> list[str]:
    """Anchors of the page's headings, as GitHub and MkDocs make them."""
    titles = re.findall(r"^#+ (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]


def section(title: str) -> str:
    return PAGE.read_text(encoding="utf-8").split(f"\n### {title}\n")[1].split("\n#")[0]


def test_every_cited_section_exists() -> None:
    known = headings()
    assert len(set(known)) == len(known), "two headings of one name"
    cited = [(path, anchor) for path in files() for anchor in CITED.findall(path.read_text(encoding="utf-8"))]
    assert len(cited) > 25
    for path, anchor in cited:
        assert anchor in known or (anchor == "" and path.suffix == ".md"), f"{path}: #{anchor}"
    for anchor in re.findall(r"\]\(#([\w-]+)\)", PAGE.read_text(encoding="utf-8")):
        assert anchor in known


def test_nothing_cites_what_is_not_in_the_repository() -> None:
    for path in files():
        found = UNREACHABLE.search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path}: {found}"


@pytest.mark.parametrize("table", ["Networks and step", "Data", "Test"])
def test_departures_name_settings_and_their_defaults(table: str) -> None:
    rows = [line.strip("|").split("|") for line in section(table).splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 5
    for row in rows:
        for named in re.findall(r"`(\w+)(?:=[^`]*)?`", row[-1]):
            assert named in RunConfig.model_fields, f"{row[0]}: {named}"
        for bold in re.findall(r"\*\*(.+?)\*\*", row[-1]):
            for text in re.findall(r"`(.+?)`", bold):
                name, default = parse_setting(text)
                assert RunConfig.model_fields[name].default == default, text


def test_the_settings_closest_to_the_lua_code_make_a_run() -> None:
    (advised,) = re.findall(r"^Closest to the Lua code come (.+?)\.\s", section("Networks and step"), re.M | re.S)
    settings = dict(parse_setting(text) for text in re.findall(r"`(.+?)`", advised))
    assert len(settings) == 5
    RunConfig(**settings)


def test_the_guide_to_contributing_fits_a_screen_and_leads_to_what_it_names() -> None:
    page = ROOT / "CONTRIBUTING.md"
    text = page.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 48
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert "docs/ARCHITECTURE.md" in links
    assert len(links) >= 10
    for target in links:
        assert (ROOT / target).is_file(), target


def test_the_map_of_the_code_leads_to_what_it_names() -> None:
    page = ROOT / "docs" / "ARCHITECTURE.md"
    links = re.findall(r"\[`?([^\]`]+)`?\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    assert len(links) > 20
    for text, target in links:
        path = page.parent / target
        assert path.is_file(), target
        name = text.split(".")[-1]
        if path.suffix == ".py" and name.lower() != path.stem:
            assert re.search(rf"\b(def|class) {name}\b", path.read_text(encoding="utf-8")), f"{text} is not in {target}"
