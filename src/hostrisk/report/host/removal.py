"""What became of posts, in words and tables: removals, reports, backlog, effect of a notice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostrisk.report.host import words
from hostrisk.report.host.tables import row, share_cell, table
from hostrisk.report.host.words import UNKNOWN, count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["NO_TIMES", "removal_of"]

NO_TIMES = f"{UNKNOWN}: no removal times were given"
_MOST_STEPS = 30
# Where in the record each share stands, what it is called, and what it counts.
_SHARES = (
    ("flagged", "Flagged posts removed", "removed"),
    ("reported", "Reported posts removed", "removed"),
    ("reported handled_24h", "Reported posts removed within 24 hours", "handled"),
    ("reported_flagged", "Reported and flagged posts removed", "removed"),
    ("reported_flagged handled_24h", "The same within 24 hours", "handled"),
    ("violent", "Posts that people found violent, removed", "removed"),
    ("violent reported handled_24h", "Reported ones of these, within 24 hours", "handled"),
)
_ALWAYS = 3  # of these are shown even where nothing is known
_COMPARED = (
    ("flagged_share", "Posts flagged"),
    ("handled_24h", "Posts removed within 24 hours"),
    ("removed_7d", "Posts removed within 7 days"),
)


def removal_of(response: Mapping[str, Any] | None, level: str, name: str) -> dict[str, Any] | None:
    """Put the record ``responsiveness`` of a host into words; None where nothing is known.

    :param level: of intervals, in words.
    :param name: of the host, for the labels of the tables.
    """
    if not response:
        return None
    columns = ("Posts", "All", "Of these", "Share", f"{level} interval")
    rows = list(_share_rows(response))
    return {
        "table": table(f"Removal of posts, {name}", columns, rows, scale="0 to 100%"),
        "facts": list(_facts(response, level)),
        "curve": _curve(response.get("time_to_removal") or {}, level, name),
        "backlog": _backlog(response.get("backlog") or [], name),
        **_notice(response.get("notice"), level, name),
    }


def _share_rows(response: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for place, (way, title, key) in enumerate(_SHARES):
        found: Any = response
        for step in way.split():
            found = (found or {}).get(step)
        if found is not None or place < _ALWAYS:
            yield _share_row(title, found, key)


def _share_row(title: str, found: Mapping[str, Any] | None, key: str) -> dict[str, Any]:
    if found is None or found[key] is None:
        posts = "" if found is None else f"{found['posts']:,}"
        return row(title, (posts, "", UNKNOWN, ""), below="no times were given")
    counts = (f"{found['posts']:,}", f"{found[key]:,}")
    if found["share"] is None:
        return row(title, (*counts, UNKNOWN, ""), below="" if found["posts"] else "no such posts")
    between = words.PERCENT.between(found["low"], found["high"])
    return row(title, (*counts, words.share(found["share"]), between), found=found, key="share")


def _facts(response: Mapping[str, Any], level: str) -> Iterator[tuple[str, str]]:
    yield "Time to removal", _time_to_removal(response.get("time_to_removal"), level)
    yield "Backlog", _open_posts(response.get("backlog") or [])
    yield "Reports", _reports(response.get("reported"))
    notice = response.get("notice")
    if not notice:
        yield "Notice", "no date of a notice was given, so before and after are not compared"
    elif not (notice.get("before") or notice.get("after")):
        yield "Notice", f"{words.day(notice['date'][:10])}; what it changed is {UNKNOWN}"
    elif notice.get("p_value") is not None:
        tested = words.p_value(notice["p_value"])
        yield "Notice", f"times to removal before and after it compared (log-rank test): {tested}"


def _reports(reported: Mapping[str, Any] | None) -> str:
    if reported is None:
        return f"{UNKNOWN}: no report times were given"
    counted = f"{count(reported['posts'], 'post')} reported"
    if reported.get("flagged") is None:
        return counted
    return f"{counted}, {reported['flagged']:,} of them flagged"


def _open_posts(backlog: Sequence[Mapping[str, Any]]) -> str:
    if not backlog:
        return f"{UNKNOWN}: no report or removal times were given"
    last, highest = backlog[-1], max(backlog, key=lambda entry: int(entry["open"]))
    flagged = f", {last['flagged']:,} of them flagged" if last.get("flagged") is not None else ""
    return (
        f"{count(last['open'], 'post')} open on {words.day(last['date'][:10])}{flagged}; "
        f"most, {highest['open']:,}, on {words.day(highest['date'][:10])}"
    )


def _time_to_removal(times: Mapping[str, Any] | None, level: str) -> str:
    if not times:
        return NO_TIMES
    if not times["posts"]:
        return f"{UNKNOWN}: no post to follow"
    rest = f"{times['removed']:,} of {count(times['posts'], 'post')} removed"
    if times["median_hours"] is None:
        return f"median not reached: more than half were still open when last seen; {rest}"
    low, high = times["low_hours"], times["high_hours"]
    between = ""
    if low is not None or high is not None:
        ends = [words.hours(end) if end is not None else "not bounded" for end in (low, high)]
        between = f" ({level} interval {ends[0]} to {ends[1]})"
    after = words.since(times["from"])
    return f"median {words.hours(times['median_hours'])} after {after}{between}; {rest}"


def _curve(times: Mapping[str, Any], level: str, name: str) -> dict[str, Any] | None:
    rows = [
        row(
            words.hours(step["hours"]),
            (words.share(step["open"]), words.PERCENT.between(step["low"], step["high"])),
        )
        for step in _thinned(times.get("curve") or [])
    ]
    columns = (f"Time since {words.since(times.get('from'))}", "Still open", f"{level} interval")
    return table(f"How long posts stay, {name}", columns, rows) if rows else None


def _thinned(steps: Sequence[Any]) -> list[Any]:
    """Keep at most about thirty of many steps, the last among them."""
    every = -(-len(steps) // _MOST_STEPS) or 1
    return list(steps[::-1][::every][::-1])


def _backlog(backlog: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any] | None:
    rows = [
        row(words.day(entry["date"][:10]), (f"{entry['open']:,}",)) for entry in _thinned(backlog)
    ]
    return table(f"Backlog, {name}", ("Date", "Posts open"), rows) if rows else None


def _notice(notice: Mapping[str, Any] | None, level: str, name: str) -> dict[str, Any]:
    if not notice:
        return {"notice": None, "notice_title": ""}
    title = f"Before and after the notice of {words.day(notice['date'][:10])}"
    sides = [notice.get(side) or {} for side in ("before", "after")]
    rows = [
        row(
            called,
            [
                *(share_cell(side.get(key), level) for side in sides),
                _difference((notice.get("difference") or {}).get(key)),
            ],
        )
        for key, called in _COMPARED
        if any(key in side for side in sides)
    ]
    columns = ("Share", "Before", "After", "Difference")
    known = table(f"{title}, {name}", columns, rows) if rows else None
    return {"notice": known, "notice_title": title}


def _difference(found: Mapping[str, Any] | None) -> str:
    """Write a difference of shares in points of a hundred, with its interval."""
    if found is None or found.get("difference") is None:
        return UNKNOWN
    value, low, high = (_points(found[key]) for key in ("difference", "low", "high"))
    return f"{value} points ({low} to {high})"


def _points(value: float) -> str:
    return f"{value * 100 + 0.0:+.0f}"
