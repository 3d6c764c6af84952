"""Measure a classifier against labels: the field's standard metrics, with bootstrap intervals.

Sources of the methods:

* average precision (no interpolation), ROC AUC (ties count half), precision, recall, F1: as
  defined by scikit-learn, the oracle in the tests;
* Brier score: Brier 1950, Monthly Weather Review 78;
* expected calibration error: Naeini, Cooper & Hauskrecht 2015, AAAI, on bins of equal mass
  (Nguyen & O'Connor 2015, EMNLP; Roelofs et al. 2022, arXiv 2012.08668);
* percentile bootstrap: Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13;
* Wilson interval of a proportion: Wilson 1927, JASA 22;
* interval of an area under the ROC curve: DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44;
* interval of a ratio of proportions: Katz et al. 1978, Biometrics 34, with half a count added to
  flagged and not flagged (Walter 1975, Biometrika 62).
"""

from __future__ import annotations

from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hostrisk import _cells

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from hostrisk._cells import Cells, Floats

__all__ = [
    "CONFIDENCE",
    "FALSE_POSITIVE_RATES",
    "METRICS",
    "Curve",
    "Metric",
    "ReliabilityBin",
    "Share",
    "auc_interval",
    "average_precision",
    "brier_score",
    "calibration_error",
    "f1",
    "measure",
    "precision",
    "precision_recall_curve",
    "ratio_interval",
    "recall",
    "recall_at_fpr",
    "reliability_bins",
    "roc_auc",
    "share_of",
    "wilson_interval",
]

CONFIDENCE = 0.95
FALSE_POSITIVE_RATES = {
    "recall_at_fpr_0.01": 0.01,
    "recall_at_fpr_0.001": 0.001,
    "recall_at_fpr_0.0001": 0.0001,
}
METRICS = (
    "average_precision",
    "roc_auc",
    "precision",
    "recall",
    "f1",
    "accuracy",
    "false_positive_rate",
    *FALSE_POSITIVE_RATES,
    "brier_score",
    "calibration_error",
)
# Of these, one class alone would say something trivial (a precision of 1 without negatives).
_NEED_BOTH_CLASSES = ("average_precision", "roc_auc", "precision", "f1", *FALSE_POSITIVE_RATES)
_LEAST_SUPPORT = 10


class Metric(NamedTuple):
    """A metric with its 95% interval; None where the rows cannot determine it.

    ``low_support`` is True where fewer than ten rows of the kind that the metric counts exist
    (positives for recall, flagged rows for precision ...): read the value with care.
    """

    estimate: float | None
    low: float | None
    high: float | None
    low_support: bool


class Curve(NamedTuple):
    """Precision and recall at every distinct score, by rising threshold, then the point (1, 0)."""

    precision: Floats
    recall: Floats
    thresholds: Floats


class ReliabilityBin(NamedTuple):
    """Rows with a score in (low, high]: what was predicted and what was found.

    ``positive_low`` and ``positive_high`` are the Wilson interval of ``positive_share``.
    """

    low: float
    high: float
    rows: int
    positives: int
    mean_score: float
    positive_share: float
    positive_low: float
    positive_high: float


class _Basis(NamedTuple):
    """What a metric rests on: rows that count, trials if it is a proportion, anything at all."""

    support: float
    trials: float = 0.0
    defined: bool = True


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Sum precision over the steps in recall, without interpolation; NaN without positives."""
    return float(_cells.average_precision(_count(labels, scores))[0])


def roc_auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Give the share of (positive, negative) pairs in the right order; NaN with one class only."""
    return float(_cells.roc_auc(_count(labels, scores))[0])


def precision(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Give the share of rows with ``score >= threshold`` that are positive; NaN if none are."""
    return float(_cells.at_threshold(_count(labels, scores), threshold)["precision"][0])


def recall(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Give the share of positives with ``score >= threshold``; NaN without positives."""
    return float(_cells.at_threshold(_count(labels, scores), threshold)["recall"][0])


def f1(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Give the harmonic mean of precision and recall; NaN if nothing is flagged or positive."""
    return float(_cells.at_threshold(_count(labels, scores), threshold)["f1"][0])


def recall_at_fpr(labels: ArrayLike, scores: ArrayLike, rate: float) -> float:
    """Give the highest recall of any threshold that flags at most ``rate`` of the negatives.

    NaN without positives, and where there are fewer than ``1 / rate`` negatives: then not even
    one false positive fits the rate, and it cannot be told from zero.
    """
    cells = _count(labels, scores)
    if not _resolved(rate, float(cells.false_positives[0, -1])):
        return float("nan")
    return float(_cells.recall_at_fpr(cells, rate)[0])


def brier_score(labels: ArrayLike, scores: ArrayLike) -> float:
    """Give the mean squared difference between probability and label."""
    return float(_cells.brier_score(_count_probabilities(labels, scores))[0])


def calibration_error(labels: ArrayLike, scores: ArrayLike, *, bins: int | None = None) -> float:
    """Give the expected calibration error over bins of equal mass.

    That is the mean over rows of the gap, in the row's bin, between mean score and share of
    positives. Rows with equal scores share a bin. ``bins`` defaults to 15, fewer where that would
    leave less than 20 rows a bin: with small bins the error of a perfect model is far from zero.
    """
    cells = _count_probabilities(labels, scores)
    return float(np.abs(_cells.bin_gaps(cells, _cells.bin_starts(cells, bins))).sum())


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> Curve:
    """Give precision and recall at every distinct score; recall is NaN without positives."""
    cells = _count(labels, scores)
    found, wrong = cells.true_positives[0], cells.false_positives[0]
    return Curve(
        precision=np.append(_cells.ratio(found, found + wrong)[::-1], 1.0),
        recall=np.append(_cells.ratio(found, np.full_like(found, found[-1]))[::-1], 0.0),
        thresholds=cells.scores[::-1],
    )


def reliability_bins(
    labels: ArrayLike, scores: ArrayLike, *, bins: int = 10
) -> list[ReliabilityBin]:
    """Compare predicted with found in ``bins`` score ranges of equal width, empty ones left out.

    Equal width, unlike in :func:`calibration_error`, so that the few rows with high scores, which
    decide what is flagged, stay visible where positives are rare.
    """
    sample = _cells.check_probabilities(labels, scores)
    row_scores = sample.scores[sample.column]
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.searchsorted(edges[1:-1], row_scores)
    rows = np.bincount(place, minlength=bins)
    positives = np.bincount(place, weights=sample.labels, minlength=bins)
    totals = np.bincount(place, weights=row_scores, minlength=bins)
    return [
        _reliability_bin(edges, int(i), int(rows[i]), int(positives[i]), float(totals[i]))
        for i in np.flatnonzero(rows)
    ]


def wilson_interval(successes: float, trials: float) -> tuple[float, float]:
    """Give the 95% Wilson interval of a proportion; (0, 1) without trials."""
    if trials <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share = successes / trials
    scale = 1 + z * z / trials
    center = (share + z * z / (2 * trials)) / scale
    half = z * ((share * (1 - share) + z * z / (4 * trials)) / trials) ** 0.5 / scale
    return max(0.0, min(center - half, share)), min(1.0, max(center + half, share))


class Share(NamedTuple):
    """How many of some texts are flagged, with the 95% Wilson interval of their share."""

    name: str
    texts: int
    flagged: int
    low: float
    high: float

    @property
    def estimate(self) -> float:
        """The share itself, 0 where there are no texts."""
        return self.flagged / self.texts if self.texts else 0.0


def share_of(name: str, flagged: ArrayLike) -> Share:
    """Count what is flagged; ``flagged`` has shape (texts,)."""
    flags = np.asarray(flagged, dtype=np.bool_)
    hits = int(flags.sum())
    return Share(name, len(flags), hits, *wilson_interval(hits, len(flags)))


def auc_interval(negatives: ArrayLike, positives: ArrayLike) -> tuple[float, float, float]:
    """Give the area under the ROC curve with its 95% DeLong interval, kept within 0 to 1.

    From twenty scores of each kind on; with fewer it covers too rarely.

    :param negatives: scores of negatives, shape (m,), m at least 2.
    :param positives: scores of positives, shape (n,), n at least 2.
    """
    below, above = np.sort(np.asarray(negatives)), np.sort(np.asarray(positives))

    def ranks(values: Floats, among: Floats) -> Floats:
        """Give for each value the share of the others below it, ties counting half."""
        low, high = (np.searchsorted(among, values, side) for side in ("left", "right"))
        found: Floats = (low + high) / (2 * len(among))
        return found

    of_positives, of_negatives = ranks(above, below), 1 - ranks(below, above)
    area = float(of_positives.mean())
    variance = of_positives.var(ddof=1) / len(above) + of_negatives.var(ddof=1) / len(below)
    if not variance:  # nothing overlaps; the fewer scores say how sure that is
        trials = min(len(above), len(below))
        return area, *wilson_interval(area * trials, trials)
    half = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * float(variance) ** 0.5
    return area, max(0.0, area - half), min(1.0, area + half)


def ratio_interval(first: Share, second: Share) -> tuple[float, float, float]:
    """Give the ratio of two shares with its 95% interval; half a count is added to each cell."""
    shares = [(share.flagged + 0.5, share.texts + 1.0) for share in (first, second)]
    (a, m), (b, n) = shares
    ratio = (a / m) / (b / n)
    half = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * (1 / a - 1 / m + 1 / b - 1 / n) ** 0.5
    return float(ratio), float(ratio * np.exp(-half)), float(ratio * np.exp(half))


def measure(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    threshold: float,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Metric]:
    """Measure every metric of :data:`METRICS` at once, each with a 95% bootstrap interval.

    Rows are resampled with replacement ``resamples`` times; intervals are percentiles of the
    metric over resamples, with two exceptions. Where all resamples agree (a recall of 1 from
    eight positives), a proportion gets its Wilson interval instead of one without width. And
    noise in the bins only ever raises the calibration error, so that its interval reaches lower
    by as much as noise alone may have added.

    The same rows and seed give the same result, in whatever order the rows come. With
    ``resamples=0`` there are no intervals.

    :param labels: 0 or 1, shape (rows,).
    :param scores: probabilities, shape (rows,).
    :param threshold: a row is flagged if its score is at least this.
    :raises InputError: where the arrays do not fit each other or hold other values.
    """
    sample = _cells.check_probabilities(labels, scores)
    cells = _cells.count_rows(sample)
    starts = _cells.bin_starts(cells, None)
    found = _all_metrics(cells, threshold, starts)
    chunks = [_all_metrics(c, threshold, starts) for c in _cells.resample(sample, resamples, seed)]
    bases = _bases(cells, threshold)
    return {
        name: _metric(name, found[name][0], [chunk[name] for chunk in chunks], bases[name])
        for name in METRICS
    }


def _count(labels: ArrayLike, scores: ArrayLike) -> Cells:
    return _cells.count_rows(_cells.check_rows(labels, scores))


def _count_probabilities(labels: ArrayLike, scores: ArrayLike) -> Cells:
    return _cells.count_rows(_cells.check_probabilities(labels, scores))


def _all_metrics(cells: Cells, threshold: float, starts: NDArray[np.int64]) -> dict[str, Floats]:
    """Compute all metrics, each of shape (resamples,); of the calibration error, its gaps."""
    at_threshold = _cells.at_threshold(cells, threshold)
    rates = {name: _cells.recall_at_fpr(cells, rate) for name, rate in FALSE_POSITIVE_RATES.items()}
    return {
        "average_precision": _cells.average_precision(cells),
        "roc_auc": _cells.roc_auc(cells),
        **at_threshold,
        **rates,
        "brier_score": _cells.brier_score(cells),
        "calibration_error": _cells.bin_gaps(cells, starts),
    }


def _resolved(rate: float, negatives: float) -> bool:
    return rate * negatives >= 1


def _bases(cells: Cells, threshold: float) -> dict[str, _Basis]:
    positives = float(cells.true_positives[0, -1])
    negatives = float(cells.false_positives[0, -1])
    hits, false_alarms = _cells.flagged_counts(cells, threshold)
    flagged = float(hits[0] + false_alarms[0])
    rows, fewer = positives + negatives, min(positives, negatives)
    bases = {
        "average_precision": _Basis(fewer),
        "roc_auc": _Basis(fewer),
        "precision": _Basis(flagged, trials=flagged, defined=flagged > 0),
        "recall": _Basis(positives, trials=positives, defined=positives > 0),
        "f1": _Basis(min(positives, flagged)),
        "accuracy": _Basis(rows, trials=rows),
        "false_positive_rate": _Basis(negatives, trials=negatives, defined=negatives > 0),
        "brier_score": _Basis(rows),
        "calibration_error": _Basis(rows),
    }
    for name, rate in FALSE_POSITIVE_RATES.items():
        support = min(positives, rate * negatives)
        bases[name] = _Basis(support, trials=positives, defined=_resolved(rate, negatives))
    if not fewer:
        bases |= {name: bases[name]._replace(defined=False) for name in _NEED_BOTH_CLASSES}
    return bases


def _metric(name: str, found: Floats, chunks: list[Floats], basis: _Basis) -> Metric:
    low_support = basis.support < _LEAST_SUPPORT
    if not basis.defined:
        return Metric(None, None, None, low_support)
    drawn = np.concatenate(chunks) if chunks else np.empty((0, *found.shape))
    if name == "calibration_error":
        return Metric(*_calibration_interval(found, drawn), low_support)
    low, high = _interval(float(found), drawn[~np.isnan(drawn)], basis.trials)
    return Metric(float(found), low, high, low_support)


def _interval(estimate: float, drawn: Floats, trials: float) -> tuple[float | None, float | None]:
    if not len(drawn):
        return None, None
    low, high = _percentiles(drawn)
    if low == high and trials:
        return wilson_interval(estimate * trials, trials)
    return low, high


def _calibration_interval(gaps: Floats, drawn: Floats) -> tuple[float, float | None, float | None]:
    """Give the calibration error of the gaps with an interval for that without noise.

    Noise raises the expectation of a sum of absolute gaps by at most its own mean absolute size,
    which resampling shows. So the end of the interval below goes down by that, and the one above
    stays. Percentiles alone would miss a true error of 0 every time.
    """
    estimate = float(np.abs(gaps).sum())
    if not len(drawn):
        return estimate, None, None
    errors = np.abs(drawn).sum(axis=1)
    noise = float(np.abs(drawn - gaps).sum(axis=1).mean())
    center = float(errors.mean())
    low, high = _percentiles(errors)
    lowest = max(0.0, estimate - noise - (center - low))
    highest = min(1.0, estimate + high - center)
    # Rounding may put an end of an interval without width on the wrong side.
    return estimate, min(lowest, estimate), max(highest, estimate)


def _percentiles(drawn: Floats) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return float(low), float(high)


def _reliability_bin(
    edges: Floats, place: int, rows: int, positives: int, total: float
) -> ReliabilityBin:
    low, high = wilson_interval(positives, rows)
    return ReliabilityBin(
        low=float(edges[place]),
        high=float(edges[place + 1]),
        rows=rows,
        positives=positives,
        mean_score=total / rows,
        positive_share=positives / rows,
        positive_low=low,
        positive_high=high,
    )
