"""What all reports are drawn with: aligned tables for a terminal, pages from templates."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any
from unicodedata import category, east_asian_width

from hostrisk._templates import make_environment
from hostrisk._visible import visible
from hostrisk.report import charts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["align", "cut", "render_page", "shorten"]

_LONGEST_WORD = 80
_NO_PLACE = ("Mn", "Me", "Cf")


def align(rows: Iterable[Sequence[str]], *, right: Iterable[int]) -> str:
    """Align columns by what a terminal shows: wide letters take two places, marks none."""
    cells = list(rows)
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    aligned = set(right)
    lines = []
    for row in cells:
        padded = (
            " " * (widths[i] - _width(cell)) + cell
            if i in aligned
            else cell + " " * (widths[i] - _width(cell))
            for i, cell in enumerate(row)
        )
        lines.append("  ".join(padded).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths if width))
    return "\n".join(lines)


def _width(text: str) -> int:
    return sum(
        0 if category(letter) in _NO_PLACE else 2 if east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def shorten(name: str, longest: int) -> str:
    """Spell out what a name would hide, and cut it where it is too long."""
    shown = visible(name)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def cut(text: str, most: int) -> str:
    """Shorten a text to a number of code points, at the end of a word, with an ellipsis."""
    if len(text) <= most:
        return text
    head = text[: most - 1]
    at_word = head if text[most - 1].isspace() else head.rpartition(" ")[0]
    # What has no spaces is cut where it is.
    return (at_word if len(head) - len(at_word) < _LONGEST_WORD else head).rstrip() + "…"


def render_page(template: str, **values: Any) -> str:
    """Fill a template of the package; all values are escaped but what the template calls safe.

    :raises MissingExtraError: jinja2 is not installed.
    """
    return str(_environment().get_template(template).render(**values))


@cache
def _environment() -> Any:
    # Everything is escaped; templates mark only what charts.py drew as safe.
    environment = make_environment("hostrisk.report", what="The HTML page")
    environment.globals["colors"] = charts.COLORS
    return environment
