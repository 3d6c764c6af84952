"""Small immutable records that cross module borders: what a caller gets back."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Decision", "Explanation", "Span", "plain"]


def plain(value: Any) -> Any:
    """Turn records, and records within them, into dicts and lists, as JSON can hold them."""
    if hasattr(value, "_asdict"):
        return {name: plain(item) for name, item in value._asdict().items()}
    return [plain(item) for item in value] if isinstance(value, tuple | list) else value


class Span(NamedTuple):
    """A stretch of the original text and what it adds to the logit of the score.

    ``start`` and ``end`` count code points of the text as it was given.
    """

    start: int
    end: int
    text: str
    weight: float


class Decision(NamedTuple):
    """What was decided about one text, with all that is needed to question it later.

    ``supported`` says whether the text is in a language that the model was trained for; None where
    the model cannot tell. ``score`` is None where the text was null. ``flagged`` is None there
    too, and where the score of an unsupported text does not reach the threshold: not flagged would
    read as safe. ``kind`` and ``targets`` are empty where the text is not flagged.
    """

    score: float | None
    threshold: float
    flagged: bool | None
    kind: str | None
    targets: tuple[str, ...]
    model: str
    policy: str
    supported: bool | None = None


class Explanation(NamedTuple):
    """Why a text got its score: the logit is ``bias`` plus the weights of all spans.

    ``window`` is the stretch of the text, in code points, whose score the text got. ``method`` is
    how the weights were found: ``sum of weights`` (exact) or ``occlusion``.
    """

    text: str
    score: float
    logit: float
    bias: float
    spans: tuple[Span, ...]
    kind: str | None
    targets: tuple[str, ...]
    window: tuple[int, int]
    method: str = "sum of weights"
