"""How a hostile post is read for marks of a threat: plain letters, sentences, what is only told.

A post is brought to plain letters (case, accents, look-alikes, curly quotes, ``c0urthouse``,
``r i f l e``), and every letter keeps the place it came from. Then sentences: one that reports,
condemns or quotes what others did or said, or looks back, plans nothing, and carries no mark.
"""

from __future__ import annotations

import csv
import re
from bisect import bisect_left, bisect_right
from functools import cache
from importlib import resources
from io import StringIO
from typing import TYPE_CHECKING, Any

from hostrisk.normalize import DROP, SPACE, fold_char

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Reading", "any_of", "compiled", "pattern_of", "word_lists"]

_QUOTES = dict.fromkeys(map(ord, "\u2019\u2018\u201b`\xb4\u02bc"), "'") | dict.fromkeys(
    map(ord, "\u201c\u201d\u201e\xab\xbb\u201f\u2033"), '"'
)
_LEET = str.maketrans("013457@$", "oieastas")
_LEET_WORD = re.compile(
    r"(?<![^\W_])[A-Za-z]{1,15}(?:[013457@$]{1,2}[A-Za-z]{1,15}){1,4}[013457]?(?![^\W_])"
)
_MODEL = re.compile(r"[a-z]{1,3}\d+s|.*\d(?:am|pm|st|nd|rd|th|mm|h)", re.IGNORECASE)
_SPACED = re.compile(r"(?<![A-Za-z'])[A-Za-z](?:[ .\-_*][A-Za-z](?![A-Za-z'])){2,}")
_STRETCHED = re.compile(r"([A-Za-z])\1{2,}")
_SET = re.compile(r"(?<!\?P)<([a-z_]+)>")
_HASHTAG = re.compile(r"#\w{0,60}[a-z][A-Z]\w{0,60}")
_ADDRESS = re.compile(r"https?://\S+", re.IGNORECASE)


# --- word lists ----------------------------------------------------------------------------------


@cache
def word_lists(file: str) -> dict[str, tuple[str, ...]]:
    """Return the words of a file of ``hostrisk.material`` by the list they are in."""
    content = resources.files("hostrisk.material").joinpath(file).read_text("utf-8")
    found: dict[str, list[str]] = {}
    for name, word in list(csv.reader(StringIO(content)))[1:]:
        found.setdefault(name, []).append(word)
    return {name: tuple(words) for name, words in found.items()}


@cache
def any_of(name: str, file: str = "threat_words.csv") -> str:
    """Return a pattern for any word of a list, the longest that fits."""
    words = sorted(word_lists(file)[name], key=len, reverse=True)
    return f"(?:{'|'.join(words)})"


def compiled(*patterns: str) -> re.Pattern[str]:
    """Compile alternatives for whole words: ``<name>`` is a set or a list, a space white space."""
    pattern = "|".join(patterns)
    while _SET.search(pattern):
        pattern = _SET.sub(lambda match: _sets().get(match[1]) or any_of(match[1]), pattern)
    pattern = pattern.replace(" ", r"\s{1,3}")
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)")


@cache
def pattern_of(name: str) -> re.Pattern[str]:
    """Compile all patterns of one name in ``threat_patterns.toml``."""
    return compiled(*_file()["patterns"][name])


def _sets() -> dict[str, str]:
    sets: dict[str, str] = _file()["sets"]
    return sets


@cache
def _file() -> dict[str, Any]:
    import tomllib

    content = resources.files("hostrisk.material").joinpath("threat_patterns.toml")
    return tomllib.loads(content.read_text("utf-8"))


# --- plain letters -------------------------------------------------------------------------------


def _plain(text: str) -> tuple[str, list[int] | range]:
    """Return the text in plain letters, case kept, and where each of its letters came from."""
    if text.isascii() and text.isprintable():
        return text, range(len(text))
    letters, at = [], []
    for index, char in enumerate(text.translate(_QUOTES)):
        for letter in char if char.isascii() and char.isprintable() else _fold(char):
            letters.append(letter)
            at.append(index)
    return "".join(letters), at


def _fold(char: str) -> str:
    if char == "\n":
        return char
    value = fold_char(char)
    if value == DROP:
        return ""
    if isinstance(value, int):
        return " " if value == SPACE else char
    return value.upper() if char.isupper() else value


def _unspell(plain: str) -> str:
    """Undo digits and signs for letters, and take web addresses out, at the same length."""

    def read(match: re.Match[str]) -> str:
        word = match[0]
        return word if _MODEL.fullmatch(word) else word.translate(_LEET)

    plain = _ADDRESS.sub(lambda match: " " * len(match[0]), plain)
    return _LEET_WORD.sub(read, plain)


def _join(plain: str, at: list[int] | range) -> tuple[str, list[int] | range]:
    """Close up ``r i f l e`` and ``guuuuns``; part ``#LynchTheJudge``."""
    drop: set[int] = set()
    parts: set[int] = set()
    for match in _HASHTAG.finditer(plain):
        parts.update(
            index
            for index in range(match.start() + 2, match.end())
            if plain[index].isupper() and plain[index - 1].islower()
        )
    for match in _SPACED.finditer(plain):
        drop.update(range(match.start() + 1, match.end(), 2))
    for match in _STRETCHED.finditer(plain):
        drop.update(range(match.start() + 1, match.end()))
    if not drop and not parts:
        return plain, at
    letters, places = [], []
    for index, letter in enumerate(plain):
        if index not in drop:
            letters.append(f" {letter}" if index in parts else letter)
            places.extend([at[index]] * len(letters[-1]))
    return "".join(letters), places


# --- sentences -----------------------------------------------------------------------------------

# An end of a sentence; not after a title, nor within p.m.
_END = re.compile(
    r"(?<!\bmr)(?<!\bms)(?<!\bmrs)(?<!\bdr)(?<!\bst)(?<!\bsen)(?<!\bgov)(?<!\brep)(?<!\brev)"
    r"(?<!\bprof)(?<!\b[ap]\.m)(?<!\b[ap])[.!?;]+[\s\"')]+|[!?]+|\n+"
)
_QUOTED = re.compile(r"\"[^\"\n]{8,400}\"|(?<!\w)'[^'\n]{8,300}'(?!\w)")

# Words of one who reports, quotes, condemns or retells.
_TELLS = compiled(
    r"(?:police|officials?|prosecutors?|authorities|investigators|witnesses|the court|fbi|sources|"
    r"spokes\w+)(?: \w+){0,2}? (?:says?|said|reports?|reported|alleged?|charged|found|warned?|"
    r"arrested|identified|confirmed|told)",
    r"arrested|charged (?:with|after|over)|accused of|convicted|sentenced|pleaded|indicted|"
    r"alleged(?:ly)?|allege|threatened to|plotted|plotting|suspects?|gunm[ae]n|assassins?|"
    r"assassination|massacre of|attackers?|shooter",
    r"breaking:?|on this day|remember when|(?:in|until|since|of) 1\d{3}|"
    r"in (?:the|this|that) (?:film|movie|novel|book|episode|series|scene|game|play|show)|"
    r"the line (?:he|she|they) sa\w+|review:",
    r"whoever sent|shame on|disgusting|appalling|horrified|(?:to )?those (?:calling|who call)|"
    r"never ok|never okay|not ok|condemn(?:s|ed)?|violence against|"
    r"(?:nobody|no one|noone) should|has to stop|must stop|"
    r"stop (?:telling|calling|threatening|saying|posting)|"
    r"(?:a|this) (?:dm|message|note|letter|call|voicemail|comment) (?:saying|that said|from)|"
    r"(?:he|she|they|someone|somebody|a man|a woman|people) (?:just )?"
    r"(?:wrote|sent|texted|messaged|posted|threatened|told|tweeted|commented)|"
    r"(?:reported|told) (?:it|him|her|them|this|the police)|screenshots?",
)  # fmt: skip
# Words of one who calls on others or announces, against which a sentence is not only told.
_CALLS = compiled(
    r"let'?s|we(?:'ll| will| must| should| need to| are going to|'re going to| gonna)|"
    r"i(?:'ll| will| am going to|'m going to|'m gonna| have a| got a)|ima|imma|bring|grab|"
    r"meet (?:at|outside|me|up|us)|time to|who(?:'s| is) with me|"
    r"(?:should|must|deserves? to|needs? to|gotta|ought to|has to|have to) (?:all )?(?:be )?"
    r"<harmed>",
)
_PAST = compiled(
    r"was|were|had|did|didn'?t|wasn'?t|went|said|came|saw|took|stayed|ran|fell|began|gave|held|hid|"
    r"drove|flew|won|lost|sent|wrote|spoke|fought|stole|threw|broke|knew|stood|sang|paid|slept|"
    r"(?<!is\s)(?<!are\s)(?<!be\s)(?<!get\s)(?<!gets\s)(?<!being\s)(?<!to\s)(?<!'re\s)"
    r"(?!need|armed|hundred|naked|united|hatred|sacred|wicked|retired|locked|loaded|scheduled|"
    r"supposed|tired|used|embed|shared|masked|bored|crooked|wanted|expected|required)"
    r"[a-z]{2,14}(?<!e)ed|shot(?= (?:up|at|the|a|his|her|three|two))|ago|yesterday|last night",
)
_AHEAD = compiled(
    r"will|won'?t|\w+'ll|gonna|going to|shall|should|must|let'?s|needs? to|has to|have to|gotta|"
    r"ought|tomorrow|see (?:you|u)|be (?:at|there|outside|ready)|bring|come|meet|join|gather|"
    r"i'd (?:love|like)|want to|about to|due (?:at|on|to)|until|"
    r"we (?:march|ride|hang|storm|burn|move|meet|hunt|fight|kill|take|attack|shoot|strike|"
    r"go|start|begin|execute)|the day|is when|"
    r"(?:is|are) (?:on|at|next|tonight|tomorrow)|(?:gates|doors|polls|tryouts) (?:open|close)",
)  # fmt: skip


class Reading:
    """A post in plain letters: ``cased`` and ``low`` are of one length, letter by letter."""

    def __init__(self, text: str) -> None:
        self.text = text
        plain, at = _plain(text)
        self.cased, self.at = _join(_unspell(plain), at)
        lowered = self.cased.lower()
        # The one capital that is lowered to two letters is folded above, so this is a safeguard.
        same = len(lowered) == len(self.cased)
        self.low = lowered if same else "".join(c.lower()[:1] for c in self.cased)
        self.is_shouted = self.cased.upper() == self.cased
        ends = [match.end() for match in _END.finditer(self.low)]
        self._starts = [0, *ends]
        self._quotes = [match.span() for match in _QUOTED.finditer(self.low)]
        self._told: dict[int, bool] = {}
        self._past: dict[int, bool] = {}
        self._quotes_are_told: bool | None = None

    def source(self, start: int, end: int) -> tuple[int, int]:
        """Return where a stretch of the plain letters lies in the text as given."""
        return self.at[start], self.at[end - 1] + 1

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Return where a stretch of the text as given lies in the plain letters."""
        return bisect_left(self.at, start), bisect_left(self.at, end)

    def sentence(self, at: int) -> tuple[int, int]:
        """Return the bounds of the sentence around a plain letter."""
        number = bisect_right(self._starts, at)
        following: Sequence[int] = self._starts[number : number + 1]
        return self._starts[number - 1], following[0] if following else len(self.low)

    def is_told(self, start: int, end: int) -> bool:
        """Say whether a stretch is part of a report, a condemnation or the words of another."""
        sentence = self.sentence(start)
        if sentence[0] not in self._told:
            own = "".join(self._unquoted(*sentence))
            self._told[sentence[0]] = bool(_TELLS.search(own)) and not _CALLS.search(own)
        return self._told[sentence[0]] or self._is_quoted(start, end)

    def is_past(self, at: int) -> bool:
        """Say whether the sentence around a plain letter looks back and not ahead."""
        start, end = self.sentence(at)
        if start not in self._past:
            own = self.low[start:end]
            self._past[start] = bool(_PAST.search(own)) and not _AHEAD.search(own)
        return self._past[start]

    def _is_quoted(self, start: int, end: int) -> bool:
        near = bisect_right(self._quotes, (start, len(self.low))) - 1
        if near < 0 or self._quotes[near][1] < end:
            return False
        if self._quotes_are_told is None:
            own = "".join(self._unquoted(0, len(self.low)))
            self._quotes_are_told = bool(_TELLS.search(own))
        return self._quotes_are_told

    def _unquoted(self, start: int, end: int) -> Iterator[str]:
        """Yield what of a stretch is not in quotes, with a sign where a quotation was."""
        for opening, closing in self._quotes[bisect_left(self._quotes, (start, 0)) :]:
            if opening >= end:
                break
            yield self.low[start:opening]
            yield ' " '
            start = min(closing, end)
        yield self.low[start:end]
