"""Who is to be harmed: the words of a post that name a person, an office or a group.

A name counts only where the post does harm to it: as what is to be harmed (``hang Judge Harlow``),
as who is to suffer (``the bankers will swing``), by a pronoun in the same sentence (``the judge
lives there, somebody shoot him``), or in direct address (``@name I will cut you``). Where the
classifier has found a group of targets, the words that name the group are enough.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import cache
from typing import TYPE_CHECKING

from hostrisk.host.words.reading import any_of, compiled, word_lists
from hostrisk.policy import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hostrisk.host.words.reading import Reading
    from hostrisk.records import Span

__all__ = ["find_targets"]

_FILE = "target_words.csv"
# Plain letters around a name in which the harm to it must stand: by pronoun in fewer, to who is
# addressed in more.
_BEFORE, _AFTER, _MEANT, _ADDRESS = 90, 110, 70, 300

# What may stand between the harm and who is harmed.
_GAP = (
    r"(?: (?:up|down|out|off|on|at|to|into|in|over|the|that|this|those|these|a|an|all|every|each|"
    r"any|some|single|last|one|another|of|them|more|our|your|ur|my|his|her|their|acid|bricks?|"
    r"stones?|bullets?|petrol|gasoline|dirty|damn|corrupt|crooked|lying|filthy|fucking|evil|"
    r"traitor|so-called|local|old|bunch)){0,5}\s{1,3}$"
)
_ORDERED = compiled(rf"<harm>(?={_GAP})")
_HARMING = compiled(
    r"(?:<harming>|death to|bullets? for|(?:the )?(?:rope|noose|gallows|guillotine) for|war on|"
    r"heads? of|put (?:a|an|the|two|\d+|my|your) (?:\w+ )?(?:in|into|through|between|to))"
    rf"(?={_GAP})"
)
_PUTTING = compiled(rf"(?:put|putting|make|making|send|leave|see|want|watch)(?={_GAP})")
_PUT = re.compile(
    r"(?:\s\w+)?\s(?:in(?:to)?\s(?:the|a|an)\s(?:ground|coma|hospital|grave|morgue|box|dirt)|"
    r"in\s(?:body\sbags|coffins)|down(?:\slike|$|\W)|to\sdeath|against\s(?:the|a)\swall|"
    r"through\s(?:a|the)\s(?:wall|window)|bleed|scream|beg\b|die\b|swing|hang|hanged|dead\b|killed)"
)
# A word without which nothing here says harm: what far from any is need not be looked at.
_ANY_HARM = compiled(
    r"<harm>|<harming>|<harmed>|death to|bullets? for|(?:rope|noose|gallows|guillotine) for|war on|"
    r"heads? of|put|putting|make|making|send|leave|see|want|watch|to live|going to"
)
# Before a command to harm: the start of a clause, or who or what may go on with one.
_MAY_PRECEDE = re.compile(
    r"(?:^|[,;:!?.()\"\-*>/&#]|\b(?:to|will|'ll|gonna|must|should|and|then|lets?|let's|please|pls|i|"
    r"we|you|just|someone|somebody|anyone|can|could|now|ima|imma|finna|gotta|all|guys|boys|folks|"
    r"patriots|people|go|or|y'all|everyone|everybody|tonight|tomorrow|today|time|ought|shall|"
    r"monday|tuesday|wednesday|thursday|friday|saturday|sunday|pride|never|when|i'd|we'd|help|"
    r"always|cant|can't))\s{0,3}$"
)
_DENIED = re.compile(
    r"\b(?:(?:don'?t|do\snot|never|won't)(?!\s(?:stop|rest|quit))|nobody|no\sone|"
    r"stop(?!\stil)|without|not|(?!don't|won't)\w+n't|against|cannot|"
    r"protect|who(?:ever)?|leave|those)\b[^,;:.!?]{0,25}$"
)
_ASKED = re.compile(r"\s*(?:how|why|what|when|who|does|did|do|is|are)\b[^?]{0,300}\?")

_SUBJECT = compiled(
    r"(?:[^,.;:!?\"]{0,45}? )?(?:should|must|deserves?(?: to)?|needs? to|ought to|has to|have to|"
    r"gotta|will|gonna|going to|to|gets?|belongs?|is|are|can)(?: (?:all|just|be|get|have|be left|"
    r"first|both|finally|so|not))*? (?:<harmed>|his head|her head|their heads?|a dead m[ae]n)",
    r"(?: (?:all|now|first))?(?:die|dies|hang|hangs|burn|burns|bleed|bleeds|swing|swings|dead)",
    r"ha(?:s|ve) (?:a|an|one|two|three|\d+) (?:hours?|days?|weeks?|months?)(?: left)? to live",
    r"(?:is|are) (?:not|never) going to (?:see|make it|leave|wake)",
)
_REPORTS = re.compile(r"\b(?:says?|said|thinks?|wants?|told|hopes?|fears?|believes?|warns?)\b")
_PRONOUN = compiled(
    r"<harm>(?: (?:up|down|out))? (?:him|her|them|his|their)",
    r"(?:put|make|send) (?:a bullet in )?(?:him|her|them)"
    r"(?: (?:pay|bleed|beg|scream|down|in the ground|against))?",
    r"(?:he|she|they)(?:'ll| will| must| should| is going to| are going to| gonna)? "
    r"(?:be |get )?(?:<harmed>)",
)
_THREAT = compiled(
    r"<harm>(?: \w+){0,2} (?:you|your|ur|u|ya)",
    r"put (?:you|u|ur|your) (?:through|in|down)",
    r"(?:you|u|ya)(?:'ll| will|'re going to| are going to| gonna)?(?: all)? (?:<harmed>)",
    r"you(?:'re| are) (?:a )?dead",
)
_ADDRESSED = re.compile(r"\s?[,:!.\-]|\s(?:i|we|you|ur|your|on)\b|\s?$")

# --- names ---------------------------------------------------------------------------------------

_HANDLE = re.compile(r"(?<![\w.@/])@(?!\d+(?:am|pm|h)?\b)\w{2,40}")
_NAME = r"[A-Z][a-z'\-]{1,20}(?:\s[A-Z][a-z'\-]{1,20}){0,2}"
_FOLLOWS = re.compile(r"(?:[ \t][A-Z][\w'\-]{0,2}[a-z][\w'\-]{0,18}){1,2}")
_TITLED = compiled(r"(?:mr|mrs|ms|dr|miss)\.? [a-z]{2,20}")
_AFTER_TITLE = re.compile(rf"\.?{_FOLLOWS.pattern}")
# Harm whose object may be a bare name; "beat Leeds" and "burn Rome" are said without harm.
_NAMED_OBJECT = re.compile(
    r"(?i:\b(?:kill|murder|shoot|hang|lynch|stab|execute|behead|strangle|poison|rape|assassinate|"
    r"gut|beat up|ambush|shank|decapitate|put|killing|hanging|shooting|stabbing)) "
    rf"(?i:that |this )?({_NAME})"
)
_NAMED_SUBJECT = re.compile(
    rf"\b({_NAME})\s(?:should|must|deserves\sto|needs\sto|has\sto|ought\sto|gotta|will)\s"
)
_CALLED = re.compile(rf"(?:^|[,.!?\"]\s?|\b(?i:hey|listen|god)\s)({_NAME})\s?(?=[,.!:\-]|\sif\b)")
_ERRAND = re.compile(
    r"\s(?:(?:a|an|me|us|over|your|the|that)\s)?(?:e-?mail|text|message|dm|line|note)\b"
)
_NOT_GROUPS = frozenset({"title", "no name"})


@cache
def _first_names() -> frozenset[str]:
    from hostrisk.material import names

    return frozenset(name for family in names().values() for name in family) | {
        "Karen", "Kev", "Kevin", "Bob", "Mike", "Dave", "John", "Rob", "Elena", "Tom", "Steve",
    }  # fmt: skip


@cache
def _words_for(targets: frozenset[str]) -> re.Pattern[str]:
    """Compile the words that name any of these groups; of all groups where none is given."""
    names = word_lists(_FILE).keys()
    if targets:
        groups = names & {*targets, *(f"{target} place" for target in targets)}
    else:
        groups = {name for name in names if name not in _NOT_GROUPS and not name.endswith(" place")}
    return compiled(*(any_of(name, _FILE) for name in sorted(groups)))


@cache
def _titles() -> re.Pattern[str]:
    return compiled(any_of("title", _FILE))


def find_targets(
    reading: Reading, spans: Sequence[Span] = (), targets: Iterable[str] = ()
) -> list[tuple[int, int]]:
    """Return the stretches of plain letters that name who is to be harmed."""
    groups = frozenset(word_lists(_FILE).keys() & set(targets))
    anchors = _anchors(reading, spans)
    harm = [match.start() for match in _ANY_HARM.finditer(reading.low)]
    found = {}
    for start, end in _mentions(reading):
        near = anchors or bisect_left(harm, start - _BEFORE) < bisect_left(harm, end + _ADDRESS)
        if near and _is_harmed(reading, start, end, anchors):
            found[start] = end
    if groups and NOBODY not in groups:
        found |= dict(_known(reading, groups))
    found |= dict(_names(reading))
    return [(start, _without_s(reading, start, end)) for start, end in sorted(found.items())]


def _without_s(reading: Reading, start: int, end: int) -> int:
    return end - 2 if reading.low.endswith("'s", start, end) else end


def _anchors(reading: Reading, spans: Sequence[Span]) -> list[int]:
    """Return where the strongest words of the classifier end, in plain letters."""
    strongest = max((span.weight for span in spans), default=0.0)
    if strongest <= 0:
        return []
    strong = [span for span in spans if span.weight >= strongest / 2]
    return [reading.place(span.start, span.end)[1] for span in strong]


def _mentions(reading: Reading) -> Iterator[tuple[int, int]]:
    """Yield every stretch that names a person by handle or title, an office or a group."""
    for match in _HANDLE.finditer(reading.low):
        yield match.span()
    for match in _words_for(frozenset()).finditer(reading.low):
        yield match.start(), _with_name(reading, match.end())
    for match in _TITLED.finditer(reading.low):
        yield match.span()
    if reading.is_shouted:
        return
    for match in _titles().finditer(reading.low):
        name = _AFTER_TITLE.match(reading.cased, match.end())
        if name and reading.cased[match.start()].isupper():
            yield match.start(), name.end()


def _with_name(reading: Reading, end: int) -> int:
    """Stretch an office over the name behind it."""
    name = None if reading.is_shouted else _FOLLOWS.match(reading.cased, end)
    if not name or name[0].split()[0].lower() in word_lists(_FILE)["no name"]:
        return end
    return name.end()


def _known(reading: Reading, groups: frozenset[str]) -> Iterator[tuple[int, int]]:
    """Yield the words that name the groups which the classifier has found."""
    for match in _words_for(groups).finditer(reading.low):
        before = reading.low[
            max(reading.sentence(match.start())[0], match.start() - 40) : match.start()
        ]
        if not reading.is_told(*match.span()) and not _DENIED.search(before):
            yield match.start(), _with_name(reading, match.end())


# --- harm ----------------------------------------------------------------------------------------


def _is_harmed(reading: Reading, start: int, end: int, anchors: list[int]) -> bool:
    if reading.is_told(start, end):
        return False
    first, last = reading.sentence(start)
    if _ASKED.match(reading.low, first, last):
        return False
    before = reading.low[max(first, start - _BEFORE) : start]
    after = reading.low[end : min(last, end + _AFTER)]
    return (
        _is_object(before, after)
        or _is_after_anchor(reading, start, anchors)
        or _is_subject(before, after)
        or _is_meant(before, after)
        or _is_addressed(reading, start, end)
    )


def _is_object(before: str, after: str) -> bool:
    match = _HARMING.search(before)
    if match:
        return not _DENIED.search(before[: match.start()])
    match = _ORDERED.search(before)
    if match:
        governing = before[: match.start()]
        return bool(_MAY_PRECEDE.search(governing)) and not (
            _DENIED.search(governing) or _ERRAND.match(after)
        )
    match = _PUTTING.search(before)
    return bool(match and _PUT.match(after) and not _DENIED.search(before[: match.start()]))


def _is_after_anchor(reading: Reading, start: int, anchors: list[int]) -> bool:
    """Say whether a name follows a word that carries the classifier's score."""
    for anchor in anchors:
        if 0 < start - anchor <= 30 and re.fullmatch(_GAP, reading.low[anchor:start]):
            return not _DENIED.search(reading.low[max(0, anchor - 40) : anchor])
    return False


def _is_subject(before: str, after: str) -> bool:
    match = _SUBJECT.match(after.removeprefix("'s").lstrip(" "))
    return bool(match and not _REPORTS.search(match[0]) and not _DENIED.search(before + match[0]))


def _is_meant(before: str, after: str) -> bool:
    """Say whether a pronoun after the name is harmed."""
    match = _PRONOUN.search(after[:_MEANT])
    return bool(match and not _DENIED.search(after[: match.start()]) and not _DENIED.search(before))


def _is_addressed(reading: Reading, start: int, end: int) -> bool:
    """Say whether the post speaks to who is named, and threatens ``you``."""
    titled = reading.low[start] == "@" or (
        not reading.is_shouted
        and reading.cased[end - 1 : end].islower()
        and " " in reading.cased[start:end]
        and reading.cased[start].isupper()
    )
    if not titled or not _ADDRESSED.match(reading.low, end):
        return False
    threat = _THREAT.search(reading.low, end, end + _ADDRESS)
    return bool(threat and not reading.is_told(*threat.span()))


def _names(reading: Reading) -> Iterator[tuple[int, int]]:
    """Yield bare names that are harmed."""
    if reading.is_shouted:
        return
    for match in _NAMED_OBJECT.finditer(reading.cased):
        if _is_name(match[1]) and _is_named_object(reading, match):
            yield match.span(1)
    for match in _NAMED_SUBJECT.finditer(reading.cased):
        after = reading.low[match.end(1) + 1 : match.end(1) + _AFTER]
        alone = " " not in match[1] and reading.sentence(match.start())[0] == match.start()
        known = not alone or match[1] in _first_names()
        if (
            known
            and _is_name(match[1])
            and not reading.is_told(*match.span())
            and _is_subject("", after)
        ):
            yield match.span(1)
    for match in _CALLED.finditer(reading.cased):
        if match[1].split()[0] in _first_names() and _is_addressed_by_name(reading, match):
            yield match.span(1)


def _is_name(words: str) -> bool:
    others = word_lists(_FILE)["no name"]
    return not any(word.lower() in others for word in words.split())


def _is_named_object(reading: Reading, match: re.Match[str]) -> bool:
    first, _ = reading.sentence(match.start())
    before = reading.low[max(first, match.start() - 40) : match.start()]
    after = reading.low[match.end() : match.end() + 40]
    if match[0][:3].lower() == "put" and not _PUT.match(after):
        return False
    return bool(
        _MAY_PRECEDE.search(before)
        and not _DENIED.search(before)
        and not _ERRAND.match(after)
        and not reading.is_told(*match.span())
    )


def _is_addressed_by_name(reading: Reading, match: re.Match[str]) -> bool:
    threat = _THREAT.search(reading.low, match.end(), match.end() + _ADDRESS)
    return bool(threat and not reading.is_told(*threat.span()))
