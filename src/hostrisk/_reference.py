"""The kernel's functions in plain Python, from features.py: slow, obvious, the same results."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from hostrisk.features import SLOTS, logit, slots_of, text_windows, token_slot
from hostrisk.normalize import WORD, fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostrisk.normalize import Token

__all__ = [
    "best_window", "features", "head_sums", "probability", "score_list", "score_one", "word_counts",
]  # fmt: skip


def probability(value: float) -> float:
    """Return the logistic function of a logit, as the kernel computes it."""
    if value >= 0:
        return 1.0 / (1.0 + math.exp(-value))
    power = math.exp(value)
    return power / (1.0 + power)


def best_window(
    windows: Sequence[Sequence[Token]], weights: memoryview, scale: float, bias: float
) -> tuple[float, int]:
    """Return the highest logit of the windows of a text, and which window has it."""
    logits = [logit(slots_of(tokens), weights, scale, bias) for tokens in windows]
    best = max(logits)
    return best, logits.index(best)


def score_one(text: str, weights: memoryview, scale: float, bias: float) -> float:
    """Return the probability of one text."""
    return probability(best_window(text_windows(text), weights, scale, bias)[0])


def score_list(
    texts: Sequence[str | None], weights: memoryview, scale: float, bias: float
) -> list[float | None]:
    """Return the probabilities of texts, None for None."""
    return [None if text is None else score_one(text, weights, scale, bias) for text in texts]


def features(texts: Sequence[str | None]) -> tuple[bytes, bytes]:
    """Return row pointers (int64) and sorted distinct slots (uint32) of all windows, as bytes."""
    pointers, indices = [0], []
    for text in texts:
        slots: set[int] = set()
        for tokens in text_windows(text) if text is not None else ():
            slots |= slots_of(tokens)
        indices += sorted(slots)
        pointers.append(len(indices))
    return struct.pack(f"<{len(pointers)}q", *pointers), struct.pack(f"<{len(indices)}I", *indices)


def head_sums(
    text: str, weights: memoryview, scale: float, bias: float, table: memoryview, columns: int
) -> tuple[int, list[int]]:
    """Return how many slots the best window has, and the sum of each column of heads over them."""
    windows = text_windows(text)
    _, best = best_window(windows, weights, scale, bias)
    slots = slots_of(windows[best])
    rows = len(table) // columns
    sums = [0] * columns
    for slot in slots:
        start = (slot * rows // SLOTS) * columns
        for column in range(columns):
            sums[column] += table[start + column]
    return len(slots), sums


def word_counts(texts: Sequence[str | None], vocabulary: memoryview) -> bytes:
    """Return int32 pairs: the words of each text, and how many of them a vocabulary lacks."""
    counts = []
    for text in texts:
        tokens = fold(text) if text is not None else ()
        slots = [token_slot(token.text) for token in tokens if token.kind == WORD]
        unseen = sum(1 for slot in slots if not vocabulary[slot >> 3] >> (slot & 7) & 1)
        counts += [len(slots), unseen]
    return struct.pack(f"={len(counts)}i", *counts)
