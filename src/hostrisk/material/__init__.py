"""The texts of the fairness audit, and how posts are matched with what it asks about.

All are read from the CSV files beside this module; README.md there says what each is.
"""

from __future__ import annotations

import csv
import re
from functools import cache
from importlib import resources
from io import StringIO
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Identity", "Sides", "Text", "dialect_of", "identities", "in_case_of", "names", "sides",
    "templates", "texts",
]  # fmt: skip


class Identity(NamedTuple):
    """A group of people: a plural for templates, and the words by which posts name it."""

    term: str
    family: str
    words: re.Pattern[str]


class Sides(NamedTuple):
    """Two political camps, and for each word that names one the word that names the other."""

    first: str
    second: str
    words: dict[str, str]

    def swap(self, text: str) -> str:
        """Name the other camp wherever a text names one, in the same case."""
        if not self.words:
            return text
        return _any_of("|".join(self.words)).sub(
            lambda found: in_case_of(found[0], self.words[found[0].lower()]), text
        )


def in_case_of(word: str, other: str) -> str:
    """Return the other word, which is in small letters, with the capitals of the first."""
    if word.isupper() and len(word) > 1:
        return other.upper()
    return other.capitalize() if word[0].isupper() else other


class Text(NamedTuple):
    """A template or a whole text; ``pair`` is shared by texts that say the same."""

    text: str
    label: int
    pair: str = ""


def identities() -> list[Identity]:
    """Return the groups that templates are filled with and posts are searched for."""
    return [
        Identity(row["term"], row["family"], _any_of(row["words"]))
        for row in _rows("identities.csv")
    ]


def names() -> dict[str, list[str]]:
    """Return first names by family."""
    found: dict[str, list[str]] = {}
    for row in _rows("names.csv"):
        found.setdefault(row["family"], []).append(row["name"])
    return found


def sides() -> list[Sides]:
    """Return pairs of political camps."""
    found = []
    for row in _rows("sides.csv"):
        pairs = [pair.split("|") for pair in row["words"].split(";") if pair]
        words = {a: b for one, other in pairs for a, b in ((one, other), (other, one))}
        found.append(Sides(row["first"], row["second"], words))
    return found


def templates(name: str) -> list[Text]:
    """Return the templates with a place for ``identity``, ``name`` or ``sides``."""
    return _texts("templates.csv", name)


def texts(name: str) -> list[Text]:
    """Return the texts of a slice, such as ``questions`` or ``dialect_aae``."""
    return _texts("texts.csv", name)


def _texts(file: str, name: str) -> list[Text]:
    return [
        Text(row["text"], int(row["label"]), row.get("pair", ""))
        for row in _rows(file)
        if row["slice"] == name
    ]


def _rows(file: str) -> Iterable[dict[str, str]]:
    content = resources.files(__name__).joinpath(file).read_text("utf-8")
    return csv.DictReader(StringIO(content))


@cache
def _any_of(words: str) -> re.Pattern[str]:
    # ASCII, for otherwise the dotless i of Turkish would match an i that lower() does not give.
    return re.compile(rf"\b(?:{words})\b", re.IGNORECASE | re.ASCII)


# --- dialect -------------------------------------------------------------------------------------

# Features of African-American English that writing shows: respelled sounds and words (Blodgett,
# Green & O'Connor 2016, "Demographic Dialectal Variation in Social Media", section 4), habitual
# be, future gon, completive done, negative concord and levelled was (Green 2002, "African American
# English"). Each alone is written by others too; two together seldom are.
_WORDS = re.compile(
    r"\b(finna|tryna|iont|ion|dat|dis|dey|dem|wit|gon|niggas?|niggaz|brotha|sista|mufucka|"
    r"boutta|bouta|thang|wea|mane|shawty|holla|imma)\b",
    re.IGNORECASE,
)
_NOT_BEFORE = "".join(
    rf"(?<!\b{word} )"
    for word in ("can", "could", "will", "would", "shall", "should", "may", "might", "must", "let",
                 "to", "not", "help", "make", "made")
)  # fmt: skip
_GRAMMAR = re.compile(
    rf"\b{_NOT_BEFORE}(?:i|he|she|they|we|u|you|niggas|people|dat) be \w+|"
    r"\b(?:he|she|they|we|you|u) (?:gone|gon)\b|"
    r"\b(?:done|been) (?:had|got|seen|told|did|lost|went)\b|"
    r"\bain['\u2019]?t (?:no|nothing|never|got|nobody)\b|\b(?:they|we|you|u) was\b",
    re.IGNORECASE,
)
_LEAST_MARKS = 2


def dialect_of(text: str) -> str | None:
    """Tell ``aae`` for a post with marks of African-American English, ``white`` for one without.

    None where there are too few to tell. A mark of grammar counts as two of spelling. This is a
    proxy: it knows nothing of who wrote a post.
    """
    marks = len({word.lower() for word in _WORDS.findall(text)})
    if _GRAMMAR.search(text):
        marks += _LEAST_MARKS
    return "aae" if marks >= _LEAST_MARKS else None if marks else "white"
