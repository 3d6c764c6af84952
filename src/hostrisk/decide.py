"""From a score to a decision: flagged or not, of which kind, against whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostrisk._reference import probability
from hostrisk.errors import InputError, PolicyError
from hostrisk.policy import NOBODY
from hostrisk.records import Decision

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from hostrisk.artifact import Artifact, Head
    from hostrisk.policy import Policy

__all__ = ["decide_one", "judge", "judge_many", "resolve_threshold"]


def resolve_threshold(
    artifact: Artifact, policy: Policy, threshold: float | None = None, at: str | None = None
) -> float:
    """Return the threshold to use: the caller's, or the policy's, by number or by name.

    :raises InputError: the caller's is no probability, no name that the model has, or both.
    :raises PolicyError: the policy's is neither a probability nor a name that the model has.
    """
    if at is not None:
        if threshold is not None:
            raise InputError("threshold and at were both given; give one of them")
        if at not in artifact.thresholds:
            known = ", ".join(artifact.thresholds)
            raise InputError(f"at is {at!r:.60}; the model {artifact.model_id} has {known}")
        return artifact.thresholds[at]
    if threshold is not None:
        if not _is_probability(threshold):
            raise InputError(f"threshold is {threshold!r}; it must be from 0 to 1")
        return float(threshold)
    if not isinstance(policy.threshold, str):
        if not _is_probability(policy.threshold):
            raise PolicyError(
                f"the policy {policy.name} has the threshold {policy.threshold!r}; it must be from "
                "0 to 1"
            )
        return float(policy.threshold)
    if policy.threshold not in artifact.thresholds:
        known = ", ".join(artifact.thresholds)
        raise PolicyError(
            f"the policy {policy.name} asks for the threshold {policy.threshold!r}, and the model "
            f"{artifact.model_id} has {known}"
        )
    return artifact.thresholds[policy.threshold]


def _is_probability(value: Any) -> bool:
    try:
        return bool(0 <= value <= 1)
    except (TypeError, ValueError):
        return False


def judge(artifact: Artifact, policy: Policy, text: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the kind of violence and the target groups that the words of a text speak for.

    The kind is the most probable one. Targets are those whose probability reaches the threshold
    of their head, the most probable first; if none does, ``general``, nobody in particular.
    """
    slots, sums = artifact.scorer.head_sums(text)
    count = len(artifact.kinds)
    kinds = _probabilities(artifact.kinds, sums[:count], slots, policy.kinds)
    targets = _probabilities(artifact.targets, sums[count:], slots, policy.targets)
    kind = kinds[0][1].name if kinds else None
    chosen = [head.name for value, head in targets if value >= head.threshold]
    nobody = [NOBODY] if NOBODY in policy.targets else []
    return kind, tuple(chosen or nobody)


def judge_many(
    artifact: Artifact, policy: Policy, texts: Sequence[str]
) -> tuple[tuple[str, ...], NDArray[np.int64], tuple[str, ...], NDArray[np.bool_]]:
    """Judge texts as :func:`judge` does, many at once.

    :returns: the kinds that the policy names, the place among them of each text's kind, shape
        (texts,), the target groups, and which of them each text has, shape (texts, groups).
    """
    import numpy as np

    found = [artifact.scorer.head_sums(text) for text in texts]
    heads = [*artifact.kinds, *artifact.targets]
    slots = np.array([each[0] for each in found], dtype=np.float64)
    sums = np.array([each[1] for each in found], dtype=np.float64).reshape(-1, len(heads))
    scale, bias, limit = (
        np.array([getattr(head, name) for head in heads]) for name in ("scale", "bias", "threshold")
    )
    logits = scale * sums / np.sqrt(np.maximum(slots, 1))[:, None] + bias
    count = len(artifact.kinds)
    kinds = [at for at in range(count) if heads[at].name in policy.kinds]
    targets = [at for at in range(count, len(heads)) if heads[at].name in policy.targets]
    chosen = 1 / (1 + np.exp(-logits[:, targets])) >= limit[targets]
    names = tuple(heads[at].name for at in targets)
    if NOBODY in policy.targets:
        nobody = ~chosen.any(axis=1)
        if NOBODY in names:
            chosen[:, names.index(NOBODY)] |= nobody
        else:
            names, chosen = (*names, NOBODY), np.column_stack([chosen, nobody])
    best = logits[:, kinds].argmax(axis=1) if kinds else np.full(len(texts), -1)
    return tuple(heads[at].name for at in kinds), best, names, chosen


def _probabilities(
    heads: tuple[Head, ...], sums: Sequence[float], slots: int, allowed: tuple[str, ...]
) -> list[tuple[float, Head]]:
    root = max(slots, 1) ** 0.5
    found = [
        (probability(head.scale * value / root + head.bias), head)
        for head, value in zip(heads, sums, strict=True)
        if head.name in allowed
    ]
    return sorted(found, key=lambda pair: -pair[0])


def decide_one(
    artifact: Artifact,
    policy: Policy,
    text: str | None,
    score: float | None,
    *,
    threshold: float,
    policy_id: str,
    supported: bool | None,
) -> Decision:
    """Decide about a text that has a score.

    A null text is neither flagged nor not, nor is one in a language that the model does not know
    and that reaches no threshold: of such a text a low score says nothing.
    """
    if score is None or text is None:
        return Decision(score, threshold, None, None, (), artifact.model_id, policy_id, supported)
    flagged = True if score >= threshold else None if supported is False else False
    kind, targets = judge(artifact, policy, text) if flagged else (None, ())
    return Decision(
        score, threshold, flagged, kind, targets, artifact.model_id, policy_id, supported
    )
