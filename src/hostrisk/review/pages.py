"""What the pages of a review say, drawn from the templates; every text on them is escaped."""

from __future__ import annotations

import os
import shlex
from functools import cache
from typing import TYPE_CHECKING, Any

from hostrisk._marks import marked_pieces
from hostrisk._templates import make_environment
from hostrisk._visible import visible
from hostrisk.policy import KINDS, TARGETS
from hostrisk.report import charts
from hostrisk.review.table import (
    FIRST,
    SECOND,
    SETTLE,
    describe_agreement,
    describe_verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostrisk.classifier import Classifier
    from hostrisk.review.table import Pace, Review

__all__ = ["finish_values", "post_values", "render", "start_values"]

_LONGEST_ID = 60
_ROLES = {FIRST: "First reviewer", SECOND: "Second reviewer", SETTLE: "Settling"}
# The written policy in short; docs/policy.md has all of it.
_KINDS = {
    "threat": "says that they or their side will do violence, or are ready to",
    "incitement": "calls for violence, or says it ought to be done, outside any court",
    "glorification": "praises, celebrates or thanks for real violence",
    "wish": "wishes death, injury or rape, or tells somebody to kill themselves",
}
_TARGETS = {
    "official": "judges, election workers, civil servants",
    "tech": "technology firms and their executives",
    "left": "as a political camp",
    "right": "as a political camp",
    "criminal": "alleged ones",
    "person": "somebody else, or the reader",
    "general": "nobody in particular",
}


def render(template: str, **values: Any) -> str:
    """Fill a template of the review; every value is escaped.

    :raises MissingExtraError: jinja2 is not installed.
    """
    return str(_environment().get_template(template).render(**values))


@cache
def _environment() -> Any:
    environment = make_environment("hostrisk.review", what="The review page")
    environment.filters["count"] = "{:,}".format
    environment.globals["colors"] = charts.COLORS
    environment.globals["kinds"] = [(name, _KINDS[name]) for name in KINDS]
    environment.globals["targets"] = [(name, _TARGETS.get(name, "")) for name in TARGETS]
    return environment


def start_values(review: Review, pace: Pace) -> dict[str, Any]:
    """Return what the first page shows."""
    return {**_frame(review, pace), "posts": _posts(len(review))}


def post_values(
    review: Review, pace: Pace, at: int, classifier: Classifier | None
) -> dict[str, Any]:
    """Return what the page of one post shows."""
    verdict = review.verdict(at)
    text = review.text(at)
    said = [] if review.role != SETTLE else _said(review, at)
    return {
        **_frame(review, pace),
        "number": at + 1,
        "id": _shorten(review.id(at)),
        "pieces": list(_pieces(text, classifier)),
        "verdict": verdict,
        "told": describe_verdict(verdict),
        "said": said,
        "highlights": classifier is not None,
    }


def finish_values(review: Review, pace: Pace) -> dict[str, Any]:
    """Return what the last page shows."""
    agreement = review.agreement() if review.role != FIRST else None
    return {
        **_frame(review, pace),
        "agreement": "" if agreement is None else describe_agreement(agreement),
        "steps": list(_steps(review)),
    }


def _frame(review: Review, pace: Pace) -> dict[str, Any]:
    """Return what stands on every page."""
    progress = review.progress()
    return {
        "file": visible(os.path.basename(review.sheet.path)),
        "role": _ROLES[review.role],
        "settling": review.role == SETTLE,
        "progress": progress,
        "left": pace.left(progress.total - progress.done),
    }


def _said(review: Review, at: int) -> list[tuple[str, str]]:
    return [(_ROLES[role], describe_verdict(review.verdict(at, role))) for role in (FIRST, SECOND)]


def _steps(review: Review) -> Iterator[tuple[str, str]]:
    """Yield what to do next, each with the command that does it."""
    file = visible(shlex.quote(str(review.sheet.path)))
    progress = review.progress()
    if progress.done < progress.total:
        option = {FIRST: "", SECOND: " --second", SETTLE: " --settle"}[review.role]
        yield "Go on later with the posts that are left:", f"hostrisk review {file}{option}"
        return
    if review.role == FIRST:
        yield (
            "Let a second person label the same posts, to learn how far people agree:",
            f"hostrisk review {file} --second",
        )
    elif review.disputes():
        yield "Settle the posts on which the two disagree:", f"hostrisk review {file} --settle"
    yield "Assess the posts with these labels:", f"hostrisk assess POSTS --labels {file}"


def _pieces(text: str, classifier: Classifier | None) -> Iterator[tuple[str, str]]:
    """Yield stretches of a text with the class each is marked by, empty for none."""
    spans = () if classifier is None else classifier.explain(text).spans
    for piece, span, shade in marked_pieces(text, spans, 0, len(text)):
        way = "" if span is None else f"{'up' if span.weight > 0 else 'down'}{shade + 1}"
        yield visible(piece.replace("\r\n", "\n"), keep="\n"), way


def _posts(count: int) -> str:
    return f"{count:,} post" + "s" * (count != 1)


def _shorten(name: str) -> str:
    shown = visible(name)
    return shown if len(shown) <= _LONGEST_ID else f"{shown[: _LONGEST_ID - 1]}…"
