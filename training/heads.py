"""Fit what stands beside the main score: the kind of violence and the target groups.

Both are linear on the main model's features, folded to fewer slots, and learn only from positive
rows that carry them, one logistic regression a name; a text may have several targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from hostrisk.metrics import average_precision
from training.fit_linear import folds_of, round_weights
from training.labels import KINDS, TARGETS

__all__ = ["Heads", "fit_heads", "measure_head"]

Floats = NDArray[np.float64]
_LEAST_SUPPORT = 8
_FOLDS = 3


class Heads(NamedTuple):
    """The table of int8 of shape (rows, heads), the heads as the manifest lists them, figures."""

    table: NDArray[np.int8]
    kinds: list[dict[str, Any]]
    targets: list[dict[str, Any]]
    metrics: dict[str, dict[str, Any]]


def _fold(features: csr_matrix, rows: int) -> csr_matrix:
    """Return features summed into ``rows`` slots, over the root of the number of slots a row."""
    sizes = np.maximum(np.diff(features.indptr), 1)
    slots = (features.indices.astype(np.int64) * rows // features.shape[1]).astype(np.int32)
    data = np.repeat(1 / np.sqrt(sizes), np.diff(features.indptr)).astype(np.float64)
    folded = csr_matrix((data, slots, features.indptr), shape=(features.shape[0], rows))
    folded.sum_duplicates()
    return folded


def _columns(kinds: Sequence[str | None], targets: Sequence[frozenset[str]]) -> list[Any]:
    """Return (name, mask of rows that say, labels) of every head."""
    has_kind = np.array([kind is not None for kind in kinds])
    has_target = np.array([bool(target) for target in targets])
    columns = [(k, has_kind, np.array([kind == k for kind in kinds])) for k in KINDS]
    columns += [(t, has_target, np.array([t in target for target in targets])) for t in TARGETS]
    return columns


def _fit_column(
    features: csr_matrix, labels: NDArray[np.bool_], weights: Floats, strength: float
) -> tuple[Floats, float]:
    if labels.sum() < _LEAST_SUPPORT or labels.all():
        share = (labels.sum() + 0.5) / (len(labels) + 1)
        return np.zeros(features.shape[1]), float(np.log(share / (1 - share)))
    # L-BFGS takes minutes where liblinear takes seconds; liblinear regularizes the intercept,
    # which the scaling undoes.
    model = LogisticRegression(C=strength, solver="liblinear", intercept_scaling=10.0, max_iter=50)
    model.fit(features, labels, sample_weight=weights)
    return model.coef_[0], float(model.intercept_[0])


def fit_heads(
    features: csr_matrix,
    kinds: Sequence[str | None],
    targets: Sequence[frozenset[str]],
    weights: Floats,
    groups: NDArray[np.int64],
    config: Mapping[str, Any],
    seed: int,
) -> Heads:
    """Fit all heads on positive rows, and measure them out of fold."""
    folded = _fold(features, config["rows"])
    folds = folds_of(groups, _FOLDS, seed)
    table, listed, figures = [], [], {}
    for name, says, labels in _columns(kinds, targets):
        scores = np.zeros(len(labels))
        for number in range(_FOLDS):
            inside = np.flatnonzero(says & (folds != number))
            outside = np.flatnonzero(says & (folds == number))
            coefficients, bias = _fit_column(
                folded[inside], labels[inside], weights[inside], config["C"]
            )
            scores[outside] = folded[outside] @ coefficients + bias
        rows = np.flatnonzero(says)
        threshold, figures[name] = measure_head(labels[rows], scores[rows])
        coefficients, bias = _fit_column(folded[rows], labels[rows], weights[rows], config["C"])
        column, scale = round_weights(coefficients)
        table.append(column)
        listed.append({"name": name, "scale": scale, "bias": bias, "threshold": threshold})
    count = len(KINDS)
    figures["kind"] = _kind_accuracy(kinds, figures)
    return Heads(
        np.ascontiguousarray(np.stack(table, axis=1)), listed[:count], listed[count:], figures
    )


def measure_head(labels: NDArray[np.bool_], scores: Floats) -> tuple[float, dict[str, Any]]:
    """Return the threshold of best F1, and average precision and F1 out of fold."""
    support = int(labels.sum())
    if support < _LEAST_SUPPORT:
        return 1.0, {"support": support, "average_precision": None}
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + support)
    best = int(np.argmax(f1))
    cut = float(scores[order[best]])
    figures = {
        "support": support,
        "average_precision": round(average_precision(labels.astype(int), scores), 4),
        "precision": round(float(hits[best] / (best + 1)), 4),
        "recall": round(float(hits[best] / support), 4),
        "f1": round(float(f1[best]), 4),
    }
    return float(np.clip(1 / (1 + np.exp(-cut)), 0.3, 0.9)), figures


def _kind_accuracy(kinds: Sequence[str | None], figures: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "support": sum(kind is not None for kind in kinds),
        "macro_f1": round(float(np.mean([figures[kind].get("f1", 0.0) for kind in KINDS])), 4),
    }
