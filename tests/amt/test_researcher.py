"""The researcher's pages over real HTTP: what they show and when, what they let do."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import Browser
from sqlalchemy import update

from amt import identity
from amt.errors import Refusal
from amt.folders import Studies
from amt.recruitment import Recruitment
from amt.statistics import table
from amt.statistics.analysis import analyse
from amt.store import export, reveals
from amt.store import studies as studies_of
from amt.store.database import Database
from amt.store.schema import studies as studies_table
from amt.store.studies import Study
from tests.amt.page_driver import FIXTURES as BROWSER
from tests.amt.researcher_site import FIXTURES, Site, enter, post
from tests.amt.researcher_study import EVIL, answer, end_lease, take_part
from tests.amt.served import Client, served
from tests.amt.study import Rater, make_study

cheap, database, site = FIXTURES
chromium = BROWSER[0]


@pytest.mark.long
def test_no_rate_is_seen_before_the_study_is_closed(site: Site) -> None:
    assert site.reveals() == []
    for path in ("small/results", "small/answers.csv"):
        locked = site.get(path)
        assert (locked.status_code, "hidden until the study is closed" in locked.text) == (403, True)
    page = site.get("small/").text
    assert "Looked at" not in page
    assert 'href="answers.csv"' not in page
    site.post("small/state", state="closed")
    assert site.reveals() == ["small/results", "small/answers.csv"]
    assert "Looked at" not in site.get("small/").text


@pytest.mark.long
def test_a_look_before_the_end_is_kept(site: Site) -> None:
    assert "A look cannot be undone" in site.get("small/").text
    looked = site.post("small/reveal")
    assert (looked.status_code, looked.headers["location"]) == (303, "results")
    revealed = site.now().revealed
    assert revealed is not None
    for path in ("small/", "small/results"):
        assert "Looked at before the study was closed</strong>, on " in site.get(path).text
    assert "These are the results so far" in site.get("small/results").text
    site.post("small/reveal")
    site.post("small/state", state="closed")
    assert site.now().revealed == revealed
    assert "Looked at before the study was closed" in site.get("small/results").text


@pytest.mark.long
def test_a_closed_study_that_was_looked_at_is_opened_again(site: Site) -> None:
    for state in ("closed", "open"):  # nobody looks
        site.post("small/state", state=state)
    assert site.now().revealed is None
    site.post("small/state", state="closed")
    site.post("small/reveal")
    assert site.now().revealed is None  # it is closed
    site.get("small/results")
    assert "records this as a look before its end" in site.get("small/").text
    site.post("small/state", state="open")
    assert site.now().revealed is not None
    assert "Looked at before the study was closed" in site.get("small/").text


@pytest.mark.long
def test_results_are_those_of_the_statistics(site: Site) -> None:
    site.post("small/state", state="closed")
    page = re.sub(r"\s+", " ", site.get("small/results").text)
    analysis = analyse(export.answer_table(site.database, site.study), site.study.protocol)
    l1, cgan = analysis.kept.algorithms
    assert (f"{100 * l1.two_stage.value:.1f}", f"{100 * cgan.two_stage.value:.1f}") == ("41.7", "8.3")
    for algorithm in (l1, cgan):
        for estimate in (algorithm.two_stage, algorithm.claims):
            assert f"<td>{100 * estimate.low:.1f} to {100 * estimate.high:.1f}</td>" in page
        assert f"± {100 * algorithm.two_stage.error:.1f}" in page
    (pair,) = analysis.kept.pairs
    assert f"<strong>+{100 * pair.difference.value:.1f}</strong>" in page
    assert f"<td>{pair.adjusted:.3f}</td>" in page
    assert "No session is excluded." in page


@pytest.mark.long
def test_results_with_and_without_exclusions(database: Database, studies: Studies, study: Study) -> None:
    take_part(database, study, "one", 1)
    two = Rater(database, study, "two")
    two.agree()
    two.finish("left")  # so half of them are right
    with served(database, studies) as http:
        enter(http, database)
        page = http.get("/admin/small/").text
        assert "4 of 4 answers are left" in page
        post(http, "small/state", state="closed")
        text = re.sub(r"<[^>]+>|\s+", " ", http.get("/admin/small/results").text)
    assert "2 sessions, 1 of which count" in text
    assert "no session counts" in text
    assert len(re.findall(r"with excluded +1 +4 ", text)) == 2
    assert "50.0 ± – " in re.sub(" +", " ", text)  # of one rater nobody knows it
    assert "nan" not in text
    assert "a single rater, item or cluster of items does not show how others vary" in re.sub(" +", " ", text)


def test_a_study_without_answers_has_no_results(database: Database, studies: Studies, study: Study) -> None:
    with served(database, studies) as http:
        enter(http, database)
        assert http.get("/admin/small/").status_code == 200
        post(http, "small/state", state="closed")
        assert "No scored trial has been answered yet." in http.get("/admin/small/results").text
        missing = http.get("/admin/other/")
        assert (missing.status_code, "There is no study other." in missing.text) == (404, True)


@pytest.mark.long
def test_the_page_of_a_study(site: Site) -> None:
    text = re.sub(r"<[^>]+>|\s+", " ", site.get("small/").text)
    text = re.sub(" +", " ", text)
    for part in (
        " L1 3 0 0 3 12 0 0 0 0 0 ",
        " All 6 0 0 6 24 0 0 0 0 0 ",
        "Exposures within a frame 100.00 % of 48 exposures of 1,000 ms; 0.00 % are off by more than 2 frames",
        "Median response 0.50 s",
        "Completed but excluded 0 of 6 sessions",
        "All was well.",
        f"protocol {site.study.protocol.fingerprint}",
        f"consent {site.study.consent.version}",
        "could have been forged in 6 of 6 sessions",
    ):
        assert part in text, part
    assert "Simulated" not in text
    counts = site.get("small/counts").json()
    assert counts["state"] == "open"
    assert counts["counts"]["0.done"] == 3
    assert counts["counts"]["all.answers"] == 24
    assert set(re.findall(r'data-count="([^"]+)"', site.get("small/").text)) <= counts["counts"].keys()


def test_a_simulated_study_says_so(database: Database, studies: Studies, pictures: Path) -> None:
    make_study(database, studies, pictures, simulated=True)
    with served(database, studies) as http:
        enter(http, database)
        post(http, "small/state", state="closed")
        assert ">simulated</span>" in http.get("/admin/").text
        for path in ("small/", "small/results"):
            assert "<strong>Simulated study.</strong>" in http.get(f"/admin/{path}").text


@pytest.mark.long
def test_downloads_are_the_exports(site: Site, tmp_path: Path) -> None:
    site.post("small/state", state="closed")
    answers = site.get("small/answers.csv")
    assert answers.headers["content-disposition"] == 'attachment; filename="small-answers.csv"'
    (tmp_path / "answers.csv").write_bytes(answers.content)
    pd.testing.assert_frame_equal(table.read(tmp_path / "answers.csv"), export.answer_table(site.database, site.study))
    rows = list(csv.DictReader(io.StringIO(site.get("small/sessions.csv").text)))
    assert [row["comment"] for row in rows] == ["All was well.", f"'{EVIL}", "", "", "", ""]
    assert site.get("small/codes.csv").text.split() == ["code", *(f"CODE-rater-{number}" for number in range(6))]
    described = json.loads(site.get("small/study.json").text)
    assert described["fingerprint"] == site.study.protocol.fingerprint
    assert site.study.key not in site.get("small/study.json").text


@pytest.mark.long
def test_no_text_becomes_markup(site: Site) -> None:
    with site.database.writing() as connection:
        connection.execute(update(studies_table).values(title=EVIL, origin=json.dumps({"real": EVIL})))
    site.post("small/state", state="closed")
    for path in ("", "small/", "small/results"):
        page = site.get(path)
        assert "alert(1)" in page.text
        assert "<script>" not in page.text
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", page.text)
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"


@pytest.mark.long
def test_links_are_shown_once_and_let_one_rater_in(database: Database, studies: Studies, pictures: Path) -> None:
    study = make_study(database, studies, pictures, recruitment=Recruitment(by="link"))
    with served(database, studies) as http:
        enter(http, database)
        for count, label in (("0", "x"), ("1001", "x"), ("0000001", "x"), ("2.5", "x"), ("2", " "), ("2", "x" * 101)):
            assert post(http, "small/links", count=count, label=label).status_code == 422
        made = post(http, "small/links", count="2", label="=HYPERLINK(1)")
        rows = list(csv.DictReader(io.StringIO(made.text)))
        assert [row["label"] for row in rows] == ["'=HYPERLINK(1) 1", "'=HYPERLINK(1) 2"]
        more = post(http, "small/links", count="1", label="lab")
        assert more.text.splitlines()[1].startswith("lab 3,")
        base = f"{http.base_url}/s/small/?link="
        assert all(row["link"].startswith(base) for row in rows)
        secrets = [row["link"].removeprefix(base) for row in rows]
        first = Client(http, "small", secrets[0], "link")
        assert first.started.status_code == 201
        again = Client(http, "small", secrets[0], "link")
        assert (again.started.status_code, again.session) == (200, first.session)
        assert Client(http, "small", "invented", "link").started.status_code == 403
        page = http.get("/admin/small/").text
        assert 'data-count="links.made">3</span> made' in page
        assert 'data-count="links.used">1</span> used' in page
        assert not any(secret in page for secret in secrets)
        database.close()
        stored = b"".join(path.read_bytes() for path in studies.folder.glob("study.sqlite*"))
        assert identity.pseudonym(study.key, "link", secrets[1]).encode() in stored
        assert not any(secret.encode() in stored for secret in secrets)


def test_an_open_study_has_no_links_to_make(site: Site) -> None:
    assert site.post("small/links", count="2", label="x").status_code == 409


@pytest.mark.long
def test_forgetting_who_was_who(site: Site, studies: Studies) -> None:
    before = export.session_table(site.database, site.study)
    answers = export.answer_table(site.database, site.study).drop(columns="rater")
    assert site.post("small/forget", sure="yes").status_code == 409  # it is open
    site.post("small/state", state="closed")
    assert site.post("small/forget").status_code == 422
    assert site.post("small/forget", sure="yes").status_code == 303
    after = export.session_table(site.database, site.study)
    assert not set(before["rater"]) & set(after["rater"])
    assert after["rater"].str.fullmatch("[0-9a-f]{32}").all()
    pd.testing.assert_frame_equal(export.answer_table(site.database, site.study).drop(columns="rater"), answers)
    assert site.now().key != site.study.key
    stored = b"".join(path.read_bytes() for path in studies.folder.glob("study.sqlite*"))
    for secret in (site.study.key, *before["rater"], "CODE-rater-0"):
        assert secret.encode() not in stored
    page = site.get("small/").text
    assert "no rater’s id, link or code can be matched" in page
    reopened = site.post("small/state", state="open")
    assert (reopened.status_code, "could take part twice" in reopened.text) == (409, True)
    assert site.get("small/results").status_code == 200


def test_who_is_still_running_is_not_forgotten(database: Database, study: Study, rater: Rater) -> None:
    answer(rater, 0, 0)
    with database.writing() as connection:
        reveals.close(connection, study)
    with pytest.raises(Refusal, match="still running: 1"):
        reveals.forget(database, replace(study, state="closed"))
    end_lease(rater)
    reveals.forget(database, study)


def test_counts_refresh_in_the_browser(site: Site, chromium: Browser, pictures: Path, studies: Studies) -> None:
    make_study(site.database, studies, pictures, name="second")
    with chromium.new_context() as context:
        (cookie,) = site.http.cookies.jar
        context.add_cookies([{"name": cookie.name, "value": str(cookie.value), "url": f"{site.http.base_url}/admin/"}])
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{site.http.base_url}/admin/second/")
        running = page.locator('[data-count="all.running"]')
        assert running.inner_text() == "0"
        with site.database.reading() as connection:
            second = studies_of.find(connection, "second")
        assert second is not None
        Rater(site.database, second, "new")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.wait_for_function("() => document.querySelector('[data-count=\"all.running\"]').textContent === '1'")
        assert "refreshed every 5 seconds" in page.locator("#live").inner_text()
        assert complaints == []
        site.post("logout")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.wait_for_url("**/admin/login")
