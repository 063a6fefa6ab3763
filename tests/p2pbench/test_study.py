"""The study of a results folder: from its cells to fooling rates in its report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from amt.protocol import Protocol, Side
from amt.statistics import table
from amt.store import counts, schema, sessions, studies
from amt.store.studies import Study
from amt.store.trials import truth
from p2pbench.cli import cli
from p2pbench.errors import UserError
from p2pbench.study import rehearsal
from p2pbench.study.new_study import from_results
from p2pbench.study.results import analyse_study
from p2pbench.study.study_access import Chosen, Opened, choose, new_studies
from reports import html
from reports import page as placement
from reports.store import analyses
from reports.store import ledger as store_ledger
from reports.store import scores as ledger
from reports.store.errors import ReportError
from reports.store.layout import Grid
from reports.tidy import read_scores as read_results
from tests.amt.study import ALGORITHMS, Rater, make_pictures, no_commits

pytestmark = pytest.mark.long

SMALL_RATERS = 3
SMALL = ("--raters", str(SMALL_RATERS), "--practice", "2", "--trials", "4", "--size", "16x16")
FOOLED: dict[str, set[Side]] = {"L1": {"left"}, "cGAN": {"left", "right"}}  # once each, of four trials
OTHER: dict[Side, Side] = {"left": "right", "right": "left"}
DATASET = {"name": "streets", "direction": "labels-to-photo"}


def run(*arguments: str) -> Result:
    """A command in this process, as quick as it can be."""
    return CliRunner().invoke(cli, arguments)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A grid of two cells with a dozen outputs each."""
    make_pictures(tmp_path / "pictures")
    grid = Grid(tmp_path / "results" / "losses")
    grid.real.folder.mkdir(parents=True)
    (tmp_path / "pictures" / "real").rename(grid.real.images)
    for cell in ALGORITHMS:
        grid.run(cell, 0).folder.mkdir(parents=True)
        (tmp_path / "pictures" / cell).rename(grid.run(cell, 0).images)
    cells: dict[str, object] = {cell: {} for cell in ALGORITHMS}
    document = {"title": "Losses", "cells": cells, "seeds": [0], "dataset": DATASET, "settings": {}}
    grid.json.write_text(json.dumps(document))
    return tmp_path / "results"


@pytest.fixture
def opened(results: Path) -> Iterator[Opened]:
    """Its studies, none so far."""
    with new_studies(results, None) as found:
        yield found


@pytest.fixture
def chosen(results: Path, opened: Opened) -> Chosen:
    """A study of it."""
    assert run("amt", "create", str(results), "--name", "first", *SMALL).exit_code == 0
    return choose(opened, None)


def take_part(chosen: Chosen, raters: int = 2 * SMALL_RATERS) -> None:
    """Raters who take the fake for real in the first scored trial with the fake on each of their FOOLED sides."""
    for number in range(raters):
        rater = Rater(chosen.database, chosen.study, f"rater {number}")
        rater.agree()
        known = truth(chosen.database, rater.started.session)
        fooled: set[Side] = set()
        for trial in rater.to_come() or []:
            shown = known[trial.k]
            rater.show(trial.k)
            if trial.phase == "scored" and shown.fake_side in FOOLED[shown.algorithm] - fooled:
                fooled.add(shown.fake_side)
                rater.answer(trial.k, OTHER[shown.fake_side])
            else:
                rater.answer(trial.k, shown.fake_side)
        rater.complete()


def scores(results: Path, cell: str) -> ledger.Scores:
    return store_ledger.read_scorer(Grid(results / "losses").run(cell, 0), "amt-first")


def test_fooling_rates_go_into_the_ledger_and_the_report(results: Path, chosen: Chosen) -> None:
    take_part(chosen)
    assert run("amt", "close", str(results)).output == "first: closed\n"
    said = run("amt", "analyse", str(results))
    assert said.exit_code == 0, said.output
    assert "fooling rates of 2 runs written" in said.output
    for cell, sides in FOOLED.items():
        rate = len(sides) / 4
        found = scores(results, cell)
        metric = found.metrics["fooling_rate"]
        assert metric.value == pytest.approx(100 * rate)
        ends = found.interval("fooling_rate")
        assert ends.low < 100 * rate < ends.high
        assert (found.n, found.protocol["simulated"], found.protocol["looked_at_early"]) == (12, False, False)
        assert found.protocol["study_fingerprint"] == chosen.study.protocol.fingerprint
        assert metric.per_item is not None
        assert metric.per_item.mean() == pytest.approx(100 * rate)  # each item was judged once
    assert scores(results, "L1").fingerprint == scores(results, "cGAN").fingerprint
    page = html.write_report(results, results / "report").read_text("utf-8")
    assert "Real vs fake: first" in page
    assert "raters and items" in page
    assert "50.0" in page
    assert "Simulated raters" not in page
    assert "Table 4, map to aerial photo" in page
    assert "18.9" in page
    written = json.loads(chosen.folder.analysis.read_text())
    assert (written["study"], written["simulated"], written["looked_at_early"]) == ("first", False, False)
    assert written["origin"]["cGAN"] == "losses/cGAN/seed-0"


def test_one_rater_a_cell_has_a_rate_and_no_interval(results: Path, chosen: Chosen) -> None:
    take_part(chosen, 2)
    run("amt", "close", str(results))
    said = run("amt", "analyse", str(results))
    assert said.exit_code == 0, said.output
    for cell, sides in FOOLED.items():
        rate = 100 * len(sides) / 4
        metric = scores(results, cell).metrics["fooling_rate"]
        assert metric.value == pytest.approx(rate)
        assert not scores(results, cell).interval("fooling_rate").known
        row = next(line for line in said.output.splitlines() if line.startswith(f"{cell} "))
        assert row.split()[1:8] == ["1", "4", f"{rate:.1f}", "%", "-", "-", "-"]
    page = html.write_report(results, results / "report").read_text("utf-8")
    assert "cGAN 50.0 % (no interval)" in page  # in words, of the drawing
    table = page[page.index("Real vs fake: first</h3>") :].split("</table>")[0]
    assert table.count('title="no interval') == 2
    assert "best" not in table
    assert "tie" not in table.split("<tbody>")[1]


def test_the_report_reads_what_the_analysis_writes(results: Path, opened: Opened, chosen: Chosen) -> None:
    take_part(chosen)
    run("amt", "close", str(results))
    analysis, _ = analyse_study(results, choose(opened, None), 0)
    found = analyses.collect(results)
    assert found.damages == ()
    entries, _ = store_ledger.collect(Grid(results / "losses"))
    placed = placement.place(found.studies, entries)
    assert placed.strangers == ()
    [study] = placed.by_grid["losses"]
    assert (study.raters, study.sessions, study.excluded) == (2 * SMALL_RATERS, 2 * SMALL_RATERS, 0)
    for cell, written in zip(study.cells, analysis.kept.algorithms, strict=True):
        assert cell.cell == written.name
        assert (cell.rate, cell.trials) == pytest.approx((100 * written.claims.value, written.trials))
        assert cell.over_items == pytest.approx((100 * written.claims.low, 100 * written.claims.high))
        assert {item: (each.trials, each.fooled) for item, each in cell.items.items()} == {
            each.item: (each.trials, each.fooled) for each in written.items
        }
        assert [block.trials for block in cell.curve.blocks] == [4 * SMALL_RATERS]
        assert [block.trials for block in cell.curve.practice] == [2 * SMALL_RATERS]


def test_a_simulated_study_says_so_in_the_report(results: Path, opened: Opened) -> None:
    assert run("amt", "create", str(results), "--name", "first", "--simulated", *SMALL).exit_code == 0
    chosen = choose(opened, "first")
    take_part(chosen)
    analyse_study(results, chosen, 0, peek=True)
    page = html.write_report(results, results / "report").read_text("utf-8")
    assert "Simulated raters." in page
    assert "viewed before it was closed" in page


def test_an_open_study_is_looked_at_only_on_demand(results: Path, chosen: Chosen) -> None:
    take_part(chosen)
    for command in ("analyse", "export"):
        refused = run("amt", command, str(results))
        assert refused.exit_code != 0
        assert "expected it closed" in str(refused.exception)
    assert not chosen.folder.answers.exists()
    assert run("amt", "export", str(results), "--peek").exit_code == 0
    with chosen.database.reading() as connection:
        assert studies.get(connection, chosen.study.id).revealed is not None
    assert len(table.read(chosen.folder.answers)) == 2 * SMALL_RATERS * 6


def test_an_export_gives_the_same_analysis(results: Path, chosen: Chosen) -> None:
    take_part(chosen)
    run("amt", "close", str(results))
    assert run("amt", "export", str(results)).exit_code == 0
    direct = json.loads(run("amt", "analyse", str(results), "--json").stdout)
    again = json.loads(run("amt", "analyse", str(chosen.folder.answers), "--json").stdout)
    assert direct == again


def test_an_exported_rehearsal_says_what_its_raters_were(results: Path, opened: Opened) -> None:
    assert run("amt", "create", str(results), "--name", "first", "--simulated", *SMALL).exit_code == 0
    chosen = choose(opened, "first")
    take_part(chosen)
    run("amt", "close", str(results))
    assert run("amt", "export", str(results)).exit_code == 0
    text = run("amt", "analyse", str(chosen.folder.answers)).stdout
    assert text.splitlines()[1] == "The raters of this study were simulated: programs, not people."
    assert text == run("amt", "analyse", str(results)).stdout
    said = run("amt", "analyse", str(chosen.folder.answers), "--json").stdout
    assert json.loads(said)["simulated"] is True
    assert said == run("amt", "analyse", str(results), "--json").stdout
    assert set(pd.read_csv(chosen.folder.sessions)["simulated"]) == {1}
    rates = read_results(results).query("metric == 'fooling_rate'")
    assert set(rates["note"]) == {"the raters were programs: a rehearsal, which says nothing about the images"}


def test_an_analysis_is_the_same_twice_and_another_seed_differs(results: Path, chosen: Chosen) -> None:
    take_part(chosen)
    run("amt", "close", str(results))
    texts = [run("amt", "analyse", str(results), "--json", "--seed", seed).stdout for seed in ("0", "0", "1")]
    assert texts[0] == texts[1] != texts[2]


def test_links_are_for_studies_of_links(results: Path, opened: Opened, chosen: Chosen, tmp_path: Path) -> None:
    out, url = tmp_path / "links.csv", "https://lab.example.org/study"
    made = ("amt", "links", str(results), "--count", "3", "--public-url", url, "--out", str(out))
    assert "not by links" in str(run(*made).exception)
    assert run("amt", "create", str(results), "--name", "second", "--recruit", "link", *SMALL).exit_code == 0
    assert "found the studies first, second, expected one" in str(run(*made).exception)
    assert run(*made, "--name", "second").exit_code == 0
    first = out.read_bytes()
    assert "found a file there, expected none" in str(run(*made, "--name", "second").exception)
    assert out.read_bytes() == first  # the links in it are nowhere else
    assert run(*made[:-1], str(tmp_path / "new" / "more.csv"), "--name", "second").exit_code == 0
    rows = [line.split(",") for line in (tmp_path / "new" / "more.csv").read_text().splitlines()]
    assert [label for label, _ in rows] == ["label", "rater 4", "rater 5", "rater 6"]
    link = rows[1][1]
    assert link.startswith(f"{url}/s/second/?link=")
    second = choose(opened, "second")
    secret = link.partition("=")[2]
    assert sessions.start(second.database, second.study, secret, "link", "").new


@pytest.fixture
def linked(results: Path, opened: Opened) -> Chosen:
    """A study whose raters come by links."""
    assert run("amt", "create", str(results), "--name", "linked", "--recruit", "link", *SMALL).exit_code == 0
    return choose(opened, "linked")


def make_links(results: Path, out: Path, url: str = "https://lab.example.org") -> Result:
    return run("amt", "links", str(results), "--count", "3", "--public-url", url, "--out", str(out))


def links_in(chosen: Chosen) -> int:
    with chosen.database.reading() as connection:
        return counts.links_of(connection, chosen.study.id).made


def test_links_whose_file_cannot_be_written_do_not_count(results: Path, linked: Chosen, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    places = {tmp_path / "file" / "links.csv": "is a file, where a folder", Path("/proc/links.csv"): "name another"}
    places |= {results: "found a file there", tmp_path / "link": "found a file there"}
    for out, said in places.items():
        result = make_links(results, out)
        assert isinstance(result.exception, ReportError)
        assert said in str(result.exception)
    assert not (tmp_path / "nothing").exists()
    assert links_in(linked) == 0


def test_links_that_do_not_count_leave_no_file(results: Path, linked: Chosen, tmp_path: Path) -> None:
    with no_commits(linked.database, schema.links.name):
        result = make_links(results, tmp_path / "links.csv")
    assert "FOREIGN KEY constraint failed" in str(result.exception)
    assert list(tmp_path.glob("*.csv")) == []
    assert links_in(linked) == 0
    assert make_links(results, tmp_path / "links.csv").exit_code == 0
    assert links_in(linked) == 3


@pytest.mark.parametrize(
    "url",
    [
        "lab.example.org",
        "lab.example.org:8000",
        "//lab.example.org",
        "ftp://lab.example.org",
        "https://",
        "https:///study",
        "https://lab.example.org:port",
        "https://lab.example.org/?a=b",
        "https://lab.example.org/#top",
        " https://lab.example.org",
        "",
    ],
)
def test_a_public_url_is_one_that_browsers_open(results: Path, linked: Chosen, tmp_path: Path, url: str) -> None:
    refused = make_links(results, tmp_path / "links.csv", url)
    assert "such as https://lab.example.org/study" in str(refused.exception)
    assert list(tmp_path.glob("*.csv")) == []
    assert links_in(linked) == 0
    if url:  # `amt serve` can do without
        refused = run("amt", "serve", str(results), "--port", "0", "--public-url", url)
        assert "such as https://lab.example.org/study" in str(refused.exception)


def test_a_slash_behind_the_public_url_is_not_doubled(results: Path, linked: Chosen, tmp_path: Path) -> None:
    for place, url in enumerate(("http://[::1]:8000", "https://lab.example.org/study/")):
        out = tmp_path / f"{place}.csv"
        assert make_links(results, out, url).exit_code == 0
        assert f",{url.rstrip('/')}/s/linked/?link=" in out.read_text()


def test_the_seed_chooses_the_run_and_the_grid_must_be_known(results: Path) -> None:
    with pytest.raises(UserError, match="found no outputs of seed 7"):
        from_results(results, None, 7, allow_partial=False)
    with pytest.raises(UserError, match="found the grids losses, expected one"):
        from_results(results, "other", None, allow_partial=False)
    found = from_results(results, "losses", 0, allow_partial=False)
    assert found.origin == {"L1": "losses/L1/seed-0", "cGAN": "losses/cGAN/seed-0"}
    next(Grid(results / "losses").run("L1", 0).images.iterdir()).unlink()
    assert len(from_results(results, None, None, allow_partial=True).sources.items) == 11


def test_tasks_have_the_papers_pairing(results: Path, opened: Opened) -> None:
    for task, pairing in (("map", "unpaired"), ("colorization", "paired")):
        assert run("amt", "create", str(results), "--name", task, "--task", task, *SMALL).exit_code == 0
        study: Study = choose(opened, task).study
        assert study.protocol.pairing == pairing


@pytest.mark.usefixtures("unhurried_server")
def test_programs_take_part_in_rehearsals_only(results: Path, chosen: Chosen) -> None:
    assert "found a study for people" in str(run("amt", "simulate", str(results), "--name", "first").exception)
    assert run("amt", "create", str(results), "--name", "second", "--simulated", *SMALL).exit_code == 0
    wanted = ("--fooling", "L1=0", "--fooling", "cGAN=100", "--raters", "careful=5", "--raters", "double=1")
    said = run("amt", "simulate", str(results), "--name", "second", *wanted)
    assert said.exit_code == 0, said.output
    assert "    5 careful: completed\n    1 double: completed\n36 answers in" in said.output
    found = json.loads(run("amt", "status", str(results), "--json").output.splitlines()[1])
    assert [one["done"] for one in found["algorithms"].values()] == [SMALL_RATERS, SMALL_RATERS]
    analysis = json.loads(run("amt", "analyse", str(results), "--name", "second", "--peek", "--json").stdout)
    rates = {one["name"]: one["claims"]["value"] for one in analysis["everything"]["algorithms"]}
    assert rates == {"L1": 0.0, "cGAN": 1.0}


@pytest.mark.usefixtures("unhurried_server")
def test_a_rehearsal_that_nobody_can_take_part_in_says_why(results: Path, chosen: Chosen) -> None:
    assert run("amt", "create", str(results), "--name", "second", "--simulated", *SMALL).exit_code == 0
    assert run("amt", "simulate", str(results), "--name", "second").exit_code == 0
    again = run("amt", "simulate", str(results), "--name", "second").exception
    assert "second: none of 6 simulated raters could take part: they have finished this study before" in str(again)
    others = run("amt", "simulate", str(results), "--name", "second", "--seed", "1", "--raters", "careful=7").exception
    assert "could take part" in str(others)
    assert run("amt", "close", str(results), "--name", "second").exit_code == 0
    assert "second: is closed" in str(run("amt", "simulate", str(results), "--name", "second").exception)


@pytest.mark.parametrize("wrong", ["--raters=many=1", "--raters=careful=x", "--fooling=L2=1", "--fooling=L1=101"])
def test_a_rehearsal_checks_what_it_is_asked_for(results: Path, chosen: Chosen, wrong: str) -> None:
    assert "change it" in str(run("amt", "simulate", str(results), wrong).exception)
    assert "--fooling a=b: expected one of L1" in str(run("amt", "simulate", str(results), "--fooling=a=b=1").exception)


@pytest.mark.usefixtures("unhurried_server")
def test_quickstarts_study_goes_on_where_it_was_stopped(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "PROTOCOL", Protocol(raters=3, practice=2, scored=4, spares=2, width=16, height=16))
    monkeypatch.setattr(rehearsal, "INVENTED", {"L1": 5.0, "cGAN": 40.0})
    said: list[str] = []
    reporter = SimpleNamespace(say=said.append)  # all that it uses of a reporter
    for _ in range(2):
        rehearsal.hold_study(results, "losses", reporter)
    assert len(said) == 1
    assert "Simulated raters." in html.write_report(results, results / "report").read_text("utf-8")
    kept = store_ledger.read_scorer(Grid(results / "losses").run("L1", 0), "amt-simulated")
    assert kept.protocol["looked_at_early"] is False


def test_status_counts(results: Path, chosen: Chosen) -> None:
    Rater(chosen.database, chosen.study, "one")
    found = json.loads(run("amt", "status", str(results), "--json").output)
    assert sum(one["running"] for one in found["algorithms"].values()) == 1
    assert "first (open), protocol" in run("amt", "status", str(results)).output


def test_unscored_items_leave_the_rate_without_its_items(results: Path, chosen: Chosen) -> None:
    take_part(chosen, raters=1)
    analyse_study(results, chosen, 0, peek=True)
    [cell] = [cell for cell in ALGORITHMS if Grid(results / "losses").run(cell, 0).scorers()]
    metric = scores(results, cell).metrics["fooling_rate"]
    assert metric.per_item is None
    assert np.isnan(metric.replicates).all()  # a single rater has no interval
