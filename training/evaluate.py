"""Measure a model on the test part, source by source, on the case suite and under attack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hostrisk.attacks import ATTACKS, attack
from hostrisk.classifier import Classifier
from hostrisk.metrics import measure, roc_auc

__all__ = ["evaluate_attacks", "evaluate_sources", "evaluate_suite", "evaluation_sets"]

_SHOWN = (
    "average_precision", "roc_auc", "precision", "recall", "f1", "false_positive_rate",
    "recall_at_fpr_0.01", "recall_at_fpr_0.001", "brier_score", "calibration_error",
)  # fmt: skip


def evaluation_sets(rows: pd.DataFrame) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each set that figures are given for.

    Rows of ``reread_violence`` were taken from other files for being called violent there, so they
    are measured among the rows that are left in those files.
    """
    source, origin = rows["source"], rows["origin"]
    sets = {}
    for name in sorted(source.unique()):
        if name == "reread_violence":
            moved = sorted(origin[source == name].dropna().unique())
            for place in moved:
                mask = (source == place) | ((source == name) & (origin == place))
                sets[f"{name}: {place}"] = np.flatnonzero(mask)
            every = source.isin([name, *moved])
            sets[f"{name}: all"] = np.flatnonzero(every)
        else:
            sets[name] = np.flatnonzero(source == name)
    return sets


def evaluate_sources(
    scores: NDArray[np.float64], rows: pd.DataFrame, threshold: float, resamples: int
) -> dict[str, Any]:
    """Return counts and metrics with 95% bootstrap intervals for each set of the test part."""
    labels = rows["label"].to_numpy()
    found = {}
    for name, at in evaluation_sets(rows).items():
        metrics = measure(labels[at], scores[at], threshold=threshold, resamples=resamples)
        found[name] = {
            "rows": len(at),
            "positives": int(labels[at].sum()),
            **{
                key: [None if value is None else round(value, 5) for value in metrics[key][:3]]
                for key in _SHOWN
                if metrics[key].estimate is not None
            },
        }
    return found


def evaluate_suite(classifier: Classifier, suite: pd.DataFrame) -> dict[str, Any]:
    """Return the share of cases decided right: all, by label, and by capability."""
    scores = np.array(classifier.score(suite["text"].tolist()), dtype=np.float64)
    labels = suite["label"].to_numpy()
    right = (scores >= classifier.threshold) == (labels == 1)
    capability = suite["origin"].to_numpy()
    table = {
        name: {
            "cases": int((capability == name).sum()),
            "label": int(labels[capability == name].max()),
            "right": round(float(right[capability == name].mean()), 4),
        }
        for name in sorted(set(capability))
    }
    return {
        "cases": len(suite),
        "right": round(float(right.mean()), 4),
        "right_positive": round(float(right[labels == 1].mean()), 4),
        "right_negative": round(float(right[labels == 0].mean()), 4),
        "roc_auc": round(roc_auc(labels, scores), 4),
        "capabilities": table,
    }


def evaluate_attacks(
    classifier: Classifier, texts: list[str], threshold: float
) -> dict[str, Mapping[str, float]]:
    """Return the recall on positives as they are and after each attack."""
    plain = np.array(classifier.score(texts), dtype=np.float64)
    recall = float((plain >= threshold).mean())
    found = {"none": {"texts": len(texts), "recall": round(recall, 4), "lost": 0.0}}
    for name in ATTACKS:
        spelled = [attack(text, name) for text in texts]
        scores = np.array(classifier.score(spelled), dtype=np.float64)
        after = float((scores >= threshold).mean())
        found[name] = {
            "texts": len(texts), "recall": round(after, 4), "lost": round(recall - after, 4),
        }  # fmt: skip
    return found
