"""FID and KID against values worked out by hand and torch-fidelity's own, on an Inception of random weights."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch_fidelity import calculate_metrics
from torch_fidelity.metric_kid import kernel_poly, mmd2

from p2pbench.datasets import pictures
from p2pbench.metrics import distributions
from p2pbench.metrics.inception import Inception
from p2pbench.metrics.published import Missing
from p2pbench.scoring.distribution_scores import HALVES, ItemFeatures, few_items_warning, score_fid, score_kid
from reports.store import bootstrap
from reports.store.metrics import describe_scorer
from tests.p2pbench.random_weights import write_inception
from tests.p2pbench.tiny import picture

Features = NDArray[np.float32]
KERNEL = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1.0}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inception(tmp_path_factory.mktemp("inception") / "weights.pth")


@pytest.fixture(scope="module")
def inception(weights: Path) -> Inception:
    return Inception(weights, torch.device("cpu"))


def draw(n: int, d: int, seed: int = 0) -> tuple[Features, Features]:
    random = np.random.default_rng(seed)
    one, other = random.normal(size=(2, n, d))
    return one.astype(np.float32), (1.5 * other + 0.3).astype(np.float32)


def whitened(n: int, covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """A sample (n, d) whose mean is 0 and whose covariance is exactly that."""
    some = np.random.default_rng(0).normal(size=(n, len(covariance)))
    some -= some.mean(axis=0)
    factor = np.linalg.cholesky(np.cov(some, rowvar=False))
    return np.asarray(some @ np.linalg.inv(factor).T @ np.linalg.cholesky(covariance).T)


def test_fid_of_two_gaussians_by_hand() -> None:
    # Along one axis: (m1 - m2)^2 + (s1 - s2)^2. Independent axes add up.
    one = whitened(50, np.diag([4.0, 9.0])) + [1, 0]
    other = whitened(80, np.diag([1.0, 25.0])) + [4, 2]
    assert distributions.fid(one, other) == pytest.approx(3**2 + 2**2 + (2 - 1) ** 2 + (3 - 5) ** 2)
    assert distributions.fid(one, one) == pytest.approx(0, abs=1e-12)
    # Correlated: the trace of the root of a 2x2 product is sqrt(tr + 2 sqrt(det)).
    first, second = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[3.0, -1.0], [-1.0, 1.0]])
    product = first @ second
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    expected = np.trace(first) + np.trace(second) - 2 * root
    assert distributions.fid(whitened(50, first), whitened(60, second)) == pytest.approx(expected)


def test_kid_equals_a_double_loop() -> None:
    one, other = (side.astype(np.float64) for side in draw(7, 5))

    def kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        return float((x @ y / 5 + 1) ** 3)

    within = [
        sum(kernel(side[i], side[j]) for i in range(7) for j in range(7) if i != j) / (7 * 6) for side in (one, other)
    ]
    across = sum(kernel(one[i], other[j]) for i in range(7) for j in range(7) if i != j) / (7 * 6)
    assert distributions.kid(one, other) == pytest.approx(sum(within) - 2 * across)


@pytest.mark.parametrize("n", [20, 50, 100, 500, 1000])
def test_a_perfect_generator_has_a_kid_of_0_and_nothing_moves_it(n: int) -> None:
    one, _ = draw(n, 24, seed=n)
    assert (distributions.kid(one, one.copy()), distributions.kid_variance(one, one.copy())) == (0, 0)
    assert not distributions.kid_influence(one, one.copy()).any()
    assert distributions.fid(one, one.copy()) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("n", "trials"), [(20, 2000), (100, 400), pytest.param(1000, 10, marks=pytest.mark.long)])
@pytest.mark.parametrize(("correlation", "shift"), [(0.9, 0.0), (0.9, 0.4), (0.0, 0.4)])
def test_kid_is_unbiased_whether_or_not_outputs_depend_on_their_targets(
    n: int, trials: int, correlation: float, shift: float
) -> None:
    # In one dimension the kernel (xy + 1)^3 compares three moments: sum of binomial(3, k) (E x^k - E y^k)^2.
    truth = 3 * shift**2 + 3 * shift**4 + (3 * shift + shift**3) ** 2  # of normal deviates, one side moved by `shift`
    random = np.random.default_rng(n)
    found = []
    for _ in range(trials):
        target, other = random.normal(size=(2, n, 1))
        output = correlation * target + np.sqrt(1 - correlation**2) * other + shift
        found.append(distributions.kid(output, target))
    error = np.std(found, ddof=1) / np.sqrt(trials)
    assert np.mean(found) == pytest.approx(truth, abs=3.5 * error)
    # With i = j in the cross term the mean would be off by 40 / n where the correlation is 0.9.
    assert shift or error < 10 / n


def test_influences_are_derivatives_by_the_items_weights() -> None:
    one, other = (side.astype(np.float64) for side in draw(30, 6))

    def weighted(shares: NDArray[np.float64]) -> float:
        means = [shares @ side for side in (one, other)]
        first, second = (
            (side - mean).T @ ((side - mean) * shares[:, None]) * 30 / 29
            for side, mean in zip((one, other), means, strict=True)
        )
        root = np.sqrt(np.linalg.eigvals(first @ second).real).sum()
        return float(np.square(means[0] - means[1]).sum() + np.trace(first) + np.trace(second) - 2 * root)

    even, step = np.full(30, 1 / 30), 1e-6
    assert weighted(even) == pytest.approx(distributions.fid(one, other))
    derivatives = [
        (weighted(even + step * (item - even)) - weighted(even - step * (item - even))) / (2 * step)
        for item in np.eye(30)
    ]
    np.testing.assert_allclose(distributions.fid_influence(one, other), derivatives, rtol=1e-6, atol=1e-6)
    # KID is a mean over pairs: without one item it moves by that item's influence, over n - 2, exactly.
    without = [distributions.kid(np.delete(one, i, 0), np.delete(other, i, 0)) for i in range(30)]
    np.testing.assert_allclose(
        distributions.kid_influence(one, other), 28 * (distributions.kid(one, other) - np.array(without)), atol=1e-9
    )


def test_influences_are_the_same_with_fewer_items_than_features() -> None:
    one, other = (side.astype(np.float64) for side in draw(12, 30))
    without = [distributions.fid(np.delete(one, i, 0), np.delete(other, i, 0)) for i in range(12)]
    assert np.corrcoef(distributions.fid_influence(one, other), without)[0, 1] < -0.9
    assert distributions.fid_influence(one, other).sum() == pytest.approx(0, abs=1e-9)


def test_the_variance_of_kid_equals_sums_over_all_choices_of_items() -> None:
    n = 6
    one, other = (side.astype(np.float64) for side in draw(n, 3))

    def pair(i: int, j: int) -> float:
        def kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
            return float((x @ y / 3 + 1) ** 3)

        return kernel(one[i], one[j]) + kernel(other[i], other[j]) - kernel(one[i], other[j]) - kernel(one[j], other[i])

    square = np.mean([pair(i, j) ** 2 for i, j in permutations(range(n), 2)])
    shared = np.mean([pair(i, j) * pair(i, k) for i, j, k in permutations(range(n), 3)])
    apart = np.mean([pair(i, j) * pair(k, m) for i, j, k, m in permutations(range(n), 4)])
    expected = (4 * (n - 2) * (shared - apart) + 2 * (square - apart)) / (n * (n - 1))
    assert distributions.kid_variance(one, other) == pytest.approx(max(0, expected))


@pytest.mark.long
@pytest.mark.parametrize(("n", "shift"), [(20, 0.5), (50, 0.5), (50, 0.0)])
def test_variances_are_those_of_samples(n: int, shift: float) -> None:
    random = np.random.default_rng(n)
    halves = bootstrap.halves([str(item) for item in range(n)], HALVES)
    values, variances = [], []
    for _ in range(150):
        target = random.normal(size=(n, 32))
        output = (0.6 * target + 0.8 * random.normal(size=(n, 32))) * (1 + 0.3 * shift) + 0.3 * shift
        values.append((distributions.fid(output, target), distributions.kid(output, target)))
        variances.append(
            (distributions.fid_variance(output, target, halves), distributions.kid_variance(output, target))
        )
    # 150 values know a deviation to 6 %.
    assert np.sqrt(np.mean(variances, axis=0)) / np.std(values, axis=0) == pytest.approx([1, 1], abs=0.3)


def shown(count: int, shift: int) -> Iterator[NDArray[np.uint8]]:
    for index in range(count):
        yield picture(index + shift, 40 if index % 3 else 64)


@pytest.mark.long
def test_both_equal_torch_fidelitys_own(inception: Inception, weights: Path, tmp_path: Path) -> None:
    n, sides = 12, []
    for name, shift in (("output", 0), ("real", 50)):
        seen: list[int] = []
        sides.append(inception.features(shown(n, shift), seen.append))
        assert seen[-1] == n
        for index, one in enumerate(shown(n, shift)):
            pictures.write(tmp_path / name / f"{index:02d}", one)
    expected = calculate_metrics(
        input1=str(tmp_path / "output"), input2=str(tmp_path / "real"), cuda=False, fid=True, kid=True, batch_size=1,
        kid_subsets=1, kid_subset_size=n, feature_extractor_weights_path=str(weights), verbose=False, cache=False,
        save_cpu_ram=True,
    )  # fmt: skip
    assert sides[0].shape == (n, 2048)
    assert distributions.fid(*sides) == pytest.approx(expected["frechet_inception_distance"], rel=1e-4)
    # Its command takes both sides for independent; its statistic for pairs is ours.
    kernels = [kernel_poly(*pair, **KERNEL) for pair in ((sides[0],) * 2, tuple(sides), (sides[1],) * 2)]
    assert mmd2(*kernels) == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-3, abs=1e-6)
    assert distributions.kid(*sides) == pytest.approx(mmd2(*kernels, mmd_est="u-statistic"), rel=1e-3, abs=1e-6)


@pytest.mark.long
def test_inception_takes_grey_and_16_bits_and_no_other_channels(inception: Inception) -> None:
    grey = picture(3)[..., :1]
    rgb = np.repeat(grey, 3, axis=2)
    found = inception.features([grey, rgb, rgb.astype(np.uint16) * 257], lambda done: None)
    assert np.ptp(found, axis=0).max() < 1e-4 < np.ptp(found)
    with pytest.raises(Missing, match="have 4 channels"):
        inception.features([np.zeros((40, 40, 4), np.uint8)], lambda done: None)


def test_scores_are_centred_and_say_what_few_items_do() -> None:
    one, other = draw(40, 60)
    ids = [f"i{index}" for index in range(40)]
    made_by = {"implementation": "torch-fidelity 0"}
    halves = bootstrap.halves(ids, HALVES)
    for score, value, variance in (
        (score_fid, distributions.fid(one, other), distributions.fid_variance(one, other, halves)),
        (score_kid, distributions.kid(one, other), distributions.kid_variance(one, other)),
    ):
        scores = score(ItemFeatures(ids, one, other, 50, made_by))
        scores.check()
        ((name, metric),) = scores.metrics.items()
        assert (scores.scorer, scores.n, scores.n_expected, metric.per_item) == (name, 40, 50, None)
        assert metric.value == pytest.approx(value)
        assert metric.replicates.shape == (bootstrap.REPLICATES,)
        assert metric.replicates.mean() == pytest.approx(value)
        assert metric.replicates.var() == pytest.approx(variance * 39 / 40)
        low, high = scores.interval(name)
        assert (low, high) == pytest.approx((value - 2.0227 * variance**0.5, value + 2.0227 * variance**0.5), rel=1e-3)
        assert ("warning" in scores.protocol) == (name == "fid")
        assert describe_scorer(name, scores.protocol).title == f"{name.upper()}, torch-fidelity 0 Inception, n = 40"
    assert few_items_warning(2048) is None


def test_too_few_items_have_neither() -> None:
    one, other = draw(9, 4)
    for score in (score_fid, score_kid):
        with pytest.raises(Missing, match="at least 10 items, found 9"):
            score(ItemFeatures([str(i) for i in range(9)], one, other, 9, {}))
