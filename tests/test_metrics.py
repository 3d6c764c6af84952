"""Metrics: scikit-learn as oracle for estimates, simulation for intervals."""

from __future__ import annotations

import tracemalloc
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from hostrisk import _cells, metrics
from hostrisk.errors import InputError
from hostrisk.metrics import METRICS, Metric, measure

Rows = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]

fast = settings(max_examples=60, deadline=None)


def draw_rows(rows: int, *, share: float = 0.2, seed: int = 0, decimals: int = 2) -> Rows:
    """Draw labels and scores that overlap, with ties."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < share).astype(np.int64)
    scores = np.clip(rng.normal(0.3 + 0.35 * labels, 0.2), 0, 1)
    return labels, scores.round(decimals)


def draw_calibrated(rows: int, seed: int) -> Rows:
    """Draw scores and labels that follow them exactly."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.6, 2.0, rows)
    return (rng.random(rows) < scores).astype(np.int64), scores


# Few distinct scores, some of them ends of the range, so that ties are the rule.
scores_of_one = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1))
any_rows = st.lists(st.tuples(st.integers(0, 1), scores_of_one), min_size=1, max_size=60).map(
    lambda rows: (np.array([r[0] for r in rows]), np.array([r[1] for r in rows]))
)
both_classes = any_rows.filter(lambda rows: 0 < rows[0].sum() < len(rows[0]))


def ends(metric: Metric) -> tuple[float, float, float]:
    """Return low end, estimate and high end, none of which may be missing."""
    assert None not in metric
    low, estimate, high = metric.low, metric.estimate, metric.high
    return low, estimate, high  # type: ignore[return-value]


def best_recall(labels: Any, scores: Any, rate: float) -> float:
    false_positives, found, _ = oracle.roc_curve(labels, scores, drop_intermediate=False)
    return float(found[false_positives <= rate].max())


# --- estimates against scikit-learn --------------------------------------------------------------


@fast
@given(both_classes)
def test_ranking_metrics_agree_with_the_oracle(rows: Rows) -> None:
    assert metrics.average_precision(*rows) == pytest.approx(oracle.average_precision_score(*rows))
    assert metrics.roc_auc(*rows) == pytest.approx(oracle.roc_auc_score(*rows))
    assert metrics.brier_score(*rows) == pytest.approx(oracle.brier_score_loss(*rows))


@fast
@given(any_rows, scores_of_one)
def test_metrics_at_a_threshold_agree_with_the_oracle(rows: Rows, threshold: float) -> None:
    labels, scores = rows
    flagged = (scores >= threshold).astype(int)
    undefined = {"zero_division": np.nan}
    ours = {
        name: float(values[0])
        for name, values in _cells.at_threshold(metrics._count(*rows), threshold).items()
    }
    negatives = 1 - labels
    theirs = {
        "precision": oracle.precision_score(labels, flagged, **undefined),
        "recall": oracle.recall_score(labels, flagged, **undefined),
        "f1": oracle.f1_score(labels, flagged, **undefined),
        "accuracy": oracle.accuracy_score(labels, flagged),
        "false_positive_rate": oracle.recall_score(negatives, flagged, **undefined),
    }
    assert ours == pytest.approx(theirs, nan_ok=True)
    for metric in (metrics.precision, metrics.recall, metrics.f1):
        assert metric(*rows, threshold) == pytest.approx(theirs[metric.__name__], nan_ok=True)


@fast
@given(both_classes)
def test_curve_agrees_with_the_oracle(rows: Rows) -> None:
    ours = metrics.precision_recall_curve(*rows)
    theirs = oracle.precision_recall_curve(*rows)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other)


@fast
@given(both_classes, st.sampled_from([0.02, 1 / 3, 0.07, 0.1, 0.29, 0.5, 0.7, 1.0]))
def test_recall_at_a_rate_is_the_best_point_of_the_roc_curve(rows: Rows, rate: float) -> None:
    negatives = np.count_nonzero(rows[0] == 0)
    found = metrics.recall_at_fpr(*rows, rate)
    if rate * negatives < 1:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(best_recall(*rows, rate))


def test_recall_at_every_rate_that_floats_can_get_wrong() -> None:
    labels, scores = draw_rows(110, seed=3, decimals=8)
    negatives = int((labels == 0).sum())
    for count in range(1, negatives + 1):
        rate = count / negatives
        assert metrics.recall_at_fpr(labels, scores, rate) == best_recall(labels, scores, rate)


def test_the_three_rates_against_the_oracle() -> None:
    labels, scores = draw_rows(13_000, seed=1, decimals=4)
    found = measure(labels, scores, threshold=0.5, resamples=0)
    for name, rate in metrics.FALSE_POSITIVE_RATES.items():
        assert found[name].estimate == pytest.approx(best_recall(labels, scores, rate))
    assert found["recall_at_fpr_0.0001"].low_support  # one false positive decides it
    assert not found["recall_at_fpr_0.01"].low_support


@pytest.mark.parametrize(
    ("negatives", "resolved"), [(99, 0), (100, 1), (999, 1), (1000, 2), (9999, 2), (10_000, 3)]
)
def test_a_rate_needs_as_many_negatives_as_resolve_it(negatives: int, resolved: int) -> None:
    labels = np.r_[np.ones(20, int), np.zeros(negatives, int)]
    found = measure(labels, labels * 0.5 + 0.2, threshold=0.5, resamples=0)
    given_rates = [found[name].estimate for name in metrics.FALSE_POSITIVE_RATES]
    assert given_rates == [1.0] * resolved + [None] * (3 - resolved)


# --- one class, ties, calibration ----------------------------------------------------------------


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_gives_only_what_it_determines(label: int) -> None:
    found = measure([label] * 40, np.linspace(0, 1, 40), threshold=0.5, resamples=50)
    given_names = {name for name, metric in found.items() if metric.estimate is not None}
    own = "recall" if label else "false_positive_rate"
    assert given_names == {own, "accuracy", "brier_score", "calibration_error"}
    assert found["roc_auc"] == Metric(None, None, None, low_support=True)
    for rate in (0.01, 0.5):
        assert np.isnan(metrics.recall_at_fpr([label] * 400, np.zeros(400), rate)) or not label


def test_all_rows_tied() -> None:
    labels, scores = [1, 0, 0, 0], [0.5] * 4
    assert metrics.average_precision(labels, scores) == 0.25
    assert metrics.roc_auc(labels, scores) == 0.5
    assert metrics.recall_at_fpr(labels, scores, 0.5) == 0.0
    assert metrics.recall(labels, scores, 0.5) == 1.0  # the threshold itself is flagged
    assert metrics.recall(labels, scores, np.nextafter(0.5, 1)) == 0.0


def test_calibration_error_by_hand() -> None:
    scores = np.repeat([0.1, 0.4, 0.8], 20)
    labels = np.r_[np.ones(4), np.zeros(16), np.ones(8), np.zeros(12), np.ones(14), np.zeros(6)]
    assert metrics.calibration_error(labels, scores) == pytest.approx((0.1 + 0.0 + 0.1) / 3)
    assert metrics.calibration_error(labels, scores, bins=1) == pytest.approx(0.0)


@fast
@given(any_rows, st.integers(1, 8))
def test_calibration_error_is_bounded_by_bias_and_by_rows(rows: Rows, bins: int) -> None:
    labels, scores = rows
    error = metrics.calibration_error(labels, scores, bins=bins)
    assert abs(scores.mean() - labels.mean()) - 1e-9 <= error
    assert error <= np.abs(scores - labels).mean() + 1e-9


def test_calibration_bins_hold_equal_mass_and_keep_ties_together() -> None:
    labels, scores = draw_rows(3_000, decimals=5)
    cells = metrics._count(labels, scores)
    starts = _cells.bin_starts(cells, None)
    held = np.add.reduceat(cells.positives[0] + cells.negatives[0], starts)
    assert len(starts) == 15
    assert held.min() > 180
    assert held.max() < 220
    assert len(_cells.bin_starts(metrics._count([0, 1] * 30, [0.2] * 60), None)) == 1
    lumps = metrics._count([0, 1] * 50, np.repeat([0.9, 0.5, 0.1], [40, 20, 40]))
    assert _cells.bin_starts(lumps, 2).tolist() == [0, 1]  # a tie goes where its middle is


def test_reliability_bins_cover_every_row_once() -> None:
    labels, scores = draw_rows(2_000)
    bins = metrics.reliability_bins(labels, np.clip(scores, 0, 0.75))
    assert sum(place.rows for place in bins) == 2_000
    assert sum(place.positives for place in bins) == labels.sum()
    assert [place.low for place in bins] == pytest.approx([n / 10 for n in range(8)])
    for place in bins:
        assert place.low - 1e-9 <= place.mean_score <= place.high + 1e-9
        assert place.positive_low <= place.positive_share <= place.positive_high
    outer = metrics.reliability_bins([0, 1, 1], [0.0, 0.1, 1.0])
    assert [(place.low, place.rows) for place in outer] == [(0.0, 2), (0.9, 1)]


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([], [], "at least one row"),
        ([1, 0], [0.5], "same length"),
        ([[1]], [[0.5]], "shapes"),
        ([1, 2], [0.5, 0.5], "labels must be 0 or 1"),
        ([1.0, np.nan], [0.5, 0.5], "labels must be 0 or 1"),
        ([1, 0], [0.5, np.nan], "finite"),
        ([1, 0], [0.5, 1.5], "probabilities from 0 to 1"),
        ([1, 0], [-0.1, 0.5], "probabilities from 0 to 1"),
    ],
)
def test_rows_that_cannot_be_measured(labels: Any, scores: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        measure(labels, scores, threshold=0.5)


def test_ranking_metrics_take_any_finite_scores() -> None:
    labels, scores = draw_rows(200)
    assert metrics.roc_auc(labels, 10 * scores - 3) == metrics.roc_auc(labels, scores)
    assert metrics.average_precision(labels.astype(bool), scores) > 0.5


# --- intervals -----------------------------------------------------------------------------------


def test_same_rows_and_seed_give_the_same_result_in_any_order() -> None:
    labels, scores = draw_rows(700)
    first = measure(labels, scores, threshold=0.5, resamples=200, seed=4)
    order = np.random.default_rng(9).permutation(700)
    assert measure(labels[order], scores[order], threshold=0.5, resamples=200, seed=4) == first
    assert measure(labels, scores, threshold=0.5, resamples=200, seed=5) != first
    assert list(first) == list(METRICS)


def test_no_resamples_no_intervals_same_estimates() -> None:
    labels, scores = draw_rows(300)
    without = measure(labels, scores, threshold=0.5, resamples=0)
    with_some = measure(labels, scores, threshold=0.5, resamples=30)
    assert all(metric.low is metric.high is None for metric in without.values())
    assert {n: m.estimate for n, m in without.items()} == {
        n: m.estimate for n, m in with_some.items()
    }


@settings(max_examples=30, deadline=None)
@example((np.array([0, 0]), np.array([0.0, 1.0])), 0.0)  # its resamples err by up to 1
@given(any_rows, scores_of_one)
def test_every_metric_lies_between_0_and_1_with_its_interval(rows: Rows, threshold: float) -> None:
    for name, metric in measure(*rows, threshold=threshold, resamples=20).items():
        if metric.estimate is None:
            assert metric.low is metric.high is None, name
            continue
        low, estimate, high = ends(metric)
        assert -1e-9 <= low <= high <= 1 + 1e-9, name
        assert -1e-9 <= estimate <= 1 + 1e-9, name


@pytest.mark.parametrize("name", ["average_precision", "roc_auc", "recall", "brier_score"])
def test_bootstrap_is_the_percentile_bootstrap_of_the_metric(name: str) -> None:
    labels, scores = draw_rows(150, seed=2)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(400):
        kept = rng.integers(0, 150, 150)
        drawn.append(measure(labels[kept], scores[kept], threshold=0.5, resamples=0)[name].estimate)
    found = measure(labels, scores, threshold=0.5, resamples=2_000)[name]
    naive = np.quantile(np.array(drawn, dtype=float), [0.025, 0.975])
    assert [found.low, found.high] == pytest.approx(naive, abs=0.15 * (naive[1] - naive[0]))


def test_chunks_of_resamples_are_the_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, scores = draw_rows(120)
    whole = measure(labels, scores, threshold=0.5, resamples=70)
    monkeypatch.setattr(_cells, "_CHUNK_CELLS", 900)
    assert measure(labels, scores, threshold=0.5, resamples=70) == whole


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    """Truths: those of 400,000 rows of the same kind. 150 trials: 95% is 142.5, give or take 5."""
    truth = measure(*draw_rows(400_000, seed=77), threshold=0.5, resamples=0)
    names = ("average_precision", "roc_auc", "precision", "recall", "f1", "brier_score")
    covered = dict.fromkeys(names, 0)
    for seed in range(150):
        found = measure(*draw_rows(400, seed=seed), threshold=0.5, resamples=150, seed=seed)
        for name in names:
            low, _, high = ends(found[name])
            covered[name] += low <= (truth[name].estimate or 0) <= high
    assert all(128 <= count <= 150 for count in covered.values()), covered


def test_calibration_interval_of_a_calibrated_model_holds_zero() -> None:
    lows = []
    for seed in range(40):
        found = measure(*draw_calibrated(600, seed), threshold=0.5, resamples=100)
        low, estimate, high = ends(found["calibration_error"])
        assert low <= estimate <= high
        lows.append(low)
    assert np.mean(np.array(lows) < 0.005) > 0.85
    labels, scores = draw_calibrated(5_000, 0)
    biased = measure(labels, np.sqrt(scores), threshold=0.5, resamples=100)["calibration_error"]
    assert ends(biased)[0] > 0.1


def test_share_without_spread_gets_its_wilson_interval() -> None:
    labels = np.r_[np.ones(8, int), np.zeros(200, int)]
    found = measure(labels, labels * 0.8 + 0.1, threshold=0.5, resamples=100)
    assert found["recall"] == (1.0, *metrics.wilson_interval(8, 8), True)
    low, high = metrics.wilson_interval(0, 200)
    assert found["false_positive_rate"] == (0.0, low, high, False)
    assert 0 < high < 0.02


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (0, 10, 0.0, 0.27753),  # z² / (n + z²)
        (10, 10, 0.72247, 1.0),
        (1, 2, 0.09453, 0.90547),
        (5, 50, 0.04348, 0.21360),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_interval_of_known_shares(
    successes: int, trials: int, low: float, high: float
) -> None:
    assert metrics.wilson_interval(successes, trials) == pytest.approx((low, high), abs=2e-5)


@given(st.integers(0, 500), st.integers(1, 500))
def test_wilson_interval_ends_where_the_score_test_rejects(successes: int, trials: int) -> None:
    share = min(successes, trials) / trials
    low, high = metrics.wilson_interval(share * trials, trials)
    assert 0 <= low <= share <= high <= 1
    for end in (low, high):
        if 0 < end < 1:
            deviation = 1.959964 * (end * (1 - end) / trials) ** 0.5
            assert abs(share - end) == pytest.approx(deviation, abs=1e-6)


# --- intervals of areas and of ratios -------------------------------------------------------------


two_or_more = st.lists(scores_of_one, min_size=2, max_size=30)


@fast
@example([0.5, 0.5], [0.5, 0.5])
@given(two_or_more, two_or_more)
def test_interval_of_an_area_is_that_of_all_pairs(below: list[float], above: list[float]) -> None:
    area, low, high = metrics.auc_interval(below, above)
    labels = [0] * len(below) + [1] * len(above)
    assert area == pytest.approx(oracle.roc_auc_score(labels, [*below, *above]))
    # DeLong et al. 1988, equations 4 to 6: a pair counts 1, a tie half.
    pairs = np.array([[(up > down) + (up == down) / 2 for down in below] for up in above])
    variance = sum(pairs.mean(axis).var(ddof=1) / pairs.shape[1 - axis] for axis in (0, 1))
    half = 1.959964 * variance**0.5
    if variance:
        assert low == pytest.approx(max(area - half, 0), abs=1e-6)
        assert high == pytest.approx(min(area + half, 1), abs=1e-6)
    else:
        assert low < high
    assert 0 <= low <= area + 1e-9
    assert area - 1e-9 <= high <= 1


def test_interval_of_an_area_covers_the_truth_about_as_often_as_it_says() -> None:
    """Normal scores one deviation apart; 95% of 1,000 trials is 950, give or take 21 (3 sigma)."""
    rng = np.random.default_rng(5)
    truth = NormalDist().cdf(1 / 2**0.5)
    covered = 0
    for _ in range(1_000):
        _, low, high = metrics.auc_interval(rng.normal(0, 1, 80), rng.normal(1, 1, 60))
        covered += low <= truth <= high
    assert 925 <= covered <= 971


def test_share_counts_what_is_flagged() -> None:
    found = metrics.share_of("some", np.array([True, False, True, False, False]))
    assert found == ("some", 5, 2, *metrics.wilson_interval(2, 5))
    assert found.estimate == 0.4
    assert metrics.share_of("none", []) == ("none", 0, 0, 0.0, 1.0)
    assert metrics.share_of("none", []).estimate == 0.0


def test_interval_of_a_ratio_by_hand() -> None:
    first, second = (metrics.share_of("", [1] * n + [0] * (50 - n)) for n in (20, 10))
    half = 1.959964 * (1 / 20.5 - 1 / 51 + 1 / 10.5 - 1 / 51) ** 0.5
    ratio = 20.5 / 10.5
    ends = (ratio, ratio * np.exp(-half), ratio * np.exp(half))
    assert metrics.ratio_interval(first, second) == pytest.approx(ends, abs=1e-5)
    turned = metrics.ratio_interval(second, first)
    assert turned == pytest.approx([1 / ends[0], 1 / ends[2], 1 / ends[1]], abs=1e-5)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40))
def test_interval_of_a_ratio_is_finite(hits: int, others: int, rest: int, more: int) -> None:
    first = metrics.share_of("", [1] * hits + [0] * rest)
    second = metrics.share_of("", [1] * others + [0] * more)
    ratio, low, high = metrics.ratio_interval(first, second)
    assert 0 < low <= ratio <= high < np.inf


def test_memory_stays_bounded() -> None:
    labels, scores = draw_rows(50_000, decimals=6)
    tracemalloc.start()
    measure(labels, scores, threshold=0.5, resamples=60)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 << 20
