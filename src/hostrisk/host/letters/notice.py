"""The letter to the operator of a host: a draft for a person to check and sign, in Markdown."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from hostrisk._templates import make_environment
from hostrisk.host.letters.statements import undrafted
from hostrisk.host.letters.terms import NoticeTerms, deadline_of, fill_in, host_of
from hostrisk.policy import NOBODY
from hostrisk.report.drawing import cut
from hostrisk.report.host.words import (
    call_method,
    count,
    day,
    estimate,
    figures,
    hours,
    moment,
    p_value,
    share_of,
)
from hostrisk.report.markdown import code, finalize, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["draft_notice"]

_MOST_EXAMPLES = 10
_MOST_NAMED = 5
_LONGEST_TEXT = 2_000


def draft_notice(
    assessment: Mapping[str, Any],
    host_name: str,
    *,
    terms: NoticeTerms = NoticeTerms(),  # noqa: B008  # immutable
    root: str | None = None,
) -> str:
    """Draft the letter to the operator of a host, as Markdown.

    :param assessment: what ``HostAssessment.to_dict`` gives.
    :param root: the root hash of the evidence packet that goes with the letter. A letter inside
        the packet cannot name it.
    :raises InputError: the assessment has no such host, or the terms cannot be used.
    :raises MissingExtraError: jinja2 is not installed.
    """
    host, terms = host_of(assessment, host_name), fill_in(terms)
    left_out = undrafted(assessment, host_name, terms=terms)
    chosen = _in_order(host)
    text: str = _environment().get_template("notice.md").render(
        host=host_name,
        terms=terms,
        as_of=moment(assessment["as_of"]),
        period=_period(assessment),
        found=list(_found(assessment, host)),
        shown=_shown(chosen),
        examples=[_example(assessment, post) for post in chosen[:_MOST_EXAMPLES]],
        acted=list(_acted(assessment, host)),
        asked=list(_asked(host)),
        deadline=day(deadline_of(assessment, terms).isoformat()),
        urgent=any(post["urgent"] for post in chosen),
        references=list(_references(assessment, root)),
        drafted=_drafted(len(host["exemplars"]), len(left_out)),
        undrafted=left_out,
        limits=list(_limits(assessment, host)),
    )  # fmt: skip
    return text.rstrip() + "\n"


def _in_order(host: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the exemplars but those a person found harmless, the urgent and the surest first."""
    chosen = [post for post in host["exemplars"] if post.get("label") != 0]
    return sorted(chosen, key=lambda post: (not post["urgent"], -post["score"], post["id"]))


def _period(assessment: Mapping[str, Any]) -> str:
    period = assessment.get("period") or {}
    if not (period.get("start") and period.get("end")):
        return "a time that is not known"
    return f"{day(period['start'])} to {day(period['end'])}"


def _level(assessment: Mapping[str, Any]) -> str:
    return f"{figures(assessment['level'] * 100)}%"


def _found(assessment: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[str]:
    overall, level = host["overall"], _level(assessment)
    if overall["prevalence"] is None:
        yield f"No share of violent posts can be given for the {count(overall['posts'], 'post')}."
    else:
        yield (
            f"Of {count(overall['posts'], 'post')}, an estimated {estimate(overall, level)} "
            f"threaten, call for, praise or wish physical violence. {_method(overall)}"
        )
    yield (
        f"The classifier flagged {count(overall['flagged'], 'post')} for people to look at. That "
        "count is not the estimate: it misses some violent posts and holds some harmless ones."
    )
    views = host.get("views")
    if views and views["prevalence"] is not None:
        yield f"Weighted by how often posts were seen, the share is {estimate(views, level)}."
    trend = host.get("trend")
    if trend:
        yield f"Trend: the share {trend['sentence']}{_chance(trend)}."
    else:
        yield "The posts do not allow a statement on a trend."
    for title, groups in (("By kind", host["kinds"]), ("By target", host["targets"])):
        named = _named(groups, level)
        if named:
            yield f"{title}: {named}."


def _method(found: Mapping[str, Any]) -> str:
    reviewed, positives = found.get("reviewed"), found.get("positives")
    said = f"Method: {call_method(found['method'])}"
    if not reviewed:
        return f"{said}; nobody has reviewed posts of this host, so that it trusts the classifier."
    return f"{said}; people read {count(reviewed, 'post')} and found {positives:,} of them violent."


def _chance(trend: Mapping[str, Any]) -> str:
    p = trend.get("p_adjusted")
    said = p_value(trend["p_value"] if p is None else p)
    return f"; {said}" if said else ""


def _named(groups: Sequence[Mapping[str, Any]], level: str) -> str:
    """Name the groups that most flagged posts fall under, with their estimates where known."""
    chosen = [group for group in groups if group["flagged"] and group["name"] != NOBODY]
    chosen.sort(key=lambda group: (-group["flagged"], group["name"]))
    return "; ".join(
        f"{group['name']}, {group['flagged']:,} flagged"
        + ("" if group["prevalence"] is None else f", estimated {estimate(group, level)}")
        for group in chosen[:_MOST_NAMED]
    )


def _shown(chosen: Sequence[Mapping[str, Any]]) -> str:
    shown = min(len(chosen), _MOST_EXAMPLES)
    rest = "" if shown == len(chosen) else f" of {len(chosen):,}; the others are in the packet"
    return f"{count(shown, 'post')}{rest}, the urgent ones first."


def _example(assessment: Mapping[str, Any], post: Mapping[str, Any]) -> dict[str, Any]:
    text = cut(post["text"], _LONGEST_TEXT)
    note = "Personal details in the text are replaced." if post["redacted"] else "Text as it was."
    return {
        "id": post["id"],
        "date": moment(post["time"]),
        "url": post["url"],
        "kind": post["kind"] or "not known",
        "targets": ", ".join(post["targets"]) or "nobody in particular",
        "marks": ", ".join(_marks(post)) or "none",
        "state": _state(assessment, post),
        "sha256": post["sha256"],
        "urgent": post["urgent"],
        "note": f"{note} Cut here; the packet has all of it." if text != post["text"] else note,
        "text": text,
    }


def _marks(post: Mapping[str, Any]) -> Iterator[str]:
    for found in post["marks"]:
        # Words that were redacted in the text must not come back through its marks.
        shown = found.get("words") and found["words"] in post["text"]
        yield f"{found['mark']} (“{found['words']}”)" if shown else str(found["mark"])


def _state(assessment: Mapping[str, Any], post: Mapping[str, Any]) -> str:
    reported, removed = post.get("reported_at"), post.get("removed_at")
    told = f"reported {moment(reported)}; " if reported else ""
    if removed:
        return f"{told}removed {moment(removed)}"
    return f"{told}no removal known as of {moment(assessment['as_of'])}"


def _acted(assessment: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[str]:
    response, level = host.get("responsiveness"), _level(assessment)
    if not response:
        yield "No times of reports and removals are known to us; please tell us what you did."
        return
    yield _of("flagged posts", "were removed", "removed", response.get("flagged"), level)
    reported = response.get("reported") or {}
    if reported:
        yield _of("reported posts", "were removed", "removed", reported, level)
        first_day = reported.get("handled_24h")
        yield _of("reported posts", "were handled in 24 hours", "handled", first_day, level)
    yield from _times(response)
    notice = response.get("notice")
    if notice:
        yield from _since_notice(notice, level)


def _of(posts: str, done: str, key: str, found: Mapping[str, Any] | None, level: str) -> str:
    if not found or found.get("share") is None:
        return f"How many {posts} {done} is not known."
    return f"Of {found['posts']:,} {posts}, {found[key]:,} {done}: {share_of(found, level)}."


def _times(response: Mapping[str, Any]) -> Iterator[str]:
    times, backlog = response.get("time_to_removal"), response.get("backlog")
    if times:
        median, posts = times.get("median_hours"), count(times["posts"], "post")
        start = "report" if times["from"] == "report" else "posting"
        if median is None:
            yield f"Fewer than half of {posts} were removed; no median time from {start} is known."
        else:
            yield f"Half of {posts} were removed within {hours(median)} of {start}."
    if backlog:
        yield f"On {day(backlog[-1]['date'])}, {count(backlog[-1]['open'], 'post')} stood open."


def _since_notice(notice: Mapping[str, Any], level: str) -> Iterator[str]:
    parts = (("handled_24h", "Handled within 24 hours"), ("flagged_share", "Flagged, of all posts"))
    for key, title in parts:
        before, after = notice["before"].get(key), notice["after"].get(key)
        if before and after:
            yield (
                f"{title}: {share_of(before, level)} before the notice of {day(notice['date'])}, "
                f"{share_of(after, level)} after it."
            )


def _asked(host: Mapping[str, Any]) -> Iterator[str]:
    urgent = sum(bool(post["urgent"]) for post in _in_order(host))
    if urgent:
        yield (
            f"Look at the {count(urgent, 'urgent post')} at once, and inform the authorities where "
            "somebody's life or safety seems to be in danger and the law asks you to."
        )
    yield (
        "Look at the posts above and those in the packet, remove or close off those that are "
        "violent, and tell us for each what you decided and when."
    )
    yield (
        "Keep a copy of what you remove, with the times, so that the decision can be questioned."
    )
    yield (
        "Tell us how you find such posts and handle reports of them: by which rules, by how many "
        "people, and how fast."
    )
    yield "Name a person whom we can reach at any hour about urgent posts."


def _references(assessment: Mapping[str, Any], root: str | None) -> Iterator[tuple[str, str]]:
    yield "Classifier", assessment["model"]
    yield "Policy", assessment["policy"]
    named = assessment.get("threshold_name")
    yield "Threshold", f"{assessment['threshold']:.6g}" + (f" ({named})" if named else "")
    yield "Made with", f"hostrisk {assessment['version']}"
    if root is not None:
        yield "Root hash of the evidence packet", root


def _drafted(posts: int, left_out: int) -> str:
    drafted = posts - left_out
    verb = "is" if drafted == 1 else "are"
    return f"Statements of reasons {verb} drafted for {drafted:,} of {count(posts, 'post')}."


def _limits(assessment: Mapping[str, Any], host: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "A classifier scored every post by its words, and people reviewed posts where it says so "
        "above. It does not know who wrote a post, what they meant, what went before or what a "
        "picture showed. It misses calls by allusion, and flags figures of speech and quotations. "
        "No score is a finding of fact or of law, and no figure says anything about any one person."
    )
    unsupported = host.get("unsupported") or {}
    if unsupported.get("posts"):
        yield (
            f"{count(unsupported['posts'], 'post')} "
            f"{'is' if unsupported['posts'] == 1 else 'are'} in languages that the classifier does "
            "not know. They were not found harmless; they were not judged."
        )
    level = _level(assessment)
    yield (
        f"A {level} interval is made so that about {level} of such intervals hold the true figure. "
        "The evidence packet has the figures, the posts and all that is needed to check them again."
    )


@cache
def _environment() -> Any:
    # Not HTML: finalize escapes all that is put in.
    environment = make_environment(
        "hostrisk.host.letters", what="The notice letter", escaped=False, finalize=finalize
    )
    environment.filters.update(code=code, quoted=quoted)
    return environment
