"""Trends: against statsmodels and scipy, exact lines, mirrored and scaled weeks, and pure noise."""

from __future__ import annotations

import math
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostrisk.errors import MissingExtraError
from hostrisk.host.trend import adjust_p_values, fit_trend

api = pytest.importorskip("statsmodels.api")
multitest = pytest.importorskip("statsmodels.stats.multitest")
optimize = pytest.importorskip("scipy.optimize")
stats = pytest.importorskip("scipy.stats")

slow = settings(deadline=None)
POSTS = [5000] * 8


def glm(counts, posts, week):
    design = np.column_stack([np.ones(len(week)), np.asarray(week, float) - week[0]])
    model = api.GLM(counts, design, family=api.families.Poisson(), exposure=posts)
    return model.fit(tol=1e-12, maxiter=200)


def weeks_of(seed, number=8, base=0.005, ratio=2.0, spread=1.5):
    """Counts that vary more than Poisson's, and the posts of each week."""
    rng = np.random.default_rng(seed)
    posts = rng.integers(2000, 9000, number)
    shares = base * ratio ** (np.arange(number) / (number - 1))
    shape = posts * shares / (spread - 1)
    return rng.poisson(rng.gamma(shape, (spread - 1))).astype(float), posts


# --- the line ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_the_slope_is_that_of_statsmodels(seed):
    counts, posts = weeks_of(seed, number=5 + seed)
    trend = fit_trend(counts, posts)
    fit = glm(counts, posts, range(len(counts)))
    assert math.log(trend.ratio) / (len(counts) - 1) == pytest.approx(fit.params[1], abs=1e-9)
    assert math.log(trend.start) == pytest.approx(fit.params[0], abs=1e-9)
    assert trend.end == pytest.approx(trend.start * trend.ratio, rel=1e-9)
    assert trend.weeks == len(counts)


@pytest.mark.parametrize("seed", range(6))
def test_the_line_solves_the_equations_of_the_likelihood(seed):
    counts, posts = weeks_of(seed)
    trend = fit_trend(counts, posts)
    week = np.arange(8)
    expected = posts * trend.start * trend.ratio ** (week / 7)
    assert np.sum(counts - expected) == pytest.approx(0, abs=1e-5)
    assert np.sum(week * (counts - expected)) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize(("seed", "spread"), [(0, 1.01), (1, 1.01), (2, 6.0), (3, 6.0)])
def test_interval_and_p_value_by_hand(seed, spread, level):
    counts, posts = weeks_of(seed, spread=spread, number=9)
    trend = fit_trend(counts, posts, level=level)
    week = np.arange(9)
    expected = posts * trend.start * trend.ratio ** (week / 8)
    measured = np.sum((counts - expected) ** 2 / expected) / 7
    dispersion = max((7 * measured + 2) / 9, 1.0)
    middle = np.average(week, weights=expected)
    error = (dispersion / np.sum(expected * (week - middle) ** 2)) ** 0.5
    slope, t = math.log(trend.ratio) / 8, stats.t(9)
    ends = [math.exp(8 * (slope + side * t.ppf((1 + level) / 2) * error)) for side in (-1, 1)]
    assert (trend.low, trend.high) == pytest.approx(ends, rel=1e-6)
    assert trend.p_value == pytest.approx(2 * t.sf(abs(slope) / error), rel=1e-5)
    assert (measured > 2) == (spread > 2)  # both ends of the rule are tried


@pytest.mark.parametrize("ratio", [0.01, 0.5, 1.0, 3.0, 400.0])
@pytest.mark.parametrize("scale", [10, 1e5])
def test_an_exact_line_is_found_exactly(ratio, scale):
    posts = np.array([1000, 3000, 2000, 500, 4000, 800]) * scale
    shares = 0.001 * ratio ** (np.arange(6) / 5)
    trend = fit_trend(posts * shares, posts)
    assert trend.ratio == pytest.approx(ratio, rel=1e-6)
    assert (trend.start, trend.end) == pytest.approx((shares[0], shares[-1]), rel=1e-6)
    assert trend.low < trend.ratio < trend.high


def test_a_rise_is_told_from_none():
    rise, none = [20, 24, 27, 33, 38, 41, 50, 58], [31, 36, 35, 38, 33, 37, 34, 36]
    found, missing = fit_trend(rise, POSTS), fit_trend(none, POSTS)
    assert 1 < found.low < 2.8 < found.high
    assert found.p_value < 0.001
    assert missing.low < 1 < missing.high
    assert missing.p_value > 0.5


def test_a_doubling_is_found_nine_times_in_ten():
    rng = np.random.default_rng(0)
    shares = 0.005 * 2 ** (np.arange(8) / 7)
    trends = [fit_trend(rng.binomial(5000, shares), POSTS) for _ in range(100)]
    assert sum(trend.p_value < 0.05 and trend.ratio > 1 for trend in trends) >= 81
    assert sum(trend.low <= 2 <= trend.high for trend in trends) >= 90


def test_scale_changes_the_shares_or_nothing():
    counts, posts = weeks_of(1)
    one, larger = fit_trend(counts, posts), fit_trend(10 * counts, 10 * posts)
    assert larger.ratio == pytest.approx(one.ratio, rel=1e-9)
    assert larger.start == pytest.approx(one.start, rel=1e-9)
    assert larger.high / larger.low < one.high / one.low  # more posts tell more
    diluted = fit_trend(counts, 10 * posts)
    assert diluted.start == pytest.approx(one.start / 10, rel=1e-9)
    assert diluted[:4] == pytest.approx(one[:4], rel=1e-9)


@pytest.mark.parametrize("noise", [None, np.linspace(5, 20, 8)])
@pytest.mark.parametrize("seed", range(4))
def test_time_backwards_turns_the_ratio_round(seed, noise):
    counts, posts = weeks_of(seed)
    ahead = fit_trend(counts, posts, noise=noise)
    back = fit_trend(counts[::-1], posts[::-1], noise=None if noise is None else noise[::-1])
    assert back.ratio == pytest.approx(1 / ahead.ratio, rel=1e-4)
    assert (back.low, back.high) == pytest.approx((1 / ahead.high, 1 / ahead.low), rel=1e-4)
    assert back.p_value == pytest.approx(ahead.p_value, rel=1e-3)
    assert (back.start, back.end) == pytest.approx((ahead.end, ahead.start), rel=1e-4)
    assert back.change_point.week == 8 - ahead.change_point.week


def test_weeks_left_out_are_no_weeks_of_zero():
    counts, posts = weeks_of(2)
    when = np.array([0, 1, 2, 6, 7, 9, 14, 15])
    trend = fit_trend(counts, posts, when=when)
    slope = glm(counts, posts, when).params[1]
    assert math.log(trend.ratio) == pytest.approx(15 * slope, abs=1e-8)
    assert fit_trend(counts, posts, when=when + 2650) == trend
    assert trend.weeks == 8
    assert fit_trend(counts, posts, when=range(8)) == fit_trend(counts, posts)
    exact = 0.002 * 1.2**when
    assert fit_trend(exact * posts, posts, when=when).ratio == pytest.approx(1.2**15, rel=1e-6)


@pytest.mark.parametrize("noise", [None, [1.0] * 8])
def test_where_nothing_can_be_said_nothing_is_said(noise):
    def fit(counts):
        return fit_trend(counts, POSTS[: len(counts)], noise=noise and noise[: len(counts)])

    for counts in ([], [5], [5, 9, 12], [0] * 8, [0.0] * 4, [-3, -1, 0, -2], [-3, 1, 1, 0]):
        assert fit(counts) is None
    assert fit([5, 9, 12, 14]) is not None
    assert fit([0, 0, 0, 1]) is not None


@pytest.mark.parametrize("share", [0.001, 1.0])
@pytest.mark.parametrize("noise", [None, [3.0] * 6])
def test_equal_weeks_have_no_trend_and_no_warning(share, noise):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trend = fit_trend([1000 * share] * 6, [1000] * 6, noise=noise)
    assert not caught  # statsmodels takes a perfect fit for a fault
    assert trend.ratio == pytest.approx(1)
    assert trend.start == pytest.approx(share)
    assert trend.p_value > 0.99
    assert trend.low < 1 < trend.high
    assert trend.change_point.p_value > 0.9


def test_negative_counts_are_none_where_no_noise_is_known():
    counts = [12, -4, 9, 14, -0.5, 20, 25, 22]
    assert fit_trend(counts, POSTS) == fit_trend(np.maximum(counts, 0), POSTS)


# --- violent posts in one week only --------------------------------------------------------------


@pytest.mark.parametrize("weeks", [4, 8, 12])
@pytest.mark.parametrize("known", [False, True])
def test_a_burst_in_the_last_week_is_a_rise(weeks, known):
    counts, posts = [0] * (weeks - 1) + [40], [1000] * weeks
    noise = [4.0] * weeks if known else None
    trend = fit_trend(counts, posts, noise=noise)
    assert trend.ratio > 40
    # Three weeks of noise and one above it say less than eight or eleven.
    assert (0.2 if known and weeks == 4 else 1) < trend.low < trend.ratio < trend.high
    assert 0.03 < trend.end < 0.045  # 40 of 1,000, and no more than that
    assert trend.start < 0.001
    assert trend.p_value < 0.1 if known and weeks == 4 else trend.p_value < 0.03
    fall = fit_trend(counts[::-1], posts, noise=noise)
    assert fall.ratio == pytest.approx(1 / trend.ratio, rel=1e-3)
    assert fall.p_value == pytest.approx(trend.p_value, rel=1e-3)
    assert 0.03 < fall.start < 0.045


def test_a_rise_out_of_nothing_ends_where_the_weeks_end():
    trend = fit_trend([0] * 51 + [4000], [10_000] * 52)
    assert trend.ratio > 1e20
    assert trend.end == pytest.approx(0.4, rel=0.1)
    assert trend.p_value < 1e-6


def test_a_single_violent_post_in_the_last_week_proves_nothing():
    for weeks in (4, 8):
        trend = fit_trend([0] * (weeks - 1) + [1], [1000] * weeks)
        assert trend.low < 1 < trend.ratio < trend.high
        assert trend.p_value > 0.2


def test_a_slope_held_near_none_is_the_best_penalized_one():
    counts, posts = np.array([0, 0, 0, 0, 0, 9.0]), np.array([900, 1100, 1000, 800, 1200, 1000.0])
    week, looseness = np.arange(6), math.log(100)

    def loss(known):
        expected = posts * np.exp(known[0] + known[1] * week)
        penalty = (5 * known[1] / looseness) ** 2 / 2
        return expected.sum() - counts @ np.log(expected) + penalty

    exact = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 5000}
    best = optimize.minimize(loss, [-6.0, 0.0], method="Nelder-Mead", options=exact).x
    trend = fit_trend(counts, posts)
    assert math.log(trend.start) == pytest.approx(best[0], abs=1e-4)
    assert math.log(trend.ratio) == pytest.approx(5 * best[1], abs=1e-4)


def test_weeks_of_most_uneven_numbers_of_posts_are_fitted_too():
    # The usual way to fit a generalized linear model runs off to infinity here.
    trend = fit_trend([3, 0, 3, 305], [536, 9, 19_400, 881], when=[0, 3, 7, 8])
    assert trend.end == pytest.approx(305 / 881, rel=0.2)
    assert trend.p_value > 0.5  # no line fits these weeks
    assert trend.low < 1 < trend.high


def test_zeros_between_other_weeks_are_counts_like_any():
    counts = np.array([0, 3, 0, 0, 7, 0, 12, 0.0])
    trend, fit = fit_trend(counts, POSTS), glm(counts, POSTS, range(8))
    assert math.log(trend.ratio) == pytest.approx(7 * fit.params[1], abs=1e-8)


# --- counts told by scores -----------------------------------------------------------------------


def curve_fit(counts, posts, noise, when=None):
    """The same line by scipy's curve_fit, the slope held by one more observation."""
    week = np.arange(len(counts), dtype=float) if when is None else np.asarray(when) - when[0]

    def line(_, start, slope):
        return np.append(np.exp(start + slope * week), slope * week[-1])

    shares, error = counts / posts, np.append(noise / posts, math.log(100))
    known, spread = optimize.curve_fit(
        line, None, np.append(shares, 0.0), p0=[math.log(shares.mean()), 0.0], sigma=error,
        absolute_sigma=True, ftol=1e-13, xtol=1e-13, gtol=1e-13,
    )  # fmt: skip
    squares = np.sum(((line(None, *known) - np.append(shares, 0)) / error) ** 2)
    freedom = len(counts) - 2
    dispersion = max((squares + 2) / (freedom + 2), 1.0)
    return known[1], (dispersion * spread[1, 1]) ** 0.5, math.exp(known[0])


@pytest.mark.parametrize("when", [None, np.array([3, 4, 5, 7, 8, 9, 11, 14])])
@pytest.mark.parametrize("seed", range(4))
def test_noisy_counts_are_fitted_by_weighted_least_squares(seed, when):
    rng = np.random.default_rng(seed)
    posts, noise = rng.integers(2000, 9000, 8), rng.uniform(3, 9, 8) * (1 + 2 * (seed % 2))
    counts = posts * 0.004 * 2.5 ** (np.arange(8) / 7) + rng.normal(0, noise)
    trend = fit_trend(counts, posts, noise=noise, when=when, level=0.9)
    slope, error, start = curve_fit(counts, posts, noise, when)
    span, t = 7 if when is None else 11, stats.t(8)
    assert math.log(trend.ratio) == pytest.approx(span * slope, abs=1e-4)
    assert trend.start == pytest.approx(start, rel=1e-4)
    reach = t.ppf(0.95) * error
    ends = [math.exp(span * (slope - reach)), math.exp(span * (slope + reach))]
    assert (trend.low, trend.high) == pytest.approx(ends, rel=1e-3)
    assert trend.p_value == pytest.approx(2 * t.sf(abs(slope) / error), rel=1e-3)


def test_noise_widens_and_weighs():
    counts, posts = [20, 24, 27, 33, 38, 41, 50, 58], POSTS
    widths, p_values = [], []
    for noise in (5, 10, 20, 40):
        trend = fit_trend(counts, posts, noise=[noise] * 8)
        widths.append(math.log(trend.high / trend.low))
        p_values.append(trend.p_value)
    assert widths == sorted(widths)
    assert p_values == sorted(p_values)
    assert widths[-1] > 3 * widths[0]
    # A week that is hardly known does not turn the line.
    wild = [*counts[:7], 0]
    known, doubtful = (fit_trend(wild, posts, noise=[5] * 7 + [last]) for last in (5, 500))
    assert known.ratio < doubtful.ratio
    assert doubtful.ratio == pytest.approx(2.8, rel=0.15)


def test_counts_below_none_weigh_like_counts_above():
    rng = np.random.default_rng(0)
    noise, truth = np.full(8, 6.0), np.array([1, 1, 2, 3, 5, 8, 13, 20.0])
    ratios = [fit_trend(truth + rng.normal(0, noise), POSTS, noise=noise).ratio for _ in range(60)]
    assert np.median(ratios) == pytest.approx(20, rel=0.5)
    counts = truth - [4, 0, 6, 0, 0, 0, 0, 0]
    clipped = fit_trend(np.maximum(counts, 0), POSTS, noise=noise)
    assert fit_trend(counts, POSTS, noise=noise).ratio > clipped.ratio


@pytest.mark.parametrize(("mean", "noise"), [(1.0, 5.0), (10.0, 8.0), (30.0, 5.0)])
def test_noise_alone_is_no_trend(mean, noise):
    rng = np.random.default_rng(3)
    drawn = rng.normal(mean, noise, (150, 8))
    trends = [fit_trend(counts, POSTS, noise=[noise] * 8) for counts in drawn]
    p_values = np.array([trend.p_value for trend in trends if trend is not None])
    assert len(p_values) > 90
    assert np.mean(p_values < 0.05) <= 0.1
    assert p_values.min() > 1e-4
    assert all(trend.low <= trend.ratio <= trend.high for trend in trends if trend)


def test_a_line_through_nothing_is_not_sure_of_its_slope():
    # Fitted freely, these weeks are best told by a fall to nothing after the first.
    trend = fit_trend([3, -4, 2, 1, -1, 0, 2, -2], [1000] * 8, noise=[5] * 8)
    assert trend.p_value > 0.5
    assert trend.low < 0.1
    assert trend.high > 10


# --- the doubt about the level -------------------------------------------------------------------


@pytest.mark.parametrize("noise", [None, [6.0] * 8])
def test_other_levels_widen_the_interval_only(noise):
    counts = np.array([20, 24, 27, 33, 38, 41, 50, 58.0])
    one = fit_trend(counts, POSTS, noise=noise)
    lower, upper = counts - 15, counts + 60
    both = fit_trend(counts, POSTS, noise=noise, other=[lower, upper])
    assert both._replace(low=0, high=0) == one._replace(low=0, high=0)
    slopes = [math.log(fit_trend(each, POSTS, noise=noise).ratio) for each in (lower, upper)]
    at = math.log(one.ratio)
    assert slopes[1] < at < slopes[0]  # the same change of a lower level is a larger ratio
    down, up = at - math.log(one.low), math.log(one.high) - at
    assert math.log(both.low) == pytest.approx(at - math.hypot(down, at - slopes[1]), abs=1e-6)
    assert math.log(both.high) == pytest.approx(at + math.hypot(up, slopes[0] - at), abs=1e-6)
    assert fit_trend(counts, POSTS, noise=noise, other=[counts]) == one


@pytest.mark.parametrize("noise", [None, [6.0] * 8])
def test_a_level_of_none_is_a_level(noise):
    counts = np.array([20, 24, 27, 33, 38, 41, 50, 58.0])
    one = fit_trend(counts, POSTS, noise=noise)
    none = fit_trend(counts, POSTS, noise=noise, other=[np.zeros(8)])
    assert none.low <= one.low
    assert none.high == one.high
    assert none.p_value == one.p_value


# --- change points -------------------------------------------------------------------------------


@pytest.mark.parametrize("week", range(2, 9))
@pytest.mark.parametrize("levels", [(0.002, 0.008), (0.008, 0.002), (0.0, 0.004)])
def test_a_step_is_found_in_its_week(week, levels):
    rng = np.random.default_rng(week)
    posts = rng.integers(3000, 8000, 10)
    shares = np.where(np.arange(10) < week, *levels)
    counts = rng.poisson(posts * shares)
    found = fit_trend(counts, posts).change_point
    assert found.week == week
    assert found.before == pytest.approx(counts[:week].sum() / posts[:week].sum())
    assert found.after == pytest.approx(counts[week:].sum() / posts[week:].sum())
    assert found.p_value < 0.005


def test_the_first_and_the_last_week_are_no_level_of_their_own():
    for counts in ([90, 2, 3, 2, 2, 3], [2, 3, 2, 2, 3, 90]):
        assert 2 <= fit_trend(counts, [1000] * 6).change_point.week <= 4
    assert fit_trend([1, 1, 9, 9], [1000] * 4).change_point.week == 2


def test_steps_are_tested_alike_by_any_run_and_by_their_seed():
    counts, posts = weeks_of(5, ratio=1.3)
    one, again = fit_trend(counts, posts, seed=1), fit_trend(counts, posts, seed=1)
    assert one == again
    other = fit_trend(counts, posts, seed=2)
    assert other[:7] == one[:7]
    assert other.change_point.p_value == pytest.approx(one.change_point.p_value, abs=0.06)


@pytest.mark.parametrize("spread", [1.0001, 3.0])
def test_without_a_change_p_values_are_spread_out(spread):
    p_values = []
    for seed in range(200):
        counts, posts = weeks_of(seed + 1000, number=10, base=0.006, ratio=1.0, spread=spread)
        p_values.append(fit_trend(counts, posts).change_point.p_value)
    p_values = np.array(p_values)
    assert p_values.min() >= 1 / 2001
    assert 0.35 < p_values.mean() < 0.65
    for chance in (0.05, 0.2, 0.5, 0.8):
        allowed = 0.03 + 3.5 * (chance * (1 - chance) / 200) ** 0.5
        assert np.mean(p_values <= chance) == pytest.approx(chance, abs=allowed), chance


def test_without_a_trend_few_p_values_are_small():
    p_values, held = [], 0
    for seed in range(200):
        counts, posts = weeks_of(seed, ratio=1.0, spread=2.0)
        trend = fit_trend(counts, posts)
        p_values.append(trend.p_value)
        held += trend.low <= 1 <= trend.high
    assert np.mean(np.array(p_values) < 0.05) <= 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5
    assert held / 200 >= 0.9
    assert np.mean(np.array(p_values) < 0.5) > 0.3


# --- any weeks -----------------------------------------------------------------------------------

violent = st.sampled_from([0.0, 1.0, 3.0]) | st.integers(-5000, 10**5).map(lambda n: n / 100)
weeks = st.lists(
    st.tuples(violent, st.integers(1, 10**6), st.floats(0, 200), st.integers(1, 5)),
    min_size=4,
    max_size=20,
)


@slow
@given(weeks, st.booleans(), st.sampled_from([0.5, 0.95, 0.999]))
def test_any_weeks_give_figures_that_hold_together(rows, known, level):
    counts, posts, noise, gaps = map(np.array, zip(*rows, strict=True))
    noise = noise if known else None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trend = fit_trend(counts, posts, noise=noise, when=np.cumsum(gaps), level=level)
    assert not caught
    positive = counts.sum() > 0
    if trend is None:
        assert not positive
        return
    assert positive
    assert all(math.isfinite(figure) for figure in trend[:7])
    assert 0 <= trend.low <= trend.ratio <= trend.high
    assert 0 <= trend.p_value <= 1
    assert trend.start >= 0
    assert trend.end >= 0
    change = trend.change_point
    assert 2 <= change.week <= len(counts) - 2
    assert 0 < change.p_value <= 1
    assert change.before >= 0
    assert change.after >= 0


def test_without_statsmodels_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "statsmodels", None)
    with pytest.raises(MissingExtraError, match="statsmodels"):
        fit_trend([5, 6, 7, 8], [1000] * 4)


def test_without_scipy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingExtraError, match="scipy"):
        fit_trend([5, 6, 7, 8], [1000] * 4, noise=[3] * 4)


# --- several tests at once -----------------------------------------------------------------------

chances = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@slow
@given(chances, st.randoms(use_true_random=False))
def test_corrected_p_values_are_those_of_statsmodels_in_any_order(p_values, random):
    found = adjust_p_values(p_values)
    assert found == pytest.approx(multitest.multipletests(p_values, method="fdr_bh")[1])
    assert all(value >= own for value, own in zip(found, p_values, strict=True))
    assert max(found) <= 1
    order = list(range(len(p_values)))
    random.shuffle(order)
    assert adjust_p_values([p_values[at] for at in order]) == pytest.approx(
        [found[at] for at in order]
    )


def test_corrected_p_values_by_hand():
    third = 0.04 * 4 / 3
    assert adjust_p_values([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, third, third, 0.5])
    assert adjust_p_values([0.3]) == [0.3]
    assert adjust_p_values([]) == []
    assert adjust_p_values(tuple([0.02] * 3)) == pytest.approx([0.02] * 3)
