"""Render a host assessment: a dict of figures in, a page, Markdown or text for a terminal out.

The input is what ``HostAssessment.to_dict`` gives, so that a report can be drawn again from stored
JSON. Every string in it is spelled out before anything else is done with it; templates escape it
once more for their format.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from hostrisk._templates import make_environment
from hostrisk.report.charts import interval_bar
from hostrisk.report.drawing import align, render_page, shorten
from hostrisk.report.host import charts as drawn
from hostrisk.report.host import words
from hostrisk.report.host.removal import NO_TIMES
from hostrisk.report.host.summary import GROUPS, spelled_out, summarize
from hostrisk.report.host.svg import STYLE
from hostrisk.report.markdown import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["render_html", "render_markdown", "render_text"]

_LONGEST_CELL, _LONGEST_ID = 60, 32
_TEXT_EXEMPLARS = 5
_VIOLENT = "violent posts"  # what a trend is of, if not of flagged posts


def render_html(record: Mapping[str, Any]) -> str:
    """Draw an assessment as one page without scripts or outside files.

    :raises MissingExtraError: jinja2 or matplotlib is not installed.
    """
    record = spelled_out(record)
    summary = summarize(record)
    pictures = [_charts(host, summary["level"], shown["anchor"])
                for host, shown in zip(record["hosts"], summary["hosts"], strict=True)]  # fmt: skip
    return render_page(
        "host.html", summary=summary, pictures=pictures, style=STYLE, bar=interval_bar
    )


def render_markdown(record: Mapping[str, Any]) -> str:
    """Write an assessment as Markdown with tables, without HTML, links or pictures.

    :raises MissingExtraError: jinja2 is not installed.
    """
    template = _markdown_environment().get_template("host.md")
    return str(template.render(summary=_escaped(summarize(record))))


def render_text(record: Mapping[str, Any]) -> str:
    """Draw the figures as aligned tables for a terminal."""
    return "\n\n".join(_text_parts(summarize(record)))


# --- charts --------------------------------------------------------------------------------------


def _charts(host: Mapping[str, Any], level: str, anchor: str) -> dict[str, str]:
    """Draw what there is to draw of a host; a chart without figures is empty."""
    response = host.get("responsiveness") or {}
    times, notice = response.get("time_to_removal") or {}, response.get("notice") or {}
    curve, backlog = times.get("curve"), response.get("backlog")
    return {
        "weeks": _weeks_chart(host, level, anchor),
        **{
            key: _group_chart(host[key], title, level, f"{anchor}-{key}")
            for key, title, _ in GROUPS
        },
        "curve": drawn.survival_chart(
            curve, name=f"{anchor}-curve", start=words.since(times["from"]), level=level
        ) if curve else "",
        "backlog": drawn.backlog_chart(
            backlog, name=f"{anchor}-backlog", notice=notice.get("date")
        ) if backlog else "",
    }  # fmt: skip


def _weeks_chart(host: Mapping[str, Any], level: str, anchor: str) -> str:
    values = [week["prevalence"] for week in host["weeks"]]
    if all(value is None for value in values):
        return ""
    return drawn.weeks_chart(
        host["weeks"],
        name=f"{anchor}-weeks",
        unit=words.unit_for(values),
        level=level,
        change=_change_to_draw(host.get("trend") or {}),
    )


def _change_to_draw(trend: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the change point; its levels are on the chart's scale only if of violent posts."""
    change: Mapping[str, Any] | None = trend.get("change_point")
    if change is None or trend.get("of", _VIOLENT) == _VIOLENT:
        return change
    return {**change, "before": None, "after": None}


def _group_chart(found: Sequence[Mapping[str, Any]], title: str, level: str, name: str) -> str:
    if all(one["prevalence"] is None for one in found):
        return ""
    unit = words.unit_for(one["prevalence"] for one in found)
    return drawn.intervals_chart(found, name=name, title=title, unit=unit, level=level)


# --- Markdown ------------------------------------------------------------------------------------


@cache
def _markdown_environment() -> Any:
    # Not HTML: all that comes in is escaped before.
    environment = make_environment(
        "hostrisk.report", what="The report in Markdown", escaped=False, keep_trailing_newline=True
    )
    environment.filters["fenced"] = _fenced
    return environment


def _escaped(value: Any, key: str = "") -> Any:
    """Escape every string but the text of a post, which goes into a block of code."""
    if isinstance(value, str):
        return value if key == "post" else escape(value)
    if isinstance(value, dict):
        return {name: _escaped(item, name) for name, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list | tuple) else value


def _fenced(text: str) -> str:
    """Put a text into a block of code that nothing in it can close."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


# --- terminal ------------------------------------------------------------------------------------


def _text_parts(summary: Mapping[str, Any]) -> Iterator[str]:
    facts = "\n".join(f"{name}: {value}" for name, value in summary["facts"])
    yield f"{summary['title']}\n{summary['lead']}\n{facts}"
    if summary["cautions"]:
        yield _bullets(summary["cautions"])
    if summary["ranking"]:
        yield _text_table(summary["ranking"])
    for host in summary["hosts"]:
        yield from _text_host(host)
    if summary["since"]:
        yield from _text_since(summary["since"])
    if summary["defects"]:
        yield _text_table(summary["defects"])
    yield "\n".join(f"{name}: {value}" for name, value in summary["ids"])


def _text_host(host: Mapping[str, Any]) -> Iterator[str]:
    tier = host["tier"]
    yield f"== {host['name']} ==\n{host['summary']}\nTier {tier['name']}: {tier['meaning']}"
    rules = [f"{rule['tier']}, {rule['rule']}: {rule['text']}" for rule in host["rules"]]
    rules += [f"not judged: {rule}" for rule in host["unjudged"]]
    rules += [host["blind"]] if host["blind"] else []
    yield _bullets(rules or ["no rule fired"])
    yield "\n".join(f"{name}: {value}" for name, value in host["lines"])
    tables = [host["weeks"], *(group["table"] for group in host["groups"])]
    response = host["response"]
    if response:
        tables += [response["table"], response["notice"]]
    yield from (_text_table(table) for table in tables if table)
    facts = response["facts"] if response else [("Removal of posts", NO_TIMES)]
    yield "\n".join(f"{name}: {value}" for name, value in facts)
    if host["exemplars"]:
        yield _text_exemplars(host["exemplars"])


def _text_exemplars(exemplars: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            found["score"],
            found["kind"],
            "urgent" * found["urgent"],
            shorten(found["id"], _LONGEST_ID),
            found["line"],
        )
        for found in exemplars[:_TEXT_EXEMPLARS]
    ]
    shown = f"Posts, {len(rows)} of {len(exemplars)}. Content warning: violent and hateful words."
    return f"{shown}\n{align([('score', 'kind', '', 'id', 'text'), *rows], right=(0,))}"


def _text_since(since: Mapping[str, Any]) -> Iterator[str]:
    yield f"Since the last assessment, {since['from']}\n{since['warning']}".rstrip()
    for host in since["hosts"]:
        yield f"{host['name']}\n{_bullets(host['changes'] or ['no change'])}"


def _text_table(table: Mapping[str, Any]) -> str:
    rows = [
        [shorten(cell, _LONGEST_CELL) for cell in (row["name"], *row["cells"])]
        for row in table["rows"]
    ]
    columns = table["columns"]
    right = range(1, len(columns)) if table["figures"] else ()
    return f"{table['label']}\n{align([columns, *rows], right=right)}"


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
