"""Which words carried a score: the logit taken apart into spans of the original text."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from hostrisk._reference import best_window
from hostrisk.features import text_windows, token_features
from hostrisk.records import Span

if TYPE_CHECKING:
    from hostrisk.linear import LinearScorer
    from hostrisk.normalize import Token

__all__ = ["find_spans"]


def find_spans(scorer: LinearScorer, text: str) -> tuple[float, tuple[Span, ...], tuple[int, int]]:
    """Return the logit of a text, the spans that add up to it with the bias, and their window.

    Each feature of the window that scored highest gives its weight to the tokens it came from, in
    equal parts; tokens on the same stretch of text are one span. Offsets count code points.
    """
    windows = text_windows(text)
    logit, best = best_window(windows, scorer.weights, scorer.scale, scorer.bias)
    window = windows[best]
    bounds = (0, len(text)) if len(windows) == 1 else (window[0].start, window[-1].end)
    return logit, _spans(scorer, text, window), bounds


def _spans(scorer: LinearScorer, text: str, tokens: list[Token]) -> tuple[Span, ...]:
    sources: dict[int, list[int]] = defaultdict(list)
    for slot, indexes in token_features(tokens):
        sources[slot].extend(indexes)
    unit = scorer.scale / math.sqrt(max(len(sources), 1))
    weights: dict[tuple[int, int], float] = defaultdict(float)
    for slot, found in sources.items():
        share = unit * scorer.weights[slot] / len(found)
        for index in found:
            weights[tokens[index].start, tokens[index].end] += share
    return tuple(
        Span(start, end, text[start:end], weight)
        for (start, end), weight in sorted(weights.items())
    )
