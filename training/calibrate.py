"""Fit calibration and thresholds on scores that no model has seen the labels of.

Platt scaling (Platt 1999) on out-of-fold logits of the natural source: probabilities then mean
shares of posts at the natural rate of a host, not of the training mix. It is affine in the logit,
so the spans of an explanation still add up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from hostrisk.metrics import average_precision

__all__ = ["choose_band", "choose_thresholds", "fit_mix", "fit_platt"]

Floats = NDArray[np.float64]
_LEAST_POSITIVES = 20
_LEAST_FLAGGED = 10
_DEFAULT_RATE = 0.012
_LOST = 0.01  # average precision that the cascade may lose
_STEPS = 40


def fit_platt(logits: Floats, labels: NDArray[Any]) -> tuple[float, float]:
    """Return slope and intercept: the calibrated logit is ``slope * logit + intercept``.

    With too few positives to fit two numbers only the intercept is moved to the right rate.
    """
    positives = int(np.sum(labels))
    if positives < _LEAST_POSITIVES or positives == len(labels):
        return 1.0, 0.0
    model = LogisticRegression(C=1e6, max_iter=1000)
    model.fit(logits.reshape(-1, 1), labels)
    return float(max(model.coef_[0, 0], 1e-3)), float(model.intercept_[0])


def choose_thresholds(
    scores: Floats, labels: NDArray[Any], *, natural: bool = True
) -> dict[str, dict[str, Any]]:
    """Return named thresholds, each with what it aims at and what was measured for it.

    A threshold is left out where these rows cannot show that it reaches its aim.

    :param natural: whether violence is about as common in these rows as on a real host; if not,
        false positives weigh less, and the default is the threshold of the best F1.
    """
    truth = np.asarray(labels, dtype=bool)
    found = {
        "default": _at_rate(scores, truth, _DEFAULT_RATE),
        "fpr_0.01": _at_rate(scores, truth, 0.01),
        "fpr_0.001": _at_rate(scores, truth, 0.001),
    }
    order = np.argsort(-scores, kind="stable")
    hits, flagged = np.cumsum(truth[order]), np.arange(1, len(order) + 1)
    if truth.any():
        recall, precision = hits / truth.sum(), hits / flagged
        f1 = 2 * hits / (flagged + truth.sum())
        found["balanced"] = float(scores[order[int(np.argmax(f1))]])
        found["review"] = float(scores[order[int(np.argmax(recall >= 0.9))]])
        precise = np.flatnonzero((precision >= 0.9) & (flagged >= _LEAST_FLAGGED))
        if len(precise):
            found["evidence"] = float(scores[order[precise[-1]]])
        if not natural:
            found["default"] = found["balanced"]
    aims = _AIMS if natural else {**_AIMS, "default": _AIMS["balanced"]}
    return {
        name: {"threshold": value, "aim": aims[name], **_measured(value, scores, truth)}
        for name, value in found.items()
    }


_AIMS = {
    "default": f"a false-positive rate of {_DEFAULT_RATE:.1%}",
    "fpr_0.01": "a false-positive rate of 1%",
    "fpr_0.001": "a false-positive rate of 0.1%",
    "balanced": "the best F1",
    "review": "a recall of 0.9",
    "evidence": "a precision of 0.9",
}


def _at_rate(scores: Floats, truth: NDArray[np.bool_], rate: float) -> float:
    """Return the lowest threshold that flags at most this share of negatives."""
    negatives = np.sort(scores[~truth])[::-1]
    if not len(negatives):
        return 0.5
    allowed = int(rate * len(negatives))
    # Halfway to the next score, so that neither lies on the threshold.
    below = negatives[allowed]
    above = scores[scores > below]
    return float((below + above.min()) / 2) if len(above) else float(np.nextafter(below, 1))


def _measured(threshold: float, scores: Floats, truth: NDArray[np.bool_]) -> dict[str, float]:
    flagged = scores >= threshold
    hits = int((flagged & truth).sum())
    return {
        "precision": round(hits / max(int(flagged.sum()), 1), 4),
        "recall": round(hits / max(int(truth.sum()), 1), 4),
        "false_positive_rate": round(
            int((flagged & ~truth).sum()) / max(int((~truth).sum()), 1), 5
        ),
    }


# --- two models as one ----------------------------------------------------------------------------


def fit_mix(
    encoder: Floats, fast: Floats, labels: NDArray[Any], natural: NDArray[np.bool_]
) -> tuple[dict[str, float], Floats]:
    """Return the weights of the two models' logits and the bias, and the mixed logits.

    Logistic regression on all rows held out gives the ratio, Platt scaling on those of the natural
    source the scale and the bias.
    """
    both = np.column_stack([encoder, fast])
    model = LogisticRegression(C=1e6, max_iter=1000).fit(both, labels)
    ratio = np.maximum(model.coef_[0], 0.0)
    mixed = both @ ratio
    slope, intercept = fit_platt(mixed[natural], labels[natural])
    shares = {"encoder": slope * ratio[0], "fast": slope * ratio[1], "bias": intercept}
    return {name: float(value) for name, value in shares.items()}, slope * mixed + intercept


def choose_band(
    fast: Floats, accurate: Floats, labels: NDArray[Any], lost: float = _LOST
) -> dict[str, float]:
    """Return the band of fast probabilities that the encoder must read, as narrow as may be.

    The lower end is the highest up to which average precision stays within ``lost`` of that of
    reading everything; then the upper end is the lowest of which the same is true.
    """
    whole = average_precision(labels, accurate)

    def quality(low: float, high: float) -> float:
        inside = (fast >= low) & (fast <= high)
        return average_precision(labels, np.where(inside, accurate, fast))

    low, high = 0.0, 1.0
    for step in np.quantile(fast, np.linspace(0, 1, 10 * _STEPS + 1)):
        if quality(step, high) < whole - lost:
            break
        low = float(step)
    for step in np.quantile(fast[fast >= low], np.linspace(1, 0, _STEPS))[1:]:
        if quality(low, step) < whole - lost:
            break
        high = float(step)
    inside = (fast >= low) & (fast <= high)
    return {
        "low": low,
        "high": high,
        "share": round(float(inside.mean()), 4),
        "average_precision": round(quality(low, high), 4),
        "average_precision_accurate": round(whole, 4),
        "average_precision_fast": round(average_precision(labels, fast), 4),
    }
