"""Statements of reasons for single posts, as the EU's Digital Services Act asks for them.

They follow Article 17 of Regulation (EU) 2022/2065 in the schema of the DSA Transparency Database
(dsa.py), and are drafts for a person to check. Every hosting service owes its customers such
statements; only online platforms send them to the database, and without personal data (Article
24(5)).
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import TYPE_CHECKING, Any

from hostrisk._visible import visible
from hostrisk.errors import InputError
from hostrisk.host.letters.dsa import check_statement, load_schema
from hostrisk.host.letters.packet import canonical_json
from hostrisk.host.letters.terms import NoticeTerms, date_of, deadline_of, fill_in, host_of
from hostrisk.host.words.redaction import redact
from hostrisk.policy import NOBODY
from hostrisk.report.drawing import cut
from hostrisk.report.host.words import day
from hostrisk.report.markdown import LINKED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

__all__ = ["render_statements", "statements_of_reasons", "undrafted"]

_REMOVED = "DECISION_VISIBILITY_CONTENT_REMOVED"
_MEANS = {
    "threat": "says that its author or their side will do violence to someone, or is ready to",
    "incitement": "calls on others to do violence, or says that it ought to be done or is deserved",
    "glorification": "praises, celebrates or approvingly jokes about real violence or who did it",
    "wish": "wishes death, injury or rape on somebody",
}
_NAMES = {
    "threat": "Threat of violence",
    "glorification": "Glorification of violence",
    "wish": "Wish of violence",
}
_MEETING = {"time", "place"}
_NAME_MARKER = "[@name]"  # what redaction puts in place of a user name
_LONG_NUMBER = 6  # digits, from which on a word may be a telephone number or an account


def statements_of_reasons(
    assessment: Mapping[str, Any],
    host_name: str,
    *,
    terms: NoticeTerms = NoticeTerms(),  # noqa: B008  # immutable
) -> list[dict[str, Any]]:
    """Draft a statement of reasons for each exemplar, in the schema of the DSA database.

    Posts that :func:`undrafted` names are left out. A post that was removed gets its removal as
    the decision, from that day; any other ``terms.restriction``, from the deadline on.

    :raises InputError: the assessment has no such host, or the terms make no valid statement.
    """
    host, terms = host_of(assessment, host_name), fill_in(terms)
    left_out = {place for place, _ in _without_statement(assessment, host, terms)}
    drafted = []
    for place, post in enumerate(host["exemplars"]):
        if place not in left_out:
            drafted.append(_statement(assessment, host_name, post, terms))
            _check_drafted(drafted[-1], post)
    return drafted


def undrafted(
    assessment: Mapping[str, Any],
    host_name: str,
    *,
    terms: NoticeTerms = NoticeTerms(),  # noqa: B008  # immutable
) -> list[tuple[str, str]]:
    """Return the id of each exemplar for which no statement can be made, and why."""
    host = host_of(assessment, host_name)
    left_out = _without_statement(assessment, host, fill_in(terms))
    return [(host["exemplars"][place]["id"], why) for place, why in left_out]


def _without_statement(
    assessment: Mapping[str, Any], host: Mapping[str, Any], terms: NoticeTerms
) -> list[tuple[int, str]]:
    fields, found = load_schema()["fields"], []
    first = {key: fields[key]["first"] for key in ("content_date", "application_date")}
    for place, post in enumerate(host["exemplars"]):
        posted, applied = date_of(post["time"]), _application_date(assessment, post, terms)
        if post.get("label") == 0:
            found.append((place, "a person found it not violent."))
        elif posted is None:
            found.append((place, "it has no date, which the schema asks for."))
        elif posted.isoformat() < first["content_date"]:
            found.append((place, "the schema takes no posts from before the year 2000."))
        elif applied.isoformat() < first["application_date"]:
            found.append((place, "the schema takes no decisions from before the year 2020."))
    return found


def _check_drafted(statement: Mapping[str, Any], post: Mapping[str, Any]) -> None:
    problems = check_statement(statement)
    if problems:
        raise InputError(
            f"no statement of reasons can be made for the post {post['id']!r:.80} with these "
            f"terms: {problems[0]}"
        )


def render_statements(statements: Sequence[Mapping[str, Any]]) -> bytes:
    """Write statements as JSON in the form that the database takes, at most 100 a call."""
    return canonical_json({"statements": [dict(statement) for statement in statements]})


def _statement(
    assessment: Mapping[str, Any], host_name: str, post: Mapping[str, Any], terms: NoticeTerms
) -> dict[str, Any]:
    posted = date_of(post["time"])
    reported = post.get("reported_at")
    return {
        **_decision(post, terms),
        **_ground(post, terms),
        **_category(post),
        **_language(post),
        "decision_facts": _facts(assessment, post),
        "content_type": ["CONTENT_TYPE_TEXT"],
        "content_date": None if posted is None else posted.isoformat(),
        "application_date": _application_date(assessment, post, terms).isoformat(),
        "territorial_scope": _scope(terms),
        "source_type": "SOURCE_TYPE_OTHER_NOTIFICATION" if reported else "SOURCE_VOLUNTARY",
        "automated_detection": "Yes",
        "automated_decision": "AUTOMATED_DECISION_PARTIALLY",
        "puid": _puid(assessment, host_name, post),
    }


def _decision(post: Mapping[str, Any], terms: NoticeTerms) -> dict[str, Any]:
    code = _REMOVED if post.get("removed_at") else terms.restriction
    schema = load_schema()
    for field in schema["one_of"]:
        if code in schema["fields"][field]["codes"] and not code.endswith("_OTHER"):
            return {field: [code] if schema["fields"][field]["form"] == "codes" else code}
    raise InputError(
        f"restriction is {code!r:.60}; it must be a code of the DSA database that needs no "
        f"explanation, such as {NoticeTerms().restriction}"
    )


def _ground(post: Mapping[str, Any], terms: NoticeTerms) -> dict[str, str]:
    meaning = _MEANS.get(post["kind"], "is violent as the policy of the assessment defines it")
    name, ground = ("incompatible", terms.clause) if terms.law is None else ("illegal", terms.law)
    reference, ground = "ground" if name == "incompatible" else "legal_ground", cut(ground, 500)
    return {
        "decision_ground": f"DECISION_GROUND_{name.upper()}_CONTENT",
        f"{name}_content_{reference}": ground,
        f"{name}_content_explanation": (
            f"The post {meaning}. {ground} does not allow this, whoever it is aimed at."
        ),
    }


def _category(post: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"category": "STATEMENT_CATEGORY_VIOLENCE"}
    if post["kind"] != "incitement":
        # The schema has no keyword for these, and they are no incitement.
        name = _NAMES.get(post["kind"], "Violence in words")
        return found | {
            "category_specification": ["KEYWORD_OTHER"],
            "category_specification_other": name,
        }
    keywords = ["KEYWORD_INCITEMENT_VIOLENCE_HATRED"]
    if {mark["mark"] for mark in post["marks"]} >= _MEETING:
        keywords.append("KEYWORD_COORDINATED_HARM")
    return found | {"category_specification": keywords}


def _language(post: Mapping[str, Any]) -> dict[str, str]:
    """Say that a text is English where its words are; of other languages nothing is known."""
    words = _english()
    return {"content_language": "EN"} if words and words.supports([post["text"]])[0] else {}


@cache
def _english() -> Any:
    from hostrisk.artifact import bundled_path, load_artifact

    found = load_artifact(bundled_path()).vocabulary
    return found if found is not None and found.languages == ("en",) else None


def _facts(assessment: Mapping[str, Any], post: Mapping[str, Any]) -> str:
    words = (_impersonal(word) for word in redact(post["text"]).text.split())
    start = f"{' '.join(_fact_sentences(assessment, post))} Its text, redacted: "
    return f"{start}“{cut(visible(' '.join(words)), 5000 - len(start) - 2)}”"


def _impersonal(word: str) -> str:
    # An address may hold a name and a number be an account; the database is public.
    if LINKED.search(word.replace(_NAME_MARKER, "")):
        return "[address]"
    return "[number]" if sum(map(str.isdigit, word)) >= _LONG_NUMBER else word


def _fact_sentences(assessment: Mapping[str, Any], post: Mapping[str, Any]) -> Iterator[str]:
    aimed = ", ".join(name for name in post["targets"] if name != NOBODY)
    at_whom = f" (aimed at: {aimed})" if aimed else ""
    yield (
        f"An automated assessment as of {day(assessment['as_of'][:10])} flagged the post as "
        f"{post['kind'] or 'violent'}{at_whom} with a score of {post['score']:.3f} (threshold "
        f"{assessment['threshold']:.3f}, classifier {assessment['model']}, policy "
        f"{assessment['policy']})."
    )
    if post.get("label") == 1:
        yield "A person reviewed it and found it violent."
    marks = sorted({mark["mark"] for mark in post["marks"]})
    if marks:
        yield f"It has these marks of a concrete plan: {', '.join(marks)}."
    if post.get("reported_at"):
        yield f"It was reported on {day(post['reported_at'][:10])}."
    if post.get("removed_at"):
        yield f"It was removed on {day(post['removed_at'][:10])}."
    else:
        yield f"No removal was known on {day(assessment['as_of'][:10])}."


def _application_date(
    assessment: Mapping[str, Any], post: Mapping[str, Any], terms: NoticeTerms
) -> date:
    return date_of(post.get("removed_at")) or deadline_of(assessment, terms)


def _scope(terms: NoticeTerms) -> list[str]:
    schema = load_schema()
    countries: list[str] = schema["fields"]["territorial_scope"]["codes"]
    named = (terms.jurisdiction or "").strip().upper()
    if named == "EEA":
        return countries
    if named in countries:
        return [named]
    return [country for country in countries if country not in schema["not_in_eu"]]


def _puid(assessment: Mapping[str, Any], host_name: str, post: Mapping[str, Any]) -> str:
    """Name a statement by a hash: the id of a post may hold a name, and signs that none may have.

    The same post in the same assessment has the same name, so that it cannot be sent twice.
    """
    named = [assessment[key] for key in ("as_of", "model", "policy")]
    named += [host_name, post["id"], post["sha256"]]
    return f"hostrisk-{hashlib.sha256(json.dumps(named).encode()).hexdigest()[:40]}"
