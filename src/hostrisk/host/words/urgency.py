"""Marks of a credible threat: what makes one violent post more pressing than another.

Guidance on threat assessment asks of a threat how direct, how specific and how plausible it is: is
a victim named, a place, a time, a weapon, are there steps that one takes who means it (O'Toole
2000, "The School Shooter: A Threat Assessment Perspective", FBI; Fein & Vossekuil 1998,
"Protective Intelligence and Threat Assessment Investigations", US Department of Justice; Meloy,
Hoffmann, Guldimann & James 2012, "The Role of Warning Behaviors in Threat Assessment", Behavioral
Sciences & the Law 30). ``find_marks`` looks for those five in the words of a post:

* ``target``    a person, an office or a group that the post names and wants harmed
* ``place``     a named place, or one that a reader could find (``outside his house``)
* ``time``      a point or a short window of time that lies ahead
* ``means``     a weapon, a tool or a method at hand; naming the act alone (``shoot``) is none
* ``planning``  steps, coordination, knowledge of where somebody is to be found

It is meant for posts that the classifier has flagged: an invitation to a vigil has a time and a
place too. A mark says what the words say and nothing about what their author will do. Rather a
mark is missed than a wrong one given: what only reports, quotes to expose or condemns has none.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from hostrisk.host.words.reading import Reading, compiled, pattern_of
from hostrisk.host.words.redaction import ADDRESS
from hostrisk.host.words.targets import find_targets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hostrisk.records import Span

__all__ = ["MARKS", "Mark", "find_marks", "is_urgent"]

MARKS = ("target", "place", "time", "means", "planning")
_URGENT = 2
_NEARBY = 150  # plain letters around a tool in which a word of cooking or sport excuses it

_Stretch = tuple[int, int]


class Mark(NamedTuple):
    """A mark and the words that carry it; ``start`` and ``end`` are code points of the text."""

    mark: str
    words: str
    start: int
    end: int


def find_marks(
    text: str, spans: Sequence[Span] = (), *, kind: str | None = None, targets: Iterable[str] = ()
) -> tuple[Mark, ...]:
    """Return the marks of a credible threat in a text, in the order of their words.

    :param spans: what carried the score, as ``Explanation.spans`` has it: a name behind a strong
        word is a target.
    :param kind: the kind of violence that was found. In a threat or a call, a weapon counts however
        it is named; praise of a deed has marks only where it goes on to a time or to steps.
    :param targets: the groups that were found, as ``Decision.targets`` has them: any words that
        name one of them are a target.
    """
    if not text:
        return ()
    reading = Reading(text)
    found = {
        "target": find_targets(reading, spans, targets),
        "place": list(_places(reading)),
        "time": list(_times(reading)),
        "means": _means(reading, is_call=kind in {"threat", "incitement"}),
    }
    found["planning"] = [
        step for step in _steps(reading) if not any(_overlap(step, tool) for tool in found["means"])
    ]
    if kind == "glorification" and not found["time"] and not found["planning"]:
        return ()
    marks = [
        _mark(name, reading, *stretch)
        for name, stretches in found.items()
        for stretch in _merged(reading, stretches)
    ]
    return tuple(sorted(marks, key=lambda mark: (mark.start, mark.end, mark.mark)))


def is_urgent(marks: Iterable[Mark]) -> bool:
    """Say whether two or more different marks are there."""
    return len({mark.mark for mark in marks}) >= _URGENT


def _mark(name: str, reading: Reading, start: int, end: int) -> Mark:
    start, end = reading.source(start, end)
    return Mark(name, reading.text[start:end], start, end)


def _overlap(one: _Stretch, other: _Stretch) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _merged(reading: Reading, stretches: Iterable[_Stretch]) -> list[_Stretch]:
    """Join stretches of one mark that overlap or have nothing but blanks between them."""
    merged: list[_Stretch] = []
    for start, end in sorted(set(stretches)):
        if merged and not reading.low[merged[-1][1] : start].strip():
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def _stretch(match: re.Match[str]) -> _Stretch:
    """Return what of a match is the mark: a group ``w``, ``w2``, ... if it took part, or all."""
    for name, words in match.groupdict().items():
        if name[0] == "w" and words is not None:
            return match.span(name)
    return match.span()


# --- time ----------------------------------------------------------------------------------------

_NOT_AHEAD = re.compile(
    r"\b(?:last|every|each|since|previous|past|(?:black|bloody|good|casual|any|some|a|most|free|"
    r"small|cyber|ash|palm|holy)(?=\s\w+day)|(?:hate|love)\sa?|it'?s|"
    r"never\s(?:on\s)?a?|john|romans|psalm|matthew|luke|mark|genesis)\s{0,2}$"
)
_NOT_A_DAY = re.compile(
    r"\s(?:school|times|league|roast|blues|is\s(?:my|a|the\sbest|always|not))\b|s\b"
)
_MIDNIGHT = re.compile(r"(?:^|(?<=[.!?\n]\s))(?:midnight|noon|dawn)(?=[.,:!]|$)")


def _times(reading: Reading) -> Iterator[_Stretch]:
    """Yield points of time ahead: the past, the vague and what recurs without an hour are not."""
    for pattern in (pattern_of("time"), _MIDNIGHT):
        for match in pattern.finditer(reading.low):
            start, end = match.span()
            before = reading.low[max(0, start - 24) : start]
            if (
                not reading.is_told(start, end)
                and not reading.is_past(start)
                and not _NOT_AHEAD.search(before)
                and not _NOT_A_DAY.match(reading.low, end)
                and not _is_long_ago(match)
            ):
                yield start, end


def _is_long_ago(match: re.Match[str]) -> bool:
    years = [year for name, year in match.groupdict().items() if name[0] == "y" and year]
    return any(len(year) == 4 and year < "2000" for year in years)


# --- place ---------------------------------------------------------------------------------------

_AIMED = re.compile(
    r"\b(?:look\w*|laugh\w*|yell\w*|shout\w*|mad|angry|good|star(?:e|es|ing)|point\w*|aim\w*|"
    r"shoot\w*|bad|swing\w*|scream\w*|spit\w*|swear\w*)\s$",
    re.IGNORECASE,
)


def _places(reading: Reading) -> Iterator[_Stretch]:
    """Yield places that a reader could find; where something happened is none."""
    for match in _place_matches(reading):
        start, end = _stretch(match)
        aimed = _AIMED.search(reading.cased[max(0, start - 12) : start])
        if not aimed and not reading.is_told(start, end) and not reading.is_past(start):
            yield start, end


def _place_matches(reading: Reading) -> Iterator[re.Match[str]]:
    yield from pattern_of("place").finditer(reading.low)
    yield from ADDRESS.finditer(reading.cased)
    if not reading.is_shouted:
        yield from pattern_of("name").finditer(reading.cased)


# --- means ---------------------------------------------------------------------------------------

_NOT_AT_HAND = re.compile(
    r"\b(?:don'?t|do\snot|never|no|not|ban|banned|against|without|nail|water|glue|toy|heat|staple|"
    r"top|massage|bb|like)(?:\s(?:bring|use|have|own|a|any|buy|carry|the|your|my)){0,2}\s?$"
)
_COMPOUND = re.compile(r"\b(?:nail|water|glue|toy|heat|staple|massage|bb|t-shirt|top)\s(?:guns?)\b")


def _means(reading: Reading, *, is_call: bool) -> list[_Stretch]:
    """Return weapons, tools and methods at hand."""
    patterns = [pattern_of("means")]
    if is_call:
        patterns.append(pattern_of("bare_means"))
    return [
        stretch
        for pattern in patterns
        for match in pattern.finditer(reading.low)
        if _is_at_hand(reading, match, stretch := _stretch(match))
    ]


def _is_at_hand(reading: Reading, match: re.Match[str], stretch: _Stretch) -> bool:
    start, end = stretch
    if reading.is_told(start, end) or _COMPOUND.search(reading.low[start:end]):
        return False
    if _NOT_AT_HAND.search(reading.low[max(0, match.start() - 24) : match.start()]):
        return False
    if _words("weapon").search(reading.low, start, end):
        return True
    first, last = reading.sentence(start)
    near = max(first, start - _NEARBY), min(last, end + _NEARBY)
    return not _words("everyday").search(reading.low, *near)


@cache
def _words(name: str) -> re.Pattern[str]:
    return compiled(f"<{name}>")


# --- planning ------------------------------------------------------------------------------------

_UNPLANNED = re.compile(
    r"\b(?:don'?t|do\snot|never|nobody|no\sone|won'?t|not|doesn'?t|didn'?t|can'?t|cannot|if)\s"
    r"(?:\w+\s){0,2}$"
)


def _steps(reading: Reading) -> list[_Stretch]:
    """Return the words of steps and coordination."""
    return [
        match.span()
        for match in pattern_of("step").finditer(reading.low)
        if not reading.is_told(*match.span())
        and not _UNPLANNED.search(reading.low[max(0, match.start() - 30) : match.start()])
    ]
