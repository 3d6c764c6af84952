"""Whether violent posts became more or fewer over weeks: ratio, interval, p-value, change point.

The weekly counts of violent posts, estimated as the week's prevalence times its posts, follow a
log-linear trend; their variance is a multiple of their mean that the weeks themselves tell
(quasi-Poisson: Wedderburn 1974, Biometrika 61; McCullagh & Nelder 1989, chapter 9). Few weeks tell
it badly, so it is moderated (after Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3): at least one, and
held near that by two degrees of freedom. Where scores told the counts and their noise is known, the
same line is fitted by weighted least squares. P-value and interval use Student's t with as many
degrees of freedom as there are weeks. A change point is the week at which two levels fit best; its
p-value comes from the largest such gain in counts that were shared out anew without a change
(Worsley 1983, Biometrika 70). Several trends tested together are corrected by Benjamini & Hochberg
1995 (JRSS B 57).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hostrisk.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["ChangePoint", "Trend", "adjust_p_values", "fit_trend", "statsmodels_api"]

LEAST_WEEKS = 4
_LEAST_EACH_SIDE = 2
_PRIOR_FREEDOM = 2
_HALF_A_POST = 0.5
# A change by this factor, up or down, is one standard deviation before any week is known.
_PRIOR_LOG_RATIO = float(np.log(100))
_REDRAWN = 2_000


class ChangePoint(NamedTuple):
    """The first week of a new level, its number from 0, and the shares before and from then on."""

    week: int
    before: float
    after: float
    p_value: float


class Trend(NamedTuple):
    """How the share of violent posts changed from the first week to the last.

    ``start`` and ``end`` are the shares that the fitted line has in the first and the last week;
    ``ratio`` is end / start.
    """

    ratio: float
    low: float
    high: float
    p_value: float
    weeks: int
    start: float
    end: float
    change_point: ChangePoint | None


def fit_trend(
    violent: Sequence[float] | Floats,
    posts: Sequence[float] | Floats,
    *,
    level: float = 0.95,
    noise: Sequence[float] | Floats | None = None,
    when: Sequence[float] | Floats | None = None,
    other: Sequence[Floats] = (),
    seed: int = 0,
) -> Trend | None:
    """Fit a log-linear trend to weekly counts; None for fewer than four weeks or no violent post.

    :param violent: estimated violent posts by week, shape (weeks,), not whole; below 0 too, where
        scores tell them.
    :param posts: posts by week.
    :param noise: standard error of each count, where it is known and more than a count's own.
    :param when: number of each week, where weeks without posts are left out.
    :param other: the counts if the prevalence of all weeks together were at the ends of its
        interval; the ratio's interval then holds for these too. The p-value does not need them, as
        no level makes a change out of none.
    :raises MissingExtraError: statsmodels is not installed.
    """
    counts, total = np.asarray(violent, dtype=np.float64), np.asarray(posts, dtype=np.float64)
    if len(counts) < LEAST_WEEKS or counts.sum() <= 0:
        return None
    week = np.arange(len(counts), dtype=np.float64) if when is None else np.asarray(when, float)
    errors = None if noise is None else np.asarray(noise, dtype=np.float64)
    slope, error, first = _fit(counts, total, week - week[0], errors)
    span = float(week[-1] - week[0])
    t = _student(len(counts) - 2 + _PRIOR_FREEDOM)
    reach = t.ppf((1 + level) / 2) * error
    slopes = [_fit(each, total, week - week[0], errors)[0] for each in other]
    down, up = (
        (reach**2 + max([0.0, *(sign * (value - slope) for value in slopes)]) ** 2) ** 0.5
        for sign in (-1, 1)
    )
    low, ratio, high = (_exp(span * value) for value in (slope - down, slope, slope + up))
    p_value = float(2 * t.sf(abs(slope) / error)) if error > 0 else 1.0
    known = np.maximum(counts, 0.0)
    change = _change_point(known, total, _least_dispersion(known, errors), seed)
    start, end = _exp(first), _exp(first + span * slope)
    return Trend(ratio, low, high, p_value, len(counts), start, end, change)


def _exp(value: float) -> float:
    return float(np.exp(min(max(value, -50.0), 50.0)))


def _least_dispersion(counts: Floats, noise: Sequence[float] | Floats | None) -> float:
    """Return how many times their mean the counts vary at least, by what is known of them."""
    if noise is None:
        return 1.0
    known = float(np.mean(np.square(noise)) / counts.mean())
    return max(known, 1.0)


def _fit(
    counts: Floats, posts: Floats, week: Floats, noise: Floats | None
) -> tuple[float, float, float]:
    """Return slope a week, its standard error, and the log of the share in the first week."""
    if noise is not None:
        return _fit_noisy(counts / posts, week, np.maximum(noise, 1e-9) / posts)
    counts = np.maximum(counts, 0.0)
    if min(float(counts[1:].sum()), float(counts[:-1].sum())) < _HALF_A_POST:
        return _fit_held(counts, posts, week)
    api = statsmodels_api()
    design = api.add_constant(week, has_constant="add")
    model = api.GLM(counts, design, family=api.families.Poisson(), offset=np.log(posts))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a perfect fit, which equal weeks have
        try:
            fit = model.fit(maxiter=200)
        except ValueError:  # it loses its way where the weeks' numbers of posts are most uneven
            return _fit_held(counts, posts, week)
    freedom = len(counts) - 2
    dispersion = _moderated(float(fit.pearson_chi2) / freedom, freedom)
    error = float(fit.bse[1]) * float(dispersion / fit.scale) ** 0.5
    return float(fit.params[1]), error, float(fit.params[0])


def _fit_held(counts: Floats, posts: Floats, week: Floats) -> tuple[float, float, float]:
    """Fit the same line with its slope held near none, but loosely, by Fisher scoring.

    Where only the first or the last week has violent posts, a steeper line fits better, without
    end, and its error means nothing.
    """
    span = week[-1] - week[0]
    design = np.stack([np.ones(len(week)), week / span], axis=1)
    held = np.diag([0.0, _PRIOR_LOG_RATIO**-2])
    known = np.array([np.log(max(float(counts.sum()), _HALF_A_POST) / posts.sum()), 0.0])
    for _ in range(500):
        expected = posts * np.exp(design @ known)
        information = (design.T * expected) @ design + held
        step = np.linalg.solve(information, design.T @ (counts - expected) - held @ known)
        known += np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-9:
            break
    freedom = len(counts) - 2
    chi_square = float(np.sum((counts - expected) ** 2 / expected))
    variance = _moderated(chi_square / freedom, freedom) * np.linalg.inv(information)[1, 1]
    return float(known[1] / span), float(variance) ** 0.5 / float(span), float(known[0])


def _fit_noisy(shares: Floats, week: Floats, error: Floats) -> tuple[float, float, float]:
    """Fit the same line by weighted least squares: what the scores tell may lie below nothing.

    The slope is held near none, but loosely: else noise about no violent post at all is fitted best
    by a line that is endlessly steep, with an error that means nothing.
    """
    optimize = _optimize()
    held = (week[-1] - week[0]) / _PRIOR_LOG_RATIO

    def line(known: Floats) -> Floats:
        line: Floats = np.exp(np.clip(known[0] + known[1] * week, -50, 50))
        return line

    def residuals(known: Floats) -> Floats:
        return np.append((line(known) - shares) / error, known[1] * held)

    begin = [float(np.log(max(np.average(shares, weights=error**-2), 1e-9))), 0.0]
    fit = optimize.least_squares(residuals, begin)
    freedom = len(shares) - 2
    dispersion = _moderated(2 * float(fit.cost) / freedom, freedom)
    spread = np.linalg.pinv(fit.jac.T @ fit.jac)[1, 1]
    return float(fit.x[1]), float(dispersion * spread) ** 0.5, float(fit.x[0])


def _optimize() -> Any:
    try:
        from scipy import optimize
    except ImportError as error:
        raise MissingExtraError("Fitting a trend", package="scipy", extra="host") from error
    return optimize


def _moderated(dispersion: float, freedom: int) -> float:
    """Hold a dispersion that few weeks tell near 1, which is also the least."""
    known = freedom + _PRIOR_FREEDOM
    return max((freedom * dispersion + _PRIOR_FREEDOM) / known, 1.0)


def statsmodels_api() -> Any:
    """Return ``statsmodels.api``.

    :raises MissingExtraError: statsmodels is not installed.
    """
    try:
        from statsmodels import api
    except ImportError as error:
        raise MissingExtraError("Fitting a trend", package="statsmodels", extra="host") from error
    return api


def _student(freedom: int) -> Any:
    from hostrisk.host.prevalence import special

    return special()[1].t(freedom)


def _change_point(counts: Floats, posts: Floats, least: float, seed: int) -> ChangePoint | None:
    """Find the week at which two levels fit best, if there are weeks enough for two."""
    splits = np.arange(_LEAST_EACH_SIDE, len(counts) - _LEAST_EACH_SIDE + 1)
    if not len(splits):
        return None
    gains = _gains(counts[None, :], posts, splits)
    split = int(splits[int(np.argmax(gains[0]))])
    sides = [
        (float(counts[part].sum()), float(posts[part].sum()))
        for part in (slice(split), slice(split, None))
    ]
    before, after = (found / of for found, of in sides)
    measured = float(_spread(counts[None, :], posts, gains)[0])
    spread = max(measured, least)
    # As many independent events as would vary as these counts do.
    events = max(round(float(counts.sum()) / spread), 1)
    rng = np.random.default_rng(seed)
    redrawn = rng.multinomial(events, posts / posts.sum(), size=_REDRAWN).astype(np.float64)
    other = _gains(redrawn, posts, splits)
    largest = other.max(axis=1)
    if measured > least:  # told by the weeks themselves, so the redrawn weeks tell theirs too
        largest = largest / np.maximum(_spread(redrawn, posts, other), 1e-9)
    p_value = (1 + int((largest >= float(gains.max()) / spread).sum())) / (_REDRAWN + 1)
    return ChangePoint(split, before, after, p_value)


def _gains(counts: Floats, posts: Floats, splits: NDArray[np.int64]) -> Floats:
    """Return the log likelihood ratio of two levels over one, shape (draws, splits)."""
    found, of = np.cumsum(counts, axis=1), np.cumsum(posts)
    left, right = found[:, splits - 1], found[:, -1:] - found[:, splits - 1]
    share = of[splits - 1] / of[-1]
    gains: Floats = _log_term(left, found[:, -1:] * share) + _log_term(
        right, found[:, -1:] * (1 - share)
    )
    return gains


def _log_term(found: Floats, expected: Floats) -> Floats:
    ratio = np.divide(found, expected, out=np.ones_like(found), where=(found > 0) & (expected > 0))
    term: Floats = found * np.log(ratio)
    return term


def _spread(counts: Floats, posts: Floats, gains: Floats) -> Floats:
    """Return the dispersion around the two levels that fit best, by deviance, shape (draws,)."""
    expected = counts.sum(axis=1, keepdims=True) * posts / posts.sum()
    deviance = 2 * _log_term(counts, expected).sum(axis=1)
    left: Floats = (deviance - 2 * gains.max(axis=1)) / max(counts.shape[1] - 2, 1)
    return left


def adjust_p_values(p_values: Sequence[float]) -> list[float]:
    """Correct p-values of tests made together, so that few of the findings are false."""
    if not p_values:
        return []
    statsmodels_api()
    from statsmodels.stats.multitest import multipletests

    adjusted: list[float] = multipletests(p_values, method="fdr_bh")[1].tolist()
    return adjusted
