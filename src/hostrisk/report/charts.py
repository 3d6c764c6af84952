"""Draw charts as SVG strings: no scripts, no files, colors from the page's CSS variables.

A page puts :data:`STYLE` into its style sheet once and defines the variables ``--ink``,
``--muted``, ``--line``, ``--accent``, ``--accent-soft`` and ``--mark`` for light and dark. Each
chart carries a title and a description for readers who cannot see it; coordinates are rounded, so
that the same data give the same bytes.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "COLORS",
    "STYLE",
    "compact_count",
    "interval_bar",
    "percent",
    "precision_recall_chart",
    "reliability_chart",
    "standalone",
]

# The variables for a light page, and for a chart that stands in no page.
COLORS = (
    "--ink: #1b2430; --muted: #566273; --line: #e1e6ec; --surface: #ffffff; --accent: #1d5d9b; "
    "--accent-soft: #dbe8f5; --mark: #b03a1e;"
)
STYLE = """
.chart { display: block; width: 100%; height: auto; }
.chart text { fill: var(--muted); font: 12px var(--sans); font-variant-numeric: tabular-nums; }
.chart .label { fill: var(--ink); }
.chart .marked { fill: var(--mark); font-weight: 600; }
.chart .halo { paint-order: stroke; stroke: var(--surface); stroke-width: 4px; }
.chart .halo { stroke-linejoin: round; }
.chart .small { font-size: 10.5px; }
.chart .grid { stroke: var(--line); stroke-width: 1; }
.chart .axis { stroke: var(--muted); stroke-width: 1; }
.chart .guide { stroke: var(--muted); stroke-width: 1.25; stroke-dasharray: 4 4; fill: none; }
.chart .curve { stroke: var(--accent); stroke-width: 2.25; fill: none; stroke-linejoin: round; }
.chart .area { fill: var(--accent-soft); }
.chart .dot { fill: var(--accent); stroke: var(--surface); stroke-width: 1.5; }
.chart .whisker { stroke: var(--accent); stroke-width: 1.5; }
.chart .bar { fill: var(--accent-soft); stroke: var(--accent); stroke-width: 1; }
.chart .mark-line { stroke: var(--mark); stroke-width: 1.25; stroke-dasharray: 2 3; }
.chart .mark-dot { fill: var(--mark); stroke: var(--surface); stroke-width: 2; }
.interval { display: block; width: 7.5rem; height: 1rem; }
.interval .track { stroke: var(--line); stroke-width: 2; }
.interval .range { stroke: var(--accent); stroke-width: 4; stroke-linecap: round; opacity: .45; }
.interval .point { fill: var(--accent); }
"""

_SVG = '<svg xmlns="http://www.w3.org/2000/svg"'
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
_WIDTH, _LEFT = 440, 60


class _Frame(NamedTuple):
    """The rectangle of the image on which both axes run from 0 to 1."""

    left: float
    top: float
    width: float
    height: float

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def x(self, value: float) -> float:
        return round(self.left + value * self.width, 1)

    def y(self, value: float) -> float:
        return round(self.bottom - value * self.height, 1)


def precision_recall_chart(
    points: Sequence[Mapping[str, float]],
    *,
    base_rate: float,
    chosen: tuple[float, float] | None,
    threshold: float,
    name: str = "precision-recall",
) -> str:
    """Draw precision over recall, with what chance would give and where the threshold stands.

    :param points: mappings with ``recall`` and ``precision``, from low recall to high.
    :param base_rate: share of positives, the precision of flagging at random.
    :param chosen: recall and precision at the threshold; None if nothing is flagged.
    :param name: prefix of the ids in the image; must be unique on a page.
    """
    frame = _Frame(_LEFT, 12, _WIDTH - _LEFT - 16, 300)
    steps = [(frame.x(point["recall"]), frame.y(point["precision"])) for point in points]
    start = (frame.x(0), steps[0][1])
    line = _path([start, *steps])
    area = _path([(start[0], frame.bottom), start, *steps, (steps[-1][0], frame.bottom)]) + "Z"
    parts = [
        _axes(
            frame, "recall: share of positives found", "precision: share of flagged that is right"
        ),
        f'<path class="area" d="{area}"/><path class="curve" d="{line}"/>',
        _base_line(frame, base_rate),
        _chosen_point(frame, chosen, threshold) if chosen else "",
    ]
    described = _describe_curve(points, base_rate, chosen, threshold)
    return _svg(name, "Precision-recall curve", described, 356, parts)


def reliability_chart(
    bins: Sequence[Mapping[str, Any]], *, threshold: float, name: str = "reliability"
) -> str:
    """Draw the share of positives, and below it the rows, over the predicted probability.

    :param bins: mappings with the fields of :class:`hostrisk.metrics.ReliabilityBin`.
    :param name: prefix of the ids in the image; must be unique on a page.
    """
    frame = _Frame(_LEFT, 12, _WIDTH - _LEFT - 16, 212)
    counts = _Frame(frame.left, 244, frame.width, 68)
    diagonal = f"M{frame.x(0)} {frame.y(0)}L{frame.x(1)} {frame.y(1)}"
    limit, top = frame.x(threshold), frame.top
    parts = [
        _axes(frame, "", "share that is positive", labeled=False),
        f'<path class="guide" d="{diagonal}"/>',
        f'<line class="mark-line" x1="{limit}" x2="{limit}" y1="{top}" y2="{counts.bottom}"/>',
        *(_reliability_dot(frame, place) for place in bins),
        _count_bars(counts, bins),
        _bottom_axis(counts, "predicted probability"),
        _turned_text(counts, "rows (log)"),
    ]
    described = _describe_bins(bins)
    return _svg(name, "Reliability diagram with counts", described, 356, parts)


def standalone(chart: str) -> str:
    """Return a chart as a file of its own, on white, with the colors that a page would give it."""
    own = "background: #fff; --sans: system-ui, sans-serif;"
    style = f"<style>svg {{ {own} {COLORS} }}{STYLE}</style>"
    start, _, rest = chart.partition(">")
    return f"{start.replace('<svg', _SVG, 1)}>{style}{rest}\n"


def interval_bar(estimate: float, low: float | None, high: float | None) -> str:
    """Draw an estimate between 0 and 1 with its interval as a line the height of a text."""
    ends = "" if low is None or high is None else _range(low, high)
    return (
        '<svg class="interval" viewBox="0 0 120 16" aria-hidden="true" focusable="false">'
        f'<line class="track" x1="4" x2="116" y1="8" y2="8"/>{ends}'
        f'<circle class="point" cx="{_on_bar(estimate)}" cy="8" r="4"/></svg>'
    )


def compact_count(count: int) -> str:
    """Write a count in at most four characters or so: 950, 1.2k, 34k, 5.6M."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        # 999,500 and more would round to 1000k.
        if count >= size * (0.9995 if letter == "M" else 1):
            shown = count / size
            return f"{shown:.1f}{letter}" if shown < 9.95 else f"{shown:.0f}{letter}"
    return str(count)


def percent(share: float) -> str:
    """Write a share as a percentage that keeps two figures of small ones: 34.5%, 0.041%."""
    return f"{share:.1%}" if share >= 0.01 or share == 0 else f"{share * 100:.2g}%"


def _on_bar(value: float) -> float:
    return round(4 + 112 * value, 1)


def _range(low: float, high: float) -> str:
    return f'<line class="range" x1="{_on_bar(low)}" x2="{_on_bar(high)}" y1="8" y2="8"/>'


def _svg(name: str, title: str, description: str, height: int, parts: Iterable[str]) -> str:
    ids = escape(name)
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-labelledby="{ids}-title {ids}-desc"><title id="{ids}-title">{escape(title)}</title>'
        f'<desc id="{ids}-desc">{escape(description)}</desc>{"".join(parts)}</svg>'
    )


def _path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in points)


def _text(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{style}>{escape(text)}</text>'


def _turned_text(frame: _Frame, text: str) -> str:
    x, y = 12, round(frame.top + frame.height / 2, 1)
    return (
        f'<text class="label" text-anchor="middle" transform="translate({x} {y}) rotate(-90)">'
        f"{escape(text)}</text>"
    )


def _axes(frame: _Frame, below: str, beside: str, *, labeled: bool = True) -> str:
    parts = []
    for tick in _TICKS:
        x, y, right = frame.x(tick), frame.y(tick), frame.x(1)
        parts.append(f'<line class="grid" x1="{frame.left}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{frame.top}" y2="{frame.bottom}"/>')
        parts.append(_text(frame.left - 7, y + 4, f"{tick:g}", anchor="end"))
    parts.append(_turned_text(frame, beside))
    return "".join(parts) + (_bottom_axis(frame, below) if labeled else "")


def _bottom_axis(frame: _Frame, text: str) -> str:
    base, right = frame.bottom, frame.x(1)
    line = f'<line class="axis" x1="{frame.left}" x2="{right}" y1="{base}" y2="{base}"/>'
    ticks = (_text(frame.x(tick), base + 17, f"{tick:g}", anchor="middle") for tick in _TICKS)
    middle = round(frame.left + frame.width / 2, 1)
    return line + "".join(ticks) + _text(middle, base + 38, text, anchor="middle", kind="label")


def _base_line(frame: _Frame, base_rate: float) -> str:
    y = frame.y(base_rate)
    line = f'<line class="guide" x1="{frame.left}" x2="{frame.x(1)}" y1="{y}" y2="{y}"/>'
    # At the left, as the curve ends on this line at the right; above, if that is in the frame.
    label_y = y - 6 if base_rate < 0.9 else y + 16
    return line + _text(frame.left + 6, label_y, f"at random {percent(base_rate)}", kind="halo")


def _chosen_point(frame: _Frame, chosen: tuple[float, float], threshold: float) -> str:
    x, y = frame.x(chosen[0]), frame.y(chosen[1])
    # The curve falls to the right: above it there is room at the right, below it at the left.
    at_right = chosen[0] > 0.6
    below = (at_right and chosen[1] > 0.1) or chosen[1] > 0.95
    label = _text(
        x - 9 if at_right else x + 9,
        y + 20 if below else y - 9,
        f"threshold {threshold:.3g}",
        anchor="end" if at_right else "start",
        kind="marked halo",
    )
    return f'<circle class="mark-dot" cx="{x}" cy="{y}" r="5.5"/>{label}'


def _reliability_dot(frame: _Frame, place: Mapping[str, Any]) -> str:
    x = frame.x(place["mean_score"])
    low, high = frame.y(place["positive_low"]), frame.y(place["positive_high"])
    return (
        f'<line class="whisker" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/>'
        f'<circle class="dot" cx="{x}" cy="{frame.y(place["positive_share"])}" r="4.5"/>'
    )


def _count_bars(frame: _Frame, bins: Sequence[Mapping[str, Any]]) -> str:
    tallest = math.log1p(max(place["rows"] for place in bins))
    parts = []
    for place in bins:
        left, right = frame.x(place["low"]) + 2, frame.x(place["high"]) - 2
        # A fifth of the height is kept free for the number above the tallest bar.
        top = frame.y(0.8 * math.log1p(place["rows"]) / tallest)
        size = f'width="{right - left:.1f}" height="{frame.bottom - top:.1f}"'
        parts.append(f'<rect class="bar" x="{left:.1f}" y="{top}" {size}/>')
        middle = round((left + right) / 2, 1)
        shown = compact_count(place["rows"])
        parts.append(_text(middle, round(top - 4, 1), shown, anchor="middle", kind="small halo"))
    return "".join(parts)


def _describe_curve(
    points: Sequence[Mapping[str, float]],
    base_rate: float,
    chosen: tuple[float, float] | None,
    threshold: float,
) -> str:
    found = []
    for level in (0.25, 0.5, 0.75):
        reached = next((point for point in points if point["recall"] >= level), points[-1])
        found.append(f"{reached['precision']:.2f} at a recall of {level}")
    described = f"Precision is {', '.join(found)}; flagging at random gives {percent(base_rate)}."
    if chosen:
        described += f" At the threshold {threshold:.3g}, recall is {chosen[0]:.2f}"
        described += f" and precision {chosen[1]:.2f}."
    return described


def _describe_bins(bins: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(
        f"predicted {place['mean_score']:.2f}, found {place['positive_share']:.2f} "
        f"({place['rows']:,} rows)"
        for place in bins
    )
