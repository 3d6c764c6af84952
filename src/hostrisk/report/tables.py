"""Draw a report that is a few tables: a summary in, aligned text or a page out.

A summary has ``title``, ``kicker``, ``headline``, ``facts`` (pairs), ``sections``, ``method``; a
section has ``title``, ``note``, ``columns``, ``rows``; a row has ``name``, ``meaning``, ``cells``
and, for the bar on the page, ``estimate`` (None for no bar), ``low`` and ``high``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostrisk.report import charts
from hostrisk.report.drawing import align, render_page

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["render_html", "render_text"]


def render_text(summary: Mapping[str, Any]) -> str:
    """Draw a summary as aligned tables for a terminal."""
    return "\n\n".join(_parts(summary))


def _parts(summary: Mapping[str, Any]) -> Iterator[str]:
    facts = ", ".join(f"{name.lower()} {value}" for name, value in summary["facts"])
    yield f"{summary['title']}\n{summary['headline']}\n{facts}"
    for section in summary["sections"]:
        rows = [(row["name"], *row["cells"]) for row in section["rows"]]
        table = align([section["columns"], *rows], right=range(1, len(section["columns"])))
        yield f"{section['title']}\n{table}"
    yield f"- {summary['method']}"


def render_html(summary: Mapping[str, Any]) -> str:
    """Draw a summary as one page without scripts or outside files.

    :raises MissingExtraError: jinja2 is not installed.
    """
    return render_page("tables.html", summary=summary, style=charts.STYLE, bar=charts.interval_bar)
