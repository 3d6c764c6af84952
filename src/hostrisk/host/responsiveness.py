"""What becomes of flagged and reported posts: how many are removed, how fast, how many wait.

Sources of the methods:

* interval of a share: Wilson 1927, JASA 22;
* time to removal, with posts still up at the end counted for as long as they were seen: Kaplan &
  Meier 1958, JASA 53; variance by Greenwood 1926; pointwise intervals on the log-log scale:
  Kalbfleisch & Prentice 1980, The Statistical Analysis of Failure Time Data, section 1.3;
* interval of the median, by inverting those: Brookmeyer & Crowley 1982, Biometrics 38;
* difference of two shares: Newcombe 1998, Statistics in Medicine 17, method 10;
* before and after a notice: log-rank test, Mantel 1966, Cancer Chemotherapy Reports 50.

Where nothing or everything is removed, the log-log interval has no width. There the interval is
Wilson's, over the posts that were observed for as long as the point of the curve says: of these it
is known without any model whether they were still up.

What the figures can and cannot say: ``removed`` is what the host says, or what the posts show of
it; nobody has checked. A flagged post that stays up proves nothing by itself, because a classifier
errs, and so do people who report. Judge a host by posts that reviewers found violent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hostrisk.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import ArrayLike, NDArray

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Times = NDArray[np.datetime64]

__all__ = ["measure_responsiveness"]

_MOMENT = np.dtype("datetime64[us]")
_DAY = np.timedelta64(1, "D")
_WEEK = np.timedelta64(7, "D")
_LEAST_WEEKS = 3  # below, the backlog is given by day
_MONDAY = np.datetime64("1970-01-05", "us")
_NEVER = np.datetime64("NaT", "us")
_HOURS = (1, 6, 12, 24, 48, 72, 168, 336, 720, 1440, 2160, 4320, *range(8760, 262_800, 8760))
# By what time after the start a post counts as handled, and as removed.
_LIMITS = {"removed_7d": (_WEEK, "removed"), "handled_24h": (_DAY, "handled")}
# Products of many factors miss a half by some units in the last place.
_HALF = 0.5 + 1e-9


class _Posts(NamedTuple):
    """What is known of each post at ``as_of``; None for a kind of time that nobody recorded."""

    created: Times
    reported: Times | None
    removed: Times | None
    flagged: Bools
    as_of: np.datetime64


class _Span(NamedTuple):
    """From when on posts could have been removed, NaT where they are not meant, and when."""

    start: Times
    removed: Times
    since: str


class _Followed(NamedTuple):
    """Posts in a curve: hours until removal or the end, whether removed, hours until the end."""

    hours: Floats
    removed: Bools
    observed: Floats


class _Curve(NamedTuple):
    """The share of posts still open, and its interval, from each time of removal on."""

    times: Floats
    open: Floats
    low: Floats
    high: Floats


def measure_responsiveness(
    created: ArrayLike,
    reported: ArrayLike | None,
    removed: ArrayLike | None,
    flagged: ArrayLike,
    *,
    as_of: np.datetime64,
    notice: np.datetime64 | None = None,
    level: float = 0.95,
    violent: ArrayLike | None = None,
) -> dict[str, Any] | None:
    """Measure what became of posts that are flagged, reported, removed or found violent.

    Only such posts need to be given; others carry nothing. What happened after ``as_of`` counts as
    not yet happened, and posts of later are left out. All times are of one clock (UTC).

    The result holds ``flagged``, ``reported``, ``reported_flagged`` and ``violent`` (shares
    removed), ``time_to_removal``, ``backlog`` and ``notice``, as values that JSON can hold; shares
    are from 0 to 1, times in hours. What cannot be said is None; of a group without posts, its
    share and interval are. ``time_to_removal`` counts from the report where there are reports,
    else from the posting of flagged posts. Each entry of ``backlog`` counts posts reported and not
    removed when its day begins, the last one at ``as_of``. ``notice`` compares posts whose time to
    be removed had run out before the notice with posts reported (or made) after it.

    :param created: when each post was made, ``datetime64``, shape (posts,), NaT where not known.
    :param reported: when it was reported, NaT where it was not; None if reports are not recorded.
    :param removed: when it was removed, NaT where it is up; None if removals are not recorded.
        Do not give NaT for "not recorded": it would say that nothing was removed.
    :param flagged: whether the classifier flags it, bool, shape (posts,).
    :param as_of: the end of observation.
    :param notice: when the host was given notice.
    :param level: of intervals, between 0 and 1.
    :param violent: whether reviewers found it violent, bool, shape (posts,); a masked array where
        posts were not reviewed. Posts found violent must all be given, flagged or not.
    :returns: None where no post has a report or a removal at all.
    :raises InputError: arrays that do not fit each other, or hold something else.
    :raises MissingExtraError: statsmodels is not installed.
    """
    _check_level(level)
    _need_statsmodels()
    posts, found_violent = _take(created, reported, removed, flagged, as_of, violent)
    if not any(times is not None and _known(times).any() for times in posts[1:3]):
        return None
    posts, found_violent = _at(posts, found_violent)
    every = np.ones(len(posts.created), dtype=np.bool_)
    span = _span(posts)
    return {
        "flagged": _removed_share(posts, posts.flagged, level),
        "reported": _reports(posts, every, level),
        "reported_flagged": _reports(posts, posts.flagged, level),
        "violent": _violent(posts, found_violent, level),
        "time_to_removal": None if span is None else _time_to_removal(span, posts.as_of, level),
        "backlog": list(_backlog(posts)),
        "notice": None if notice is None else _notice(span, posts.as_of, _moment(notice), level),
    }


# --- input ---------------------------------------------------------------------------------------


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InputError(f"the level of intervals must be between 0 and 1, not {level!r:.60}")


def _need_statsmodels() -> None:
    try:
        import statsmodels.duration.survfunc
        import statsmodels.stats.proportion  # noqa: F401
    except ImportError as error:
        what = "Measuring how fast posts are removed"
        raise MissingExtraError(what, package="statsmodels", extra="host") from error


def _moment(value: Any) -> np.datetime64:
    try:
        moment = np.datetime64(value).astype(_MOMENT)
    except (TypeError, ValueError) as error:
        raise InputError(f"{value!r:.60} is no moment; give a numpy.datetime64") from error
    if np.isnat(moment):
        raise InputError("a moment that is needed is NaT; give a numpy.datetime64")
    return moment


def _take(
    created: ArrayLike,
    reported: ArrayLike | None,
    removed: ArrayLike | None,
    flagged: ArrayLike,
    as_of: np.datetime64,
    violent: ArrayLike | None,
) -> tuple[_Posts, Bools | None]:
    made = _times(created, "created", None)
    size = len(made)
    posts = _Posts(
        made,
        None if reported is None else _times(reported, "reported", size),
        None if removed is None else _times(removed, "removed", size),
        _bools(flagged, "flagged", size),
        _moment(as_of),
    )
    return posts, None if violent is None else _bools(violent, "violent", size)


def _times(values: ArrayLike, name: str, size: int | None) -> Times:
    times = np.asarray(values)
    if times.dtype.kind != "M":
        raise InputError(f"{name} must hold datetime64, not {times.dtype}")
    _check_shape(times, name, size)
    return times.astype(_MOMENT)


def _bools(values: ArrayLike, name: str, size: int) -> Bools:
    # A masked value is of a post that nobody reviewed, which is not found violent.
    array = np.ma.filled(values, fill_value=False) if np.ma.isMaskedArray(values) else values
    bools = np.asarray(array)
    if bools.dtype != np.bool_:
        raise InputError(f"{name} must hold truth values, not {bools.dtype}")
    _check_shape(bools, name, size)
    return bools


def _check_shape(values: NDArray[Any], name: str, size: int | None) -> None:
    if values.ndim != 1 or size not in {None, len(values)}:
        wanted = "(posts,)" if size is None else f"({size},), as created has"
        raise InputError(f"{name} has the shape {values.shape}; it must be {wanted}")


def _known(times: Times) -> Bools:
    return ~np.isnat(times)


def _at(posts: _Posts, violent: Bools | None) -> tuple[_Posts, Bools | None]:
    """Go back to what was known at ``as_of``; NaT compares as False, and so stays."""
    there = ~(posts.created > posts.as_of)

    def known(times: Times | None) -> Times | None:
        return None if times is None else _until(times[there], posts.as_of)

    seen = posts._replace(
        created=posts.created[there],
        reported=known(posts.reported),
        removed=known(posts.removed),
        flagged=posts.flagged[there],
    )
    return seen, None if violent is None else violent[there]


def _until(times: Times, end: np.datetime64) -> Times:
    return np.where(times > end, _NEVER, times)


# --- shares --------------------------------------------------------------------------------------


def _share(found: int, posts: int, level: float, name: str) -> dict[str, Any]:
    """Give a share with its Wilson interval, None where there are no posts."""
    counts: dict[str, Any] = {"posts": posts, name: found}
    if not posts:
        return counts | {"share": None, "low": None, "high": None}
    low, high = _wilson(found, posts, level)
    return counts | {"share": found / posts, "low": low, "high": high}


def _wilson(found: int, posts: int, level: float) -> tuple[float, float]:
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(found, posts, alpha=1 - level, method="wilson")
    share = found / posts
    return max(0.0, min(float(low), share)), min(1.0, max(float(high), share))


def _removed_share(posts: _Posts, chosen: Bools, level: float) -> dict[str, Any]:
    if posts.removed is None:
        unknown = dict.fromkeys(("removed", "share", "low", "high"))
        return {"posts": int(chosen.sum()), **unknown}
    removed = int((_known(posts.removed) & chosen).sum())
    return _share(removed, int(chosen.sum()), level, "removed")


def _reports(posts: _Posts, chosen: Bools, level: float) -> dict[str, Any] | None:
    """Give of reported posts how many are removed, and how many within 24 hours."""
    if posts.reported is None:
        return None
    reported = _known(posts.reported) & chosen
    counts = {"posts": int(reported.sum()), "flagged": int((reported & posts.flagged).sum())}
    handled = None
    if posts.removed is not None:
        start = np.where(reported, posts.reported, _NEVER)
        handled = _within("handled_24h", start, posts.removed, posts.as_of, level)
    return {**counts, **_removed_share(posts, reported, level), "handled_24h": handled}


def _within(
    key: str, start: Times, removed: Times, end: np.datetime64, level: float
) -> dict[str, Any]:
    """Give the share removed within a limit, of posts whose limit had run out by ``end``.

    A removal before the report is within it: the report came to a post already gone.
    """
    limit, name = _LIMITS[key]
    due = start <= end - limit
    return _share(int((due & (removed - start <= limit)).sum()), int(due.sum()), level, name)


def _violent(posts: _Posts, violent: Bools | None, level: float) -> dict[str, Any] | None:
    if violent is None:
        return None
    shares = _removed_share(posts, violent, level)
    return {**shares, "reported": _reports(posts, violent, level)}


# --- time to removal -----------------------------------------------------------------------------


def _span(posts: _Posts) -> _Span | None:
    """Choose from when to count: from reports where there are any, else from flagged posts."""
    if posts.removed is None:
        return None
    if posts.reported is not None and _known(posts.reported).any():
        return _Span(posts.reported, posts.removed, "report")
    start = np.where(posts.flagged, posts.created, _NEVER)
    return _Span(start, posts.removed, "post")


def _follow(span: _Span, chosen: Bools, end: np.datetime64) -> _Followed:
    """Count hours from ``start`` to removal or to ``end``, of posts with a start until then.

    A removal before the start counts as at 0 hours: the report came to a post already gone.
    """
    chosen = chosen & (span.start <= end)
    start, removed = span.start[chosen], _until(span.removed[chosen], end)
    gone = _known(removed)
    observed = _hours(end - start)
    hours = np.maximum(np.where(gone, _hours(removed - start), observed), 0.0)
    return _Followed(hours, gone, observed)


def _hours(spans: NDArray[Any]) -> Floats:
    hours: Floats = spans / np.timedelta64(1, "h")
    return hours


def _time_to_removal(span: _Span, as_of: np.datetime64, level: float) -> dict[str, Any]:
    followed = _follow(span, _known(span.start), as_of)
    counts = {"posts": len(followed.hours), "removed": int(followed.removed.sum())}
    if not counts["posts"]:
        unknown = dict.fromkeys(("median_hours", "low_hours", "high_hours"))
        return {"from": span.since, **counts, **unknown, "curve": []}
    curve = _kaplan_meier(followed, level)
    return {
        "from": span.since,
        **counts,
        "median_hours": _first(curve.times, curve.open),
        "low_hours": _first(curve.times, curve.low),
        "high_hours": _first(curve.times, curve.high),
        "curve": list(_points(curve, followed, level)),
    }


def _first(times: Floats, open_share: Floats) -> float | None:
    """Give the first time at which at most half are open, None where that is not reached."""
    reached = np.flatnonzero(open_share <= _HALF)
    return float(times[reached[0]]) if len(reached) else None


def _kaplan_meier(followed: _Followed, level: float) -> _Curve:
    from statsmodels.duration.survfunc import SurvfuncRight

    found = SurvfuncRight(followed.hours, followed.removed.astype(np.float64))
    times, share = found.surv_times, np.minimum(found.surv_prob, 1.0)
    low, high = _log_log(share, found.surv_prob_se, level)
    if len(share) and share[-1] == 0:
        low[-1], high[-1] = _without_model(0.0, followed, float(times[-1]), level)
    return _Curve(times, share, low, high)


def _log_log(share: Floats, error: Floats, level: float) -> tuple[Floats, Floats]:
    """Give intervals that cannot leave 0 to 1; without width where the share is 0 or 1."""
    from statistics import NormalDist

    low, high = share.copy(), share.copy()
    inner = (share > 0) & (share < 1)
    inside, logs = share[inner], np.log(share[inner])
    factor = np.exp(NormalDist().inv_cdf((1 + level) / 2) * error[inner] / -(inside * logs))
    low[inner] = np.minimum(np.exp(logs * factor), inside)
    high[inner] = np.maximum(np.exp(logs / factor), inside)
    return low, high


def _without_model(
    share: float, followed: _Followed, hours: float, level: float
) -> tuple[float, float]:
    """Give the interval where all or none are open, from posts observed for so long."""
    observed = int((followed.observed >= hours).sum())
    low, high = _wilson(round(share * observed), observed, level)
    return (low, 1.0) if share else (0.0, high)


def _points(curve: _Curve, followed: _Followed, level: float) -> Iterator[dict[str, float]]:
    """Yield the curve at round hours, for as long as it is known."""
    ended = len(curve.open) > 0 and curve.open[-1] == 0
    longest = float((followed.observed if ended else followed.hours).max())
    for hours in _HOURS:
        if hours > longest:
            break
        at = int(np.searchsorted(curve.times, hours, "right")) - 1
        share = 1.0 if at < 0 else float(curve.open[at])
        if share in {0.0, 1.0}:
            low, high = _without_model(share, followed, hours, level)
        else:
            low, high = float(curve.low[at]), float(curve.high[at])
        yield {"hours": hours, "open": share, "low": low, "high": high}


# --- backlog -------------------------------------------------------------------------------------


def _backlog(posts: _Posts) -> Iterator[dict[str, Any]]:
    """Yield how many posts were reported and not removed, all and flagged, as time went by."""
    if posts.reported is None or posts.removed is None:
        return
    reported = _known(posts.reported)
    if not reported.any():
        return
    moments = _moments(posts.reported[reported].min(), posts.as_of)
    every = _open(posts, reported, moments).tolist()
    flagged = _open(posts, reported & posts.flagged, moments).tolist()
    for day, count, of_them in zip(moments.astype("datetime64[D]"), every, flagged, strict=True):
        yield {"date": str(day), "open": count, "flagged": of_them}


def _open(posts: _Posts, chosen: Bools, moments: Times) -> NDArray[np.int64]:
    assert posts.reported is not None
    assert posts.removed is not None
    opened, closed = posts.reported[chosen], posts.removed[chosen]
    # Removed before it was reported, a post opens and closes at the same moment.
    closed = np.maximum(opened, closed)[_known(closed)]
    counts = [np.searchsorted(np.sort(times), moments, "right") for times in (opened, closed)]
    return counts[0] - counts[1]


def _moments(first: np.datetime64, as_of: np.datetime64) -> Times:
    """Give the ends of weeks from Monday to Monday, or of days, after the first report."""
    step = _WEEK if as_of - first >= _LEAST_WEEKS * _WEEK else _DAY
    start = _MONDAY + ((first - _MONDAY) // step + 1) * step
    ends = np.arange(start, as_of, step, dtype=_MOMENT)
    # One entry a day: the end of observation stands for the day it is on.
    ends = ends[ends.astype("datetime64[D]") < as_of.astype("datetime64[D]")]
    return np.append(ends, as_of)


# --- before and after a notice -------------------------------------------------------------------


def _notice(
    span: _Span | None, as_of: np.datetime64, notice: np.datetime64, level: float
) -> dict[str, Any]:
    """Compare what the host did of itself before the notice with what it did after it."""
    found = {"date": str(notice.astype("datetime64[D]"))}
    if span is None:
        return found | dict.fromkeys(("from", "before", "after", "difference", "p_value"))
    # A removal after the notice is no doing of before, so that posts of before end at the notice.
    groups = {
        "before": (span.start < notice, min(notice, as_of)),
        "after": (span.start >= notice, as_of),
    }
    sides = {side: _side(span, *group, level) for side, group in groups.items()}
    return {
        **found,
        "from": span.since,
        **sides,
        "difference": {key: _difference(sides, key, level) for key in _LIMITS},
        "p_value": _log_rank(*(_follow(span, *group) for group in groups.values())),
    }


def _side(span: _Span, chosen: Bools, end: np.datetime64, level: float) -> dict[str, Any]:
    start = np.where(chosen, span.start, _NEVER)
    return {key: _within(key, start, span.removed, end, level) for key in _LIMITS}


def _difference(sides: dict[str, Any], key: str, level: float) -> dict[str, float] | None:
    """Give the share after less the share before, with Newcombe's interval."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    after, before = sides["after"][key], sides["before"][key]
    if not (after["posts"] and before["posts"]):
        return None
    name = _LIMITS[key][1]
    counts = (after[name], after["posts"], before[name], before["posts"])
    low, high = confint_proportions_2indep(*counts, method="newcomb", alpha=1 - level)
    found = after["share"] - before["share"]
    return {
        "difference": found,
        "low": max(-1.0, min(float(low), found)),
        "high": min(1.0, max(float(high), found)),
    }


def _log_rank(before: _Followed, after: _Followed) -> float | None:
    """Give the p-value of the log-rank test, None where the two cannot be compared."""
    from statsmodels.duration.survfunc import survdiff

    removed = np.concatenate([before.removed, after.removed])
    if not (len(before.hours) and len(after.hours) and removed.any()):
        return None
    hours = np.concatenate([before.hours, after.hours])
    group = np.repeat([0, 1], [len(before.hours), len(after.hours)])
    try:
        return float(survdiff(hours, removed.astype(np.float64), group)[1])
    except np.linalg.LinAlgError:  # no removal while posts of both were at hand
        return None
