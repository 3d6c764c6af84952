"""Measure a model on the test part, on the case suite, under attack and for fairness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hostrisk.classifier import Classifier
from hostrisk.fairness import (
    AREAS,
    ON_POSTS,
    IdentityResult,
    compare_dialects,
    measure_fairness,
)
from hostrisk.metrics import measure, reliability_bins, roc_auc
from hostrisk.robustness import measure_robustness

__all__ = [
    "evaluate_fairness", "evaluate_reliability", "evaluate_robustness", "evaluate_sources",
    "evaluate_suite", "evaluation_sets",
]  # fmt: skip

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


def evaluate_robustness(classifier: Classifier, texts: list[str]) -> dict[str, Any]:
    """Return recall under attack on violent posts, and how many generated strings are flagged."""
    found = measure_robustness(classifier, texts, [1] * len(texts))
    return {
        "at": found.at,
        "positives": found.positives,
        "attacks": {attack.name: [round(attack.recall, 4), round(attack.lost, 4)]
                    for attack in found.attacks},
        "noise": {kind.name: [kind.texts, kind.flagged] for kind in found.noise},
    }  # fmt: skip


def evaluate_fairness(
    classifier: Classifier,
    rows: pd.DataFrame,
    scores: NDArray[np.float64],
    tweets: list[str],
) -> dict[str, Any]:
    """Return the audit in short: on its own texts, and on the test part.

    Dialects are compared on the posts of davidson that no one called violent. Those that its
    annotators called offensive are not labeled for violence, but all that either model scored
    anywhere near a threshold were read by the policy.

    :param rows: the labeled rows of the test part; may be empty.
    :param scores: of these rows.
    :param tweets: the posts of davidson in the test part that are not labeled violent.
    """
    found = measure_fairness(
        classifier, rows["text"].tolist(), rows["label"].tolist(), scores=scores
    )
    of_tweets = np.array(classifier.score(tweets), dtype=np.float64)
    harmless = np.zeros(len(tweets), dtype=np.int64)
    dialects = [one for one in found.dialects if one.name != ON_POSTS]
    dialects += [
        one._replace(name="harmless posts of davidson")
        for one in compare_dialects(tweets, harmless, of_tweets, found.threshold)
    ]
    return {
        "at": found.at,
        "means": {**found.mean_areas(), "side_change": found.mean_change()},
        "lowest": {name: _lowest(found.identities, name) for name in AREAS},
        "posts": {name: _lowest(found.posts_identities, name) for name in AREAS},
        "posts_means": {
            name: float(np.mean([getattr(one, name).estimate for one in found.posts_identities]))
            for name in AREAS
            if found.posts_identities
        },
        "posts_groups": len(found.posts_identities),
        "posts_side_change": [
            [one.name, one.label, one.texts, one.mean_change] for one in found.posts_sides
        ],
        "slices": {one.name: [one.texts, one.flagged] for one in found.slices},
        "dialects": {
            one.name: [*one.aae[1:3], *one.white[1:3], one.ratio, one.low, one.high]
            for one in dialects
        },
    }


def _lowest(found: tuple[IdentityResult, ...], name: str) -> list[Any]:
    """Return the group whose area is lowest, and the area."""
    known = [(getattr(one, name).estimate, one.name) for one in found]
    return [] if not known else [min(known)[1], min(known)[0]]


def evaluate_reliability(scores: NDArray[np.float64], labels: NDArray[Any]) -> list[dict[str, Any]]:
    """Return the bins of a reliability plot."""
    return [place._asdict() for place in reliability_bins(labels, scores)]
