"""Render an evaluation: a dict of figures in, a summary in words and numbers, then text or HTML.

The input is what ``Evaluation.to_dict`` gives, so that a page can be drawn again from stored JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostrisk._visible import visible
from hostrisk.report import charts, mistakes
from hostrisk.report.drawing import align, render_page, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["render_html", "render_text", "summarize"]

_TITLES = {
    "average_precision": (
        "Average precision",
        "how well the ranking puts positives first; at random it is the share of positives",
    ),
    "roc_auc": ("ROC AUC", "chance that a positive scores higher than a negative"),
    "precision": ("Precision", "share of flagged rows that are positive"),
    "recall": ("Recall", "share of positives that are flagged"),
    "f1": ("F1", "harmonic mean of precision and recall"),
    "accuracy": ("Accuracy", "share of rows decided rightly"),
    "false_positive_rate": ("False-positive rate", "share of negatives that are flagged"),
    "recall_at_fpr_0.01": ("Recall at FPR 1%", "positives found if 1 in 100 negatives is flagged"),
    "recall_at_fpr_0.001": ("Recall at FPR 0.1%", "the same for 1 negative in 1,000"),
    "recall_at_fpr_0.0001": ("Recall at FPR 0.01%", "the same for 1 negative in 10,000"),
    "brier_score": ("Brier score", "mean squared error of the probability; lower is better"),
    "calibration_error": (
        "Calibration error",
        "mean gap between predicted and found share (ECE, bins of equal mass); lower is better",
    ),
}
_AT_THRESHOLD = ("precision", "recall", "f1", "accuracy", "false_positive_rate")
_TILES = ("average_precision", "precision", "recall", "false_positive_rate")
_GROUP_METRICS = {
    "precision": "Precision",
    "recall": "Recall",
    "false_positive_rate": "FPR",
    "average_precision": "AP",
}
_LONGEST_NAME = 120
_LONGEST_TEXT_NAME = 48
_NONE = "n/a"


def summarize(record: Mapping[str, Any]) -> dict[str, Any]:
    """Put an evaluation into the words, numbers and order in which it is shown."""
    groups = sorted(record["groups"], key=_accuracy_then_name)
    return {
        "source": shorten(record["source"], _LONGEST_NAME),
        "model": shorten(record["model"], _LONGEST_NAME),
        "policy": shorten(record["policy"], _LONGEST_NAME),
        "threshold": f"{record['threshold']:.4g}",
        "headline": _headline(record),
        "method": _method(record),
        "tiles": [_metric(name, record["metrics"][name]) for name in _TILES],
        "metrics": [_metric(name, metric) for name, metric in record["metrics"].items()],
        "counts": {
            name: f"{record[name]:,}"
            for name in (
                *("true_positives", "false_positives", "false_negatives", "true_negatives"),
                *("rows", "positives", "flagged"),
            )
        },
        "groups": [_group(group) for group in groups],
        "bins": [_bin(place) for place in record["curves"]["reliability"]],
        "notes": [*_left_out(record), *record["notes"], *_low_support(record)],
    }


def render_text(record: Mapping[str, Any]) -> str:
    """Draw the figures as aligned tables for a terminal, in ASCII but for names from the data."""
    summary = summarize(record)
    model = f"model {summary['model']}, policy {summary['policy'] or 'none'}"
    parts = [
        f"{summary['source']}\n{summary['headline']}\n{model}, threshold {summary['threshold']}",
        align(_metric_rows(summary), right=(1,)),
        align(_count_rows(summary), right=(1, 2)),
    ]
    if summary["groups"]:
        parts.append("groups, weakest first\n" + align(_group_rows(summary), right=range(1, 10)))
    if record.get("errors"):
        parts.append("mistakes, of each group the farthest from the threshold, then the nearest")
        parts.append(mistakes.render_text(record["errors"]))
    parts.append("\n".join(f"- {visible(note)}" for note in (*summary["notes"], summary["method"])))
    return "\n\n".join(parts)


def render_html(record: Mapping[str, Any]) -> str:
    """Draw the figures and curves as one page without scripts or outside files.

    :raises MissingExtraError: jinja2 is not installed.
    """
    summary = summarize(record)
    drawn = {"style": charts.STYLE, **_charts(record)}
    wrong = mistakes.summarize(record.get("errors", ()))
    return render_page(
        "evaluation.html", summary=summary, charts=drawn, bar=charts.interval_bar, mistakes=wrong
    )


# --- summary -------------------------------------------------------------------------------------


def _accuracy_then_name(group: Mapping[str, Any]) -> tuple[float, str]:
    return group["metrics"]["accuracy"]["estimate"], group["name"]


def _number(value: float | None) -> str:
    if value is None:
        return _NONE
    # Two figures are left of small values, so that a Brier score of 0.0042 is not 0.004.
    return f"{value:.3f}" if value >= 0.01 or value == 0 else f"{value:.2g}"


def _between(metric: Mapping[str, Any]) -> str:
    if metric["low"] is None:
        return ""
    return f"{_number(metric['low'])} to {_number(metric['high'])}"


def _metric(name: str, metric: Mapping[str, Any]) -> dict[str, Any]:
    title, meaning = _TITLES[name]
    return {
        "title": title,
        "meaning": meaning,
        "at_threshold": name in _AT_THRESHOLD,
        "value": _number(metric["estimate"]),
        "between": _between(metric),
        **metric,
    }


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    found = group["metrics"]
    return {
        "name": shorten(group["name"], _LONGEST_NAME),
        "rows": f"{group['rows']:,}",
        "positives": f"{group['positives']:,}",
        "flagged": f"{group['flagged']:,}",
        "accuracy": _metric("accuracy", found["accuracy"]),
        "others": [
            {**_metric(name, found[name]), "short": short} for name, short in _GROUP_METRICS.items()
        ],
    }


def _bin(place: Mapping[str, Any]) -> dict[str, str]:
    return {
        "range": f"{place['low']:.1f} to {place['high']:.1f}",
        "rows": f"{place['rows']:,}",
        "positives": f"{place['positives']:,}",
        "predicted": _number(place["mean_score"]),
        "found": _number(place["positive_share"]),
        "between": f"{_number(place['positive_low'])} to {_number(place['positive_high'])}",
    }


def _headline(record: Mapping[str, Any]) -> str:
    rows, positives = record["rows"], record["positives"]
    hits, flagged = record["true_positives"], record["flagged"]
    return (
        f"{_count(rows, 'row')}, {positives:,} of them positive "
        f"({charts.percent(positives / rows)}). The model flags {flagged:,}: {hits:,} rightly, "
        f"{flagged - hits:,} wrongly; it misses {positives - hits:,}."
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _left_out(record: Mapping[str, Any]) -> Iterator[str]:
    reasons = (("without_label", "without a known label"), ("without_text", "without a text"))
    parts = [f"{_count(record[name], 'row')} {words}" for name, words in reasons if record[name]]
    if parts:
        yield f"Left out: {' and '.join(parts)}."


def _low_support(record: Mapping[str, Any]) -> Iterator[str]:
    thin = [
        _TITLES[name][0]
        for name, metric in record["metrics"].items()
        if metric["low_support"] and metric["estimate"] is not None
    ]
    if thin:
        yield f"Rough, as fewer than ten rows decide it: {', '.join(thin)}."


def _method(record: Mapping[str, Any]) -> str:
    if not record["resamples"]:
        return "No intervals: they were not asked for."
    return (
        f"Intervals are {record['confidence']:.0%} bootstrap intervals from "
        f"{record['resamples']:,} resamples of the rows (seed {record['seed']}); a share that is "
        "the same in all of them has its Wilson interval."
    )


# --- text ----------------------------------------------------------------------------------------


def _metric_rows(summary: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield ("metric", "estimate", "95% interval", "")
    for metric in summary["metrics"]:
        thin = "few rows" if metric["low_support"] and metric["estimate"] is not None else ""
        yield (metric["title"], metric["value"], metric["between"], thin)


def _count_rows(summary: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    counts = summary["counts"]
    yield ("rows", "flagged", "not flagged")
    yield ("positive", counts["true_positives"], counts["false_negatives"])
    yield ("negative", counts["false_positives"], counts["true_negatives"])


def _group_rows(summary: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    yield (
        *("group", "rows", "positive", "flagged", "accuracy", "95% interval"),
        *("precision", "recall", "FPR", "AP"),
    )
    for group in summary["groups"]:
        name, accuracy = group["name"], group["accuracy"]
        short = name if len(name) <= _LONGEST_TEXT_NAME else name[: _LONGEST_TEXT_NAME - 3] + "..."
        counts = (group["rows"], group["positives"], group["flagged"])
        others = (metric["value"] for metric in group["others"])
        yield (short, *counts, accuracy["value"], accuracy["between"], *others)


# --- page ----------------------------------------------------------------------------------------


def _charts(record: Mapping[str, Any]) -> dict[str, str]:
    curves, metrics = record["curves"], record["metrics"]
    drawn = {
        "precision_recall": "",  # with one class only there is no curve
        "reliability": charts.reliability_chart(
            curves["reliability"], threshold=record["threshold"]
        ),
    }
    if curves["precision_recall"]:
        precision = metrics["precision"]["estimate"]
        chosen = None if precision is None else (metrics["recall"]["estimate"], precision)
        drawn["precision_recall"] = charts.precision_recall_chart(
            curves["precision_recall"],
            base_rate=record["positives"] / record["rows"],
            chosen=chosen,
            threshold=record["threshold"],
        )
    return drawn
