"""Text as an encoder should read it: spelling tricks undone, all else left as it was written.

The folding of :mod:`hostrisk.normalize` finds words behind look-alikes, invisible marks, spaced and
stretched letters. Here its words go back to their places between the punctuation, which an encoder
reads too; pictographs are written out by their Unicode names, and links become one word.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from hostrisk.normalize import DROP, MARK, SIDE, WORD, fold, fold_char

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from hostrisk.normalize import Token

__all__ = ["Piece", "clean", "clean_pieces"]

_LEAST_LEET = 4  # letters of a word that digits may stand in: "sh00t", not "1st" or "b4"
_SPACES = re.compile(r"\s+")
_LONGEST_WORD = 16  # looked for in spaced letters
_STRAY = 2  # what a letter in no word costs beside a word
_APOSTROPHES = dict.fromkeys(map(ord, "'\u2019"))
_LINK_END = re.compile(r"\s|$")


class Piece(NamedTuple):
    """A stretch of clean text and the code points of the source that it came from."""

    text: str
    start: int
    end: int


def clean(text: str, words: Collection[str]) -> str:
    """Return text with spelling tricks undone.

    :param words: words known to the encoder: ``sh00t`` is read as ``shoot`` because that is one.
    """
    return "".join(piece.text for piece in clean_pieces(text, words))


def clean_pieces(text: str, words: Collection[str]) -> Iterator[Piece]:
    """Yield the pieces of the clean text, each with its place in the source."""
    at = 0
    last = ""
    for token in fold(text):
        if token.kind == SIDE or token.end <= at:
            continue
        gap = _gap(text[at : token.start])
        written = _write(token, text, words)
        is_name = _is_pictograph(token)
        if is_name and written == last and not gap.strip():
            at = token.end  # the same pictograph again
            continue
        if not gap and last and written and (is_name or _joins(last, token)):
            gap = " "
        if gap:
            yield Piece(gap, at, max(token.start, at))
        yield Piece(written, token.start, token.end)
        last, at = written, token.end
        if token.text == b"://":
            at = _LINK_END.search(text, at).start()  # type: ignore[union-attr]  # $ always matches
    rest = _gap(text[at:])
    if rest:
        yield Piece(rest, at, len(text))


def _gap(text: str) -> str:
    """Return what stands between words, less what is invisible."""
    if text in ("", " "):
        return text
    return _SPACES.sub(" ", "".join(char for char in text if fold_char(char) != DROP))


def _joins(last: str, token: Token) -> bool:
    """Say whether a token would run into the word before it (parts of a hashtag)."""
    return token.kind == WORD and last[-1].isalnum()


def _is_pictograph(token: Token) -> bool:
    return token.kind == MARK and token.end - token.start == 1 and not token.text.isascii()


def _write(token: Token, text: str, words: Collection[str]) -> str:
    source = text[token.start : token.end]
    if token.kind == MARK:
        if token.text == b"://":
            return "http"
        return _name(source) if _is_pictograph(token) else source
    folded = token.text.decode()
    if source.lower().translate(_APOSTROPHES) == folded:
        return source.lower()  # with the apostrophe of "don't", which folding leaves out
    has_digits = any("0" <= char <= "9" for char in source)
    if has_digits and not _is_known(folded, words):
        return source
    was_spaced = len(source) >= 2 * len(folded) - 1 > 1 and folded not in words
    return _segment(folded, words) if was_spaced else folded


def _is_known(folded: str, words: Collection[str]) -> bool:
    """Say whether a word, or the most of a longer one, is known: ``traitor`` of ``traitors``."""
    if folded in words:
        return len(folded) >= _LEAST_LEET
    return any(folded[:end] in words for end in range(_LEAST_LEET + 1, len(folded)))


def _segment(letters: str, words: Collection[str]) -> str:
    """Return letters that were spaced out as the fewest known words; the rest stay single."""
    best: list[tuple[int, str]] = [(0, "")]
    for end in range(1, len(letters) + 1):
        cost, found = best[-1]
        choices = [
            (best[start][0] + 1, f"{best[start][1]} {letters[start:end]}")
            for start in range(max(0, end - _LONGEST_WORD), end - 1)
            if letters[start:end] in words
        ]
        best.append(min([(cost + _STRAY, f"{found} {letters[end - 1]}"), *choices]))
    return best[-1][1].strip()


@cache
def _name(char: str) -> str:
    """Return a pictograph's name as words: a skin tone says nothing, a flag is a flag."""
    name = unicodedata.name(char, "").lower()
    if "fitzpatrick" in name:
        return ""
    return "flag" if name.startswith("regional indicator") else name.replace("-", " ")
