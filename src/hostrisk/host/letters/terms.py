"""What a notice to a host says of its sender and of what follows, and when that is."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from hostrisk.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NoticeTerms", "date_of", "deadline_of", "fill_in", "host_of"]

_LONGEST_DEADLINE = 365
_MOST_NAMED = 5


class NoticeTerms(NamedTuple):
    """Who writes, on what ground, and what follows; what is empty is left to fill in.

    ``deadline_days`` count from the day of the assessment. ``jurisdiction`` stands in the letter;
    where it is the code of a country of the European Economic Area, such as ``"DE"``, or ``"EEA"``,
    statements apply there, otherwise in the European Union. ``law`` is a legal provision: with it
    statements say that posts are illegal, without it that they are against ``clause``.
    ``restriction`` is the code of the decision about posts that are still public, such as
    ``"DECISION_VISIBILITY_CONTENT_DISABLED"`` or ``"DECISION_PROVISION_PARTIAL_SUSPENSION"``.
    """

    provider: str = ""
    contact: str = ""
    clause: str = ""
    deadline_days: int = 7
    jurisdiction: str | None = None
    law: str | None = None
    restriction: str = ""


_UNFILLED = NoticeTerms(
    "[provider]", "[contact]", "[clause of the acceptable use policy]",
    restriction="DECISION_VISIBILITY_CONTENT_DISABLED",
)  # fmt: skip


def fill_in(terms: NoticeTerms) -> NoticeTerms:
    """Put what stands for a thing to fill in wherever terms are empty or do not say it."""
    given = {name: value for name, value in terms._asdict().items() if value not in {None, ""}}
    return _UNFILLED._replace(**given)


def host_of(assessment: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the figures of a host of an assessment.

    :raises InputError: it has no such host.
    """
    found: Mapping[str, Any]
    for found in assessment["hosts"]:
        if found["host"] == name:
            return found
    known = ", ".join(repr(found["host"]) for found in islice(assessment["hosts"], _MOST_NAMED))
    raise InputError(f"the assessment has no host {name!r:.80}; it has {known or 'none'}")


def deadline_of(assessment: Mapping[str, Any], terms: NoticeTerms) -> date:
    """Return the day by which the host is to answer.

    :raises InputError: the terms give no usable number of days.
    """
    days = terms.deadline_days
    if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= _LONGEST_DEADLINE:
        raise InputError(f"deadline_days is {days!r:.40}; it must be a whole number from 1 to 365")
    found = date_of(assessment["as_of"])
    if found is None:
        raise InputError(
            f"as_of of the assessment is {assessment['as_of']!r:.40}, which is no time"
        )
    return found + timedelta(days=days)


def date_of(time: Any) -> date | None:
    """Return the day of an ISO 8601 time; None where there is none."""
    try:
        return date.fromisoformat(time[:10])
    except (TypeError, ValueError):
        return None
