"""Which posts show what was found: people's labels first, then urgent ones, then high scores."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from hostrisk.decide import judge
from hostrisk.host.words.redaction import redact
from hostrisk.host.words.urgency import find_marks, is_urgent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostrisk.classifier import Classifier
    from hostrisk.host.labels import Labels
    from hostrisk.host.tally import Kept

__all__ = ["CANDIDATES", "choose_exemplars", "moment"]

# Of each host so many posts of the highest scores are looked at for marks of a credible threat.
CANDIDATES = 200
_FAINTEST = 0.1  # of the strongest span, for one to be listed


def choose_exemplars(
    posts: Sequence[Kept],
    labels: Labels | None,
    classifier: Classifier,
    *,
    most: int,
    keep: tuple[str, ...] = (),
    redacted: bool = True,
) -> tuple[list[dict[str, Any]], int]:
    """Return the posts to show, the gravest first, and how many of all given are urgent and up.

    Posts that people found harmless are left out, and all but the first of equal texts.

    :param posts: flagged posts and those that people found violent.
    :param most: how many to show.
    :param keep: handles that redaction leaves, such as those of public bodies.
    :param redacted: whether e-mail addresses, phone numbers and handles are taken out.
    """
    chosen: dict[str, dict[str, Any]] = {}
    for post in sorted(posts, key=lambda post: (-post.score, post.id)):
        label = labels.find(post) if labels else None
        if label is not None and not label.violent:
            continue
        record = _record(post, None if label is None else int(label.violent), classifier)
        chosen.setdefault(record["sha256"], record)
    ranked = sorted(
        chosen.values(),
        key=lambda one: (one["label"] != 1, not one["urgent"], -one["score"], one["id"]),
    )
    urgent = sum(record["urgent"] and record["removed_at"] is None for record in ranked)
    shown = ranked[:most]
    return [_shown(record, classifier, keep, redacted=redacted) for record in shown], urgent


def _record(post: Kept, label: int | None, classifier: Classifier) -> dict[str, Any]:
    kind, targets = post.kind, post.targets
    if kind is None:
        kind, targets = judge(classifier.artifact, classifier.policy, post.text)
    marks = find_marks(post.text, (), kind=kind, targets=targets)
    return {
        "id": post.id,
        "time": moment(post.time),
        "url": post.url,
        "score": post.score,
        "kind": kind,
        "targets": list(targets),
        "text": post.text,
        "redacted": False,
        "sha256": hashlib.sha256(post.text.encode()).hexdigest(),
        "marks": marks,
        "urgent": is_urgent(marks),
        "reported_at": moment(post.reported),
        "removed_at": moment(post.removed),
        "label": label,
    }


def moment(microseconds: int | None) -> str | None:
    """Return a time as ISO 8601 in UTC, to the second."""
    if microseconds is None:
        return None
    return f"{np.datetime64(microseconds // 1_000_000, 's')}Z"


def _shown(
    record: dict[str, Any], classifier: Classifier, keep: tuple[str, ...], *, redacted: bool
) -> dict[str, Any]:
    """Add the words that carry the score, and take out what tells who someone is."""
    text = record["text"]
    spans = classifier.explain(text).spans
    strongest = max((abs(span.weight) for span in spans), default=0.0)
    carrying = [span for span in spans if abs(span.weight) > _FAINTEST * strongest]
    cut = redact(text, keep=keep) if redacted else None
    shown = text if cut is None else cut.text
    return {
        **record,
        "text": shown,
        "redacted": shown != text,
        "spans": [
            {"start": place[0], "end": place[1], "weight": span.weight}
            for span in carrying
            if (place := _place(cut, span.start, span.end))
        ],
        "marks": [
            {"mark": mark.mark, "words": shown[place[0] : place[1]],
             "start": place[0], "end": place[1]}
            for mark in record["marks"]
            if (place := _place(cut, mark.start, mark.end))
        ],
    }  # fmt: skip


def _place(cut: Any, start: int, end: int) -> tuple[int, int] | None:
    if cut is None:
        return start, end
    moved: tuple[int, int] | None = cut.move(start, end)
    return moved
