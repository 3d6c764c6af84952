"""Scores by their logit in steps of 0.2: what strata and weekly figures are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["LOGITS", "STEPS", "step_of"]

_WIDTH, _END = 0.2, 9.0
_EDGES = np.linspace(-_END, _END, round(2 * _END / _WIDTH) + 1)
STEPS = len(_EDGES) + 1
# The middle of each step; the first and the last hold what lies beyond the ends.
LOGITS = np.concatenate([_EDGES - _WIDTH / 2, [_END + _WIDTH / 2]])


def step_of(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the step of each score, from 0 for the lowest, shape (posts,)."""
    clipped = np.clip(scores, 1e-12, 1 - 1e-12)
    return np.searchsorted(_EDGES, np.log(clipped / (1 - clipped)))
