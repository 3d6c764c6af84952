"""Make probabilities mean what they say, and choose thresholds, on labeled posts.

Platt scaling (Platt 1999, "Probabilistic Outputs for Support Vector Machines"): the logit is
stretched and moved so that probabilities are shares of posts like those given. It is affine in the
logit, so the spans of an explanation still add up.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hostrisk._reference import probability
from hostrisk.artifact import (
    ACCURATE,
    FAST,
    GRAPH,
    PIECES,
    WEIGHTS,
    load_artifact,
    save_with_golden,
)
from hostrisk.errors import InputError
from hostrisk.metrics import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hostrisk.artifact import Artifact
    from hostrisk.classifier import Classifier

__all__ = ["LEAST_POSTS", "choose_thresholds", "fit_platt", "recalibrate"]

Floats = NDArray[np.float64]
LEAST_POSTS = 200
LEAST_POSITIVES = 20  # to fit two numbers on
_LEAST_OF_EACH = 5
_LEAST_FLAGGED = 10
_DEFAULT_RATE = 0.012
_FARTHEST = 1e-12  # of a probability from 0 and 1, to have a logit
_STEPS = 100


def fit_platt(logits: ArrayLike, labels: ArrayLike) -> tuple[float, float]:
    """Return slope and intercept: the calibrated logit is ``slope * logit + intercept``.

    Logistic regression by Newton's method. With fewer than 20 positives (or negatives) a slope
    would be guesswork, and only the intercept is fitted.
    """
    x, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    fewest = min(y.sum(), len(y) - y.sum())
    if fewest == 0:
        return 1.0, 0.0
    columns = np.column_stack([x, np.ones(len(x))])
    free = np.array([fewest >= LEAST_POSITIVES, True])
    found = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        shares = 1 / (1 + np.exp(-np.clip(columns @ found, -500, 500)))
        gradient = columns.T @ (y - shares)
        curvature = (columns * (shares * (1 - shares))[:, None]).T @ columns + 1e-9 * np.eye(2)
        step = np.zeros(2)
        step[free] = np.linalg.solve(curvature[np.ix_(free, free)], gradient[free])
        step /= max(1.0, float(np.abs(step).max()))  # far from the optimum Newton overshoots
        found += step
        found[0] = max(found[0], 1e-3)
        if np.abs(step).max() < 1e-9:
            break
    return float(found[0]), float(found[1])


def choose_thresholds(
    scores: Floats, labels: NDArray[Any], *, natural: bool = True
) -> dict[str, dict[str, Any]]:
    """Return named thresholds, each with what it aims at and what was measured for it.

    Shares have 95% Wilson intervals.

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


def _measured(threshold: float, scores: Floats, truth: NDArray[np.bool_]) -> dict[str, Any]:
    flagged = scores >= threshold
    hits = int((flagged & truth).sum())
    counts = {
        "precision": (hits, int(flagged.sum())),
        "recall": (hits, int(truth.sum())),
        "false_positive_rate": (int((flagged & ~truth).sum()), int((~truth).sum())),
    }
    shares = {name: round(part / max(whole, 1), 5) for name, (part, whole) in counts.items()}
    intervals = {
        f"{name}_interval": [round(end, 5) for end in wilson_interval(part, whole)]
        for name, (part, whole) in counts.items()
    }
    return {**shares, **intervals}


# --- a model for other posts ---------------------------------------------------------------------


def recalibrate(
    classifier: Classifier,
    texts: Sequence[str],
    labels: Sequence[int],
    out: str | os.PathLike[str],
) -> Artifact:
    """Write a model whose probabilities and thresholds are those of the posts given.

    The weights stay as they are; what a score of 0.3 means changes. Give a plain random sample of
    the posts to be scored: in a sample picked by hand violence is more common than on the host. Of
    a model with an encoder all tiers are calibrated.

    :param labels: 1 violent incitement, 0 not, one for each text.
    :param out: folder to write to.
    :raises InputError: fewer than 200 posts, or fewer than 5 of either label.
    :raises ModelError: the folder cannot be written.
    """
    artifact = classifier.artifact
    truth = np.asarray(labels, dtype=np.int64)
    _check_sample(truth)
    manifest: dict[str, Any] = {
        key: value for key, value in artifact.manifest.items() if key not in ("format", "files")
    }
    note = {"rows": len(truth), "positives": int(truth.sum()), "before": artifact.model_id}
    scorer: Any = artifact.scorer
    fast = scorer if artifact.tier == FAST else scorer.fast
    quick = _fit(fast.score_list(texts), truth)
    old = manifest["calibration"]
    manifest["calibration"] = {
        **old,
        **note,
        "slope": quick.slope * old["slope"],
        "intercept": quick.slope * old["intercept"] + quick.intercept,
    }
    manifest["thresholds"] = quick.thresholds
    if "encoder" in manifest:
        whole = artifact if artifact.tier == ACCURATE else load_artifact(artifact.path, ACCURATE)
        found = _fit(whole.scorer.score_list(texts), truth)
        manifest["encoder"] = _encoder(manifest["encoder"], found, quick, note)
    return _write(artifact, manifest, out)


class _Fit(NamedTuple):
    slope: float
    intercept: float
    thresholds: dict[str, dict[str, Any]]


def _fit(scores: Sequence[float | None], truth: NDArray[np.int64]) -> _Fit:
    known = np.clip(np.array(scores, dtype=np.float64), _FARTHEST, 1 - _FARTHEST)
    logits = np.log(known / (1 - known))
    slope, intercept = fit_platt(logits, truth)
    calibrated = np.array([probability(x) for x in (slope * logits + intercept).tolist()])
    return _Fit(slope, intercept, choose_thresholds(calibrated, truth))


def _encoder(
    encoder: Mapping[str, Any], found: _Fit, quick: _Fit, note: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the section of the encoder for its own new calibration and that of the fast model.

    The mix takes the fast model's calibrated logit, and the band its probability, so that both
    must follow where that moves.
    """
    mix = encoder["mix"]
    fast = found.slope * mix["fast"] / quick.slope
    bias = found.slope * mix["bias"] + found.intercept - fast * quick.intercept
    band = {
        end: probability(quick.slope * _logit(encoder["band"][end]) + quick.intercept)
        if 0 < encoder["band"][end] < 1
        else encoder["band"][end]
        for end in ("low", "high")
    }
    return {
        **encoder,
        "mix": {"encoder": found.slope * mix["encoder"], "fast": fast, "bias": bias},
        "band": {**encoder["band"], **band},
        "thresholds": found.thresholds,
        "calibration": dict(note),
    }


def _logit(value: float) -> float:
    return math.log(value / (1 - value))


def _check_sample(truth: NDArray[np.int64]) -> None:
    positives = int(truth.sum())
    if len(truth) < LEAST_POSTS or min(positives, len(truth) - positives) < _LEAST_OF_EACH:
        raise InputError(
            f"there are {len(truth):,} labeled posts, {positives:,} of them positive; to calibrate "
            f"takes at least {LEAST_POSTS}, with {_LEAST_OF_EACH} of each label"
        )


def _write(artifact: Artifact, manifest: dict[str, Any], out: str | os.PathLike[str]) -> Artifact:
    """Write a model folder again with another manifest, its golden texts scored anew."""
    contents = {}
    for name in artifact.manifest["files"]:
        with open(os.path.join(artifact.path, name), "rb") as file:
            contents[name] = file.read()
    encoder = (contents[GRAPH], contents[PIECES]) if "encoder" in manifest else None
    texts = [case["text"] for case in manifest.get("golden", [])]
    return save_with_golden(out, manifest, contents[WEIGHTS], texts, encoder=encoder)
