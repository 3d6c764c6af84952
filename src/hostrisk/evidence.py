"""Which words carried a score: the logit taken apart into spans of the original text.

A linear score is a sum, so its spans add up exactly. An encoder's is not: each word is left out in
turn, and weighs what the logit loses by that (occlusion: Zeiler & Fergus 2014, "Visualizing and
Understanding Convolutional Networks"; Li et al. 2016, "Understanding Neural Networks through
Representation Erasure"). What the words do not account for one by one is put to the bias.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple, cast

from hostrisk._reference import best_window
from hostrisk.features import text_windows, token_features
from hostrisk.linear import LinearScorer
from hostrisk.normalize import SIDE, fold
from hostrisk.records import Span

if TYPE_CHECKING:
    from hostrisk.encoder import EncoderScorer
    from hostrisk.linear import Scorer
    from hostrisk.normalize import Token

__all__ = ["Evidence", "find_evidence"]


class Evidence(NamedTuple):
    """The logit of a text, the spans that add up to it with the bias, and their window."""

    logit: float
    bias: float
    spans: tuple[Span, ...]
    window: tuple[int, int]
    method: str


def find_evidence(scorer: Scorer, text: str) -> Evidence:
    """Take the logit of a text apart by the way in which its scorer came to it.

    Tokens on the same stretch of text are one span. Offsets count code points.
    """
    if isinstance(scorer, LinearScorer):
        return _add_up(scorer, text)
    from hostrisk.encoder import CascadeScorer

    if isinstance(scorer, CascadeScorer):
        is_read = scorer.is_unsure(scorer.fast.score_one(text))
        return _occlude(scorer.accurate, text) if is_read else _add_up(scorer.fast, text)
    return _occlude(cast("EncoderScorer", scorer), text)


def _occlude(scorer: EncoderScorer, text: str) -> Evidence:
    """Leave out each word of the window that scored highest."""
    start, end = scorer.graph.best_window(text)
    inside = text[start:end]
    whole = scorer.logit(inside)
    places = sorted({(token.start, token.end) for token in fold(inside) if token.kind != SIDE})
    spans = tuple(
        Span(start + a, start + b, inside[a:b], whole - scorer.logit(inside[:a] + inside[b:]))
        for a, b in places
    )
    logit = whole if inside == text else scorer.logit(text)
    bias = logit - math.fsum(span.weight for span in spans)
    return Evidence(logit, bias, spans, (start, end), "occlusion")


def _add_up(scorer: LinearScorer, text: str) -> Evidence:
    """Give each feature's weight to the tokens it came from, in equal parts."""
    windows = text_windows(text)
    logit, best = best_window(windows, scorer.weights, scorer.scale, scorer.bias)
    window = windows[best]
    bounds = (0, len(text)) if len(windows) == 1 else (window[0].start, window[-1].end)
    return Evidence(logit, scorer.bias, _spans(scorer, text, window), bounds, "sum of weights")


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
