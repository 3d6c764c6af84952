"""Fit the fast model: logistic regression on the kernel's own features, then int8 weights.

1. The prior of each feature is scaled by its log-count ratio between the classes (Wang & Manning
   2012, "Baselines and Bigrams"): what is more common in one class may weigh more. The scale is
   folded into the weights afterwards, so that scoring knows nothing of it.
2. scikit-learn's logistic regression (L-BFGS) is fitted on rows of length 1.
3. Weights are rounded to int8 with one scale for all.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import joblib
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from hostrisk.sklearn import HashedNgrams

__all__ = [
    "LinearModel",
    "feature_matrix",
    "fit",
    "folds_of",
    "out_of_fold",
    "repeatable",
    "round_weights",
    "unit_rows",
]

Floats = NDArray[np.float64]
_USUAL_RARITY = 6.0  # so that the regularization means the same with and without rarity
_CERTAIN = 0.02  # nearer to 0 or 1 than this is 0 or 1


class LinearModel(NamedTuple):
    """Integer weights of shape (slots,), and how their sum becomes a logit."""

    weights: NDArray[np.int8]
    scale: float
    bias: float

    def logits(self, features: csr_matrix) -> Floats:
        """Return the logits of rows of length 1."""
        return np.asarray(features @ (self.weights * self.scale)) + self.bias


def feature_matrix(texts: Sequence[str]) -> csr_matrix:
    """Return the binary features of texts, shape (texts, slots)."""
    return HashedNgrams(norm=None).transform(texts)


def unit_rows(features: csr_matrix) -> csr_matrix:
    """Return binary features with every row brought to length 1."""
    lengths = np.sqrt(np.maximum(np.diff(features.indptr), 1)).astype(np.float32)
    data = np.repeat(1 / lengths, np.diff(features.indptr))
    return csr_matrix((data, features.indices, features.indptr), shape=features.shape)


def _priors(
    features: csr_matrix, targets: Floats, weights: Floats, config: Mapping[str, Any]
) -> Floats:
    """Return the scale of each feature's prior, 0 for features that are left out."""
    smoothing = config["ratio_smoothing"]
    inside, outside = weights * targets, weights * (1 - targets)
    positive, negative = features.T @ inside, features.T @ outside
    odds = (positive + smoothing) / (negative + smoothing)
    base = (inside.sum() + 2 * smoothing) / (outside.sum() + 2 * smoothing)
    ratio = np.abs(np.log(odds / base)) ** config["ratio_power"]
    rows = np.bincount(features.indices, minlength=features.shape[1])
    rarity = np.log(features.shape[0] / np.maximum(rows, 1)) / _USUAL_RARITY
    return np.where(rows >= config["least_rows"], ratio * rarity ** config["rarity_power"], 0.0)


@contextmanager
def repeatable() -> Iterator[None]:
    """Make fits the same to the last bit on any number of cores, and quiet.

    Linear algebra stays in one thread each, or sums would depend on how many there are. A fit that
    stops early is configured so, which regularizes too. Around all fits, not in each: they run in
    threads, which share the filters of warnings.
    """
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def fit(
    features: csr_matrix, targets: NDArray[Any], weights: Floats, config: Mapping[str, Any]
) -> LinearModel:
    """Fit and round a model.

    :param features: binary, shape (rows, slots).
    :param targets: probabilities from 0 to 1, shape (rows,); labels are 0 and 1.
    :param weights: of the rows, shape (rows,).
    """
    targets = np.asarray(targets, dtype=np.float64)
    weights = weights / weights.mean()
    priors = _priors(features, targets, weights, config)
    used = np.flatnonzero(priors)
    scaled = (unit_rows(features)[:, used] @ diags(priors[used].astype(np.float32))).tocsr()
    rows, labels, shares = _split_targets(targets)
    regression = LogisticRegression(C=config["C"], max_iter=config["iterations"], tol=1e-5)
    regression.fit(scaled[rows], labels, sample_weight=weights[rows] * shares)
    whole = np.zeros(features.shape[1])
    whole[used] = regression.coef_[0] * priors[used]
    return LinearModel(*round_weights(whole), float(regression.intercept_[0]))


def _split_targets(targets: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return rows, labels and shares: a row between 0 and 1 is there as both, by its shares."""
    targets = np.where(targets < _CERTAIN, 0.0, np.where(targets > 1 - _CERTAIN, 1.0, targets))
    positive, negative = np.flatnonzero(targets > 0), np.flatnonzero(targets < 1)
    rows = np.concatenate([negative, positive])
    labels = np.repeat([0, 1], [len(negative), len(positive)])
    return rows, labels, np.concatenate([1 - targets[negative], targets[positive]])


def round_weights(weights: Floats) -> tuple[NDArray[np.int8], float]:
    """Return weights as int8, and what one unit of them stands for."""
    scale = float(np.abs(weights).max(initial=0.0)) / 127 or 1.0
    return np.rint(weights / scale).astype(np.int8), scale


def folds_of(groups: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each row; rows of one group share one."""
    rng = np.random.default_rng(seed)
    names, places = np.unique(groups, return_inverse=True)
    found: NDArray[np.int64] = rng.permutation(np.arange(len(names)) % folds)[places]
    return found


def out_of_fold(
    features: csr_matrix,
    targets: NDArray[Any],
    weights: Floats,
    folds: NDArray[np.int64],
    config: Mapping[str, Any],
    *,
    jobs: int,
) -> Iterator[tuple[NDArray[np.int64], LinearModel]]:
    """Yield for each fold its rows and the model fitted on all others, as they get ready."""
    numbers = range(int(folds.max()) + 1)
    work = (
        joblib.delayed(_fit_without)(features, targets, weights, folds, number, config)
        for number in numbers
    )
    models = joblib.Parallel(n_jobs=jobs, return_as="generator", prefer="threads")(work)
    for number, model in zip(numbers, models, strict=True):
        yield np.flatnonzero(folds == number), model


def _fit_without(
    features: csr_matrix,
    targets: NDArray[Any],
    weights: Floats,
    folds: NDArray[np.int64],
    number: int,
    config: Mapping[str, Any],
) -> LinearModel:
    kept = np.flatnonzero(folds != number)
    return fit(features[kept], targets[kept], weights[kept], config)
