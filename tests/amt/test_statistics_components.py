"""Rates over raters and items: by hand, against a plain loop over pairs of answers, and how often intervals hold."""

from __future__ import annotations

import time
from itertools import product

import numpy as np
import pandas as pd
import pytest
import scipy.special
import scipy.stats
from numpy.typing import NDArray

from amt.statistics.comparisons import pairs
from amt.statistics.components import FoolingRates, rates
from tests.amt.answers import Row, frame, session


def _study(seed: int, *, mixed: bool) -> pd.DataFrame:
    """Three algorithms by raters with unequal numbers of trials, who judge one algorithm each, or all that they can."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for name, number in product("abc", range(6)):
        items = [f"item {item}" for item in rng.integers(9, size=rng.integers(1, 8))]
        fooled = (rng.random(len(items)) < 0.4).astype(int).tolist()
        rows += session(f"s{number}" if mixed else f"{name}{number}", fooled, name, items)
    return frame(rows)


def _plain(answers: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both parts of the variance, from all pairs of answers one by one."""
    names = sorted(answers["algorithm"].unique())
    of_raters, of_items = np.zeros((2, len(names), len(names)))
    own = {name: answers[answers["algorithm"] == name] for name in names}
    mean = {name: rows.groupby("rater")["fooled"].mean() for name, rows in own.items()}
    weight = {name: 1 / (len(mean[name]) * rows.groupby("rater")["fooled"].size()) for name, rows in own.items()}
    for (i, a), (j, b) in product(enumerate(names), repeat=2):
        shared = mean[a].index.intersection(mean[b].index)
        if len(shared) > 1:
            products = (mean[a][shared] - mean[a].mean()) * (mean[b][shared] - mean[b].mean())
            of_raters[i, j] = products.sum() / (len(shared) - 1) * len(shared) / (len(mean[a]) * len(mean[b]))
        same, other, share = [], [], 0.0
        columns = ["rater", "item", "fooled"]
        for (r, x, y), (q, z, w) in product(own[a][columns].to_numpy(), own[b][columns].to_numpy()):
            if r != q and x == z:
                same.append(y * w)
                share += weight[a][r] * weight[b][q]
            elif r != q:
                other.append(y * w)
        of_items[i, j] = share * (np.mean(same) - np.mean(other))
    return of_raters, of_items


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_parts_are_those_of_a_plain_loop_over_pairs_of_answers(seed: int, mixed: bool) -> None:
    answers = _study(seed, mixed=mixed)
    found = rates(answers)
    of_raters, of_items = _plain(answers)
    np.testing.assert_allclose(found.of_raters, of_raters, atol=1e-12)
    np.testing.assert_allclose(found.of_items, of_items, atol=1e-12)
    by_rater = answers.groupby(["algorithm", "rater"])["fooled"].mean()
    np.testing.assert_allclose(found.observed, by_rater.groupby("algorithm").mean(), atol=1e-12)
    assert found.raters.tolist() == [[6, 6, 6]] * 3 if mixed else np.diag(found.raters).tolist() == [6] * 3
    assert found.trials.tolist() == answers.groupby("algorithm").size().tolist()


@pytest.mark.parametrize("mixed", [False, True])
def test_clusters_take_the_place_of_items(mixed: bool) -> None:
    answers = _study(1, mixed=mixed)
    clusters = answers["item"].map(lambda item: f"drive {int(item[-1]) % 4}")  # items 0 to 8 in four
    found, plain = rates(answers.assign(cluster=clusters)), rates(answers)
    of_raters, of_items = _plain(answers.assign(item=clusters))
    np.testing.assert_allclose(found.of_raters, of_raters, atol=1e-12)
    np.testing.assert_allclose(found.of_items, of_items, atol=1e-12)
    np.testing.assert_allclose(found.same_item, plain.same_item)  # what is planned by stays that of items
    judged = clusters.groupby(answers["algorithm"]).nunique()
    assert found.units.tolist() == judged.tolist()
    alone = rates(answers.assign(cluster=answers["item"]))
    np.testing.assert_allclose(alone.of_items, plain.of_items)


def test_unequal_clusters_have_fewer_degrees_of_freedom_by_hand() -> None:
    # Five answers of each rater in one cluster and one in each of five others: shares of 5, 1, 1, 1, 1, 1 tenths.
    items = [f"item {number}" for number in range(10)]
    rows = [row for k in range(3) for row in session(f"s{k}", [1, 0] * 5, "a", items)]
    clusters = ["big"] * 5 + list("abcde")
    found = rates(frame([row | {"cluster": cluster} for row, cluster in zip(rows, clusters * 3, strict=True)]))
    assert found.worth.tolist() == pytest.approx([100 / 30])
    assert rates(frame([row | {"cluster": str(row["item"] == "item 0")} for row in rows])).worth.tolist() == [2]
    one = rates(frame([row | {"cluster": "all"} for row in rows]))
    assert not one.rate("a").known


@pytest.mark.long
def test_frames_of_a_drive_that_are_alike_are_counted_as_clusters() -> None:
    rng = np.random.default_rng(0)
    held: list[bool] = []
    blind: list[bool] = []
    for _ in range(150):
        drives = rng.normal(0, 1, 10).repeat(10)
        rows: list[Row] = []
        for number in range(20):
            seen = rng.permutation(100)[:40]
            fooled = (rng.random(40) < scipy.special.expit(drives[seen])).astype(int).tolist()
            rows += session(f"s{number}", fooled, "a", [f"item {item:02d}" for item in seen])
        answers = frame([row | {"cluster": f"drive {str(row['item'])[5]}"} for row in rows])
        for list_, each in ((held, answers), (blind, answers.drop(columns="cluster"))):
            rate = rates(each).rate("a")
            list_.append(rate.low <= 0.5 <= rate.high)
    assert np.mean(held) > 0.9
    assert np.mean(blind) < 0.75


def test_a_tiny_study_by_hand() -> None:
    # Rates 1/2, 1/2, 1: variance 1/12, so 1/36 of the mean; independent answers would give (2/3 1/3) / 6 = 1/27.
    # Of 12 pairs on the same item 6 are both fooled, of 12 on different ones 4: covariance 1/6. Each answer weighs 1/6,
    # an item's answers 1/2: items are shared by 1/4 + 1/4 - 6/36 = 1/3, and their part is 1/18.
    found = rates(frame(session("s", [1, 0]) + session("t", [1, 0]) + session("u", [1, 1])))
    assert (found.of_raters.item(), found.of_items.item()) == pytest.approx((1 / 36, 1 / 18))
    rate = found.rate("a")
    assert (rate.value, rate.error) == pytest.approx((2 / 3, np.sqrt(1 / 27 + 1 / 18)))
    # Four of six answers are to items judged before: 2/3 of 1/27 counts with the items' part. Two degrees of freedom
    # say that raters differ by less than the chance of answers: 1/36, counted twice, is more than that.
    freedom = (5 / 54) ** 2 / ((1 / 27) ** 2 / 2 + (1 / 18 + 2 / 81) ** 2 / 1)
    square, answers = scipy.stats.t.ppf(0.975, freedom) ** 2, (2 / 9) / (5 / 54)
    ends = np.roots([1 + square / answers, -(4 / 3 + square / answers), 4 / 9])  # (p - 2/3)^2 = square p (1 - p) / n
    assert (rate.low, rate.high) == pytest.approx(sorted(ends))


def test_raters_who_all_agree_leave_the_chance_of_their_answers_with_its_degrees_of_freedom() -> None:
    rows = [session(f"s{k}", [1] * 5 + [0] * 15, "a", [f"{k}.{item}" for item in range(20)]) for k in range(10)]
    rate = rates(frame([row for each in rows for row in each])).rate("a")
    square = scipy.stats.t.ppf(0.975, 199) ** 2  # 200 answers, all independent
    ends = np.roots([1 + square / 200, -(1 / 2 + square / 200), 1 / 16])
    assert (rate.low, rate.high) == pytest.approx(sorted(ends))


def test_items_that_are_hard_for_one_algorithm_alone_by_hand() -> None:
    # As above the covariance on one item is 1/6 each, and answers vary by 2/9. The second algorithm's items are alike:
    # 10 of 18 pairs on the same item are both fooled, of 18 on different ones 6, so that nothing is apart. Turned round
    # it is -2/9: 1/6 + 1/6 + 4/9 is more than answers vary.
    first = session("s", [1, 0]) + session("t", [1, 0]) + session("u", [1, 1])
    alike = session("v", [1, 0], "b") + session("w", [1, 0], "b") + session("x", [1, 1], "b")
    turned = session("v", [0, 1], "b") + session("w", [0, 1], "b") + session("x", [1, 1], "b")
    assert rates(frame(first + alike)).items_intraclass("a", "b") == 0
    found = rates(frame(first + turned))
    assert found.same_item == pytest.approx(np.array([[1 / 6, -2 / 9], [-2 / 9, 1 / 6]]))
    assert found.items_intraclass("a", "b") == 1
    alone = session("s", [1, 0], "a", ["x", "y"]) + session("t", [1, 0], "b", ["x", "y"])
    assert np.isnan(rates(frame(alone)).items_intraclass("a", "b"))  # no item was judged twice


@pytest.mark.long
@pytest.mark.parametrize(("alike", "expected"), [(0.0, 0.16), (1.0, 0.0)])
def test_the_intraclass_correlation_of_items_is_that_of_their_answers(alike: float, expected: float) -> None:
    # Items move a rate of .5 by .2 up or down: .04 of .25, for both algorithms alike or for each apart.
    rng = np.random.default_rng(0)
    found = []
    for _ in range(40):
        effects = rng.choice([-0.2, 0.2], (2, 60))
        rows: list[Row] = []
        for name, own in zip("ab", (effects[0], effects[0] if alike else effects[1]), strict=True):
            for number in range(12):
                items = rng.permutation(60)[:40]
                fooled = (rng.random(40) < 0.5 + own[items]).astype(int).tolist()
                rows += session(f"{name}{number}", fooled, name, [f"item {item}" for item in items])
        found.append(rates(frame(rows)).items_intraclass("a", "b"))
    assert np.mean(found) == pytest.approx(expected, abs=0.02)


def test_a_difference_by_hand_is_welchs_where_items_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    rows: list[Row] = []
    for name, low, high in (("a", 0.1, 0.5), ("b", 0.3, 0.9)):
        for number in range(12):
            fooled = (rng.random(30) < rng.uniform(low, high)).astype(int).tolist()
            rows += session(f"{name}{number}", fooled, name, [f"{name}{number}.{item}" for item in range(30)])
    answers = frame(rows)
    found = rates(answers).difference("a", "b")
    own = [answers[answers["algorithm"] == name].groupby("rater")["fooled"].mean() for name in "ab"]
    welch = scipy.stats.ttest_ind(*own, equal_var=False)
    assert found.p == pytest.approx(welch.pvalue)
    assert (found.estimate.low, found.estimate.high) == pytest.approx(tuple(welch.confidence_interval()))
    turned = rates(answers).difference("b", "a")
    assert turned.estimate.value == -found.estimate.value
    assert (turned.p, turned.probability) == pytest.approx((found.p, 1 - found.probability))


def test_items_of_one_algorithm_alone_are_welchs_by_hand() -> None:
    # Raters answer alike, so that items are all there is: two of 12 items, and 12 others.
    rng = np.random.default_rng(4)
    rows: list[Row] = []
    for name, count in (("a", 2), ("b", 12)):
        often = rng.uniform(0.1, 0.9, count)
        for number in range(40):
            fooled = (rng.random(count) < often).astype(int).tolist()
            rows += session(f"{name}{number}", fooled, name, [f"{name} {item}" for item in range(count)])
    found = rates(frame(rows))
    assert found.shared_units.tolist() == [[2, 0], [0, 12]]
    parts = [part for name in "ab" for part in found.parts(name)]
    total = sum(part.variance for part in parts)
    shares = sum((part.variance + part.chance) ** 2 / part.freedom for part in parts)
    freedom = max(1.0, total**2 / shares)
    difference = found.difference("a", "b")
    expected = 2 * scipy.stats.t.sf(abs(difference.estimate.value) / np.sqrt(total), freedom)
    assert difference.p == pytest.approx(expected)
    assert freedom < 2  # those of two items decide


def test_raters_who_judge_both_are_compared_with_themselves() -> None:
    rng = np.random.default_rng(0)
    rows: list[Row] = []
    for number in range(20):
        usual = rng.uniform(0.1, 0.8)  # raters differ far more than algorithms do
        for name, more in (("a", 0.0), ("b", 0.12)):
            items = [f"{number}{name}{item}" for item in range(60)]
            rows += session(f"s{number}", (rng.random(60) < usual + more).astype(int).tolist(), name, items)
    paired = frame(rows)
    apart = paired.assign(rater=paired["rater"] + paired["algorithm"])
    own = paired.groupby(["rater", "algorithm"])["fooled"].mean().unstack()
    found = rates(paired).difference("a", "b")
    # Never surer than independent answers at both rates would be, which a rater's own answers can be.
    assert scipy.stats.ttest_rel(own["a"], own["b"]).pvalue <= found.p < 1e-4
    assert rates(apart).difference("a", "b").p > 1000 * found.p


def test_one_rater_or_one_item_has_no_interval() -> None:
    several = session("t", [1, 0, 1], "b") + session("u", [0, 0, 1], "b")
    same = [row | {"item": "item 1", "algorithm": "c", "rater": f"of c {row['rater']}"} for row in several]
    found = rates(frame(session("s", [1, 1, 0, 0]) + several + same))
    assert [found.rate(name).known for name in "abc"] == [False, True, False]
    assert [found.rate(name).value for name in "abc"] == pytest.approx([0.5, 0.5, 0.5])
    for name in "ac":
        pair = found.difference(name, "b")
        assert pair.estimate.value == pytest.approx(0)
        assert np.isnan([pair.estimate.low, pair.estimate.high, pair.p, pair.probability]).all()


def _of_200(fooled: int) -> FoolingRates:
    """Ten raters with 20 trials each; so many of them fooled once."""
    return rates(
        frame([row for number in range(10) for row in session(f"s{number}", [int(number < fooled)] + [0] * 19)])
    )


def test_nothing_jumps_at_the_ends() -> None:
    highs = [_of_200(fooled).rate("a").high for fooled in range(4)]
    steps = np.diff(highs)
    assert (steps > 0).all()
    assert steps.max() < 0.03
    assert _of_200(0).rate("a").low == 0
    assert highs[0] == pytest.approx(scipy.stats.t.ppf(0.975, 9) ** 2 / (200 + scipy.stats.t.ppf(0.975, 9) ** 2))


def test_nothing_jumps_at_the_ends_where_items_are_few() -> None:
    # Twenty raters of four items each: at 0 as many degrees of freedom as items less one, and at 1 no more than that.
    highs = []
    for fooled in range(4):
        rows = [row for number in range(20) for row in session(f"s{number}", [int(number < fooled)] + [0] * 3)]
        highs.append(rates(frame(rows)).rate("a").high)
    square = scipy.stats.t.ppf(0.975, 3) ** 2
    assert highs[0] == pytest.approx(square / (80 + square))
    assert (np.diff(highs) > 0).all()


def _equal(random: np.random.Generator, algorithms: int, raters: int, items: int) -> pd.DataFrame:
    """Answers of equal algorithms, near 25 %, whose raters all see all items, which are hard for one or for another."""
    effects = random.normal(0, 0.8, (algorithms, 1, items)) + random.normal(0, 0.3, (algorithms, raters, 1))
    fooled = (random.random(effects.shape) < scipy.special.expit(effects - 1.2)).astype(int)
    algorithm, rater, item = np.indices(fooled.shape)
    who = (algorithm * raters + rater).ravel()
    return pd.DataFrame({"algorithm": algorithm.ravel(), "rater": who, "item": item.ravel(), "fooled": fooled.ravel()})


@pytest.mark.long
@pytest.mark.parametrize(("algorithms", "items"), [(5, 5), (5, 10), (2, 3), (2, 2)])
def test_equal_algorithms_seldom_differ_where_items_are_few(algorithms: int, items: int) -> None:
    random = np.random.default_rng(0)
    found = [pairs(rates(_equal(random, algorithms, 50, items))) for _ in range(300)]
    assert np.mean([any(pair.adjusted < 0.05 for pair in each) for each in found]) <= 0.06


def test_a_few_raters_of_both_leave_the_others_their_degrees_of_freedom() -> None:
    # Each of 30 has its own items, so that items have no part; two of them judged both algorithms.
    rng = np.random.default_rng(2)
    rows: list[Row] = []
    for name, rate in (("a", 0.3), ("b", 0.42)):
        for number in range(30):
            items = [f"{name}{number}.{item}" for item in range(40)]
            usual = min(0.95, max(0.05, rng.normal(rate, 0.1)))
            rows += session(f"{name}{number}", (rng.random(40) < usual).astype(int).tolist(), name, items)
    apart = frame(rows)
    found = []
    for shared in range(7):
        names = {f"rater of b{number}": f"rater of a{number}" for number in range(shared)}
        found.append(rates(apart.assign(rater=apart["rater"].replace(names))).difference("a", "b"))
    assert found[0].p < 0.01
    assert max(each.p for each in found) < 3 * found[0].p
    names = {f"rater of b{number}": f"rater of a{number}" for number in range(2)}
    two = rates(apart.assign(rater=apart["rater"].replace(names)))
    assert two.raters[0, 1] == 2
    own = [apart[apart["algorithm"] == name].groupby("rater")["fooled"].mean() for name in "ab"]
    of_both = sum(each.var() for each in own) / 30 * 2 / 30 - 2 * two.of_raters[0, 1]
    parts = [(28 / 30 * each.var() / 30, 29) for each in own] + [(of_both, 1)]
    total = sum(variance for variance, _ in parts)
    freedom = total**2 / sum(variance**2 / freedom for variance, freedom in parts)
    expected = 2 * scipy.stats.t.sf(abs(found[2].estimate.value) / np.sqrt(total), freedom)
    assert found[2].p == pytest.approx(expected)


@pytest.mark.parametrize("fooled", [0, 1, 2])
def test_fakes_and_reals_are_mirror_images(fooled: int) -> None:
    answers = frame([row for number in range(9) for row in session(f"s{number}", [int(number < fooled), 0, 0, 1, 0])])
    one, other = rates(answers).rate("a"), rates(answers.assign(fooled=1 - answers["fooled"])).rate("a")
    assert (1 - other.high, 1 - other.low, other.error) == pytest.approx((one.low, one.high, one.error))


def test_two_rates_of_0_are_no_difference_and_0_differs_from_a_half() -> None:
    never = [row for name in "ab" for number in range(8) for row in session(f"{name}{number}", [0] * 20, name)]
    half = [row for number in range(8) for row in session(f"c{number}", [0, 1] * 10, "c")]
    found = rates(frame(never + half))
    assert found.difference("a", "b").p == 1
    assert found.difference("a", "b").estimate.low < 0 < found.difference("a", "b").estimate.high
    assert found.difference("a", "c").p < 0.001


def _simulated(random: np.random.Generator, raters: int, rater_sd: float, effects: NDArray[np.float64]) -> pd.DataFrame:
    """Answers of raters to 20 items each; effects are those of items on the logit scale."""
    items = np.array([random.permutation(len(effects))[:20] for _ in range(raters)])
    logits = scipy.special.logit(0.2) + random.normal(0, rater_sd, (raters, 1)) + effects[items]
    fooled = (random.random(items.shape) < scipy.special.expit(logits)).astype(int)
    who = np.repeat(np.arange(raters), 20)
    return pd.DataFrame({"algorithm": "a", "rater": who, "item": items.ravel(), "fooled": fooled.ravel()})


@pytest.mark.long
@pytest.mark.parametrize(("rater_sd", "item_sd"), [(0.0, 0.0), (0.5, 0.0), (0.5, 0.8)])
def test_intervals_hold_the_truth_as_often_as_they_should(rater_sd: float, item_sd: float) -> None:
    random = np.random.default_rng(0)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    truth = weights @ scipy.special.expit(scipy.special.logit(0.2) + np.hypot(rater_sd, item_sd) * nodes)
    truth /= weights.sum()
    found = [rates(_simulated(random, 20, rater_sd, random.normal(0, item_sd, 60))).rate("a") for _ in range(400)]
    held = np.mean([each.low <= truth <= each.high for each in found])
    assert 0.92 <= held <= 0.98
    ideal = 2 * 1.96 * np.std([each.value for each in found])
    assert 0.9 <= np.mean([each.high - each.low for each in found]) / ideal <= 1.25


def test_large_studies_take_no_time() -> None:
    rng = np.random.default_rng(0)
    shape = (20, 50, 40)
    items = np.argsort(rng.random((*shape[:2], 500)), axis=2)[..., :40]
    algorithm, rater, _ = np.indices(shape)
    answers = pd.DataFrame(
        {
            "algorithm": np.char.mod("a%02d", algorithm.ravel()),
            "rater": np.char.mod("r%04d", (50 * algorithm + rater).ravel()),
            "item": np.char.mod("i%03d", items.ravel()),
            "fooled": rng.integers(0, 2, items.size),
        }
    )
    start = time.process_time()
    found = rates(answers)
    assert time.process_time() - start < 1
    assert found.rate("a00").error == pytest.approx(0.5 / np.sqrt(50 * 40), rel=0.4)


def test_no_answers_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one answered trial"):
        rates(frame(session("s", [0])).iloc[:0])
