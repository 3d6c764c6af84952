"""Reference folding: text to tokens that survive spelling tricks, each with its source offsets.

The steps, which the kernel repeats exactly (their number is part of the feature id):

1. Each code point becomes symbols by the fold table: letters lose case, width, accents and
   look-alikes; zero-width and direction marks, apostrophes and combining marks vanish; every
   other sign separates words.
2. A run of letters and digits is a token. A letter three or more times in a row counts once; a
   token of nothing but one letter keeps three (``kkk``). Tokens are cut at 64 bytes.
3. ``@ $ ! *``, at most two, between two ASCII letters are read as ``a s i`` and nothing
   (``k!ll``, ``a$$hole``, ``k*ll``); ``$`` before a word is ``s``. ``@`` or ``#`` before a word
   is a mark of its own, and a hashtag is split where a capital follows a small letter.
4. ``http://…`` up to the next space is one mark. A token of digits alone is the mark ``0``. A
   pictograph is a mark.
5. A token of ASCII letters and digits where all digits are of ``013457``, at most four times as
   many as letters, no capital after a small letter, 16 bytes at most, is read as leetspeak
   (``sh00t``), with its raw form kept beside it. Other mixed tokens (ids, hashes, model
   numbers) are marks, so their pieces never look like words.
6. Three or more one-letter tokens in a row are one token (``k i l l``, ``k.i.l.l``).
"""

from __future__ import annotations

import base64
import json
import zlib
from functools import cache
from typing import NamedTuple

from hostrisk import _fold_table

__all__ = ["MARK", "MAX_TOKEN", "SIDE", "WORD", "Token", "fold", "scan"]

WORD, MARK, SIDE = 0, 1, 2  # all features; whole only; whole only and outside of pairs
MAX_TOKEN = 64
MAX_LEET = 16
SEPARATOR, KEEP, DROP, EMOJI, SPACE = range(5)

_INNER = {"@": "a", "$": "s", "!": "i", "*": ""}
_LEET = bytes.maketrans(b"013457", b"oieast")
_LEET_DIGITS = frozenset(b"013457")


class Token(NamedTuple):
    """One token: folded bytes, kind, and the code points of the source it came from."""

    text: bytes
    kind: int
    start: int
    end: int


@cache
def _table() -> tuple[list[int], list[list[int]], list[str]]:
    packed = zlib.decompress(base64.b85decode(_fold_table.PACKED))
    data = json.loads(packed)
    return data["directory"], data["blocks"], data["pool"]


@cache
def fold_char(char: str) -> int | str:
    """Return the class of a code point (SEPARATOR, KEEP, …) or the symbols it stands for."""
    code = ord(char)
    if code >= _fold_table.LIMIT:
        if 0x20000 <= code <= 0x3FFFF:
            return KEEP
        return DROP if 0xE0000 <= code <= 0xE0FFF else SEPARATOR
    directory, blocks, pool = _table()
    value = blocks[directory[code >> 8]][code & 255]
    return value if value < _fold_table.FIRST_STRING else pool[value - _fold_table.FIRST_STRING]


class _Scanner:
    """State of the scan: the token being read and what may still join it."""

    def __init__(self) -> None:
        self.tokens: list[Token] = []
        self.mark = ""  # '@', '#' or '$' waiting for the word it stands before
        self.mark_at = 0
        self.camel = False
        self.clear()

    def clear(self) -> None:
        """Forget the word being read."""
        self.word = bytearray()
        self.start = self.end = 0
        self.last = ""  # last symbol, "" after anything that breaks a run of letters
        self.run = 0
        self.letters = self.digits = 0
        self.ascii = True
        self.small = self.mixed = False
        self.stretched = False
        self.inner = ""  # pending @ $ ! * inside the word

    def close(self) -> None:
        if self.word:
            self._emit()
        self.clear()

    def _emit(self) -> None:
        word, start, end = bytes(self.word), self.start, self.end
        if self.stretched and len(word) == 1:
            word *= 3
        if not self.digits:
            self.tokens.append(Token(word, WORD, start, end))
        elif not self.letters:
            self.tokens.append(Token(b"0", MARK, start, end))
        elif self._is_leet(word):
            self.tokens.append(Token(word.translate(_LEET), WORD, start, end))
            self.tokens.append(Token(word, SIDE, start, end))
        else:
            self.tokens.append(Token(word, MARK, start, end))

    def _is_leet(self, word: bytes) -> bool:
        digits = [byte for byte in word if 48 <= byte <= 57]
        return (
            self.ascii
            and not self.mixed
            and len(word) <= MAX_LEET
            and self.digits <= 4 * self.letters
            and _LEET_DIGITS.issuperset(digits)
        )

    def separate(self) -> None:
        self.close()
        self.mark = ""
        self.camel = False

    def put(self, symbol: str, source: str, at: int) -> None:
        """Take one letter or digit (``symbol``), folded from ``source`` at index ``at``."""
        if self.inner and not ("a" <= symbol <= "z"):
            self.separate()
        capital = "A" <= source <= "Z"
        if capital and self.small:
            if self.camel:
                self.close()
            self.mixed = True
        self._open(symbol)
        pending, self.inner = self.inner, ""
        for mark in pending:
            if _INNER[mark]:
                self.append(_INNER[mark], at)
        self.append(symbol, at)
        self.end = at + 1
        self.small = "a" <= source <= "z"

    def _open(self, symbol: str) -> None:
        if self.word or not self.mark:
            return
        if self.mark == "$" and "a" <= symbol <= "z":
            self.append("s", self.mark_at)
        elif self.mark != "$" and not "0" <= symbol <= "9":
            self.tokens.append(Token(self.mark.encode(), MARK, self.mark_at, self.mark_at + 1))
            self.camel = self.mark == "#"
        self.mark = ""

    def append(self, symbol: str, at: int) -> None:
        """Add one letter or digit to the word, folding stretched letters."""
        digit = "0" <= symbol <= "9"
        if symbol == self.last and not digit:
            self.run += 1
            if self.run >= 3:
                if self.run == 3:
                    del self.word[-len(symbol.encode()) :]
                    self.stretched = True
                return
        else:
            self.run = 1
        raw = symbol.encode()
        if len(self.word) + len(raw) > MAX_TOKEN:
            self.close()
            self.run = 1
        if not self.word:
            self.start, self.end = at, at + 1
        self.word += raw
        self.last = symbol
        self.digits += digit
        self.letters += not digit
        self.ascii = self.ascii and symbol.isascii()

    def sign(self, symbol: str, at: int) -> None:
        """Take one of @ # $ ! * at index ``at``."""
        if self.word and "a" <= self.last <= "z" and symbol != "#" and len(self.inner) < 2:
            self.inner += symbol
            return
        self.separate()
        self.mark = symbol if symbol in "@#$" else ""
        self.mark_at = at


def _is_url(scanner: _Scanner, text: str, at: int) -> bool:
    return bytes(scanner.word) in (b"http", b"https") and text.startswith("://", at)


def scan(text: str) -> list[Token]:
    """Return the tokens of steps 1 to 5: of pieces between spaces as of whole texts."""
    scanner = _Scanner()
    skipping = False
    for at, char in enumerate(text):
        value = fold_char(char)
        if skipping:
            skipping = value != SPACE
            continue
        if value == DROP:
            continue
        if value == KEEP:
            scanner.put(char, char, at)
        elif value == EMOJI:
            scanner.separate()
            scanner.tokens.append(Token(char.encode(), MARK, at, at + 1))
        elif isinstance(value, int):
            if char == ":" and _is_url(scanner, text, at):
                scanner.tokens.append(Token(b"://", MARK, scanner.start, at + 3))
                scanner.clear()
                skipping = True
            scanner.separate()
        else:
            for symbol in value:
                if symbol in "@#$!*":
                    scanner.sign(symbol, at)
                else:
                    scanner.put(symbol, char, at)
    scanner.close()
    return scanner.tokens


def _is_letter(token: Token) -> bool:
    return token.kind == WORD and len(token.text) == 1 and b"a" <= token.text <= b"z"


def _join(letters: list[Token]) -> list[Token]:
    scanner = _Scanner()
    for token in letters:
        scanner.append(token.text.decode(), token.start)
        scanner.end = token.end
    scanner.close()
    return scanner.tokens


def fold(text: str) -> list[Token]:
    """Return the tokens of ``text`` in order, with offsets in code points."""
    tokens: list[Token] = []
    letters: list[Token] = []
    for token in [*scan(text), None]:
        if token is not None and _is_letter(token):
            letters.append(token)
            continue
        tokens += _join(letters) if len(letters) >= 3 else letters
        letters = []
        if token is not None:
            tokens.append(token)
    return tokens
