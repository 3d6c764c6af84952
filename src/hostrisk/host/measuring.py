"""From sums and labels of one host to its figures: overall, by views, week, kind and target.

Weeks are told apart by scores, since few posts of a week are reviewed. The labels first say what
the scores are worth on this host (a logistic curve: Platt 1999). The week's prevalence is then the
host's, moved by how far the week's mean of these is from the host's, over the gap between the means
of violent and of other posts (a Rogan-Gladen correction with scores for flags: Bella et al. 2010,
ICDM, "Quantification via probability estimators"). It takes for granted that violent posts score
alike in all weeks. Without labels the same is done with flags and the model's rates.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hostrisk.host.labels import reviewed_sample
from hostrisk.host.prevalence import (
    Population,
    Prevalence,
    Reviewed,
    binomial_interval,
    effective_size,
    estimate,
)
from hostrisk.host.scale import LOGITS, step_of
from hostrisk.host.tally import NO_WEEK, Sums, week_start
from hostrisk.host.trend import Trend, fit_trend
from hostrisk.report.host.words import figures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from hostrisk.host.labels import Labels
    from hostrisk.host.prevalence import Rates
    from hostrisk.host.tally import Kept, Tally

__all__ = ["Measured", "Terms", "measure_host", "trend_record"]

# The mean score of violent posts is known before any label as if from this many by the scores.
_PRIOR_POSITIVES = 2
_RIDGE = 1.0
_LEAST_GAP = 0.02
_LEAST_FLAGGED = 20  # for a trend of a kind or target
# How much the posts of a week differ is known before any as if from this many of the host's: a
# week of one post, or of none that stands out, is not told without an error.
_PRIOR_POSTS = 10


class Terms(NamedTuple):
    """What all hosts are measured by."""

    labels: Labels | None
    rates: Rates | None
    level: float
    week_level: float


class Measured(NamedTuple):
    """The figures of one host; trends still without the correction for testing several."""

    overall: dict[str, Any]
    views: dict[str, Any] | None
    weeks: list[dict[str, Any]]
    trend: Trend | None
    groups: dict[str, list[dict[str, Any]]]  # kinds, targets: each with its "trend"
    starts: list[str]
    unsupported: int


def measure_host(
    tally: Tally, host: str, terms: Terms, judge: Callable[[str], tuple[str | None, Any]]
) -> Measured:
    """Measure a host from what was counted.

    :param judge: from a text to its kind and targets, for reviewed posts that nobody gave one.
    """
    by_week = tally.weeks(host)
    total = _add(sums for sums, _ in by_week.values())
    population = _population(total)
    posts = [post for post in tally.reviewed if post.host == host]
    sample = _sample(posts, terms, total)
    overall = estimate(population, sample=sample, rates=terms.rates, level=terms.level)
    weeks = [_Week(week, *by_week[week]) for week in sorted(by_week) if week != NO_WEEK]
    steps = np.sum([steps for _, steps in by_week.values()], axis=0)
    gauge = _gauge(overall, total, steps, sample, terms.rates)
    return Measured(
        {"flagged": population.flagged, **overall._asdict()},
        _by_views(total, posts, terms, population),
        [_week_record(week, gauge, overall, terms.week_level) for week in weeks],
        _trend(weeks, gauge, overall, terms.level) if weeks else None,
        {
            name: _groups(name, tally, host, weeks, (total, overall), (posts, sample), terms, judge)
            for name in ("kinds", "targets")
        },
        [week_start(week.number) for week in weeks],
        round(total.unsupported),
    )


def _add(sums: Any) -> Sums:
    return Sums(*map(float, np.sum(list(sums), axis=0)))


def _population(sums: Sums) -> Population:
    mean = sums.score / max(sums.posts, 1)
    variance = max(sums.square / max(sums.posts, 1) - mean**2, 0.0)
    return Population(round(sums.posts), round(sums.flagged), mean, variance)


def _sample(
    posts: Sequence[Kept], terms: Terms, total: Sums, *, views: bool = False
) -> Reviewed | None:
    if terms.labels is None or not posts:
        return None
    count, texts = round(total.posts), round(total.posts - total.textless)
    return reviewed_sample(posts, terms.labels, population=count, texts=texts, views=views)


def _by_views(
    total: Sums, posts: Sequence[Kept], terms: Terms, population: Population
) -> dict[str, Any] | None:
    """Return the share of views that violent posts have; None where no views are known."""
    if total.views <= 0:
        return None
    sample = _sample(posts, terms, total, views=True)
    # Views are as uneven as so many posts of equal views would be (Kish 1965).
    effective = round(total.views**2 / total.views_square)
    found = estimate(
        population if sample else population._replace(posts=effective),
        sample=sample, rates=terms.rates, total=total.views,
        flagged=total.views_flagged / total.views, level=terms.level,
    )  # fmt: skip
    return {
        "flagged": population.flagged,
        **found._replace(posts=population.posts)._asdict(),
        "views": round(total.views),
        "flagged_views": round(total.views_flagged),
    }


# --- weeks ---------------------------------------------------------------------------------------


class _Gauge(NamedTuple):
    """How a week's signal (mean worth of its scores, or share flagged) tells its prevalence.

    ``whole`` and ``mean`` are prevalence and signal of the host, ``spread`` the variance of its
    posts' signals; ``gap`` is the signal of violent posts less that of others, ``doubt`` its
    relative variance. ``worth`` is the share of violent posts expected at each step of the score;
    None for flags.
    """

    whole: float
    mean: float
    spread: float
    gap: float
    doubt: float
    worth: NDArray[np.float64] | None

    def signal(self, week: _Week) -> tuple[float, float]:
        """Return the signal of a week and its variance."""
        count = max(week.sums.posts, 1)
        if self.worth is not None:
            mean, square = _moments(self.worth, week.steps)
            own = count * max(square - mean**2, 0.0) + _PRIOR_POSTS * self.spread
            return mean, own / (count + _PRIOR_POSTS) / count
        found = (week.sums.flagged + 0.5) / (count + 1)
        return week.sums.flagged / count, found * (1 - found) / count


class _Week(NamedTuple):
    """The posts of a week: their sums, and how many there are at each step of the score."""

    number: int
    sums: Sums
    steps: NDArray[np.int64]


def _moments(values: NDArray[np.float64], counts: NDArray[np.int64]) -> tuple[float, float]:
    """Return mean and mean square."""
    total = max(float(counts.sum()), 1.0)
    return float(counts @ values) / total, float(counts @ values**2) / total


def _gauge(
    overall: Prevalence,
    sums: Sums,
    steps: NDArray[np.int64],
    sample: Reviewed | None,
    rates: Rates | None,
) -> _Gauge | None:
    share = overall.prevalence
    if share is None:
        return None
    if sample is not None:
        return _gauge_by_score(share, steps, sample)
    if rates is None:
        return None
    gap = rates.recall - rates.false_positive_rate
    doubt = rates.recall * (1 - rates.recall) / rates.positives / gap**2
    found = sums.flagged / max(sums.posts, 1)
    return _Gauge(share, found, found * (1 - found), gap, doubt, None)


def _gauge_by_score(share: float, steps: NDArray[np.int64], sample: Reviewed) -> _Gauge:
    worth = _worth(sample)
    mean, square = _moments(worth, steps)
    expected = square / mean if mean > 0 else 0.0
    weight = sample.weight * sample.label
    seen = worth[step_of(sample.score)]
    found = float(np.sum(weight * seen) / weight.sum()) if weight.any() else expected
    positives = int(sample.label.sum())
    violent = (positives * found + _PRIOR_POSITIVES * expected) / (positives + _PRIOR_POSITIVES)
    gap = max((violent - mean) / max(1 - share, 1e-9), _LEAST_GAP)
    spread = max(square - mean**2, 0.0)
    return _Gauge(share, mean, spread, gap, 1 / (positives + _PRIOR_POSITIVES), worth)


def _worth(sample: Reviewed) -> NDArray[np.float64]:
    """Fit the share of violent posts at each step: a logistic curve, weighted, near the scores.

    Newton's method on the log likelihood less a ridge that holds the curve at the scores' own
    until labels say otherwise.
    """
    weight = sample.weight / sample.weight.mean()
    design = np.stack([np.ones(len(sample.label)), LOGITS[step_of(sample.score)]], axis=1)
    start = np.array([0.0, 1.0])
    curve, ridge = start.copy(), np.diag([_RIDGE, _RIDGE])
    for _ in range(30):
        rate = 1 / (1 + np.exp(-np.clip(design @ curve, -30, 30)))
        slope = design.T @ (weight * (sample.label - rate)) - ridge @ (curve - start)
        bend = (design * (weight * rate * (1 - rate))[:, None]).T @ design + ridge
        step = np.linalg.solve(bend, slope)
        curve += np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-9:
            break
    worth: NDArray[np.float64] = 1 / (1 + np.exp(-(curve[0] + max(curve[1], 0.1) * LOGITS)))
    return worth


def _week_record(
    week: _Week, gauge: _Gauge | None, overall: Prevalence, level: float
) -> dict[str, Any]:
    posts, flagged = round(week.sums.posts), round(week.sums.flagged)
    record = {"start": week_start(week.number), "posts": posts, "flagged": flagged}
    share, low, high = None, None, None
    if gauge is not None:
        share, low, high = _moved(week, gauge, overall, level)
    return {
        **record, "prevalence": share, "low": low, "high": high, "method": overall.method,
        "reviewed": 0, "positives": 0,
    }  # fmt: skip


def _moved(
    week: _Week, gauge: _Gauge, overall: Prevalence, level: float
) -> tuple[float, float, float]:
    """Return the week's prevalence: the host's, moved by the week's signal."""
    signal, noise = gauge.signal(week)
    low, high = (float(value or 0.0) for value in overall[2:4])
    move = (signal - gauge.mean) / gauge.gap
    variance = _variance(low, high, level) + noise / gauge.gap**2 + move**2 * gauge.doubt
    share = min(max(gauge.whole + move, 0.0), 1.0)
    # Of a share of 0 too the interval must be as wide as the weeks beside it make likely.
    likely = min(max(share, gauge.whole, 1e-9), 0.5)
    size = effective_size(likely, variance, 1)
    ends = binomial_interval(share, size, level)
    return share, float(ends[0]), float(ends[1])


def _variance(low: float, high: float, level: float) -> float:
    from hostrisk.host.prevalence import special

    z = float(special()[1].norm.ppf((1 + level) / 2))
    return ((high - low) / (2 * z)) ** 2


def _trend(
    weeks: Sequence[_Week], gauge: _Gauge | None, overall: Prevalence, level: float
) -> Trend | None:
    """Fit the trend of violent posts by score, or of flagged posts where nobody reviewed any.

    The model's rates were measured elsewhere; taking them off week by week would turn a wrong rate
    into a trend, while the share flagged can only understate one.
    """
    posts, when = [
        np.array(each) for each in zip(*((w.sums.posts, w.number) for w in weeks), strict=True)
    ]
    if gauge is None or gauge.worth is None:
        return fit_trend([week.sums.flagged for week in weeks], posts, level=level, when=when)
    signals = [gauge.signal(week) for week in weeks]
    moves = np.array([(signal - gauge.mean) / gauge.gap for signal, _ in signals])
    noise = np.array([variance**0.5 / gauge.gap for _, variance in signals]) * posts
    ends = [float(end or 0.0) for end in overall[2:4]]
    return fit_trend(
        (gauge.whole + moves) * posts, posts, level=level, noise=noise, when=when,
        other=[(end + moves) * posts for end in ends],
    )  # fmt: skip


# --- kinds and targets ---------------------------------------------------------------------------


def _groups(
    what: str,
    tally: Tally,
    host: str,
    weeks: Sequence[_Week],
    whole: tuple[Sums, Prevalence],
    reviewed: tuple[Sequence[Kept], Reviewed | None],
    terms: Terms,
    judge: Callable[[str], tuple[str | None, Any]],
) -> list[dict[str, Any]]:
    """Measure each kind or target that is flagged or was found by people, the most common first."""
    counts: dict[str, Counter[int]] = {}
    for (name, week), found in getattr(tally, what).items():
        if name == host:
            for group, number in found.items():
                counts.setdefault(group, Counter())[week] += number
    posts, sample = reviewed
    named = [_names(what, post, terms.labels, judge) for post in posts] if sample else []
    for names in named:
        for group in names:
            counts.setdefault(group, Counter())
    records = [
        _group(group, by_week, weeks, whole, (sample, named), terms)
        for group, by_week in counts.items()
    ]
    return sorted(
        records, key=lambda one: (-(one["prevalence"] or 0), -one["flagged"], one["name"])
    )


def _names(
    what: str, post: Kept, labels: Labels | None, judge: Callable[[str], tuple[str | None, Any]]
) -> tuple[str, ...]:
    """Return the kinds or targets of a post that people found violent: theirs, or the model's."""
    label = labels.find(post) if labels else None
    if label is None or not label.violent:
        return ()
    given = label.kind if what == "kinds" else label.target
    if given:
        return tuple(part for part in given.replace(";", ",").replace(" ", "").split(",") if part)
    kind, targets = judge(post.text)
    return ((kind,) if kind else ()) if what == "kinds" else tuple(targets)


def _group(
    name: str,
    by_week: Counter[int],
    weeks: Sequence[_Week],
    whole: tuple[Sums, Prevalence],
    reviewed: tuple[Reviewed | None, list[tuple[str, ...]]],
    terms: Terms,
) -> dict[str, Any]:
    total, overall = whole
    sample, named = reviewed
    flagged = sum(by_week.values())
    if sample is None:
        found = _part_of(overall, flagged, total.flagged, terms.level)
    else:
        own = sample.relabeled(np.array([name in names for names in named], dtype=np.bool_))
        found = estimate(_population(total), sample=own, level=terms.level)
    trend = None
    if flagged >= _LEAST_FLAGGED:
        counts = [by_week[week.number] for week in weeks]
        posts, when = [week.sums.posts for week in weeks], [week.number for week in weeks]
        trend = fit_trend(counts, posts, level=terms.level, when=when)
    return {"name": name, "flagged": flagged, **found._asdict(), "trend": trend}


def _part_of(overall: Prevalence, flagged: int, of: float, level: float) -> Prevalence:
    """Return the share of a group without labels: its part of the flagged posts times the whole.

    Both intervals must fail for the product of their ends to fail.
    """
    if overall.prevalence is None or of <= 0:
        return overall._replace(prevalence=None, low=None, high=None)
    low, high = map(float, binomial_interval(flagged / of, of, level))
    ends = (float(overall.low or 0) * low, float(overall.high or 0) * high)
    return overall._replace(prevalence=overall.prevalence * flagged / of, low=ends[0], high=ends[1])


# --- trends in words -----------------------------------------------------------------------------


def trend_record(
    trend: Trend | None, starts: Sequence[str], adjusted: float | None, *, of: str, level: float
) -> dict[str, Any] | None:
    """Return a trend as the record of a report, with its sentence."""
    if trend is None:
        return None
    change = trend.change_point
    return {
        "ratio": trend.ratio, "low": trend.low, "high": trend.high, "p_value": trend.p_value,
        "p_adjusted": adjusted, "weeks": trend.weeks, "from": trend.start, "to": trend.end,
        "of": of,
        "change_point": None if change is None else {
            "date": starts[change.week], "before": change.before, "after": change.after,
            "p_value": change.p_value,
        },
        "sentence": _sentence(trend, adjusted, of, level),
    }  # fmt: skip


def _sentence(trend: Trend, adjusted: float | None, of: str, level: float) -> str:
    start, end = figures(trend.start * 10_000), figures(trend.end * 10_000)
    interval = f"{level * 100:g}% interval {figures(trend.low)} to {figures(trend.high)}"
    said = f"from {start} to {end} per 10,000 posts over {trend.weeks} weeks"
    counted = "" if of == "violent posts" else f" ({of})"
    sure = adjusted if adjusted is not None else trend.p_value
    if sure > 1 - level:
        tested = " among all trends tested" if trend.p_value <= 1 - level else ""
        return f"went {said}{counted}, which chance alone can explain{tested} ({interval})"
    verb = "rose" if trend.ratio > 1 else "fell"
    return f"{verb} {said}{counted} (ratio {figures(trend.ratio)}, {interval})"
