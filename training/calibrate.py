"""Make two models one, and choose what the slower of them reads.

Both rest on scores that no model has seen the labels of. Calibration itself stands in
:mod:`hostrisk.calibration`, where users find it too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from hostrisk.calibration import fit_platt
from hostrisk.metrics import average_precision

__all__ = ["choose_band", "fit_mix"]

Floats = NDArray[np.float64]
_LOST = 0.01  # average precision that the cascade may lose
_STEPS = 40


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

    Its lower end is the highest up to which average precision stays within ``lost`` of that of
    reading everything. It has no upper end: above it stand few posts, and the fast model's surest
    false alarms are the dearest.
    """
    whole = average_precision(labels, accurate)

    def quality(low: float) -> float:
        return average_precision(labels, np.where(fast >= low, accurate, fast))

    low = 0.0
    for step in np.quantile(fast, np.linspace(0, 1, 10 * _STEPS + 1)):
        if quality(step) < whole - lost:
            break
        low = float(step)
    return {
        "low": low,
        "high": 1.0,
        "share": round(float((fast >= low).mean()), 4),
        "average_precision": round(quality(low), 4),
        "average_precision_accurate": round(whole, 4),
        "average_precision_fast": round(average_precision(labels, fast), 4),
    }
