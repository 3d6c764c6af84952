"""Prevalence: against ppi-python, published examples, sums by hand, scipy's tails, simulations."""

from __future__ import annotations

import importlib.util
import itertools
import math
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hostrisk.errors import InputError, MissingExtraError
from hostrisk.host.prevalence import (
    MODEL_BASED,
    POWERED,
    REVIEWED,
    Population,
    Rates,
    Reviewed,
    adjusted_share,
    binomial_interval,
    estimate,
    powered_mean,
    powered_share,
    reviewed_share,
)

optimize = pytest.importorskip("scipy.optimize")
stats = pytest.importorskip("scipy.stats")

Z = float(stats.norm.ppf(0.975))
RATES = Rates(recall=0.8, false_positive_rate=0.02, positives=150, negatives=3500)
slow = settings(deadline=None)  # the first call imports scipy


@pytest.fixture(scope="module")
def ppi():
    """ppi-python, which silences all warnings of a process where it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("ppi_py")


@pytest.fixture(scope="module")
def simulate():
    path = Path(__file__).parent / "bench" / "simulate.py"
    spec = importlib.util.spec_from_file_location("simulate", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def sample_of(label, *, score=None, weight=None, stratum=None, value=None, uniform=False):
    label = np.array(label, dtype=np.bool_)
    ones = np.ones(len(label))
    return Reviewed(
        label,
        0.5 * ones if score is None else np.array(score, dtype=float),
        ones if weight is None else np.array(weight, dtype=float),
        np.zeros(len(label), dtype=np.int64) if stratum is None else np.array(stratum),
        ones if value is None else np.array(value, dtype=float),
        uniform,
    )


def interval(share, size, level=0.95):
    return tuple(map(float, binomial_interval(share, size, level)))


# --- prediction-powered --------------------------------------------------------------------------


def scored_posts(seed, size, posts, *, sign=1.0):
    """Labels and scores of a sample, scores of all; sign -1: the scores mislead."""
    rng = np.random.default_rng(seed)
    everyone = rng.beta(0.4, 3, posts)
    scores = rng.beta(0.4, 3, size)
    truth = scores if sign > 0 else 1 - scores
    return (rng.random(size) < truth).astype(float), scores, everyone


@pytest.mark.parametrize("weight", [1.0, None, 0.0, 0.37])
@pytest.mark.parametrize(("seed", "size", "posts"), [(0, 40, 500), (1, 300, 20_000), (2, 900, 900)])
def test_powered_mean_is_that_of_ppi_python(ppi, weight, seed, size, posts):
    labels, scores, everyone = scored_posts(seed, size, posts)
    mean, error, used = powered_mean(
        labels, scores, mean=everyone.mean(), variance=everyone.var(), posts=posts, weight=weight
    )
    point = ppi.ppi_mean_pointestimate(labels, scores, everyone, lam=weight)
    ends = ppi.ppi_mean_ci(labels, scores, everyone, alpha=0.05, lam=weight)
    assert mean == pytest.approx(float(np.squeeze(point)), abs=1e-9)
    assert mean - Z * error == pytest.approx(float(np.squeeze(ends[0])), abs=1e-9)
    assert mean + Z * error == pytest.approx(float(np.squeeze(ends[1])), abs=1e-9)
    if weight is None:
        assert 0.2 < used <= 1.0
    else:
        assert used == weight


def test_powered_mean_gives_misleading_scores_no_weight(ppi):
    labels, scores, everyone = scored_posts(3, 200, 3000, sign=-1)
    known = {"mean": everyone.mean(), "variance": everyone.var(), "posts": 3000}
    mean, error, weight = powered_mean(labels, scores, **known)
    assert (mean, weight) == (pytest.approx(labels.mean()), 0.0)
    assert error == pytest.approx(labels.std() / 200**0.5)
    point = ppi.ppi_mean_pointestimate(labels, scores, everyone)
    assert mean == pytest.approx(float(np.squeeze(point)), abs=1e-9)


def test_powered_mean_of_scores_that_are_all_the_same_is_the_mean_of_the_labels():
    labels = np.array([0.0, 1.0, 0.0, 0.0])
    mean, error, weight = powered_mean(labels, np.full(4, 0.25), mean=0.25, variance=0.0, posts=100)
    assert (mean, weight) == (0.25, 0.0)
    assert error == pytest.approx((0.25 * 0.75 / 4) ** 0.5)


def test_powered_share_worked_by_hand():
    # Two of eight violent; r and the weight as docs/statistics.md says.
    label = [1, 1, 0, 0, 0, 0, 0, 0]
    score = [0.9, 0.3, 0.4, 0.1, 0.1, 0.1, 0.05, 0.05]
    population = Population(1000, 0, mean=0.2, variance=0.08)
    found, mean = 0.25, 0.25
    together = sum((y - found) * (f - mean) for y, f in zip(label, score, strict=True)) / 8
    weight = (2 * together / 0.08 + 5 * (3 / (8 * 0.2 + 1))) / 7
    saved = together**2 / (0.08 * 0.25 * 0.75)
    share, size = powered_share(sample_of(label, score=score, uniform=True), population)
    assert share == pytest.approx(found - weight * (mean - 0.2), abs=1e-12)
    assert size == pytest.approx(8 / (1 - saved * 2 / 12) / (1 - 8 / 1000), abs=1e-9)


def test_scores_save_nothing_where_no_violent_post_was_found():
    sample = sample_of([0] * 50, score=np.linspace(0, 0.4, 50), uniform=True)
    share, size = powered_share(sample, Population(10**6, 0, 0.2, 0.01))
    assert share == 0.0
    assert size == pytest.approx(50, rel=1e-3)


def test_no_estimate_is_below_what_people_found():
    # Only flagged posts were labeled, as if they were a plain random sample.
    sample = sample_of([1] * 30 + [0] * 70, score=[0.8] * 100, uniform=True)
    found = estimate(Population(10_000, 100, 0.01, 0.01), sample=sample)
    assert found.prevalence >= 30 / 10_000
    assert found.high > 30 / 10_000


# --- Horvitz and Thompson ------------------------------------------------------------------------


def two_strata():
    # 2 of 90 posts of low scores, 4 of 10 of high ones; violent are 0 and 3 of these.
    return sample_of(
        [0, 0, 1, 1, 0, 1], score=[0.02, 0.04, 0.5, 0.7, 0.3, 0.9],
        weight=[45, 45, 2.5, 2.5, 2.5, 2.5], stratum=[0, 0, 1, 1, 1, 1],
    )  # fmt: skip


def test_reviewed_share_worked_by_hand():
    share, size = reviewed_share(two_strata(), total=100, mean=0.1)
    assert share == pytest.approx(3 * 2.5 / 100, abs=1e-12)
    scores = [0.99 * f + 0.01 * 0.1 for f in (0.02, 0.04, 0.5, 0.7, 0.3, 0.9)]
    worth = 3.5 / (sum(scores) + 0.5)
    low = (0 + 0.5) / (2 + 0.5 / (worth * (scores[0] + scores[1]) / 2))
    high = (3 + 0.5) / (4 + 0.5 / min(worth * sum(scores[2:]) / 4, 0.5))
    variance = 0.9**2 * (1 - 2 / 90) * low * (1 - low) / 2
    variance += 0.1**2 * (1 - 4 / 10) * high * (1 - high) / 4
    whole = 0.9 * low + 0.1 * high
    assert size == pytest.approx(whole * (1 - whole) / variance, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_reviewed_share_is_the_weighted_mean_of_statsmodels(seed):
    weighted = pytest.importorskip("statsmodels.stats.weightstats")
    rng = np.random.default_rng(seed)
    label, weight = rng.random(80) < 0.2, rng.uniform(1, 200, 80)
    value = rng.integers(0, 1000, 80).astype(float)
    sample = sample_of(label, weight=weight, score=rng.random(80), stratum=rng.integers(0, 4, 80))
    share, _ = reviewed_share(sample, total=weight.sum(), mean=0.5)
    assert share == pytest.approx(weighted.DescrStatsW(label, weight).mean, abs=1e-9)
    by_views, _ = reviewed_share(
        sample._replace(value=value), total=float(weight @ value), mean=0.5
    )
    assert by_views == pytest.approx(weighted.DescrStatsW(label, weight * value).mean, abs=1e-9)


def test_reviewed_share_is_right_on_average_over_every_sample_that_can_be_drawn():
    label = np.array([0, 0, 1, 0, 0, 1, 1, 0], dtype=bool)
    strata = (range(5), range(5, 8))  # two of each are drawn
    shares = [
        reviewed_share(
            sample_of(label[[*low, *high]], weight=[2.5, 2.5, 1.5, 1.5], stratum=[0, 0, 1, 1]),
            total=8, mean=0.3,
        )[0]
        for low, high in itertools.product(*(itertools.combinations(s, 2) for s in strata))
    ]  # fmt: skip
    assert len(shares) == 30
    assert np.mean(shares) == pytest.approx(3 / 8, abs=1e-12)


def test_a_stratum_without_a_violent_post_still_widens_the_interval():
    def width(weight, score=0.05):
        sample = sample_of(
            [0] * 20 + [1] * 5 + [0] * 5, score=[score] * 20 + [0.6] * 10,
            weight=[weight] * 20 + [2] * 10, stratum=[0] * 20 + [1] * 10,
        )  # fmt: skip
        found = estimate(Population(20 * round(weight) + 20, 0, 0.05, 0.01), sample=sample)
        return found.high - found.prevalence, found.prevalence

    whole, share = width(1)  # reviewed whole: nothing is unknown there
    some, of_some = width(500)
    assert share == pytest.approx(10 / 40)
    assert of_some == pytest.approx(10 / 10_020)
    assert some / of_some > 3 * whole / share
    # The higher the scores there, the more may have been missed.
    assert width(500, score=0.2)[0] > some > 1.05 * width(500, score=0.001)[0] > 0


def test_no_violent_post_at_all_leaves_room_for_some():
    for seed, (reviewed, posts) in enumerate([(10, 1000), (300, 10**6), (2, 3)]):
        score = np.random.default_rng(seed).random(reviewed) * 0.1
        sample = sample_of([0] * reviewed, score=score, weight=[posts / reviewed] * reviewed)
        found = estimate(Population(posts, 0, 0.05, 0.001), sample=sample)
        assert (found.prevalence, found.low) == (0.0, 0.0)
        assert 0.3 / reviewed < found.high <= 1.0


@pytest.mark.parametrize("uniform", [True, False])
def test_where_all_was_reviewed_nothing_is_in_doubt(uniform):
    rng = np.random.default_rng(0)
    label, score = rng.random(500) < 0.1, rng.random(500)
    sample = sample_of(label, score=score, stratum=rng.integers(0, 5, 500), uniform=uniform)
    population = Population(500, 9, float(score.mean()), float(score.var()))
    found = estimate(population, sample=sample)
    assert found.prevalence == pytest.approx(label.mean(), abs=1e-9)
    assert 0 < found.high - found.low < 1e-4
    assert found.low <= label.mean() <= found.high


def test_half_of_a_population_tells_more_than_as_many_posts_of_a_large_one():
    sample = sample_of([1, 0, 0, 0] * 10, score=np.linspace(0, 1, 40), uniform=True)
    small, large = (
        estimate(Population(posts, 0, 0.5, 0.08), sample=sample) for posts in (80, 10**7)
    )
    assert small.high - small.low < 0.8 * (large.high - large.low)


# --- binomial interval ---------------------------------------------------------------------------


def upper_tail(at, count, size):
    """Mid-p chance of at least ``count``, from the single chances."""
    more = float(stats.binom.pmf(np.arange(count + 1, size + 1), size, at).sum())
    return more + 0.5 * float(stats.binom.pmf(count, size, at))


def lower_tail(at, count, size):
    less = float(stats.binom.cdf(count - 1, size, at)) if count else 0.0
    return less + 0.5 * float(stats.binom.pmf(count, size, at))


def solve(tail, chance):
    return optimize.brentq(lambda at: tail(at) - chance, 1e-12, 1 - 1e-12, xtol=1e-13, rtol=1e-13)


def by_scipy(count, size, level):
    """The interval by the rule in words, solved by brentq."""
    error = 1 - level
    high = 1.0 if count == size else solve(lambda at: lower_tail(at, count, size), error / 2)
    if count == 0:
        return 0.0, high
    half, all_of_it = (
        solve(lambda at: upper_tail(at, count, size), chance) for chance in (error / 2, error)
    )
    can_reject = 1 - error ** (1 / size)  # from here on a sample of none speaks against a share
    return min(max(half, can_reject), all_of_it), high


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("size", [1, 2, 7, 40, 300])
def test_binomial_interval_solves_the_tails_of_scipy(size, level):
    counts = {*range(min(size, 12) + 1), size // 2, size - 1, size}
    for count in sorted(counts):
        found = interval(count / size, size, level)
        assert found == pytest.approx(by_scipy(count, size, level), abs=1e-9), count


@pytest.mark.parametrize(("count", "size"), [(9, 60), (30, 60), (58, 60), (12, 900), (450, 900)])
def test_with_several_violent_posts_both_tails_have_half_of_the_error(count, size):
    low, high = interval(count / size, size)
    assert upper_tail(low, count, size) == pytest.approx(0.025, abs=1e-9)
    assert lower_tail(high, count, size) == pytest.approx(0.025, abs=1e-9)


def test_with_one_or_two_the_lower_end_has_all_of_the_error():
    for count in (1, 2, 3):
        assert upper_tail(interval(count / 300, 300)[0], count, 300) == pytest.approx(0.05)


def test_binomial_interval_takes_arrays():
    shares, sizes = np.array([0.0, 0.1, 1.0]), np.array([10.0, 33.3, 5.0])
    low, high = binomial_interval(shares, sizes, 0.9)
    assert low.shape == high.shape == (3,)
    each = [interval(*pair, 0.9) for pair in zip(shares, sizes, strict=True)]
    assert list(zip(low.tolist(), high.tolist(), strict=True)) == each
    assert binomial_interval(shares, 20.0, 0.9)[0].shape == (3,)


def test_counts_that_are_not_whole_lie_between_those_that_are():
    for size in (20, 300):
        for count in (0.3, 1.5, 2.75, 11.01, 19.9):
            ends = [interval(k / size, size) for k in (math.floor(count), count, math.ceil(count))]
            for below, here, above in zip(*ends, strict=True):
                assert below < here < above or (below == here == above == 1)


shares = st.floats(0, 1)
sizes = st.floats(0.5, 1e5)
levels = st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99, 0.999])


@slow
@given(shares, st.floats(0, 1e7), levels)
def test_binomial_interval_holds_the_share_within_0_and_1(share, size, level):
    low, high = interval(share, size, level)
    assert 0.0 <= low <= share <= high <= 1.0
    assert low < high


@slow
@given(sizes, levels)
def test_nothing_found_begins_at_0_and_everything_found_ends_at_1(size, level):
    low, high = interval(0.0, size, level)
    assert low == 0.0
    assert high == pytest.approx(1 - (1 - level) ** (1 / size), abs=1e-9)
    low, high = interval(1.0, size, level)
    assert (0.0 < low < 1.0 or size < 1) and high == 1.0  # noqa: PT018


@slow
@given(shares, shares, sizes, levels)
def test_more_found_gives_a_higher_interval(one, other, size, level):
    least, most = sorted((one, other))
    below, above = interval(least, size, level), interval(most, size, level)
    assert below[0] <= above[0] + 1e-12
    assert below[1] <= above[1] + 1e-12


@slow
@given(shares, sizes, sizes, st.sampled_from([0.9, 0.95, 0.99]))
def test_a_larger_sample_gives_a_narrower_interval(share, one, other, level):
    small, large = sorted((one, other))
    wide, narrow = interval(share, small, level), interval(share, large, level)
    assert narrow[1] <= wide[1] + 1e-12
    # Where the lower end passes from all of the error to half of it, it steps back a little.
    assert narrow[0] >= 0.85 * wide[0] - 1e-12


@slow
@given(shares, sizes, st.floats(0.001, 0.6), st.floats(0.01, 0.5))
def test_a_higher_level_holds_the_interval_of_a_lower_one(share, size, error, part):
    wide, narrow = interval(share, size, 1 - error * part), interval(share, size, 1 - error)
    assert wide[0] <= narrow[0] + 1e-12
    assert wide[1] >= narrow[1] - 1e-12


# --- no labels -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("positive", "tested", "sensitivity", "specificity", "low", "high", "digits"),
    [
        (4060, 11284, (178, 179), (358, 359), 0.349, 0.372, 3),
        (51, 2971, (32, 33), (20, 20), 0.0, 0.053, 3),
        (0.06 * 11862, 11862, (8, 10), (12, 12), 0.0, 0.147, 3),
        (259, 509, (84, 127), (96, 109), 0.58, 0.87, 2),
        (51, 509, (23, 41), (187, 195), 0.037, 0.195, 3),
    ],
)
def test_adjusted_share_has_the_intervals_published_by_lang_and_reiczigel(
    positive, tested, sensitivity, specificity, low, high, digits
):
    # The examples of the paper, as cited in the documentation of prevSeSp in the R package asht.
    (hits, ill), (passes, well) = sensitivity, specificity
    rates = Rates(hits / ill, 1 - passes / well, ill, well)
    share, *ends = adjusted_share(positive, tested, rates, 0.95)
    assert [round(end, digits) for end in ends] == [low, high]
    gap = hits / ill + passes / well - 1
    assert share == pytest.approx((positive / tested + passes / well - 1) / gap, abs=1e-9)


def lang_reiczigel(positive, tested, rates, level):
    """The published formulas with sensitivity and specificity, one by one."""
    z2 = stats.chi2.ppf(level, 1)
    n, n_se, n_sp = tested + z2, rates.positives + 2, rates.negatives + 2
    apparent = (positive + z2 / 2) / n
    se = (rates.positives * rates.recall + 1) / n_se
    sp = (rates.negatives * (1 - rates.false_positive_rate) + 1) / n_sp
    true = (apparent + sp - 1) / (se + sp - 1)
    var_se, var_sp = se * (1 - se) / n_se, sp * (1 - sp) / n_sp
    middle = true + 2 * z2 * (true * var_se - (1 - true) * var_sp)
    error = apparent * (1 - apparent) / n + true**2 * var_se + (1 - true) ** 2 * var_sp
    half = (z2 * error) ** 0.5 / (se + sp - 1)
    return np.clip([middle - half, middle + half], 0, 1)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("seed", range(8))
def test_adjusted_share_is_the_formula_written_another_way(seed, level):
    rng = np.random.default_rng(seed)
    positives, negatives, posts = rng.integers(20, 4000, 3).tolist()
    recall, wrong = rng.uniform(0.5, 1), rng.uniform(0, 0.2)
    rates = Rates(recall, wrong, positives, negatives)
    flagged = posts * rng.uniform(wrong, recall)
    share, low, high = adjusted_share(flagged, posts, rates, level)
    expected = lang_reiczigel(flagged, posts, rates, level)
    ends = min(expected[0], share), max(expected[1], share)
    assert (low, high) == pytest.approx(ends, abs=1e-9)
    assert share == pytest.approx((flagged / posts - wrong) / (recall - wrong), abs=1e-9)


def test_fewer_flags_than_false_alarms_leave_room_for_what_recall_allows():
    share, low, high = adjusted_share(100, 10_000, RATES, 0.95)  # 1% where 2% are expected
    assert (share, low) == (0.0, 0.0)
    most, recall = interval(0.01, 10_000)[1], interval(0.8, 150)[0]
    assert high == pytest.approx(most / recall, abs=1e-9)
    assert adjusted_share(0, 10_000, RATES, 0.95)[2] > 0
    assert adjusted_share(0, 5, RATES, 0.95)[2] > 0.5


def test_more_flags_than_recall_explains_leave_room_for_a_better_recall():
    share, low, high = adjusted_share(9_000, 10_000, RATES, 0.95)  # 90% where 80% are the most
    assert (share, high) == (1.0, 1.0)
    least, wrong = interval(0.9, 10_000)[0], interval(0.02, 3500)[1]
    assert low == pytest.approx((least - wrong) / (1 - wrong), abs=1e-9)


@pytest.mark.parametrize("rates", [Rates(0.6, 0.55, 1, 10**6), Rates(1.0, 0.0, 0, 0)])
@pytest.mark.parametrize("flagged", [0, 57, 60, 100])
def test_rates_measured_on_hardly_a_post_tell_nothing(rates, flagged):
    share, low, high = adjusted_share(flagged, 100, rates, 0.95)
    assert low <= share <= high
    assert high - low > 0.9


@pytest.mark.parametrize(("recall", "wrong"), [(0.1, 0.1), (0.0, 0.0), (0.2, 0.7)])
def test_a_model_that_is_no_better_than_chance_is_refused(recall, wrong):
    with pytest.raises(InputError, match="not above its false-positive rate; choose another") as at:
        adjusted_share(5, 100, Rates(recall, wrong, 100, 100), 0.95)
    assert "\n" not in str(at.value)


@slow
@given(
    st.floats(0, 1), st.integers(1, 10**7), st.floats(0, 1), st.floats(0, 1),
    st.integers(0, 5000), st.integers(0, 50_000), levels,
)  # fmt: skip
def test_adjusted_share_is_never_outside_its_interval(
    found, posts, recall, wrong, positives, negatives, level
):
    assume(recall > wrong + 1e-6)
    rates = Rates(recall, wrong, positives, negatives)
    share, low, high = adjusted_share(found * posts, posts, rates, level)
    assert 0.0 <= low <= share <= high <= 1.0
    assert low < high


@slow
@given(st.floats(0.021, 0.79), st.floats(0.001, 0.1))
def test_more_flags_give_a_higher_share(found, more):
    one, other = (adjusted_share(1000 * f, 1000, RATES, 0.95) for f in (found, found + more))
    assert one[0] < other[0] or other[0] == 1.0
    assert one[2] <= other[2] + 1e-12


# --- one call ------------------------------------------------------------------------------------


def test_estimate_takes_the_best_method_that_is_known_enough_for():
    population = Population(1000, 60, 0.05, 0.01)
    plain = sample_of([1] + [0] * 9, weight=[100] * 10, score=np.linspace(0, 0.2, 10), uniform=True)
    drawn = plain._replace(uniform=False)
    assert estimate(population, sample=drawn, rates=RATES)._replace(low=0, high=0) == (
        1000, 0.1, 0, 0, REVIEWED, 10, 1,
    )  # fmt: skip
    powered = estimate(population, sample=plain, rates=RATES)
    assert (powered.method, powered.reviewed, powered.positives) == (POWERED, 10, 1)
    assert powered.prevalence == pytest.approx(powered_share(plain, population)[0])
    modeled = estimate(population, rates=RATES)
    assert modeled == (1000, *adjusted_share(60, 1000, RATES, 0.95), MODEL_BASED, 0, 0)
    nobody = plain.where(np.zeros(10, dtype=bool))
    assert estimate(population, sample=nobody, rates=RATES) == modeled
    assert {REVIEWED, POWERED, MODEL_BASED} == {
        "reviewed sample", "prediction-powered", "model-based",
    }  # fmt: skip


def test_estimate_gives_the_interval_of_the_effective_size():
    population = Population(100, 5, 0.1, 0.02)
    for level in (0.8, 0.95):
        found = estimate(population, sample=two_strata(), level=level)
        share, size = reviewed_share(two_strata(), total=100, mean=0.1)
        assert (found.low, found.high) == interval(share, size, level)
        plain = two_strata()._replace(uniform=True)
        found = estimate(population, sample=plain, level=level)
        assert (found.low, found.high) == interval(*powered_share(plain, population), level)


def test_where_nothing_is_known_nothing_is_said():
    assert estimate(Population(1000, 60, 0.05, 0.01)) == (1000, None, None, None, MODEL_BASED, 0, 0)
    empty = Population(0, 0, 0.0, 0.0)
    assert estimate(empty, rates=RATES) == (0, None, None, None, MODEL_BASED, 0, 0)
    none = sample_of([], uniform=True)
    assert estimate(empty, sample=none) == (0, None, None, None, REVIEWED, 0, 0)


def test_views_are_what_posts_weigh():
    # Half of the views lie on one violent post out of four; each stands for two.
    sample = sample_of([1, 0, 0, 0], weight=[2] * 4, value=[600, 200, 200, 200], uniform=True)
    found = estimate(Population(8, 2, 0.5, 0.01), sample=sample, total=2400.0)
    assert found.method == REVIEWED
    assert found.prevalence == pytest.approx(0.5)
    assert (found.posts, found.reviewed, found.positives) == (8, 4, 1)
    assert 0 < found.low < 0.4
    assert 0.6 < found.high <= 1
    # Uneven views tell less than even ones.
    even = estimate(
        Population(8, 2, 0.5, 0.01), sample=sample._replace(value=np.full(4, 300.0)), total=2400.0
    )
    assert even.high - even.low < found.high - found.low


def test_views_without_labels_are_put_right_like_posts():
    found = estimate(Population(400, 3, 0.05, 0.01), rates=RATES, total=9e6, flagged=0.3)
    assert found == (400, *adjusted_share(120, 400, RATES, 0.95), MODEL_BASED, 0, 0)


def test_posts_that_nobody_viewed_tell_nothing_of_views():
    sample = sample_of([1, 0, 0], weight=[10] * 3, value=[0, 0, 0])
    found = estimate(Population(30, 1, 0.1, 0.01), sample=sample, total=5000.0)
    assert (found.prevalence, found.low) == (0.0, 0.0)
    assert found.high > 0.99


@st.composite
def cases(draw):
    size = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    some = draw(st.sampled_from([0.0, 0.02, 0.3, 1.0]))
    strata = rng.integers(0, draw(st.integers(1, 6)), size)
    # Each stratum has its weight, at least 1 and often the same for all.
    weights = 1 + rng.exponential(draw(st.sampled_from([0.0, 1.0, 5000.0])), 6)
    score = rng.beta(draw(st.sampled_from([0.05, 1.0])), 2, size)
    views = rng.integers(0, draw(st.sampled_from([1, 2, 10**6])), size)
    by_views = draw(st.booleans())
    sample = sample_of(
        rng.random(size) < some, score=score, weight=weights[strata], stratum=strata,
        value=views if by_views else None, uniform=draw(st.booleans()),
    )  # fmt: skip
    posts = max(round(float(sample.weight.sum())), size)
    mean, spread = draw(st.floats(0, 1)), draw(st.floats(0, 1))  # of the posts not reviewed
    part = size / posts
    square = part * np.mean(score**2) + (1 - part) * (mean**2 + spread * mean * (1 - mean))
    mean = part * float(score.mean()) + (1 - part) * mean
    population = Population(posts, 0, mean, max(float(square) - mean**2, 0.0))
    total = max(float(sample.weight @ sample.value), 1.0) if by_views else None
    return population, sample, total


@settings(deadline=None, max_examples=200)
@given(cases(), levels)
def test_an_estimate_is_a_share_within_its_interval(case, level):
    population, sample, total = case
    found = estimate(population, sample=sample, total=total, level=level)
    assert 0.0 <= found.low <= found.prevalence <= found.high <= 1.0
    assert found.low < found.high
    assert found.positives == sample.label.sum()
    if found.method == REVIEWED and not sample.label.any():
        assert found.low == 0.0
    if total is None and sample.label.any():
        assert found.prevalence >= found.positives / population.posts * (1 - 1e-9)


def test_without_scipy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(MissingExtraError, match="scipy"):
        estimate(Population(10, 1, 0.1, 0.01), rates=RATES)


# --- simulations ---------------------------------------------------------------------------------

RUNS, REVIEWS = 300, 300
# Of 300 intervals that hold with 95% each, fewer than 91% hold in one of 1,000 simulations.
FLOOR = 0.91


@pytest.fixture(scope="module", params=[0.001, 0.01], ids=["0.1%", "1%"])
def host(request, simulate):
    rng = np.random.default_rng(7)
    return simulate.make_posts(request.param, 0.7, 2.0, blind=False, rng=rng), request.param


def test_intervals_hold_where_violent_posts_are_rare(simulate, host):
    posts, prevalence = host
    rng, truth = np.random.default_rng(1), float(posts.label.mean())
    assert truth == pytest.approx(prevalence)
    drawn = simulate.draw(posts, simulate.design(posts, REVIEWS), rng)
    reviewed = simulate.intervals(drawn, posts, RUNS, "reviewed")
    powered, plain = (
        simulate.intervals(simulate.draw_plain(posts, REVIEWS, rng), posts, RUNS, method)
        for method in ("powered", "plain")
    )
    widths = []
    for share, low, high in (reviewed, powered, plain):
        assert len(share) == RUNS
        assert simulate.holds((share, low, high), truth) >= FLOOR
        assert abs(share.mean() - truth) < 4 * share.std() / RUNS**0.5 + 0.05 * truth
        widths.append(float(np.mean(high - low)))
    assert widths[0] < 0.7 * widths[2]  # reviewing high scores more often pays
    assert widths[1] < 1.02 * widths[2]
    # Counting flags at 1% false alarms would be far off.
    assert simulate.naive(posts) > (5 if prevalence < 0.005 else 1.4) * truth


def test_intervals_hold_with_a_scorer_that_is_blind_to_some(simulate):
    rng = np.random.default_rng(3)
    posts = simulate.make_posts(0.01, 0.7, 0.5, blind=True, rng=rng)
    drawn = simulate.draw(posts, simulate.design(posts, REVIEWS), rng)
    ends = simulate.intervals(drawn, posts, RUNS, "reviewed")
    assert simulate.holds(ends, float(posts.label.mean())) >= FLOOR
