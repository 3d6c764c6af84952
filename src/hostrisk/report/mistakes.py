"""Render what a model gets wrong: lines for a terminal, marked texts for a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostrisk._marks import marked_pieces
from hostrisk._visible import visible
from hostrisk.records import Span
from hostrisk.report.drawing import align, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["render_text", "summarize"]

_LONGEST_NAME = 120
_LONGEST_LINE = 96
_LONGEST_TEXT = 900


def summarize(groups: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Put mistakes into the words and pieces in which they are shown."""
    return [
        {
            "name": shorten(group["name"], _LONGEST_NAME),
            "counts": _counts(group),
            "shown": [
                {
                    "row": f"{found['row']:,}",
                    "kind": found["kind"],
                    "score": f"{found['score']:.3f}",
                    "line": _line(found["text"]),
                    "pieces": list(_pieces(found["text"], found["spans"])),
                }
                for found in group["shown"]
            ],
        }
        for group in groups
    ]


def render_text(groups: Sequence[Mapping[str, Any]]) -> str:
    """Draw mistakes as one aligned table a group."""
    return "\n\n".join(
        f"{group['name']}: {group['counts']}\n{_table(group['shown'])}"
        for group in summarize(groups)
    )


def _table(shown: Sequence[Mapping[str, Any]]) -> str:
    rows = [(found["score"], found["kind"], found["row"], found["line"]) for found in shown]
    return align([("score", "mistake", "row", "text"), *rows], right=(0, 2))


def _counts(group: Mapping[str, Any]) -> str:
    return (
        f"{_count(group['misses'], 'miss', 'misses')} and "
        f"{_count(group['false_alarms'], 'false alarm', 'false alarms')} in "
        f"{_count(group['rows'], 'row', 'rows')}"
    )


def _count(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _line(text: str) -> str:
    line = " ".join(text.split())
    return visible(line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 3]}...")


def _pieces(text: str, spans: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield stretches of a text with the class each is marked by, empty for none.

    ``up1`` to ``up4`` raise the score, ``down1`` to ``down4`` lower it, the stronger the higher.
    """
    end = min(len(text), _LONGEST_TEXT)
    known = [
        Span(span["start"], span["end"], text[span["start"] : span["end"]], span["weight"])
        for span in spans
    ]
    for piece, span, shade in marked_pieces(text, known, 0, end):
        way = "" if span is None else f"{'up' if span.weight > 0 else 'down'}{shade + 1}"
        yield visible(piece, keep="\n"), way
    if end < len(text):
        yield "…", ""
