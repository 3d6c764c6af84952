"""Evaluate a classifier on labeled texts: one call from a table to figures, a text or a page.

1. labeled.py reads the source batch by batch; only scores, labels and group numbers are kept.
2. metrics.py measures all rows, then each group, with bootstrap intervals.
3. The result is a frozen record; report/evaluation.py turns it into text or HTML.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

from hostrisk.artifact import Artifact
from hostrisk.decide import resolve_threshold
from hostrisk.errors import InputError, MissingExtraError

try:
    import numpy as np
    import pyarrow as pa
except ImportError as error:
    raise MissingExtraError("Evaluation", package=str(error.name)) from error


from hostrisk import metrics
from hostrisk.labeled import UNKNOWN, describe_source, read_labeled
from hostrisk.metrics import FALSE_POSITIVE_RATES, Metric, ReliabilityBin
from hostrisk.mistakes import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from hostrisk.mistakes import MistakeGroup
    from hostrisk.records import Span

__all__ = ["Counts", "CurvePoint", "Evaluation", "GroupEvaluation", "evaluate"]

_MOST_GROUPS = 1_000
_MOST_CURVE_POINTS = 400


class Counts(NamedTuple):
    """How many rows there are of each kind at the threshold."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def rows(self) -> int:
        """Count all rows."""
        return sum(self)

    @property
    def positives(self) -> int:
        """Count rows with label 1."""
        return self.true_positives + self.false_negatives

    @property
    def negatives(self) -> int:
        """Count rows with label 0."""
        return self.false_positives + self.true_negatives

    @property
    def flagged(self) -> int:
        """Count rows with a score of at least the threshold."""
        return self.true_positives + self.false_positives


class CurvePoint(NamedTuple):
    """What flagging from ``threshold`` on would find, and how much of it would be right."""

    threshold: float
    recall: float
    precision: float


@dataclass(frozen=True)
class GroupEvaluation:
    """The rows of one group, measured at the threshold of the whole."""

    name: str
    counts: Counts
    metrics: Mapping[str, Metric]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON can hold."""
        return {"name": self.name, **_counts_dict(self.counts), "metrics": _plain(self.metrics)}


@dataclass(frozen=True)
class Evaluation:
    """What a classifier gets right and wrong on labeled texts, and all it takes to repeat it.

    ``metrics`` maps the names in :data:`hostrisk.metrics.METRICS` to estimates with 95% bootstrap
    intervals; an estimate is None where the rows cannot determine it, and ``notes`` say why.
    ``without_label`` and ``without_text`` count rows that were left out.
    """

    source: str
    model: str
    policy: str
    threshold: float
    resamples: int
    seed: int
    counts: Counts
    without_label: int
    without_text: int
    metrics: Mapping[str, Metric]
    groups: tuple[GroupEvaluation, ...]
    precision_recall: tuple[CurvePoint, ...]
    reliability: tuple[ReliabilityBin, ...]
    notes: tuple[str, ...]
    errors: tuple[MistakeGroup, ...] = ()

    @property
    def rows(self) -> int:
        """Count the rows that were measured."""
        return self.counts.rows

    @property
    def positives(self) -> int:
        """Count the rows with label 1."""
        return self.counts.positives

    @property
    def left_out(self) -> int:
        """Count the rows that were not measured, for want of a label or a text."""
        return self.without_label + self.without_text

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON can hold, in an order made for reading."""
        return {
            "source": self.source,
            "model": self.model,
            "policy": self.policy,
            "threshold": self.threshold,
            **_counts_dict(self.counts),
            "left_out": self.left_out,
            "without_label": self.without_label,
            "without_text": self.without_text,
            "confidence": metrics.CONFIDENCE,
            "resamples": self.resamples,
            "seed": self.seed,
            "metrics": _plain(self.metrics),
            "groups": [group.to_dict() for group in self.groups],
            "curves": {
                "precision_recall": [point._asdict() for point in self.precision_recall],
                "reliability": [place._asdict() for place in self.reliability],
            },
            "notes": list(self.notes),
            "errors": [group.to_dict() for group in self.errors],
        }

    def to_text(self) -> str:
        """Return the figures as aligned tables for a terminal."""
        from hostrisk.report.evaluation import render_text

        return render_text(self.to_dict())

    def to_html(self) -> str:
        """Return the figures and curves as one self-contained HTML page.

        :raises MissingExtraError: jinja2 is not installed.
        """
        from hostrisk.report.evaluation import render_html

        return render_html(self.to_dict())


def evaluate(
    source: Any,
    *,
    model: Any = None,
    text: str = "text",
    label: str = "label",
    group: str | None = None,
    threshold: float | None = None,
    at: str | None = None,
    resamples: int = 1000,
    seed: int = 0,
    split: str | None = None,
    errors: int = 0,
) -> Evaluation:
    """Measure a classifier on labeled texts, over all rows and group by group.

    Rows with an unknown label (-1 or null) or without a text are left out and counted. A row is
    flagged if its score is at least the threshold.

    :param source: a path to CSV, JSON Lines or Parquet; a pandas or polars DataFrame, an Arrow
        table or anything with ``__arrow_c_stream__``; a ``datasets.Dataset``; dicts, one a row;
        or, if no such file exists, a name that ``datasets.load_dataset`` understands.
    :param model: None for the bundled model, the path of another, or an object with ``score``
        (Arrow strings to probabilities) and ``threshold``.
    :param text: column of the texts.
    :param label: column of the labels: 0, 1, true, false; -1, null or empty for unknown.
    :param group: column whose values part the rows into groups; none by default.
    :param threshold: 0 to 1; the model's own by default.
    :param at: name of a threshold that the model carries, in place of a number.
    :param resamples: bootstrap resamples behind each interval; 0 for no intervals.
    :param seed: seed of the resampling; the same seed gives the same intervals.
    :param split: split of a named dataset; ``test`` by default.
    :param errors: how many misses and false alarms of each group to keep, of those nearest to the
        threshold and as many of those farthest from it.
    :raises InputError: the source or a setting cannot be used; names the row and value, if one.
    :raises MissingExtraError: an optional package that is needed is not installed.
    """
    _check_settings(threshold, resamples, seed, errors)
    classifier = _resolve(model)
    limit = _limit(classifier, threshold, at)
    wrong = Collector(limit, errors) if errors else None
    batches = read_labeled(source, text=text, label=label, group=group, split=split)
    rows = _score_rows(classifier, batches, group, wrong)
    name = describe_source(source, split)
    _check_rows(rows, name)
    found = metrics.measure(
        rows.labels, rows.scores, threshold=limit, resamples=resamples, seed=seed
    )
    counts = _count(rows.labels, rows.scores, limit)
    return Evaluation(
        source=name,
        model=str(getattr(classifier, "model_id", type(classifier).__name__)),
        policy=str(getattr(getattr(classifier, "policy", None), "id", "")),
        threshold=limit,
        resamples=resamples,
        seed=seed,
        counts=counts,
        without_label=rows.without_label,
        without_text=rows.without_text,
        metrics=found,
        groups=tuple(_measure_groups(rows, limit, resamples, seed)),
        precision_recall=_curve(rows) if 0 < counts.positives < counts.rows else (),
        reliability=tuple(metrics.reliability_bins(rows.labels, rows.scores)),
        notes=tuple(_notes(counts, found, limit)),
        errors=() if wrong is None else tuple(wrong.groups(lambda text: _spans(classifier, text))),
    )


class _Rows(NamedTuple):
    """The rows that can be measured: labels, scores, and where there are groups their numbers."""

    labels: NDArray[np.int8]
    scores: NDArray[np.float64]
    group_of: NDArray[np.int64]
    group_names: list[str]
    without_label: int
    without_text: int


def _check_settings(threshold: float | None, resamples: int, seed: int, errors: int) -> None:
    if threshold is not None and not 0 <= threshold <= 1:
        raise InputError(f"threshold is {threshold}; it must be from 0 to 1")
    if resamples < 0:
        raise InputError(f"resamples is {resamples}; it must be 0 or more")
    if seed < 0:
        raise InputError(f"seed is {seed}; it must be 0 or more")
    if isinstance(errors, bool) or not isinstance(errors, Integral) or errors < 0:
        raise InputError(f"errors is {errors!r}; it must be a whole number, 0 or more")


def _limit(classifier: Any, threshold: float | None, at: str | None) -> float:
    if at is None:
        return float(classifier.threshold if threshold is None else threshold)
    if not isinstance(getattr(classifier, "artifact", None), Artifact):
        raise InputError("at names a threshold of a hostrisk model; give threshold as a number")
    return resolve_threshold(classifier.artifact, classifier.policy, threshold, at)


def _resolve(model: Any) -> Any:
    if model is None or isinstance(model, str | os.PathLike):
        import hostrisk

        return hostrisk.load() if model is None else hostrisk.load(model)
    for name in ("score", "threshold"):
        if not hasattr(model, name):
            raise InputError(f"model is of type {type(model).__name__}, which has no {name!r}")
    return model


def _spans(classifier: Any, text: str) -> tuple[Span, ...]:
    """Return the words that carry a score, none where the model cannot tell."""
    if not hasattr(classifier, "explain"):
        return ()
    spans: tuple[Span, ...] = classifier.explain(text).spans
    return spans


def _score_rows(
    classifier: Any, batches: Iterator[Any], group: str | None, wrong: Collector | None
) -> _Rows:
    labels, scores, group_of = [], [], []
    numbers: dict[str, int] = {}
    without_label = without_text = row = 0
    for batch in batches:
        has_text = np.asarray(batch.text.is_valid())
        has_label = batch.labels != UNKNOWN
        kept = has_text & has_label
        without_label += int(np.count_nonzero(~has_label))
        without_text += int(np.count_nonzero(has_label & ~has_text))
        labels.append(batch.labels[kept])
        scores.append(_scores(classifier, batch.text, kept, row))
        if batch.groups is not None:
            codes = [numbers.setdefault(name, len(numbers)) for name in batch.groups]
            if len(numbers) > _MOST_GROUPS:
                raise InputError(
                    f"column {group!r} has more than {_MOST_GROUPS:,} different values, too many "
                    "to measure by group"
                )
            group_of.append(np.array(codes, dtype=np.int64)[kept])
        if wrong is not None:
            at = np.flatnonzero(kept)
            texts = batch.text.filter(pa.array(kept)).to_pylist()
            names = None if batch.groups is None else [batch.groups[i] for i in at]
            wrong.add(row, labels[-1].tolist(), scores[-1].tolist(), texts, names, at.tolist())
        row += len(kept)
    return _Rows(
        _join(labels, np.int8),
        _join(scores, np.float64),
        _join(group_of, np.int64),
        list(numbers),
        without_label,
        without_text,
    )


def _join(parts: list[Any], kind: Any) -> Any:
    return np.concatenate(parts) if parts else np.empty(0, dtype=kind)


def _scores(
    classifier: Any, text: pa.Array[Any], kept: NDArray[np.bool_], before: int
) -> NDArray[np.float64]:
    """Score the texts of a batch and return the scores of the rows kept."""
    given = classifier.score(text)
    if isinstance(given, pa.Array | pa.ChunkedArray):
        given = given.to_numpy(zero_copy_only=False)
    scores: NDArray[np.float64] = np.array(given, dtype=np.float64)  # None becomes NaN
    if scores.shape != kept.shape:
        raise InputError(f"the model gave {scores.size} scores for {len(kept)} texts")
    bad = kept & ~((scores >= 0) & (scores <= 1))
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise InputError(
            f"the model scored row {before + at + 1} {scores[at]}, which is no probability"
        )
    return scores[kept]


def _check_rows(rows: _Rows, name: str) -> None:
    if not len(rows.labels):
        left_out = rows.without_label + rows.without_text
        reason = f"none of its {left_out:,} rows has both a label and a text"
        raise InputError(f"{name} cannot be measured: {reason if left_out else 'it has no rows'}")


def _count(labels: NDArray[np.int8], scores: NDArray[np.float64], threshold: float) -> Counts:
    kind = 2 * labels.astype(np.int64) + (scores >= threshold)
    quiet, alarms, missed, hits = np.bincount(kind, minlength=4).tolist()
    return Counts(hits, alarms, missed, quiet)


def _measure_groups(
    rows: _Rows, threshold: float, resamples: int, seed: int
) -> Iterator[GroupEvaluation]:
    for name in sorted(rows.group_names):
        kept = rows.group_of == rows.group_names.index(name)
        labels, scores = rows.labels[kept], rows.scores[kept]
        if not len(labels):  # all its rows were left out
            continue
        found = metrics.measure(labels, scores, threshold=threshold, resamples=resamples, seed=seed)
        yield GroupEvaluation(name, _count(labels, scores, threshold), found)


def _curve(rows: _Rows) -> tuple[CurvePoint, ...]:
    """Thin the precision-recall curve to what a chart can show, from low recall to high."""
    curve = metrics.precision_recall_curve(rows.labels, rows.scores)
    recall, precision = curve.recall[:-1][::-1], curve.precision[:-1][::-1]
    thresholds = curve.thresholds[::-1]
    # Of the points with one recall the first has the highest precision, the one that counts.
    _, steps = np.unique(recall, return_index=True)
    steps = steps[recall[steps] > 0]
    if len(steps) > _MOST_CURVE_POINTS:
        places = np.linspace(0, len(steps) - 1, _MOST_CURVE_POINTS).round().astype(np.int64)
        steps = steps[places]
    return tuple(
        CurvePoint(float(thresholds[i]), float(recall[i]), float(precision[i])) for i in steps
    )


def _notes(counts: Counts, found: Mapping[str, Metric], threshold: float) -> Iterator[str]:
    if not (counts.positives and counts.negatives):
        there, lacking, other = (
            ("positive", "negatives", "false-positive rate")
            if counts.positives
            else ("negative", "positives", "recall")
        )
        yield (
            f"Every row is {there}. Average precision, ROC AUC, precision, {other}, F1 and recall "
            f"at a false-positive rate need {lacking} too and are not given."
        )
    elif not counts.flagged:
        yield f"No row has a score of {threshold:.4g} or more, so that precision is not defined."
    for name, rate in FALSE_POSITIVE_RATES.items():
        if counts.positives and counts.negatives and found[name].estimate is None:
            yield (
                f"Recall at a false-positive rate of {rate * 100:.4g}% is not given: it takes "
                f"{round(1 / rate):,} negatives to resolve that rate, and there are "
                f"{counts.negatives:,}."
            )


def _counts_dict(counts: Counts) -> dict[str, int]:
    return {
        "rows": counts.rows,
        "positives": counts.positives,
        "flagged": counts.flagged,
        **counts._asdict(),
    }


def _plain(found: Mapping[str, Metric]) -> dict[str, dict[str, Any]]:
    return {name: metric._asdict() for name, metric in found.items()}
