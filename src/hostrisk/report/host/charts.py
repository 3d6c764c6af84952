"""Charts of a host assessment: weeks, kinds and targets, time to removal, backlog.

Each is a function from figures to the drawings of a page, with a description in words.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from hostrisk.report.drawing import shorten
from hostrisk.report.host.svg import (
    ACCENT,
    INK,
    LINE,
    MARK,
    MUTED,
    SOFT,
    SURFACE,
    Chart,
    Sheet,
    Size,
    draw_twice,
)
from hostrisk.report.host.words import Unit, day, hours, short_day

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = [
    "MOST_BARS",
    "backlog_chart",
    "intervals_chart",
    "survival_chart",
    "weeks_chart",
    "weeks_top",
]

MOST_BARS = 12
_LONGEST_NAME = 15
_DASHES, _DOTS = (0, (3, 3)), (0, (1, 2))
_FULL = (Size("wide", 640, 350, 7), Size("narrow", 330, 240, 3))
_HALF = (Size("wide", 460, 230, 5), Size("narrow", 330, 230, 3))


def weeks_chart(
    weeks: Sequence[Mapping[str, Any]],
    *,
    name: str,
    unit: Unit,
    level: str,
    change: Mapping[str, Any] | None,
) -> str:
    """Draw prevalence by week with its band; a week with nothing known leaves a gap.

    Weeks that rest on the model alone have hollow dots. Intervals that reach far above every
    estimate are cut at the frame.

    :param weeks: dicts with ``start`` and the fields of a prevalence; at least one has a figure.
    :param name: prefix of the ids in the image; must be unique on a page.
    :param change: the change point of a trend, None for none.
    """
    chart = Chart(name, f"Prevalence by week, {unit.label}", _describe_weeks(weeks, unit, change))

    def draw(sheet: Sheet) -> None:
        points = [(date.fromisoformat(week["start"]).toordinal(), week) for week in weeks]
        days = [day for day, _ in points]
        sheet.axes.set_xlim(min(days) - 3, max(days) + 3)
        _scale_up(sheet, weeks_top(weeks), unit)
        _band(sheet, points)
        _line(sheet, points)
        _date_axis(sheet, days)
        if change:
            _change_mark(sheet, change)

    return draw_twice(chart, _FULL, draw, above=f"{unit.label}, band: {level} interval")


def weeks_top(weeks: Iterable[Mapping[str, Any]]) -> float:
    """Give the share at which the frame of the weeks ends."""
    known = [week for week in weeks if week["prevalence"] is not None]
    highest = max(week["prevalence"] for week in known)
    ends = [week["high"] for week in known if week["high"] is not None]
    return 1.08 * min(max([highest, *ends]), 3 * highest or 1.0) or 1.0


def _band(sheet: Sheet, points: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    for run in _runs(points, "high"):
        days = [day for day, _ in run]
        low, high = ([week[end] for _, week in run] for end in ("low", "high"))
        if len(run) == 1:
            sheet.axes.plot(days * 2, [*low, *high], color=SOFT, linewidth=9, zorder=2)
        else:
            sheet.axes.fill_between(days, low, high, color=SOFT, linewidth=0, zorder=2)


def _line(sheet: Sheet, points: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
    for run in _runs(points, "prevalence"):
        days, values = [day for day, _ in run], [week["prevalence"] for _, week in run]
        sheet.axes.plot(days, values, color=ACCENT, linewidth=2, zorder=3)
        for at, (_, week) in enumerate(run):
            face = SURFACE if week.get("method") == "model-based" else ACCENT
            sheet.axes.plot(
                days[at : at + 1], values[at : at + 1], "o", markersize=6, markeredgewidth=1.5,
                markerfacecolor=face, markeredgecolor=ACCENT, zorder=4,
            )  # fmt: skip


def _runs(
    points: Sequence[tuple[int, Mapping[str, Any]]], key: str
) -> Iterator[list[tuple[int, Mapping[str, Any]]]]:
    """Yield stretches of weeks on end for which something is known."""
    run: list[tuple[int, Mapping[str, Any]]] = []
    for point in points:
        if run and (point[1][key] is None or point[0] - run[-1][0] > 7):
            yield run
            run = []
        if point[1][key] is not None:
            run.append(point)
    if run:
        yield run


def _change_mark(sheet: Sheet, change: Mapping[str, Any]) -> None:
    at = date.fromisoformat(change["date"][:10]).toordinal()
    left, right = sheet.axes.get_xlim()
    sheet.axes.axvline(at, color=MARK, linewidth=1.25, linestyle=_DASHES, zorder=5)
    for ends, key in (((left, at), "before"), ((at, right), "after")):
        if change[key] is not None:
            level = [change[key]] * 2
            sheet.axes.plot(ends, level, color=MARK, linewidth=1.25, linestyle=_DOTS, zorder=5)
    _upright_label(sheet, at, f"change {short_day(change['date'])}")


def _upright_label(sheet: Sheet, at: float, words: str) -> None:
    """Write beside an upright line near the top, on the side that has more room."""
    left, right = sheet.axes.get_xlim()
    at_left = at > (left + right) / 2
    sheet.axes.annotate(
        sheet.stand_in(words), (at, 1), xycoords=("data", "axes fraction"),
        xytext=(-6 if at_left else 6, -4), textcoords="offset points", color=MARK, fontsize=12,
        ha="right" if at_left else "left", va="top", zorder=6,
    )  # fmt: skip


def intervals_chart(
    rows: Sequence[Mapping[str, Any]], *, name: str, title: str, unit: Unit, level: str
) -> str:
    """Draw the first rows' prevalences with their intervals, one below the other.

    :param rows: dicts with ``name`` and the fields of a prevalence, :data:`MOST_BARS` are drawn.
    :param name: prefix of the ids in the image; must be unique on a page.
    """
    shown = rows[:MOST_BARS]
    chart = Chart(name, f"{title}, {unit.label}", _describe_rows(shown, unit))
    height = 68 + 26 * len(shown)
    sizes = [Size(size.kind, size.width, height, size.dates) for size in _HALF]

    def draw(sheet: Sheet) -> None:
        ends = [row[key] for row in shown for key in ("prevalence", "high") if row[key] is not None]
        sheet.axes.set_xlim(0, 1.06 * (max(ends, default=0) or 1))
        sheet.axes.set_ylim(len(shown) - 0.5, -0.5)
        _value_axis(sheet.axes.xaxis, unit, 4 if sheet.size.kind == "wide" else 3)
        for place, row in enumerate(shown):
            _interval(sheet, place, row)
        names = [sheet.stand_in(shorten(row["name"], _LONGEST_NAME)) for row in shown]
        sheet.axes.set_yticks(range(len(shown)), names, fontsize=12, color=INK)

    return draw_twice(chart, sizes, draw, above=f"{unit.label}, line: {level} interval", left=118)


def _interval(sheet: Sheet, place: int, row: Mapping[str, Any]) -> None:
    if row["low"] is not None and row["high"] is not None:
        sheet.axes.plot(
            [row["low"], row["high"]], [place] * 2, color=SOFT, linewidth=8, zorder=2,
            solid_capstyle="round",
        )  # fmt: skip
    if row["prevalence"] is None:
        sheet.text(0, place, " not known", va="center")
    else:
        sheet.axes.plot([row["prevalence"]], [place], "o", color=ACCENT, markersize=7, zorder=3)


def survival_chart(curve: Sequence[Mapping[str, Any]], *, name: str, start: str, level: str) -> str:
    """Draw the share of posts still open over the time since ``start``.

    :param curve: dicts with ``hours``, ``open``, ``low`` and ``high``, by rising time.
    :param start: what the time counts from, such as report.
    :param name: prefix of the ids in the image; must be unique on a page.
    """
    steps = [{"hours": 0, "open": 1.0, "low": 1.0, "high": 1.0}, *curve]
    in_days = steps[-1]["hours"] > 96
    times = [step["hours"] / (24 if in_days else 1) for step in steps]
    unit = "days" if in_days else "hours"
    chart = Chart(name, f"Posts still open by {unit} since {start}", _describe_curve(curve, start))

    def draw(sheet: Sheet) -> None:
        sheet.axes.set_xlim(0, max(times) or 1)
        _scale_up(sheet, 1.0, _SHARE)
        known = [at for at, step in enumerate(steps) if step["low"] is not None]
        low, high = ([steps[at][end] for at in known] for end in ("low", "high"))
        sheet.axes.fill_between(
            [times[at] for at in known], low, high, color=SOFT, linewidth=0, zorder=2
        )
        open_shares = [step["open"] for step in steps]
        sheet.axes.plot(times, open_shares, color=ACCENT, linewidth=2, zorder=3)
        _value_axis(sheet.axes.xaxis, Unit(1, "", ""), 5)

    above = f"% still open, by {unit} since {start}, band: {level}"
    return draw_twice(chart, _HALF, draw, above=above)


def backlog_chart(backlog: Sequence[Mapping[str, Any]], *, name: str, notice: str | None) -> str:
    """Draw how many posts were open on each date, and when a notice was given.

    :param backlog: dicts with ``date`` and ``open``, by rising date, at least one.
    :param name: prefix of the ids in the image; must be unique on a page.
    """
    chart = Chart(name, "Open posts over time", _describe_backlog(backlog, notice))

    def draw(sheet: Sheet) -> None:
        days = [date.fromisoformat(entry["date"][:10]).toordinal() for entry in backlog]
        counts = [entry["open"] for entry in backlog]
        sheet.axes.set_xlim(min(days), max(*days, min(days) + 1))
        _scale_up(sheet, 1.08 * max(*counts, 1), Unit(1, "posts", ""))
        sheet.axes.fill_between(days, counts, color=SOFT, linewidth=0, zorder=2)
        sheet.axes.plot(days, counts, color=ACCENT, linewidth=2, zorder=3)
        _date_axis(sheet, days)
        if notice:
            at = date.fromisoformat(notice[:10]).toordinal()
            sheet.axes.axvline(at, color=MARK, linewidth=1.25, linestyle=_DASHES, zorder=5)
            _upright_label(sheet, at, "notice")

    return draw_twice(chart, _HALF, draw, above="posts reported and not removed")


_SHARE = Unit(100, "%", "%")


# --- axes ----------------------------------------------------------------------------------------


def _scale_up(sheet: Sheet, top: float, unit: Unit) -> None:
    sheet.axes.set_ylim(0, top)
    _value_axis(sheet.axes.yaxis, unit, 4)


def _value_axis(axis: Any, unit: Unit, most: int) -> None:
    """Put round values of the unit on an axis, with a faint line at each."""
    from matplotlib.ticker import MaxNLocator

    low, high = axis.get_view_interval()
    locator = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10])
    values = list(locator.tick_values(low * unit.factor, high * unit.factor))
    inside = [value for value in values if -1e-9 <= value <= high * unit.factor * (1 + 1e-9)]
    labels = [f"{value:,.10g}{unit.sign}" for value in inside]
    axis.set_ticks([value / unit.factor for value in inside], labels, fontsize=12, color=MUTED)
    axis.grid(visible=True, color=LINE, linewidth=1)


def _date_axis(sheet: Sheet, days: Sequence[int]) -> None:
    """Write some of the dates, the year below the first of each year."""
    step = -(-len(days) // sheet.size.dates)
    chosen, year = [date.fromordinal(at) for at in days][::step], 0
    labels = [short_day(at.isoformat()) for at in chosen]
    sheet.axes.set_xticks([at.toordinal() for at in chosen], labels, fontsize=12, color=MUTED)
    for at in chosen:
        if at.year != year:
            sheet.axes.annotate(
                str(at.year), (at.toordinal(), 0), xycoords=("data", "axes fraction"),
                xytext=(0, -21), textcoords="offset points", color=MUTED, fontsize=12,
                ha="center", va="top",
            )  # fmt: skip
        year = at.year


# --- descriptions --------------------------------------------------------------------------------


def _describe_weeks(
    weeks: Sequence[Mapping[str, Any]], unit: Unit, change: Mapping[str, Any] | None
) -> str:
    known = [week for week in weeks if week["prevalence"] is not None]
    ends = [known[0], known[-1]] if len(known) > 1 else known
    parts = [f"{_with_unit(week, unit)} in the week of {day(week['start'])}" for week in ends]
    if len(known) > 2:
        highest = max(known, key=lambda week: float(week["prevalence"]))
        parts.append(f"highest {_with_unit(highest, unit)} in the week of {day(highest['start'])}")
    if change:
        parts.append(f"a change on {day(change['date'][:10])}")
    return f"Of {len(weeks)} weeks: {'; '.join(parts)}."


def _with_unit(found: Mapping[str, Any], unit: Unit) -> str:
    between = unit.between(found["low"], found["high"])
    shown = f"{unit.show(found['prevalence'])}{'' if unit.sign else ' ' + unit.label}"
    return f"{shown} ({between})" if between else shown


def _describe_rows(rows: Iterable[Mapping[str, Any]], unit: Unit) -> str:
    parts = [
        f"{row['name']} {'not known' if row['prevalence'] is None else _with_unit(row, unit)}"
        for row in rows
    ]
    return f"{'; '.join(parts)}."


def _describe_curve(curve: Sequence[Mapping[str, Any]], start: str) -> str:
    places = dict.fromkeys((0, len(curve) // 2, len(curve) - 1))
    parts = [
        f"{_SHARE.show(curve[at]['open'])} still open {hours(curve[at]['hours'])} after {start}"
        for at in places
    ]
    return f"{'; '.join(parts)}."


def _describe_backlog(backlog: Sequence[Mapping[str, Any]], notice: str | None) -> str:
    highest = max(backlog, key=lambda entry: int(entry["open"]))
    parts = [
        f"{entry['open']:,} open on {day(entry['date'])}"
        for entry in (backlog[0], highest, backlog[-1])
    ]
    noticed = f"; notice on {day(notice[:10])}" if notice else ""
    return f"{'; '.join(dict.fromkeys(parts))}{noticed}."
