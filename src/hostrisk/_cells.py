"""Count rows by distinct score, and compute metrics from the counts of many resamples at once.

1. Rows are sorted and collapsed to *cells*: one column per distinct score, highest first, holding
   how many positives and negatives have it. No metric needs more, and ties are exact: tied rows
   are flagged together.
2. A bootstrap resample is other counts in the same cells, so resamples are the rows of a matrix.
   They are drawn in chunks, so that memory stays bounded.
3. Each metric is a few operations along the columns of that matrix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hostrisk.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Cells",
    "Floats",
    "Sample",
    "at_threshold",
    "average_precision",
    "bin_gaps",
    "bin_starts",
    "brier_score",
    "check_probabilities",
    "check_rows",
    "count_rows",
    "flagged_counts",
    "ratio",
    "recall_at_fpr",
    "resample",
    "roc_auc",
    "rows_of",
]

Floats = NDArray[np.float64]

_MOST_BINS = 15
_LEAST_ROWS_A_BIN = 20
# One float64 matrix of a chunk of resamples takes 8 MiB; about eight are alive at once.
_CHUNK_CELLS = 1 << 20


class Cells(NamedTuple):
    """Counts per resample (rows) and distinct score (columns, highest score first)."""

    scores: Floats
    positives: Floats
    negatives: Floats
    true_positives: Floats
    false_positives: Floats


class Sample(NamedTuple):
    """The rows as given, checked: distinct scores and each row's column in the cells."""

    scores: Floats
    column: NDArray[np.int64]
    labels: NDArray[np.int64]


def check_rows(labels: ArrayLike, scores: ArrayLike) -> Sample:
    """Check labels (0 or 1) and scores (finite), both of shape (rows,), and sort them."""
    truth = np.asarray(labels)
    values = np.asarray(scores, dtype=np.float64)
    if truth.ndim != 1 or truth.shape != values.shape or not len(truth):
        raise InputError(
            "labels and scores must be two lists of the same length with at least one row, "
            f"not of shapes {truth.shape} and {values.shape}"
        )
    if not np.isin(truth, (0, 1)).all():
        raise InputError("labels must be 0 or 1")
    if not np.isfinite(values).all():
        raise InputError("scores must be finite numbers")
    distinct, column = np.unique(-values, return_inverse=True)
    # Sorted rows, so that the order in which they came cannot change what is drawn.
    order = np.lexsort((truth, column))
    return Sample(-distinct, column[order], truth[order].astype(np.int64))


def check_probabilities(labels: ArrayLike, scores: ArrayLike) -> Sample:
    """Check as check_rows does, and that scores are probabilities."""
    sample = check_rows(labels, scores)
    if sample.scores[-1] < 0 or sample.scores[0] > 1:
        raise InputError("scores must be probabilities from 0 to 1")
    return sample


def count_rows(sample: Sample) -> Cells:
    """Count the rows as they are: cells with one resample, the sample itself."""
    width = len(sample.scores)
    counts = np.bincount(2 * sample.column + sample.labels, minlength=2 * width)
    return _cells_of(sample.scores, counts.reshape(1, width, 2))


def _cells_of(scores: Floats, counts: NDArray[np.int64]) -> Cells:
    negatives = counts[:, :, 0].astype(np.float64)
    positives = counts[:, :, 1].astype(np.float64)
    return Cells(
        scores, positives, negatives, np.cumsum(positives, axis=1), np.cumsum(negatives, axis=1)
    )


def resample(sample: Sample, resamples: int, seed: int) -> Iterator[Cells]:
    """Draw resamples in chunks that bound memory."""
    rng = np.random.default_rng(seed)
    size, width = len(sample.column), len(sample.scores)
    cell_of_row = 2 * sample.column + sample.labels
    chunk = max(1, _CHUNK_CELLS // size)
    for start in range(0, resamples, chunk):
        count = min(chunk, resamples - start)
        drawn = cell_of_row[rng.integers(0, size, size=(count, size))]
        drawn += 2 * width * np.arange(count)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=2 * width * count)
        yield _cells_of(sample.scores, counts.reshape(count, width, 2))


def average_precision(cells: Cells) -> Floats:
    """Sum precision over the steps in recall, shape (resamples,)."""
    flagged = cells.true_positives + cells.false_positives
    # Where a resample holds no row down to some score, there is no positive to weigh either.
    share = cells.true_positives / np.maximum(flagged, 1.0)
    return ratio(np.einsum("rc,rc->r", cells.positives, share), cells.true_positives[:, -1])


def roc_auc(cells: Cells) -> Floats:
    """Count ordered pairs of classes, ties as half, shape (resamples,)."""
    above = cells.true_positives - cells.positives / 2
    ordered = np.einsum("rc,rc->r", cells.negatives, above)
    return ratio(ordered, cells.true_positives[:, -1] * cells.false_positives[:, -1])


def at_threshold(cells: Cells, threshold: float) -> dict[str, Floats]:
    """Compute what follows from the four counts at a threshold, each of shape (resamples,)."""
    hits, false_alarms = flagged_counts(cells, threshold)
    positives, negatives = cells.true_positives[:, -1], cells.false_positives[:, -1]
    return {
        "precision": ratio(hits, hits + false_alarms),
        "recall": ratio(hits, positives),
        "f1": ratio(2 * hits, hits + false_alarms + positives),
        "accuracy": ratio(hits + negatives - false_alarms, positives + negatives),
        "false_positive_rate": ratio(false_alarms, negatives),
    }


def flagged_counts(cells: Cells, threshold: float) -> tuple[Floats, Floats]:
    """Count the positives and negatives with a score of at least the threshold."""
    last = int(np.searchsorted(-cells.scores, -threshold, side="right")) - 1
    if last < 0:
        none = np.zeros(len(cells.positives))
        return none, none
    return cells.true_positives[:, last], cells.false_positives[:, last]


def recall_at_fpr(cells: Cells, rate: float) -> Floats:
    """Find the best recall with at most this rate of false positives, shape (resamples,)."""
    negatives = cells.false_positives[:, -1]
    # The largest count with count / negatives <= rate as floats compare: floor(rate * negatives)
    # can be one too low or too high.
    allowed = np.floor(rate * negatives) + 1
    for _ in range(2):
        allowed -= allowed / np.maximum(negatives, 1.0) > rate
    within = np.count_nonzero(cells.false_positives <= allowed[:, None], axis=1)
    best = np.take_along_axis(cells.true_positives, np.maximum(within - 1, 0)[:, None], axis=1)
    return ratio(np.where(within > 0, best[:, 0], 0.0), cells.true_positives[:, -1])


def brier_score(cells: Cells) -> Floats:
    """Average the squared differences, shape (resamples,)."""
    squares = cells.positives @ (1 - cells.scores) ** 2 + cells.negatives @ cells.scores**2
    return ratio(squares, rows_of(cells))


def bin_gaps(cells: Cells, starts: NDArray[np.int64]) -> Floats:
    """Give sum of scores minus positives by bin, a share of all rows, shape (resamples, bins)."""
    gaps = cells.negatives * cells.scores - cells.positives * (1 - cells.scores)
    return np.add.reduceat(gaps, starts, axis=1) / rows_of(cells)[:, None]


def bin_starts(cells: Cells, bins: int | None) -> NDArray[np.int64]:
    """Give the first column of each bin: about as many rows in each, equal scores together."""
    rows = int(rows_of(cells)[0])
    if bins is None:
        bins = min(_MOST_BINS, max(1, rows // _LEAST_ROWS_A_BIN))
    held = cells.positives[0] + cells.negatives[0]
    middle = np.cumsum(held) - held / 2
    return np.flatnonzero(np.diff(np.floor(middle * bins / rows), prepend=-1.0))


def rows_of(cells: Cells) -> Floats:
    """Count the rows of each resample."""
    total: Floats = cells.true_positives[:, -1] + cells.false_positives[:, -1]
    return total


def ratio(above: Floats, below: Floats) -> Floats:
    """Divide, giving NaN for nothing of nothing."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
