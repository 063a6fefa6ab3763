"""Which items vary together: found by names, pattern or table, and said wherever an interval is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from p2pbench.cli import cli
from p2pbench.config import GridConfig
from p2pbench.datasets.clusters import find_clusters, of_clusters
from p2pbench.datasets.labelled import CamVid, Cityscapes
from p2pbench.errors import UserError
from reports.store.layout import Grid
from tests.p2pbench import label_files
from tests.p2pbench.grids import run_grid
from tests.p2pbench.test_ablation import Notes
from tests.p2pbench.tiny import TINY

CAMVID = ["0001TP_008550", "0001TP_008580", "Seq05VD_f00000", "Seq05VD_f00030"]
TABLE = "item,cluster\np00,first\np01,first\np02,second\nof another split,third\n"
ITEMS = ["p00", "p01", "p02"]


def command(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, [*map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit | UserError):
        raise result.exception
    return result


def test_camvid_is_known_by_sequence_and_cityscapes_by_city() -> None:
    found = find_clusters(None, CamVid.naming, CAMVID).clusters
    assert found is not None
    assert (found.by, list(found.of.values())) == ("sequences", ["0001TP", "0001TP", "Seq05VD", "Seq05VD"])
    names = ["ulm_000000_000019", "bad-honnef_000001_000019"]
    cities = find_clusters(None, Cityscapes.naming, [*names, "ulm_000001_000019"]).clusters
    assert cities is not None
    assert (cities.by, set(cities.of.values())) == ("cities", {"ulm", "bad-honnef"})


def test_other_names_tell_no_clusters_and_a_mixture_is_said() -> None:
    assert find_clusters(None, CamVid.naming, ["a", "b"]) == (None, ())
    assert find_clusters(None, None, CAMVID) == (None, ())
    clusters, (said,) = find_clusters(None, CamVid.naming, [*CAMVID, "mine"])
    assert clusters is None
    assert said.startswith("1 of 5 items are not named as published, such as mine: sequences are not known")


def test_a_pattern_and_a_table(tmp_path: Path) -> None:
    by_pattern = find_clusters("^p([0-9])", None, ["p00", "p01", "p10"]).clusters
    assert by_pattern is not None
    assert (by_pattern.by, by_pattern.of) == ("pattern ^p([0-9])", {"p00": "0", "p01": "0", "p10": "1"})
    table = tmp_path / "clusters.csv"
    table.write_bytes(b"\xef\xbb\xbf" + TABLE.replace("\n", "\r\n").encode())
    by_table = find_clusters(str(table), None, ITEMS).clusters
    assert by_table is not None
    assert (by_table.by, by_table.of["p01"], by_table.of["p02"]) == ("a CSV table", "first", "second")


def test_a_copy_of_a_table_under_another_name_leaves_the_protocol(tmp_path: Path) -> None:
    said = []
    for name, text in (("e.csv", TABLE), ("e2.csv", TABLE), ("e3.csv", TABLE.replace("p01,first", "p01,second"))):
        (tmp_path / name).write_text(text)
        said.append(of_clusters(find_clusters(str(tmp_path / name), None, ITEMS).clusters, ITEMS))
    assert said[0] == said[1]
    assert said[0] != said[2]


def test_each_item_alone_is_as_without_and_is_said() -> None:
    clusters, (said,) = find_clusters("(.*)", CamVid.naming, CAMVID)
    assert clusters is None
    assert said == "clusters (.*): each of 4 items is a cluster of its own, which is as without any"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            "x(.)",
            "clusters x(.): found it in none of 3 items, such as p00; expected it in every one; change the pattern",
        ),
        ("p0([01])", "found no cluster for 1 of 3 items, such as p02; expected one for each; change the pattern"),
        ("(p)", "found 1 cluster, p, with all 3 items; expected several, as one says nothing of others"),
        ("()", "found 1 cluster, an empty name, with all 3 items"),
    ],
)
def test_patterns_that_do_not_fit_the_items(asked: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        find_clusters(asked, None, ITEMS)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "p00,a\np01,a\n",
            "found no cluster for 1 of 3 items, such as p02; expected one for each; add a line for each",
        ),
        ("p00,a\np01,a\np02,b\np01,b\n", "line 4: found p01 again, expected each item once; delete one"),
        ("p00;a\np01;b\n", "line 1: found 1 column, expected two with a comma between them, an item and its cluster"),
        ("p00,a,b\n", "line 1: found 3 columns, expected two with a comma"),
        ("p00,a\np01, \np02,b\n", "line 2: found no item or no cluster, expected both; mend that line"),
        ("p00,a\np01,b\np02,b\0\n", "line 3: found cluster b\\x00, expected a name without invisible characters"),
        ("p00,a\np01,b\u202e\np02,b\n", "line 2: found cluster b\\u202e, expected a name without invisible characters"),
        ("p00,a\np01,a\np02,a\n", "found 1 cluster, a, with all 3 items; expected several"),
        (b"p00,\xff\n", "expected a CSV file in UTF-8; save it as such"),
        (None, "found no such file, expected a table of items and clusters; put it there, or name another"),
    ],
)
def test_tables_that_do_not_fit_the_items(text: str | bytes | None, said: str, tmp_path: Path) -> None:
    table = tmp_path / "clusters.csv"
    if text is not None:
        table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as error:
        find_clusters(str(table), None, ITEMS)
    assert str(error.value).startswith(f"{table}: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("asked", "found"), [("^p", "0 groups"), ("(a)(b)", "2 groups"), ("(", "missing )")])
def test_what_is_no_pattern_with_one_group_is_wrong_usage(asked: str, found: str, tmp_path: Path) -> None:
    result = command("image-score", tmp_path, "--clusters", asked)
    assert result.exit_code == 2
    assert "expected a pattern with one group" in result.stderr
    assert found in result.stderr
    set_so = command("train", "--set", f"clusters={asked}")
    assert isinstance(set_so.exception, UserError)
    assert "key 'clusters': expected a pattern with one group" in str(set_so.exception)


def train(root: Path, results: Path, **settings: Any) -> Grid:  # noqa: ANN401 (any setting)
    grid = GridConfig(title="x", settings=TINY | {"root": str(root), **settings}, cells={"L1": {"objective": "L1"}})
    return run_grid(results, "grid", grid, "x", {}, [0], Notes())


@pytest.mark.long
def test_a_grid_keeps_its_clusters_and_every_number_says_so(folders: Path, tmp_path: Path) -> None:
    table, results = tmp_path / "clusters.csv", tmp_path / "results"
    table.write_text(TABLE)
    train(folders, results, clusters=str(table))
    clusters = "2 clusters of items (a CSV table), with as much information as 1.8 equal ones"
    said = f"{clusters}: too few for meaningful intervals; use 5 or more"
    scored = command("image-score", results, "--json")
    assert scored.stderr.splitlines().count(f"grid: {said}") == 1
    summary = json.loads(scored.stdout.splitlines()[0])
    assert summary["intervals_over"] == "2 clusters of items (a CSV table)"
    assert summary["intervals_doubt"] == said
    assert summary["protocol"]["clusters"]["n"] == 2
    assert command("report", results).exit_code == 0
    page = (results / "report" / "index.html").read_text()
    assert "interval over 2 clusters of items (a CSV table)" in page
    assert f"{said}." in page
    assert "2 clusters of items (a CSV table)" in (results / "report/tables/grid--image.tex").read_text()
    header, row = (results / "report/tables/grid--image.csv").read_text().splitlines()[:2]
    assert dict(zip(header.split(","), row.split(","), strict=True))["clusters"] == "2"

    alone = json.loads(command("image-score", results, "--json", "--clusters", "(.*)").stdout.splitlines()[0])
    assert (alone["intervals_over"], alone["intervals_doubt"]) == ("items", None)
    assert alone["fingerprint"] != summary["fingerprint"]
    assert alone["metrics"] == summary["metrics"]

    table.unlink()
    gone = command("image-score", results)
    assert str(gone.exception).startswith(f"{table}: found no such file, expected a table of items and clusters")
    # The grid's last command decides: it may have others without training anew.
    train(folders, results, clusters="^p0([0-9])")
    again = json.loads(command("image-score", results, "--json").stdout.splitlines()[0])
    assert again["fingerprint"] == alone["fingerprint"]


def test_clusters_that_do_not_fit_are_known_before_training(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found it in none of 3 items"):
        train(folders, tmp_path / "results", clusters="x(.)")
    assert not (tmp_path / "results").exists()


def test_folders_of_outputs_are_scored_by_cluster(tmp_path: Path) -> None:
    folder, truth = tmp_path / "outputs", tmp_path / "cityscapes" / "gtFine" / "val" / "ulm"
    truth.mkdir(parents=True)
    folder.mkdir()
    names = [f"ulm_{frame:06d}_000019" for frame in range(3)]
    for frame, name in enumerate(names):
        label_files.grey(truth / f"{name}_gtFine_labelIds.png", label_files.scene(frame))
        label_files.grey(folder / f"{name}.png", label_files.predicted(frame))
    labels = ("--labels", f"cityscapes:{tmp_path / 'cityscapes'}", "--read", "label-ids")
    one_city = label_files.score(folder, *labels)
    assert "1 cluster of items (cities): no interval" in one_city.stderr
    table = tmp_path / "drives.csv"
    table.write_text("".join(f"{name},{min(frame, 1)}\n" for frame, name in enumerate(names)))
    two = label_files.score(folder, *labels, "--clusters", table)
    assert "95 % intervals over 2 clusters of items (a CSV table)" in " ".join(two.stdout.split())
    assert "2 clusters of items (a CSV table), with as much information as 1.8 equal ones: too few" in two.stderr
