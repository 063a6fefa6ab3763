"""Scores written, read again, and refused when damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from reports.store import ledger
from reports.store import scores as store_scores
from reports.store.bootstrap import item_weights
from reports.store.errors import ReportError
from reports.store.layout import RECORD, Grid, Run
from reports.store.scores import Metric, Scores

IDS = ("b", "a", "ü ' <i>")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "results/losses/L1/seed-0", "L1", 0)


def _scores(l1: tuple[float, ...] = (0.25, 0.5, 0.75), **protocol: object) -> Scores:
    values = np.array(l1)
    weights = item_weights(IDS, 100)
    metrics = {
        "l1": Metric(float(values.mean()), weights @ values.astype(np.float32) / 3, values),
        "histogram_l": Metric(0.5, weights[:, 0] / 3),
    }
    return Scores("image", {"scale": "0..1", **protocol}, IDS, 5, metrics)


def _edit(run: Run, **changes: object) -> None:
    document = json.loads(run.score("image").read_text())
    run.score("image").write_text(json.dumps({**document, **changes}))


def test_what_is_written_is_read_again(run: Run) -> None:
    scores = _scores()
    ledger.write(run, scores)
    (again,) = ledger.read(run)
    assert (again.scorer, again.protocol, again.item_ids, again.n, again.n_expected) == (
        "image",
        {"scale": "0..1"},
        IDS,
        3,
        5,
    )
    assert list(again.metrics) == ["l1", "histogram_l"]
    assert again.metrics["l1"].value == 0.5
    assert again.metrics["l1"].per_item is not None
    assert again.metrics["l1"].per_item.tolist() == [0.25, 0.5, 0.75]
    assert again.metrics["histogram_l"].per_item is None
    np.testing.assert_array_equal(again.metrics["l1"].replicates, scores.metrics["l1"].replicates.astype(np.float32))


def test_the_json_is_plain(run: Run) -> None:
    ledger.write(run, _scores())
    document = json.loads(run.score("image").read_text())
    low, high = _scores().interval("l1")
    assert (low, high) == (0, 1)  # 0.5 -+ 0.62 by Student's t, and no L1 is beyond
    assert list(document) == [
        "scorer",
        "cell",
        "seed",
        "protocol",
        "fingerprint",
        "n",
        "n_expected",
        "metrics",
        "items",
    ]
    assert document["metrics"]["l1"] == {"value": 0.5, "low": pytest.approx(low), "high": pytest.approx(high)}
    assert document["items"] == {"b": {"l1": 0.25}, "a": {"l1": 0.5}, "ü ' <i>": {"l1": 0.75}}
    assert (document["n"], document["n_expected"]) == (3, 5)
    assert sorted(path.name for path in run.scores.iterdir()) == ["image-bootstrap.npz", "image.json", RECORD]


def test_the_fingerprint_is_that_of_scorer_and_protocol() -> None:
    # sha256sum of {"protocol":{"a":1,"b":[true,null]},"scorer":"image"}
    assert store_scores.fingerprint({"b": [True, None], "a": 1}, "image") == "5625b225c727"
    assert store_scores.fingerprint({"b": [True, None], "a": 2}, "image") != "5625b225c727"
    assert store_scores.fingerprint({"b": [True, None], "a": 1}, "fcn") != "5625b225c727"


@pytest.mark.parametrize("value", [float("nan"), np.zeros(2), {1, 2}])
def test_a_protocol_of_other_things_is_refused(run: Run, value: object) -> None:
    with pytest.raises(ReportError, match="protocol of scorer 'image'"):
        ledger.write(run, _scores(odd=value))
    assert not run.scores.exists()


def test_a_value_that_is_not_finite_is_refused_and_the_old_file_stays(run: Run) -> None:
    ledger.write(run, _scores())
    before = run.score("image").read_bytes()
    with pytest.raises(ReportError, match=r"image\.json.*l1 = inf.*finite"):
        ledger.write(run, Scores("image", {}, IDS, 3, {"l1": Metric(float("inf"), np.ones(3))}))
    assert run.score("image").read_bytes() == before


def test_items_that_do_not_count_and_intervals_that_are_not_there_are_null(run: Run) -> None:
    replicates, some, nothing = np.linspace(0, 1, 100), np.array([np.nan, 0.5, 0.25]), np.full(3, np.nan)
    ledger.write(run, Scores("fcn", {}, IDS, 3, {"a": Metric(0.375, replicates, some), "b": Metric(0.5, replicates)}))
    kept = ledger.read_scorer(run, "fcn")
    assert (kept.n, kept.counted) == (3, 2)
    assert kept.interval("a").known
    assert kept.interval("b").known
    assert kept.by_item("a") == {IDS[1]: 0.5, IDS[2]: 0.25}
    assert kept.by_item("b") == {}
    # One that counts is left: nobody knows how it varies.
    some[1] = np.nan
    ledger.write(run, Scores("fcn", {}, IDS, 3, {"a": Metric(0.25, replicates, some)}))
    assert json.loads(run.score("fcn").read_text())["metrics"] == {"a": {"value": 0.25, "low": None, "high": None}}
    ledger.write(run, Scores("fcn", {}, IDS, 3, {"a": Metric(np.nan, replicates, nothing)}))
    document = json.loads(run.score("fcn").read_text())
    assert document["metrics"] == {"a": {"value": None, "low": None, "high": None}}
    assert document["items"] == {item: {"a": None} for item in IDS}
    kept = ledger.read_scorer(run, "fcn")
    assert not kept.interval("a").known
    assert kept.summary()["metrics"] == kept.summary()["intervals"] == {"a": None}


def test_one_item_has_no_interval_even_where_an_earlier_version_wrote_one(run: Run) -> None:
    ledger.write(run, Scores("image", {}, ("a",), 3, {"l1": Metric(0.25, np.full(100, 0.25, np.float32))}))
    with run.bootstrap("image").open("wb") as file:
        np.savez(file, l1=np.full(100, 0.25, np.float32))
    (run.scores / RECORD).unlink()
    document = json.loads(run.score("image").read_text())
    document["metrics"]["l1"] |= {"low": 0.25, "high": 0.25}
    run.score("image").write_text(json.dumps(document))
    kept = ledger.read_scorer(run, "image")
    assert kept.metrics["l1"].value == 0.25
    assert not kept.interval("l1").known


def test_one_who_reads_while_another_writes_has_the_old_file_whole(run: Run) -> None:
    ledger.write(run, _scores())
    before = run.score("image").read_bytes()
    with run.score("image").open("rb") as file:
        ledger.write(run, _scores(l1=(0.1, 0.2, 0.3)))
        assert file.read() == before
    assert run.score("image").read_bytes() != before


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (Metric(0.5, np.ones(100), np.array([0.5, np.nan, 0.5])), "l1 = nan for item 'a'"),
        (Metric(np.nan, np.ones(100), np.array([0.5, 0.5, 0.5])), "l1 = nan, expected a finite number"),
        (Metric(np.nan, np.ones(100)), "l1 = nan, expected a finite number"),
        (Metric(0.5, np.array([0.5, np.nan])), "replicate of l1 that is not finite"),
        (Metric(0.5, np.ones(100), np.array([0.5])), r"shape \(1,\)"),
        (Metric(0.5, np.full(100, 1e39)), "replicate of l1 that is not finite"),
        (Metric(0.5, np.ones((2, 3))), "one length for all"),
        (Metric(0.5, np.ones(0)), "one length for all"),
    ],
)
def test_parts_that_do_not_fit_are_refused(run: Run, metric: Metric, message: str) -> None:
    ssim = Metric(0.5, np.ones(metric.replicates.shape), np.array([0.5, 0.5, 0.5]))
    with pytest.raises(ReportError, match=message):
        ledger.write(run, Scores("image", {}, IDS, 3, {"ssim": ssim, "l1": metric}))


@pytest.mark.parametrize(
    ("ids", "n_expected"), [((), 3), (("a", "a"), 3), (("a", "b"), 1)], ids=["none", "double", "more than expected"]
)
def test_items_must_be_some_of_those_expected(run: Run, ids: tuple[str, ...], n_expected: int) -> None:
    with pytest.raises(ReportError, match="each once"):
        ledger.write(run, Scores("image", {}, ids, n_expected, {"l1": Metric(0.5, np.ones(3))}))


def test_a_scorer_is_a_file_name(run: Run) -> None:
    with pytest.raises(ReportError, match="expected a name of a-z"):
        ledger.write(run, Scores("../image", {}, IDS, 3, {"l1": Metric(0.5, np.ones(3))}))


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ReportError, match=r"made\.jsonl: cannot be written"):
        ledger.write(Run(tmp_path / "file/seed-0", "L1", 0), _scores())


def test_nothing_scored_reads_as_nothing(run: Run) -> None:
    assert ledger.read(run) == []


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("name", ["image.json", "image-bootstrap.npz"])
def test_a_half_written_file_is_named(run: Run, name: str, kept: float) -> None:
    ledger.write(run, _scores())
    path = run.scores / name
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ReportError, match=f"{name}: found .*expected .*score the run again"):
        ledger.read(run)


def test_missing_replicates_are_named(run: Run) -> None:
    ledger.write(run, _scores())
    run.bootstrap("image").unlink()
    with pytest.raises(ReportError, match=r"image-bootstrap\.npz: found no replicates"):
        ledger.read(run)


def test_replicates_of_other_scores_are_refused(run: Run) -> None:
    ledger.write(run, _scores(l1=(0.1, 0.2, 0.3)))
    older = run.bootstrap("image").read_bytes()
    ledger.write(run, _scores())
    run.bootstrap("image").write_bytes(older)
    with pytest.raises(ReportError, match=r"found l1 in .* from its replicates"):
        ledger.read(run)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": {"scale": "0..255"}}, "found fingerprint"),
        ({"n": 4}, "found n = 4, expected 3"),
        ({"scorer": "other"}, "found scorer 'other', expected 'image'"),
        ({"metrics": {}}, "found replicates of"),
        ({"items": {"a": {"l1": 1.0}, "b": {}}}, "found no 'l1'"),
        ({"items": None}, "NoneType"),
        ({"n_expected": 2}, "expected 1 to 2"),
    ],
)
def test_a_file_changed_by_hand_is_refused(run: Run, changes: dict[str, object], message: str) -> None:
    ledger.write(run, _scores())
    _edit(run, **changes)
    with pytest.raises(ReportError, match=f"image.json: .*{message}"):
        ledger.read(run)


@pytest.mark.parametrize("text", ["[]", '{"n": NaN}', "{}", '"scores"'])
def test_other_json_is_refused(run: Run, text: str) -> None:
    ledger.write(run, _scores())
    run.score("image").write_text(text)
    with pytest.raises(ReportError, match=r"image\.json: found"):
        ledger.read(run)


@pytest.mark.parametrize(
    "changes",
    [
        {"metrics": {"l1": {"value": "0.5"}, "histogram_l": {"value": 0.5}}},
        {"metrics": {"l1": {"value": 10**400}, "histogram_l": {"value": 0.5}}},
        {"n_expected": True},
        {"n_expected": 5.5},
        {"n_expected": "5"},
        {"protocol": {"scale": [[[]]] * 3}},
        {"items": {"b": {"l1": "1"}, "a": {"l1": 1}, "c": {"l1": 1}}},
        {"n": "line\nbreak" * 1000},
    ],
)
def test_other_types_are_refused_in_one_short_line(run: Run, changes: dict[str, object]) -> None:
    ledger.write(run, _scores())
    _edit(run, **changes)
    with pytest.raises(ReportError, match=r"image\.json: ") as error:
        ledger.read(run)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500 + len(str(run.score("image")))


def test_json_deeper_than_can_be_read_is_refused(run: Run) -> None:
    ledger.write(run, _scores())
    run.score("image").write_text('{"scorer": "image", "protocol":' + "[" * 100_000)
    with pytest.raises(ReportError, match=r"image\.json: found no JSON"):
        ledger.read(run)


@pytest.mark.parametrize("dtype", [np.float64, np.complex64, np.int8, "U4"])
def test_replicates_of_another_type_are_refused(run: Run, dtype: str) -> None:
    ledger.write(run, _scores())
    np.savez(run.bootstrap("image"), l1=np.zeros(100, dtype), histogram_l=np.zeros(100, np.float32))
    with pytest.raises(ReportError, match=r"image-bootstrap\.npz: found no replicates \(l1 is .*, expected float32"):
        ledger.read(run)


def test_a_bare_array_is_no_archive_of_replicates(run: Run) -> None:
    ledger.write(run, _scores())
    with run.bootstrap("image").open("wb") as file:
        np.save(file, np.zeros(100, np.float32))
    with pytest.raises(ReportError, match=r"image-bootstrap\.npz: found no replicates"):
        ledger.read(run)


def test_a_collection_names_damage_and_gives_the_rest(tmp_path: Path, run: Run) -> None:
    grid = Grid(tmp_path / "results/losses")
    ledger.write(run, _scores())
    ledger.write(grid.run("L1", 1), _scores())
    run.score("image").write_text("{")
    entries, damages = ledger.collect(grid)
    assert [entry.run.seed for entry in entries] == [1]
    assert [(damage.run.seed, damage.scorer) for damage in damages] == [(0, "image")]
