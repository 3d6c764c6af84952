"""The words that a model knows, by which it tells posts in languages it was not trained for."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hostrisk.features import SLOTS, token_slot
from hostrisk.language import unseen_share
from hostrisk.normalize import WORD, fold
from training.fit_linear import folds_of

__all__ = ["fit_vocabulary"]

_WORDS = 1 << 14  # more would take in the foreign words that posts quote
_MOST_READ = 60_000
_FOLDS = 5
_CALLED_FOREIGN = 0.01  # of posts that are in a language of the model


def fit_vocabulary(
    texts: Sequence[str], groups: NDArray[np.int64], natural: NDArray[np.bool_], seed: int
) -> tuple[NDArray[np.int8], float]:
    """Return a bit for each slot of a common word, and the highest share of others in a post.

    :param groups: of near duplicates; one fold of them is not counted but gives the limit, which
        all but one in a hundred of its natural posts stay under.
    :param natural: marks the posts of a real host; where there are none, all are taken for such.
    """
    held = folds_of(groups, _FOLDS, seed) == 0
    rows = np.flatnonzero(~held)
    if len(rows) > _MOST_READ:
        rows = np.random.default_rng(seed).choice(rows, _MOST_READ, replace=False)
    counts: Counter[int] = Counter()
    for row in rows:
        tokens = fold(texts[row])
        counts.update({token_slot(token.text) for token in tokens if token.kind == WORD})
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    bits = np.zeros(SLOTS, dtype=np.uint8)
    bits[[slot for slot, _ in ranked[:_WORDS]]] = 1
    words = np.packbits(bits, bitorder="little").view(np.int8)
    judged = np.flatnonzero(held & natural) if (held & natural).any() else np.flatnonzero(held)
    shares = unseen_share([texts[row] for row in judged], memoryview(words))
    limit = float(np.quantile(shares, 1 - _CALLED_FOREIGN)) if shares else 1.0
    return words, math.ceil(limit * 10_000) / 10_000  # up, for shares such as 1/3 are common
