"""Where a text is marked by the words that carry its score, on a terminal and on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hostrisk.records import Span

__all__ = ["marked_pieces"]

_SHADES = 4
_FAINTEST = 0.1  # of the strongest weight, for a span to be marked


def marked_pieces(
    text: str, spans: Sequence[Span], start: int, end: int
) -> Iterator[tuple[str, Span | None, int]]:
    """Yield the text from ``start`` to ``end`` piece by piece.

    A piece that carries the score comes with its span and a shade from 0, faint, to 3, strong; the
    text between with None. Spans that overlap one before or reach out of the bounds are not marked.
    """
    strongest = max((abs(span.weight) for span in spans), default=0.0) or 1.0
    at = start
    for span in sorted(spans, key=lambda span: span.start):
        share = abs(span.weight) / strongest
        if share < _FAINTEST or not at <= span.start < span.end <= end:
            continue
        yield text[at : span.start], None, 0
        yield text[span.start : span.end], span, min(_SHADES - 1, int(share * _SHADES))
        at = span.end
    yield text[at:end], None, 0
