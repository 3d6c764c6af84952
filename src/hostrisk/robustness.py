"""How a model stands up to those who want to be read but not found, and to harmless oddities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hostrisk.attacks import ATTACKS, NOISE, attack, noise
from hostrisk.decide import resolve_threshold
from hostrisk.errors import InputError
from hostrisk.labeled import check_sample
from hostrisk.metrics import Share, share_of
from hostrisk.records import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from hostrisk.classifier import Classifier

__all__ = ["AttackResult", "Robustness", "measure_robustness"]

AT = "balanced"


class AttackResult(NamedTuple):
    """One attack on all positives, and on all negatives if there are any.

    ``recall`` is what is left of it, with its 95% Wilson interval; ``lost`` is how much less that
    is than without the attack. ``false_positive_rate`` is that of the attacked negatives.
    """

    name: str
    recall: float
    low: float
    high: float
    lost: float
    false_positive_rate: float | None


class Robustness(NamedTuple):
    """All attacks, and how many harmless strings of each kind are flagged."""

    model: str
    threshold: float
    at: str
    positives: int
    negatives: int
    attacks: tuple[AttackResult, ...]
    noise: tuple[Share, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as values that JSON can hold."""
        record: dict[str, Any] = plain(self)
        return record

    def to_text(self) -> str:
        """Return the figures as aligned tables for a terminal."""
        from hostrisk.report.robustness import render_text

        return render_text(self.to_dict())

    def to_html(self) -> str:
        """Return the figures as one self-contained HTML page."""
        from hostrisk.report.robustness import render_html

        return render_html(self.to_dict())


def measure_robustness(
    classifier: Classifier,
    texts: Sequence[str],
    labels: Sequence[int],
    *,
    at: str = AT,
    generated: int = 10_000,
    seed: int = 0,
) -> Robustness:
    """Attack labeled texts in every way and see what a model still finds.

    :param labels: 1 violent incitement, 0 not, one for each text.
    :param at: the threshold of the model by name.
    :param generated: harmless strings to make, over all kinds.
    :raises InputError: no text has the label 1, one has neither 1 nor 0, or the model has no such
        threshold.
    """
    check_sample(texts, labels)
    threshold = resolve_threshold(classifier.artifact, classifier.policy, at=at)
    truth = np.asarray(labels) == 1
    if not truth.any():
        raise InputError("no text has the label 1; attacks are measured by what is still found")

    def flagged(given: list[str]) -> NDArray[np.bool_]:
        return np.asarray(classifier.score(given), dtype=np.float64) >= threshold

    plain = flagged(list(texts))
    recall = float(plain[truth].mean())
    results = [_result("none", plain, truth, recall)]
    for name in ATTACKS:
        found = flagged([attack(text, name, seed=seed) for text in texts])
        results.append(_result(name, found, truth, recall))
    count = generated // len(NOISE)
    odd = [share_of(name, flagged(list(noise(name, count, seed=seed)))) for name in NOISE]
    positives = int(truth.sum())
    return Robustness(
        classifier.model_id, threshold, at, positives, len(truth) - positives, tuple(results),
        tuple(odd),
    )  # fmt: skip


def _result(
    name: str, found: NDArray[np.bool_], truth: NDArray[np.bool_], before: float
) -> AttackResult:
    left = share_of(name, found[truth])
    others = None if truth.all() else float(found[~truth].mean())
    return AttackResult(name, left.estimate, left.low, left.high, before - left.estimate, others)
